//! What users write comes through the types as it was written.

#![allow(
    clippy::unwrap_used,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::fmt::Debug;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_api::{
    ClusterDeploymentDefaults, Deployment, DeploymentDefaults, DeploymentState, DeploymentTarget,
    DesiredState, Environment, FlinkApplication, Job, RestoreKind, Savepoint, SessionCluster,
    SessionClusterState, SessionJob,
};

/// Reads `written`, asserts that writing it gives the same, and returns what was read.
fn round_trip<K: Serialize + DeserializeOwned + Debug>(written: &Value) -> K {
    let read: K = serde_json::from_value(written.clone()).unwrap();
    let back = serde_json::to_value(&read).unwrap();
    assert_eq!(back, *written);
    read
}

fn own(kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec})
}

#[test]
fn a_session_cluster_with_every_field() {
    let mut written = own(
        "SessionCluster",
        &json!({
            "state": "RUNNING", "deploymentTargetName": "default", "flinkVersion": 1.12,
            "flinkImageRegistry": "registry.example.org", "flinkImageRepository": "flink", "flinkImageTag": 2,
            "numberOfTaskManagers": 5,
            "resources": {
                "jobmanager": {"cpu": 0.5, "memory": "1Gi", "ephemeralStorage": "256m"},
                "taskManager": {"cpu": "500m", "memory": 1_073_741_824},
            },
            "flinkConfiguration": {"taskmanager": {"numberOfTaskSlots": 2}, "state.backend": "rocksdb"},
            "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO", "org.example": false}},
            "logConfiguration": {"log4j-console.properties": "rootLogger.level = INFO\n"},
            "jars": ["s3://bucket/a.jar"],
            "plugins": [{"name": "s3", "jars": ["/opt/flink/opt/s3.jar"]}],
            "kubernetes": {
                "labels": {"team": 1},
                "pods": {
                    "annotations": {"a": "b"}, "labels": {"c": "d"}, "nodeSelector": {"disk": "ssd"},
                    "affinity": {"nodeAffinity": {}}, "tolerations": [{"key": "k"}],
                    "imagePullSecrets": [{"name": "pull"}], "securityContext": {"runAsUser": 9999},
                    "volumeMounts": [{"name": "v", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/v"}}],
                    "envVars": [
                        {"name": "A", "value": 1},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                },
            },
        }),
    );
    written["status"] = json!({
        "state": "UPDATING", "observedGeneration": 3, "allocatedMilli": 82_000, "cpu": "82",
        "numberOfTaskManagers": 5, "taskManagersRegistered": 4, "numberOfJobs": 2,
        "operation": {"kind": "Scale", "startedAt": "2026-11-21T10:00:00Z", "generation": 3},
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "Scaling", "message": "4 of 5 TaskManagers are registered.",
            "lastTransitionTime": "2026-11-21T10:00:00Z", "observedGeneration": 3,
        }],
    });
    let read: SessionCluster = round_trip(&written);
    assert_eq!(
        read.spec.flink_version.unwrap().text().as_deref(),
        Some("1.12")
    );
    assert_eq!(
        read.status.unwrap().state,
        Some(SessionClusterState::Updating)
    );
}

#[test]
fn a_deployment_with_every_field() {
    let mut written = own(
        "Deployment",
        &json!({
            "state": "SUSPENDED", "deploymentTargetId": "57b4c290-73ad-11e7-8cf7-a6006ad3dba0", "sessionClusterName": "s",
            "restoreStrategy": {"kind": "LATEST_SAVEPOINT", "allowNonRestoredState": true},
            "upgradeStrategy": {"kind": "STATELESS"},
            "maxSavepointCreationAttempts": 4, "maxJobCreationAttempts": 5, "restartNonce": 7,
            "template": {
                "metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}},
                "spec": {
                    "artifact": {
                        "kind": "JAR", "jarUri": "https://artifacts.example.org/a.jar", "entryClass": "org.example.Main",
                        "mainArgs": "--n 1", "flinkVersion": "1.20", "flinkImageTag": "1.20-java17",
                    },
                    "parallelism": 4, "numberOfTaskManagers": 2,
                    "resources": {"jobmanager": {"cpu": 1}, "taskmanager": {"cpu": 1}},
                    "flinkConfiguration": {"taskmanager.numberOfTaskSlots": 2},
                    "logging": {"log4jLoggers": {"": "DEBUG"}},
                    "kubernetes": {"jobManagerPodTemplate": {"spec": {}}, "taskManagerPodTemplate": {"metadata": {}}},
                },
            },
        }),
    );
    written["status"] = json!({
        "state": "RUNNING", "attempts": {"jobCreation": 1},
        "failure": {"reason": "NoState", "message": "Nothing to restore from."},
        "running": {
            "jobId": "0123456789abcdef0123456789abcdef", "transitionTime": "2026-11-21T10:00:00Z",
            "conditions": [{
                "type": "JobFailing", "status": "True", "message": "3 restarts in 10 minutes", "reason": "Restarts",
                "lastTransitionTime": "2026-11-21T10:00:00Z", "lastUpdateTime": "2026-11-21T10:05:00Z",
            }],
        },
    });
    let read: Deployment = round_trip(&written);
    assert_eq!(read.spec.state, Some(DesiredState::Suspended));
    assert_eq!(
        read.spec.restore_strategy.unwrap().kind,
        Some(RestoreKind::LatestSavepoint)
    );
    assert_eq!(read.status.unwrap().state, Some(DeploymentState::Running));
}

