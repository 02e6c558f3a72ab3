//! What watches tell: workloads that come, change and go, and quotas. Each marks what is due to be counted.

use sluice_policy::ledger::{CHARGE_FN, Watched};
use tokio::time::Instant;

use super::{Keeper, Known, earlier, holds, show};
use crate::ledger::Resource;
use crate::ledger::quotas::{QuotaCopy, QuotaNews};
use crate::ledger::resources::News;
use crate::metrics::metrics;

/// From how many holds on the debounce is shortened: each batch rewrites all of them.
const MANY_HOLDS: usize = 64;

impl Keeper<'_> {
    pub(super) fn learn(&mut self, resource: &str, what: News) {
        let now = Instant::now();
        let later = now + self.of.settings.debounce;
        match what {
            News::Listed { listing, epoch } => {
                self.epochs.insert(resource.to_owned(), epoch);
                let listing = match self.inventory.get(resource) {
                    Some(Watched::At(older)) => listing.after(older),
                    _ => listing,
                };
                self.inventory.set(resource, Watched::At(listing));
                self.settle();
                self.mark(|_| Some(now));
            }
            News::Absent => {
                if !matches!(self.inventory.get(resource), Some(Watched::Absent)) {
                    self.inventory.set(resource, Watched::Absent);
                    self.settle();
                    self.mark(|_| Some(now));
                }
            }
            News::Put { uid, seen } => {
                let Some(listing) = self.inventory.listing_mut(resource) else {
                    return;
                };
                let before = listing
                    .get(&uid)
                    .map(|before| before.charge)
                    .unwrap_or_default();
                let (charge, namespace) = (seen.charge, seen.namespace.clone());
                listing.put(uid, seen);
                self.mark(|known| {
                    let counts = known.copy.scope.contains(&namespace);
                    match charge.cmp(&before) {
                        std::cmp::Ordering::Less if counts => Some(now),
                        std::cmp::Ordering::Greater if counts => Some(later),
                        _ => holds(known).then_some(later),
                    }
                });
            }
            News::Deleted { uid, at } => {
                let Some(listing) = self.inventory.listing_mut(resource) else {
                    return;
                };
                let before = listing.get(&uid).cloned();
                listing.delete(&uid, at);
                self.mark(|known| match &before {
                    Some(seen)
                        if seen.charge.0 > 0 && known.copy.scope.contains(&seen.namespace) =>
                    {
                        Some(now)
                    }
                    _ => holds(known).then_some(later),
                });
            }
            News::Bookmark(at) => {
                if let Some(listing) = self.inventory.listing_mut(resource) {
                    listing.advance(at);
                }
                self.mark(|known| holds(known).then_some(later));
            }
        }
    }

    /// Takes note once everything is known for the first time: what exists, and by all that its charges look up, or by what could be had
    /// of that in time.
    pub(super) fn settle(&mut self) {
        let is_listed = |resource: &Resource| {
            let watched = self.inventory.get(&resource.key());
            !matches!(watched, None | Some(Watched::Unknown))
        };
        let is_all_listed = self.of.resources.iter().all(is_listed);
        if is_all_listed && !self.wait_for_charges() {
            self.settled = true;
        }
    }

    /// Whether what is listed was charged by all that is known of what charges look up.
    pub(super) fn charges_are_new(&self) -> bool {
        self.of.facts.as_ref().is_none_or(|facts| {
            self.of.resources.iter().all(|resource| {
                let key = resource.key();
                !matches!(self.inventory.get(&key), Some(Watched::At(_)))
                    || self.epochs.get(&key) == Some(&facts.epoch(resource))
            })
        })
    }

    pub(super) fn learn_quota(&mut self, what: QuotaNews) {
        self.of.sightings.learn(&what);
        match what {
            QuotaNews::Listed(kind, copies) => {
                if !self.listed.contains(&kind) {
                    self.listed.push(kind);
                }
                self.quotas.retain(|key, _| {
                    let stays = !kind.has(key) || copies.iter().any(|copy| copy.key == *key);
                    if !stays {
                        metrics().no_quota(key);
                    }
                    stays
                });
                for copy in copies {
                    self.put_quota(copy);
                }
            }
            QuotaNews::Put(copy) => self.put_quota(copy),
            QuotaNews::Deleted(key) => self.forget(&key),
        }
    }

    fn put_quota(&mut self, copy: QuotaCopy) {
        show(&copy);
        let now = Instant::now();
        let (due, log) = match &copy.account {
            Err(error) => (None, Some(error.to_string())),
            Ok(account) => {
                let book = &account.book;
                let urgent =
                    book.charge_fn != CHARGE_FN || book.observed_generation != account.generation;
                let debounce = if book.pending.len() > MANY_HOLDS {
                    self.of.settings.debounce / 4
                } else {
                    self.of.settings.debounce
                };
                let stale = !book.pending.is_empty()
                    || book.confirmed != self.inventory.charge(&copy.scope);
                let due = if urgent {
                    Some(now)
                } else {
                    stale.then_some(now + debounce)
                };
                (due, None)
            }
        };
        if let Some(error) = log {
            tracing::warn!(quota = %copy.key, error, "a quota cannot be read; nothing starts in its scope until it is corrected");
        }
        let known = self
            .quotas
            .entry(copy.key.clone())
            .or_insert_with(|| Known {
                copy: copy.clone(),
                counted: None,
                looked: None,
                due: None,
                not_before: now,
                failures: 0,
                looked_for: None,
            });
        known.take(copy);
        known.due = earlier(known.due, due);
    }
}
