//! Quotas as the watch brings them: which cover a namespace, and the newest copy of each for the ledger.

use crate::ledger::Stored;
use serde_json::Value;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota};
use sluice_policy::ledger::{QuotaKey, Scope};
use std::sync::Arc;

/// Plural of `CpuQuota`.
pub const CPU_QUOTAS: &str = "cpuquotas";
/// Plural of `ClusterCpuQuota`.
pub const CLUSTER_CPU_QUOTAS: &str = "clustercpuquotas";

/// Which of the two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaKind {
    /// `CpuQuota`.
    Namespaced,
    /// `ClusterCpuQuota`.
    Cluster,
}

/// A quota as cached.
#[derive(Clone, Debug)]
pub struct Quota {
    /// Its name.
    pub key: QuotaKey,
    /// Its uid, for Events.
    pub uid: String,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// Whose workloads count.
    pub scope: Scope,
    /// The copy for the ledger; `None` if it cannot be read as a quota. It counts all the same: the ledger reads it
    /// live and says what is wrong, where forgetting it would open the gate.
    pub stored: Option<Stored>,
}

impl Quota {
    /// Reads what the watch brought.
    pub fn read(kind: QuotaKind, object: &Value) -> Option<Self> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let name = text("/metadata/name")?.to_owned();
        let uid = text("/metadata/uid").unwrap_or_default().to_owned();
        let generation = object
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        Some(match kind {
            QuotaKind::Namespaced => {
                let namespace = text("/metadata/namespace").unwrap_or_default().to_owned();
                Self {
                    scope: Scope::namespace(namespace.clone()),
                    key: QuotaKey::Namespaced { namespace, name },
                    uid,
                    generation,
                    stored: serde_json::from_value::<CpuQuota>(object.clone())
                        .ok()
                        .map(|quota| Stored::namespaced(Arc::new(quota))),
                }
            }
            QuotaKind::Cluster => Self {
                scope: scope(object),
                key: QuotaKey::Cluster { name },
                uid,
                generation,
                stored: serde_json::from_value::<ClusterCpuQuota>(object.clone())
                    .ok()
                    .map(|quota| Stored::cluster(Arc::new(quota))),
            },
        })
    }
}

/// The namespaces of a cluster quota; `*` means all.
fn scope(object: &Value) -> Scope {
    let names = || {
        object
            .pointer("/spec/namespaces")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
    };
    if names().any(|name| name == "*") {
        Scope::Everywhere
    } else {
        Scope::Namespaces(names().map(str::to_owned).collect())
    }
}
