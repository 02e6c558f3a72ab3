//! Charges that have fallen a moment ago: CPU that a quota may still count as used, because the controller's leader has not
//! counted since.
//!
//! Whether it has is told by the quota itself: its snapshot names the revision of each resource that its usage is exact at.

use sluice_policy::MilliCpu;
use sluice_policy::ledger::{Revision, Scope};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// After this long the leader is late for another reason, and waiting for it would help nobody.
const REMEMBERED_FOR: Duration = Duration::from_secs(2);
/// More at once than this is a mass deletion; the newest are enough.
const REMEMBERED: usize = 1024;

#[derive(Debug)]
struct Fall {
    noticed: Instant,
    at: Revision,
    namespace: Box<str>,
    by: MilliCpu,
}

/// The last falls of one resource's charges, oldest first.
#[derive(Debug, Default)]
pub struct Falls(VecDeque<Fall>);

impl Falls {
    /// The charge of an object fell by this much at this revision.
    pub fn note(&mut self, namespace: &str, at: Revision, by: MilliCpu, noticed: Instant) {
        while self.0.len() >= REMEMBERED
            || self
                .0
                .front()
                .is_some_and(|fall| is_old(fall.noticed, noticed))
        {
            self.0.pop_front();
        }
        self.0.push_back(Fall {
            noticed,
            at,
            namespace: namespace.into(),
            by,
        });
    }

    /// What fell in a scope after a count at this revision.
    pub fn after(&self, counted: Revision, scope: &Scope, now: Instant) -> MilliCpu {
        self.0
            .iter()
            .filter(|fall| {
                fall.at > counted && scope.contains(&fall.namespace) && !is_old(fall.noticed, now)
            })
            .map(|fall| fall.by)
            .sum()
    }
}

fn is_old(noticed: Instant, now: Instant) -> bool {
    now.saturating_duration_since(noticed) > REMEMBERED_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_fell_after_the_count_in_scope_and_lately_is_told() {
        let begin = Instant::now();
        let mut falls = Falls::default();
        falls.note("a", Revision(10), MilliCpu(1000), begin);
        falls.note("a", Revision(20), MilliCpu(2000), begin);
        falls.note("b", Revision(30), MilliCpu(4000), begin + REMEMBERED_FOR);
        let a = Scope::namespace("a");
        assert_eq!(falls.after(Revision(0), &a, begin), MilliCpu(3000));
        assert_eq!(falls.after(Revision(10), &a, begin), MilliCpu(2000));
        assert_eq!(falls.after(Revision(20), &a, begin), MilliCpu(0));
        assert_eq!(
            falls.after(Revision(10), &Scope::Everywhere, begin),
            MilliCpu(6000)
        );
        let later = begin + REMEMBERED_FOR + Duration::from_millis(1);
        assert_eq!(falls.after(Revision(0), &a, later), MilliCpu(0));
        for n in 0..2 * REMEMBERED as u64 {
            falls.note("a", Revision(100 + n), MilliCpu(1), later);
        }
        assert_eq!(falls.0.len(), REMEMBERED);
    }
}
