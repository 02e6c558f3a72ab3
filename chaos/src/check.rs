//! What every revision must satisfy. Pure: a history and the clients' attempts go in, violations come out.
//!
//! What is asserted, and what the words mean:
//!
//! * **Within the limit.** A write that raises a workload's charge *through admission* is one that creates an object or raises its
//!   generation. After it, the sum of the charges of all objects that a quota counts must not exceed the limit *that was in force*:
//!   the highest that the quota had from the moment the client sent the request until the write. The quota is asked at some instant
//!   in between, and a limit lowered afterwards does not take back what was admitted (design, "Invariants", S1). A limit that is lowered
//!   under usage is no violation by itself; every increase sent after that is.
//! * **Never through a status.** A write that leaves the generation alone must not raise a charge (S9): admission does not see it.
//! * **Covered.** What the ledger says is used and held is never less than what lives (S1), after each increase and each write to the
//!   quota's status. This one reads the status as well, and finds a hold that was dropped too early even where the limit has room.
//! * **Held.** At the write that raises a charge, each quota that counts it has a hold for this very transition (S3, S8). Holds whose write never
//!   came are left standing for a while and would hide a missing one in a sum; this looks for the one that must be there.
//! * **Monotonic.** What a quota was counted at never goes back (S4), or objects that were counted, and whose holds were dropped, would be
//!   forgotten. A sum shows that only if the older view happens to be the smaller one, and until the next count; this shows it at once.
//! * **Exact.** What a quota says was in use at a snapshot is what etcd held at these very revisions (S4), to the thousandth.
//!
//! A webhook may not know for a moment that a quota exists, or counts one more namespace ([`NEWS`]). What was sent in that time may rise
//! without a hold there, and what that costs is set aside until it is counted ([`News`]). What lived before is not: a first count has it.
//!
//! * **Complete.** An admitted object has its defaults.
//!
//! Namespaces whose mode is not always `enforce` admit beyond the limit by right, and may do so without a hold. Their objects are left out
//! of the sum on the left side: what enforcing namespaces hold must fit by itself. This can miss what lenient ones displace, and never
//! accuses wrongly.

use crate::history::{Change, Limit, State, Workload, Written};
use crate::news::{News, Rise};
use crate::place::{Place, Quota};
use crate::sums::Sums;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

/// How long a webhook may not know of a quota, or of a namespace in it, however its watches and requests fare: between two comparisons, a
/// call that hangs, and as long as failing calls are put up with.
pub const NEWS: Duration = Duration::from_secs(25);

/// What clients sent, by what identifies a write, and the newest revision that was known when they sent it.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// Creates, by operation.
    pub creates: HashMap<u64, u64>,
    /// Updates, by the object and the revision that was to be replaced.
    pub updates: HashMap<(Place, u64), Vec<Update>>,
    /// The newest revision at moments, in order.
    pub clock: Vec<(Instant, u64)>,
}

/// An update that was sent.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Update {
    /// The operation, which the written object names unless it was scaled.
    pub operation: u64,
    /// Whether it went to `/scale`, which leaves annotations as they are.
    pub scales: bool,
    /// The newest revision that was known.
    pub known: u64,
}

impl Attempts {
    /// The revision up to which a sender may have known a revision's write for less than [`NEWS`]. What was there when the clock began, or
    /// without a clock, is no news.
    fn is_news_until(&self, revision: u64) -> u64 {
        if self.clock.first().is_none_or(|(_, at)| revision <= *at) {
            return 0;
        }
        let known = self.clock.partition_point(|(_, at)| *at < revision);
        let Some((since, _)) = self.clock.get(known) else {
            return u64::MAX;
        };
        let later = self.clock.iter().find(|(at, _)| *at > *since + NEWS);
        later.map_or(u64::MAX, |(_, revision)| *revision)
    }

    /// An operation is sent once more, by whoever knows of this revision now.
    pub fn renew(&mut self, place: &Place, base: u64, operation: u64, known: u64) {
        if let Some(at) = self.creates.get_mut(&operation).filter(|_| base == 0) {
            *at = known;
        }
        let sent = self.updates.get_mut(&(place.clone(), base));
        for update in sent.into_iter().flatten() {
            if update.operation == operation {
                update.known = known;
            }
        }
    }

