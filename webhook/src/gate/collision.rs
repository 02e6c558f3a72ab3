//! A create whose name is taken. The API server asks admission first and looks for the name afterwards, so such a create would
//! leave a hold behind that nobody needs; and whoever sends it again and again would fill the quota with them.

use super::{Gate, Rising, metadata};
use crate::review::Request;
use crate::review::rules::{self, NAME_TAKEN};
use sluice_policy::Refusal;
use std::time::Duration;
use tokio::time::Instant;

/// How long the object may be waited for: the ledger needs the rest of the time.
const FOR_A_NAME: Duration = Duration::from_millis(500);

impl Gate {
    /// The refusal that the API server would give a moment later. Only where a quota is asked and the watch knows the name is the
    /// object read, so a create of something new costs no call; and where it cannot be read, the hold is taken and runs out by itself.
    pub(super) async fn collides(
        &self,
        request: &Request<'_>,
        rising: &Rising,
        due: Instant,
    ) -> Option<Refusal> {
        let kind = rising.kind;
        let (namespace, name) = (request.namespace.as_ref(), rising.name.as_str());
        let may_collide = rising.old.is_none()
            && request.dry_run != Some(true)
            && self.quota.may_strand(kind, namespace, name);
        if !may_collide {
            return None;
        }
        let soon = due.min(Instant::now() + FOR_A_NAME);
        let read = self.reads.turn(soon).await?.get(kind, namespace, name);
        let found = tokio::time::timeout_at(soon, read).await.ok()?.ok()??;
        let is = if metadata(&found, "deletionTimestamp").is_some() {
            "is still being deleted; wait until it is gone"
        } else {
            "already exists; change it (kubectl apply), or choose another name"
        };
        Some(rules::refusal(
            &NAME_TAKEN,
            "metadata.name",
            format!("{} \"{name}\" {is}", kind.singular),
        ))
    }
}
