//! Who waits for CPU, of every kind: one line for all of them, so that a SessionCluster and a Deployment take turns as two of one kind
//! do. What a turn is says [`super::gate`].

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_policy::MilliCpu;
use tokio::time::Instant;

use super::claim::Claim;
use super::gate::{self, Verdict};
use super::standing::{Counted, Standing};

/// How long one that has been let in is taken for started, should no status say so: writing it takes a moment.
const GRANTED: Duration = Duration::from_secs(10);

/// How long one waits that has not asked by itself until it is taken for counted: the ledger counts within half a second.
const COUNTED: Duration = Duration::from_secs(5);

/// All of a kind that ask to run and have not been started, as far as is known.
pub type Waiting = Arc<dyn Fn() -> Vec<Claim> + Send + Sync>;

/// The line. Cheap to clone.
#[derive(Clone, Default)]
pub struct Queue(Arc<Mutex<Line>>);

#[derive(Default)]
struct Line {
    kinds: BTreeMap<&'static str, Waiting>,
    /// By uid: let in, and no status says so yet.
    granted: HashMap<String, Instant>,
    /// By uid: for how much it waits, since when, and whether the ledger is known to count that.
    seen: HashMap<String, Seen>,
}

struct Seen {
    demand: MilliCpu,
    since: Instant,
    is_counted: bool,
}

impl Line {
    /// Who stands in the line. A quota's figures hold what has been counted only, and what is taken for waiting is taken off them: so one
    /// that may not be in them yet must not stand here, or others would find room that is not there.
    fn waiting(&mut self) -> Vec<Claim> {
        let all: Vec<Claim> = self.kinds.values().flat_map(|waiting| waiting()).collect();
        let mut before = std::mem::take(&mut self.seen);
        for claim in &all {
            let known = before.remove(&claim.uid);
            let known = known.filter(|seen| seen.demand == claim.demand);
            let seen = known.unwrap_or_else(|| Seen {
                demand: claim.demand,
                since: Instant::now(),
                is_counted: false,
            });
            self.seen.insert(claim.uid.clone(), seen);
        }
        let stands = |claim: &Claim| {
            let seen = self.seen.get(&claim.uid);
            let is_counted =
                seen.is_some_and(|seen| seen.is_counted || seen.since.elapsed() >= COUNTED);
            is_counted && !self.granted.contains_key(&claim.uid)
        };
        all.into_iter().filter(stands).collect()
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("kinds", &self.lock().kinds.keys())
            .finish_non_exhaustive()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on this tells who of a resource (`plural.group`) waits.
    pub fn join(&self, resource: &'static str, waiting: Waiting) {
        self.lock().kinds.insert(resource, waiting);
    }

    /// Whether every quota covers a claim. One at a time: who is let in here is seen by the next one, before any status says so.
    pub fn judge(&self, claim: &Claim, standings: &[Standing]) -> Verdict {
        let mut line = self.lock();
        line.granted.retain(|_, since| since.elapsed() < GRANTED);
        let waiting = if gate::is_crowded(standings) {
            line.waiting()
        } else {
            Vec::new()
        };
        if let Some(seen) = line.seen.get_mut(&claim.uid) {
            seen.is_counted = seen.demand == claim.demand
                && standings.iter().all(|standing| match standing.counted {
                    Counted::Held(charge) | Counted::Confirmed(charge) => charge >= claim.demand,
                    Counted::No => false,
                });
        }
        let verdict = gate::judge(claim, standings, &waiting);
        if verdict == Verdict::Open {
            line.granted.insert(claim.uid.clone(), Instant::now());
        } else {
            line.granted.remove(&claim.uid);
        }
        verdict
    }

    /// What it was let in for did not come about.
    pub fn withdraw(&self, uid: &str) {
        self.lock().granted.remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use sluice_api::quota::OnGrowth;
    use sluice_policy::ledger::{Account, Book, CHARGE_FN, QuotaKey, Scope};

    use super::*;

    fn claim(uid: &str, allocated: u64, demand: u64, created: i64) -> Claim {
        Claim {
            uid: uid.into(),
            namespace: "team-a".into(),
            allocated: MilliCpu(allocated * 1000),
            demand: MilliCpu(demand * 1000),
            refused_since: None,
            created: Timestamp::from_second(created).unwrap(),
        }
    }

    fn standing(hard: u64, confirmed: u64, claim: &Claim) -> Standing {
        let quota = QuotaKey::Namespaced {
            namespace: "team-a".into(),
            name: "default".into(),
        };
        Standing {
            quota: quota.clone(),
            scope: Scope::namespace("team-a"),
            account: Ok(Account {
                key: quota,
                generation: 1,
                hard: MilliCpu(hard * 1000),
                on_growth: OnGrowth::Enforce,
                book: Book {
                    charge_fn: CHARGE_FN,
                    observed_generation: 1,
                    confirmed: MilliCpu(confirmed * 1000),
                    ..Book::default()
                },
            }),
            counted: Counted::Confirmed(claim.demand),
        }
    }

    /// Two kinds with one of each waiting, and the verdicts on these in this order, asked twice as reconcilers do.
    fn verdicts(hard: u64, confirmed: u64, clusters: &Claim, deployments: &Claim) -> (bool, bool) {
        let queue = Queue::default();
        for (kind, claim) in [("clusters", clusters), ("deployments", deployments)] {
            let waiting = vec![claim.clone()];
            queue.join(kind, Arc::new(move || waiting.clone()));
        }
        let ask = |claim: &Claim| {
            queue.judge(claim, &[standing(hard, confirmed, claim)]) == Verdict::Open
        };
        let first = (ask(clusters), ask(deployments));
        (first.0 || ask(clusters), first.1 || ask(deployments))
    }

    #[tokio::test(start_paused = true)]
    async fn the_older_comes_first_whatever_its_kind() {
        let (older, newer) = (claim("a", 0, 3, 1), claim("b", 0, 3, 2));
        assert_eq!(verdicts(4, 6, &older, &newer), (true, false));
        assert_eq!(verdicts(4, 6, &newer, &older), (false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn growth_that_waits_takes_its_turn_and_holds_no_room() {
        // Of 7 CPU 4 are in use; one wants 3 more, another 2 more: each would fit, and the older does.
        let (large, small) = (claim("a", 3, 6, 1), claim("b", 1, 3, 2));
        assert_eq!(verdicts(7, 9, &large, &small), (true, false));
        // It stops the turn of those behind it, as a start does.
        let (large, small) = (claim("a", 3, 7, 1), claim("b", 1, 3, 2));
        assert_eq!(verdicts(7, 10, &large, &small), (false, false));
        // But not if it will never fit.
        let (huge, small) = (claim("a", 3, 8, 1), claim("b", 1, 3, 2));
        assert_eq!(verdicts(7, 11, &huge, &small), (false, true));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_not_counted_yet_makes_no_room() {
        // 3 of 4 CPU run. The newer one that waits is not in the figures yet: taking it off them would show room for both.
        let (asks, unseen) = (claim("a", 0, 3, 1), claim("b", 0, 3, 2));
        let queue = Queue::default();
        queue.join("deployments", Arc::new(move || vec![unseen.clone()]));
        let standing = standing(4, 6, &asks);
        assert!(matches!(
            queue.judge(&asks, std::slice::from_ref(&standing)),
            Verdict::Refused(_)
        ));
        tokio::time::advance(COUNTED).await;
        assert_eq!(
            queue.judge(&asks, &[standing]),
            Verdict::Open,
            "counted by now"
        );
    }
}
