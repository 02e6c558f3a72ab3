//! Where quotas are read and written: the API server, or a stand-in for tests.

use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_api::names::field_managers;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota, QuotaStatus};
use sluice_policy::ledger::{Account, Book, QuotaKey, Revision, Unreadable};
use sluice_policy::sabotage::Sabotage;

/// A quota as of one resource version.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its resource version, to be written at.
    pub version: String,
    /// What the decisions see of it; an error if it cannot be read.
    pub account: Result<Account, Unreadable>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Namespaced(Arc<CpuQuota>),
    Cluster(Arc<ClusterCpuQuota>),
}

impl Stored {
    /// A copy of a `CpuQuota`, from a watch or a read.
    pub fn namespaced(quota: Arc<CpuQuota>) -> Self {
        Self {
            version: quota.metadata.resource_version.clone().unwrap_or_default(),
            account: Account::of(&quota),
            source: Source::Namespaced(quota),
        }
    }

    /// A copy of a `ClusterCpuQuota`, from a watch or a read.
    pub fn cluster(quota: Arc<ClusterCpuQuota>) -> Self {
        Self {
            version: quota.metadata.resource_version.clone().unwrap_or_default(),
            account: Account::of_cluster(&quota),
            source: Source::Cluster(quota),
        }
    }

    /// Whether this copy is newer than the other. Versions of one quota are comparable as numbers.
    pub fn newer_than(&self, other: &Stored) -> bool {
        Revision::parse(&self.version) > Revision::parse(&other.version)
    }
}

/// Why a quota could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first. Nothing was written.
    #[error("somebody else wrote first")]
    Conflict,
    /// There is no such quota (any more).
    #[error("the quota does not exist")]
    Gone,
    /// The API server refused the call. Nothing was written.
    #[error("{0}")]
    Refused(String),
    /// The call failed; a write may or may not have happened.
    #[error("{0}")]
    Failed(String),
}

/// Reads and writes quotas.
pub trait QuotaStore: Send + Sync + 'static {
    /// The newest copy that a watch has brought, if there is a watch. May be of any age.
    fn newest(&self, key: &QuotaKey) -> Option<Stored>;

    /// Reads past every cache (a quorum read).
    fn read<'a>(&'a self, key: &'a QuotaKey) -> BoxFuture<'a, Result<Stored, StoreError>>;

    /// Puts this book into the status, if the quota still is at the copy's version.
    fn write<'a>(
        &'a self,
        copy: &'a Stored,
        account: &'a Account,
        book: &'a Book,
    ) -> BoxFuture<'a, Result<Stored, StoreError>>;
}

/// Brings the newest copy that a watch knows.
pub type Newest = Arc<dyn Fn(&QuotaKey) -> Option<Stored> + Send + Sync>;

/// Quotas in the API server.
#[derive(Clone)]
pub struct KubeStore {
    client: Client,
    newest: Newest,
}

impl fmt::Debug for KubeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeStore").finish_non_exhaustive()
    }
}

impl KubeStore {
    /// Without a watch: each actor goes by what it wrote or read last.
    pub fn new(client: Client) -> Self {
        Self::with_watch(client, Arc::new(|_| None))
    }

    /// With a watch's newest copies, which save conflicts.
    pub fn with_watch(client: Client, newest: Newest) -> Self {
        Self { client, newest }
    }

    async fn read_live(&self, key: &QuotaKey) -> Result<Stored, StoreError> {
        match key {
            QuotaKey::Namespaced { namespace, name } => {
                let failed = |error| failure(&error, name);
                let api: Api<CpuQuota> = Api::namespaced(self.client.clone(), namespace);
                api.get(name)
                    .await
                    .map(|quota| Stored::namespaced(Arc::new(quota)))
                    .map_err(failed)
            }
            QuotaKey::Cluster { name } => {
                let failed = |error| failure(&error, name);
                let api: Api<ClusterCpuQuota> = Api::all(self.client.clone());
                api.get(name)
                    .await
                    .map(|quota| Stored::cluster(Arc::new(quota)))
                    .map_err(failed)
            }
        }
    }