    /// The newest revision that was known to whoever sent what made this write.
    fn sent(&self, place: &Place, base: u64, operation: Option<u64>) -> Option<u64> {
        if base == 0 {
            return self.creates.get(&operation?).copied();
        }
        let updates = self.updates.get(&(place.clone(), base))?;
        let put = updates
            .iter()
            .find(|update| !update.scales && Some(update.operation) == operation);
        let scaled = updates.iter().filter(|update| update.scales);
        put.or_else(|| scaled.min_by_key(|update| update.known))
            .map(|update| update.known)
    }
}

/// Which promise is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// Live CPU never above the limit through admission.
    WithinLimit,
    /// A status write never raises a charge.
    NeverByStatus,
    /// What lives is in the ledger.
    Covered,
    /// An increase has its hold in every quota.
    Held,
    /// A quota's snapshot never goes back.
    Monotonic,
    /// A count is what etcd held at the revisions that it names.
    Exact,
    /// Admitted objects have their defaults.
    Complete,
    /// Somebody raises charges whom the run does not know.
    Accounted,
    /// A decrease is never refused.
    DecreasesPass,
    /// At rest no hold is left and usage is exact.
    ExactAtRest,
}

impl Promise {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Promise::WithinLimit => "live CPU above the limit through admission",
            Promise::NeverByStatus => "a status write raised a charge",
            Promise::Covered => "the ledger holds less than lives",
            Promise::Held => "an increase without its hold",
            Promise::Monotonic => "counted from an older view than before",
            Promise::Exact => "counted otherwise than etcd held",
            Promise::Complete => "an admitted object misses its defaults",
            Promise::Accounted => "an increase that no client sent",
            Promise::DecreasesPass => "a decrease was refused",
            Promise::ExactAtRest => "not exact at rest",
        }
    }
}

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub promise: Promise,
    /// Where in etcd's history; `None`: in an answer, or at the end.
    pub revision: Option<u64>,
    /// The newest operation in the history at that point.
    pub operation: Option<u64>,
    /// What was seen.
    pub seen: String,
}

/// What the check comes to.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Changes looked at.
    pub changes: u64,
    /// Increases through admission among them, where limits are enforced throughout.
    pub increases: u64,
    /// Increases elsewhere.
    pub lenient: u64,
    /// Increases without a hold that were set aside, once for each quota that their webhook may not have known.
    pub set_aside: u64,
    /// Sums of live CPU compared with a limit.
    pub sums: u64,
    /// In the order of the history.
    pub violations: Vec<Violation>,
    /// What stands at the end.
    pub state: State,
}

/// Checks a history. `enforces`: whether a namespace's mode was `enforce` throughout.
pub fn check(history: &[Change], attempts: &Attempts, enforces: impl Fn(&str) -> bool) -> Verdict {
    let mut checker = Checker {
        attempts,
        enforces,
        limits: BTreeMap::new(),
        newest: None,
        news: BTreeMap::new(),
        sums: Sums::default(),
        verdict: Verdict::default(),
    };
    for change in history {
        checker.step(change);
    }
    checker.verdict
}

struct Checker<'a, E> {
    attempts: &'a Attempts,
    enforces: E,
    /// What each quota asked for, from which revision on: how much, and in which namespaces.
    limits: BTreeMap<Quota, Vec<(u64, Limit)>>,
    newest: Option<u64>,
    news: BTreeMap<Quota, News>,
    sums: Sums,
    verdict: Verdict,
}

