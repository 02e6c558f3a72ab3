//! The code under test, and the known ways to get it wrong. The checker must refute each of them: a model that cannot tell
//! them from the real thing checks nothing.

use sluice_policy::MilliCpu;
use sluice_policy::ledger::{
    Account, Behind, Book, Found, Hold, Outcome, Request, Round, Scope, Step, Watched, confirm,
    expire, reserve,
};

use crate::world::{RESOURCE, View};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// What runs.
    Real,
    /// A counter that admission raises and a controller recounts from its cache (as the in-tree ResourceQuota).
    CounterAndRecount,
    /// A leader counts from whatever snapshot it has.
    SnapshotMayGoBack,
    /// A hold is dropped because it is old.
    ExpireByTime,
    /// A hold is dropped when the object is seen with the charge that was asked for.
    ConfirmByValue,
    /// Holds are told apart by the review's uid, so each retry counts again.
    ReviewUidAsKey,
    /// An attempt relies on the hold that another attempt at the same transition took.
    SharedHold,
    /// The status is written whatever its resource version is.
    BlindWrite,
    /// An absent uid counts as deleted, however old the list is.
    AbsentIsGone,
}

impl Variant {
    pub fn reserve(self, account: &Account, requests: &[Request]) -> Round {
        match self {
            Variant::CounterAndRecount => count_up(account, requests),
            Variant::ReviewUidAsKey => each_review_counts(account, requests),
            Variant::SharedHold => shared(account, requests),
            _ => reserve(account, requests),
        }
    }

    pub fn confirm(self, account: &Account, view: &View) -> Result<Option<Book>, Behind> {
        let real = |account: &Account| confirm(account, &Scope::Everywhere, &view.inventory);
        match self {
            Variant::CounterAndRecount => {
                let mut book = account.book.clone();
                book.confirmed = view.inventory.charge(&Scope::Everywhere);
                Ok((book != account.book).then_some(book))
            }
            Variant::SnapshotMayGoBack => {
                let mut forgetful = account.clone();
                forgetful.book.snapshot.clear();
                real(&forgetful)
            }
            Variant::ConfirmByValue => Ok(real(account)?
                .or_else(|| Some(account.book.clone()))
                .map(|mut book| {
                    book.pending.clone_from(&account.book.pending);
                    book.pending.retain(|hold| {
                        charge_seen(view, hold).is_none_or(|charge| charge < hold.to)
                    });
                    book
                })),
            Variant::AbsentIsGone => {
                Ok(real(account)?
                    .or_else(|| Some(account.book.clone()))
                    .map(|mut book| {
                        book.pending
                            .retain(|hold| charge_seen(view, hold).is_some());
                        book
                    }))
            }
            _ => real(account),
        }
    }

    pub fn expire(self, hold: &Hold, found: &Found) -> Step {
        match self {
            Variant::ExpireByTime => Step::Drop,
            _ => expire::decide(hold, found),
        }
    }

    pub fn usage(self, book: &Book) -> MilliCpu {
        match self {
            Variant::ReviewUidAsKey => book.confirmed.plus(
                book.pending
                    .iter()
                    .map(|hold| hold.to.minus(hold.from))
                    .sum(),
            ),
            _ => book.usage(),
        }
    }

    pub fn keeps_holds(self) -> bool {
        self != Variant::CounterAndRecount
    }
}

fn charge_seen(view: &View, hold: &Hold) -> Option<MilliCpu> {
    match view.inventory.get(RESOURCE) {
        Some(Watched::At(listing)) => listing.get(&hold.uid).map(|seen| seen.charge),
        _ => None,
    }
}

fn count_up(account: &Account, requests: &[Request]) -> Round {
    let mut book = account.book.clone();
    let outcomes = requests
        .iter()
        .map(|request| {
            let alone = Account {
                book: Book {
                    pending: vec![],
                    ..book.clone()
                },
                ..account.clone()
            };
            let outcome = reserve(&alone, std::slice::from_ref(request))
                .outcomes
                .remove(0);
            if matches!(outcome, Outcome::Admitted { .. }) {
                book.confirmed = book
                    .confirmed
                    .plus(request.hold.to.minus(request.hold.from));
            }
            outcome
        })
        .collect();
    Round {
        outcomes,
        write: (book != account.book).then_some(book),
    }
}

fn each_review_counts(account: &Account, requests: &[Request]) -> Round {
    let mut book = account.book.clone();
    let outcomes = requests
        .iter()
        .map(|request| {
            // All that earlier reviews hold is in the way, whatever transition they are for.
            let counted = Book {
                confirmed: Variant::ReviewUidAsKey.usage(&book),
                pending: vec![],
                ..book.clone()
            };
            let outcome = reserve(
                &Account {
                    book: counted,
                    ..account.clone()
                },
                std::slice::from_ref(request),
            )
            .outcomes
            .remove(0);
            if matches!(outcome, Outcome::Admitted { .. }) {
                book.pending.push(request.hold.clone());
            }
            outcome
        })
        .collect();
    Round {
        outcomes,
        write: (book != account.book).then_some(book),
    }
}

fn shared(account: &Account, requests: &[Request]) -> Round {
    let mut account = account.clone();
    let before = account.book.clone();
    let outcomes = requests
        .iter()
        .map(|request| {
            let held = |hold: &Hold| hold.uid == request.hold.uid && hold.base == request.hold.base;
            if account.book.pending.iter().any(held) {
                return Outcome::Admitted { over: None };
            }
            let mut round = reserve(&account, std::slice::from_ref(request));
            if let Some(book) = round.write {
                account.book = book;
            }
            round.outcomes.remove(0)
        })
        .collect();
    Round {
        outcomes,
        write: (account.book != before).then_some(account.book),
    }
}
