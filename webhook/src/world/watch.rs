//! Fills a store, one object in memory at a time, then watches, for ever.
//!
//! An API server from 1.34 on streams a list out of its own cache, as a watch that begins with what exists (`sendInitialEvents`);
//! others are asked for it page by page.

use super::installed::Installed;
use super::kinds::{Keep, Single};
use super::moment::Moment;
use super::store::{Objects, State, Store};
use super::tries::{Tries, Way, pause_after};
use axum::http::Request;
use axum::http::header::ACCEPT;
use futures::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Objects in one page of a list: with 10 KiB each, a megabyte in flight.
const PAGE: usize = 100;

/// The most bytes of a page that are read; with objects of a megabyte and more each, a smaller page is asked for in its place.
const PAGE_BYTES: u64 = 16 << 20;

/// For one page; the API server's own limit.
const PAGE_WITHIN: Duration = Duration::from_mins(1);

/// On the bookmark that ends the first part of a streamed list.
const ALL_SENT: &str = "/metadata/annotations/k8s.io~1initial-events-end";

/// The API server ends a watch after this long; then it is begun anew where it ended.
const WATCH_FOR: Duration = Duration::from_mins(4);

/// A watch that is silent for longer than this has died unseen.
const SILENCE: Duration = Duration::from_mins(5);

/// A streamed list has no reason to be silent; pages are asked for instead.
const LIST_SILENCE: Duration = Duration::from_secs(10);

/// A resource that is not installed is looked for this often, besides when a CRD changes.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// A CRD is served a moment after it is stored.
const CRD_SETTLES: Duration = Duration::from_millis(200);

/// Of quotas whose CRD is there.
const NOT_SERVED: &str = "the API server does not serve it although its CRD exists; mend the CRD (kubectl describe crd), or delete it";

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
    /// A list that is to be asked for page by page.
    NotStreamed(String),
    /// The API server is too busy for a streamed list.
    TurnedAway(String),
    /// We may not.
    Forbidden(String),
    /// Anything else.
    Failed(String),
}

impl From<kube::Error> for Ended {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 => Ended::NotInstalled,
            kube::Error::Api(status) if status.code == 410 => Ended::Expired,
            kube::Error::Api(status) if status.code == 403 => Ended::Forbidden(error.to_string()),
            _ => Ended::Failed(error.to_string()),
        }
    }
}

/// Keeps a store full until stopped.
pub async fn keep_full(
    client: kube::Client,
    store: Arc<Store>,
    installed: Arc<Installed>,
    stop: CancellationToken,
) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = forever(&client, &store, &installed) => {}
    }
}

async fn forever(client: &kube::Client, store: &Store, installed: &Installed) {
    let mut tries = Tries::by(Way::Streamed);
    loop {
        // Registered before the list, so that a CRD that appears meanwhile is not missed.
        let mut appeared = pin!(installed.changed());
        appeared.as_mut().enable();
        let ended = match list(client, store, tries.way()).await {
            Ok(revision) => {
                tries = Tries::by(Way::Streamed);
                tokio::select! {
                    ended = watch(client, store, installed, revision) => ended,
                    () = store.doubted() => {
                        // Watches stand still, and a streamed list is one.
                        tries = Tries::by(Way::Paged);
                        Ended::Expired
                    }
                }
            }
            Err(ended) => ended,
        };
        let is_optional = matches!(store.watched().keep, Keep::Operator);
        match ended {
            Ended::Expired => continue,
            Ended::NotInstalled if may_exist(store, installed) => {
                tries.failed();
                if installed.has(store) {
                    tracing::warn!(
                        resource = store.name(),
                        "{NOT_SERVED}; until then nothing rises that quotas could limit"
                    );
                    store.not_served(NOT_SERVED);
                } else {
                    failed(
                        store,
                        installed,
                        "not found, and whether its CRD exists is not known",
                    );
                }
            }
            Ended::NotInstalled if !is_optional => {
                store.not_installed();
                tries = Tries::by(Way::Streamed);
                let _ = tokio::time::timeout(LOOK_AGAIN, appeared).await;
                tokio::time::sleep(CRD_SETTLES).await;
                continue;
            }
            Ended::NotInstalled => withheld(store, &mut tries, "not found"),
            Ended::Forbidden(why) if is_optional => withheld(store, &mut tries, &why),
            Ended::TurnedAway(why) => {
                tries.turned_away();
                failed(store, installed, &why);
            }
            Ended::NotStreamed(why) | Ended::Forbidden(why) | Ended::Failed(why) => {
                tries.failed();
                failed(store, installed, &why);
            }
        }
        // A kind that has just been installed does not wait for its turn.
        if tokio::time::timeout(tries.pause(), appeared).await.is_ok() {
            tokio::time::sleep(CRD_SETTLES).await;
        }
    }
}

