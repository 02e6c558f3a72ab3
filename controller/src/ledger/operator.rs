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
    /// Reads the configuration, however long that takes: no charge is computed before it is known.
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
        loop {
            match self.api.list(&ListParams::default().fields(&only)).await {
                Ok(list) => {
                    self.at = list.metadata.resource_version.unwrap_or_default();
                    self.tell(list.items.first());
                    return;
                }
                Err(error) => {
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
