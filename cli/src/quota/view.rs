//! Quotas as they stand, each with those who hold CPU of it.

use crate::exit::Failure;
use crate::live::snapshot::Snapshot;
use crate::offline::Gate;
use crate::offline::manifest::Manifest;
use crate::offline::world::Knowledge;
use serde_json::Value;
use sluice_api::quota::{ClusterCpuQuota, CpuQuota, OnGrowth};
use sluice_policy::ledger::account::cluster_scope;
use sluice_policy::ledger::{Account, CHARGE_FN, QuotaKey, Scope};
use sluice_policy::{MilliCpu, admit};

/// Who asks, in the gate's eyes.
pub(super) const USER: &str = "sluice-quota";

/// Whoever holds CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub charge: MilliCpu,
}

/// One quota.
#[derive(Debug)]
pub(super) struct Quota {
    pub key: QuotaKey,
    pub scope: Scope,
    /// The ledger, or why it cannot be read.
    pub account: Result<Account, String>,
    /// Largest first; those of the namespace that was looked at.
    pub holders: Vec<Holder>,
}

impl Quota {
    /// In a word or two: whether its figures count.
    pub(super) fn state(&self) -> String {
        let account = match &self.account {
            Ok(account) => account,
            Err(why) => return format!("unreadable: {why}"),
        };
        let book = &account.book;
        let over = book.usage().minus(account.hard);
        if book.charge_fn == 0 {
            "not counted yet".to_owned()
        } else if book.charge_fn != CHARGE_FN {
            "counted by another version of Sluice".to_owned()
        } else if book.observed_generation != account.generation {
            "changed, not counted since".to_owned()
        } else if over > MilliCpu::ZERO {
            format!("exceeded by {over}")
        } else {
            "counted".to_owned()
        }
    }

    /// What growth past the limit means.
    pub(super) fn on_growth(&self) -> &'static str {
        match self.account.as_ref().map(|account| account.on_growth) {
            Ok(OnGrowth::Warn) => "Warn",
            Ok(OnGrowth::Enforce) => "Enforce",
            Ok(OnGrowth::Ignore) => "Ignore",
            Err(_) => "-",
        }
    }

    /// What is in use beyond the holders that were looked at.
    pub(super) fn elsewhere(&self) -> MilliCpu {
        let held = self.holders.iter().map(|holder| holder.charge).sum();
        self.account
            .as_ref()
            .map_or(MilliCpu::ZERO, |account| account.book.confirmed.minus(held))
    }
}

/// The gate in front of what was read.
pub(super) fn gate(snapshot: &Snapshot, namespace: &str) -> Result<Gate, Failure> {
    let mut gate = Gate::new(namespace, USER, Knowledge::Full);
    gate.exists(&snapshot.documents())?;
    Ok(gate)
}

/// Every quota that counts the namespace, or all.
pub(super) fn of(snapshot: &Snapshot, namespace: Option<&str>) -> Result<Vec<Quota>, Failure> {
    let gate = gate(snapshot, namespace.unwrap_or("default"))?;
    let mut quotas = Vec::new();
    let mut holders = Vec::new();
    for document in snapshot.documents() {
        let manifest = gate.manifest(&document)?;
        if let Some(quota) = quota(&manifest) {
            quotas.push(quota);
        }
        let Some(dialect) = manifest.dialect else {
            continue;
        };
        let charge = admit::charge(dialect, &manifest.object, gate.world());
        if charge > MilliCpu::ZERO {
            holders.push(Holder {
                kind: manifest.id.kind,
                namespace: manifest.id.namespace.unwrap_or_default(),
                name: manifest.id.name,
                charge,
            });
        }
    }
    holders.sort_by(|a, b| {
        let place = |of: &Holder| (of.namespace.clone(), of.kind.clone(), of.name.clone());
        b.charge
            .cmp(&a.charge)
            .then_with(|| place(a).cmp(&place(b)))
    });
    if let Some(namespace) = namespace {
        quotas.retain(|quota: &Quota| quota.scope.contains(namespace));
    }
    for quota in &mut quotas {
        quota.holders = holders
            .iter()
            .filter(|holder| quota.scope.contains(&holder.namespace))
            .cloned()
            .collect();
    }
    quotas.sort_by(|a, b| a.key.cmp(&b.key));
    Ok(quotas)
}

/// A quota, if this is one; without holders.
pub(super) fn quota(manifest: &Manifest) -> Option<Quota> {
    let id = &manifest.id;
    if id.group != sluice_api::GROUP {
        return None;
    }
    let name = id.name.clone();
    let namespace = id.namespace.clone().unwrap_or_default();
    let (key, scope, account) = match id.kind.as_str() {
        "CpuQuota" => (
            QuotaKey::Namespaced {
                namespace: namespace.clone(),
                name,
            },
            Scope::namespace(namespace),
            read::<CpuQuota>(&manifest.object)
                .and_then(|quota| Account::of(&quota).map_err(|why| why.to_string())),
        ),
        "ClusterCpuQuota" => {
            let quota = read::<ClusterCpuQuota>(&manifest.object);
            let scope = quota.as_ref().map_or(Scope::Everywhere, cluster_scope);
            let account =
                quota.and_then(|quota| Account::of_cluster(&quota).map_err(|why| why.to_string()));
            (QuotaKey::Cluster { name }, scope, account)
        }
        _ => return None,
    };
    Some(Quota {
        key,
        scope,
        account,
        holders: Vec::new(),
    })
}

fn read<Q: serde::de::DeserializeOwned>(object: &Value) -> Result<Q, String> {
    serde_json::from_value(object.clone()).map_err(|error| error.to_string())
}
