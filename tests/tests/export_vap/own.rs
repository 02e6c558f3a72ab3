//! Session clusters, and what is tried on them.

use crate::{OWN, Row, Want, review, row};
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{Operation, Review, mutate};

/// A session cluster as the webhooks would have stored it.
fn cluster(name: &str, namespace: &str, spec: &Value, status: &Value) -> Value {
    let object = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    });
    let create = Review {
        operation: Operation::Create,
        ..review(&object, &object)
    };
    let mutation = mutate(&create, &EmptyWorld);
    assert_eq!(mutation.refusal, None);
    let mut object = mutation.object.into_owned();
    object["status"] = status.clone();
    object
}

pub fn objects() -> Vec<Value> {
    let spec = json!({
        "state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 2,
        "resources": {"taskmanager": {"cpu": 2, "memory": "2Gi"}},
        "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"},
        "logging": {"log4jLoggers": {"a": "DEBUG"}},
        "plugins": [{"name": "s3", "jars": ["/opt/flink/opt/s3.jar"]}],
        "kubernetes": {"pods": {"envVars": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "labels": {"a": "1"}}},
    });
    let running = json!({"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 5000});
    let mut stopped = spec.clone();
    stopped["state"] = json!("STOPPED");
    let at_rest = json!({"state": "STOPPED", "observedGeneration": 1, "allocatedMilli": 0});
    let stopping = json!({"state": "STOPPED", "observedGeneration": 1, "allocatedMilli": 1000});
    let mut objects = vec![
        cluster("stopped", "team", &stopped, &at_rest),
        cluster("stopping", "team", &stopped, &stopping),
        cluster("new", "team", &stopped, &json!({})),
    ];
    for namespace in ["team", "lax", "free", "sluice-system"] {
        objects.push(cluster("running", namespace, &spec, &running));
    }
    // Stored while no webhook looked: other spellings of the same.
    let mut unseen = cluster("unseen", "team", &spec, &running);
    let written = &mut unseen["spec"];
    written["resources"]["jobManager"] = written["resources"]["jobmanager"].take();
    written["resources"]
        .as_object_mut()
        .unwrap()
        .remove("jobmanager");
    written["flinkConfiguration"]["state"] = json!({"backend": {"type": "rocksdb"}});
    written["logging"]["log4jLoggers"]["a"] = json!("debug");
    written["kubernetes"]["pods"]["envVars"][0]["value"] = json!(1);
    objects.push(unseen);
    objects
}

pub fn rows() -> Vec<Row> {
    let mut rows = [frozen(), levers(), same_meaning(), differences(), states()].concat();
    let version = json!({"spec": {"flinkVersion": "2.1"}});
    for (namespace, want) in [("lax", Want::Warned), ("free", Want::Admitted)] {
        rows.push(Row {
            namespace,
            ..row("fsc/running", version.clone(), want)
        });
    }
    rows
}

/// What is frozen.
fn frozen() -> Vec<Row> {
    let running = |spec: Value, want| row("fsc/running", json!({ "spec": spec }), want);
    vec![
        running(
            json!({"flinkVersion": "2.1"}),
            Want::Refused("spec.flinkVersion"),
        ),
        running(
            json!({"state": "STOPPED", "flinkVersion": "2.1"}),
            Want::Refused("spec.flinkVersion"),
        ),
        running(
            json!({"flinkImageTag": "t"}),
            Want::Refused("spec.flinkImageTag"),
        ),
        running(
            json!({"deploymentTargetName": "t"}),
            Want::Refused("spec.deploymentTargetName"),
        ),
        running(
            json!({"resources": {"taskmanager": {"cpu": 4}}}),
            Want::Refused("spec.resources.taskmanager.cpu"),
        ),
        running(
            json!({"resources": {"jobmanager": {"memory": "2Gi"}}}),
            Want::Refused("spec.resources.jobmanager.memory"),
        ),
        running(
            json!({"flinkConfiguration": {"a": "b"}}),
            Want::Refused("spec.flinkConfiguration[a]"),
        ),
        running(
            json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "4"}}),
            Want::Refused("spec.flinkConfiguration[taskmanager.numberOfTaskSlots]"),
        ),
        running(
            json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": null}}),
            Want::Refused("spec.flinkConfiguration[taskmanager.numberOfTaskSlots]"),
        ),
        running(
            json!({"logging": {"log4jLoggers": {"a": "INFO"}}}),
            Want::Refused("spec.logging.log4jLoggers[a]"),
        ),
        running(
            json!({"logConfiguration": {"log4j-console.properties": "x"}}),
            Want::Refused("spec.logConfiguration[log4j-console.properties]"),
        ),
        running(
            json!({"jars": ["https://example.com/a.jar"]}),
            Want::Refused("spec.jars"),
        ),
        running(
            json!({"plugins": [{"name": "s3", "jars": ["/b.jar"]}]}),
            Want::Refused("spec.plugins"),
        ),
        running(
            json!({"kubernetes": {"labels": {"a": "b"}}}),
            Want::Refused("spec.kubernetes.labels[a]"),
        ),
        running(
            json!({"kubernetes": {"pods": {"envVars": [{"name": "A", "value": "1"}]}}}),
            Want::Refused("spec.kubernetes.pods.envVars"),
        ),
        running(
            json!({"kubernetes": {"pods": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}]}}}}}}),
            Want::Refused("spec.kubernetes.pods.affinity"),
        ),
        // To Kubernetes, and so to what makes the pods, an empty map is something.
        running(
            json!({"kubernetes": {"pods": {"affinity": {"nodeAffinity": {}}}}}),
            Want::Refused("spec.kubernetes.pods.affinity"),
        ),
        running(
            json!({"kubernetes": {"pods": {"securityContext": {}}}}),
            Want::Refused("spec.kubernetes.pods.securityContext"),
        ),
    ]
}

