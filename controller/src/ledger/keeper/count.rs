//! Counting the quotas that are due.

use std::time::Duration;

use sluice_policy::ledger::{Account, Behind, Book, QuotaKey, Watched, confirm};
use tokio::time::{Instant, sleep};

use super::{Keeper, Looked, earlier, show};
use crate::ledger::first_look;
use crate::ledger::looks::{Ended, Subject};
use crate::ledger::quotas::{QuotaCopy, QuotaError};
use crate::metrics::metrics;

/// Attempts at one count while others keep writing first; then it is due again.
const ATTEMPTS: u32 = 8;
/// Least time between two writes to one quota, so that a mass deletion is not one write per object.
const LEAST_GAP: Duration = Duration::from_millis(25);
/// Pause after something failed. It doubles each time, up to [`RETRY_AT_MOST`]; news of what was missing is heeded at once.
const RETRY: Duration = Duration::from_secs(1);
/// The longest such pause.
const RETRY_AT_MOST: Duration = Duration::from_secs(5);
/// How many quotas are counted before news, questions and holds have their turn.
const COUNTS_PER_TURN: usize = 16;
/// How long counting waits for charges that are being computed anew. Whoever changes clusters all the time must not end all counting.
const CHARGES_PATIENCE: Duration = Duration::from_secs(10);
/// How long what a look has found is waited for before all is listed again: a deletion may be forgotten that was never seen here.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