/// Whether quotas may exist that cannot be read. A definition that does not serve the version that is asked for, or not yet, or no longer,
/// keeps its objects; were they taken for none, the gate would be open. Of every other kind nothing is admitted that is not served.
fn may_exist(store: &Store, installed: &Installed) -> bool {
    matches!(store.watched().keep, Keep::Quota(_)) && !installed.lacks(store)
}

/// A kind that was not installed a moment ago may be by now, and then must not count as known while its list fails. Whether it is
/// is told by the watch of CRDs, so that an API server that is away or busy for a moment makes nobody unready who lacks a kind.
/// Where that watch hangs, the kind counts as absent for as long as it does, as it would between two lists.
fn failed(store: &Store, installed: &Installed, why: &str) {
    tracing::warn!(
        resource = store.name(),
        why,
        "cache could not be filled; trying again"
    );
    // The operator's configuration has no CRD; without it we go on until it can be read.
    let is_absent = installed.lacks(store) || matches!(store.watched().keep, Keep::Operator);
    store.failed(why, is_absent);
}

/// The Apache operator may be gone, and its namespace with the Role by which its ConfigMap was read. That is no reason to refuse
/// its kinds for ever: without its configuration Flink's own defaults count.
fn withheld(store: &Store, tries: &mut Tries, why: &str) {
    if !tries.forbidden() {
        store.failed(why, true);
        return;
    }
    tracing::warn!(why, "{}", without(store));
    if store.state() != State::Full {
        store.not_installed();
    }
}

/// What an admin needs to know of a ConfigMap that may not be read.
fn without(store: &Store) -> String {
    let (namespace, name) = match &store.watched().only {
        Some(Single { namespace, name }) => (namespace.as_ref(), name.as_ref()),
        None => ("", ""),
    };
    format!(
        "the Apache operator's ConfigMap {name} in namespace {namespace} may not be read: the webhook's ServiceAccount lacks list and \
         watch on it, which Role sluice-operator-config in that namespace gives. Until it can be read, what was known of it counts, or \
         else Flink's own defaults"
    )
}

/// Lists everything into the store and answers with the revision of the list.
async fn list(client: &kube::Client, store: &Store, way: Way) -> Result<String, Ended> {
    let began = Moment::now();
    let streamed = match way {
        Way::Streamed => streamed(client, store).await,
        Way::Paged => Err(Ended::NotStreamed("not tried".to_owned())),
    };
    let (mut objects, revision) = match streamed {
        Err(Ended::NotStreamed(why)) => {
            tracing::debug!(
                resource = store.name(),
                why,
                "the list is not streamed; asking for pages"
            );
            paged(client, store).await?
        }
        listed => listed?,
    };
    objects.pack();
    store.replace(objects, began);
    store.heard();
    Ok(revision)
}

/// A list as the beginning of a watch: everything that existed when it was asked for, then a bookmark.
async fn streamed(client: &kube::Client, store: &Store) -> Result<(Objects, String), Ended> {
    let query = format!(
        "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds={}",
        WATCH_FOR.as_secs()
    );
    let not_streamed = |why: &str| Ended::NotStreamed(why.to_owned());
    let opened = client.request_stream(request(store, &query)?);
    let stream = match tokio::time::timeout(LIST_SILENCE, opened).await {
        Err(_) => return Err(not_streamed("no answer in time")),
        // Pages would be even more for it to do.
        Ok(Err(kube::Error::Api(status))) if status.code == 429 || status.code >= 500 => {
            return Err(Ended::TurnedAway(status.to_string()));
        }
        Ok(opened) => opened.map_err(|error| match Ended::from(error) {
            Ended::Failed(why) | Ended::Forbidden(why) => Ended::NotStreamed(why),
            ended => ended,
        })?,
    };
    let mut lines = Lines::of(stream, LIST_SILENCE);
    let mut objects = Objects::default();
    loop {
        // As with pages: an object that cannot be read here cannot be referred to; the others can.
        let event = match lines.next().await {
            Ok(Some(event)) => event,
            Ok(None) => continue,
            Err(Ended::Failed(why)) => return Err(Ended::NotStreamed(why)),
            Err(ended) => return Err(ended),
        };
        match event.kind.as_ref() {
            "ADDED" | "MODIFIED" => objects.put(store.watched().keep, &event.object),
            "DELETED" => objects.remove(&event.object),
            "BOOKMARK" if event.object.pointer(ALL_SENT).is_some() => {
                let at = revision(&event.object).ok_or_else(|| not_streamed("no revision"))?;
                return Ok((objects, at.to_owned()));
            }
            "BOOKMARK" => {}
            _ => {
                return Err(not_streamed(&sluice_policy::json::shown(&event.object)));
            }
        }
    }
}

