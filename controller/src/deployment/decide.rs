//! The decision: what is observed of a Deployment goes in, the next step and its status come out.
//!
//! First what has become of the newest run is settled, then the newest desired state is worked towards from there. What is
//! asked for last wins over an operation in progress; only a stop with a savepoint, which cannot be called back, is seen to its
//! end. A new run begins only after a read past every cache has shown that nothing of the one before is left.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{DeploymentState, DesiredState, JobState as RunState, Running, UpgradeKind};

use super::draft::{Draft, has_finalizer, operations};
use super::halt::{self, Purpose};
use super::health;
use super::not_kept::not_kept;
use super::over::{over, remove};
use super::rest::at_rest;
use super::settle::{Known, Life, Settled, keep_checkpoint, run_id, settle};
use super::sight::{Again, Answer, Decision, Finalizer, Flink, Observed, Plan, Step};
use super::start::{self, WAIT, Which};
use crate::flink::JobState;
use crate::objects::{MadeKind, Role};
use crate::runtime::conditions::Truth;
use crate::runtime::made::Made;

/// Between looks at a job that runs.
const RUNNING: Duration = Duration::from_secs(5);
/// Between looks at a job that is about to run, or restarts.
const SOON: Duration = Duration::from_secs(1);
/// A run that has lived shorter is not started again at once.
pub(super) const SHORT: Duration = Duration::from_mins(1);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Suspend,
    Cancel,
    Delete,
}

/// Decides.
pub fn decide(observed: &Observed<'_>) -> Decision {
    let mut draft = Draft::new(observed);
    if let Some(answer) = &observed.answer {
        return match answer {
            Answer::Stopping(_)
            | Answer::StopFailed(_)
            | Answer::Cancelling
            | Answer::CancelFailed(_)
            | Answer::Unclear(_) => halt::answered(draft, answer),
            Answer::NotKept {
                name,
                location,
                why,
            } => not_kept(draft, name, location, why),
            _ => start::answered(draft, answer),
        };
    }
    let is_deleted = observed.deployment.metadata.deletion_timestamp.is_some();
    let wish = match observed.deployment.spec.state {
        _ if is_deleted => Wish::Delete,
        Some(DesiredState::Running) => Wish::Run,
        Some(DesiredState::Suspended) => Wish::Suspend,
        None | Some(DesiredState::Cancelled) => Wish::Cancel,
    };
    let is_untouched = draft.next.job_name.is_none() && wish != Wish::Run;
    if !is_deleted && !is_untouched && !has_finalizer(observed) {
        // Before anything runs; the write of it brings us back.
        return Decision::Act(Box::new(Plan {
            finalizer: Finalizer::Add,
            savepoint: None,
            run: None,
            status: draft.before,
            notes: Vec::new(),
            step: None,
            again: Again::AtOnce,
        }));
    }
    if draft.is_new_spec() && draft.next.operation.is_none() {
        draft.next.attempts = None;
    }
    let (mut draft, life) = match settle(draft) {
        Settled::First(decision) => return decision,
        Settled::Life(draft, life) => (*draft, life),
    };
    // What an end leaves is waited for, whatever the spec says by now.
    draft.is_seen = life != Life::Live(Known::Ending);
    match life {
        Life::None => at_rest(draft, wish),
        Life::Unrecorded if wish == Wish::Run => start::start(draft, Which::Claimed),
        Life::Unrecorded => {
            draft.next.operation = None;
            at_rest(draft, wish)
        }
        Life::Unmade => unmade(draft, wish),
        Life::Starting(why) => starting(draft, wish, &why),
        Life::Live(known) => living(draft, wish, &known),
        Life::Over(state) => over(draft, wish, state),
    }
}

/// Its Job object stands, nothing has run yet.
fn unmade(draft: Draft<'_>, wish: Wish) -> Decision {
    if wish != Wish::Run || !may_start(&draft) {
        return abandon(draft);
    }
    let name = draft.next.job_name.as_deref();
    let strays: Vec<Made> = draft
        .observed
        .made
        .iter()
        .filter(|made| made.job.as_deref() != name)
        .cloned()
        .collect();
    if strays.is_empty() {
        start::make(draft)
    } else {
        remove(draft, &strays)
    }
}

/// It has been made and does not run yet.
fn starting(mut draft: Draft<'_>, wish: Wish, why: &str) -> Decision {
    if draft.operation() == Some(operations::CANCEL) {
        return draft.conclude(RunState::Terminated);
    }
    if wish != Wish::Run || !may_start(&draft) {
        let is_thrown_away = matches!(wish, Wish::Cancel | Wish::Delete);
        if is_thrown_away || !may_have_run(&draft) {
            return abandon(draft);
        }
        let message = "Whether the job has begun is not known; Sluice waits for its JobManager, so that no state is lost. Set spec.state to \
                       CANCELLED to end it without.";
        draft.moving(reasons::UNREACHABLE, message);
        return draft.act(None, Again::After(SOON));
    }
    let trouble = draft.observed.made.iter().find_map(|made| {
        let trouble = made.pod()?.trouble.as_ref()?;
        Some(trouble.message.to_string())
    });
    let message = trouble.unwrap_or_else(|| why.to_owned());
    draft.moving(reasons::STARTING, &message);
    let step = repair(&draft);
    draft.act(step, Again::After(SOON))
}

/// Whether a run that has not begun is what it should be.
fn may_start(draft: &Draft<'_>) -> bool {
    draft.runs_the_spec() || start::runs_as_before(draft)
}

