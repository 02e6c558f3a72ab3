//! What the ledgers say of an object, to whoever asks.

use sluice_policy::ledger::Watched;

use super::Keeper;
use crate::ledger::quotas::QuotaCopy;
use crate::ledger::standing::{Answer, Counted, Question, Standing};

impl Keeper<'_> {
    /// Tells what the ledgers say of an object.
    pub(super) fn answer(&self, question: Question) {
        let answer = if self.listed.len() == 2 && self.settled {
            let counting = self
                .quotas
                .values()
                .filter(|known| known.copy.scope.contains(&question.namespace));
            Answer::Quotas(
                counting
                    .map(|known| self.standing(&known.copy, &question))
                    .collect(),
            )
        } else {
            Answer::NotYet
        };
        // Whoever has asked may have lost interest.
        let _ = question.answer.send(answer);
    }

    fn standing(&self, copy: &QuotaCopy, question: &Question) -> Standing {
        let counted = copy.account.as_ref().map_or(Counted::No, |account| {
            let held = account
                .book
                .pending
                .iter()
                .filter(|hold| hold.uid == question.uid)
                .map(|hold| hold.to)
                .max();
            let seen = match self.inventory.get(&question.resource) {
                Some(Watched::At(listing)) => listing.get(&question.uid),
                _ => None,
            };
            match (held, seen) {
                (Some(to), _) => Counted::Held(to),
                // What is in the book is what is in the inventory, and this very object is.
                (None, Some(seen))
                    if seen.revision >= question.revision
                        && account.book.confirmed == self.inventory.charge(&copy.scope) =>
                {
                    Counted::Confirmed(seen.charge)
                }
                _ => Counted::No,
            }
        });
        Standing {
            quota: copy.key.clone(),
            scope: copy.scope.clone(),
            account: copy.account.clone(),
            counted,
        }
    }
}
