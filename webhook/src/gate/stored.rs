//! The live reads of the request path: the parent of a `/scale`, and what a create would collide with. All else is decided from
//! caches.

use futures::future::BoxFuture;
use kube::api::{Api, ApiResource, DynamicObject};
use serde_json::Value;
use sluice_policy::KindInfo;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

/// Reads at once. An object of 1.4 MB takes several times as much while it is read, and the API server serves all our calls from one
/// share, of which the ledger needs its part.
const AT_ONCE: usize = 16;

/// What is stored now.
pub trait StoredObjects: Send + Sync {
    /// The object as it is stored now, `None` if it is gone. The error says why it cannot be told.
    fn get<'a>(
        &'a self,
        kind: &'static KindInfo,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, String>>;
}

/// Reads them a few at a time.
pub(super) struct Reads {
    objects: Arc<dyn StoredObjects>,
    free: Semaphore,
}

impl Reads {
    pub(super) fn of(objects: Arc<dyn StoredObjects>) -> Self {
        Self {
            objects,
            free: Semaphore::new(AT_ONCE),
        }
    }

    /// The right to one read, in the order of those who ask; `None`: none was free by then.
    pub(super) async fn turn(&self, due: Instant) -> Option<Turn<'_>> {
        let permit = timeout_at(due, self.free.acquire()).await.ok()?.ok()?;
        Some(self.with(permit))
    }

    /// The right to one read, if nobody has to wait for it.
    pub(super) fn turn_if_free(&self) -> Option<Turn<'_>> {
        let permit = self.free.try_acquire().ok()?;
        Some(self.with(permit))
    }

    fn with<'a>(&'a self, permit: SemaphorePermit<'a>) -> Turn<'a> {
        Turn {
            objects: self.objects.as_ref(),
            _permit: permit,
        }
    }
}

/// The right to one read. Dropped, it is the next one's.
pub(super) struct Turn<'a> {
    objects: &'a dyn StoredObjects,
    _permit: SemaphorePermit<'a>,
}

impl Turn<'_> {
    /// [`StoredObjects::get`].
    pub(super) async fn get(
        self,
        kind: &'static KindInfo,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Value>, String> {
        self.objects.get(kind, namespace, name).await
    }
}

/// Reads them from the API server.
#[derive(Clone)]
pub struct LiveObjects {
    client: kube::Client,
}

impl LiveObjects {
    /// Reads with this client.
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }
}

impl StoredObjects for LiveObjects {
    fn get<'a>(
        &'a self,
        kind: &'static KindInfo,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, String>> {
        Box::pin(async move {
            let resource = ApiResource {
                group: kind.group.to_owned(),
                version: kind.version.to_owned(),
                api_version: format!("{}/{}", kind.group, kind.version),
                kind: kind.kind.to_owned(),
                plural: kind.plural.to_owned(),
            };
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, &resource);
            let found = api.get_opt(name).await.map_err(|error| error.to_string())?;
            found
                .map(serde_json::to_value)
                .transpose()
                .map_err(|error| error.to_string())
        })
    }
}
