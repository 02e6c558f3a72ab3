//! A refusal that the next count will overturn: the user has just stopped or deleted what stands in the way, or the quota has
//! just been edited, and the controller's leader counts it in this very moment.
//!
//! Scripts that stop and start, and `kubectl replace --force`, come so close behind. They wait for the count, as long as it can
//! be told that there is something to wait for; an ordinary refusal is given at once.

use crate::ledger::LedgerMetrics;
use crate::world::Caches;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{QuotaKey, Reason, Refusal};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Longest that one request waits for counts. The leader takes some ten milliseconds.
pub(super) const WITHIN: Duration = Duration::from_millis(500);
/// Evaluations anew of one request.
pub(super) const LOOKS: u32 = 4;
/// Before a look for which nothing could be waited for: what was read live is newer than what the watch has brought.
const BREATH: Duration = Duration::from_millis(10);

/// Waits for the count that would overturn a refusal. `false`: nothing speaks for one, or it did not come by `until`.
pub(super) async fn awaited(
    caches: &Caches,
    metrics: &LedgerMetrics,
    refusal: &Refusal,
    until: Instant,
) -> bool {
    let key = &refusal.quota;
    match refusal.reason {
        Reason::NotInitialised | Reason::SpecNotObserved => {
            metrics.second_look();
            if caches.is_counted(key) {
                return timeout_at(until, tokio::time::sleep(BREATH)).await.is_ok();
            }
            counted(caches, key, until, || caches.is_counted(key)).await
        }
        Reason::OverLimit => {
            let missing = refusal.figures.missing();
            if missing == MilliCpu::ZERO || caches.fallen(key) < missing {
                return false;
            }
            metrics.second_look();
            counted(caches, key, until, || caches.fallen(key) < missing).await
        }
        _ => false,
    }
}

async fn counted(
    caches: &Caches,
    key: &QuotaKey,
    until: Instant,
    condition: impl Fn() -> bool,
) -> bool {
    let Some(store) = caches.store_of(key) else {
        return false;
    };
    loop {
        // Registered before the look, so that a count in between is not missed.
        let mut news = std::pin::pin!(store.news());
        news.as_mut().enable();
        if condition() {
            return true;
        }
        if timeout_at(until, news).await.is_err() {
            return condition();
        }
    }
}
