//! What etcd tells: one change per revision, read from the key and the bytes that the API server stored there. The reading of
//! revisions over the wire is [`crate::etcd`], what they must satisfy is [`crate::check`].

use crate::charge::charge;
use crate::place::{Kind, Place, Quota};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sluice_api::quota::QuotaStatus;
use sluice_policy::ledger::{Book, CHARGE_FN, Hold};
use std::collections::BTreeMap;

/// Annotation by which a client says which operation a write belongs to.
pub const OPERATION: &str = "chaos.sluice.dev/operation";

/// One write to one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// etcd's revision.
    pub revision: u64,
    /// What was written.
    pub what: Written,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Written {
    /// A workload; `None` is its end.
    Workload(Place, Option<Workload>),
    /// A quota; `None` is its end.
    Quota(Quota, Option<Limit>),
}

/// What counts of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// Its uid: another one is another object.
    pub uid: String,
    /// `metadata.generation`, which only a change of the spec raises.
    pub generation: i64,
    /// What it costs, in thousandths of a CPU.
    pub charge: u64,
    /// The operation that its annotation names.
    pub operation: Option<u64>,
    /// Defaults that it should have and has not.
    pub missing: Vec<String>,
}

/// What counts of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// `spec.hard.cpu`, in thousandths.
    pub hard: u64,
    /// `metadata.generation`.
    pub generation: i64,
    /// Namespaces that it counts; `None`: all.
    pub namespaces: Option<Vec<String>>,
    /// What its status says, if the controller has counted it.
    pub ledger: Option<Told>,
}

/// A hold: the transition that it is for, and how far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The attempt that took it.
    pub id: String,
    /// Which object.
    pub place: Place,
    /// The object's uid.
    pub uid: String,
    /// The revision that is to be replaced; 0 for a create.
    pub base: u64,
    /// The charge before it, in thousandths.
    pub from: u64,
    /// The charge after it, in thousandths.
    pub to: u64,
}

/// What a quota's status says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Which generation it was counted for.
    pub observed: i64,
    /// Confirmed, in thousandths.
    pub confirmed: u64,
    /// Confirmed and held, in thousandths.
    pub usage: u64,
    /// The holds.
    pub holds: Vec<Held>,
    /// The revision that each resource was counted at.
    pub snapshot: BTreeMap<String, u64>,
    /// `status.used`, for people.
    pub used: String,
}

/// Decodes a write. `None`: a key that is not looked at.
///
/// # Errors
/// A key of ours whose value cannot be read.
pub fn decode(key: &str, value: Option<&Value>, revision: u64) -> anyhow::Result<Option<Change>> {
    let Some(key) = key.strip_prefix("/registry/") else {
        return Ok(None);
    };
    let parts: Vec<&str> = key.split('/').collect();
    let what = match parts.as_slice() {
        ["sluice.dev", "cpuquotas", namespace, "default"] => {
            let quota = Quota::Of((*namespace).to_owned());
            let own = Some(vec![(*namespace).to_owned()]);
            Written::Quota(quota, value.map(|value| limit(value, own)).transpose()?)
        }
        ["sluice.dev", "clustercpuquotas", name] => {
            let quota = Quota::Cluster((*name).to_owned());
            let names = value.and_then(|value| value.pointer("/spec/namespaces")?.as_array());
            let names: Vec<String> = names
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect();
            let scope = (!names.iter().any(|name| name == "*")).then_some(names);
            Written::Quota(quota, value.map(|value| limit(value, scope)).transpose()?)
        }
        [group, plural, namespace, name] => {
            let Some(kind) = Kind::ALL
                .into_iter()
                .find(|kind| kind.group() == *group && kind.plural() == *plural)
            else {
                return Ok(None);
            };
            let place = Place {
                kind,
                namespace: (*namespace).to_owned(),
                name: (*name).to_owned(),
            };
            Written::Workload(place, value.map(|value| workload(kind, value)))
        }
        _ => return Ok(None),
    };
    Ok(Some(Change { revision, what }))
}

fn workload(kind: Kind, object: &Value) -> Workload {
    let operation = object
        .pointer("/metadata/annotations")
        .and_then(|all| all.get(OPERATION)?.as_str()?.parse().ok());
    Workload {
        uid: uid(object),
        generation: generation(object),
        charge: charge(kind, object),
        operation,
        missing: missing(kind, object)
            .into_iter()
            .map(str::to_owned)
            .collect(),
    }
}

/// Defaults of a run that every admitted object has, whatever it was created with: the user's objects leave all of them out.
fn missing(kind: Kind, object: &Value) -> Vec<&'static str> {
    let expected: &[&'static str] = match kind {
        Kind::SessionCluster => &[
            "/spec/resources/jobmanager/memory",
            "/spec/logging/loggingProfile",
            "/spec/flinkConfiguration/chaos.default",
        ],
        Kind::Deployment => &[
            "/spec/restoreStrategy/kind",
            "/spec/upgradeStrategy/kind",
            "/spec/template/spec/logging/loggingProfile",
            "/spec/template/spec/flinkConfiguration/chaos.default",
        ],
        Kind::FlinkDeployment => &["/spec/flinkConfiguration/chaos.default"],
    };
    expected
        .iter()
        .copied()
        .filter(|pointer| object.pointer(pointer).is_none_or(Value::is_null))
        .collect()
}

