//! The numbered decisions about admission that no other test here holds.

use crate::Promise;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sluice_tests::{Gate, Kubectl, eventually};
use std::time::Duration;

pub const PROMISES: &[Promise] = &[
    (
        "decisions::d02_a_canary_that_loses_its_label_is_judged_as_a_create",
        canary,
    ),
    (
        "decisions::d02_scaling_to_none_what_has_no_number_of_replicas_is_asked_about",
        scaled_to_none,
    ),
    (
        "decisions::d03_an_alias_may_be_edited_in_a_manifest_for_ever",
        alias,
    ),
    (
        "decisions::d05_what_was_scaled_stays_and_is_no_default_any_more",
        scaled,
    ),
    ("decisions::d10_a_deployment_target_is_immutable", target),
    (
        "decisions::d11_a_cluster_quota_names_at_least_one_namespace",
        cluster_quota,
    ),
    (
        "decisions::d12_causes_carry_rule_and_remedy_and_warnings_are_one_line",
        texts,
    ),
    (
        "decisions::d14_what_is_being_deleted_asks_for_nothing_whatever_it_says",
        deleted,
    ),
    (
        "decisions::d20_sidecars_are_charged_and_the_main_containers_cpu_is_refused",
        sidecars,
    ),
    (
        "decisions::d21_references_that_do_not_resolve_only_warn",
        references,
    ),
    (
        "decisions::d22_stateful_upgrades_need_something_to_restore",
        strategies,
    ),
    ("decisions::d23_memory_has_flinks_own_minimum", memory),
    (
        "decisions::d27_own_names_are_dns_1035_of_at_most_45_characters",
        names,
    ),
];

pub fn session(name: &str, spec: &Value) -> String {
    let mut object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
        "spec": {"state": "STOPPED", "flinkVersion": "1.20"}});
    json_merge(&mut object["spec"], spec);
    object.to_string()
}

fn deployment(name: &str, spec: &Value) -> String {
    let mut object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"state": "CANCELLED", "template": {"spec": {"artifact": {"kind": "JAR", "jarUri": "https://example.com/a.jar", "flinkVersion": "1.20"}}}}});
    json_merge(&mut object["spec"], spec);
    object.to_string()
}

fn json_merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                json_merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

fn canary(gate: &Gate) -> Result<()> {
    if sluice_tests::fixtures().is_none() {
        return Ok(());
    }
    let kubectl = gate.namespace()?;
    kubectl
        .apply("{apiVersion: flink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: canary, labels: {flink.apache.org/canary: 'true'}}, spec: {flinkVersion: v1_20}}")?
        .admitted()?;
    let said = kubectl
        .run(&[
            "label",
            "flinkdeployment/canary",
            "flink.apache.org/canary-",
        ])?
        .refused()?;
    ensure!(said.contains("spec.serviceAccount"), "{said}");
    // One that was judged, and may be about to run, does not become one.
    kubectl
        .apply("{apiVersion: flink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: judged}, spec: {flinkVersion: v1_20, serviceAccount: flink, jobManager: {resource: {memory: 2048m}}, taskManager: {resource: {memory: 2048m}}}}")?
        .admitted()?;
    let mark = [
        "label",
        "flinkdeployment/judged",
        "flink.apache.org/canary=true",
    ];
    let said = kubectl.run(&mark)?.refused()?;
    ensure!(said.contains("cannot become a canary"), "{said}");
    Ok(())
}

/// Go leaves a 0 out of a Scale, so where the parent has no number both Scales look equal; yet the parent gets a 0 and a new generation.
fn scaled_to_none(gate: &Gate) -> Result<()> {
    if sluice_tests::fixtures().is_none() {
        return Ok(());
    }
    let kubectl = gate.namespace()?;
    let spec = json!({"flinkVersion": "v1_20", "serviceAccount": "flink", "image": "flink:1.20",
        "jobManager": {"resource": {"memory": "2048m", "cpu": 1}}, "taskManager": {"resource": {"memory": "2048m", "cpu": 1}},
        "job": {"jarURI": "local:///opt/flink/a.jar", "parallelism": 2, "state": "running", "upgradeMode": "stateless"}});
    let batch = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": {"name": "batch"}, "spec": spec});
    kubectl.apply(&batch.to_string())?.admitted()?;
    // What has ended costs nothing, and may start again with its next spec.
    let recorded = json!({"spec": spec, "resource_metadata": {}}).to_string();
    let finished = json!({"status": {"lifecycleState": "STABLE", "observedGeneration": 1, "jobStatus": {"state": "FINISHED"},
        "jobManagerDeploymentStatus": "MISSING", "reconciliationStatus": {"state": "DEPLOYED", "lastReconciledSpec": recorded}}});
    kubectl
        .run(&[
            "patch",
            "flinkdeployment/batch",
            "--subresource=status",
            "--type=merge",
            "-p",
            &finished.to_string(),
        ])?
        .admitted()?;
    let said = kubectl
        .run(&["scale", "flinkdeployment/batch", "--replicas=0"])?
        .refused()?;
    ensure!(said.contains("[flink/taskmanager-replicas]"), "{said}");
    Ok(())
}

