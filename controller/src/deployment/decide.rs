//! The decision: what is observed of a Deployment goes in, the next step and its status come out.
//!
//! First what has become of the newest run is settled, then the newest desired state is worked towards from there. What is
//! asked for last wins over an operation in progress; only a stop with a savepoint, which cannot be called back, is seen to its
//! end. A new run begins only after a read past every cache has shown that nothing of the one before is left.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::names::finalizers;
use sluice_api::{DeploymentState, DesiredState, JobState as RunState, Running, UpgradeKind};
use sluice_policy::MilliCpu;

use super::draft::{Draft, has_finalizer, operations};
use super::halt::{self, Purpose};
use super::health;
use super::settle::{Known, Life, STOP_UNCLEAR, Settled, run_id, settle};
use super::sight::{Again, Answer, Decision, Finalizer, Flink, Observed, Plan, Step};
use super::start::{self, WAIT, Which, backoff};
use crate::flink::JobState;
use crate::objects::{MadeKind, Role};
use crate::runtime::conditions::Truth;
use crate::runtime::made::Made;
use crate::session_cluster::decide::Proof;

/// Between looks at a job that runs.
const RUNNING: Duration = Duration::from_secs(5);
/// Between looks at a job that is about to run, or restarts.
const SOON: Duration = Duration::from_secs(1);
/// A run that has lived shorter is not started again at once.
const SHORT: Duration = Duration::from_mins(1);
/// But after this.
const PAUSE: Duration = Duration::from_secs(10);
/// Starts that may fail, unless the spec says otherwise.
const MOST_STARTS: i32 = 4;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
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
    let (draft, life) = match settle(draft) {
        Settled::First(decision) => return decision,
        Settled::Life(draft, life) => (*draft, life),
    };
    match life {
        Life::None => at_rest(draft, wish),
        Life::Unrecorded if wish == Wish::Run => start::start(draft, Which::Claimed),
        Life::Unrecorded => {
            let mut draft = draft;
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
    if wish != Wish::Run || !draft.runs_the_spec() {
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
    if wish != Wish::Run || !draft.runs_the_spec() {
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

/// A run that has never run is given up: it has no state of its own.
fn abandon(mut draft: Draft<'_>) -> Decision {
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
    let workload = workload.filter(|made| !made.deleting)?;
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

/// The run is over: what that means is told, its cluster goes, and then comes what is asked for.
fn over(mut draft: Draft<'_>, wish: Wish, state: RunState) -> Decision {
    let left_savepoint = draft.run.savepoint_name.is_some();
    let follows = match (state, draft.operation()) {
        (RunState::Finished, Some(operations::SUSPEND)) if left_savepoint => None,
        (RunState::Terminated, Some(operations::START))
        | (
            _,
            Some(
                operations::CANCEL
                | operations::FINISH
                | operations::RECOVER
                | operations::RETRY
                | operations::FAIL,
            ),
        ) => None,
        // At rest.
        (_, None) if draft.held() == MilliCpu::ZERO => None,
        (RunState::Finished, _) => Some(operations::FINISH),
        (RunState::Failed, _) if is_unclear(&draft) => Some(operations::FAIL),
        (RunState::Failed, _) if draft.has_run() => Some(operations::RECOVER),
        (RunState::Failed, _) => Some(operations::RETRY),
        _ => Some(operations::FAIL),
    };
    if let Some(follows) = follows {
        return told(draft, follows);
    }
    if let Some(decision) = clear(&mut draft) {
        return match decision {
            Clear::Read => Decision::ReadAll,
            Clear::Remove(made) => remove(draft, &made),
        };
    }
    let finalizers = draft
        .observed
        .run
        .and_then(|run| run.metadata.finalizers.as_ref());
    if finalizers.is_some_and(|all| all.iter().any(|name| name == finalizers::TEARDOWN)) {
        return draft.act(Some(Step::Release), Again::AtOnce);
    }
    at_rest(draft, wish)
}

/// Whether nobody knows if the run has left the savepoint that it was to end with.
fn is_unclear(draft: &Draft<'_>) -> bool {
    let failure = draft.run.failure.as_ref();
    failure.is_some_and(|failure| failure.reason == STOP_UNCLEAR)
}

/// Tells how the run has ended, and stores what follows.
fn told(mut draft: Draft<'_>, follows: &'static str) -> Decision {
    let name = draft.next.job_name.clone().unwrap_or_default();
    let why = draft.run.failure.clone().unwrap_or_default().message;
    draft.begin(follows);
    match follows {
        operations::FINISH => draft.moving(
            reasons::FINISHED,
            "The job came to its end by itself; its pods are being removed.",
        ),
        operations::RECOVER => {
            let message = format!("Job {name} has ended without being asked to: {why}");
            draft.note(EventReason::Recovering, message.clone());
            draft.moving("JobFailed", &message);
            draft.trouble("JobFailed", &why);
        }
        operations::RETRY => {
            let failures = draft
                .attempts()
                .job_creation
                .unwrap_or_default()
                .saturating_add(1);
            draft.attempts().job_creation = Some(failures);
            let most = draft.observed.deployment.spec.max_job_creation_attempts;
            let most = most.unwrap_or(MOST_STARTS).max(1);
            draft.note(
                EventReason::JobCreationFailed,
                format!("Job {name} could not be started: {why}"),
            );
            let message = if failures >= most {
                draft.begin(operations::FAIL);
                format!(
                    "The job could not be started in {failures} attempts (spec.maxJobCreationAttempts): {why}"
                )
            } else {
                format!("Attempt {failures} of {most} failed: {why}")
            };
            draft.moving(reasons::JOB_CREATION_FAILED, &message);
            draft.trouble(reasons::JOB_CREATION_FAILED, &message);
        }
        _ if is_unclear(&draft) => {
            draft.moving(STOP_UNCLEAR, &why);
            draft.trouble(STOP_UNCLEAR, &why);
        }
        _ => {
            let message = "The job was cancelled at Flink, not by Sluice; change spec.restartNonce to start it again.";
            draft.moving(reasons::CANCELLED, message);
            draft.trouble(reasons::CANCELLED, message);
        }
    }
    draft.act(None, Again::AtOnce)
}

enum Clear {
    Read,
    Remove(Vec<Made>),
}

/// Whether something is left, or may be.
fn clear(draft: &mut Draft<'_>) -> Option<Clear> {
    if !draft.observed.made.is_empty() {
        return Some(Clear::Remove(draft.observed.made.to_vec()));
    }
    let may_have_been = draft.held() > MilliCpu::ZERO || draft.next.operation.is_some();
    (may_have_been && draft.observed.proof == Proof::Watched).then_some(Clear::Read)
}

fn remove(mut draft: Draft<'_>, made: &[Made]) -> Decision {
    if draft.next.state != Some(DeploymentState::Transitioning) {
        draft.moving(reasons::STOPPING, "The pods are being removed.");
    }
    // Pods go with what they belong to; orphans are removed by themselves.
    let has_owner = |pod: &Made| {
        made.iter().any(|made| {
            matches!(made.kind, MadeKind::Deployment | MadeKind::Job)
                && made.role == pod.role
                && made.job == pod.job
        })
    };
    let going: Vec<Made> = made
        .iter()
        .filter(|made| !made.deleting && (made.kind != MadeKind::Pod || !has_owner(made)))
        .cloned()
        .collect();
    let step = (!going.is_empty()).then_some(Step::Delete(going));
    draft.act(step, Again::After(WAIT))
}

/// Nothing of it runs.
fn at_rest(mut draft: Draft<'_>, wish: Wish) -> Decision {
    if let Some(decision) = clear(&mut draft) {
        return match decision {
            Clear::Read => Decision::ReadAll,
            Clear::Remove(made) => remove(draft, &made),
        };
    }
    match wish {
        Wish::Run => wanted(draft),
        Wish::Suspend => suspended(draft),
        Wish::Cancel => cancelled(draft),
        Wish::Delete => {
            draft.nothing_left();
            let Decision::Act(mut plan) = draft.act(None, Again::OnNews) else {
                return Decision::ReadAll;
            };
            plan.finalizer = Finalizer::Remove;
            plan.notes.clear();
            Decision::Act(plan)
        }
    }
}

/// It asks to run and does not.
fn wanted(mut draft: Draft<'_>) -> Decision {
    let was = draft.operation().map(str::to_owned);
    let runs_the_spec = draft.runs_the_spec();
    let pause = match was.as_deref() {
        Some(operations::FINISH) if runs_the_spec => return finished(draft),
        // Whoever has changed the spec meanwhile has not known.
        Some(operations::FAIL) if is_unclear(&draft) => return failed(draft),
        Some(operations::FAIL) if runs_the_spec && !draft.is_new_spec() => return failed(draft),
        None if runs_the_spec && draft.before.state == Some(DeploymentState::Finished) => {
            return finished(draft);
        }
        None if draft.before.state == Some(DeploymentState::Failed) && !draft.is_new_spec() => {
            return draft.act(None, Again::OnNews);
        }
        Some(operations::RETRY) if runs_the_spec => {
            let failures = draft.attempts().job_creation.unwrap_or_default();
            backoff(failures)
        }
        Some(operations::RECOVER) => {
            let (start, end) = (draft.run.start_time.as_ref(), draft.run.end_time.as_ref());
            let lived = match (start, end) {
                (Some(start), Some(end)) => end.0.duration_since(start.0),
                _ => jiff::SignedDuration::MAX,
            };
            if lived < SHORT.try_into().unwrap_or_default() {
                PAUSE
            } else {
                Duration::ZERO
            }
        }
        _ => Duration::ZERO,
    };
    let left = pause.saturating_sub(draft.since(draft.run.end_time.as_ref()));
    if !left.is_zero() {
        return draft.act(None, Again::After(left.max(Duration::from_millis(100))));
    }
    start::start(draft, Which::Next)
}

/// What was asked for has failed, and nothing of it is left.
fn failed(mut draft: Draft<'_>) -> Decision {
    let failure = draft.next.failure.clone().unwrap_or_default();
    draft.nothing_left();
    draft.fail(
        &failure.reason,
        &failure.message,
        EventReason::TransitionFailed,
    );
    draft.act(None, Again::OnNews)
}

fn finished(mut draft: Draft<'_>) -> Decision {
    let text = "The job came to its end by itself.";
    draft.note_change(DeploymentState::Finished, EventReason::Finished, text);
    draft.rest(DeploymentState::Finished, reasons::FINISHED, text);
    draft.act(None, Again::OnNews)
}

/// It is to be suspended and does not run.
fn suspended(mut draft: Draft<'_>) -> Decision {
    match draft.operation() {
        Some(operations::FINISH) => return finished(draft),
        Some(operations::FAIL) if is_unclear(&draft) => return failed(draft),
        Some(operations::RECOVER) => {
            let why = draft.next.failure.clone().unwrap_or_default().message;
            draft.trouble(
                "SuspendFailed",
                &format!(
                    "The job ended before a savepoint was taken: {why}. Set spec.state to RUNNING to start it from its newest \
                     snapshot, or to CANCELLED."
                ),
            );
            return failed(draft);
        }
        None if draft.before.state == Some(DeploymentState::Finished) => return finished(draft),
        None if draft.before.state == Some(DeploymentState::Failed) && !draft.is_new_spec() => {
            return draft.act(None, Again::OnNews);
        }
        _ => {}
    }
    if let Some(name) = draft.run.savepoint_name.clone() {
        draft.next.latest_savepoint_name = Some(name);
    }
    let text = match &draft.next.latest_savepoint_name {
        Some(name) => format!(
            "The job does not run; its state is in Savepoint {name}. Set spec.state to RUNNING to go on."
        ),
        None => "The job does not run. Set spec.state to RUNNING to start it.".to_owned(),
    };
    if draft.next.job_name.is_some() {
        draft.note_change(DeploymentState::Suspended, EventReason::Suspended, &text);
    }
    draft.rest(DeploymentState::Suspended, reasons::SUSPENDED, &text);
    draft.act(None, Again::OnNews)
}

/// It is not to run, and does not.
fn cancelled(mut draft: Draft<'_>) -> Decision {
    if let Some(name) = draft.run.savepoint_name.clone() {
        draft.next.latest_savepoint_name = Some(name);
    }
    let text = "The job does not run. Set spec.state to RUNNING to start it.";
    if draft.next.job_name.is_some() {
        draft.note_change(DeploymentState::Cancelled, EventReason::Cancelled, text);
    }
    draft.rest(DeploymentState::Cancelled, reasons::CANCELLED, text);
    draft.act(None, Again::OnNews)
}
