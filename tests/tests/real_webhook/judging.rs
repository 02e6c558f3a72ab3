//! Defaults, rules and frozen fields, as kubectl's users see them.

use crate::support::{Kubectl, cluster_manifest};
use serde_json::Value;

pub async fn manifests_are_completed_and_repeated_without_a_trace(kubectl: &Kubectl) {
    let manifest = cluster_manifest("short", "stopped", "");
    assert!(
        kubectl
            .ok(&["apply", "-f", "-"], &manifest)
            .await
            .contains("sessioncluster.sluice.dev/short created")
    );
    let stored = kubectl.get("sessioncluster/short").await;
    assert_eq!(stored["spec"]["state"], "STOPPED", "normalised");
    assert!(
        stored["spec"]["resources"]["taskmanager"]["cpu"].is_number(),
        "{stored}"
    );
    assert!(
        stored["metadata"]["annotations"]["sluice.dev/defaults"].is_string(),
        "{stored}"
    );
    let version = |object: &Value| {
        (
            object["metadata"]["resourceVersion"].clone(),
            object["metadata"]["generation"].clone(),
        )
    };
    kubectl.ok(&["apply", "-f", "-"], &manifest).await;
    assert_eq!(
        version(&kubectl.get("sessioncluster/short").await),
        version(&stored),
        "applied again"
    );
    kubectl
        .ok(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &manifest,
        )
        .await;
    let once = kubectl.get("sessioncluster/short").await;
    assert_eq!(once["spec"], stored["spec"]);
    kubectl
        .ok(&["apply", "--server-side", "-f", "-"], &manifest)
        .await;
    assert_eq!(
        version(&kubectl.get("sessioncluster/short").await),
        version(&once),
        "server-side applied again"
    );
}

pub async fn what_is_wrong_is_refused_with_rule_and_remedy(kubectl: &Kubectl) {
    let wrong = cluster_manifest("wrong", "SLEEPING", "");
    let said = kubectl.refused(&["create", "-f", "-"], &wrong).await;
    assert!(
        said.contains("wrong") && said.contains("spec.state"),
        "{said}"
    );
    let small = cluster_manifest(
        "wrong",
        "STOPPED",
        "  resources: {taskmanager: {cpu: 0.01, memory: 2Gi}}\n",
    );
    let said = kubectl.refused(&["create", "-f", "-"], &small).await;
    assert_eq!(
        said,
        "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \"validate.sluice.dev\" denied the \
         request: sessioncluster \"wrong\": spec.resources.taskmanager.cpu: 0.01 is too little; write at least 0.1 CPU. \
         [session-cluster/cpu]\n"
    );
}

pub async fn a_running_cluster_is_frozen(kubectl: &Kubectl) {
    kubectl
        .ok(
            &["create", "-f", "-"],
            &cluster_manifest("frozen", "RUNNING", ""),
        )
        .await;
    let patch = r#"{"spec":{"flinkVersion":"1.19","logging":{"loggingProfile":"other"}}}"#;
    let said = kubectl
        .refused(
            &[
                "patch",
                "sessioncluster/frozen",
                "--type=merge",
                "-p",
                patch,
            ],
            "",
        )
        .await;
    assert!(said.contains("admission webhook \"validate.sluice.dev\" denied the request: sessioncluster \"frozen\""), "{said}");
    assert!(
        said.contains("spec.flinkVersion \"1.20\" -> \"1.19\""),
        "{said}"
    );
    assert!(
        said.contains("spec.logging.loggingProfile"),
        "all fields at once: {said}"
    );
    assert!(
        said.trim_end().ends_with("[immutable/session-cluster]"),
        "{said}"
    );
    // One patch that stops and edits a frozen field does not pass unseen.
    let both = r#"{"spec":{"state":"STOPPED","flinkVersion":"1.19"}}"#;
    let said = kubectl
        .refused(
            &["patch", "sessioncluster/frozen", "--type=merge", "-p", both],
            "",
        )
        .await;
    assert!(said.contains("[immutable/session-cluster]"), "{said}");
    kubectl
        .ok(&["scale", "sessioncluster/frozen", "--replicas=5"], "")
        .await;
    assert_eq!(
        kubectl.get("sessioncluster/frozen").await["spec"]["numberOfTaskManagers"],
        5
    );
    let said = kubectl
        .ok(&["scale", "sessioncluster/frozen", "--replicas=4"], "")
        .await;
    assert!(
        said.contains("Warning:") && said.contains("may restart"),
        "scaling down warns: {said}"
    );
}
