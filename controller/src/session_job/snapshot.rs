//! Which snapshot a start restores from (decisions 22 and 26).

use jiff::Timestamp;
use sluice_api::{RestoreKind, SavepointOrigin, SessionJobStatus};

use super::draft::Draft;
use super::sight::Stored;
use crate::flink::types::{Checkpoint, Latest};

/// What a start begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// Nothing.
    Empty,
    /// This snapshot.
    From {
        /// Where its data is.
        location: String,
        /// The Savepoint object that says so, if there is one.
        name: Option<String>,
    },
    /// It should be a snapshot, and there is none.
    NoState,
}

/// Chooses it: the newest that the strategy allows. A job that has never run has no state to lose and starts empty.
pub fn choose(draft: &Draft<'_>) -> Restore {
    let kind = draft
        .observed
        .job
        .spec
        .restore_strategy
        .as_ref()
        .and_then(|strategy| strategy.kind)
        .unwrap_or(RestoreKind::LatestState);
    if kind == RestoreKind::None {
        return Restore::Empty;
    }
    let counts = |stored: &&Stored| {
        kind == RestoreKind::LatestState || stored.origin != SavepointOrigin::RetainedCheckpoint
    };
    let kept = draft.record.as_ref().map(|record| Stored {
        name: record.name.clone(),
        location: record.location.clone(),
        completed: record.completed,
        origin: record.origin,
    });
    let stored = draft.observed.savepoints;
    let newest = stored
        .iter()
        .chain(kept.as_ref())
        .filter(counts)
        .max_by(|a, b| (a.completed, &a.name).cmp(&(b.completed, &b.name)));
    let status = &draft.next;
    if kind == RestoreKind::LatestState
        && let Some((location, time)) = of_status(status)
        && newest.is_none_or(|newest| newest.completed < time && newest.location != location)
    {
        return Restore::From {
            location,
            name: None,
        };
    }
    match newest {
        Some(newest) => Restore::From {
            location: newest.location.clone(),
            name: Some(newest.name.clone()),
        },
        None if status.start_time.is_none() => Restore::Empty,
        None => Restore::NoState,
    }
}

/// The snapshot that the status speaks of.
pub fn of_status(status: &SessionJobStatus) -> Option<(String, Timestamp)> {
    let location = status.snapshot_location.clone()?;
    let time = status.snapshot_time.as_ref().map(|time| time.0);
    Some((location, time.unwrap_or(Timestamp::UNIX_EPOCH)))
}

/// The newest snapshot of a run that can be restored from, and when it was complete.
pub fn newest(latest: &Latest) -> Option<(String, Timestamp)> {
    let read = |checkpoint: &Option<Checkpoint>| {
        let checkpoint = checkpoint.as_ref()?;
        let location = checkpoint.location()?.to_owned();
        Some((location, millis(checkpoint.latest_ack_timestamp)))
    };
    let (checkpoint, savepoint) = (read(&latest.completed), read(&latest.savepoint));
    match (checkpoint, savepoint) {
        (Some(checkpoint), Some(savepoint)) if checkpoint.1 > savepoint.1 => Some(checkpoint),
        (checkpoint, savepoint) => savepoint.or(checkpoint),
    }
}

/// Milliseconds since 1970, to the second as they are stored.
pub fn millis(millis: i64) -> Timestamp {
    Timestamp::from_second(millis.div_euclid(1000)).unwrap_or(Timestamp::UNIX_EPOCH)
}
