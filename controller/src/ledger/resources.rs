//! List and watch of the workload resources. Raw, because the ledger needs what watchers usually hide: the exact revision of
//! the list, and bookmarks.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncReadExt, TryStreamExt};
use kube::Client;
use kube::core::params::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sluice_policy::ledger::{Listing, Revision, Seen};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::facts::Facts;
use super::{ChargeOf, Resource, Settings};

/// Seconds that one watch lasts; then it is opened anew from where it was.
const WATCH_SECONDS: u32 = 290;
/// Pause after a failed call.
const RETRY: Duration = Duration::from_secs(1);

/// News of a resource.
#[derive(Debug)]
pub enum News {
    /// All its objects.
    Listed {
        /// What the ledger keeps of them.
        listing: Listing,
        /// How often what their charges look up had changed when the list began.
        epoch: u64,
    },
    /// It is not served.
    Absent,
    /// An object was added or changed.
    Put {
        /// Its uid.
        uid: String,
        /// What the ledger keeps of it.
        seen: Seen,
    },
    /// An object was deleted.
    Deleted {
        /// Its uid.
        uid: String,
        /// When.
        at: Revision,
    },
    /// Nothing else happened up to this revision.
    Bookmark(Revision),
}

/// Why a list or watch ended.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The resource is not served.
    #[error("the resource is not served")]
    Absent,
    /// The revision is too old to go on from.
    #[error("the revision is too old to go on from")]
    TooOld,
    /// An object or a list has no readable revision, uid or namespace.
    #[error("{0} cannot be read from the API server's answer")]
    Unreadable(&'static str),
    /// The call failed.
    #[error(transparent)]
    Call(Box<kube::Error>),
}

impl From<kube::Error> for WatchError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 404 => Self::Absent,
            kube::Error::Api(status) if status.code == 410 => Self::TooOld,
            _ => Self::Call(Box::new(error)),
        }
    }
}

/// A page whose items are read one by one: a large object takes many times its text once it has been read.
#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct PageMeta {
    #[serde(rename = "resourceVersion", default)]
    resource_version: String,
    #[serde(rename = "continue", default)]
    next: String,
}

/// Follows a resource for ever and tells its news under its key.
pub async fn follow(
    client: Client,
    resource: Resource,
    charge: ChargeOf,
    facts: Option<Arc<Facts>>,
    settings: Settings,
    news: mpsc::Sender<(String, News)>,
) {
    let key = resource.key();
    let mut stale = facts.as_ref().and_then(|facts| facts.stale(&resource));
    let teller = Teller {
        key: key.clone(),
        facts,
        news,
    };
    let mut was_served = false;
    loop {
        // What changes from here on is a reason to list again.
        let epoch = stale.as_mut().map_or(0, |stale| *stale.borrow_and_update());
        if let Some(facts) = &teller.facts {
            facts.begin_list(&resource);
        }
        let listing = match list(&client, &resource, &charge, settings.page).await {
            Ok(listing) => listing,
            Err(WatchError::Absent) => {
                if std::mem::take(&mut was_served) {
                    tracing::warn!(
                        resource = key,
                        version = resource.version,
                        "a workload resource is not served any more; unless its definition is gone, quotas that counted it wait until it is served again"
                    );
                }
                if teller.tell(News::Absent).await.is_err() {
                    return;
                }
                sleep(settings.absent_retry).await;
                continue;
            }
            Err(error) => {
                tracing::warn!(resource = key, %error, "listing a workload resource failed; quotas are not counted until it succeeds");
                sleep(RETRY).await;
                continue;
            }
        };
        if let Some(facts) = &teller.facts {
            facts.end_list(&resource);
        }
        was_served = true;
        let mut at = listing.revision();
        let listed = News::Listed { listing, epoch };
        if teller.tell(listed).await.is_err() {
            return;
        }
        loop {
            let ended = tokio::select! {
                ended = watch_from(&client, &resource, &charge, &mut at, &teller) => ended,
                () = changed(stale.as_mut()) => {
                    // Changes that come together are one list.
                    sleep(settings.debounce).await;
                    break;
                }
            };
            match ended {
                Ok(()) => {}
                Err(Ended::Deaf) => return,
                Err(Ended::By(WatchError::TooOld | WatchError::Absent)) => break,
                Err(Ended::By(error)) => {
                    tracing::debug!(resource = key, %error, "a watch ended; it goes on from where it was");
                    sleep(RETRY).await;
                }
            }
        }
    }
}

