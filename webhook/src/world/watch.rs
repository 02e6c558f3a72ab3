//! Fills a store: lists page by page, one object in memory at a time, then watches, for ever.

use super::kinds::{Keep, Single};
use super::store::{Objects, Store};
use axum::http::Request;
use axum::http::header::ACCEPT;
use futures::{AsyncBufRead, AsyncBufReadExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Objects in one page of a list: with 10 KiB each, a megabyte in flight.
const PAGE: usize = 100;

/// The API server ends a watch after this long; then it is begun anew where it ended.
const WATCH_FOR: Duration = Duration::from_mins(4);

/// A watch that is silent for longer than this has died unseen.
const SILENCE: Duration = Duration::from_mins(5);

/// A resource that is not installed is looked for this often, besides when a CRD changes.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Between failures, first and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A CRD is served a moment after it is stored.
const CRD_SETTLES: Duration = Duration::from_millis(200);

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    /// An API server writes `null` for a list of metadata in which nothing is.
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(default, rename = "resourceVersion")]
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    object: Value,
}

/// Why a list or a watch ended.
enum Ended {
    /// The resource does not exist.
    NotInstalled,
    /// The revision is too old: list again.
    Expired,
    /// Anything else.
    Failed(String),
}

impl From<kube::Error> for Ended {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 => Ended::NotInstalled,
            kube::Error::Api(status) if status.code == 410 => Ended::Expired,
            _ => Ended::Failed(error.to_string()),
        }
    }
}

/// Keeps a store full until stopped.
pub async fn keep_full(
    client: kube::Client,
    store: Arc<Store>,
    installed: Arc<Notify>,
    stop: CancellationToken,
) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = forever(&client, &store, &installed) => {}
    }
}

