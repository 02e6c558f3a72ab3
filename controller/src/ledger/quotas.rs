//! The quotas: list and watch, reads past every cache, and writes of their status with figures and conditions for people.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sluice_api::conditions::{reasons, types};
use sluice_api::names::field_managers;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota, QuotaStatus};
use sluice_policy::ledger::account::cluster_scope;
use sluice_policy::ledger::{Account, Book, CHARGE_FN, QuotaKey, Scope, Unreadable};
use tokio::sync::mpsc;
use tokio::time::sleep;

/// Pause after a failed call.
const RETRY: Duration = Duration::from_secs(1);

/// A quota as of one resource version.
#[derive(Clone, Debug)]
pub struct QuotaCopy {
    /// Its name.
    pub key: QuotaKey,
    /// Whom it counts.
    pub scope: Scope,
    /// What the decisions see of it; an error if it cannot be read.
    pub account: Result<Account, Unreadable>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Namespaced(Arc<CpuQuota>),
    Cluster(Arc<ClusterCpuQuota>),
}

/// Why a quota could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// Somebody else wrote first.
    #[error("somebody else wrote first")]
    Conflict,
    /// It does not exist (any more).
    #[error("it does not exist")]
    Gone,
    /// The call failed.
    #[error(transparent)]
    Call(Box<kube::Error>),
}

impl QuotaError {
    fn of(error: kube::Error, quota: &str) -> Self {
        match &error {
            kube::Error::Api(status) if status.code == 409 => Self::Conflict,
            // Who looked for the quota and did not find it names it. Otherwise nobody looked: the path is not served, and the quota may
            // exist. To take it for gone would let everything start.
            kube::Error::Api(status)
                if status.code == 404
                    && status.details.as_ref().is_some_and(|it| it.name == quota) =>
            {
                Self::Gone
            }
            _ => Self::Call(Box::new(error)),
        }
    }
}

/// News of the quotas of one kind.
#[derive(Debug)]
pub enum QuotaNews {
    /// All of them.
    Listed(Kind, Vec<QuotaCopy>),
    /// One was added or changed.
    Put(QuotaCopy),
    /// One was deleted.
    Deleted(QuotaKey),
}

/// A kind of quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `CpuQuota`.
    Namespaced,
    /// `ClusterCpuQuota`.
    Cluster,
}

impl Kind {
    /// Whether a quota of this name is of this kind.
    pub fn has(self, key: &QuotaKey) -> bool {
        matches!(
            (self, key),
            (Kind::Namespaced, QuotaKey::Namespaced { .. })
                | (Kind::Cluster, QuotaKey::Cluster { .. })
        )
    }
}

impl From<CpuQuota> for QuotaCopy {
    fn from(quota: CpuQuota) -> Self {
        let namespace = quota.metadata.namespace.clone().unwrap_or_default();
        Self {
            key: QuotaKey::Namespaced {
                namespace: namespace.clone(),
                name: quota.metadata.name.clone().unwrap_or_default(),
            },
            scope: Scope::namespace(namespace),
            account: Account::of(&quota),
            source: Source::Namespaced(Arc::new(quota)),
        }
    }
}

impl From<ClusterCpuQuota> for QuotaCopy {
    fn from(quota: ClusterCpuQuota) -> Self {
        Self {
            key: QuotaKey::Cluster {
                name: quota.metadata.name.clone().unwrap_or_default(),
            },
            scope: cluster_scope(&quota),
            account: Account::of_cluster(&quota),
            source: Source::Cluster(Arc::new(quota)),
        }
    }
}

