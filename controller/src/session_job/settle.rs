//! What has become of the newest run: what Flink and the session cluster say of it, written into the status. What follows
//! from it for the desired state is decided in [`super::decide`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::SavepointOrigin;

use super::draft::{Draft, is_stop, operations};
use super::identity;
use super::remains;
use super::sight::{Flink, Home, Record, Report};
use super::snapshot;
use super::unanswered;
use super::unrecorded;
use crate::flink::{JobId, JobState, Snapshot};
use crate::savepoint::unclear;

/// What is said of a job whose end nobody has seen.
const WHY_LOST: &str = "Its session cluster was stopped, or does not know the job any more.";

/// How the newest run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Life {
    /// There is none, or it ended before.
    None,
    /// It is over since just now.
    Ended(End),
    /// It is to be submitted, or may have been; Flink does not know it (yet).
    Pending(Pending),
    /// Flink has it, and it has not ended, as far as is known.
    Live(Known),
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Its JobManager is gone, or does not know it any more.
    Lost,
    /// The same while it was being stopped with a savepoint, of which nobody knows whether it was completed; what is told of it.
    Unclear(String),
    /// By itself.
    Finished,
    /// With the savepoint that was asked for.
    Stopped,
    /// It was cancelled.
    Canceled,
    /// It failed, for this reason.
    Failed(String),
}

/// What is known of a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Flink cannot be asked now.
    Unknown,
    /// Flink does not have the job, and nothing can be under way.
    NotThere,
    /// Flink does not have the job, but a submission was not answered.
    MaybeUnderWay,
}

/// What is known of a run that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Flink cannot be asked now, for this reason.
    Silent(String),
    /// It has ended; which snapshots it has left is not certain yet.
    Ending,
    /// This is Flink's word.
    In(JobState, Option<String>),
}

/// The run's id.
pub fn run_id(draft: &Draft<'_>) -> Option<JobId> {
    JobId::parse(draft.next.job_id.as_deref()?)
}

/// Whether the status says that Flink has the run.
fn was_live(draft: &Draft<'_>) -> bool {
    let word = draft.before.flink_state.as_deref();
    word.is_some_and(|word| !matches!(word, "FINISHED" | "CANCELED" | "FAILED"))
}

/// Writes what is seen of the newest run into the status.
pub fn settle(draft: &mut Draft<'_>) -> Life {
    if run_id(draft).is_none() {
        draft.next.operation = None;
        return Life::None;
    }
    if draft.operation() == Some(operations::START) {
        return submitted(draft);
    }
    if !was_live(draft) {
        return Life::None;
    }
    let observed = draft.observed;
    match (&observed.home, &observed.flink) {
        (Home::Gone, _) | (Home::Ready, Some(Flink::NoSuchJob)) => lost(draft),
        (Home::Away, Some(Flink::Job(report))) => {
            if let Some(location) = our_savepoint(draft) {
                return stopped(draft, location);
            }
            // What it says of the job on its way out is no word on the job, but its snapshots are the last ones.
            remember(draft, report);
            Life::Live(Known::Silent("its session cluster does not run".to_owned()))
        }
        (Home::Ready, Some(Flink::Job(report))) => reported(draft, report),
        (_, Some(Flink::Silent(reason))) => Life::Live(Known::Silent(reason.clone())),
        (Home::Away, _) => Life::Live(Known::Silent("its session cluster does not run".to_owned())),
        (Home::Ready, None) => Life::Live(Known::Silent("Flink has not been asked".to_owned())),
    }
}

/// A run whose submission is in progress.
fn submitted(draft: &mut Draft<'_>) -> Life {
    let observed = draft.observed;
    match (&observed.home, &observed.flink) {
        (Home::Gone, _) => {
            // Nothing has run, so nothing is lost.
            draft.next.operation = None;
            Life::None
        }
        (Home::Ready, Some(Flink::Job(report))) => {
            accepted(draft);
            reported(draft, report)
        }
        (Home::Ready, Some(Flink::NoSuchJob)) => {
            let begun = draft
                .next
                .attempts
                .as_ref()
                .and_then(|all| all.job_creation);
            let failed = draft.next.operation.as_ref().and_then(|all| all.failures);
            let answered = begun.unwrap_or_default() <= failed.unwrap_or_default();
            if answered || draft.operation_age() > unanswered::UNDER_WAY {
                Life::Pending(Pending::NotThere)
            } else {
                Life::Pending(Pending::MaybeUnderWay)
            }
        }
        _ => Life::Pending(Pending::Unknown),
    }
}

/// Flink has taken the run.
pub fn accepted(draft: &mut Draft<'_>) {
    draft.next.operation = None;
    draft.next.attempts = None;
    draft.next.start_time = Some(Time(draft.now()));
    draft.next.flink_state = Some(JobState::Created.as_str().to_owned());
}

/// Where the savepoint lies that the run was told to stop with, once Flink calls that complete. It says so when the job has ended, whatever
/// its caches still show of it, and however its cluster fares meanwhile.
fn our_savepoint(draft: &Draft<'_>) -> Option<String> {
    match &draft.observed.stop {
        Some(Snapshot::Completed(location)) if draft.may_be_stopped() => Some(location.clone()),
        _ => None,
    }
}

