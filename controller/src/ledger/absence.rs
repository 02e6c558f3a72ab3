//! Whether a kind that is not served is gone. One whose version is only not served any longer keeps its objects, and whatever runs from them.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::Client;
use kube::core::Request;
use kube::core::params::{GetParams, ListParams};
use serde_json::Value;
use tokio::time::Instant;

use super::Resource;
use super::resources::{WatchError, unbuilt};

/// How long it is believed that a kind is not gone. That it is gone is never believed for longer than the count that asked: a kind may
/// come at any time, and with it objects that a quota which is read later has no holds for.
const BELIEVED: Duration = Duration::from_secs(1);
/// Between two warnings about a kind.
const WARN_AGAIN: Duration = Duration::from_mins(1);

/// What the API server says of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// It is served.
    Served,
    /// It has a definition, which does not serve the version that is asked for. Its objects may live on.
    Unserved,
    /// It is neither served nor defined: no object of it can exist.
    Gone,
}

/// Asks the API server about a kind, past every cache.
pub async fn presence(client: &Client, resource: &Resource) -> Result<Presence, WatchError> {
    let params = ListParams::default().limit(1);
    let objects = Request::new(resource.path())
        .list(&params)
        .map_err(unbuilt)?;
    if exists(client, objects).await? {
        return Ok(Presence::Served);
    }
    let definition = Request::new("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
        .get(&resource.key(), &GetParams::default())
        .map_err(unbuilt)?;
    Ok(if exists(client, definition).await? {
        Presence::Unserved
    } else {
        Presence::Gone
    })
}

async fn exists(
    client: &Client,
    request: axum::http::Request<Vec<u8>>,
) -> Result<bool, WatchError> {
    let answer = client.request::<Value>(request).await;
    match answer.map_err(WatchError::from) {
        Ok(_) => Ok(true),
        Err(WatchError::Absent) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Kinds that were asked about, so that many quotas ask once.
#[derive(Debug, Default)]
pub struct Absences {
    there: BTreeMap<String, Instant>,
    warned: BTreeMap<String, Instant>,
}

impl Absences {
    /// Whether this kind was found only a moment ago not to be gone.
    pub fn is_there(&self, resource: &str) -> bool {
        let at = self.there.get(resource);
        at.is_some_and(|at| at.elapsed() < BELIEVED)
    }

    /// Whether a kind is gone now. What cannot be told counts as there.
    pub async fn is_gone(&mut self, client: &Client, resource: &Resource) -> bool {
        let key = resource.key();
        if self.is_there(&key) {
            return false;
        }
        match presence(client, resource).await {
            Ok(Presence::Gone) => return true,
            Ok(Presence::Unserved) if self.may_warn(&key) => {
                tracing::warn!(
                    resource = key,
                    version = resource.version,
                    "the CRD of a kind serves no version that Sluice knows; CPU of it keeps counting as it was, nothing is given back until it is served again or its CRD is deleted"
                );
            }
            Err(error) if self.may_warn(&key) => {
                tracing::warn!(resource = key, %error, "whether a kind is gone could not be told; quotas that depend on it wait");
            }
            Ok(Presence::Served | Presence::Unserved) | Err(_) => {}
        }
        self.there.insert(key, Instant::now());
        false
    }

    /// At most once a minute for each kind.
    fn may_warn(&mut self, resource: &str) -> bool {
        let now = Instant::now();
        let warned = self.warned.get(resource);
        if warned.is_some_and(|at| now.duration_since(*at) < WARN_AGAIN) {
            return false;
        }
        self.warned.insert(resource.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::http::{StatusCode, Uri};

    use super::*;
    use crate::played::client_of;

    /// An API server that serves nothing, defines this or that, and counts what it is asked.
    async fn serving_nothing(defined: &'static str) -> (Client, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let answer = move |uri: Uri| {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready(
                if uri
                    .path()
                    .ends_with(&format!("/customresourcedefinitions/{defined}"))
                {
                    (StatusCode::OK, "{}")
                } else {
                    (StatusCode::NOT_FOUND, "404 page not found")
                },
            )
        };
        (client_of(answer).await, asked)
    }

    fn kind(plural: &str) -> Resource {
        Resource {
            group: "flink.apache.org".into(),
            version: "v1beta1".into(),
            plural: plural.into(),
        }
    }

    #[tokio::test]
    async fn many_ask_once_about_what_is_there_and_each_time_about_what_is_gone() {
        let (client, asked) = serving_nothing("flinkdeployments.flink.apache.org").await;
        let (there, gone) = (kind("flinkdeployments"), kind("flinksessionjobs"));
        let mut absences = Absences::default();
        for _ in 0..20 {
            assert!(!absences.is_gone(&client, &there).await);
        }
        assert!(absences.is_there(&there.key()));
        assert_eq!(asked.load(Ordering::SeqCst), 2, "the list, the definition");
        for _ in 0..3 {
            assert!(absences.is_gone(&client, &gone).await);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2 + 3 * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_kind_is_warned_about_once_a_minute() {
        let mut absences = Absences::default();
        let mut warnings = 0;
        for _ in 0..120 {
            warnings += usize::from(absences.may_warn("a"));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(warnings, 2);
        assert!(absences.may_warn("b"), "another kind");
    }
}