impl Keeper<'_> {
    /// Counts those that have been due for the longest.
    pub(super) async fn count_due(&mut self) {
        let now = Instant::now();
        let mut due: Vec<(Instant, QuotaKey)> = self
            .quotas
            .iter()
            .filter_map(|(key, known)| Some((known.due?.max(known.not_before), key.clone())))
            .filter(|(due, _)| *due <= now)
            .collect();
        due.sort_unstable();
        for (_, key) in due.into_iter().take(COUNTS_PER_TURN) {
            self.count(&key).await;
        }
    }

    async fn count(&mut self, key: &QuotaKey) {
        let Some(known) = self.quotas.get_mut(key) else {
            return;
        };
        known.due = None;
        let watched = known.copy.clone();
        if self.looks.is_under_way(key) {
            return; // due again with what it finds
        }
        self.settle();
        if !self.settled || self.wait_for_charges() {
            return self.again(key, RETRY); // or as soon as something has been listed
        }
        // The watched copy tells whether there is anything to do; it is seldom new enough to write at.
        match self.decide(&watched) {
            Ok(None) => return self.succeeded(key),
            Err(behind) if self.waits_for_kind(&behind) => return self.failed(key),
            Ok(Some(_)) | Err(_) => {}
        }
        for attempt in 0..ATTEMPTS {
            if attempt > 1 {
                sleep(Duration::from_millis(u64::from(attempt))).await;
            }
            let copy = match QuotaCopy::read(&self.of.client, key).await {
                Ok(copy) => copy,
                Err(QuotaError::Gone) => return self.forget(key),
                Err(error) => {
                    metrics().failure();
                    tracing::warn!(quota = %key, %error, "reading a quota failed; it is counted later");
                    return self.failed(key);
                }
            };
            let Ok(account) = &copy.account else { return };
            let counted = self.quotas.get(key).and_then(|it| it.counted.as_ref());
            let wider = first_look::may_be_wider(account, &copy.scope, counted);
            if !self.is_scope_known(&copy, account, wider) {
                return;
            }
            let book = match self.decide_with_proof(&copy, account, wider).await {
                Ok(Some(book)) => book,
                Ok(None) => return self.succeeded(key),
                Err(behind) => {
                    tracing::debug!(quota = %key, %behind, "a quota is counted later");
                    return self.failed(key);
                }
            };
            match copy.write(&self.of.client, account, &book).await {
                Ok(written) => {
                    metrics().counted();
                    show(&written);
                    if let Some(known) = self.quotas.get_mut(key) {
                        known.take(written);
                        known.not_before = Instant::now() + LEAST_GAP;
                    }
                    return self.succeeded(key);
                }
                Err(QuotaError::Conflict) => metrics().conflict(),
                Err(QuotaError::Gone) => return self.forget(key),
                Err(error) => {
                    metrics().failure();
                    tracing::warn!(quota = %key, %error, "writing a quota failed; it is counted later");
                    return self.failed(key);
                }
            }
        }
        self.again(key, LEAST_GAP);
    }

    /// Whether charges are about to be computed anew, and have not been for long. Until then a hold could be given back for less than what it was taken for.
    pub(super) fn wait_for_charges(&mut self) -> bool {
        if self.charges_are_new() {
            self.charges_old_since = None;
            return false;
        }
        let since = self.charges_old_since.get_or_insert_with(Instant::now);
        since.elapsed() < CHARGES_PATIENCE
    }

    fn decide(&self, copy: &QuotaCopy) -> Result<Option<Book>, Behind> {
        copy.account.as_ref().map_or(Ok(None), |account| {
            confirm(account, &copy.scope, &self.inventory)
        })
    }

    /// Whether what is known may be counted in this scope, now that the quota has been read. If not, it is due again in time.
    fn is_scope_known(&mut self, copy: &QuotaCopy, account: &Account, wider: bool) -> bool {
        let resources =
            first_look::open_resources(&self.of.resources, &self.inventory, account, wider);
        if resources.is_empty() {
            return true;
        }
        let Some(known) = self.quotas.get_mut(&copy.key) else {
            return false;
        };
        let subject = Subject {
            uid: copy.uid().to_owned(),
            generation: account.generation,
            resources,
        };
        let still_holds =
            |looked: &Looked| looked.subject == subject && looked.at.elapsed() < LOOK_AGAIN;
        if let Some(mut looked) = known.looked.take().filter(still_holds) {
            let is_known = looked.look.is_known(&self.inventory);
            known.looked = Some(looked);
            if !is_known {
                self.again(&copy.key, self.of.settings.debounce);
            }
            return is_known;
        }
        self.looks.begin(&copy.key, subject, copy.scope.clone());
        false
    }

    /// A look is over: its quota is due again.
    pub(super) fn take_look(&mut self, ended: Ended) {
        let key = &ended.key;
        match (self.quotas.get_mut(key), ended.look) {
            (None, _) => {}
            (Some(known), Ok(look)) => {
                let at = Instant::now();
                known.looked = Some(Looked {
                    subject: ended.subject,
                    look,
                    at,
                });
                known.due = earlier(known.due, Some(at));
            }
            (Some(_), Err(error)) => {
                metrics().failure();
                tracing::warn!(quota = %key, %error, "what exists in a quota's scope could not be listed; it is counted later");
                self.failed(key);
            }
        }
    }

    /// As [`Self::decide`]; whether a resource that is not served is gone is asked anew, now that the quota has been read. One that this quota
    /// has not counted yet matters where it may count more than before: objects of it may exist that it has no holds for.
    async fn decide_with_proof(
        &mut self,
        copy: &QuotaCopy,
        account: &Account,
        wider: bool,
    ) -> Result<Option<Book>, Behind> {
        let mut proven = Vec::new();
        let mut there = None;
        for resource in &self.of.resources {
            let key = resource.key();
            let matters = wider || account.book.snapshot.contains_key(&key);
            if !matters || !matches!(self.inventory.get(&key), Some(Watched::Absent)) {
                continue;
            }
            if !self.absences.is_gone(&self.of.client, resource).await {
                there = Some(Behind { resource: key });
                break;
            }
            self.inventory.set(&key, Watched::ProvenAbsent);
            proven.push(key);
        }
        let decided = there.map_or_else(|| self.decide(copy), Err);
        for key in proven {
            self.inventory.set(&key, Watched::Absent);
        }
        decided
    }

    /// Whether a quota is behind because of a kind that is not served, and was found not to be gone only a moment ago: no use asking again.
    fn waits_for_kind(&self, behind: &Behind) -> bool {
        let watched = self.inventory.get(&behind.resource);
        matches!(watched, Some(Watched::Absent)) && self.absences.is_there(&behind.resource)
    }

    /// A quota is counted, or needs no count.
    fn succeeded(&mut self, key: &QuotaKey) {
        if let Some(known) = self.quotas.get_mut(key) {
            known.failures = 0;
            known.looked = None;
        }
    }

    /// A quota could not be counted.
    fn failed(&mut self, key: &QuotaKey) {
        if let Some(known) = self.quotas.get_mut(key) {
            let pause = RETRY * 2_u32.saturating_pow(known.failures.min(8));
            known.failures = known.failures.saturating_add(1);
            self.again(key, pause.min(RETRY_AT_MOST));
        }
    }
}
