//! A quota as the decisions see it, and the way from and to the stored objects.

use std::fmt;

use serde_json::Value;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota, OnGrowth, QuotaStatus};

use super::book::{Book, Hold, Revision};
use super::inventory::Scope;
use super::line::UnreadableHold;
use super::usage::Tally;
use crate::quantity::{CpuError, MilliCpu};

/// Names a quota. The order is the one in which several quotas of one workload are taken, in every replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QuotaKey {
    /// A `ClusterCpuQuota`.
    Cluster {
        /// Its name.
        name: String,
    },
    /// A `CpuQuota`.
    Namespaced {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
}

impl fmt::Display for QuotaKey {
    /// `CpuQuota "team-a/default"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuotaKey::Cluster { name } => write!(f, "ClusterCpuQuota \"{name}\""),
            QuotaKey::Namespaced { namespace, name } => {
                write!(f, "CpuQuota \"{namespace}/{name}\"")
            }
        }
    }
}

/// What an admin does about an entry that somebody else has written.
const WAY_OUT: &str = "only Sluice writes it: remove this entry with \"kubectl edit --subresource=status\" (needs the verb set on \
                       statuses.sluice.dev), and Sluice counts anew";

/// Why a quota cannot be used as it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// `spec.hard.cpu` is no CPU figure.
    #[error("spec.hard.cpu {0}")]
    Hard(CpuError),
    /// A revision in the status is no number; only Sluice writes them.
    #[error("status.{field} holds \"{value}\", which is no resource version; {way}", way = WAY_OUT)]
    Revision {
        /// Where.
        field: String,
        /// What stands there.
        value: String,
    },
    /// A line of `status.pending` is no hold; only Sluice writes them.
    #[error(
        "status.pending[{index}] holds \"{line}\", which is no hold that this version of Sluice can read; {way}",
        way = WAY_OUT
    )]
    Hold {
        /// Which.
        index: usize,
        /// How it begins.
        line: String,
    },
}

/// One quota: its limit and its ledger, as of one resource version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// Its name.
    pub key: QuotaKey,
    /// Its `metadata.generation`.
    pub generation: i64,
    /// Its limit.
    pub hard: MilliCpu,
    /// What growth past the limit means.
    pub on_growth: OnGrowth,
    /// Its ledger.
    pub book: Book,
}

impl Account {
    /// Reads a `CpuQuota`.
    pub fn of(quota: &CpuQuota) -> Result<Self, Unreadable> {
        Ok(Self {
            key: QuotaKey::Namespaced {
                namespace: quota.metadata.namespace.clone().unwrap_or_default(),
                name: quota.metadata.name.clone().unwrap_or_default(),
            },
            generation: quota.metadata.generation.unwrap_or_default(),
            hard: read_hard(&quota.spec.hard.cpu)?,
            on_growth: quota.spec.on_growth.unwrap_or_default(),
            book: Book::read(quota.status.as_ref())?,
        })
    }

    /// Reads a `ClusterCpuQuota`.
    pub fn of_cluster(quota: &ClusterCpuQuota) -> Result<Self, Unreadable> {
        Ok(Self {
            key: QuotaKey::Cluster {
                name: quota.metadata.name.clone().unwrap_or_default(),
            },
            generation: quota.metadata.generation.unwrap_or_default(),
            hard: read_hard(&quota.spec.hard.cpu)?,
            on_growth: quota.spec.on_growth.unwrap_or_default(),
            book: Book::read(quota.status.as_ref())?,
        })
    }
}

/// Namespaces whose workloads a `ClusterCpuQuota` counts.
pub fn cluster_scope(quota: &ClusterCpuQuota) -> Scope {
    if quota.spec.namespaces.iter().any(|name| name == "*") {
        Scope::Everywhere
    } else {
        Scope::Namespaces(quota.spec.namespaces.iter().cloned().collect())
    }
}

fn read_hard(cpu: &Value) -> Result<MilliCpu, Unreadable> {
    MilliCpu::parse(cpu).map_err(Unreadable::Hard)
}

fn read_revision(text: &str, field: impl FnOnce() -> String) -> Result<Revision, Unreadable> {
    Revision::parse(text).ok_or_else(|| Unreadable::Revision {
        field: field(),
        value: text.chars().take(64).collect(),
    })
}

