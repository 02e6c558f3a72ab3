//! The decision: what is observed of a session job goes in, the next steps and its status come out.
//!
//! First what has become of the newest run is settled, then the newest desired state is worked towards from there. What is
//! asked for last wins over an operation in progress; only a stop with a savepoint, which cannot be called back, is seen to its
//! end.

use std::time::Duration;

use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{DeploymentState, DesiredState, UpgradeKind};

use super::draft::{Draft, has_finalizer, is_stop, operations};
use super::halt::{self, Purpose};
use super::identity;
use super::settle::{End, Known, Life, Pending, settle};
use super::sight::{Answer, Finalizer, Observed, Plan};
use super::snapshot::{Restore, choose};
use super::start::{self, SOON, backoff};
use super::unanswered;
use crate::flink::JobState;
use crate::runtime::conditions::Truth;
use crate::savepoint::unclear::STOP_UNCLEAR;

/// Between looks at a job that runs.
const RUNNING: Duration = Duration::from_secs(10);
/// For how long a job that runs is looked at as often as one that restarts: what is wrong with it shows soon.
const YOUNG: Duration = Duration::from_mins(1);
/// Between looks at a job that is about to run, or restarts.
const RESTARTING: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Run,
    Suspend,
    Cancel,
    Delete,
}

/// Decides.
pub fn decide(observed: &Observed<'_>) -> Plan {
    let mut draft = Draft::new(observed);
    if let Some(answer) = &observed.answer {
        return match answer {
            Answer::Submitted | Answer::SubmitFailed(_) | Answer::NotFetched(_) => {
                start::answered(draft, answer)
            }
            Answer::NotSent(_) | Answer::Unclear(_)
                if draft.operation() == Some(operations::START) =>
            {
                start::answered(draft, answer)
            }
            _ => halt::answered(draft, answer),
        };
    }
    let is_deleted = observed.job.metadata.deletion_timestamp.is_some();
    let wish = match observed.job.spec.state {
        _ if is_deleted => Wish::Delete,
        None | Some(DesiredState::Running) => Wish::Run,
        Some(DesiredState::Suspended) => Wish::Suspend,
        Some(DesiredState::Cancelled) => Wish::Cancel,
    };
    if !is_deleted && !has_finalizer(observed) {
        // Before anything runs; the write of it brings us back.
        return Plan {
            finalizer: Finalizer::Add,
            record: None,
            status: draft.before,
            notes: Vec::new(),
            step: None,
            again: Some(SOON),
        };
    }
    if draft.is_new_spec() && draft.next.operation.is_none() {
        draft.next.attempts = None;
    }
    match settle(&mut draft) {
        Life::None => at_rest(draft, wish, None),
        Life::Ended(end) => at_rest(draft, wish, Some(end)),
        Life::Pending(pending) => waiting(draft, wish, pending),
        Life::Live(known) => living(draft, wish, &known),
    }
}

/// Nothing of it runs.
fn at_rest(draft: Draft<'_>, wish: Wish, end: Option<End>) -> Plan {
    match wish {
        Wish::Run => wanted(draft, end),
        Wish::Suspend => suspended(draft, end),
        Wish::Cancel => cancelled(draft),
        Wish::Delete => deleted(draft, end),
    }
}

/// It is let go. A Deployment outlives its job and goes on from it: an end that it would take for another is stored for it to see first.
fn deleted(draft: Draft<'_>, end: Option<End>) -> Plan {
    let is_of_deployment = identity::of_deployment(draft.observed.job).is_some();
    let was_stopping = draft.before.operation.as_ref().is_some_and(is_stop);
    let mut plan = match end.filter(|_| is_of_deployment) {
        Some(End::Unclear(message)) => unclear(draft, &message),
        Some(End::Finished) => finished(draft),
        Some(_) if was_stopping => cancelled(draft),
        _ => {
            let mut plan = draft.plan(None, None);
            plan.finalizer = Finalizer::Remove;
            if !is_of_deployment {
                // It would be gone with the job.
                plan.record = None;
            }
            plan.notes.clear();
            return plan;
        }
    };
    plan.notes.clear();
    plan.again = Some(SOON);
    plan
}

/// It asks to run and does not.
fn wanted(mut draft: Draft<'_>, end: Option<End>) -> Plan {
    let operation = draft.before.operation.clone();
    let was = operation.and_then(|operation| operation.kind);
    match end {
        Some(End::Finished) if draft.runs_the_spec() => {
            return finished(draft);
        }
        // A run that Flink gives up while it is submitted is not submitted for ever; a changed spec is another try.
        Some(End::Failed(cause))
            if draft.runs_the_spec()
                && !draft.is_new_spec()
                && was.as_deref().is_none_or(|was| was == operations::START) =>
        {
            return failed(draft, &cause);
        }
        Some(End::Canceled)
            if was.as_deref() != Some(operations::CANCEL) && draft.runs_the_spec() =>
        {
            draft.fail(
                reasons::CANCELLED,
                "The job was cancelled at Flink, not by Sluice; change spec.restartNonce to start it again.",
                EventReason::TransitionFailed,
            );
            return draft.plan(None, None);
        }
        // Whoever has changed the spec meanwhile has not known.
        Some(End::Unclear(message)) => return unclear(draft, &message),
        Some(End::Lost) => {
            let text = match &draft.next.snapshot_location {
                Some(location) => format!(
                    "The job has ended with its JobManager; it starts again from {location}."
                ),
                None => {
                    "The job has ended with its JobManager, before its first snapshot.".to_owned()
                }
            };
            draft.note(EventReason::Recovering, text);
        }
        Some(_) => {}
        None => match draft.before.state {
            Some(DeploymentState::Finished) if draft.runs_the_spec() => return finished(draft),
            Some(DeploymentState::Failed) if stays_failed(&draft) => return rest_failed(draft),
            _ => {}
        },
    }
    let reason = if was.is_some() && draft.before.start_time.is_some() {
        reasons::UPGRADING
    } else {
        reasons::STARTING
    };
    start::start(draft, reason)
}