fn uid(object: &Value) -> String {
    let uid = object.pointer("/metadata/uid").and_then(Value::as_str);
    uid.unwrap_or_default().to_owned()
}

fn generation(object: &Value) -> i64 {
    let generation = object.pointer("/metadata/generation");
    generation.and_then(Value::as_i64).unwrap_or_default()
}

fn limit(object: &Value, namespaces: Option<Vec<String>>) -> anyhow::Result<Limit> {
    let status = object.get("status").filter(|status| !status.is_null());
    let status: Option<QuotaStatus> = status
        .map(|status| serde_json::from_value(status.clone()))
        .transpose()?;
    let ledger = match &status {
        Some(status) if status.charge_fn == Some(CHARGE_FN) => {
            let book = Book::read(Some(status))?;
            Some(Told {
                observed: book.observed_generation,
                confirmed: book.confirmed.0,
                usage: book.usage().0,
                holds: book.pending.iter().filter_map(held).collect(),
                snapshot: book
                    .snapshot
                    .iter()
                    .map(|(resource, at)| (resource.clone(), at.0))
                    .collect(),
                used: status.used.clone().unwrap_or_default(),
            })
        }
        _ => None,
    };
    let cores = object.pointer("/spec/hard/cpu").and_then(Value::as_u64);
    Ok(Limit {
        hard: cores.unwrap_or_default() * 1000,
        generation: generation(object),
        namespaces,
        ledger,
    })
}

/// Holds for kinds that no run has are not looked at.
fn held(hold: &Hold) -> Option<Held> {
    let of = |kind: &Kind| format!("{}.{}", kind.plural(), kind.group());
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| of(kind) == hold.object.resource)?;
    Some(Held {
        id: hold.id.clone(),
        place: Place {
            kind,
            namespace: hold.object.namespace.clone(),
            name: hold.object.name.clone(),
        },
        uid: hold.uid.clone(),
        base: hold.base.0,
        from: hold.from.0,
        to: hold.to.0,
    })
}

/// What stands at a revision.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Workloads, each with the revision of its last write.
    pub workloads: BTreeMap<Place, (Workload, u64)>,
    /// Quotas.
    pub quotas: BTreeMap<Quota, Limit>,
    sums: BTreeMap<String, u64>,
}

impl State {
    /// Takes in the next change; returns what stood there before, if it was a workload.
    pub fn apply(&mut self, change: &Change) -> Option<(Workload, u64)> {
        match &change.what {
            Written::Quota(quota, Some(limit)) => {
                self.quotas.insert(quota.clone(), limit.clone());
                None
            }
            Written::Quota(quota, None) => {
                self.quotas.remove(quota);
                None
            }
            Written::Workload(place, now) => {
                let before = match now {
                    Some(now) => self
                        .workloads
                        .insert(place.clone(), (now.clone(), change.revision)),
                    None => self.workloads.remove(place),
                };
                let cost = |workload: Option<&Workload>| workload.map_or(0, |one| one.charge);
                let sum = self.sums.entry(place.namespace.clone()).or_default();
                *sum += cost(now.as_ref());
                *sum -= cost(before.as_ref().map(|(before, _)| before));
                before
            }
        }
    }

    /// CPU that all workloads a quota counts cost together, of the namespaces that `counts` says.
    pub fn live(&self, limit: &Limit, counts: impl Fn(&str) -> bool) -> u64 {
        self.sums
            .iter()
            .filter(|(namespace, _)| limit.covers(namespace) && counts(namespace))
            .map(|(_, sum)| sum)
            .sum()
    }

    /// Why this is not yet rest: holds that are left, and ledgers that do not tell what stands.
    pub fn unrest(&self) -> Vec<String> {
        let mut unrest = Vec::new();
        for (quota, limit) in &self.quotas {
            let live = self.live(limit, |_| true);
            let Some(told) = &limit.ledger else {
                unrest.push(format!("{quota} is not counted"));
                continue;
            };
            if !told.holds.is_empty() {
                unrest.push(format!("{quota} has {} holds left", told.holds.len()));
            }
            if told.confirmed != live || told.used != sluice_policy::MilliCpu(live).to_string() {
                unrest.push(format!(
                    "{quota} says used {} ({} m), but etcd holds {live} m",
                    told.used, told.confirmed
                ));
            }
            if told.observed != limit.generation {
                unrest.push(format!("{quota} is not counted for its newest limit"));
            }
        }
        unrest
    }
}

impl Limit {
    /// Whether it counts this namespace.
    pub fn covers(&self, namespace: &str) -> bool {
        self.namespaces
            .as_ref()
            .is_none_or(|names| names.iter().any(|name| name == namespace))
    }
}