fn alias(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let both = session(
        "s",
        &json!({"resources": {"jobManager": {"cpu": 2}, "jobmanager": {"cpu": 1}}}),
    );
    let said = kubectl.create(&both)?.refused()?;
    ensure!(said.contains("spec.resources.jobManager"), "{said}");
    for cpu in [2, 3, 1] {
        kubectl
            .apply(&session(
                "s",
                &json!({"resources": {"jobManager": {"cpu": cpu}}}),
            ))?
            .admitted()?;
        let resources = kubectl.get("fsc/s")?["spec"]["resources"].clone();
        assert_eq!(resources["jobmanager"]["cpu"], cpu);
        assert_eq!(resources.get("jobManager"), None);
    }
    Ok(())
}

fn scaled(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let manifest = deployment("d", &json!({"template": {"spec": {"parallelism": 3}}}));
    kubectl.apply(&manifest)?.admitted()?;
    kubectl
        .run(&["scale", "fdep/d", "--replicas=5"])?
        .admitted()?;
    kubectl
        .apply(&deployment(
            "d",
            &json!({"maxJobCreationAttempts": 2, "template": {"spec": {"parallelism": 3}}}),
        ))?
        .admitted()?;
    let stored = kubectl.get("fdep/d")?;
    assert_eq!(
        stored["spec"]["template"]["spec"]["numberOfTaskManagers"],
        5
    );
    let record = stored["metadata"]["annotations"]["sluice.dev/defaults"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        record.contains("/spec/upgradeStrategy/kind") && !record.contains("numberOfTaskManagers"),
        "{record}"
    );
    Ok(())
}

fn target(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let target = |namespace: &str| {
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentTarget", "metadata": {"name": "t"}, "spec": {"kubernetes": {"namespace": namespace}}}).to_string()
    };
    kubectl.apply(&target("jobs"))?.admitted()?;
    kubectl.apply(&target("jobs"))?.admitted()?;
    let said = kubectl.apply(&target("kube-system"))?.refused()?;
    ensure!(
        said.contains("spec of a DeploymentTarget never changes"),
        "{said}"
    );
    Ok(())
}

fn cluster_quota(gate: &Gate) -> Result<()> {
    let quota = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterCpuQuota", "metadata": {"name": "nobody"},
        "spec": {"hard": {"cpu": 1}, "namespaces": []}});
    let said = gate.kubectl().apply(&quota.to_string())?.refused()?;
    ensure!(said.contains("spec.namespaces"), "{said}");
    Ok(())
}

fn texts(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let said = kubectl
        .apply(&session(
            "s",
            &json!({"resources": {"jobmanager": {"cpu": "lots"}, "taskmanager": {"memory": [1]}}}),
        ))?
        .refused()?;
    for part in [
        "spec.resources.jobmanager.cpu",
        "spec.resources.taskmanager.memory",
        "[session-cluster/",
    ] {
        ensure!(said.contains(part), "{part}: {said}");
    }
    let said = kubectl
        .apply(&deployment(
            "d",
            &json!({"deploymentTargetName": "x".repeat(40), "deploymentTargetId": null}),
        ))?
        .admitted()?
        .stderr;
    for line in said.lines().filter(|line| line.starts_with("Warning: ")) {
        ensure!(line.len() < 256 + "Warning: ".len(), "{line}");
    }
    Ok(())
}

