//! Ending a run: with a savepoint or without, for good or to start it anew.

use std::time::Duration;

use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{JobState as RunState, RestoreKind, UpgradeKind};

use super::decide::keep_running;
use super::draft::{Draft, operations};
use super::frozen::stops;
use super::identity;
use super::settle::{Known, keep_checkpoint, run_id};
use super::sight::{Again, Answer, Decision, Step};
use super::snapshot::restore_kind;
use super::start::{WAIT, backoff, refused, spoilt};
use crate::flink::{JobId, JobState, Snapshot, TriggerId};
use crate::ledger::gate::Verdict;
use crate::runtime::conditions::Truth;
use crate::savepoint::not_taken;
use crate::savepoint::place::folder;

/// After this a cancellation has failed (`vvp-deployments.txt`).
pub const CANCEL_WITHIN: Duration = Duration::from_mins(3);
/// As has one that fails so often.
pub const CANCEL_FAILURES: i32 = 5;
/// Savepoints that may fail, unless the spec says otherwise.
const MOST_SAVEPOINTS: i32 = 4;
/// Between looks at a job that is about to end.
const LOOK: Duration = Duration::from_millis(500);
/// Until a cancellation that Flink has taken is asked for again.
const AGAIN: Duration = Duration::from_secs(10);

/// Why a run is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The spec says that it should not run.
    Asked,
    /// It is to run anew as the spec says.
    Upgrade,
}

/// What happens to a run whose spec has changed.
pub fn upgrade_kind(draft: &Draft<'_>) -> UpgradeKind {
    let strategy = draft.observed.deployment.spec.upgrade_strategy.as_ref();
    let starts_empty = restore_kind(draft.observed.deployment) == RestoreKind::None;
    let default = if starts_empty {
        UpgradeKind::Stateless
    } else {
        UpgradeKind::Stateful
    };
    strategy
        .and_then(|strategy| strategy.kind)
        .unwrap_or(default)
}

/// Replaces the run by one of the new spec. What the next one needs more is charged before this one is touched (decision
/// 17); where it is refused this one runs on.
pub fn upgrade(mut draft: Draft<'_>, kind: UpgradeKind, known: &Known) -> Decision {
    if let Some(why) = spoilt(&draft) {
        let message =
            format!("The job runs as it was started; what the spec says cannot be run: {why}");
        if draft.is_new_spec() {
            draft.note(EventReason::TransitionFailed, message.clone());
        }
        draft.begin_once(operations::UPGRADE);
        return keep_running(draft, known, Some(&(reasons::INVALID_SPEC, message)));
    }
    let demand = draft.observed.demand.clone().unwrap_or_default();
    if demand > draft.held() {
        let waiting = match &draft.observed.gate {
            None => return Decision::AskGate,
            Some(Verdict::Open) => None,
            Some(Verdict::NotCounted(why)) => Some((reasons::QUOTA_NOT_COUNTED, why.clone())),
            Some(Verdict::Refused(refusal)) => {
                let message = refusal.message("deployment", draft.name());
                refused(&mut draft, EventReason::GrowthRefused, &message);
                Some((reasons::CPU_QUOTA, message))
            }
        };
        if let Some(waiting) = waiting {
            draft.begin_once(operations::UPGRADE);
            return keep_running(draft, known, Some(&waiting));
        }
        draft.allocate(demand);
    }
    draft.over(types::QUOTA_EXCEEDED, "There is room for it.");
    match kind {
        UpgradeKind::None => keep_running(draft, known, None),
        UpgradeKind::Stateless => cancel(draft, Purpose::Upgrade, known),
        UpgradeKind::Stateful => suspend(draft, Purpose::Upgrade, known),
    }
}

const fn words(purpose: Purpose) -> (&'static str, &'static str) {
    match purpose {
        Purpose::Asked => (
            reasons::STOPPING,
            "The job is being stopped with a savepoint.",
        ),
        Purpose::Upgrade => (
            reasons::UPGRADING,
            "The job is being stopped with a savepoint, to start from it anew.",
        ),
    }
}

