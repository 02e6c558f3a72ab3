//! Which snapshot a start restores from (decision 22). Retained checkpoints are stored as Savepoint objects when their run ends,
//! so these are all that there is to choose from.

use sluice_api::{Deployment, RestoreKind, SavepointOrigin};

use super::sight::Stored;

/// The newest snapshot that the restore strategy allows; `None`: the job starts empty.
pub fn choose<'s>(deployment: &Deployment, savepoints: &'s [Stored]) -> Option<&'s Stored> {
    let kind = restore_kind(deployment);
    savepoints
        .iter()
        .filter(|stored| match kind {
            RestoreKind::LatestState => true,
            RestoreKind::LatestSavepoint => stored.origin != SavepointOrigin::RetainedCheckpoint,
            RestoreKind::None => false,
        })
        .max_by(|a, b| (a.completed, &a.name).cmp(&(b.completed, &b.name)))
}

/// `restoreStrategy.kind`, or its default.
pub fn restore_kind(deployment: &Deployment) -> RestoreKind {
    let strategy = deployment.spec.restore_strategy.as_ref();
    strategy
        .and_then(|strategy| strategy.kind)
        .unwrap_or(RestoreKind::LatestState)
}
