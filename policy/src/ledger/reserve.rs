//! Taking holds: a batch of requests, evaluated first come first served against one copy of one quota.
//!
//! What comes out is one answer per request and at most one book to be written by compare-and-swap. The answers count only
//! once that write has succeeded; after a conflict the whole batch is evaluated again against a live copy.

use sluice_api::quota::{MAX_PENDING, OnGrowth};

use super::CHARGE_FN;
use super::account::{Account, QuotaKey};
use super::book::{Book, Hold};
use super::refusal::{Figures, Reason, Refusal};
use super::usage::Tally;

/// Most undecided attempts at one object, as it is stored, in a quota. Each takes a line of the list that all its namespaces share, though
/// their CPU counts once, and one whose write is refused behind us stays for [`super::expire::UNDECIDED`]: whoever repeats such a
/// request would fill the list by himself. What is refused changes no object, so all of them stand on one revision; whoever gets
/// through has another one from then on. An API server that meets conflicts sends one request five times, so nobody else comes to as many.
pub const ATTEMPTS_AT_ONE: usize = 8;

/// Most undecided attempts of one namespace in a `ClusterCpuQuota`: the others' starts must not end with the names that one of them tries.
/// A quarter is more than an API server stores in a namespace between two counts, and leaves room for all others where two of
/// them have theirs full.
pub const ATTEMPTS_OF_ONE: usize = MAX_PENDING / 4;

/// Whether a workload is asked to run, or runs and is asked to grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Its desired state becomes running.
    Start,
    /// It runs already.
    Growth,
}

/// What the namespace's mode makes of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// It stands.
    Enforce,
    /// Modes `warn` and `off`: the increase is let through, and holds, so that the next one sees it.
    LetThrough,
}

/// Whether the request leaves a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Run {
    /// It does.
    Real,
    /// Decided alike, never written.
    DryRun,
}

/// One increase that wants a hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// The hold as it would be written.
    pub hold: Hold,
    /// Start or growth.
    pub ask: Ask,
    /// The namespace's mode.
    pub enforcement: Enforcement,
    /// Real or dry-run.
    pub run: Run,
}

/// Why an increase past the limit was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// `onGrowth: Warn`: tell the user.
    GrowthWarned,
    /// `onGrowth: Ignore`: say nothing.
    GrowthIgnored,
    /// The namespace's mode is not `enforce`.
    NotEnforced,
}

/// An increase past the limit that was let through.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Over {
    /// Why it was let through.
    pub why: Why,
    /// The refusal that it would have been.
    pub refusal: Refusal,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Charge does not rise: no ledger is needed and none may stand in the way.
    Unneeded,
    /// It holds (in a dry-run: it would).
    Admitted {
        /// Set if that goes past the limit.
        over: Option<Over>,
    },
    /// It does not hold.
    Refused(Refusal),
}

/// What a batch comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// One answer per request, in their order. True once `write` is written, or at once where there is nothing to write
    /// and the copy is current.
    pub outcomes: Vec<Outcome>,
    /// The book to write at the resource version of the copy; `None` if nothing changes.
    pub write: Option<Book>,
}

/// Evaluates a batch against one copy of a quota.
pub fn reserve(account: &Account, requests: &[Request]) -> Round {
    let mut book = account.book.clone();
    let mut tally = Tally::of(&book.pending);
    let outcomes = requests
        .iter()
        .map(|request| one(account, &mut book, &mut tally, request))
        .collect();
    let changed = book.pending.len() > account.book.pending.len();
    Round {
        outcomes,
        write: changed.then_some(book),
    }
}

/// Why no increase may be added to this ledger now.
fn closed(account: &Account) -> Option<Reason> {
    match account.book.charge_fn {
        0 => Some(Reason::NotInitialised),
        CHARGE_FN if account.book.observed_generation != account.generation => {
            Some(Reason::SpecNotObserved)
        }
        CHARGE_FN => None,
        found => Some(Reason::OtherChargeFunction { found }),
    }
}

/// Why one more hold like this finds no place in the list. The narrowest reason first: it names who has to do something.
fn crowded(account: &Account, book: &Book, one: &Hold) -> Option<Reason> {
    let most = |is_meant: &dyn Fn(&Hold) -> bool, limit| {
        let holds = book.pending.iter().filter(|hold| is_meant(hold));
        holds.count() >= limit
    };
    let shared = matches!(account.key, QuotaKey::Cluster { .. });
    let namespace = &one.object.namespace;
    if most(
        &|hold| hold.base == one.base && hold.object == one.object,
        ATTEMPTS_AT_ONE,
    ) {
        Some(Reason::AttemptsAtOne)
    } else if shared && most(&|hold| hold.object.namespace == *namespace, ATTEMPTS_OF_ONE) {
        Some(Reason::AttemptsOfOne {
            namespace: namespace.clone(),
        })
    } else {
        (book.pending.len() >= MAX_PENDING).then_some(Reason::TooManyPending)
    }
}

fn one(account: &Account, book: &mut Book, tally: &mut Tally, request: &Request) -> Outcome {
    let hold = &request.hold;
    if hold.to <= hold.from {
        return Outcome::Unneeded;
    }
    let asked = hold.to.minus(hold.from);
    let refusal = |reason, tally: &Tally| Refusal {
        quota: account.key.clone(),
        ask: request.ask,
        reason,
        figures: Figures {
            hard: account.hard,
            used: account.book.confirmed,
            reserved: tally.total(),
            asked,
        },
    };
    // A write whose answer was lost has happened after all.
    if book.holds(&hold.id) {
        return Outcome::Admitted { over: None };
    }
    if let Some(reason) = closed(account) {
        return Outcome::Refused(refusal(reason, tally));
    }
    if let Some(reason) = crowded(account, book, hold) {
        return Outcome::Refused(refusal(reason, tally));
    }
    let confirmed = account.book.confirmed;
    let over = if confirmed.plus(tally.with(hold)) <= account.hard {
        None
    } else {
        let reason = if confirmed.plus(asked) > account.hard {
            Reason::OverLimit
        } else {
            Reason::HoldsInTheWay
        };
        let refusal = refusal(reason, tally);
        match let_through(account.on_growth, request) {
            None => return Outcome::Refused(refusal),
            Some(why) => Some(Over { why, refusal }),
        }
    };
    if request.run == Run::Real {
        tally.add(hold);
        book.pending.push(hold.clone());
    }
    Outcome::Admitted { over }
}

/// Why an increase past the limit passes, if it does. The quota's own word comes before the namespace's mode, so that growth
/// that is always let through does not count as a rule that was not enforced.
fn let_through(on_growth: OnGrowth, request: &Request) -> Option<Why> {
    match (request.ask, on_growth, request.enforcement) {
        (Ask::Growth, OnGrowth::Warn, _) => Some(Why::GrowthWarned),
        (Ask::Growth, OnGrowth::Ignore, _) => Some(Why::GrowthIgnored),
        (_, _, Enforcement::LetThrough) => Some(Why::NotEnforced),
        (_, _, Enforcement::Enforce) => None,
    }
}
