//! What is registered, watched, guarded and counted, and what goes on without a webhook.

use crate::support::{Kubectl, cluster_manifest, eventually, http_get};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use std::net::SocketAddr;

pub async fn only_the_bundle_is_ours(kubectl: &Kubectl) {
    for kind in [
        "mutatingwebhookconfiguration/sluice",
        "validatingwebhookconfiguration/sluice",
    ] {
        let said = kubectl
            .ok(&["get", kind, "-o", "json", "--show-managed-fields"], "")
            .await;
        let stored: Value = serde_json::from_str(&said).unwrap();
        let entries = stored["metadata"]["managedFields"].as_array().unwrap();
        let ours = entries
            .iter()
            .find(|entry| entry["manager"] == "sluice-certs")
            .unwrap();
        assert_eq!(ours["operation"], "Apply");
        let name = stored["webhooks"][0]["name"].as_str().unwrap();
        assert_eq!(
            ours["fieldsV1"],
            json!({"f:webhooks": {format!("k:{{\"name\":\"{name}\"}}"): {
                ".": {}, "f:name": {}, "f:clientConfig": {"f:caBundle": {}}}}}),
            "{kind}"
        );
    }
}

/// The CRD of a kind that dialects look up, installed long after the start.
pub async fn crds_that_appear_later_are_picked_up(client: &Client, ops: SocketAddr) {
    let synced = "sluice_cache_synced{resource=\"flinkenvironments.platform.confluent.io\"}";
    let (_, before) = http_get(ops, "/metrics").await;
    assert!(before.contains(&format!("{synced} 0")), "{before}");
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "flinkenvironments.platform.confluent.io"},
        "spec": {
            "group": "platform.confluent.io", "scope": "Namespaced",
            "names": {"plural": "flinkenvironments", "singular": "flinkenvironment", "kind": "FlinkEnvironment"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    crds.patch(
        "flinkenvironments.platform.confluent.io",
        &PatchParams::apply("test"),
        &Patch::Apply(crd),
    )
    .await
    .unwrap();
    eventually("the new CRD's cache", || async {
        http_get(ops, "/metrics")
            .await
            .1
            .contains(&format!("{synced} 1"))
            .then_some(())
    })
    .await;
}

pub async fn namespace_labels_are_guarded(kubectl: &Kubectl) {
    let rbac = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: namespace-editor}
rules:
- {apiGroups: [''], resources: [namespaces], verbs: [get, patch, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: namespace-editor}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: namespace-editor}
subjects: [{kind: User, name: ann}]
";
    kubectl.ok(&["apply", "-f", "-"], rbac).await;
    let guarded = [
        "label",
        "namespace",
        "team-a",
        "--overwrite",
        "--as=ann",
        "sluice.dev/quota=off",
    ];
    let said = eventually("the guard", || async {
        let said = kubectl.run(&guarded, "").await;
        (said.code != 0 && said.err.contains("modes/guarded")).then_some(said.err)
    })
    .await;
    assert!(
        said.contains("needs the verb \"set\" on modes.sluice.dev"),
        "{said}"
    );
    kubectl
        .ok(
            &["label", "namespace", "team-a", "--as=ann", "owner=ann"],
            "",
        )
        .await;
    // An administrator may, and the mode takes effect.
    kubectl
        .ok(
            &[
                "label",
                "namespace",
                "team-a",
                "--overwrite",
                "sluice.dev/immutability=warn",
            ],
            "",
        )
        .await;
    let patch = [
        "patch",
        "sessioncluster/frozen",
        "--type=merge",
        "--dry-run=server",
        "-p",
        r#"{"spec":{"flinkVersion":"1.19"}}"#,
    ];
    eventually("the mode", || async {
        let said = kubectl.run(&patch, "").await;
        (said.code == 0
            && said
                .err
                .contains("Warning: would be refused: sessioncluster \"frozen\""))
        .then_some(())
    })
    .await;
    kubectl
        .ok(
            &["label", "namespace", "team-a", "sluice.dev/immutability-"],
            "",
        )
        .await;
}