/// Follows all quotas of a kind for ever.
pub async fn follow<K>(client: Client, kind: Kind, news: mpsc::Sender<QuotaNews>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Into<QuotaCopy>,
{
    let api: Api<K> = Api::all(client);
    loop {
        let list = match api.list(&ListParams::default()).await {
            Ok(list) => list,
            Err(error) => {
                tracing::warn!(?kind, %error, "listing quotas failed; it is tried again");
                sleep(RETRY).await;
                continue;
            }
        };
        let mut at = list.metadata.resource_version.clone().unwrap_or_default();
        let copies = list.items.into_iter().map(Into::into).collect();
        if news.send(QuotaNews::Listed(kind, copies)).await.is_err() {
            return;
        }
        while let Ok(true) = watch(&api, &mut at, &news).await {}
        if news.is_closed() {
            return;
        }
        sleep(RETRY).await;
    }
}

/// Whether the watch ended in good order and may go on from `at`.
async fn watch<K>(
    api: &Api<K>,
    at: &mut String,
    news: &mpsc::Sender<QuotaNews>,
) -> kube::Result<bool>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Into<QuotaCopy>,
{
    let events = api.watch(&WatchParams::default(), at).await?;
    tokio::pin!(events);
    while let Some(event) = events.try_next().await? {
        let what = match event {
            WatchEvent::Added(quota) | WatchEvent::Modified(quota) => {
                *at = quota.meta().resource_version.clone().unwrap_or_default();
                QuotaNews::Put(quota.into())
            }
            WatchEvent::Deleted(quota) => {
                *at = quota.meta().resource_version.clone().unwrap_or_default();
                QuotaNews::Deleted(quota.into().key)
            }
            WatchEvent::Bookmark(bookmark) => {
                *at = bookmark.metadata.resource_version;
                continue;
            }
            WatchEvent::Error(_) => return Ok(false),
        };
        if news.send(what).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

impl QuotaCopy {
    /// Its uid: another one is another quota.
    pub fn uid(&self) -> &str {
        let metadata = match &self.source {
            Source::Namespaced(quota) => &quota.metadata,
            Source::Cluster(quota) => &quota.metadata,
        };
        metadata.uid.as_deref().unwrap_or_default()
    }

    /// Reads a quota past every cache.
    pub async fn read(client: &Client, key: &QuotaKey) -> Result<Self, QuotaError> {
        match key {
            QuotaKey::Namespaced { namespace, name } => {
                let api: Api<CpuQuota> = Api::namespaced(client.clone(), namespace);
                let read = api.get(name).await;
                read.map(Self::from)
                    .map_err(|error| QuotaError::of(error, name))
            }
            QuotaKey::Cluster { name } => {
                let read = Api::<ClusterCpuQuota>::all(client.clone()).get(name).await;
                read.map(Self::from)
                    .map_err(|error| QuotaError::of(error, name))
            }
        }
    }

    /// Puts a book into the status, if the quota still is at this copy's version.
    pub async fn write(
        &self,
        client: &Client,
        account: &Account,
        book: &Book,
    ) -> Result<Self, QuotaError> {
        match &self.source {
            Source::Namespaced(quota) => {
                let mut next = CpuQuota::new("", quota.spec.clone());
                next.metadata = address(&quota.metadata);
                next.status = Some(status(quota.status.as_ref(), account, book));
                let namespace = quota.metadata.namespace.as_deref().unwrap_or_default();
                Ok(put(Api::namespaced(client.clone(), namespace), next)
                    .await?
                    .into())
            }
            Source::Cluster(quota) => {
                let mut next = ClusterCpuQuota::new("", quota.spec.clone());
                next.metadata = address(&quota.metadata);
                next.status = Some(status(quota.status.as_ref(), account, book));
                Ok(put(Api::all(client.clone()), next).await?.into())
            }
        }
    }
}

async fn put<K>(api: Api<K>, next: K) -> Result<K, QuotaError>
where
    K: Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let name = next.meta().name.clone().unwrap_or_default();
    let params = PostParams {
        field_manager: Some(field_managers::LEDGER.to_owned()),
        ..PostParams::default()
    };
    api.replace_status(&name, &params, &next)
        .await
        .map_err(|error| QuotaError::of(error, &name))
}

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
    let open = book.charge_fn == CHARGE_FN;
    let (reason, message) = if open {
        (
            reasons::AS_EXPECTED,
            "Every workload in scope is counted.".to_owned(),
        )
    } else {
        let waiting =
            "Holds of another version of Sluice are decided first; nothing may start until then.";
        ("OtherVersion", waiting.to_owned())
    };
    set(
        &mut status.conditions,
        types::INITIALISED,
        open,
        reason,
        message,
        account.generation,
    );
    let (used, hard) = (book.confirmed, account.hard);
    let over = used > hard;
    let (reason, message) = if over {
        let message = format!(
            "{used} of {hard} CPU are in use, {} over the limit. What runs is left alone; nothing starts.",
            used.minus(hard)
        );
        (reasons::CPU_QUOTA, message)
    } else {
        (
            reasons::AS_EXPECTED,
            "Usage is within the limit.".to_owned(),
        )
    };
    set(
        &mut status.conditions,
        types::QUOTA_EXCEEDED,
        over,
        reason,
        message,
        account.generation,
    );
    status
}

fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    holds: bool,
    reason: &str,
    message: String,
    generation: i64,
) {
    let status = if holds { "True" } else { "False" };
    let before = conditions
        .iter()
        .find(|condition| condition.type_ == kind && condition.status == status);
    let since = before.map_or_else(
        || Time(Timestamp::now()),
        |condition| condition.last_transition_time.clone(),
    );
    conditions.retain(|condition| condition.type_ != kind);
    conditions.push(Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since,
        observed_generation: Some(generation),
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_who_looked_for_a_quota_and_did_not_find_it_says_that_it_is_gone() {
        let answered = |details: serde_json::Value| {
            let status = json!({"status": "Failure", "code": 404, "message": "no", "reason": "NotFound", "details": details});
            let error = kube::Error::Api(Box::new(serde_json::from_value(status).unwrap()));
            QuotaError::of(error, "default")
        };
        let named = json!({"name": "default", "group": "sluice.dev", "kind": "cpuquotas"});
        assert!(matches!(answered(named), QuotaError::Gone));
        for unserved in [json!({}), json!(null)] {
            assert!(matches!(answered(unserved), QuotaError::Call(_)));
        }
    }

    #[test]
    fn conditions_tell_of_excess_and_keep_their_time() {
        let quota: CpuQuota = serde_json::from_value(json!({
            "metadata": {"name": "default", "namespace": "team-a", "generation": 4}, "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
            "spec": {"hard": {"cpu": 10}},
        }))
        .unwrap();
        let account = Account::of(&quota).unwrap();
        let book = |milli| Book {
            charge_fn: CHARGE_FN,
            confirmed: sluice_policy::MilliCpu(milli),
            ..Book::default()
        };
        let first = status(None, &account, &book(12_500));
        let exceeded = |status: &QuotaStatus| {
            status
                .conditions
                .iter()
                .find(|c| c.type_ == "QuotaExceeded")
                .unwrap()
                .clone()
        };
        assert_eq!(
            exceeded(&first).message,
            "12.5 of 10 CPU are in use, 2.5 over the limit. What runs is left alone; nothing starts."
        );
        assert_eq!(
            (
                exceeded(&first).status.as_str(),
                exceeded(&first).observed_generation
            ),
            ("True", Some(4))
        );
        let mut aged = first.clone();
        for condition in &mut aged.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        let again = status(Some(&aged), &account, &book(13_000));
        assert_eq!(
            exceeded(&again).last_transition_time,
            Time(Timestamp::UNIX_EPOCH)
        );
        let below = status(Some(&aged), &account, &book(10_000));
        assert_eq!(exceeded(&below).status, "False");
        assert_ne!(
            exceeded(&below).last_transition_time,
            Time(Timestamp::UNIX_EPOCH)
        );
    }
}
