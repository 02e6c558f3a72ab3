//! Since when this process has known each hold. It outlives leadership, and who stands by takes note as well: a new leader that
//! began to count anew would let holds whose write never came stand for longer, as often as leaders change.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sluice_api::quota::{ClusterCpuQuota, CpuQuota};
use sluice_policy::ledger::{Ages, Book, Hold, QuotaKey};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::quotas::{self, Kind, QuotaCopy, QuotaNews};

/// Holds by quota, each with when this process first saw it. Times are this process's own, never another's.
#[derive(Debug)]
pub struct Sightings {
    began: Instant,
    by_quota: Mutex<BTreeMap<QuotaKey, Ages>>,
}

impl Default for Sightings {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            by_quota: Mutex::default(),
        }
    }
}

impl Sightings {
    fn note(&self, copy: &QuotaCopy) {
        if let Ok(account) = &copy.account {
            self.due(&copy.key, &account.book, Duration::MAX);
        }
    }

    /// The holds that this process has known for `undecided`; what it sees for the first time is noted.
    pub fn due(&self, key: &QuotaKey, book: &Book, undecided: Duration) -> Vec<Hold> {
        let now = self.began.elapsed();
        let mut by_quota = self.by_quota();
        let ages = by_quota.entry(key.clone()).or_default();
        ages.due(now, undecided, book)
            .into_iter()
            .cloned()
            .collect()
    }

    /// Follows the quotas while another process leads. Never returns; dropping the future ends its watches.
    pub async fn gather(&self, client: &kube::Client) {
        let (tell, mut news) = mpsc::channel(64);
        tokio::select! {
            () = quotas::follow::<CpuQuota>(client.clone(), Kind::Namespaced, tell.clone()) => {}
            () = quotas::follow::<ClusterCpuQuota>(client.clone(), Kind::Cluster, tell) => {}
            () = async { while let Some(what) = news.recv().await { self.learn(&what); } } => {}
        }
    }

    /// Takes note of holds, and forgets quotas that are gone.
    pub fn learn(&self, what: &QuotaNews) {
        match what {
            QuotaNews::Listed(kind, copies) => {
                self.by_quota()
                    .retain(|key, _| !kind.has(key) || copies.iter().any(|copy| copy.key == *key));
                for copy in copies {
                    self.note(copy);
                }
            }
            QuotaNews::Put(copy) => self.note(copy),
            QuotaNews::Deleted(key) => {
                self.by_quota().remove(key);
            }
        }
    }

    fn by_quota(&self) -> MutexGuard<'_, BTreeMap<QuotaKey, Ages>> {
        self.by_quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
