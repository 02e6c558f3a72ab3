//! Who wants CPU, as read from an object by the very functions that admission and the ledger use.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::runtime::reflector::Store;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::Value;
use sluice_api::conditions::types;
use sluice_policy::ledger::Ask;
use sluice_policy::world::EmptyWorld;
use sluice_policy::{MilliCpu, Workload, dialect_for};

use super::queue::Waiting;
use crate::runtime::conditions::Truth;

/// A claim upon CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Uid of the object.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// CPU that its pods have or may have now.
    pub allocated: MilliCpu,
    /// CPU that it asks for.
    pub demand: MilliCpu,
    /// Since when it has been refused, if it has.
    pub refused_since: Option<Timestamp>,
    /// When it was created.
    pub created: Timestamp,
}

impl Claim {
    /// Of an object that is about to ask for so much.
    pub fn new<K: Resource + Serialize>(object: &K, allocated: MilliCpu, demand: MilliCpu) -> Self {
        let created = object.meta().creation_timestamp.as_ref();
        Self {
            uid: object.uid().unwrap_or_default(),
            namespace: object.namespace().unwrap_or_default(),
            allocated,
            demand,
            refused_since: serde_json::to_value(object)
                .ok()
                .as_ref()
                .and_then(refused_since),
            created: created.map_or(Timestamp::MIN, |time| time.0),
        }
    }

    /// Whether it starts or grows.
    pub fn ask(&self) -> Ask {
        if self.allocated == MilliCpu::ZERO {
            Ask::Start
        } else {
            Ask::Growth
        }
    }

    /// CPU that it asks for beyond what its pods have.
    pub fn asked(&self) -> MilliCpu {
        self.demand.minus(self.allocated)
    }

    /// In which turn it comes: refused ones before new ones, the older first. Kubernetes tells times by the second; of the same
    /// one the larger comes first, or a small one could overtake it.
    pub(super) fn turn(
        &self,
    ) -> (
        bool,
        Option<Timestamp>,
        Timestamp,
        Reverse<MilliCpu>,
        String,
    ) {
        (
            self.refused_since.is_none(),
            self.refused_since,
            self.created,
            Reverse(self.asked()),
            self.uid.clone(),
        )
    }
}

fn refused_since(object: &Value) -> Option<Timestamp> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions
        .iter()
        .find(|one| one["type"] == types::QUOTA_EXCEEDED)?;
    let since = found["lastTransitionTime"].as_str()?;
    (found["status"] == Truth::True.word())
        .then(|| since.parse().ok())
        .flatten()
}

/// What an object of one of Sluice's kinds costs.
///
/// # Errors
/// Each field that cannot be read, and why.
pub fn workload<K: Serialize>(object: &K, kind: &str) -> Result<Workload, String> {
    let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
    let dialect = dialect_for(sluice_api::GROUP, kind)
        .ok_or_else(|| format!("{kind} is no kind of this version"))?;
    dialect.workload(&object, &EmptyWorld).map_err(|causes| {
        let causes: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        causes.join("; ")
    })
}

/// The claim of an object that is charged for more than its pods have; what is at rest, or asks for nothing more, has none.
fn waits<K: Resource + Serialize>(object: &K, kind: &str) -> Option<Claim> {
    let workload = workload(object, kind).ok()?;
    let allocated = workload.allocated.unwrap_or_default();
    let charge = workload.charge();
    (charge > allocated).then(|| Claim::new(object, allocated, charge))
}

/// Tells who of a kind waits. What has not changed is not read again.
pub fn waiting_in<K>(objects: Store<K>, kind: &'static str) -> Waiting
where
    K: Resource<DynamicType = ()> + Serialize + Clone + Send + Sync + 'static,
{
    type Read = HashMap<String, (Option<String>, Option<Claim>)>;
    let read: Mutex<Read> = Mutex::default();
    Arc::new(move || {
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *read);
        for object in objects.state() {
            let uid = object.uid().unwrap_or_default();
            let version = object.resource_version();
            let known = before.remove(&uid).filter(|known| known.0 == version);
            let known = known.unwrap_or_else(|| (version, waits(object.as_ref(), kind)));
            read.insert(uid, known);
        }
        read.values()
            .filter_map(|(_, claim)| claim.clone())
            .collect()
    })
}
