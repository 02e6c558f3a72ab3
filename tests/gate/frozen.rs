//! A running session cluster refuses each frozen field, all at once, and takes state and numberOfTaskManagers.

use crate::Promise;
use anyhow::{Result, ensure};
use serde_json::json;
use sluice_tests::{Gate, Kubectl};

pub const PROMISES: &[Promise] = &[
    (
        "frozen::a_running_session_cluster_names_every_frozen_field_at_once",
        all_at_once,
    ),
    (
        "frozen::state_and_number_of_task_managers_may_change_with_warnings",
        what_may_change,
    ),
    (
        "frozen::the_same_meaning_in_other_words_is_no_change",
        same_meaning,
    ),
    (
        "frozen::a_stopped_session_cluster_may_change_and_a_stopping_one_may_not",
        terminal,
    ),
    ("frozen::modes_warn_and_off_admit", modes),
    ("frozen::metadata_and_deletion_are_free", free),
    (
        "frozen::a_deployed_session_flink_deployment_is_frozen_too",
        apache,
    ),
];

fn running(kubectl: &Kubectl) -> Result<()> {
    kubectl
        .apply("{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: analytics}, spec: {state: RUNNING, flinkVersion: '1.19', numberOfTaskManagers: 2, resources: {taskmanager: {cpu: 2, memory: 2Gi}}}}")?
        .admitted()?;
    kubectl.set_status(
        "fsc/analytics",
        &json!({"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 5000, "numberOfJobs": 3}),
    )?;
    Ok(())
}

fn all_at_once(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    running(&kubectl)?;
    let said = kubectl
        .merge("fsc/analytics", &json!({"spec": {"flinkVersion": "1.20", "resources": {"taskmanager": {"cpu": 4}}, "numberOfTaskManagers": 3}}))?
        .refused()?;
    ensure!(
        said.contains(
            "sessioncluster \"analytics\" is RUNNING: only spec.state and spec.numberOfTaskManagers may change. \
             spec.flinkVersion \"1.19\" -> \"1.20\"; spec.resources.taskmanager.cpu 2 -> 4. \
             Set spec.state to STOPPED, wait until status.state is STOPPED, then apply again. [immutable/session-cluster]"
        ),
        "{said}"
    );
    let fields = json!({
        "flinkVersion": "1.20", "flinkImageRegistry": "r.example.com", "flinkImageRepository": "f", "flinkImageTag": "t",
        "deploymentTargetName": "t", "resources": {"jobmanager": {"cpu": 2}}, "flinkConfiguration": {"a": "b"},
        "logging": {"log4jLoggers": {"a": "DEBUG"}}, "kubernetes": {"labels": {"a": "b"}}, "jars": ["https://example.com/a.jar"]
    });
    for (field, value) in fields.as_object().into_iter().flatten() {
        let said = kubectl
            .merge("fsc/analytics", &json!({"spec": {field: value}}))?
            .refused()?;
        ensure!(
            said.contains(&format!("spec.{field}")) && said.contains("[immutable/session-cluster]"),
            "{field}: {said}"
        );
    }
    // together with a stop all the same
    let said = kubectl
        .merge(
            "fsc/analytics",
            &json!({"spec": {"state": "STOPPED", "flinkVersion": "1.20"}}),
        )?
        .refused()?;
    ensure!(said.contains("[immutable/session-cluster]"), "{said}");
    Ok(())
}

fn what_may_change(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    running(&kubectl)?;
    kubectl
        .merge(
            "fsc/analytics",
            &json!({"spec": {"numberOfTaskManagers": 3}}),
        )?
        .admitted()?;
    let said = kubectl
        .merge(
            "fsc/analytics",
            &json!({"spec": {"numberOfTaskManagers": 1}}),
        )?
        .admitted()?
        .stderr;
    ensure!(
        said.contains("Warning: ") && said.contains("applications may restart"),
        "{said}"
    );
    kubectl
        .run(&["scale", "fsc/analytics", "--replicas=2"])?
        .admitted()?;
    assert_eq!(
        kubectl.get("fsc/analytics")?["spec"]["numberOfTaskManagers"],
        2
    );
    let said = kubectl
        .merge(
            "fsc/analytics",
            &json!({"spec": {"state": "stopped", "numberOfTaskManagers": 4}}),
        )?
        .admitted()?
        .stderr;
    ensure!(
        said.contains("3 jobs will be terminated without a grace period"),
        "{said}"
    );
    assert_eq!(kubectl.get("fsc/analytics")?["spec"]["state"], "STOPPED");
    Ok(())
}

fn same_meaning(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    running(&kubectl)?;
    kubectl
        .merge("fsc/analytics", &json!({"spec": {"resources": {"taskmanager": {"cpu": "2", "memory": "2048m"}, "jobmanager": {"memory": "1024Mi"}}}}))?
        .admitted()?;
    Ok(())
}

fn terminal(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    running(&kubectl)?;
    kubectl
        .merge("fsc/analytics", &json!({"spec": {"state": "STOPPED"}}))?
        .admitted()?;
    let change = json!({"spec": {"flinkVersion": "1.20"}});
    kubectl.merge("fsc/analytics", &change)?.refused()?;
    kubectl.set_status(
        "fsc/analytics",
        &json!({"state": "STOPPING", "observedGeneration": 2, "allocatedMilli": 2000}),
    )?;
    kubectl.merge("fsc/analytics", &change)?.refused()?;
    kubectl.set_status(
        "fsc/analytics",
        &json!({"state": "STOPPED", "observedGeneration": 2, "allocatedMilli": 0}),
    )?;
    kubectl.merge("fsc/analytics", &change)?.admitted()?;
    Ok(())
}

fn modes(gate: &Gate) -> Result<()> {
    for (mode, warns) in [("warn", true), ("off", false)] {
        let kubectl = gate.labelled_namespace(&[&format!("sluice.dev/immutability={mode}")])?;
        running(&kubectl)?;
        sluice_tests::eventually(std::time::Duration::from_secs(10), || {
            let said = kubectl
                .merge("fsc/analytics", &json!({"spec": {"flinkVersion": "1.20"}}))?
                .admitted()?
                .stderr;
            ensure!(said.contains("would be refused") == warns, "{mode}: {said}");
            Ok(())
        })?;
    }
    Ok(())
}

fn free(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    running(&kubectl)?;
    kubectl
        .run(&["label", "fsc/analytics", "a=b"])?
        .admitted()?;
    kubectl
        .run(&["annotate", "fsc/analytics", "a=b"])?
        .admitted()?;
    kubectl.run(&["delete", "fsc/analytics"])?.admitted()?;
    Ok(())
}

fn apache(gate: &Gate) -> Result<()> {
    if sluice_tests::fixtures().is_none() {
        return Ok(());
    }
    let kubectl = gate.namespace()?;
    let manifest = "{apiVersion: flink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: session}, spec: {image: 'flink:1.20', flinkVersion: v1_20, serviceAccount: flink, mode: standalone, jobManager: {resource: {memory: 2048m, cpu: 1}}, taskManager: {replicas: 2, resource: {memory: 2048m, cpu: 1}}}}";
    kubectl.apply(manifest)?.admitted()?;
    kubectl
        .merge(
            "flinkdeployment/session",
            &json!({"spec": {"image": "flink:1.20.1"}}),
        )?
        .admitted()?;
    kubectl.set_status(
        "flinkdeployment/session",
        &json!({"lifecycleState": "STABLE", "jobManagerDeploymentStatus": "READY"}),
    )?;
    let said = kubectl
        .merge(
            "flinkdeployment/session",
            &json!({"spec": {"image": "flink:1.20.2", "flinkConfiguration": {"a": "b"}}}),
        )?
        .refused()?;
    ensure!(
        said.contains("spec.image")
            && said.contains("spec.flinkConfiguration")
            && said.contains("[immutable/"),
        "{said}"
    );
    kubectl
        .run(&["scale", "flinkdeployment/session", "--replicas=3"])?
        .admitted()?;
    kubectl
        .merge(
            "flinkdeployment/session",
            &json!({"spec": {"flinkConfiguration": {"kubernetes.operator.x": "y"}}}),
        )?
        .admitted()?;
    let said = kubectl
        .merge(
            "flinkdeployment/session",
            &json!({"spec": {"restartNonce": 1}}),
        )?
        .admitted()?
        .stderr;
    ensure!(
        said.contains("Warning: "),
        "the restart button warns: {said}"
    );
    kubectl
        .merge("flinkdeployment/session", &json!({"metadata": {"annotations": {"sluice.dev/allow-recreate": "true"}}, "spec": {"image": "flink:1.20.3"}}))?
        .admitted()?;
    Ok(())
}
