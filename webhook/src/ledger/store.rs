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
        let failed = |error| failure(&error);
        match key {
            QuotaKey::Namespaced { namespace, name } => {
                let api: Api<CpuQuota> = Api::namespaced(self.client.clone(), namespace);
                api.get(name)
                    .await
                    .map(|quota| Stored::namespaced(Arc::new(quota)))
                    .map_err(failed)
            }
            QuotaKey::Cluster { name } => {
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
        .map_err(|error| failure(&error))
}

fn failure(error: &kube::Error) -> StoreError {
    match error {
        kube::Error::Api(status) if status.code == 409 => StoreError::Conflict,
        kube::Error::Api(status) if status.code == 404 => StoreError::Gone,
        kube::Error::Api(status) => StoreError::Failed(status.message.clone()),
        other => StoreError::Failed(other.to_string()),
    }
}
