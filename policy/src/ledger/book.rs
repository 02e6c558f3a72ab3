//! The ledger of one quota as the decisions see it: confirmed usage, the snapshot it is exact at, and the holds of
//! increases that may still be on their way into the store.
//!
//! Reading it from and writing it to a status is in [`super::account`].

use std::collections::BTreeMap;
use std::fmt;

use crate::quantity::MilliCpu;

/// A resource version. Comparable within one resource only; 0 is what a create starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revision(pub u64);

impl Revision {
    /// What a create starts from.
    pub const NONE: Revision = Revision(0);

    /// Reads `metadata.resourceVersion`; `None` if it is no decimal number.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which object: at most one exists under a key at a time, whatever its uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `plural.group`, such as `sessionclusters.sluice.dev`.
    pub resource: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// One admitted increase. `uid` and `base` name the only transition that it can cause: the store takes a write only at the
/// revision it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The attempt that took it, `<replica>-<sequence>`. Two attempts at the same transition hold twice, so that neither
    /// can lose what it relies on when the other gives up; [`super::usage`] counts them once.
    pub id: String,
    /// Which object.
    pub object: ObjectKey,
    /// Its uid: final in validating admission, also for this attempt at a create.
    pub uid: String,
    /// Revision that the write starts from; [`Revision::NONE`] for a create.
    pub base: Revision,
    /// Charge before.
    pub from: MilliCpu,
    /// Charge after.
    pub to: MilliCpu,
    /// Who asked.
    pub by: String,
}

impl Hold {
    /// Whether it is for an object that did not exist.
    pub fn is_create(&self) -> bool {
        self.base == Revision::NONE
    }
}

/// The ledger of one quota.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Book {
    /// Charge function that wrote it; 0: not initialised.
    pub charge_fn: u32,
    /// Generation of the quota that `confirmed` belongs to.
    pub observed_generation: i64,
    /// Sum of all charges at `snapshot`.
    pub confirmed: MilliCpu,
    /// Per resource the revision that `confirmed` is exact at. Never goes back.
    pub snapshot: BTreeMap<String, Revision>,
    /// Holds, oldest first.
    pub pending: Vec<Hold>,
}

impl Book {
    /// The book without the holds of these attempts; `None` if none of them is there.
    ///
    /// Only an attempt that never answered "allowed" may take back its own hold.
    pub fn release(&self, ids: &[String]) -> Option<Book> {
        let mut book = self.clone();
        book.pending.retain(|hold| !ids.contains(&hold.id));
        (book.pending.len() < self.pending.len()).then_some(book)
    }

    /// Whether this attempt holds.
    pub fn holds(&self, id: &str) -> bool {
        self.pending.iter().any(|hold| hold.id == id)
    }
}