/// Stops the run with a savepoint, or sees to it that it goes on.
pub fn suspend(mut draft: Draft<'_>, purpose: Purpose, known: &Known) -> Decision {
    let (reason, message) = words(purpose);
    if draft.operation() == Some(operations::SUSPEND) {
        return stopping(draft, purpose, known);
    }
    let (Some(job), Some(run)) = (run_id(&draft), draft.next.job_name.clone()) else {
        return draft.act(None, Again::After(WAIT));
    };
    if let Known::Silent(why) = known {
        // Nothing is begun with a job that nobody can be asked about.
        let message =
            format!("The job is to be stopped with a savepoint; its state is not known: {why}");
        return keep_running(draft, known, Some(&(reasons::UNREACHABLE, message)));
    }
    let failures = draft.next.attempts.as_ref();
    let failures = failures
        .and_then(|all| all.savepoint_creation)
        .unwrap_or_default();
    if failures > 0 {
        let failed = draft.before.failure.as_ref();
        let since = draft.since(failed.and_then(|failure| failure.failed_at.as_ref()));
        let left = backoff(failures).saturating_sub(since);
        if !left.is_zero() {
            return draft.act(None, Again::After(left.max(Duration::from_millis(100))));
        }
    }
    let attempt = format!("{:?} {failures} {}", draft.generation(), draft.now());
    let trigger = identity::trigger_id(&job, &attempt);
    let directory = draft
        .observed
        .folder
        .as_deref()
        .map(|base| folder(base, draft.namespace(), &run, &trigger));
    let trigger = TriggerId::may_be_chosen(draft.observed.version).then_some(trigger);
    let operation = draft.begin(operations::SUSPEND);
    operation.trigger_id = trigger.as_ref().map(|id| id.0.clone());
    operation.target_directory.clone_from(&directory);
    let event = match purpose {
        Purpose::Asked => EventReason::Suspending,
        Purpose::Upgrade => EventReason::Upgrading,
    };
    draft.note(event, message);
    draft.moving(reason, message);
    let step = ask(&draft, job, directory, trigger);
    draft.act(Some(step), Again::After(LOOK))
}

/// What Flink is asked for so that a run ends with a savepoint.
fn ask(
    draft: &Draft<'_>,
    job: JobId,
    directory: Option<String>,
    trigger: Option<TriggerId>,
) -> Step {
    if stops(draft.observed.version) {
        Step::Stop {
            job,
            directory,
            trigger,
        }
    } else {
        Step::Savepoint { job, directory }
    }
}

/// A stop is in progress.
fn stopping(mut draft: Draft<'_>, purpose: Purpose, known: &Known) -> Decision {
    let operation = draft.next.operation.clone().unwrap_or_default();
    let step = run_id(&draft).map(|job| {
        let trigger = operation.trigger_id.clone().map(TriggerId);
        ask(&draft, job, operation.target_directory.clone(), trigger)
    });
    match known {
        Known::Silent(why) => {
            let message = format!(
                "The job is being stopped with a savepoint; how that stands is not known: {why}. Sluice keeps asking, so that the savepoint is \
                 not lost. Set spec.state to CANCELLED to end the job without one."
            );
            draft.moving(reasons::UNREACHABLE, &message);
        }
        Known::Ending | Known::In(..) => {
            let (reason, message) = words(purpose);
            draft.moving(reason, message);
        }
    }
    match draft.observed.stop.clone() {
        Some(Snapshot::Failed(why)) => not_stopped(draft, &why),
        // Flink has never heard of it, or forgotten it: the same is asked again.
        Some(Snapshot::Unknown) => draft.act(step, Again::After(WAIT)),
        // Before 1.15, after a crash between the call and its answer.
        None if operation.trigger_id.is_none() && draft.operation_age() > AGAIN => {
            let now = draft.now();
            if let Some(operation) = &mut draft.next.operation {
                operation.started_at =
                    Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
            }
            draft.act(step, Again::After(WAIT))
        }
        _ => draft.act(None, Again::After(LOOK)),
    }
}

