//! Its SessionJob goes, or is gone, perhaps by somebody else's hand: what is not forgotten with it. That its job came to its end by itself, and
//! that nobody knows of its last savepoint, until somebody who was told has changed the Deployment.

use jiff::SignedDuration;
use sluice_api::conditions::reasons;
use sluice_api::{
    DeploymentState, Failure, Operation, SavepointOrigin, SessionJob, SessionJobStatus,
};

use super::decide::{Plan, SOON, Wish, is_live};
use super::tell::Telling;
use crate::deployment::sight::{Again, Stored};
use crate::savepoint::unclear::{self, STOP_UNCLEAR};
use crate::session_job::draft::is_stop;

/// Clocks differ, and times are stored to the second.
const SLACK: SignedDuration = SignedDuration::from_mins(1);
/// What is said of a job whose end went with its SessionJob.
const WHY_GONE: &str =
    "Its SessionJob was deleted meanwhile, and no Savepoint of this stop is known.";

/// Its SessionJob is on its way out. Where somebody else has deleted it, what it says now is all that will be known of its job's end.
pub fn going(mut telling: Telling<'_>, wish: Wish, stays: bool, job: &SessionJob) -> Plan {
    if matches!(wish, Wish::Run | Wish::Suspend)
        && let Some(status) = &job.status
        && !is_live(status)
    {
        if is_untold(&telling, wish, status) {
            telling.tell(status);
            if wish == Wish::Run && !stays {
                telling.leaving();
            }
            return telling.plan(None, Again::After(SOON));
        }
        if stays && status.state == Some(DeploymentState::Finished) {
            telling.tell(status);
            return telling.unseen().plan(None, Again::After(SOON));
        }
    }
    let said = job.status.as_ref();
    let said = said.and_then(|status| status.operation.clone());
    if said.as_ref().is_some_and(is_stop) || telling.next.operation.as_ref().is_some_and(is_stop) {
        telling.next.operation = said;
    }
    telling.moving(reasons::STOPPING, "The SessionJob is being removed.");
    telling.unseen().plan(None, Again::After(SOON))
}

/// What is not forgotten with its SessionJob, whoever has deleted that: that its job came to its end by itself, and that nobody knows whether it
/// has left a savepoint. `None`: neither, or somebody who was told has changed the Deployment since.
pub fn remembered(
    telling: &Telling<'_>,
    wish: Wish,
    stays: bool,
    savepoints: &[Stored],
) -> Option<Plan> {
    if !matches!(wish, Wish::Run | Wish::Suspend) {
        return None;
    }
    let mut telling = telling.clone();
    let before = telling.before.clone();
    if let Some(stop) = before.operation.filter(is_stop)
        && !savepoints.iter().any(|stored| is_left_by(stored, &stop))
    {
        let folder = stop.target_directory.as_deref();
        let message = unclear::message("deploymentName", telling.name(), folder, WHY_GONE);
        telling.next.operation = None;
        telling.fail(STOP_UNCLEAR, &message);
        if wish == Wish::Run && !stays {
            telling.leaving();
        }
        return Some(telling.plan(None, Again::OnNews));
    }
    let is_new = before.observed_generation != telling.deployment.metadata.generation;
    let has_finished = stays && !is_new && before.state == Some(DeploymentState::Finished);
    let is_unclear = is_unclear(before.failure.as_ref()) && !goes_on_all_the_same(&telling);
    (has_finished || is_unclear).then(|| telling.plan(None, Again::OnNews))
}

/// Whether a Savepoint is what this stop has left: it lies in the stop's own folder, or is as new where that is Flink's to choose.
fn is_left_by(stored: &Stored, stop: &Operation) -> bool {
    let folder = stop.target_directory.as_deref();
    let is_where = match folder.and_then(|folder| folder.rsplit('/').next()) {
        Some(folder) => stored.location.contains(folder),
        None => stop
            .started_at
            .as_ref()
            .is_none_or(|began| stored.completed >= began.0 - SLACK),
    };
    stored.origin == SavepointOrigin::Suspend && is_where
}

/// Whether this is what nobody knows of a stop.
pub(super) fn is_unclear(failure: Option<&Failure>) -> bool {
    failure.is_some_and(|failure| failure.reason == STOP_UNCLEAR)
}

/// Whether nobody knows of its last savepoint, and nothing goes on before somebody has been told so.
pub fn is_untold(telling: &Telling<'_>, wish: Wish, status: &SessionJobStatus) -> bool {
    let may_lose = matches!(wish, Wish::Run | Wish::Suspend);
    may_lose && is_unclear(status.failure.as_ref()) && !goes_on_all_the_same(telling)
}

/// Whether somebody who was told that nobody knows of its last savepoint has changed the Deployment since. What follows takes more than one
/// look, and the state is another one from the first on.
fn goes_on_all_the_same(telling: &Telling<'_>) -> bool {
    let before = &telling.before;
    let has_changed = before.observed_generation != telling.deployment.metadata.generation;
    let has_begun = before.state != Some(DeploymentState::Failed);
    is_unclear(before.failure.as_ref()) && (has_changed || has_begun)
}
