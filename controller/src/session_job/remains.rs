//! Which of its snapshots a run has left once it has ended. Flink deletes a run's checkpoints when it comes to its end by itself, and where it is
//! told to when it is cancelled or fails; what the status says of the newest one then names data that is not there any more.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::draft::Draft;
use super::settle::run_id;
use super::sight::Report;
use super::snapshot;
use crate::flink::JobState;
use crate::flink::types::Latest;

/// What Flink tells of, as far as it stays. It may not say of the checkpoints of a finished run yet that they are deleted.
pub fn of(report: &Report) -> Latest {
    let mut latest = report.latest.clone();
    if report.state == JobState::Finished {
        latest.completed = None;
    }
    latest
}

/// Takes back what the status says of the newest snapshot, where that went with the run: the newest that is stored is the newest again. A
/// JobManager that has taken the job over does not tell of the checkpoints before it, so that it says nothing is no proof.
pub fn forget_deleted(draft: &mut Draft<'_>, report: &Report) {
    let Some((location, _)) = snapshot::of_status(&draft.next) else {
        return;
    };
    let completed = report.latest.completed.as_ref();
    let is_deleted = completed.is_some_and(|checkpoint| checkpoint.discarded);
    if report.state != JobState::Finished && !is_deleted {
        return;
    }
    let stored = draft.observed.savepoints;
    let is_stored = stored.iter().any(|stored| stored.location == location);
    if is_stored || stands(report, &location) || !is_of_the_run(draft, &location) {
        return;
    }
    let newest = stored
        .iter()
        .max_by(|a, b| (a.completed, &a.name).cmp(&(b.completed, &b.name)));
    draft.next.snapshot_location = newest.map(|newest| newest.location.clone());
    draft.next.snapshot_time = newest.map(|newest| Time(newest.completed));
    draft.next.latest_savepoint_name = newest.map(|newest| newest.name.clone());
}

/// Whether Flink says that the data is there: of the run's own snapshots, or because it was started from it and does not own it.
fn stands(report: &Report, location: &str) -> bool {
    let latest = of(report);
    let own = [&latest.completed, &latest.savepoint];
    let is_own = own
        .into_iter()
        .flatten()
        .any(|own| own.location() == Some(location));
    let restored = latest.restored.as_ref();
    let restored = restored.filter(|restored| restored.is_savepoint);
    is_own || restored.is_some_and(|one| one.external_path.as_deref() == Some(location))
}

/// Whether the run has taken it: its folder bears the run's id, or it is younger than the run where Flink makes no such folders. What a
/// run was started from stays, though it is known to the status only.
fn is_of_the_run(draft: &Draft<'_>, location: &str) -> bool {
    let id = run_id(draft);
    let bears_its_id = id.is_some_and(|id| location.contains(id.as_str()));
    let (completed, began) = (&draft.next.snapshot_time, &draft.next.start_time);
    let is_younger = match (completed, began) {
        (Some(completed), Some(began)) => completed.0 >= began.0,
        _ => false,
    };
    bears_its_id || is_younger
}