/// Whether a run that was never heard of may be running for long: the controller may have been away.
fn may_have_run(draft: &Draft<'_>) -> bool {
    let is_mute = matches!(draft.observed.flink, Flink::Absent | Flink::Silent(_));
    let name = draft.next.job_name.as_deref();
    let is_stuck = draft.observed.made.iter().any(|made| {
        made.role == Some(Role::JobManager)
            && made.job.as_deref() == name
            && made.pod().is_some_and(|pod| pod.trouble.is_some())
    });
    is_mute && !is_stuck && draft.operation_age() > SHORT
}

/// A run that was never seen to run is given up. It may have run all the same, while nobody looked: what it has left is kept.
fn abandon(mut draft: Draft<'_>) -> Decision {
    keep_checkpoint(&mut draft);
    draft.begin(operations::CANCEL);
    draft.moving(
        reasons::STOPPING,
        "The start is given up: something else is asked for by now.",
    );
    draft.conclude(RunState::Terminated)
}

/// What somebody has taken away from under a run, or altered.
fn repair(draft: &Draft<'_>) -> Option<Step> {
    let name = draft.next.job_name.as_deref();
    let of_run = || {
        draft
            .observed
            .made
            .iter()
            .filter(|made| made.job.as_deref() == name)
    };
    let kinds = [MadeKind::ConfigMap, MadeKind::Service, MadeKind::Deployment];
    if kinds
        .iter()
        .any(|kind| !of_run().any(|made| made.kind == *kind))
    {
        return Some(Step::Make);
    }
    let wanted = draft.observed.task_managers?;
    let workload =
        of_run().find(|made| made.role == Some(Role::TaskManager) && made.workload().is_some());
    let workload = workload.filter(|made| !made.is_going())?;
    let told = workload.workload()?.replicas;
    (told != wanted).then(|| Step::Scale(workload.clone(), wanted))
}

/// It runs, as far as is known.
fn living(draft: Draft<'_>, wish: Wish, known: &Known) -> Decision {
    let failed_for_good = draft.before.state == Some(DeploymentState::Failed)
        && !draft.is_new_spec()
        && draft.next.operation.is_none();
    let stopping = draft.operation() == Some(operations::SUSPEND);
    let cancelling = draft.operation() == Some(operations::CANCEL);
    if *known == Known::Ending {
        return draft.act(None, Again::After(SOON));
    }
    match wish {
        // It cannot be called back. The job starts again from the savepoint.
        Wish::Run if stopping => halt::suspend(draft, Purpose::Upgrade, known),
        Wish::Run if cancelling => halt::cancel(draft, Purpose::Upgrade, known),
        Wish::Run if draft.runs_the_spec() => keep_running(draft, known, None),
        Wish::Run if failed_for_good => draft.act(None, Again::After(RUNNING)),
        Wish::Run => match halt::upgrade_kind(&draft) {
            UpgradeKind::None => keep_running(draft, known, None),
            kind => halt::upgrade(draft, kind, known),
        },
        Wish::Suspend if cancelling => halt::cancel(draft, Purpose::Asked, known),
        Wish::Suspend if failed_for_good => draft.act(None, Again::After(RUNNING)),
        Wish::Suspend => halt::suspend(draft, Purpose::Asked, known),
        Wish::Cancel | Wish::Delete => halt::cancel(draft, Purpose::Asked, known),
    }
}

/// It runs, and is left to. `waiting`: why the change that is asked for cannot be made yet.
pub fn keep_running(
    mut draft: Draft<'_>,
    known: &Known,
    waiting: Option<&(&'static str, String)>,
) -> Decision {
    if waiting.is_none() {
        draft.next.operation = None;
        draft.next.attempts = None;
        draft.over(types::QUOTA_EXCEEDED, "It does not ask for more CPU.");
        let demand = draft.observed.demand.clone();
        if let Ok(demand) = demand
            && draft.runs_the_spec()
            && demand < draft.held()
        {
            // Room for a change that was taken back.
            draft.allocate(demand);
        }
    }
    let since = Time(draft.now());
    draft.note_change(
        DeploymentState::Running,
        EventReason::Started,
        "The job runs.",
    );
    draft.next.state = Some(DeploymentState::Running);
    draft.next.failure = None;
    let job_id = run_id(&draft).map(|id| id.to_string());
    let running = draft
        .next
        .running
        .take()
        .filter(|running| running.job_id == job_id);
    draft.next.running = Some(running.unwrap_or(Running {
        job_id,
        transition_time: Some(since),
        conditions: Vec::new(),
    }));
    let silent = match known {
        Known::Silent(why) => Some(why.as_str()),
        _ => None,
    };
    health::tell(&mut draft, silent);
    let mut again = RUNNING;
    if let Some((reason, message)) = waiting {
        draft.condition(types::PROGRESSING, Truth::True, reason, message);
        again = WAIT;
    } else {
        let message = if draft.runs_the_spec() {
            "The job runs as the spec says."
        } else {
            "The job runs as it was started; the spec has changed since, and upgradeStrategy NONE leaves it alone."
        };
        draft.condition(types::PROGRESSING, Truth::False, reasons::RUNNING, message);
    }
    match known {
        Known::In(JobState::Running, _) | Known::Ending => {
            draft.condition(types::READY, Truth::True, reasons::RUNNING, "The job runs.");
        }
        Known::In(state, cause) => {
            let cause = cause.as_deref().unwrap_or("Flink gives no reason");
            let message = format!("Flink says {}: {cause}", state.as_str());
            draft.condition(types::READY, Truth::False, "Restarting", &message);
            again = SOON;
        }
        Known::Silent(why) => {
            let message = format!("What the job does is not known: {why}");
            draft.condition(types::READY, Truth::False, reasons::UNREACHABLE, &message);
            again = again.min(SOON * 2);
        }
    }
    let step = repair(&draft);
    draft.act(step, Again::After(again))
}
