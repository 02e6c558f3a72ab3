//! Nothing of a Deployment runs: what is asked for now follows.

use std::time::Duration;

use sluice_api::DeploymentState;
use sluice_api::conditions::reasons;
use sluice_api::events::EventReason;

use super::decide::{SHORT, Wish};
use super::draft::{Draft, operations};
use super::over::{Clear, clear, has_failed_unclear, remove};
use super::sight::{Again, Decision, Finalizer};
use super::start::{self, Which, backoff};

/// Before one that has lived short is started again.
const PAUSE: Duration = Duration::from_secs(10);

/// Nothing of it runs.
pub(super) fn at_rest(mut draft: Draft<'_>, wish: Wish) -> Decision {
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
    // Somebody may have removed the run's record before nothing was left of it.
    let ran_the_spec = runs_the_spec || (draft.observed.run.is_none() && !draft.is_new_spec());
    let pause = match was.as_deref() {
        Some(operations::FINISH) if ran_the_spec => return finished(draft),
        // Whoever has changed the spec meanwhile has not known.
        Some(operations::FAIL) if has_failed_unclear(&draft) => return failed(draft),
        Some(operations::FAIL) if ran_the_spec && !draft.is_new_spec() => return failed(draft),
        // Nobody has asked for another run since, even if the record of this one is gone.
        None if (runs_the_spec || !draft.is_new_spec())
            && draft.before.state == Some(DeploymentState::Finished) =>
        {
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
        Some(operations::FAIL) if has_failed_unclear(&draft) => return failed(draft),
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
