//! A run that is over: how it has ended is told, and stored with what follows; then what is left of it goes, and it is let go of. What comes
//! then is [`super::rest`]'s.

use sluice_api::DeploymentState;
use sluice_api::JobState as RunState;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::names::finalizers;
use sluice_policy::MilliCpu;

use super::decide::Wish;
use super::draft::{Draft, operations};
use super::rest::at_rest;
use super::settle::SHUT_DOWN;
use super::sight::{Again, Decision, Step};
use super::start::WAIT;
use crate::objects::MadeKind;
use crate::runtime::conditions::Truth;
use crate::runtime::made::Made;
use crate::runtime::remaining;
use crate::savepoint::unclear::STOP_UNCLEAR;
use crate::session_cluster::decide::Proof;

/// Starts that may fail, unless the spec says otherwise.
const MOST_STARTS: i32 = 4;

/// The run is over: what that means is told, its cluster goes, and then comes what is asked for.
pub(super) fn over(mut draft: Draft<'_>, wish: Wish, state: RunState) -> Decision {
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
        // A program that ends so would be run again after each end, with all that it does.
        (RunState::Failed, _) if wish == Wish::Run && was_shut_down(&draft) => {
            Some(operations::FAIL)
        }
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
        draft.is_seen = false;
        return draft.act(Some(Step::Release), Again::AtOnce);
    }
    at_rest(draft, wish)
}

/// Whether nobody knows if the run has left the savepoint that it was to end with.
pub(super) fn is_unclear(draft: &Draft<'_>) -> bool {
    let failure = draft.run.failure.as_ref();
    failure.is_some_and(|failure| failure.reason == STOP_UNCLEAR)
}

/// Whether somebody has ended the JobManager well, be it the program.
fn was_shut_down(draft: &Draft<'_>) -> bool {
    let failure = draft.run.failure.as_ref();
    failure.is_some_and(|failure| failure.reason == SHUT_DOWN)
}

/// The same of a run that has failed: the status says so too, should the run's record be gone by now.
pub(super) fn has_failed_unclear(draft: &Draft<'_>) -> bool {
    let failure = draft.next.failure.as_ref();
    let is_told = failure.is_some_and(|failure| failure.reason == STOP_UNCLEAR);
    is_unclear(draft) || (is_told && draft.observed.run.is_none())
}

/// Tells how the run has ended, and stores what follows.
fn told(mut draft: Draft<'_>, follows: &'static str) -> Decision {
    if !draft.runs_the_spec() {
        // What follows does not see to it: it is still looked at when nothing of the run is left, not even its record.
        draft.is_seen = false;
    }
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
        _ if was_shut_down(&draft) => {
            let message = format!("{why} Change spec.restartNonce to start the job again.");
            draft.moving(SHUT_DOWN, &message);
            draft.trouble(SHUT_DOWN, &message);
        }
        _ => {
            let message = "The job was cancelled at Flink, not by Sluice; change spec.restartNonce to start it again.";
            draft.moving(reasons::CANCELLED, message);
            draft.trouble(reasons::CANCELLED, message);
        }
    }
    draft.act(None, Again::AtOnce)
}

pub(super) enum Clear {
    Read,
    Remove(Vec<Made>),
}

/// Whether something is left, or may be.
pub(super) fn clear(draft: &mut Draft<'_>) -> Option<Clear> {
    if !draft.observed.made.is_empty() {
        return Some(Clear::Remove(draft.observed.made.to_vec()));
    }
    let may_have_been = draft.held() > MilliCpu::ZERO || draft.next.operation.is_some();
    (may_have_been && draft.observed.proof == Proof::Watched).then_some(Clear::Read)
}

/// Removes these, whatever the spec says.
pub(super) fn remove(mut draft: Draft<'_>, made: &[Made]) -> Decision {
    draft.is_seen = false;
    if !draft.is_at_rest() && draft.next.state != Some(DeploymentState::Transitioning) {
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
        .filter(|made| !made.is_going() && (made.kind != MadeKind::Pod || !has_owner(made)))
        .cloned()
        .collect();
    if going.is_empty() && !draft.is_at_rest() {
        // The cause of it all stays in the other condition.
        let message = remaining::told(made, draft.observed.now);
        draft.condition(types::PROGRESSING, Truth::True, reasons::STOPPING, &message);
    }
    let step = (!going.is_empty()).then_some(Step::Delete(going));
    draft.act(step, Again::After(WAIT))
}