/// The most bytes of a page that are read; with objects of a megabyte and more each, a smaller page is asked for in its place.
const PAGE_BYTES: u64 = 16 << 20;

/// What is answered; `None` if it is more than may be read at once. The webhook has as few lines of its own: a crate for both to lean on
/// would be larger than they are.
async fn text_of(
    client: &Client,
    request: axum::http::Request<Vec<u8>>,
) -> Result<Option<Vec<u8>>, kube::Error> {
    let answer = pin!(client.request_stream(request).await?);
    let mut text = Vec::new();
    let read = answer.take(PAGE_BYTES + 1).read_to_end(&mut text).await;
    read.map_err(kube::Error::ReadEvents)?;
    Ok((text.len() as u64 <= PAGE_BYTES).then_some(text))
}

/// Lists at one exact revision, read from a quorum: no resourceVersion is given, not even 0.
pub async fn list(
    client: &Client,
    resource: &Resource,
    charge: &ChargeOf,
    page: u32,
) -> Result<Listing, WatchError> {
    let mut params = ListParams::default();
    let mut limit = page;
    let mut objects = Vec::new();
    loop {
        params.limit = Some(limit);
        let request = Request::new(resource.path())
            .list(&params)
            .map_err(unbuilt)?;
        let Some(text) = text_of(client, request).await? else {
            if limit == 1 {
                return Err(WatchError::Unreadable("an object of more than 16 MiB"));
            }
            limit /= 2;
            continue;
        };
        let listed: Page<'_> = serde_json::from_slice(&text).map_err(kube::Error::SerdeError)?;
        for item in &listed.items {
            let object = serde_json::from_str(item.get()).map_err(kube::Error::SerdeError)?;
            objects.push(seen(resource, &object, charge)?);
        }
        if listed.metadata.next.is_empty() {
            let revision = Revision::parse(&listed.metadata.resource_version)
                .ok_or(WatchError::Unreadable("the list's resourceVersion"))?;
            return Ok(Listing::new(revision, objects));
        }
        params = params.continue_token(&listed.metadata.next);
        // Large ones may lie together.
        limit = page.min(limit + limit.div_ceil(4));
    }
}

/// Ready when charges have to be computed anew; never where they depend on nothing else.
async fn changed(stale: Option<&mut watch::Receiver<u64>>) {
    if let Some(stale) = stale
        && stale.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}

enum Ended {
    /// Nobody listens any more.
    Deaf,
    By(WatchError),
}

impl<E: Into<WatchError>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::By(error.into())
    }
}

/// Tells the news of one resource.
struct Teller {
    key: String,
    facts: Option<Arc<Facts>>,
    news: mpsc::Sender<(String, News)>,
}

impl Teller {
    async fn tell(&self, what: News) -> Result<(), Ended> {
        self.news
            .send((self.key.clone(), what))
            .await
            .map_err(|_| Ended::Deaf)
    }
}

