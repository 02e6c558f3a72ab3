//! Objects that were stored while no webhook looked: before Sluice was installed, or while it was bypassed.
#![allow(missing_docs, clippy::unwrap_used)]

use serde_json::{Value, json};
use sluice_policy::world::{EmptyWorld, Layer, Lookup};
use sluice_policy::{
    KindInfo, Modes, Operation, Part, Review, World, dialect_for, mutate, validate,
};
use std::sync::Arc;

/// A world with one Environment.
struct OneEnvironment;

impl World for OneEnvironment {
    fn modes(&self, namespace: &str) -> Modes {
        EmptyWorld.modes(namespace)
    }
    fn defaults(&self, _: &str) -> Vec<Layer> {
        Vec::new()
    }
    fn environments(&self, _: &str) -> Vec<Layer> {
        vec![Layer {
            source: "Environment e".to_owned(),
            spec: Arc::new(json!({
                "namespaces": ["*"],
                "sessionCluster": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"}},
            })),
        }]
    }
    fn lookup(&self, kind: &KindInfo, namespace: &str, name: &str) -> Lookup {
        EmptyWorld.lookup(kind, namespace, name)
    }
    fn lookup_uid(&self, kind: &KindInfo, namespace: &str, uid: &str) -> Lookup {
        EmptyWorld.lookup_uid(kind, namespace, uid)
    }
    fn namespace_labels(&self, namespace: &str) -> Option<Arc<Value>> {
        EmptyWorld.namespace_labels(namespace)
    }
}

/// Found by fuzzing: the number was brought into form by one step and taken back by another, because a running cluster is
/// frozen; the patch that did nothing made every update look incomplete, so that the cluster could not be scaled.
#[test]
fn a_running_cluster_with_a_spelling_of_its_own_can_be_scaled() {
    let stored = json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "SessionCluster",
        "metadata": {"name": "a", "namespace": "n", "generation": 1},
        "spec": {
            "state": "RUNNING",
            "flinkVersion": "1.20",
            "numberOfTaskManagers": 2,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}},
            "flinkConfiguration": {
                "taskmanager.numberOfTaskSlots": 2,
                "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            },
            "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}},
        },
        "status": {"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 3000},
    });
    let mut scaled = stored.clone();
    *scaled.pointer_mut("/spec/numberOfTaskManagers").unwrap() = json!(3);
    let review = Review {
        dialect: dialect_for("sluice.dev", "SessionCluster").unwrap(),
        operation: Operation::Update { old: &stored },
        part: Part::Whole,
        namespace: "n",
        name: "a",
        object: &scaled,
    };
    for world in [&OneEnvironment as &dyn World, &EmptyWorld] {
        let mutation = mutate(&review, world);
        let made = mutation.object.into_owned();
        let again = mutate(&review.about(&made), world);
        assert_eq!(
            again.patch,
            Vec::new(),
            "the second time nothing is left to do"
        );
        let judgement = validate(&review.about(&made), world);
        assert_eq!(judgement.refusal, None);
        assert_eq!(made.pointer("/spec/numberOfTaskManagers"), Some(&json!(3)));
    }
}

/// Found by fuzzing: what is left out keeps its stored value, and that need not be in form.
#[test]
fn a_stored_value_that_is_kept_is_brought_into_form() {
    let stored = json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "SessionCluster",
        "metadata": {"name": "a", "namespace": "n", "generation": 1, "annotations": {
            "sluice.dev/defaults": "{\"/spec/logging/log4jLoggers/\":\"INFO\"}",
        }},
        "spec": {"state": "STOPPED", "flinkVersion": "1.20", "logging": {"log4jLoggers": {"": -106}}},
        "status": {"state": "STOPPED", "observedGeneration": 1},
    });
    let mut sent = stored.clone();
    *sent.pointer_mut("/spec/logging/log4jLoggers").unwrap() = json!({});
    let review = Review {
        dialect: dialect_for("sluice.dev", "SessionCluster").unwrap(),
        operation: Operation::Update { old: &stored },
        part: Part::Whole,
        namespace: "n",
        name: "a",
        object: &sent,
    };
    let made = mutate(&review, &EmptyWorld).object.into_owned();
    assert_eq!(
        made.pointer("/spec/logging/log4jLoggers"),
        Some(&json!({"": "-106"}))
    );
    assert_eq!(mutate(&review.about(&made), &EmptyWorld).patch, Vec::new());
}
