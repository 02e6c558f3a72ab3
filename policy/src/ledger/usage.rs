//! How much CPU the holds may add to confirmed usage.
//!
//! `usage = confirmed + sum over objects min(max(to) - min(from), sum over bases max(to - from))`, each term at least 0.
//!
//! Why this is enough: after the snapshot an object rises only by writes that are held. Each base is used up by one write, so
//! the rises add up to at most the sum over bases; and the first rise starts at or below what was confirmed, so all of
//! them together end at most `max(to) - min(from)` above it. Attempts that repeat a transition add nothing.

use std::collections::BTreeMap;

use super::book::{Book, Hold, ObjectKey, Revision};
use crate::quantity::MilliCpu;

/// Running sum of what holds may add.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    objects: BTreeMap<ObjectKey, Term>,
    total: MilliCpu,
}

/// The holds of one object.
#[derive(Clone, Debug, Default)]
struct Term {
    lowest: Option<MilliCpu>,
    highest: MilliCpu,
    bases: BTreeMap<Revision, MilliCpu>,
}

impl Term {
    fn add(&mut self, hold: &Hold) {
        self.lowest = Some(self.lowest.map_or(hold.from, |low| low.min(hold.from)));
        self.highest = self.highest.max(hold.to);
        let rise = self.bases.entry(hold.base).or_default();
        *rise = (*rise).max(hold.to.minus(hold.from));
    }

    fn value(&self) -> MilliCpu {
        let span = self.highest.minus(self.lowest.unwrap_or_default());
        span.min(self.bases.values().copied().sum())
    }
}

impl Tally {
    /// Of all holds.
    pub fn of<'a>(holds: impl IntoIterator<Item = &'a Hold>) -> Self {
        let mut tally = Self::default();
        for hold in holds {
            tally.add(hold);
        }
        tally
    }

    /// What the holds may add.
    pub fn total(&self) -> MilliCpu {
        self.total
    }

    /// What they would add together with one more.
    pub fn with(&self, hold: &Hold) -> MilliCpu {
        let mut term = self.objects.get(&hold.object).cloned().unwrap_or_default();
        let before = term.value();
        term.add(hold);
        self.total.minus(before).plus(term.value())
    }

    /// Takes one more into the sum.
    pub fn add(&mut self, hold: &Hold) {
        self.total = self.with(hold);
        self.objects
            .entry(hold.object.clone())
            .or_default()
            .add(hold);
    }
}

impl Book {
    /// CPU set aside for increases that the snapshot does not cover.
    pub fn reserved(&self) -> MilliCpu {
        Tally::of(&self.pending).total()
    }

    /// Most CPU that may be charged now or by what was admitted: confirmed and reserved.
    pub fn usage(&self) -> MilliCpu {
        self.confirmed.plus(self.reserved())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(name: &str, uid: &str, base: u64, from: u64, to: u64) -> Hold {
        Hold {
            id: format!("r-{name}-{uid}-{base}-{to}"),
            object: ObjectKey {
                resource: "sessionclusters.sluice.dev".into(),
                namespace: "team-a".into(),
                name: name.into(),
            },
            uid: uid.into(),
            base: Revision(base),
            from: MilliCpu(from),
            to: MilliCpu(to),
            by: "ann".into(),
        }
    }

    fn total(holds: &[Hold]) -> u64 {
        Tally::of(holds).total().0
    }

    #[test]
    fn objects_add_up_and_repeats_do_not() {
        assert_eq!(total(&[]), 0);
        assert_eq!(
            total(&[hold("a", "1", 0, 0, 5), hold("b", "2", 0, 0, 3)]),
            8
        );
        assert_eq!(
            total(&[hold("a", "1", 7, 2, 5), hold("a", "1", 7, 2, 5)]),
            3
        );
    }

    #[test]
    fn a_create_tried_again_under_the_same_name_is_counted_once() {
        assert_eq!(
            total(&[hold("a", "1", 0, 0, 5), hold("a", "2", 0, 0, 5)]),
            5
        );
    }

    #[test]
    fn a_chain_of_rises_counts_its_steps() {
        assert_eq!(
            total(&[hold("a", "1", 7, 0, 5), hold("a", "1", 9, 5, 8)]),
            8
        );
    }

    #[test]
    fn up_down_up_counts_the_highest_point_only() {
        assert_eq!(
            total(&[hold("a", "1", 7, 0, 5), hold("a", "1", 9, 0, 5)]),
            5
        );
        assert_eq!(
            total(&[hold("a", "1", 7, 0, 5), hold("a", "1", 9, 2, 6)]),
            6
        );
    }

    #[test]
    fn two_far_apart_rises_count_their_sum_not_the_span() {
        // The object fell from 8 to 1 in between, which needs no hold.
        assert_eq!(
            total(&[hold("a", "1", 7, 7, 8), hold("a", "1", 9, 1, 2)]),
            2
        );
    }

    #[test]
    fn absurd_figures_saturate() {
        let max = u64::MAX;
        assert_eq!(
            total(&[hold("a", "1", 7, 0, max), hold("b", "2", 9, 0, max)]),
            max
        );
        assert_eq!(total(&[hold("a", "1", 7, max, 0)]), 0);
    }

    #[test]
    fn the_running_sum_is_the_sum() {
        let holds = [
            hold("a", "1", 7, 0, 5),
            hold("b", "2", 0, 0, 3),
            hold("a", "1", 9, 2, 6),
            hold("a", "3", 0, 0, 9),
        ];
        let mut tally = Tally::default();
        for (count, next) in holds.iter().enumerate() {
            let preview = tally.with(next);
            tally.add(next);
            assert_eq!(preview, tally.total());
            assert_eq!(tally.total(), Tally::of(&holds[..=count]).total());
        }
    }
}