/// Whether a failure is still the last word: nobody has changed anything since.
fn stays_failed(draft: &Draft<'_>) -> bool {
    let failure = draft.before.failure.as_ref();
    let had_no_state = failure.is_some_and(|failure| failure.reason == reasons::NO_STATE);
    let has_now = had_no_state && matches!(choose(draft), Restore::From { .. });
    !draft.is_new_spec() && !has_now
}

fn rest_failed(mut draft: Draft<'_>) -> Plan {
    draft.next.operation = None;
    draft.plan(None, None)
}

fn finished(mut draft: Draft<'_>) -> Plan {
    let text = "The job came to its end by itself.";
    draft.note_change(DeploymentState::Finished, EventReason::Finished, text);
    draft.rest(DeploymentState::Finished, reasons::FINISHED, text);
    draft.plan(None, None)
}

/// Flink has given the job up.
fn failed(mut draft: Draft<'_>, cause: &str) -> Plan {
    let message = format!("The job failed, and Flink's restart strategy has given it up: {cause}");
    draft.fail("JobFailed", &message, EventReason::TransitionFailed);
    draft.plan(None, None)
}

/// Whether it has left the savepoint that it was to stop with is not known.
fn unclear(mut draft: Draft<'_>, message: &str) -> Plan {
    draft.fail(STOP_UNCLEAR, message, EventReason::TransitionFailed);
    draft.plan(None, None)
}

/// It is to be suspended and does not run.
fn suspended(mut draft: Draft<'_>, end: Option<End>) -> Plan {
    match end {
        Some(End::Unclear(message)) => return unclear(draft, &message),
        Some(End::Finished) => return finished(draft),
        Some(End::Failed(cause)) => return failed(draft, &cause),
        None if draft.before.state == Some(DeploymentState::Finished) => return finished(draft),
        None if draft.before.state == Some(DeploymentState::Failed) && !draft.is_new_spec() => {
            return rest_failed(draft);
        }
        _ => {}
    }
    let text = match &draft.next.snapshot_location {
        Some(location) => format!(
            "The job does not run; its state is in {location}. Set spec.state to RUNNING to go on."
        ),
        None => "The job does not run. Set spec.state to RUNNING to start it.".to_owned(),
    };
    if draft.before.run.is_some() {
        draft.note_change(DeploymentState::Suspended, EventReason::Suspended, &text);
    }
    draft.rest(DeploymentState::Suspended, reasons::SUSPENDED, &text);
    draft.plan(None, None)
}

/// It is not to run, and does not.
fn cancelled(mut draft: Draft<'_>) -> Plan {
    let text = "The job does not run. Set spec.state to RUNNING to start it.";
    if draft.before.run.is_some() {
        draft.note_change(DeploymentState::Cancelled, EventReason::Cancelled, text);
    }
    draft.rest(DeploymentState::Cancelled, reasons::CANCELLED, text);
    draft.plan(None, None)
}

/// A submission is in progress.
fn waiting(mut draft: Draft<'_>, wish: Wish, pending: Pending) -> Plan {
    let still_wanted = wish == Wish::Run && draft.runs_the_spec();
    match pending {
        Pending::NotThere if still_wanted && !draft.is_new_spec() && unanswered::is(&draft) => {
            unanswered::count(draft)
        }
        // The same id again: Flink takes it once, should an unanswered submission come first. A changed spec gets a run of its
        // own: Flink may remember the refused one under the old id.
        Pending::NotThere if still_wanted && !draft.is_new_spec() => start::again(draft),
        Pending::MaybeUnderWay if still_wanted && unanswered::is(&draft) => {
            unanswered::waited_for(draft)
        }
        Pending::MaybeUnderWay if still_wanted => start::again(draft),
        Pending::NotThere => {
            draft.next.operation = None;
            at_rest(draft, wish, None)
        }
        Pending::MaybeUnderWay => {
            // Should it be wanted again meanwhile.
            let failure = draft.next.failure.clone();
            draft.moving(
                reasons::STOPPING,
                "A submission was not answered; Sluice waits until it has come out, so that no job is left behind.",
            );
            draft.next.failure = failure;
            draft.plan(None, Some(SOON))
        }
        Pending::Unknown => {
            // One look that was not answered makes no other submission of this one.
            let failure = draft.next.failure.clone();
            draft.moving(
                reasons::UNREACHABLE,
                "Whether Flink has the job is not known yet.",
            );
            draft.next.failure = failure;
            draft.plan(None, Some(backoff(2)))
        }
    }
}

