//! What the leader knows of the workloads: per resource a list at an exact revision, with only what the ledger needs of
//! each object.
//!
//! The controller fills it from list and watch; nothing here reads a cluster.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::book::Revision;
use crate::quantity::MilliCpu;

/// How many deleted uids a listing remembers, as proof that a create has happened and is over.
const REMEMBERED_DELETIONS: usize = 4096;

/// Which namespaces a quota counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All.
    Everywhere,
    /// These.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// One namespace.
    pub fn namespace(name: impl Into<String>) -> Self {
        Scope::Namespaces(BTreeSet::from([name.into()]))
    }

    /// Whether workloads of this namespace count.
    pub fn contains(&self, namespace: &str) -> bool {
        match self {
            Scope::Everywhere => true,
            Scope::Namespaces(names) => names.contains(namespace),
        }
    }
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Its namespace.
    pub namespace: String,
    /// Its resource version.
    pub revision: Revision,
    /// Its charge.
    pub charge: MilliCpu,
}

/// All objects of one resource at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Listing {
    revision: Revision,
    objects: BTreeMap<String, Seen>,
    /// Sum of charges per namespace; wide enough that sums never saturate, so subtracting gives back what was added.
    totals: BTreeMap<String, u128>,
    deleted: VecDeque<String>,
}

impl Listing {
    /// A list as the API server gave it: objects by uid, and the list's own revision.
    pub fn new(revision: Revision, objects: impl IntoIterator<Item = (String, Seen)>) -> Self {
        let mut listing = Self::default();
        for (uid, seen) in objects {
            listing.put(uid, seen);
        }
        listing.revision = revision;
        listing
    }

    /// Takes over from an older list after a gap: what vanished in between was deleted. A list that is not newer proves
    /// nothing of the kind; then the other one stays.
    #[must_use]
    pub fn after(mut self, older: &Listing) -> Self {
        if self.revision < older.revision {
            return older.clone();
        }
        self.deleted.clone_from(&older.deleted);
        for uid in older.objects.keys() {
            if !self.objects.contains_key(uid) {
                self.remember(uid.clone());
            }
        }
        self
    }

    /// An object was added or changed at its revision. News that this list already contains changes nothing.
    pub fn put(&mut self, uid: String, seen: Seen) {
        let known = self
            .objects
            .get(&uid)
            .is_some_and(|known| known.revision > seen.revision);
        if known || (seen.revision < self.revision && self.saw_deleted(&uid)) {
            return;
        }
        self.advance(seen.revision);
        *self.totals.entry(seen.namespace.clone()).or_default() += u128::from(seen.charge.0);
        if let Some(before) = self.objects.insert(uid, seen) {
            self.subtract(&before);
        }
    }

    /// An object was deleted at this revision.
    pub fn delete(&mut self, uid: &str, at: Revision) {
        if self
            .objects
            .get(uid)
            .is_some_and(|known| known.revision > at)
        {
            return;
        }
        self.advance(at);
        if let Some(before) = self.objects.remove(uid) {
            self.subtract(&before);
        }
        self.remember(uid.to_owned());
    }

    /// Nothing else happened up to this revision (a bookmark).
    pub fn advance(&mut self, to: Revision) {
        self.revision = self.revision.max(to);
    }

    /// The revision that this list is exact at.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The object with this uid.
    pub fn get(&self, uid: &str) -> Option<&Seen> {
        self.objects.get(uid)
    }

    /// Whether an object with this uid existed and was deleted. `false` proves nothing.
    pub fn saw_deleted(&self, uid: &str) -> bool {
        self.deleted.iter().any(|gone| gone == uid)
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    fn charge(&self, scope: &Scope) -> u128 {
        match scope {
            Scope::Everywhere => self.totals.values().sum(),
            Scope::Namespaces(names) => names.iter().filter_map(|name| self.totals.get(name)).sum(),
        }
    }

    fn subtract(&mut self, before: &Seen) {
        if let Some(total) = self.totals.get_mut(&before.namespace) {
            *total = total.saturating_sub(u128::from(before.charge.0));
            if *total == 0 {
                self.totals.remove(&before.namespace);
            }
        }
    }

    fn remember(&mut self, uid: String) {
        if self.deleted.len() >= REMEMBERED_DELETIONS {
            self.deleted.pop_front();
        }
        self.deleted.push_back(uid);
    }
}

/// What is known of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Watched {
    /// Nothing yet.
    Unknown,
    /// The API server did not serve it when last asked.
    Absent,
    /// The API server was asked after the quota was read, and neither serves nor defines it: no object of it exists.
    ProvenAbsent,
    /// All its objects.
    At(Listing),
}

/// What is known of all resources that may hold workloads, by `plural.group`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Inventory {
    resources: BTreeMap<String, Watched>,
}

impl Inventory {
    /// Nothing known of these resources yet.
    pub fn of<S: Into<String>>(resources: impl IntoIterator<Item = S>) -> Self {
        Self {
            resources: resources
                .into_iter()
                .map(|name| (name.into(), Watched::Unknown))
                .collect(),
        }
    }

    /// Replaces what is known of a resource.
    pub fn set(&mut self, resource: &str, watched: Watched) {
        self.resources.insert(resource.to_owned(), watched);
    }

    /// What is known of a resource.
    pub fn get(&self, resource: &str) -> Option<&Watched> {
        self.resources.get(resource)
    }

    /// The listing of a resource, to be changed by an event.
    pub fn listing_mut(&mut self, resource: &str) -> Option<&mut Listing> {
        match self.resources.get_mut(resource) {
            Some(Watched::At(listing)) => Some(listing),
            _ => None,
        }
    }

    /// All resources, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Watched)> {
        self.resources
            .iter()
            .map(|(name, watched)| (name.as_str(), watched))
    }

    /// Sum of the charges in a scope over everything listed.
    pub fn charge(&self, scope: &Scope) -> MilliCpu {
        let total: u128 = self
            .resources
            .values()
            .map(|watched| match watched {
                Watched::At(listing) => listing.charge(scope),
                Watched::Unknown | Watched::Absent | Watched::ProvenAbsent => 0,
            })
            .sum();
        MilliCpu(u64::try_from(total).unwrap_or(u64::MAX))
    }
}