    async fn write_live(
        &self,
        copy: &Stored,
        account: &Account,
        book: &Book,
    ) -> Result<Stored, StoreError> {
        match &copy.source {
            Source::Namespaced(quota) => {
                let namespace = quota.metadata.namespace.clone().unwrap_or_default();
                let mut next = CpuQuota::new("", quota.spec.clone());
                next.metadata = address(&quota.metadata);
                next.status = Some(status(quota.status.as_ref(), account, book));
                put(Api::namespaced(self.client.clone(), &namespace), next)
                    .await
                    .map(|quota| Stored::namespaced(Arc::new(quota)))
            }
            Source::Cluster(quota) => {
                let mut next = ClusterCpuQuota::new("", quota.spec.clone());
                next.metadata = address(&quota.metadata);
                next.status = Some(status(quota.status.as_ref(), account, book));
                put(Api::all(self.client.clone()), next)
                    .await
                    .map(|quota| Stored::cluster(Arc::new(quota)))
            }
        }
    }
}

impl QuotaStore for KubeStore {
    fn newest(&self, key: &QuotaKey) -> Option<Stored> {
        (self.newest)(key)
    }

    fn read<'a>(&'a self, key: &'a QuotaKey) -> BoxFuture<'a, Result<Stored, StoreError>> {
        self.read_live(key).boxed()
    }

    fn write<'a>(
        &'a self,
        copy: &'a Stored,
        account: &'a Account,
        book: &'a Book,
    ) -> BoxFuture<'a, Result<Stored, StoreError>> {
        let written = self.write_live(copy, account, book);
        if !Sabotage::LastWriteWins.is_on() {
            return written.boxed();
        }
        async move {
            match written.await {
                Err(StoreError::Conflict) => {
                    let fresh = self.read_live(&account.key).await?;
                    self.write_live(&fresh, account, book).await
                }
                other => other,
            }
        }
        .boxed()
    }
}

/// What a status write needs of the metadata: which object, at which version, and of which life.
fn address(metadata: &ObjectMeta) -> ObjectMeta {
    ObjectMeta {
        name: metadata.name.clone(),
        namespace: metadata.namespace.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectMeta::default()
    }
}

fn status(before: Option<&QuotaStatus>, account: &Account, book: &Book) -> QuotaStatus {
    let mut status = before.cloned().unwrap_or_default();
    book.write(account.hard, &mut status);
    status
}

async fn put<K>(api: Api<K>, next: K) -> Result<K, StoreError>
where
    K: Resource + Clone + fmt::Debug + Serialize + DeserializeOwned,
{
    let name = next.meta().name.clone().unwrap_or_default();
    let params = PostParams {
        field_manager: Some(field_managers::LEDGER.to_owned()),
        ..PostParams::default()
    };
    api.replace_status(&name, &params, &next)
        .await
        .map_err(|error| failure(&error, &name))
}

fn failure(error: &kube::Error, quota: &str) -> StoreError {
    let kube::Error::Api(status) = error else {
        return StoreError::Failed(error.to_string());
    };
    match status.code {
        409 => StoreError::Conflict,
        // Who looked for the quota and did not find it names it. Otherwise nobody looked: the path is not served, and quotas may exist.
        404 if status.details.as_ref().is_some_and(|it| it.name == quota) => StoreError::Gone,
        404 => StoreError::Refused(format!(
            "the API server does not serve quotas ({})",
            status.message
        )),
        400..500 => StoreError::Refused(status.message.clone()),
        _ => StoreError::Failed(status.message.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::http::{Request, Response};
    use serde_json::json;
    use std::convert::Infallible;

    async fn reading(code: u16, details: serde_json::Value) -> StoreError {
        let answer = move |_: Request<kube::client::Body>| {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "no", "details": details,
            });
            let answer = Response::builder().status(code);
            let answer = answer.body(Body::from(status.to_string())).unwrap();
            std::future::ready(Ok::<_, Infallible>(answer))
        };
        let client = Client::new(tower::service_fn(answer), "default");
        let key = QuotaKey::Cluster {
            name: "all".to_owned(),
        };
        KubeStore::new(client).read(&key).await.unwrap_err()
    }

    /// Found by tracing the code: any 404 was taken for a quota that is gone, which limits nothing.
    #[tokio::test]
    async fn only_who_has_looked_for_a_quota_says_that_it_is_gone() {
        let gone = reading(404, json!({"name": "all"})).await;
        assert!(matches!(gone, StoreError::Gone), "{gone:?}");
        for (code, details) in [
            (404, json!({})),
            (404, json!(null)),
            (404, json!({"name": "another"})),
            (403, json!({"name": "all"})),
            (429, json!(null)),
        ] {
            let refused = reading(code, details).await;
            assert!(
                matches!(refused, StoreError::Refused(_)),
                "{code}: {refused:?}"
            );
        }
        let failed = reading(500, json!({"name": "all"})).await;
        assert!(matches!(failed, StoreError::Failed(_)), "{failed:?}");
    }
}
