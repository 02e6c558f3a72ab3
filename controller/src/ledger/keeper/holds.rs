//! Holds that neither the watches nor a refusal have decided: their objects are looked for.

use sluice_policy::ledger::{Hold, QuotaKey, Step, expire};

use super::{Keeper, show};
use crate::ledger::quotas::QuotaCopy;
use crate::ledger::undecided;
use crate::metrics::metrics;

/// Holds looked at per quota and tick.
const HOLDS_PER_TICK: usize = 64;

impl Keeper<'_> {
    pub(super) async fn see_to_undecided(&mut self) {
        let mut due: Vec<(QuotaKey, Hold)> = Vec::new();
        for (key, known) in &self.quotas {
            if let Ok(account) = &known.copy.account {
                let undecided = self.of.settings.undecided;
                let holds = self.of.sightings.due(key, &account.book, undecided);
                due.extend(
                    holds
                        .into_iter()
                        .take(HOLDS_PER_TICK)
                        .map(|hold| (key.clone(), hold)),
                );
            }
        }
        for (key, hold) in due {
            self.see_to(&key, &hold).await;
        }
    }

    async fn see_to(&mut self, key: &QuotaKey, hold: &Hold) {
        let Some(resource) = self
            .of
            .resources
            .iter()
            .find(|resource| resource.key() == hold.object.resource)
        else {
            tracing::warn!(quota = %key, resource = hold.object.resource, "a hold is for a resource that this version does not know");
            return;
        };
        let found = match undecided::find(&self.of.client, resource, hold).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(quota = %key, hold = hold.id, %error, "the object of an undecided hold could not be read");
                return;
            }
        };
        match expire::decide(hold, &found) {
            Step::LeaveToConfirm => {}
            Step::Fence => {
                if let Err(error) = undecided::fence(&self.of.client, resource, hold).await {
                    tracing::warn!(quota = %key, hold = hold.id, %error, "an undecided hold could not be fenced");
                }
            }
            Step::Drop => self.drop_hold(key, hold).await,
        }
        // Fenced or not, the next count covers what has moved.
        self.again(key, self.of.settings.debounce);
    }

    async fn drop_hold(&mut self, key: &QuotaKey, hold: &Hold) {
        let Ok(copy) = QuotaCopy::read(&self.of.client, key).await else {
            return;
        };
        let Ok(account) = &copy.account else { return };
        let Some(book) = account.book.release(std::slice::from_ref(&hold.id)) else {
            return;
        };
        match copy.write(&self.of.client, account, &book).await {
            Ok(written) => {
                metrics().expired();
                show(&written);
                tracing::info!(quota = %key, hold = hold.id, object = hold.object.name, "dropped the hold of a write that can no longer come");
                if let Some(known) = self.quotas.get_mut(key) {
                    known.take(written);
                }
            }
            // The next tick finds it again.
            Err(error) => {
                tracing::debug!(quota = %key, hold = hold.id, %error, "a hold is dropped later");
            }
        }
    }
}
