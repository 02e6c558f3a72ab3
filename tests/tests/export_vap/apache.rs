//! FlinkDeployments of the Apache operator, and what is tried on them.

use crate::{Row, Want, merged, row};
use serde_json::{Value, json};

fn deployment(name: &str, spec: &Value, status: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": name, "namespace": "team"},
        "spec": {
            "image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink",
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"},
            "jobManager": {"resource": {"memory": "2048m", "cpu": 1}},
            "taskManager": {"resource": {"memory": "2048m", "cpu": 1}},
        },
        "status": status,
    });
    merged(&mut object["spec"], spec);
    object
}

pub fn objects() -> Vec<Value> {
    let stable = json!({"lifecycleState": "STABLE", "jobManagerDeploymentStatus": "READY"});
    let job = json!({"job": {"jarURI": "local:///a.jar", "parallelism": 1}});
    let mut objects = vec![
        deployment("native", &json!({}), &stable),
        deployment(
            "standalone",
            &json!({"mode": "standalone", "taskManager": {"replicas": 2}}),
            &stable,
        ),
        deployment("fresh", &json!({}), &json!({"lifecycleState": "CREATED"})),
        deployment("failed", &json!({}), &json!({"lifecycleState": "FAILED"})),
        deployment("application", &job, &stable),
        deployment(
            "nested",
            &json!({"flinkConfiguration": {"state": {"backend": {"type": "rocksdb"}}}}),
            &stable,
        ),
    ];
    let recorded = json!({"spec": {"flinkVersion": "v1_20"}, "resource_metadata": {}}).to_string();
    let many: serde_json::Map<_, _> = (0..500)
        .map(|n| (format!("some.option.{n}"), json!("value")))
        .collect();
    objects.extend([
        deployment(
            "recorded",
            &json!({}),
            &json!({"reconciliationStatus": {"lastReconciledSpec": recorded}}),
        ),
        deployment("large", &json!({"flinkConfiguration": many}), &stable),
    ]);
    let mut canary = deployment("canary", &json!({}), &stable);
    canary["metadata"]["labels"] = json!({"flink.apache.org/canary": "True"});
    objects.push(canary);
    // What the operator has deployed runs on under that label.
    let mut labelled = deployment(
        "labelled",
        &json!({}),
        &json!({"reconciliationStatus": {"lastReconciledSpec": recorded}}),
    );
    labelled["metadata"]["labels"] = json!({"flink.apache.org/canary": "true"});
    objects.push(labelled);
    objects
}

pub fn rows() -> Vec<Row> {
    let native = |spec: Value, want| row("flinkdeployment/native", json!({ "spec": spec }), want);
    let image = json!({"spec": {"image": "flink:1.20.1"}});
    vec![
        native(
            json!({"image": "flink:1.20.1"}),
            Want::Refused("spec.image"),
        ),
        native(
            json!({"taskManager": {"replicas": 3}, "jobManager": {"resource": {"memory": "3g"}}}),
            Want::Refused("spec.taskManager.replicas, spec.jobManager.resource.memory"),
        ),
        native(
            json!({"flinkConfiguration": {"a": "b"}}),
            Want::Refused("spec.flinkConfiguration[a]"),
        ),
        native(
            json!({"podTemplate": {"spec": {"hostNetwork": true}}}),
            Want::Refused("spec.podTemplate"),
        ),
        native(json!({"restartNonce": 1}), Want::Admitted),
        native(
            json!({"flinkConfiguration": {"kubernetes.operator.x": "y", "job.autoscaler.enabled": "true", "parallelism.default": "3"}}),
            Want::Admitted,
        ),
        native(
            json!({"jobManager": {"resource": {"memory": "2g"}}, "taskManager": {"resource": {"memory": "2Gi"}}}),
            Want::Admitted,
        ),
        native(
            json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": 2}}),
            Want::Admitted,
        ),
        native(
            json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": null, "taskmanager": {"numberOfTaskSlots": "2"}}}),
            Want::Admitted,
        ),
        native(json!({"ingress": {}}), Want::Admitted),
        // The operator holds typed pods against each other: an empty object is another one than none.
        native(
            json!({"podTemplate": {"spec": {"securityContext": {}}}}),
            Want::Refused("spec.podTemplate"),
        ),
        row(
            "flinkdeployment/native",
            json!({"metadata": {"annotations": {"sluice.dev/allow-recreate": "true"}}, "spec": {"image": "flink:1.20.1"}}),
            Want::Admitted,
        ),
        row(
            "flinkdeployment/standalone",
            json!({"spec": {"taskManager": {"replicas": 3}}}),
            Want::Admitted,
        ),
        row(
            "flinkdeployment/standalone",
            image.clone(),
            Want::Refused("spec.image"),
        ),
        row(
            "flinkdeployment/nested",
            json!({"spec": {"flinkConfiguration": {"state": {"backend": {"type": "hashmap"}}}}}),
            Want::Refused("spec.flinkConfiguration[state]"),
        ),
        row(
            "flinkdeployment/nested",
            json!({"spec": {"flinkConfiguration": {"kubernetes": {"operator": {"x": "y"}}}}}),
            Want::Admitted,
        ),
        row(
            "flinkdeployment/recorded",
            image.clone(),
            Want::Refused("spec.image"),
        ),
        row(
            "flinkdeployment/large",
            json!({"spec": {"flinkConfiguration": {"some.option.7": "other"}}}),
            Want::Refused("spec.flinkConfiguration[some.option.7]"),
        ),
        row(
            "flinkdeployment/large",
            json!({"spec": {"flinkConfiguration": {"some.option.7": null}, "restartNonce": 2}}),
            Want::Refused("spec.flinkConfiguration[some.option.7]"),
        ),
        row("flinkdeployment/fresh", image.clone(), Want::Admitted),
        row("flinkdeployment/failed", image.clone(), Want::Admitted),
        row("flinkdeployment/application", image.clone(), Want::Admitted),
        row("flinkdeployment/canary", image.clone(), Want::Admitted),
        row(
            "flinkdeployment/labelled",
            image,
            Want::Refused("spec.image"),
        ),
    ]
}
