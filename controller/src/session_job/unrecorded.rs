//! A snapshot that no Savepoint object can be made of: the API server refuses it, because a `ResourceQuota` is exhausted or another webhook says no.
//! Where the snapshot is stays in the job's status meanwhile, whatever becomes of its JobManager; what follows waits.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{DeploymentState, Operation, SessionJob, SessionJobStatus};

use super::sight::Record;
use crate::runtime::conditions::{self, Truth};
use crate::runtime::events::Note;
use crate::savepoint::refused;

/// After the first refusal.
const FIRST: Duration = Duration::from_secs(2);
/// Between tries from then on.
const AGAIN: Duration = Duration::from_secs(30);
/// Clocks differ; no other stop can have been between the last one and this.
pub(super) const SLACK: jiff::SignedDuration = jiff::SignedDuration::from_mins(1);

/// What is told of a refusal.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Told {
    /// The status, whether it has changed or not. The end of the run is not in it: it is concluded again, and kept again.
    pub(super) status: SessionJobStatus,
    /// What is news, once that is stored.
    pub(super) note: Option<Note>,
    /// When to try again.
    pub(super) again: Duration,
}

/// A record was refused in these words.
pub(super) fn tell(job: &SessionJob, record: &Record, why: &str, now: Timestamp) -> Told {
    let mut next = job.status.clone().unwrap_or_default();
    let known = conditions::get(&next.conditions, types::READY);
    let is_news = known.is_none_or(|known| known.reason != reasons::OBJECT_REFUSED);
    if !is_news && next.snapshot_location.as_deref() == Some(record.location.as_str()) {
        // Words that are others at each try must not have the status written at each: that wakes the job again.
        return Told {
            status: next,
            note: None,
            again: AGAIN,
        };
    }
    next.snapshot_location = Some(record.location.clone());
    next.snapshot_time = Some(Time(record.completed));
    next.latest_savepoint_name = None;
    let message = refused::told(&record.name, &record.location, why);
    next.state = Some(DeploymentState::Transitioning);
    let generation = job.metadata.generation;
    for (kind, truth) in [
        (types::READY, Truth::False),
        (types::PROGRESSING, Truth::True),
    ] {
        let all = &mut next.conditions;
        let reason = reasons::OBJECT_REFUSED;
        conditions::set(all, kind, truth, reason, &message, generation, now);
    }
    Told {
        status: next,
        note: is_news.then(|| Note::new(EventReason::SavepointFailed, message)),
        again: if is_news { FIRST } else { AGAIN },
    }
}

/// Whether the newest snapshot that a status speaks of is the one that this stop was to leave: then it is complete, though no object says so.
pub(super) fn is_left_by(status: &SessionJobStatus, stop: &Operation) -> bool {
    let Some(location) = status.snapshot_location.as_deref() else {
        return false;
    };
    let folder = stop.target_directory.as_deref();
    if let Some(folder) = folder.and_then(|folder| folder.rsplit('/').next()) {
        return location.contains(folder);
    }
    // In a folder of Flink's choice.
    let is_savepoint = location
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .is_some_and(|last| last.starts_with("savepoint-"));
    let (completed, began) = (status.snapshot_time.as_ref(), stop.started_at.as_ref());
    let is_as_new = match (completed, began) {
        (Some(completed), Some(began)) => completed.0 >= began.0 - SLACK,
        _ => false,
    };
    is_savepoint && is_as_new
}
