//! Bounds the time for which a replica may not know a quota.
//!
//! An increase is admitted without a hold where no quota covers its namespace. Which ones do is known from a watch, and a watch
//! can hang without a word: the connection is up, nothing comes. So every [`COMPARE`] the quotas that exist are listed
//! (metadata only, past every cache) and compared with what the watch has brought. Where that lacks one, or has an older spec,
//! it is doubted: nothing rises in that replica until all quotas are listed anew. The same where no list succeeds for
//! [`UNPROVEN`].
//!
//! Doubted is only what was there before the watch had its time and is there after it: a quota that is deleted while lists are compared is
//! in a list that was asked for earlier, and rightly not in the cache.
//!
//! A doubt keeps no replica from being ready ([`Store::obstacle`]). Where lists come, it is over before a probe could tell; where
//! they do not, the API server fails all replicas alike, and without a ready one nothing could be stopped either.
//!
//! A process that stands still compares nothing, and when it goes on, requests may be judged before anything else has a turn: by what was
//! known before, or half of what the watch brings then. So whoever judges an increase looks at the clock ([`stale`]), and the clock of a
//! list is when it was asked for, not when it was read.
//!
//! So a new quota, or a namespace added to one, counts in every replica after some milliseconds as a rule and after
//! [`COMPARE`] + [`SETTLES`], and what two lists take, at the latest. Starts that were judged before that are like those judged before the quota was
//! written: they are not touched, and counted by the leader from then on.

use super::moment::Moment;
use super::store::{State, Store};
use super::watch;
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Between two comparisons.
pub const COMPARE: Duration = Duration::from_secs(2);
/// What is listed may be ahead of a healthy watch by this much.
pub const SETTLES: Duration = Duration::from_millis(300);
/// So long may comparisons fail before what is known counts as unknown.
pub const UNPROVEN: Duration = Duration::from_secs(15);
/// Longest that one list may take.
const CALL: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    /// An API server writes `null` for a list of metadata in which nothing is.
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: Listed,
}

/// A quota as it exists.
#[derive(Debug, Deserialize)]
pub struct Listed {
    /// Its namespace; empty for a `ClusterCpuQuota`.
    #[serde(default)]
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
    /// Raised with each change of its spec.
    #[serde(default)]
    pub generation: i64,
}

/// Compares for ever, until stopped.
pub async fn keep_fresh(client: kube::Client, store: Arc<Store>, stop: CancellationToken) {
    let mut ticks = interval(COMPARE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if store.state() != State::Full {
            continue; // whoever fills it proves it
        }
        let asked = Moment::now();
        match is_behind(&client, &store).await {
            Ok(false) => store.prove(asked),
            Ok(true) => {
                tracing::warn!(
                    resource = store.name(),
                    "the watch has fallen behind; listing anew"
                );
                store.doubt("the watch has fallen behind");
            }
            Err(why) if store.unproven_for() > UNPROVEN => {
                tracing::warn!(
                    resource = store.name(),
                    why,
                    "the cache could not be compared; listing anew"
                );
                store.doubt(&why);
            }
            Err(why) => tracing::debug!(
                resource = store.name(),
                why,
                "the cache could not be compared"
            ),
        }
    }
}

/// Why nothing may rise by what this cache of quotas holds, if it has not been compared for too long.
pub fn stale(store: &Store) -> Option<String> {
    let since = store.unproven_for();
    // What the cluster does not serve is not compared.
    (since > UNPROVEN && store.state() == State::Full).then(|| {
        format!(
            "cache of {}: last compared with the API server {} s ago; the webhook or the API server stood still",
            store.name(),
            since.as_secs()
        )
    })
}

/// Whether the cache lacks, or has in an older spec, what existed all the time that a healthy watch takes to bring it.
async fn is_behind(client: &kube::Client, store: &Store) -> Result<bool, String> {
    let mut lacking = list(client, store).await?;
    lacking.retain(|listed| !knows(store, listed));
    if lacking.is_empty() {
        return Ok(false);
    }
    sleep(SETTLES).await;
    // Before the second list: what that still has was there at this moment.
    lacking.retain(|listed| !knows(store, listed));
    if lacking.is_empty() {
        return Ok(false);
    }
    // Nothing says that it is gone again, so it is lacking.
    let Ok(there) = list(client, store).await else {
        return Ok(true);
    };
    // A watch may have caught up while the list was on its way.
    lacking.retain(|listed| !knows(store, listed));
    let there: HashSet<&str> = there.iter().map(|listed| listed.uid.as_str()).collect();
    Ok(lacking
        .iter()
        .any(|listed| there.contains(listed.uid.as_str())))
}

/// Whether the cache has this in this spec or a newer one.
fn knows(store: &Store, listed: &Listed) -> bool {
    store
        .quota(&listed.namespace, &listed.name)
        .is_some_and(|known| known.uid == listed.uid && known.generation >= listed.generation)
}

async fn list(client: &kube::Client, store: &Store) -> Result<Vec<Listed>, String> {
    let listed = timeout(CALL, pages(client, store)).await;
    listed.unwrap_or_else(|_| Err("the API server did not answer in time".to_owned()))
}

async fn pages(client: &kube::Client, store: &Store) -> Result<Vec<Listed>, String> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let request = watch::metadata_page(store, 500, &next)?;
        let text = client
            .request_text(request)
            .await
            .map_err(|error| error.to_string())?;
        let page: Page = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        all.extend(page.items.into_iter().flatten().map(|item| item.metadata));
        if page.metadata.next.is_empty() {
            return Ok(all);
        }
        next = page.metadata.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_be_empty_in_every_way_that_api_servers_write() {
        for (items, found) in [
            ("", 0),
            (r#","items":null"#, 0),
            (r#","items":[]"#, 0),
            (r#","items":[{"metadata":{"name":"q","generation":3}}]"#, 1),
        ] {
            let text = format!(
                r#"{{"kind":"PartialObjectMetadataList","metadata":{{"resourceVersion":"7"}}{items}}}"#
            );
            let page: Page = serde_json::from_str(&text).unwrap();
            assert_eq!(page.items.into_iter().flatten().count(), found, "{text}");
        }
    }
}
