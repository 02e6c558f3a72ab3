//! The second gate: whether the quota ledger covers what is about to be started or grown.
//!
//! # The rule
//!
//! Every quota whose scope holds the namespace must cover the object. A quota covers it if
//!
//! 1. a hold that was taken at admission is pending for it, up to the charge that it is to have: admission has decided; or
//! 2. it is in the confirmed usage, and usage (confirmed and held) is within the limit: whoever is counted then fits, and
//!    whatever is admitted later is measured against a count that contains it.
//!
//! What was stored past admission is counted all the same, and may push usage above the limit. Then those that wait to start or to
//! grow give way, the newest first, until the rest fits:
//!
//! * what has been started (`allocatedMilli`), and whatever is charged and not Sluice's to start, keeps its CPU. It is never
//!   stopped nor shrunk, and its recovery is never asked for here;
//! * what waits is taken in turn, whatever its kind and whether it starts or grows: who was refused first comes first, then who was
//!   created first, then the larger. The first that does not fit stops the turn, so that small ones cannot overtake a large one for ever;
//! * one that alone is larger than the limit is passed over: it would stop the turn for ever.
//!
//! Growth past the limit is let through where `onGrowth` is Warn or Ignore, as at admission; with Enforce what runs runs on as it
//! is, and waits for its turn. A namespace whose mode for quotas is `warn` or `off` is let through as well.
//!
//! Until a quota has been counted, nothing starts in its scope.

use sluice_api::quota::OnGrowth;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{
    Account, Ask, CHARGE_FN, Figures, Hold, Reason, Refusal, Scope, usage::Tally,
};

use super::claim::Claim;
use super::standing::{Counted, Standing};

/// What the gate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every quota covers it.
    Open,
    /// One has not been counted yet; it will be in a moment. Why, in a sentence.
    NotCounted(String),
    /// One has no room.
    Refused(Box<Refusal>),
}

/// Whether every quota covers a claim. `waiting`: all that wait to start or to grow, the claim itself among them or
/// not.
pub fn judge(claim: &Claim, standings: &[Standing], waiting: &[Claim]) -> Verdict {
    let mut refused = None;
    for standing in standings {
        match one(claim, standing, waiting) {
            Verdict::Open => {}
            Verdict::Refused(refusal) => {
                refused.get_or_insert(refusal);
            }
            // Without all the figures nothing is told.
            not_counted @ Verdict::NotCounted(_) => return not_counted,
        }
    }
    refused.map_or(Verdict::Open, Verdict::Refused)
}

/// Whether some quota is above its limit, so that it matters who else waits.
pub fn is_crowded(standings: &[Standing]) -> bool {
    standings.iter().any(|standing| {
        let account = standing.account.as_ref();
        account.is_ok_and(|account| account.book.usage() > account.hard)
    })
}

fn one(claim: &Claim, standing: &Standing, waiting: &[Claim]) -> Verdict {
    let account = match &standing.account {
        Ok(account) => account,
        Err(error) => {
            return Verdict::NotCounted(format!(
                "{} cannot be read: {error}; correct it",
                standing.quota
            ));
        }
    };
    if account.book.charge_fn != CHARGE_FN || account.book.observed_generation != account.generation
    {
        return Verdict::NotCounted(format!("{} has not been counted yet", standing.quota));
    }
    match standing.counted {
        Counted::Held(to) if to >= claim.demand => return Verdict::Open,
        Counted::Confirmed(charge) if charge >= claim.demand => {}
        _ => {
            return Verdict::NotCounted(format!(
                "{} does not count this object yet",
                standing.quota
            ));
        }
    }
    if account.book.usage() <= account.hard {
        return Verdict::Open;
    }
    if claim.ask() == Ask::Growth && account.on_growth != OnGrowth::Enforce {
        return Verdict::Open;
    }
    turn(claim, account, &standing.scope, waiting)
}