/// A list, page by page.
async fn paged(client: &kube::Client, store: &Store) -> Result<(Objects, String), Ended> {
    let keep = store.watched().keep;
    let mut objects = Objects::default();
    let mut next: Option<String> = None;
    let mut limit = PAGE;
    loop {
        let mut query = format!("limit={limit}");
        if let Some(token) = &next {
            query.push_str("&continue=");
            query.extend(percent_encoded(token));
        }
        let text = tokio::time::timeout(PAGE_WITHIN, text_of(client, request(store, &query)?))
            .await
            .map_err(|_| Ended::Failed("a page of the list did not come in time".to_owned()))??;
        let Some(text) = text else {
            if limit == 1 {
                return Err(Ended::Failed(
                    "an object is too large to be read".to_owned(),
                ));
            }
            limit /= 2;
            continue;
        };
        let page: Page<'_> =
            serde_json::from_slice(&text).map_err(|error| Ended::Failed(error.to_string()))?;
        for item in page.items.into_iter().flatten() {
            // An object that cannot be read here (nested too deeply) cannot be referred to; the others can.
            if let Ok(object) = serde_json::from_str::<Value>(item.get()) {
                objects.put(keep, &object);
            }
        }
        // Large ones may lie together.
        limit = PAGE.min(limit + limit.div_ceil(4));
        next = page.metadata.next.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok((objects, page.metadata.resource_version));
        }
    }
}

/// What is answered; `None` if it is more than may be read at once.
async fn text_of(
    client: &kube::Client,
    request: Request<Vec<u8>>,
) -> Result<Option<Vec<u8>>, kube::Error> {
    let answer = pin!(client.request_stream(request).await?);
    let mut text = Vec::new();
    let read = answer.take(PAGE_BYTES + 1).read_to_end(&mut text).await;
    read.map_err(kube::Error::ReadEvents)?;
    Ok((text.len() as u64 <= PAGE_BYTES).then_some(text))
}

/// Follows changes from a revision on, until the watch breaks for good.
async fn watch(
    client: &kube::Client,
    store: &Store,
    installed: &Installed,
    mut revision: String,
) -> Ended {
    let mut failures = 0_u32;
    loop {
        let query = format!(
            "watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={revision}",
            WATCH_FOR.as_secs()
        );
        let opened = match request(store, &query) {
            Ok(request) => open(client, request).await,
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
            Ended::Failed(why) | Ended::Forbidden(why) if failures < 5 => {
                failures += 1;
                tracing::debug!(resource = store.name(), why, "watch ended; beginning anew");
                tokio::time::sleep(pause_after(failures)).await;
            }
            ended => return ended,
        }
    }
}

/// An API server answers a watch at once, with what it tells later; one that has stopped does not answer at all.
async fn open(
    client: &kube::Client,
    request: Request<Vec<u8>>,
) -> Result<impl AsyncBufRead, Ended> {
    tokio::time::timeout(LIST_SILENCE, client.request_stream(request))
        .await
        .map_err(|_| Ended::Failed("the API server did not answer".to_owned()))?
        .map_err(Ended::from)
}

async fn follow(
    stream: impl AsyncBufRead,
    store: &Store,
    installed: &Installed,
    revision_now: &mut String,
) -> Ended {
    let mut lines = Lines::of(stream, SILENCE);
    loop {
        let event = match lines.next().await {
            Ok(Some(event)) => event,
            // Nested too deeply, or cut off. A later list sees whatever it was about.
            Ok(None) => continue,
            Err(ended) => return ended,
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
        if let Some(now) = revision(&event.object) {
            now.clone_into(revision_now);
        }
        if matches!(store.watched().keep, Keep::Presence) && event.kind != "BOOKMARK" {
            installed.tell();
        }
    }
}

fn revision(object: &Value) -> Option<&str> {
    object.pointer("/metadata/resourceVersion")?.as_str()
}

/// The events of a watch, one line each.
struct Lines<S> {
    stream: Pin<Box<S>>,
    line: Vec<u8>,
    silence: Duration,
}

impl<S: AsyncBufRead> Lines<S> {
    fn of(stream: S, silence: Duration) -> Self {
        Self {
            stream: Box::pin(stream),
            line: Vec::new(),
            silence,
        }
    }

    /// Waits for the next; `None` is one that cannot be read.
    async fn next(&mut self) -> Result<Option<Line<'_>>, Ended> {
        if self.line.capacity() > 1 << 20 {
            self.line = Vec::new(); // one huge object must not be paid for ever after
        }
        self.line.clear();
        let read = self.stream.read_until(b'\n', &mut self.line);
        match tokio::time::timeout(self.silence, read).await {
            Err(_) => Err(Ended::Failed("the watch fell silent".to_owned())),
            Ok(Err(error)) => Err(Ended::Failed(error.to_string())),
            Ok(Ok(0)) => Err(Ended::Failed("the watch ended".to_owned())),
            Ok(Ok(_)) => Ok(serde_json::from_slice(&self.line).ok()),
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

#[cfg(test)]
mod tests;
