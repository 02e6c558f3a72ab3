//! Quotas without a controller: the test counts for it.

use crate::proxy::Proxy;
use crate::support::{Kubectl, SOON, cluster_manifest, eventually, http_get};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use sluice_api::quota::CpuQuota;
use std::net::SocketAddr;
use std::time::Duration;

/// 82 CPU.
pub fn large(state: &str) -> String {
    cluster_manifest(
        "analytics",
        state,
        "  resources: {taskmanager: {cpu: 27}}\n",
    )
}

/// `"Kind" "Reason" "note"` of each Event.
pub async fn events(kubectl: &Kubectl) -> Vec<String> {
    let list = kubectl.get("events.events.k8s.io").await;
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|event| {
            let kind = &event["regarding"]["kind"];
            format!("{kind} {} {}", event["reason"], event["note"])
        })
        .collect()
}

pub async fn held(kubectl: &Kubectl) -> Vec<Value> {
    let quota = kubectl.get("cpuquota/default").await;
    let pending = quota["status"]["pending"].as_array();
    pending.cloned().unwrap_or_default()
}

/// The controller does not run here, so the test counts for it.
pub async fn count(kubectl: &Kubectl, status: &str) {
    let patch = format!("{{\"status\":{status}}}");
    let arguments = [
        "patch",
        "cpuquota/default",
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    kubectl.ok(&arguments, "").await;
}

pub async fn quotas_refuse_with_exact_figures(kubectl: &Kubectl) {
    let quota = "{apiVersion: sluice.dev/v1alpha1, kind: CpuQuota, metadata: {name: default}, spec: {hard: {cpu: 100}}}";
    kubectl.ok(&["create", "-f", "-"], quota).await;
    let counted = r#"{"chargeFn":3,"observedGeneration":1,"confirmedMilli":40000}"#;
    count(kubectl, counted).await;
    let refusal = "admission webhook \"validate.sluice.dev\" denied the request: CpuQuota \"team-a/default\": starting \
                   sessioncluster \"analytics\" needs 82 CPU; 60 of 100 are free (40 in use, 0 reserved). Stop a workload or \
                   ask for 22 more CPU. [quota/cpu]";
    // The watch may bring the quota a moment later; until then nothing covers the namespace.
    eventually("the quota is known", || async {
        let create = ["create", "--dry-run=server", "-f", "-"];
        let said = kubectl.run(&create, &large("RUNNING")).await;
        (said.code != 0 && said.err.contains("(Forbidden)"))
            .then(|| assert!(said.err.contains(refusal), "{}", said.err))
    })
    .await;
    let none: Vec<String> = Vec::new();
    assert_eq!(events(kubectl).await, none, "a dry-run leaves no trace");
    let said = kubectl
        .refused(&["create", "-f", "-"], &large("RUNNING"))
        .await;
    assert!(said.contains(refusal), "{said}");
    let told = eventually("the Event", || async {
        let told = events(kubectl).await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    let start = "\"CpuQuota\" \"QuotaExceeded\" \"CpuQuota \\\"team-a/default\\\": starting";
    assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
    assert!(held(kubectl).await.is_empty(), "nothing is held for it");
}

pub async fn quotas_hold_what_is_admitted(kubectl: &Kubectl) {
    // Never refused, however large.
    kubectl.ok(&["create", "-f", "-"], &large("STOPPED")).await;
    let fits = cluster_manifest("fits", "RUNNING", "");
    kubectl
        .ok(&["create", "--dry-run=server", "-f", "-"], &fits)
        .await;
    assert!(held(kubectl).await.is_empty(), "a dry-run holds nothing");
    kubectl.ok(&["create", "-f", "-"], &fits).await;
    let pending = held(kubectl).await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    let fits = kubectl.get("sessioncluster/fits").await;
    let uid = fits["metadata"]["uid"].as_str().unwrap();
    let hold = pending[0].as_str().unwrap();
    let line = format!("0->4000 sessionclusters.sluice.dev/team-a/fits uid={uid} base=0 id=");
    assert!(hold.starts_with(&line), "{hold}");
}

pub async fn growth_past_a_quota_is_what_the_quota_says(kubectl: &Kubectl) {
    // onGrowth: Warn is what an absent field means.
    let said = kubectl
        .ok(&["scale", "sessioncluster/fits", "--replicas=99"], "")
        .await;
    let warning =
        "Warning: CpuQuota \"team-a/default\": sessioncluster \"fits\" was admitted past the quota";
    assert!(said.contains(warning), "{said}");
    assert_eq!(held(kubectl).await.len(), 2);
    let enforce = r#"{"spec":{"onGrowth":"Enforce"}}"#;
    kubectl
        .ok(
            &["patch", "cpuquota/default", "--type=merge", "-p", enforce],
            "",
        )
        .await;
    count(kubectl, r#"{"observedGeneration":2}"#).await;
    let said = kubectl
        .refused(&["scale", "sessioncluster/fits", "--replicas=200"], "")
        .await;
    let refusal = "growing sessioncluster \"fits\" needs 101 more CPU";
    assert!(said.contains(refusal), "{said}");
    eventually("the Event on the workload", || async {
        let told = events(kubectl).await;
        let start = "\"SessionCluster\" \"GrowthRefused\"";
        told.iter()
            .any(|event| event.starts_with(start))
            .then_some(())
    })
    .await;
    kubectl
        .ok(&["scale", "sessioncluster/fits", "--replicas=1"], "")
        .await;
    let all = [
        "delete",
        "cpuquota/default",
        "sessioncluster/fits",
        "sessioncluster/analytics",
    ];
    kubectl.ok(&all, "").await;
}

fn second_looks(metrics: &str) -> u64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("sluice_ledger_second_looks_total "));
    line.unwrap().parse().unwrap()
}

/// CPU that was given up a moment ago is waited for, until the quota is counted; what does not fit anyway is refused at once.
pub async fn a_start_right_behind_a_deletion_waits_for_the_count(
    client: &Client,
    kubectl: &Kubectl,
    ops: SocketAddr,
) {
    kubectl
        .ok(
            &["create", "-f", "-"],
            &cluster_manifest("leaves", "RUNNING", ""),
        )
        .await;
    let quota = "{apiVersion: sluice.dev/v1alpha1, kind: CpuQuota, metadata: {name: default}, spec: {hard: {cpu: 4}, onGrowth: Enforce}}";
    kubectl.ok(&["create", "-f", "-"], quota).await;
    let revision = |object: &Value| object["metadata"]["resourceVersion"].clone();
    let before = revision(&kubectl.get("sessioncluster/leaves").await);
    let counted = |milli: u64, at: &Value| {
        json!({"status": {"chargeFn": 3, "observedGeneration": 1, "confirmedMilli": milli,
            "snapshot": {"sessionclusters.sluice.dev": at}}})
    };
    let quotas: Api<CpuQuota> = Api::namespaced(client.clone(), "team-a");
    let count = async |milli, at: &Value| {
        let patch = Patch::Merge(counted(milli, at));
        quotas
            .patch_status("default", &PatchParams::default(), &patch)
            .await
            .unwrap()
    };
    count(4000, &before).await;
    let comes = cluster_manifest("comes", "RUNNING", "");
    eventually("the quota is known", || async {
        let said = kubectl
            .run(&["create", "--dry-run=server", "-f", "-"], &comes)
            .await;
        said.err.contains("0 of 4 are free").then_some(())
    })
    .await;
    let looks = second_looks(&http_get(ops, "/metrics").await.1);

    kubectl.ok(&["delete", "sessioncluster/leaves"], "").await;
    // Nothing that could come will make room for this one.
    let large = cluster_manifest(
        "large",
        "RUNNING",
        "  resources: {taskmanager: {cpu: 27}}\n",
    );
    let said = kubectl.refused(&["create", "-f", "-"], &large).await;
    assert!(said.contains("0 of 4 are free"), "{said}");
    assert_eq!(second_looks(&http_get(ops, "/metrics").await.1), looks);

    let create = ["create", "-f", "-"];
    let (said, ()) = tokio::join!(kubectl.run(&create, &comes), async {
        let deadline = tokio::time::Instant::now() + SOON;
        while second_looks(&http_get(ops, "/metrics").await.1) == looks {
            assert!(tokio::time::Instant::now() < deadline, "nobody waits");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        count(0, &json!("999999999")).await;
    });
    assert_eq!(
        said.code, 0,
        "refused although its room was just freed: {}",
        said.err
    );
    kubectl
        .ok(&["delete", "cpuquota/default", "sessioncluster/comes"], "")
        .await;
}

/// A quota that the watch never brings is found all the same, in bounded time.
pub async fn a_watch_that_hangs_hides_no_quota_for_long(kubectl: &Kubectl, proxy: &Proxy) {
    proxy.hold_watches(true);
    let quota = "{apiVersion: sluice.dev/v1alpha1, kind: CpuQuota, metadata: {name: default}, spec: {hard: {cpu: 1}, onGrowth: Enforce}}";
    kubectl.ok(&["create", "-f", "-"], quota).await;
    count(
        kubectl,
        r#"{"chargeFn":3,"observedGeneration":1,"confirmedMilli":0}"#,
    )
    .await;
    let start = cluster_manifest("unseen", "RUNNING", "");
    eventually("the quota is found although its watch hangs", || async {
        let said = kubectl
            .run(&["create", "--dry-run=server", "-f", "-"], &start)
            .await;
        said.err
            .contains("needs 4 CPU; 1 of 1 are free")
            .then_some(())
    })
    .await;
    proxy.hold_watches(false);
    kubectl.ok(&["delete", "cpuquota/default"], "").await;
}