/// Whether the claim's turn has come.
fn turn(claim: &Claim, account: &Account, scope: &Scope, waiting: &[Claim]) -> Verdict {
    let is_held = |uid: &str| {
        account
            .book
            .pending
            .iter()
            .any(|hold: &Hold| hold.uid == uid)
    };
    let waits = |other: &Claim| {
        let is_let_through = other.ask() == Ask::Growth && account.on_growth != OnGrowth::Enforce;
        other.uid != claim.uid
            && scope.contains(&other.namespace)
            && !is_held(&other.uid)
            && !is_let_through
    };
    let mut queue: Vec<&Claim> = waiting
        .iter()
        .filter(|other| waits(other))
        .chain([claim])
        .collect();
    queue.sort_by_cached_key(|claim| claim.turn());
    let asked: MilliCpu = queue.iter().map(|claim| claim.asked()).sum();
    let mut used = account.book.confirmed.minus(asked);
    let reserved = Tally::of(&account.book.pending).total();
    for next in queue {
        if next.demand > account.hard {
            if next.uid == claim.uid {
                return refusal(claim, account, used);
            }
            continue;
        }
        let fits = used.plus(reserved).plus(next.asked()) <= account.hard;
        if next.uid == claim.uid {
            return if fits {
                Verdict::Open
            } else {
                refusal(claim, account, used)
            };
        }
        // Ahead of this one, whether it fits or waits for room that it will get first.
        used = used.plus(next.asked());
    }
    Verdict::Open
}

