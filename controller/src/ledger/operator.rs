//! The Apache operator's own configuration, which charges of its kinds depend on. The webhook reads the same ConfigMap: the two
//! must agree on what an object costs.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt};
use sluice_policy::dialect::operator;

use super::facts::Facts;
use tokio::time::sleep;

/// Pause after a failed call.
const RETRY: Duration = Duration::from_secs(1);

/// So often may reading be forbidden before it counts as meant: an API server that has only just started forbids much until it has
/// read its own roles.
const FORBIDDEN: u32 = 6;

/// Where the configuration is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The operator's namespace.
    pub namespace: String,
    /// The ConfigMap's name.
    pub name: String,
}

/// Keeps [`Facts`] told of the configuration.
pub struct Follower {
    api: Api<ConfigMap>,
    place: Place,
    facts: Arc<Facts>,
    at: String,
}

impl Follower {
    /// Reads the configuration, however long that takes: no charge is computed before it is known. Only if it may not be read for
    /// good, as the Role for that went away with the operator's namespace, Flink's own defaults count until it may, as they do for
    /// the webhook.
    pub async fn begin(client: Client, place: Place, facts: Arc<Facts>) -> Self {
        let mut follower = Self {
            api: Api::namespaced(client, &place.namespace),
            place,
            facts,
            at: String::new(),
        };
        follower.list().await;
        follower
    }

    /// Follows changes for ever.
    pub async fn follow(mut self) {
        loop {
            match self.watch().await {
                Ok(()) => {}
                Err(error) => {
                    tracing::debug!(%error, "the watch of the Apache operator's ConfigMap ended");
                    sleep(RETRY).await;
                    self.list().await;
                }
            }
        }
    }

    async fn list(&mut self) {
        let only = format!("metadata.name={}", self.place.name);
        let mut forbidden = 0;
        loop {
            match self.api.list(&ListParams::default().fields(&only)).await {
                Ok(list) => {
                    self.at = list.metadata.resource_version.unwrap_or_default();
                    self.tell(list.items.first());
                    return;
                }
                Err(kube::Error::Api(status))
                    if matches!(status.code, 403 | 404) && forbidden == FORBIDDEN =>
                {
                    let Place { namespace, name } = &self.place;
                    tracing::warn!(%status, namespace, name, "the Apache operator's ConfigMap may not be read: the controller's ServiceAccount lacks list and watch on it, which Role sluice-operator-config in that namespace gives; until it can be read, what was known of it counts, or else Flink's own defaults");
                    return;
                }
                Err(error) => {
                    if matches!(&error, kube::Error::Api(status) if matches!(status.code, 403 | 404))
                    {
                        forbidden += 1;
                    }
                    let Place { namespace, name } = &self.place;
                    tracing::warn!(%error, namespace, name, "the Apache operator's ConfigMap cannot be read; quotas are counted once it can");
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn watch(&mut self) -> kube::Result<()> {
        let params = WatchParams::default().fields(&format!("metadata.name={}", self.place.name));
        let events = self.api.watch(&params, &self.at).await?;
        tokio::pin!(events);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(map) | WatchEvent::Modified(map) => {
                    self.at = map.resource_version().unwrap_or_default();
                    self.tell(Some(&map));
                }
                WatchEvent::Deleted(map) => {
                    self.at = map.resource_version().unwrap_or_default();
                    self.tell(None);
                }
                WatchEvent::Bookmark(bookmark) => self.at = bookmark.metadata.resource_version,
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            }
        }
        Ok(())
    }

    fn tell(&self, map: Option<&ConfigMap>) {
        let configuration = map
            .and_then(|map| serde_json::to_value(map).ok())
            .and_then(|map| match operator::configuration(&map) {
                Ok(configuration) => Some(configuration),
                Err(why) => {
                    tracing::warn!(why, "the Apache operator's configuration cannot be read; Flink's own defaults count");
                    None
                }
            });
        self.facts.configure(configuration);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::dialects::resources;
    use crate::played::client_of;
    use axum::http::StatusCode;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::timeout;

    /// An API server that always answers with this, and how often it was asked.
    async fn answering(code: u16) -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let answer = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let status = format!(
                r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","code":{code}}}"#
            );
            std::future::ready((StatusCode::from_u16(code).unwrap(), status))
        };
        (client_of(answer).await, asked)
    }

    #[tokio::test]
    async fn what_may_not_be_read_for_good_is_done_without() {
        for (code, ends) in [(403, true), (404, true), (500, false)] {
            let (client, asked) = answering(code).await;
            let place = Place {
                namespace: "flink-operator".to_owned(),
                name: "flink-operator-config".to_owned(),
            };
            let facts = Arc::new(Facts::of(&resources()));
            let begun = timeout(RETRY * 9, Follower::begin(client, place, facts)).await;
            assert_eq!(begun.is_ok(), ends, "{code}");
            assert!(asked.load(Ordering::SeqCst) > 6, "{code}: not at once");
        }
    }
}
