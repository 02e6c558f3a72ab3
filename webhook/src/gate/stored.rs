//! The live reads of the request path: the parent of a `/scale`, and what a create would collide with. All else is decided from
//! caches.

use futures::future::BoxFuture;
use kube::api::{Api, ApiResource, DynamicObject};
use serde_json::Value;
use sluice_policy::KindInfo;

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