/// A savepoint was not written; the job runs on.
fn not_stopped(mut draft: Draft<'_>, why: &str) -> Decision {
    let failures = draft.attempts().savepoint_creation.unwrap_or_default();
    let failures = failures.saturating_add(1);
    draft.attempts().savepoint_creation = Some(failures);
    draft.next.operation = None;
    draft.run.state = Some(RunState::Started);
    let most = draft
        .observed
        .deployment
        .spec
        .max_savepoint_creation_attempts;
    let most = most.unwrap_or(MOST_SAVEPOINTS).max(1);
    // Growth that was asked for during this stop is first given what it costs, as in every upgrade: what has failed costs what it holds.
    if failures >= most && !draft.asks_for_more() {
        let message = not_taken::told(failures, why, draft.observed.deployment.spec.state);
        draft.fail(
            reasons::SAVEPOINT_CREATION_FAILED,
            &message,
            EventReason::TransitionFailed,
        );
        return draft.act(None, Again::After(AGAIN));
    }
    draft.note(EventReason::SavepointFailed, why.to_owned());
    let message = format!("Savepoint {failures} of {most} failed, the job runs on: {why}");
    draft.moving(reasons::SAVEPOINT_CREATION_FAILED, &message);
    draft.trouble(reasons::SAVEPOINT_CREATION_FAILED, why);
    draft.act(None, Again::After(backoff(failures)))
}

/// Cancels the run. Within 3 minutes, or 5 failures, its cluster goes whatever Flink says.
pub fn cancel(mut draft: Draft<'_>, purpose: Purpose, known: &Known) -> Decision {
    let Some(job) = run_id(&draft) else {
        return draft.act(None, Again::After(WAIT));
    };
    let (reason, message) = match purpose {
        Purpose::Asked => (reasons::STOPPING, "The job is being cancelled."),
        Purpose::Upgrade => (
            reasons::UPGRADING,
            "The job is being cancelled, to start anew.",
        ),
    };
    let failures = draft.next.attempts.as_ref();
    let failures = failures
        .and_then(|all| all.cancellation)
        .unwrap_or_default();
    if draft.operation() == Some(operations::CANCEL) {
        let age = draft.operation_age();
        if age > CANCEL_WITHIN || failures >= CANCEL_FAILURES {
            let text = if age > CANCEL_WITHIN {
                format!(
                    "The job has not ended within {} minutes of being cancelled; its cluster is removed all the same.",
                    CANCEL_WITHIN.as_secs() / 60
                )
            } else {
                format!(
                    "The job could not be cancelled in {failures} attempts; its cluster is removed all the same."
                )
            };
            draft.note(EventReason::CancellationFailed, text);
            keep_checkpoint(&mut draft);
            return draft.conclude(RunState::Terminated);
        }
        draft.moving(reason, message);
        let is_taken = draft.run.state == Some(RunState::Terminating);
        let goes_on = matches!(known, Known::In(JobState::Running, _)) && age > AGAIN;
        let step = (!is_taken || goes_on).then_some(Step::Cancel(job));
        return draft.act(step, Again::After(LOOK));
    }
    // A stop that may still come out is asked about until the end.
    let stop = draft.next.operation.take();
    let operation = draft.begin(operations::CANCEL);
    if let Some(stop) = stop {
        operation.trigger_id = stop.trigger_id;
        operation.target_directory = stop.target_directory;
    }
    draft.attempts().cancellation = None;
    let event = match purpose {
        Purpose::Asked => EventReason::Cancelling,
        Purpose::Upgrade => EventReason::Upgrading,
    };
    draft.note(event, message);
    draft.moving(reason, message);
    draft.act(Some(Step::Cancel(job)), Again::After(LOOK))
}

/// What follows from Flink's answer to a stop or cancellation.
pub fn answered(mut draft: Draft<'_>, answer: &Answer) -> Decision {
    match answer {
        Answer::Stopping(trigger) => {
            draft.run.state = Some(RunState::Terminating);
            if let Some(operation) = &mut draft.next.operation {
                operation.trigger_id = Some(trigger.0.clone());
            }
            draft.act(None, Again::After(LOOK))
        }
        Answer::StopFailed(why) => not_stopped(draft, why),
        Answer::Cancelling => {
            draft.run.state = Some(RunState::Terminating);
            draft.act(None, Again::After(LOOK))
        }
        Answer::CancelFailed(_) | Answer::Unclear(_)
            if draft.operation() == Some(operations::CANCEL) =>
        {
            let failures = draft.attempts().cancellation.unwrap_or_default();
            draft.attempts().cancellation = Some(failures.saturating_add(1));
            draft.act(None, Again::After(backoff(1)))
        }
        Answer::Unclear(why) => {
            draft.condition(types::READY, Truth::False, reasons::UNREACHABLE, why);
            draft.act(None, Again::After(backoff(1)))
        }
        _ => draft.act(None, Again::After(LOOK)),
    }
}