fn refusal(claim: &Claim, account: &Account, used: MilliCpu) -> Verdict {
    Verdict::Refused(Box::new(Refusal {
        quota: account.key.clone(),
        ask: claim.ask(),
        reason: Reason::OverLimit,
        figures: Figures {
            hard: account.hard,
            used,
            reserved: account.book.reserved(),
            asked: claim.asked(),
        },
    }))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use rstest::rstest;
    use sluice_policy::ledger::{Book, ObjectKey, QuotaKey, Revision};

    use super::*;

    fn claim(uid: &str, demand: u64, refused_since: Option<i64>, created: i64) -> Claim {
        let at = |second| Timestamp::from_second(second).unwrap();
        Claim {
            uid: uid.into(),
            namespace: "team-a".into(),
            allocated: MilliCpu::ZERO,
            demand: MilliCpu(demand * 1000),
            refused_since: refused_since.map(at),
            created: at(created),
        }
    }

    fn standing(hard: u64, confirmed: u64, counted: Counted) -> Standing {
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
            counted,
        }
    }

    fn confirmed(milli: u64) -> Counted {
        Counted::Confirmed(MilliCpu(milli * 1000))
    }

    /// Of 10 CPU; what is counted beside those that wait has been started.
    #[rstest]
    #[case::all_fits(10, &[("a", 4, None, 1)], "a")]
    #[case::two_wait_and_the_older_fits(13, &[("b", 4, None, 2), ("a", 4, None, 1)], "a")]
    #[case::nobody_fits(14, &[("a", 4, None, 1)], "")]
    #[case::who_was_refused_first_comes_first(13, &[("a", 4, None, 1), ("b", 4, Some(50), 2)], "b")]
    #[case::refused_earlier_before_refused_later(13, &[("a", 4, Some(60), 1), ("b", 4, Some(50), 2)], "b")]
    #[case::nor_within_a_second(15, &[("a-small", 2, Some(50), 1), ("big", 6, Some(50), 1)], "")]
    #[case::small_ones_do_not_overtake(15, &[("big", 6, None, 1), ("small", 2, None, 2)], "")]
    #[case::what_never_fits_is_passed_over(24, &[("huge", 20, None, 1), ("small", 2, None, 2)], "small")]
    #[case::both_fit_after_all(10, &[("a", 3, None, 1), ("b", 3, None, 2)], "ab")]
    fn turns(
        #[case] usage: u64,
        #[case] queue: &[(&str, u64, Option<i64>, i64)],
        #[case] expected: &str,
    ) {
        let waiting: Vec<Claim> = queue
            .iter()
            .map(|(uid, demand, since, created)| claim(uid, *demand, *since, *created))
            .collect();
        let mut open: Vec<&str> = waiting
            .iter()
            .filter(|claim| {
                let counted = Counted::Confirmed(claim.demand);
                judge(claim, &[standing(10, usage, counted)], &waiting) == Verdict::Open
            })
            .map(|claim| claim.uid.as_str())
            .collect();
        open.sort_unstable();
        assert_eq!(open.concat(), expected);
    }

    #[test]
    fn a_refusal_has_the_words_and_figures_of_admission() {
        let claim = claim("a", 8, None, 1);
        let verdict = judge(&claim, &[standing(10, 14, confirmed(8))], &[]);
        let Verdict::Refused(refusal) = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(
            refusal.message("sessioncluster", "analytics"),
            "CpuQuota \"team-a/default\": starting sessioncluster \"analytics\" needs 8 CPU; 4 of 10 are free (6 in use, 0 \
             reserved). Stop a workload or ask for 4 more CPU. [quota/cpu]"
        );
    }

    #[test]
    fn a_hold_of_admission_opens_whatever_the_figures_and_one_for_less_does_not() {
        let claim = claim("a", 8, None, 1);
        let held = |milli| {
            judge(
                &claim,
                &[standing(1, 99, Counted::Held(MilliCpu(milli)))],
                &[],
            )
        };
        assert_eq!(held(8000), Verdict::Open);
        assert!(matches!(held(7000), Verdict::NotCounted(_)));
    }

    #[test]
    fn holds_of_others_keep_their_room() {
        let claim = claim("a", 4, None, 1);
        let mut standing = standing(10, 8, confirmed(4));
        let hold = Hold {
            id: "r-1".into(),
            object: ObjectKey {
                resource: "sessionclusters.sluice.dev".into(),
                namespace: "team-a".into(),
                name: "b".into(),
            },
            uid: "b".into(),
            base: Revision(0),
            from: MilliCpu::ZERO,
            to: MilliCpu(4000),
            by: "ann".into(),
        };
        assert_eq!(
            judge(&claim, std::slice::from_ref(&standing), &[]),
            Verdict::Open
        );
        standing.account.as_mut().unwrap().book.pending = vec![hold];
        assert!(matches!(
            judge(&claim, &[standing], &[]),
            Verdict::Refused(_)
        ));
    }

    #[rstest]
    #[case(OnGrowth::Warn, true)]
    #[case(OnGrowth::Ignore, true)]
    #[case(OnGrowth::Enforce, false)]
    fn growth_is_refused_only_where_the_quota_enforces(
        #[case] on_growth: OnGrowth,
        #[case] opens: bool,
    ) {
        let mut claim = claim("a", 8, None, 1);
        claim.allocated = MilliCpu(2000);
        let mut standing = standing(10, 12, confirmed(8));
        standing.account.as_mut().unwrap().on_growth = on_growth;
        let verdict = judge(&claim, &[standing], &[]);
        assert_eq!(verdict == Verdict::Open, opens, "{verdict:?}");
        if let Verdict::Refused(refusal) = verdict {
            assert_eq!(
                refusal.message("sessioncluster", "a"),
                "CpuQuota \"team-a/default\": growing sessioncluster \"a\" needs 6 more CPU; 4 of 10 are free (6 in use, 0 \
                 reserved). Stop a workload or ask for 2 more CPU. [quota/cpu]"
            );
        }
    }

    #[test]
    fn a_quota_that_is_not_counted_yet_opens_nothing() {
        let claim = claim("a", 1, None, 1);
        let mut new = standing(10, 0, confirmed(1));
        new.account.as_mut().unwrap().book.charge_fn = 0;
        let mut changed = standing(10, 1, confirmed(1));
        changed.account.as_mut().unwrap().generation = 2;
        let unseen = standing(10, 0, Counted::No);
        for standing in [new, changed, unseen] {
            let verdict = judge(&claim, &[standing], &[]);
            assert!(matches!(verdict, Verdict::NotCounted(_)), "{verdict:?}");
        }
        assert_eq!(judge(&claim, &[], &[]), Verdict::Open, "no quota, no limit");
    }
}
