//! Ending a run: with a savepoint or without, for good or to start it anew.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::reasons;
use sluice_api::events::EventReason;
use sluice_api::{Attempts, UpgradeKind};

use super::draft::{Draft, is_stop, operations};
use super::identity;
use super::settle::run_id;
use super::sight::{Answer, Plan, Step};
use super::start::{SOON, backoff};
use crate::flink::{Snapshot, TriggerId};
use crate::savepoint::{not_taken, place};

/// Savepoints that may fail before the suspension has, unless the spec says otherwise.
const MOST_ATTEMPTS: i32 = 4;
/// After this a cancellation has failed (`vvp-deployments.txt`).
const CANCEL_WITHIN: Duration = Duration::from_mins(3);
/// Between looks at a job that is about to end.
const LOOK: Duration = Duration::from_millis(500);
/// Between cancellations of a job that has not ended in that time.
const OVERDUE: Duration = Duration::from_secs(30);

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
    let strategy = draft.observed.job.spec.upgrade_strategy.as_ref();
    let starts_empty = draft
        .observed
        .job
        .spec
        .restore_strategy
        .as_ref()
        .and_then(|strategy| strategy.kind)
        == Some(sluice_api::RestoreKind::None);
    strategy
        .and_then(|strategy| strategy.kind)
        .unwrap_or(if starts_empty {
            UpgradeKind::Stateless
        } else {
            UpgradeKind::Stateful
        })
}

/// Stops the run with a savepoint, or sees to it that it goes on.
pub fn suspend(mut draft: Draft<'_>, purpose: Purpose) -> Plan {
    let Some(job) = run_id(&draft) else {
        return draft.plan(None, Some(SOON));
    };
    if draft.operation() == Some(operations::SUSPEND) {
        return stopping(draft, purpose);
    }
    let failures = draft
        .next
        .attempts
        .as_ref()
        .and_then(|all| all.savepoint_creation)
        .unwrap_or_default();
    let generation = draft.generation().unwrap_or_default();
    // A trigger of its own for every attempt: Flink would answer an older one with its outcome.
    let attempt = generation
        .saturating_mul(100)
        .saturating_add(i64::from(failures));
    let trigger = identity::trigger_id(&job, attempt);
    // Of the cluster that the run is on, which may be another one than the target, or FAILED and answer all the same.
    let (version, base) = match &draft.observed.at {
        Some(at) => (at.version, at.savepoints.clone()),
        None => (None, None),
    };
    let base = own_folder(&draft).or(base);
    let namespace = draft
        .observed
        .job
        .metadata
        .namespace
        .clone()
        .unwrap_or_default();
    let directory = base.map(|base| place::folder(&base, &namespace, draft.name(), &trigger));
    let trigger = TriggerId::may_be_chosen(version).then_some(trigger);
    let operation = draft.begin(operations::SUSPEND);
    operation.trigger_id = trigger.as_ref().map(|id| id.0.clone());
    operation.target_directory.clone_from(&directory);
    operation.failures = (failures > 0).then_some(failures);
    match purpose {
        Purpose::Asked => {
            draft.note(
                EventReason::Suspending,
                "The job is being stopped with a savepoint.",
            );
            draft.moving(
                reasons::STOPPING,
                "The job is being stopped with a savepoint.",
            );
        }
        Purpose::Upgrade => {
            draft.note(
                EventReason::Upgrading,
                "The spec has changed: the job is being stopped with a savepoint, to start from it anew.",
            );
            draft.moving(
                reasons::UPGRADING,
                "The job is being stopped with a savepoint, to start from it anew.",
            );
        }
    }
    let step = Step::Stop {
        job,
        directory,
        trigger,
    };
    draft.plan(Some(step), Some(LOOK))
}

/// Where the job's own configuration puts savepoints.
fn own_folder(draft: &Draft<'_>) -> Option<String> {
    place::configured(draft.observed.job.spec.flink_configuration.as_ref())
}

/// A stop is in progress.
fn stopping(mut draft: Draft<'_>, purpose: Purpose) -> Plan {
    let operation = draft.next.operation.clone().unwrap_or_default();
    let step = run_id(&draft).map(|job| Step::Stop {
        job,
        directory: operation.target_directory.clone(),
        trigger: operation.trigger_id.clone().map(TriggerId),
    });
    let (reason, message) = match purpose {
        Purpose::Asked => (
            reasons::STOPPING,
            "The job is being stopped with a savepoint.",
        ),
        Purpose::Upgrade => (
            reasons::UPGRADING,
            "The job is being stopped with a savepoint, to start from it anew.",
        ),
    };
    match draft.observed.stop.clone() {
        Some(Snapshot::Failed(why)) => failed(draft, &why),
        // Flink has never heard of it, or forgotten it: the same is asked again.
        Some(Snapshot::Unknown) => {
            draft.moving(reason, message);
            draft.plan(step, Some(SOON))
        }
        // Before 1.15, after a crash between the call and its answer.
        None if operation.trigger_id.is_none()
            && draft.operation_age() > Duration::from_secs(10) =>
        {
            if let Some(operation) = &mut draft.next.operation {
                operation.started_at = Some(Time(crate::runtime::conditions::whole_second(
                    draft.observed.now,
                )));
            }
            draft.moving(reason, message);
            draft.plan(step, Some(SOON))
        }
        _ => {
            draft.moving(reason, message);
            draft.plan(None, Some(LOOK))
        }
    }
}