#[test]
fn the_other_kinds() {
    let session_job: SessionJob = round_trip(&own(
        "SessionJob",
        &json!({
            "state": "RUNNING", "sessionClusterName": "s", "flinkConfiguration": {},
            "job": {"entryClass": "com.example.Job", "args": ["--port", 9000], "parallelism": 2},
            "restoreStrategy": {"kind": "LATEST_STATE"}, "upgradeStrategy": {"kind": "STATEFUL"}, "restartNonce": 1,
        }),
    ));
    assert_eq!(
        session_job.spec.job.unwrap().args.unwrap()[1]
            .text()
            .as_deref(),
        Some("9000")
    );

    let _: Job = round_trip(&own(
        "Job",
        &json!({"deploymentName": "d", "template": {"spec": {"parallelism": 1}}}),
    ));
    let _: Savepoint = round_trip(&own(
        "Savepoint",
        &json!({"deploymentName": "d", "origin": "COPIED"}),
    ));
    let _: DeploymentTarget = round_trip(&own(
        "DeploymentTarget",
        &json!({"kubernetes": {"namespace": "n"}}),
    ));
    let _: Environment = round_trip(&own(
        "Environment",
        &json!({"namespaces": ["*"], "sessionCluster": {"a": 1}}),
    ));

    let defaults = json!({"state": "running", "template": {"spec": {}}, "sessionCluster": {"flinkVersion": "1.20"}});
    let read: DeploymentDefaults = round_trip(&own("DeploymentDefaults", &defaults));
    assert_eq!(
        read.spec.deployment["state"], "running",
        "a Deployment's fields stand beside the sections"
    );
    assert!(
        !read.spec.deployment.contains_key("sessionCluster"),
        "a section is none of them"
    );
    let _: ClusterDeploymentDefaults = round_trip(&own("ClusterDeploymentDefaults", &defaults));

    let _: FlinkApplication = round_trip(&json!({
        "apiVersion": "cmf.confluent.io/v1", "kind": "FlinkApplication", "metadata": {"name": "x"},
        "spec": {"flinkVersion": "v1_19", "job": {"state": "running"}, "somethingNew": {"a": 1}},
        "status": {"lifecycleState": "STABLE", "clusterInfo": {"total-cpu": "2.0"}},
    }));
}

/// The documents' own examples, where they are at hand.
#[test]
fn the_examples_of_the_documents() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures/seeds");
    if !folder.exists() {
        assert!(
            std::env::var_os("SLUICE_REQUIRE_FIXTURES").is_none_or(|value| value != "1"),
            "{} is absent",
            folder.display()
        );
        eprintln!("skipped: {} is absent", folder.display());
        return;
    }
    let read = |name: &str| -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let cluster = read("vvp-session-cluster.yaml");
    let spec: sluice_api::SessionClusterSpec =
        serde_json::from_value(cluster["spec"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), cluster["spec"]);

    // Its enum words are in lower case, which admission changes before anything reads the object by its type.
    let mut deployment = read("vvp-deployment.yaml");
    for pointer in [
        "/state",
        "/restoreStrategy/kind",
        "/upgradeStrategy/kind",
        "/template/spec/artifact/kind",
    ] {
        let word = deployment["spec"].pointer_mut(pointer).unwrap();
        *word = word.as_str().unwrap().to_uppercase().into();
    }
    let spec: sluice_api::DeploymentSpec =
        serde_json::from_value(deployment["spec"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&spec).unwrap(), deployment["spec"]);

    let _: FlinkApplication = round_trip(&read("confluent-flink-application.yaml"));

    let job = read("rest-create-session-job.json");
    let task: sluice_api::SessionJobTask = serde_json::from_value(job["job"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&task).unwrap(), job["job"]);
}
