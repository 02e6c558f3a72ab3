//! Confirming: usage is counted anew at a snapshot that is not older than the last, and holds that this snapshot covers
//! are dropped, in one compare-and-swap.
//!
//! A hold is dropped by cover alone, never by value, by generation or by time: whatever its write did or will fail to do is
//! then contained in the count.

use super::CHARGE_FN;
use super::account::Account;
use super::book::{Book, Hold};
use super::inventory::{Inventory, Scope, Watched};
use crate::sabotage::Sabotage;

/// The inventory is not as new as the quota's snapshot, so that counting from it could lose what was confirmed already.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{resource} is not yet known at the revision that this quota was counted at")]
pub struct Behind {
    /// Which resource.
    pub resource: String,
}

/// Counts a quota from the inventory.
///
/// `Ok(Some(book))` is to be written at the resource version of the copy; `Ok(None)`: nothing that matters has changed.
pub fn confirm(
    account: &Account,
    scope: &Scope,
    inventory: &Inventory,
) -> Result<Option<Book>, Behind> {
    let old = &account.book;
    let mut book = Book {
        charge_fn: CHARGE_FN,
        observed_generation: account.generation,
        confirmed: inventory.charge(scope),
        snapshot: old.snapshot.clone(),
        pending: Vec::new(),
    };
    for (resource, watched) in inventory.iter() {
        match watched {
            Watched::At(listing) => {
                let at = book.snapshot.entry(resource.to_owned()).or_default();
                if listing.revision() < *at && !Sabotage::OldSnapshot.is_on() {
                    return Err(Behind {
                        resource: resource.to_owned(),
                    });
                }
                *at = listing.revision();
            }
            // Once it was counted: another leader may have counted new objects of it and dropped their holds.
            Watched::Absent if old.snapshot.contains_key(resource) => {
                return Err(Behind {
                    resource: resource.to_owned(),
                });
            }
            // Its entry in the snapshot stays, should the kind come back.
            Watched::Absent | Watched::ProvenAbsent => {}
            Watched::Unknown => {
                return Err(Behind {
                    resource: resource.to_owned(),
                });
            }
        }
    }
    if let Some(resource) = old
        .snapshot
        .keys()
        .find(|name| inventory.get(name).is_none())
    {
        return Err(Behind {
            resource: resource.clone(),
        });
    }
    book.pending = old
        .pending
        .iter()
        .filter(|hold| !covered(hold, inventory) && !Sabotage::DropHolds.is_on())
        .cloned()
        .collect();
    // Holds measured by another charge function cannot be added to this count: close the ledger until they are decided.
    if old.charge_fn != CHARGE_FN && !book.pending.is_empty() {
        book.charge_fn = 0;
    }
    let same = book.confirmed == old.confirmed
        && book.pending.len() == old.pending.len()
        && book.charge_fn == old.charge_fn
        && book.observed_generation == old.observed_generation;
    Ok((!same).then_some(book))
}

/// Whether the inventory contains all that the hold's write did, or proves that it can never succeed.
pub fn covered(hold: &Hold, inventory: &Inventory) -> bool {
    let Some(Watched::At(listing)) = inventory.get(&hold.object.resource) else {
        return false;
    };
    match listing.get(&hold.uid) {
        Some(_) if hold.is_create() => true,
        Some(seen) => seen.revision > hold.base,
        None if hold.is_create() => listing.saw_deleted(&hold.uid),
        // At its base the object existed; a list from before that proves nothing.
        None => listing.revision() > hold.base,
    }
}