/// It may still be edited, for whoever holds a finalizer must get on. Else one could fill a quota that others share.
fn deleted(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let quota = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default"}, "spec": {"hard": {"cpu": 10}, "onGrowth": "Enforce"}});
    kubectl.apply(&quota.to_string())?.admitted()?;
    let mut held: Value = serde_json::from_str(&session(
        "s",
        &json!({"state": "RUNNING", "numberOfTaskManagers": 9}),
    ))?;
    held["metadata"]["finalizers"] = json!(["example.com/held"]);
    eventually(Duration::from_secs(20), || {
        kubectl.apply(&held.to_string())?.admitted()
    })?;
    kubectl
        .run(&["delete", "sessioncluster/s", "--wait=false"])?
        .admitted()?;
    for count in [9000, 90_000] {
        let grown = json!({"spec": {"numberOfTaskManagers": count, "flinkVersion": "1.19"}});
        kubectl.merge("sessioncluster/s", &grown)?.admitted()?;
    }
    // No pod of it was ever made, so nothing is held and there is room for all.
    let next = session("t", &json!({"state": "RUNNING", "numberOfTaskManagers": 9}));
    eventually(Duration::from_secs(20), || kubectl.apply(&next)?.admitted())?;
    kubectl
        .merge(
            "sessioncluster/s",
            &json!({"metadata": {"finalizers": null}}),
        )?
        .admitted()?;
    Ok(())
}

fn sidecars(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let quota = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default"}, "spec": {"hard": {"cpu": 3}, "onGrowth": "Enforce"}});
    kubectl.apply(&quota.to_string())?.admitted()?;
    let template = |name: &str| json!({"spec": {"containers": [{"name": name, "image": "x", "resources": {"requests": {"cpu": "1", "memory": "64Mi"}}}]}});
    let with = |name: &str| json!({"state": "RUNNING", "kubernetes": {"taskManagerPodTemplate": template(name)}});
    let said = eventually(Duration::from_secs(20), || {
        let said = kubectl.apply(&session("s", &json!({"state": "RUNNING", "numberOfTaskManagers": 2, "kubernetes": {"taskManagerPodTemplate": template("logs")}})))?.refused()?;
        ensure!(said.contains("needs"), "{said}");
        Ok(said)
    })?;
    ensure!(
        said.contains("needs 5 CPU; 3 of 3 are free"),
        "1 + 2 x (1 + 1): {said}"
    );
    kubectl.apply(&session("s", &with("logs")))?.admitted()?;
    let said = kubectl
        .apply(&session("t", &with("flink-main-container")))?
        .refused()?;
    ensure!(said.contains("[session-cluster/main-container]"), "{said}");
    Ok(())
}

fn references(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let said = kubectl
        .apply(&deployment(
            "d",
            &json!({"state": "RUNNING", "deploymentTargetName": "nowhere"}),
        ))?
        .admitted()?
        .stderr;
    ensure!(
        said.contains("Warning: ") && said.contains("nowhere"),
        "{said}"
    );
    let said = kubectl
        .apply(&deployment(
            "e",
            &json!({"deploymentTargetName": "default"}),
        ))?
        .admitted()?
        .stderr;
    ensure!(
        !said.contains("deploymentTargetName"),
        "an undefined default means the own namespace: {said}"
    );
    Ok(())
}

fn strategies(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let said = kubectl
        .apply(&deployment(
            "d",
            &json!({"upgradeStrategy": {"kind": "STATEFUL"}, "restoreStrategy": {"kind": "NONE"}}),
        ))?
        .refused()?;
    ensure!(
        said.contains("STATEFUL") && said.contains("[deployment/"),
        "{said}"
    );
    kubectl
        .apply(&deployment(
            "d",
            &json!({"restoreStrategy": {"kind": "none"}}),
        ))?
        .admitted()?;
    assert_eq!(
        kubectl.get("fdep/d")?["spec"]["upgradeStrategy"]["kind"],
        "STATELESS"
    );
    Ok(())
}

fn memory(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let with =
        |role: &str, memory: &str| session("s", &json!({"resources": {role: {"memory": memory}}}));
    let refused = |kubectl: &Kubectl, role: &str, memory: &str| -> Result<()> {
        let said = kubectl.apply(&with(role, memory))?.refused()?;
        ensure!(
            said.contains(&format!("spec.resources.{role}.memory")),
            "{said}"
        );
        Ok(())
    };
    refused(&kubectl, "jobmanager", "576m")?;
    refused(&kubectl, "taskmanager", "981m")?;
    kubectl.apply(&with("jobmanager", "577m"))?.admitted()?;
    kubectl.apply(&with("taskmanager", "982m"))?.admitted()?;
    Ok(())
}

fn names(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    kubectl
        .apply(&session(&"a".repeat(45), &json!({})))?
        .admitted()?;
    for name in ["a".repeat(46), "1a".to_owned(), "a.b".to_owned()] {
        let said = kubectl.apply(&session(&name, &json!({})))?.refused()?;
        ensure!(said.contains("metadata.name"), "{said}");
    }
    Ok(())
}