/// int64 is the widest integer that an API server keeps exactly.
fn stored(cpu: MilliCpu) -> u64 {
    cpu.0.min(i64::MAX.unsigned_abs())
}

impl Book {
    /// Reads the ledger from a status; an absent status is a ledger that is not initialised.
    pub fn read(status: Option<&QuotaStatus>) -> Result<Self, Unreadable> {
        let Some(status) = status else {
            return Ok(Self::default());
        };
        let mut book = Self {
            charge_fn: status.charge_fn.unwrap_or_default(),
            observed_generation: status.observed_generation.unwrap_or_default(),
            confirmed: MilliCpu(status.confirmed_milli.unwrap_or_default()),
            ..Self::default()
        };
        for (resource, text) in &status.snapshot {
            let revision = read_revision(text, || format!("snapshot[{resource}]"))?;
            book.snapshot.insert(resource.clone(), revision);
        }
        for (index, line) in status.pending.iter().enumerate() {
            let hold = line.parse().map_err(|UnreadableHold| Unreadable::Hold {
                index,
                line: line.chars().take(64).collect(),
            })?;
            book.pending.push(hold);
        }
        Ok(book)
    }

    /// Writes the ledger and the figures for people into a status. Conditions are left as they are.
    pub fn write(&self, hard: MilliCpu, status: &mut QuotaStatus) {
        let reserved = Tally::of(&self.pending).total();
        status.hard = Some(hard.to_string());
        status.used = Some(self.confirmed.to_string());
        status.reserved = Some(reserved.to_string());
        status.free = Some(hard.minus(self.confirmed.plus(reserved)).to_string());
        status.charge_fn = Some(self.charge_fn);
        status.observed_generation = Some(self.observed_generation);
        status.confirmed_milli = Some(stored(self.confirmed));
        status.snapshot = self
            .snapshot
            .iter()
            .map(|(resource, at)| (resource.clone(), at.to_string()))
            .collect();
        status.pending = self.pending.iter().map(Hold::to_string).collect();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[allow(clippy::needless_pass_by_value)] // `json!` at the call reads best by value
    fn quota(spec: Value, status: Value) -> CpuQuota {
        serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
            "metadata": {"name": "default", "namespace": "team-a", "generation": 3},
            "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_status_goes_out_as_it_came_in() {
        let status = json!({
            "hard": "100", "used": "40", "reserved": "8", "free": "52",
            "observedGeneration": 3, "chargeFn": 2, "confirmedMilli": 40000,
            "snapshot": {"sessionclusters.sluice.dev": "1234567"},
            "pending": ["0->8000 sessionclusters.sluice.dev/team-a/analytics uid=u base=0 id=r1-1 by=ann"],
        });
        let stored = quota(json!({"hard": {"cpu": 100}}), status.clone());
        let account = Account::of(&stored).unwrap();
        assert_eq!(account.book.usage(), MilliCpu(48_000));
        let mut out = QuotaStatus::default();
        account.book.write(account.hard, &mut out);
        assert_eq!(serde_json::to_value(&out).unwrap(), status);
    }

    #[test]
    fn a_new_quota_is_not_initialised() {
        let account = Account::of(&quota(
            json!({"hard": {"cpu": "500m"}, "onGrowth": "Enforce"}),
            Value::Null,
        ))
        .unwrap();
        assert_eq!(account.book, Book::default());
        assert_eq!(
            (account.hard, account.on_growth, account.generation),
            (MilliCpu(500), OnGrowth::Enforce, 3)
        );
        assert_eq!(account.key.to_string(), "CpuQuota \"team-a/default\"");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let message = |spec, status| Account::of(&quota(spec, status)).unwrap_err().to_string();
        assert_eq!(
            message(json!({"hard": {"cpu": [1]}}), Value::Null),
            "spec.hard.cpu must be a number of CPUs such as 0.5, 2 or \"500m\""
        );
        assert_eq!(
            message(
                json!({"hard": {"cpu": 1}}),
                json!({"snapshot": {"a.b": "x"}})
            ),
            format!("status.snapshot[a.b] holds \"x\", which is no resource version; {WAY_OUT}")
        );
        assert_eq!(
            message(json!({"hard": {"cpu": 1}}), json!({"pending": ["8 cores"]})),
            format!(
                "status.pending[0] holds \"8 cores\", which is no hold that this version of Sluice can read; {WAY_OUT}"
            )
        );
    }
}