pub async fn metrics_count_what_happened(ops: SocketAddr) {
    let (status, text) = http_get(ops, "/metrics").await;
    assert_eq!(status, 200);
    for part in [
        "sluice_admission_requests_total{endpoint=\"mutate\",kind=\"SessionCluster\",operation=\"CREATE\",verdict=\"allowed\",rule=\"\",answer=\"allowed\"}",
        "kind=\"SessionCluster\",operation=\"UPDATE\",verdict=\"denied\",rule=\"immutable/session-cluster\",answer=\"denied\"}",
        "kind=\"SessionCluster\",operation=\"UPDATE\",verdict=\"denied\",rule=\"immutable/session-cluster\",answer=\"allowed\"}",
        "operation=\"SCALE\"",
        "sluice_cache_synced{resource=\"namespaces\"} 1",
        "sluice_certificate_not_after_timestamp_seconds{role=\"leaf\"}",
        "sluice_ready 1",
        "sluice_ledger_writes_total 2",
        "sluice_events_total{outcome=\"written\"}",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

/// A Deployment that is looked at again when every webhook is dead.
pub async fn a_deployment_for_later(kubectl: &Kubectl) {
    let deployment = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": "batch"},
        "spec": {"state": "CANCELLED", "template": {"spec": {
            "artifact": {"flinkVersion": "1.20", "jarUri": "s3://a/b.jar"}, "numberOfTaskManagers": 4,
        }}},
    });
    kubectl
        .ok(&["create", "-f", "-"], &deployment.to_string())
        .await;
}

pub async fn with_every_webhook_dead_people_can_let_go(kubectl: &Kubectl) {
    // A job that has ended costs nothing, and fewer replicas are a new spec, which starts it again: this is judged, or waits.
    let fewer = ["scale", "deployments.sluice.dev/batch", "--replicas=3"];
    let said = kubectl.refused(&fewer, "").await;
    assert!(said.contains("failed calling webhook"), "{said}");
    let runs = r#"{"status":{"state":"RUNNING","numberOfTaskManagers":4}}"#;
    let batch = "deployments.sluice.dev/batch";
    let status = ["patch", batch, "--subresource=status", "--type=merge", "-p"];
    kubectl.ok(&[&status[..], &[runs]].concat(), "").await;
    kubectl.ok(&fewer, "").await;
    let said = kubectl
        .refused(
            &["create", "-f", "-"],
            &cluster_manifest("late", "RUNNING", ""),
        )
        .await;
    assert!(
        said.contains("failed calling webhook \"validate.sluice.dev\""),
        "nothing is made unjudged: {said}"
    );
    let said = kubectl
        .refused(&["scale", "sessioncluster/frozen", "--replicas=9"], "")
        .await;
    assert!(said.contains("failed calling webhook"), "{said}");
    kubectl
        .ok(&["label", "sessioncluster/frozen", "owner=ann"], "")
        .await;
    kubectl
        .ok(&["annotate", "sessioncluster/frozen", "note=x"], "")
        .await;
    kubectl
        .ok(&["scale", "sessioncluster/frozen", "--replicas=2"], "")
        .await;
    let lower = r#"{"spec":{"numberOfTaskManagers":1}}"#;
    kubectl
        .ok(
            &[
                "patch",
                "sessioncluster/frozen",
                "--type=merge",
                "-p",
                lower,
            ],
            "",
        )
        .await;
    let stop = r#"{"spec":{"state":"STOPPED"}}"#;
    kubectl
        .ok(
            &["patch", "sessioncluster/frozen", "--type=merge", "-p", stop],
            "",
        )
        .await;
    let stored = kubectl.get("sessioncluster/frozen").await;
    assert_eq!(stored["spec"]["state"], "STOPPED");
    assert_eq!(stored["spec"]["numberOfTaskManagers"], 1);
    kubectl
        .ok(
            &[
                "delete",
                "sessioncluster/frozen",
                "sessioncluster/short",
                "--wait=false",
            ],
            "",
        )
        .await;
    let start = r#"{"spec":{"state":"RUNNING"}}"#;
    let said = kubectl
        .run(
            &[
                "patch",
                "sessioncluster/frozen",
                "--type=merge",
                "-p",
                start,
            ],
            "",
        )
        .await;
    assert_ne!(said.code, 0, "gone, or not judged: {}", said.out);
}