async fn forever(client: &kube::Client, store: &Store, installed: &Notify) {
    let mut backoff = BACKOFF.0;
    loop {
        // Registered before the list, so that a CRD that appears meanwhile is not missed.
        let mut appeared = pin!(installed.notified());
        appeared.as_mut().enable();
        let ended = match list(client, store).await {
            Ok(revision) => {
                backoff = BACKOFF.0;
                tokio::select! {
                    ended = watch(client, store, installed, revision) => ended,
                    () = store.doubted() => Ended::Expired,
                }
            }
            Err(ended) => ended,
        };
        match ended {
            Ended::Expired => {}
            Ended::NotInstalled => {
                store.not_installed();
                let _ = tokio::time::timeout(LOOK_AGAIN, appeared).await;
                tokio::time::sleep(CRD_SETTLES).await;
            }
            Ended::Failed(why) => {
                tracing::warn!(
                    resource = store.name(),
                    why,
                    "cache could not be filled; trying again"
                );
                store.failed(&why);
                tokio::time::sleep(jittered(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.75..1.25))
}

/// Lists everything into the store and answers with the revision of the list.
async fn list(client: &kube::Client, store: &Store) -> Result<String, Ended> {
    let keep = store.watched().keep;
    let mut objects = Objects::default();
    let mut next: Option<String> = None;
    loop {
        let mut query = format!("limit={PAGE}");
        if let Some(token) = &next {
            query.push_str("&continue=");
            query.extend(percent_encoded(token));
        }
        let text = client.request_text(request(store, &query)?).await?;
        let page: Page<'_> =
            serde_json::from_str(&text).map_err(|error| Ended::Failed(error.to_string()))?;
        for item in page.items.into_iter().flatten() {
            // An object that cannot be read here (nested too deeply) cannot be referred to; the others can.
            if let Ok(object) = serde_json::from_str::<Value>(item.get()) {
                objects.put(keep, &object);
            }
        }
        next = page.metadata.next.filter(|token| !token.is_empty());
        if next.is_none() {
            store.replace(objects);
            store.heard();
            return Ok(page.metadata.resource_version);
        }
    }
}

/// Follows changes from a revision on, until the watch breaks for good.
async fn watch(
    client: &kube::Client,
    store: &Store,
    installed: &Notify,
    mut revision: String,
) -> Ended {
    let mut failures = 0_u32;
    loop {
        let query = format!(
            "watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={revision}",
            WATCH_FOR.as_secs()
        );
        let opened = match request(store, &query) {
            Ok(request) => client.request_stream(request).await.map_err(Ended::from),
            Err(ended) => Err(ended),
        };
        let ended = match opened {
            Ok(stream) => {
                let before = revision.clone();
                let ended = follow(stream, store, installed, &mut revision).await;
                if revision != before {
                    failures = 0;
                }
                ended
            }
            Err(ended) => ended,
        };
        match ended {
            // The ordinary end of a watch, or a hiccup: go on from where it was.
            Ended::Failed(why) if failures < 5 => {
                failures += 1;
                tracing::debug!(resource = store.name(), why, "watch ended; beginning anew");
                tokio::time::sleep(jittered(BACKOFF.0 * failures)).await;
            }
            ended => return ended,
        }
    }
}

async fn follow(
    stream: impl AsyncBufRead,
    store: &Store,
    installed: &Notify,
    revision: &mut String,
) -> Ended {
    let mut stream = pin!(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        match tokio::time::timeout(SILENCE, stream.read_until(b'\n', &mut line)).await {
            Err(_) => return Ended::Failed("the watch fell silent".to_owned()),
            Ok(Err(error)) => return Ended::Failed(error.to_string()),
            Ok(Ok(0)) => return Ended::Failed("the watch ended".to_owned()),
            Ok(Ok(_)) => {}
        }
        let Ok(event) = serde_json::from_slice::<Line<'_>>(&line) else {
            // Nested too deeply, or cut off. A later list sees whatever it was about.
            continue;
        };
        store.heard();
        match event.kind.as_ref() {
            "ADDED" | "MODIFIED" => store.put(&event.object),
            "DELETED" => store.remove(&event.object),
            "BOOKMARK" => {}
            _ => {
                return match event.object.get("code").and_then(Value::as_u64) {
                    Some(410) => Ended::Expired,
                    _ => Ended::Failed(sluice_policy::json::shown(&event.object)),
                };
            }
        }
        if let Some(now) = event
            .object
            .pointer("/metadata/resourceVersion")
            .and_then(Value::as_str)
        {
            now.clone_into(revision);
        }
        if matches!(store.watched().keep, Keep::Presence) && event.kind != "BOOKMARK" {
            installed.notify_waiters();
        }
        if line.capacity() > 1 << 20 {
            line = Vec::new(); // one huge object must not be paid for ever after
        }
    }
}

fn request(store: &Store, query: &str) -> Result<Request<Vec<u8>>, Ended> {
    let metadata = store.watched().keep.metadata_only();
    request_for(store, query, metadata).map_err(Ended::Failed)
}

/// Asks for a page of what exists, metadata only; `next` continues an earlier one.
pub fn metadata_page(store: &Store, limit: u32, next: &str) -> Result<Request<Vec<u8>>, String> {
    let mut query = format!("limit={limit}");
    if !next.is_empty() {
        query.push_str("&continue=");
        query.extend(percent_encoded(next));
    }
    request_for(store, &query, true)
}

fn request_for(store: &Store, query: &str, metadata: bool) -> Result<Request<Vec<u8>>, String> {
    let watched = store.watched();
    let root = if watched.group.is_empty() {
        format!("/api/{}", watched.version)
    } else {
        format!("/apis/{}/{}", watched.group, watched.version)
    };
    let accept = match (metadata, query.starts_with("watch=")) {
        (false, _) => "application/json",
        (true, true) => "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        (true, false) => "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    };
    let place = match &watched.only {
        None => format!("{root}/{}?{query}", watched.plural),
        Some(Single { namespace, name }) => format!(
            "{root}/namespaces/{namespace}/{}?fieldSelector=metadata.name%3D{name}&{query}",
            watched.plural
        ),
    };
    Request::get(place)
        .header(ACCEPT, accept)
        .body(Vec::new())
        .map_err(|error| error.to_string())
}

/// A continue token is base64 with `=`, `+` and `/`.
fn percent_encoded(token: &str) -> impl Iterator<Item = String> {
    token.bytes().map(|byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            char::from(byte).to_string()
        } else {
            format!("%{byte:02X}")
        }
    })
}