fn reported(draft: &mut Draft<'_>, report: &Report) -> Life {
    if let Some(location) = our_savepoint(draft) {
        return stopped(draft, location);
    }
    if report.state.is_terminal() && !report.is_last {
        return Life::Live(Known::Ending);
    }
    draft.next.flink_state = Some(report.state.as_str().to_owned());
    let has_had = draft.next.snapshot_location.is_some() || report.latest.completed.is_some();
    if report.state.is_terminal() {
        remains::forget_deleted(draft, report);
    }
    remember(draft, report);
    let end = match report.state {
        JobState::Finished if is_our_stop(draft, report) => End::Stopped,
        JobState::Finished => End::Finished,
        JobState::Canceled => End::Canceled,
        JobState::Failed => End::Failed(
            report
                .failure
                .clone()
                .unwrap_or_else(|| "Flink gives no reason".to_owned()),
        ),
        state => return Life::Live(Known::In(state, report.failure.clone())),
    };
    if matches!(end, End::Failed(_)) && !has_had {
        // It failed before its first snapshot. Flink itself would start it empty again.
        draft.next.start_time = None;
    }
    concluded(draft, end)
}

/// Keeps in mind where the newest snapshot is.
fn remember(draft: &mut Draft<'_>, report: &Report) {
    if let Some((location, time)) = snapshot::newest(&remains::of(report))
        && snapshot::of_status(&draft.next).is_none_or(|(_, known)| known <= time)
    {
        draft.next.snapshot_location = Some(location);
        draft.next.snapshot_time = Some(Time(time));
    }
}

/// The run is over, for good.
fn concluded(draft: &mut Draft<'_>, end: End) -> Life {
    match end {
        End::Stopped => keep(draft, SavepointOrigin::Suspend),
        End::Canceled | End::Failed(_) => keep(draft, SavepointOrigin::RetainedCheckpoint),
        // It has come to its end, and lacks nothing if it begins anew: what it goes on from, if anything, is what was stored before.
        End::Finished => draft.next.start_time = None,
        End::Lost | End::Unclear(_) => {}
    }
    draft.next.operation = None;
    Life::Ended(end)
}

/// The run was stopped, and this is its savepoint.
fn stopped(draft: &mut Draft<'_>, location: String) -> Life {
    draft.next.flink_state = Some(JobState::Finished.as_str().to_owned());
    if draft.next.snapshot_location.as_ref() != Some(&location) {
        draft.next.snapshot_location = Some(location);
        draft.next.snapshot_time = Some(Time(draft.now()));
    }
    keep(draft, SavepointOrigin::Suspend);
    draft.next.operation = None;
    Life::Ended(End::Stopped)
}

/// Whether the run ended since it was told to stop with a savepoint. A bounded job may end by itself meanwhile.
fn is_our_stop(draft: &Draft<'_>, report: &Report) -> bool {
    if !draft.may_be_stopped() {
        return false;
    }
    let operation = draft.next.operation.as_ref();
    let began = operation.and_then(|operation| operation.started_at.as_ref());
    let savepoint = report.latest.savepoint.as_ref();
    savepoint.is_some_and(|savepoint| {
        let completed = snapshot::millis(savepoint.latest_ack_timestamp);
        let slack = unrecorded::SLACK;
        savepoint.location().is_some() && began.is_none_or(|began| completed >= began.0 - slack)
    })
}

/// Nothing is left of the run but its snapshots.
fn lost(draft: &mut Draft<'_>) -> Life {
    let operation = draft.next.operation.take();
    let known = draft.next.snapshot_location.clone().filter(|_| {
        let mut stop = operation.iter().filter(|operation| is_stop(operation));
        stop.any(|stop| unrecorded::is_left_by(&draft.next, stop))
    });
    if let Some(location) = known {
        return stopped(draft, location);
    }
    draft.next.flink_state = None;
    keep(draft, SavepointOrigin::RetainedCheckpoint);
    Life::Ended(match operation.filter(is_stop) {
        None => End::Lost,
        Some(stop) => {
            let owner = match identity::of_deployment(draft.observed.job) {
                Some(_) => "deploymentName",
                None => "sessionJobName",
            };
            let folder = stop.target_directory.as_deref();
            End::Unclear(unclear::message(owner, draft.name(), folder, WHY_LOST))
        }
    })
}

/// Keeps the snapshot that the status speaks of as an object, unless one does so already.
fn keep(draft: &mut Draft<'_>, origin: SavepointOrigin) {
    let (Some((location, completed)), Some(job)) =
        (snapshot::of_status(&draft.next), run_id(draft))
    else {
        return;
    };
    let known = draft.observed.savepoints;
    if let Some(stored) = known.iter().find(|stored| stored.location == location) {
        draft.next.latest_savepoint_name = Some(stored.name.clone());
        return;
    }
    let run = draft.next.run.unwrap_or_default();
    let name = match origin {
        _ if identity::of_deployment(draft.observed.job).is_some() => {
            identity::snapshot_name(draft.name(), run, origin, &job)
        }
        SavepointOrigin::Suspend => identity::savepoint_name(draft.name(), run),
        _ => identity::checkpoint_name(draft.name(), run),
    };
    draft.next.latest_savepoint_name = Some(name.clone());
    draft.record = Some(Record {
        name,
        origin,
        job,
        location,
        completed,
    });
}