async fn watch_from(
    client: &Client,
    resource: &Resource,
    charge: &ChargeOf,
    at: &mut Revision,
    teller: &Teller,
) -> Result<(), Ended> {
    let params = WatchParams::default().timeout(WATCH_SECONDS);
    let request = Request::new(resource.path())
        .watch(&params, &at.to_string())
        .map_err(unbuilt)?;
    let events = client.request_events::<Value>(request).await?;
    tokio::pin!(events);
    while let Some(event) = events.try_next().await? {
        let (news, revision) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let (uid, seen) = seen(resource, &object, charge)?;
                let revision = seen.revision;
                (News::Put { uid, seen }, revision)
            }
            WatchEvent::Deleted(object) => {
                let (uid, seen) = seen(resource, &object, charge)?;
                if let Some(facts) = &teller.facts {
                    facts.forget(resource, &object);
                }
                let at = seen.revision;
                (News::Deleted { uid, at }, at)
            }
            WatchEvent::Bookmark(bookmark) => {
                let revision = Revision::parse(&bookmark.metadata.resource_version)
                    .ok_or(WatchError::Unreadable("a bookmark's resourceVersion"))?;
                (News::Bookmark(revision), revision)
            }
            WatchEvent::Error(status) if status.code == 410 => {
                return Err(Ended::By(WatchError::TooOld));
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        };
        teller.tell(news).await?;
        *at = revision;
    }
    Ok(())
}

/// A request that could not even be made.
pub fn unbuilt(error: kube::core::request::Error) -> WatchError {
    WatchError::Call(Box::new(kube::Error::BuildRequest(error)))
}

fn seen(
    resource: &Resource,
    object: &Value,
    charge: &ChargeOf,
) -> Result<(String, Seen), WatchError> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let uid = text("/metadata/uid").ok_or(WatchError::Unreadable("metadata.uid"))?;
    let revision = text("/metadata/resourceVersion").and_then(Revision::parse);
    let seen = Seen {
        namespace: text("/metadata/namespace").unwrap_or_default().to_owned(),
        revision: revision.ok_or(WatchError::Unreadable("metadata.resourceVersion"))?,
        charge: charge(resource, object),
    };
    Ok((uid.to_owned(), seen))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::http::Uri;
    use serde_json::json;
    use sluice_policy::MilliCpu;

    use super::*;
    use crate::played::client_of;

    /// Forty objects of a megabyte: a page of the usual size would be forty.
    #[tokio::test]
    async fn a_page_of_large_objects_is_given_up_for_smaller_ones() {
        let taken: Arc<Mutex<Vec<usize>>> = Arc::default();
        let told = Arc::clone(&taken);
        let answer = move |uri: Uri| {
            let asked = |key: &str| {
                let query = uri.query().unwrap_or_default();
                let value = query.split('&').find_map(|part| part.strip_prefix(key));
                value.and_then(|value| value.parse::<usize>().ok())
            };
            let from = asked("continue=").unwrap_or_default();
            let to = 40.min(from + asked("limit=").unwrap());
            told.lock().unwrap().push(to - from);
            let text = "x".repeat(1 << 20);
            let items: Vec<String> = (from..to)
                .map(|n| format!(r#"{{"metadata":{{"uid":"u{n}","resourceVersion":"7"}},"spec":{{"text":"{text}"}}}}"#))
                .collect();
            let next = if to < 40 {
                to.to_string()
            } else {
                String::new()
            };
            let metadata = json!({"resourceVersion": "9", "continue": next});
            std::future::ready(format!(
                r#"{{"metadata":{metadata},"items":[{}]}}"#,
                items.join(",")
            ))
        };
        let resource = Resource {
            group: "sluice.dev".into(),
            version: "v1alpha1".into(),
            plural: "sessionclusters".into(),
        };
        let charged = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&charged);
        let charge: ChargeOf = Arc::new(move |_, _| {
            *seen.lock().unwrap() += 1;
            MilliCpu::ZERO
        });
        let client = client_of(answer).await;
        list(&client, &resource, &charge, 100).await.unwrap();
        assert_eq!(*charged.lock().unwrap(), 40);
        let taken = taken.lock().unwrap();
        assert_eq!(taken[..3], [40, 40, 25], "halved until a page can be read");
        let read: usize = taken.iter().filter(|count| **count < 16).sum();
        assert_eq!(read, 40, "{taken:?}");
    }
}