/// A savepoint was not written; the job runs on.
fn failed(mut draft: Draft<'_>, why: &str) -> Plan {
    let before = draft.next.attempts.as_ref();
    let failures = before
        .and_then(|all| all.savepoint_creation)
        .unwrap_or_default()
        .saturating_add(1);
    draft.next.attempts = Some(Attempts {
        savepoint_creation: Some(failures),
        ..Attempts::default()
    });
    draft.next.operation = None;
    let most = draft.observed.job.spec.max_savepoint_creation_attempts;
    let most = most.unwrap_or(MOST_ATTEMPTS).max(1);
    if failures >= most {
        let message = not_taken::told(failures, why, draft.observed.job.spec.state);
        draft.fail(
            reasons::SAVEPOINT_CREATION_FAILED,
            &message,
            EventReason::TransitionFailed,
        );
        return draft.plan(None, Some(Duration::from_secs(10)));
    }
    draft.note(EventReason::SavepointFailed, why.to_owned());
    let message = format!("Savepoint {failures} of {most} failed, the job runs on: {why}");
    draft.moving(reasons::SAVEPOINT_CREATION_FAILED, &message);
    draft.next.failure = Some(sluice_api::Failure {
        reason: reasons::SAVEPOINT_CREATION_FAILED.to_owned(),
        message: why.to_owned(),
        failed_at: Some(Time(draft.now())),
    });
    draft.plan(None, Some(backoff(failures)))
}

/// Cancels the run.
pub fn cancel(mut draft: Draft<'_>, purpose: Purpose) -> Plan {
    let Some(job) = run_id(&draft) else {
        return draft.plan(None, Some(SOON));
    };
    let (reason, message) = match purpose {
        Purpose::Asked => (reasons::STOPPING, "The job is being cancelled."),
        Purpose::Upgrade => (
            reasons::UPGRADING,
            "The job is being cancelled, to start anew.",
        ),
    };
    if draft.operation() == Some(operations::CANCEL) {
        let age = draft.operation_age();
        if is_overdue(&draft) {
            let minutes = CANCEL_WITHIN.as_secs() / 60;
            let text = format!(
                "The job has not ended within {minutes} minutes of being cancelled and may still run; Sluice keeps trying. Stop the \
                 session cluster to end it at once."
            );
            draft.fail("CancellationFailed", &text, EventReason::CancellationFailed);
            // Kept, so that whatever becomes of it is taken for this.
            draft.next.operation.clone_from(&draft.before.operation);
            return draft.plan(Some(Step::Cancel(job)), Some(OVERDUE));
        }
        draft.moving(reason, message);
        // Asked again now and then: Flink forgets nothing, but a call may have been lost.
        let step = (age.as_secs() % 10 == 9).then_some(Step::Cancel(job));
        return draft.plan(step, Some(LOOK));
    }
    // A stop that may still come out is asked about until the end.
    let stop = draft.next.operation.take().filter(is_stop);
    let operation = draft.begin(operations::CANCEL);
    if let Some(stop) = stop {
        operation.trigger_id = stop.trigger_id;
        operation.target_directory = stop.target_directory;
    }
    match purpose {
        Purpose::Asked => draft.note(EventReason::Cancelling, message),
        Purpose::Upgrade => draft.note(
            EventReason::Upgrading,
            "The spec has changed: the job is being cancelled, to start anew.",
        ),
    }
    draft.moving(reason, message);
    draft.plan(Some(Step::Cancel(job)), Some(LOOK))
}

/// Whether a cancellation has taken too long.
fn is_overdue(draft: &Draft<'_>) -> bool {
    draft.operation() == Some(operations::CANCEL) && draft.operation_age() > CANCEL_WITHIN
}

/// What follows from Flink's answer to a stop or cancellation.
pub fn answered(mut draft: Draft<'_>, answer: &Answer) -> Plan {
    match answer {
        Answer::Stopping(trigger) => {
            if let Some(operation) = &mut draft.next.operation {
                operation.trigger_id = Some(trigger.0.clone());
            }
            draft.plan(None, Some(LOOK))
        }
        Answer::StopFailed(why) => failed(draft, why),
        // Each look at it cancels it again.
        Answer::Cancelling | Answer::NotSent(_) | Answer::Unclear(_) if is_overdue(&draft) => {
            draft.plan(None, Some(OVERDUE))
        }
        Answer::NotSent(_) | Answer::Unclear(_) => draft.plan(None, Some(backoff(1))),
        _ => draft.plan(None, Some(LOOK)),
    }
}
