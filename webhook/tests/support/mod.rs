//! What the tests of the edge share: a gate without a cluster, and reviews.
#![allow(dead_code, clippy::needless_pass_by_value)] // each test file uses a part

use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_policy::KindInfo;
use sluice_policy::world::EmptyWorld;
use sluice_webhook::events::Events;
use sluice_webhook::gate::{Gate, StoredObjects};
use sluice_webhook::http::Service;
use sluice_webhook::metrics::Metrics;
use sluice_webhook::quota::{NoQuota, QuotaGate};
use sluice_webhook::review::Limits;
use std::sync::{Arc, Mutex};

/// What is stored is simply given.
#[derive(Default)]
pub struct GivenObjects(pub Mutex<Option<Value>>);

impl StoredObjects for GivenObjects {
    fn get<'a>(
        &'a self,
        _kind: &'static KindInfo,
        _namespace: &'a str,
        _name: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, String>> {
        let parent = self.0.lock().unwrap().clone();
        Box::pin(std::future::ready(Ok(parent)))
    }
}

pub fn service(limits: Limits) -> (Service, Arc<Metrics>) {
    service_with(limits, Arc::new(NoQuota), Arc::new(GivenObjects::default()))
}

pub fn service_with(
    limits: Limits,
    quota: Arc<dyn QuotaGate>,
    parents: Arc<dyn StoredObjects>,
) -> (Service, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::default());
    let (events, _) = Events::queue(Arc::clone(&metrics));
    let gate = Gate::new(Arc::new(EmptyWorld), quota, parents, events);
    (Service::new(gate, Arc::clone(&metrics), limits), metrics)
}

pub fn session_cluster(state: &str) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
        "metadata": {"name": "analytics", "namespace": "team-a", "uid": "o-1"},
        "spec": {"state": state, "flinkVersion": "1.20", "numberOfTaskManagers": 2},
    })
}

/// The object as the mutating call leaves it.
pub fn complete(object: &Value) -> Value {
    let asked = sluice_policy::Review {
        dialect: sluice_policy::dialect_for("sluice.dev", "SessionCluster").unwrap(),
        operation: sluice_policy::Operation::Create,
        part: sluice_policy::Part::Whole,
        namespace: "team-a",
        name: "analytics",
        object,
    };
    sluice_policy::mutate(&asked, &EmptyWorld)
        .object
        .into_owned()
}

/// A review as the API server sends it.
pub fn review(uid: &str, operation: &str, object: Value, old: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "sluice.dev", "version": "v1alpha1", "kind": "SessionCluster"},
            "resource": {"group": "sluice.dev", "version": "v1alpha1", "resource": "sessionclusters"},
            "name": "analytics", "namespace": "team-a", "operation": operation,
            "userInfo": {"username": "ann", "groups": ["devs"]},
            "object": object, "oldObject": old, "dryRun": false, "options": null,
        },
    })
}
