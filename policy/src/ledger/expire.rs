//! Holds that stay undecided: the write was refused behind us, or whoever asked has died.
//!
//! Time alone frees nothing that could still be written: an update is fenced first, by a write that moves the object past
//! the revision that the late write starts from. For a create nothing can be fenced, so it is dropped once it
//! is older than any request can be; the controller's own gate stands behind that.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::book::{Book, Hold, Revision};

/// How long a hold may stay undecided: well over the 34 s that a request may take and the 7 s in etcd behind it.
pub const UNDECIDED: Duration = Duration::from_secs(90);

/// By when the leader has looked at an undecided hold: it looks every few seconds, and at many at a time.
pub const LOOKED_AT_WITHIN: Duration = Duration::from_secs(110);

/// What a quorum read of the hold's object by namespace and name found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// Nothing of that name, or one with another uid.
    Absent,
    /// The object of that uid, at this revision.
    At(Revision),
    /// The API server does not serve the resource, which is defined all the same: the object may live on, and come to light again.
    Unserved,
    /// The API server neither serves nor defines the resource.
    ResourceAbsent,
}

/// What is to be done about a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The next count covers it, or one that is possible later.
    LeaveToConfirm,
    /// Write the annotation `sluice.dev/fence` at the hold's base. Success and conflict both leave it to the next count.
    Fence,
    /// Take it out of the ledger.
    Drop,
}

/// Decides about a hold that was undecided for [`UNDECIDED`].
pub fn decide(hold: &Hold, found: &Found) -> Step {
    match found {
        // The object of an update existed at its base, before the hold was written, or the request was made up. A uid that is gone
        // never comes back, so its write fails however late it is: the store takes it at its base only.
        Found::Absent | Found::ResourceAbsent => Step::Drop,
        // Revisions only grow, and this one was read from a quorum after the hold was written: no API server has begun a write
        // from a later one, so the request was made up. The count might never come to such a base.
        Found::At(revision) if *revision < hold.base => Step::Drop,
        Found::At(revision) if *revision == hold.base => Step::Fence,
        Found::At(_) | Found::Unserved => Step::LeaveToConfirm,
    }
}

/// Since when this process has known each hold of a quota, on its own monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Ages {
    since: BTreeMap<String, Duration>,
}

impl Ages {
    /// Takes note of a quota's holds at `now` and tells which have been known for `undecided` ([`UNDECIDED`] but in tests).
    /// Holds that are gone are forgotten.
    pub fn due<'a>(&mut self, now: Duration, undecided: Duration, book: &'a Book) -> Vec<&'a Hold> {
        let there: HashSet<_> = book.pending.iter().map(|hold| hold.id.as_str()).collect();
        self.since.retain(|id, _| there.contains(id.as_str()));
        book.pending
            .iter()
            .filter(|hold| {
                let since = *self.since.entry(hold.id.clone()).or_insert(now);
                now.saturating_sub(since) >= undecided
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::book::ObjectKey;
    use crate::quantity::MilliCpu;

    fn hold(id: &str, base: u64) -> Hold {
        Hold {
            id: id.into(),
            object: ObjectKey {
                resource: "sessionclusters.sluice.dev".into(),
                namespace: "team-a".into(),
                name: "analytics".into(),
            },
            uid: "u".into(),
            base: Revision(base),
            from: MilliCpu(0),
            to: MilliCpu(5),
            by: "ann".into(),
        }
    }

    #[test]
    fn only_an_unmoved_update_is_fenced_and_only_what_cannot_exist_dropped() {
        let (create, update) = (hold("a", 0), hold("b", 7));
        for (hold, found, step) in [
            (&update, Found::At(Revision(7)), Step::Fence),
            (&update, Found::At(Revision(8)), Step::LeaveToConfirm),
            (&update, Found::Absent, Step::Drop),
            (&create, Found::At(Revision(8)), Step::LeaveToConfirm),
            (&create, Found::Absent, Step::Drop),
            (&create, Found::Unserved, Step::LeaveToConfirm),
            (&update, Found::Unserved, Step::LeaveToConfirm),
            (&create, Found::ResourceAbsent, Step::Drop),
            (&update, Found::ResourceAbsent, Step::Drop),
        ] {
            assert_eq!(decide(hold, &found), step, "{hold:?} {found:?}");
        }
    }

    /// Found by tracing the code: sent straight to the webhook's port, it would have stood for ever.
    #[test]
    fn the_hold_of_an_update_that_was_made_up_goes_whether_or_not_its_object_exists() {
        let made_up = hold("a", u64::MAX);
        for found in [Found::Absent, Found::At(Revision(8))] {
            assert_eq!(decide(&made_up, &found), Step::Drop, "{found:?}");
        }
    }

    #[test]
    fn a_hold_is_due_ninety_seconds_after_this_process_first_saw_it() {
        let mut ages = Ages::default();
        let mut book = Book {
            pending: vec![hold("a", 7)],
            ..Book::default()
        };
        let at = Duration::from_secs;
        assert!(ages.due(at(1000), UNDECIDED, &book).is_empty());
        book.pending.push(hold("b", 9));
        assert!(ages.due(at(1089), UNDECIDED, &book).is_empty());
        let due: Vec<_> = ages
            .due(at(1090), UNDECIDED, &book)
            .iter()
            .map(|hold| hold.id.as_str())
            .collect();
        assert_eq!(due, ["a"]);
        book.pending.clear();
        assert!(ages.due(at(1091), UNDECIDED, &book).is_empty());
        book.pending.push(hold("a", 7));
        assert!(
            ages.due(at(1092), UNDECIDED, &book).is_empty(),
            "a forgotten hold starts anew"
        );
    }
}