/// It runs, as far as is known.
fn living(draft: Draft<'_>, wish: Wish, known: &Known) -> Plan {
    let failed_for_good = draft.before.state == Some(DeploymentState::Failed)
        && !draft.is_new_spec()
        && draft.next.operation.is_none();
    let stopping = draft.operation() == Some(operations::SUSPEND);
    let cancelling = draft.operation() == Some(operations::CANCEL);
    let known = match known {
        Known::Silent(reason) => return silent(draft, reason),
        Known::Ending => {
            // Nothing is done about a spec that has changed until the end is known: it is still to be seen.
            let seen = draft.before.observed_generation;
            let mut plan = draft.plan(None, Some(SOON));
            plan.status.observed_generation = seen;
            return plan;
        }
        Known::In(state, failure) => (*state, failure.as_deref()),
    };
    match wish {
        Wish::Run if stopping => {
            // It cannot be called back. The job starts again from the savepoint.
            halt::suspend(draft, Purpose::Upgrade)
        }
        Wish::Run if cancelling => halt::cancel(draft, Purpose::Upgrade),
        Wish::Run if draft.runs_the_spec() => running(draft, known),
        Wish::Run => match halt::upgrade_kind(&draft) {
            _ if failed_for_good => draft.plan(None, Some(RUNNING)),
            UpgradeKind::None => running(draft, known),
            UpgradeKind::Stateful => retried(draft, Purpose::Upgrade),
            UpgradeKind::Stateless => halt::cancel(draft, Purpose::Upgrade),
        },
        Wish::Suspend if cancelling => halt::cancel(draft, Purpose::Asked),
        Wish::Suspend if failed_for_good => draft.plan(None, Some(RUNNING)),
        Wish::Suspend => retried(draft, Purpose::Asked),
        Wish::Cancel | Wish::Delete => halt::cancel(draft, Purpose::Asked),
    }
}

/// A stop with a savepoint, not sooner after one that failed than it should be.
fn retried(draft: Draft<'_>, purpose: Purpose) -> Plan {
    let attempts = draft.next.attempts.as_ref();
    let failures = attempts.and_then(|all| all.savepoint_creation);
    let failed_at = draft.before.failure.as_ref();
    let failed_at = failed_at.and_then(|failure| failure.failed_at.as_ref());
    if let (Some(failures), Some(failed_at)) = (failures, failed_at)
        && draft.next.operation.is_none()
    {
        let age = draft.observed.now.duration_since(failed_at.0);
        let left = backoff(failures).saturating_sub(age.try_into().unwrap_or_default());
        if !left.is_zero() {
            return draft.plan(None, Some(left.max(Duration::from_millis(100))));
        }
    }
    halt::suspend(draft, purpose)
}

/// Flink cannot be asked.
fn silent(mut draft: Draft<'_>, reason: &str) -> Plan {
    let message = format!("What the job does is not known: {reason}");
    draft.condition(types::READY, Truth::False, reasons::UNREACHABLE, &message);
    draft.plan(None, Some(backoff(3)))
}

/// It runs as it should.
fn running(mut draft: Draft<'_>, (state, failure): (JobState, Option<&str>)) -> Plan {
    draft.next.operation = None;
    draft.next.attempts = None;
    let is_up = state == JobState::Running;
    if !is_up && draft.before.state != Some(DeploymentState::Running) {
        let message = match failure {
            Some(cause) => format!("Flink says {}: {cause}", state.as_str()),
            None => format!("Flink says {}.", state.as_str()),
        };
        draft.moving(reasons::STARTING, &message);
        return draft.plan(None, Some(RESTARTING));
    }
    draft.note_change(
        DeploymentState::Running,
        EventReason::Started,
        "The job runs.",
    );
    draft.next.state = Some(DeploymentState::Running);
    draft.next.failure = None;
    let message = if draft.runs_the_spec() {
        "The job runs as the spec says."
    } else {
        "The job runs as it was started; the spec has changed since, and upgradeStrategy NONE leaves it alone."
    };
    draft.condition(types::PROGRESSING, Truth::False, reasons::RUNNING, message);
    if is_up {
        draft.condition(types::READY, Truth::True, reasons::RUNNING, message);
        let since = draft.next.start_time.as_ref();
        let age = since.map(|since| draft.observed.now.duration_since(since.0));
        let is_young = age.is_some_and(|age| age < YOUNG.try_into().unwrap_or_default());
        draft.plan(None, Some(if is_young { RESTARTING } else { RUNNING }))
    } else {
        let cause = failure.unwrap_or("Flink gives no reason");
        let message = format!("Flink says {}: {cause}", state.as_str());
        draft.condition(types::READY, Truth::False, "Restarting", &message);
        draft.plan(None, Some(RESTARTING))
    }
}
