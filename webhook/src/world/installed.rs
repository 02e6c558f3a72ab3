//! Which kinds the cluster has, as the watch of CRDs tells: wakes those whose kind was not there, and vouches for its absence.

use super::store::{State, Store};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The CRDs that there are.
pub struct Installed {
    crds: Option<Arc<Store>>,
    changed: Notify,
}

impl Installed {
    /// As this cache of CRDs tells.
    pub fn new(crds: Option<Arc<Store>>) -> Self {
        Self {
            crds,
            changed: Notify::new(),
        }
    }

    /// The next change of any CRD.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// A CRD was made, changed or removed; the cache knows of it already.
    pub fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// Whether a resource is certainly not installed, whatever its list has come to: all CRDs are known, and its own is not among
    /// them.
    pub fn lacks(&self, store: &Store) -> bool {
        // What comes without a CRD is part of every API server.
        let comes_with_a_crd = !store.watched().group.is_empty();
        comes_with_a_crd && self.is_there(store) == Some(false)
    }

    /// Whether the CRD of a resource is certainly there, be it served or not.
    pub fn has(&self, store: &Store) -> bool {
        self.is_there(store) == Some(true)
    }

    fn is_there(&self, store: &Store) -> Option<bool> {
        let crds = self.crds.as_ref();
        let crds = crds.filter(|crds| crds.state() == State::Full)?;
        Some(crds.has("", &store.name()))
    }
}