impl<E: Fn(&str) -> bool> Checker<'_, E> {
    fn step(&mut self, change: &Change) {
        self.verdict.changes += 1;
        let counted = match &change.what {
            Written::Quota(quota, _) => self.verdict.state.quotas.get(quota).cloned(),
            Written::Workload(..) => None,
        };
        if let Written::Quota(quota, Some(now)) = &change.what {
            self.learn(change.revision, quota, counted.as_ref(), now);
        }
        let before = self.verdict.state.apply(change);
        if let Written::Workload(place, now) = &change.what {
            let was = before.as_ref().map_or(0, |(before, _)| before.charge);
            let is = now.as_ref().map_or(0, |now| now.charge);
            self.sums
                .change(change.revision, place.kind, &place.namespace, was, is);
        }
        match &change.what {
            Written::Quota(quota, now) => {
                if let Some(now) = now {
                    let limits = self.limits.entry(quota.clone()).or_default();
                    let asks = |limit: &Limit| (limit.hard, limit.namespaces.clone());
                    if limits
                        .last()
                        .is_none_or(|(_, last)| asks(last) != asks(now))
                    {
                        let ledger = None;
                        limits.push((
                            change.revision,
                            Limit {
                                ledger,
                                ..now.clone()
                            },
                        ));
                    }
                }
                self.monotonic(change.revision, quota, counted.as_ref(), now.as_ref());
                self.exact(change.revision, quota, now.as_ref());
                self.covered(change.revision, |one| one == quota);
            }
            Written::Workload(place, Some(now)) => {
                self.workload(change.revision, place, before.as_ref(), now);
            }
            Written::Workload(_, None) => {}
        }
    }

    /// Takes note of a quota that is new, or counts other namespaces than before, and of what a count has.
    fn learn(&mut self, revision: u64, quota: &Quota, before: Option<&Limit>, now: &Limit) {
        let news = self.news.entry(quota.clone()).or_default();
        news.learn(before, now, self.attempts.is_news_until(revision));
        if let Some(told) = &now.ledger {
            news.count(revision, told);
        }
    }

    fn workload(
        &mut self,
        revision: u64,
        place: &Place,
        before: Option<&(Workload, u64)>,
        now: &Workload,
    ) {
        self.newest = self.newest.max(now.operation);
        let before = before.filter(|(before, _)| before.uid == now.uid);
        let admitted = before.is_none_or(|(before, _)| before.generation < now.generation);
        if admitted && !now.missing.is_empty() {
            let seen = format!("{place} was admitted without {}", now.missing.join(", "));
            self.report(Promise::Complete, revision, seen);
        }
        let (charge, base) = before.map_or((0, 0), |(before, at)| (before.charge, *at));
        if now.charge <= charge {
            return;
        }
        let rise = format!("{place} from {charge} m to {} m", now.charge);
        if !admitted {
            self.report(Promise::NeverByStatus, revision, rise);
            return;
        }
        let enforces = (self.enforces)(&place.namespace);
        *(if enforces {
            &mut self.verdict.increases
        } else {
            &mut self.verdict.lenient
        }) += 1;
        let Some(sent) = self.attempts.sent(place, base, now.operation) else {
            self.report(Promise::Accounted, revision, rise);
            return;
        };
        if enforces {
            let generation = before.map_or(0, |(before, _)| before.generation);
            let unheld = self.held(revision, (place, base, generation), now, &rise);
            let mut unknown = Vec::new();
            for (quota, seen) in unheld {
                let news = self.news.get_mut(&quota);
                match news.filter(|news| news.is_unknown(&place.namespace, sent)) {
                    Some(news) => {
                        self.verdict.set_aside += 1;
                        news.set_aside(Rise {
                            place,
                            uid: &now.uid,
                            revision,
                            from: charge,
                            to: now.charge,
                        });
                        unknown.push(quota);
                    }
                    None => self.report(Promise::Held, revision, seen),
                }
            }
            self.within_limits(revision, sent, &place.namespace, &unknown, &rise);
        }
        self.covered(revision, |_| true);
    }

    /// `unknown`: quotas that the webhook did not know of.
    fn within_limits(
        &mut self,
        revision: u64,
        sent: u64,
        namespace: &str,
        unknown: &[Quota],
        rise: &str,
    ) {
        let mut over = Vec::new();
        for (quota, limit) in &self.verdict.state.quotas {
            if !limit.covers(namespace) || unknown.contains(quota) {
                continue;
            }
            self.verdict.sums += 1;
            // A hold may be older than an edit, be it of the limit or of the namespaces: it was taken under one of these.
            let in_force = in_force(self.limits.get(quota), sent).map(|limit| {
                let live = self.verdict.state.live(limit, &self.enforces);
                let unheld = self.unheld(quota, limit, sent);
                (live.saturating_sub(unheld), limit.hard)
            });
            let least = in_force.min_by_key(|(live, hard)| live.saturating_sub(*hard));
            if let Some((live, hard)) = least.filter(|(live, hard)| live > hard) {
                over.push(format!(
                    "{rise}: {quota} allowed {hard} m since revision {sent}, and {live} m live"
                ));
            }
        }
        for seen in over {
            self.report(Promise::WithinLimit, revision, seen);
        }
    }

    /// The quotas that have no hold for it.
    fn held(
        &self,
        revision: u64,
        (place, base, generation): (&Place, u64, i64),
        now: &Workload,
        rise: &str,
    ) -> Vec<(Quota, String)> {
        let mut without = Vec::new();
        for (quota, limit) in &self.verdict.state.quotas {
            if !limit.covers(&place.namespace) {
                continue;
            }
            let holds = limit.ledger.as_ref().map_or(&[][..], |told| &told.holds);
            let is_held = holds
                .iter()
                .any(|hold| hold.uid == now.uid && hold.base == base && hold.to >= now.charge);
            if !is_held {
                let others: Vec<_> = holds.iter().filter(|hold| hold.place == *place).collect();
                let seen = format!(
                    "{rise} at revision {revision}, uid {}, written by operation {:?} from generation {generation}: {quota} has no hold \
                     for it at revision {base}; of the same name: {others:?}",
                    now.uid, now.operation
                );
                without.push((quota.clone(), seen));
            }
        }
        without
    }

    fn monotonic(
        &mut self,
        revision: u64,
        quota: &Quota,
        before: Option<&Limit>,
        now: Option<&Limit>,
    ) {
        let snapshot = |limit: Option<&Limit>| limit.and_then(|limit| limit.ledger.clone());
        let (Some(before), Some(now)) = (snapshot(before), snapshot(now)) else {
            return;
        };
        for (resource, at) in before.snapshot {
            let next = now.snapshot.get(&resource).copied().unwrap_or_default();
            if next < at {
                let seen = format!("{quota}: {resource} at revision {next}, and at {at} before");
                self.report(Promise::Monotonic, revision, seen);
            }
        }
    }

    /// In its scope of now: a count for an older generation may have been for another one.
    fn exact(&mut self, revision: u64, quota: &Quota, now: Option<&Limit>) {
        let Some((limit, told)) = now.and_then(|now| Some((now, now.ledger.as_ref()?))) else {
            return;
        };
        let held = self.sums.at(limit, &told.snapshot);
        if told.observed == limit.generation && told.confirmed != held {
            let seen = format!(
                "{quota} was counted as {} m at {:?}, where {held} m lived",
                told.confirmed, told.snapshot
            );
            self.report(Promise::Exact, revision, seen);
        }
    }

    fn covered(&mut self, revision: u64, which: impl Fn(&Quota) -> bool) {
        let mut less = Vec::new();
        for (quota, limit) in &self.verdict.state.quotas {
            let Some(told) = limit.ledger.as_ref().filter(|_| which(quota)) else {
                continue;
            };
            let news = self.news.get(quota);
            if news.is_some_and(|news| news.is_uncounted(told)) {
                continue; // not counted in this scope yet, and nothing rises until it is
            }
            let unheld = self.unheld(quota, limit, revision);
            let live = self.verdict.state.live(limit, &self.enforces);
            let live = live.saturating_sub(unheld);
            if live > told.usage {
                less.push(format!(
                    "{quota} has {} m used and held, and {live} m live",
                    told.usage
                ));
            }
        }
        for seen in less {
            self.report(Promise::Covered, revision, seen);
        }
    }

    fn unheld(&self, quota: &Quota, limit: &Limit, known: u64) -> u64 {
        let news = self.news.get(quota);
        news.map_or(0, |news| news.unheld(limit, &self.verdict.state, known))
    }

    fn report(&mut self, promise: Promise, revision: u64, seen: String) {
        self.verdict.violations.push(Violation {
            promise,
            revision: Some(revision),
            operation: self.newest,
            seen,
        });
    }
}

/// What a quota has asked for from a revision on, the newest first.
fn in_force(limits: Option<&Vec<(u64, Limit)>>, since: u64) -> impl Iterator<Item = &Limit> {
    let mut is_older = false;
    limits
        .into_iter()
        .flatten()
        .rev()
        .take_while(move |(from, _)| !std::mem::replace(&mut is_older, *from <= since))
        .map(|(_, limit)| limit)
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