/// What may change.
fn levers() -> Vec<Row> {
    let running = |spec: Value, want| row("fsc/running", json!({ "spec": spec }), want);
    vec![
        running(json!({"numberOfTaskManagers": 3}), Want::Admitted),
        running(json!({"numberOfTaskManagers": 0}), Want::Admitted),
        running(json!({"state": "STOPPED"}), Want::Admitted),
        running(
            json!({"state": "STOPPED", "numberOfTaskManagers": 4}),
            Want::Admitted,
        ),
    ]
}

/// The same in other words.
fn same_meaning() -> Vec<Row> {
    let running = |spec: Value, want| row("fsc/running", json!({ "spec": spec }), want);
    vec![
        running(
            json!({"resources": {"taskmanager": {"cpu": "2", "memory": "2048m"}}}),
            Want::Admitted,
        ),
        running(
            json!({"resources": {"taskmanager": {"cpu": "2000m", "memory": "2 GB"}, "jobmanager": {"memory": 1_073_741_824}}}),
            Want::Admitted,
        ),
        running(
            json!({"resources": {"taskmanager": {"memory": "2097152 kibibytes"}}}),
            Want::Admitted,
        ),
        running(
            json!({"resources": {"taskManager": {"cpu": 2}}}),
            Want::Admitted,
        ),
        running(
            json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": 2}}),
            Want::Admitted,
        ),
        running(
            json!({"flinkConfiguration": {"taskmanager": {"numberOfTaskSlots": 2}}}),
            Want::Admitted,
        ),
        running(
            json!({"logging": {"log4jLoggers": {"a": "debug"}}}),
            Want::Admitted,
        ),
        running(
            json!({"jars": [], "kubernetes": {"labels": {}, "pods": {"tolerations": []}}}),
            Want::Admitted,
        ),
        running(
            json!({"kubernetes": {"pods": {"envVars": [{"name": "A", "value": 1}, {"name": "B", "value": "2"}]}}}),
            Want::Admitted,
        ),
        row(
            "fsc/running",
            json!({"metadata": {"labels": {"a": "b"}}}),
            Want::Admitted,
        ),
    ]
}

/// Where the two differ: nothing fills in what is left out, and some of it the language cannot tell.
fn differences() -> Vec<Row> {
    let running = |spec: Value, want| row("fsc/running", json!({ "spec": spec }), want);
    vec![
        running(
            json!({"resources": {"jobmanager": null}}),
            Want::Unfilled("spec.resources.jobmanager.cpu, spec.resources.jobmanager.memory"),
        ),
        // What the language cannot tell.
        running(
            json!({"flinkConfiguration": {"a": {"b": "c"}}}),
            Want::Missed(OWN),
        ),
        running(
            json!({"kubernetes": {"pods": {"envVars": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]}}}),
            Want::Missed(OWN),
        ),
    ]
}

/// At rest, on the way there, never started; and what was stored unseen.
fn states() -> Vec<Row> {
    let version = json!({"spec": {"flinkVersion": "2.1"}});
    vec![
        row("fsc/stopped", version.clone(), Want::Admitted),
        row("fsc/new", version.clone(), Want::Admitted),
        row(
            "fsc/stopping",
            version.clone(),
            Want::Refused("spec.flinkVersion"),
        ),
        row(
            "fsc/stopping",
            json!({"spec": {"state": "RUNNING"}}),
            Want::Admitted,
        ),
        // What was stored unseen.
        row(
            "fsc/unseen",
            json!({"spec": {"numberOfTaskManagers": 3}}),
            Want::Admitted,
        ),
        row(
            "fsc/unseen",
            version.clone(),
            Want::Refused("spec.flinkVersion"),
        ),
        row(
            "fsc/unseen",
            json!({"spec": {"resources": {"jobManager": null, "jobmanager": {"cpu": 1, "memory": "1Gi"}},
                "flinkConfiguration": {"state": null, "state.backend.type": "rocksdb"},
                "logging": {"log4jLoggers": {"a": "DEBUG"}}}}),
            Want::Admitted,
        ),
        row(
            "fsc/unseen",
            json!({"spec": {"flinkConfiguration": {"state": {"backend": {"type": "hashmap"}}}}}),
            Want::Refused("spec.flinkConfiguration[state]"),
        ),
    ]
}
