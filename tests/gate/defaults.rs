//! Short manifests come back fully specified, and applying the same file again changes nothing, for ever.

use crate::Promise;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_tests::{Gate, Kubectl};

pub const PROMISES: &[Promise] = &[
    (
        "defaults::a_short_session_cluster_comes_back_fully_specified",
        short_session_cluster,
    ),
    (
        "defaults::a_short_deployment_comes_back_fully_specified",
        short_deployment,
    ),
    (
        "defaults::a_second_apply_is_a_no_op_also_after_the_defaults_changed",
        second_apply,
    ),
    (
        "defaults::a_patch_of_nothing_is_a_no_op_also_after_the_defaults_changed",
        second_patch,
    ),
    (
        "defaults::a_namespaces_defaults_win_over_the_clusters",
        layers,
    ),
    ("defaults::an_environment_wins_over_the_user", environment),
    (
        "defaults::what_is_wrong_in_defaults_is_refused_when_it_is_written",
        wrong_defaults,
    ),
    (
        "defaults::server_side_apply_takes_a_numeric_flink_version",
        numeric_version,
    ),
    ("defaults::modes_off_and_warn_fill_in_nothing", modes),
];

const DEPLOYMENT: &str = "
apiVersion: sluice.dev/v1alpha1
kind: Deployment
metadata: {name: top}
spec:
  state: suspended
  template:
    spec:
      artifact: {kind: jar, jarUri: 'https://example.com/top.jar', flinkVersion: '1.20'}
      parallelism: 3
      flinkConfiguration: {taskmanager.numberOfTaskSlots: 2, state: {savepoints.dir: 's3://b/s', checkpoints.dir: 's3://b/c'}}
";

fn short_session_cluster(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let said = kubectl
        .apply("{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: s}, spec: {flinkVersion: '1.20'}}")?
        .admitted()?
        .stderr;
    ensure!(
        said.contains("nothing is started"),
        "a create without state says so: {said}"
    );
    let spec = kubectl.get("fsc/s")?["spec"].clone();
    assert_eq!(spec["state"], "STOPPED");
    assert_eq!(spec["numberOfTaskManagers"], 1);
    assert_eq!(
        spec["resources"]["jobmanager"],
        json!({"cpu": 1, "memory": "1Gi"})
    );
    assert_eq!(
        spec["resources"]["taskmanager"],
        json!({"cpu": 1, "memory": "2Gi"})
    );
    assert_eq!(
        spec["logging"],
        json!({"loggingProfile": "default", "log4jLoggers": {"": "INFO"}})
    );
    Ok(())
}

fn short_deployment(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    kubectl.apply(DEPLOYMENT)?.admitted()?;
    let spec = kubectl.get("fdep/top")?["spec"].clone();
    assert_eq!(spec["state"], "SUSPENDED");
    assert_eq!(spec["upgradeStrategy"]["kind"], "STATEFUL");
    assert_eq!(
        spec["restoreStrategy"],
        json!({"kind": "LATEST_STATE", "allowNonRestoredState": false})
    );
    assert_eq!(
        (
            &spec["maxSavepointCreationAttempts"],
            &spec["maxJobCreationAttempts"]
        ),
        (&json!(4), &json!(4))
    );
    let template = &spec["template"]["spec"];
    assert_eq!(
        template["numberOfTaskManagers"], 2,
        "3 parallel over 2 slots"
    );
    assert_eq!(
        template["flinkConfiguration"]["state.savepoints.dir"], "s3://b/s",
        "nested keys are flattened"
    );
    assert_eq!(
        template["flinkConfiguration"]["execution.checkpointing.externalized-checkpoint-retention"],
        "RETAIN_ON_CANCELLATION"
    );
    Ok(())
}

fn versions(kubectl: &Kubectl, what: &str) -> Result<(Value, Value)> {
    let object = kubectl.get(what)?;
    Ok((
        object["metadata"]["resourceVersion"].clone(),
        object["metadata"]["generation"].clone(),
    ))
}

fn set_defaults(kubectl: &Kubectl, spec: &Value) -> Result<()> {
    let defaults = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentDefaults", "metadata": {"name": "default"}, "spec": spec});
    kubectl.apply(&defaults.to_string())?.admitted()?;
    // The webhook's cache follows within moments; a probe tells when.
    let wanted = spec["template"]["spec"]["parallelism"].clone();
    sluice_tests::eventually(std::time::Duration::from_secs(10), || {
        let probe = "{apiVersion: sluice.dev/v1alpha1, kind: Deployment, metadata: {name: probe}, spec: {template: {spec: {artifact: {kind: JAR, jarUri: 'https://example.com/a.jar', flinkVersion: '1.20'}}}}}";
        let ran = kubectl
            .run_with(
                &["create", "--dry-run=server", "-o", "json", "-f", "-"],
                probe,
            )?
            .admitted()?;
        let made: Value = serde_json::from_str(&ran.stdout).context("json")?;
        ensure!(
            made["spec"]["template"]["spec"]["parallelism"] == wanted,
            "defaults have not arrived"
        );
        Ok(())
    })
}

/// Each way of writing the same file twice, with the defaults changed in between.
fn second_apply(gate: &Gate) -> Result<()> {
    for (way, arguments) in [
        ("client-side", vec!["apply", "-f", "-"]),
        ("server-side", vec!["apply", "--server-side", "-f", "-"]),
        ("replace", vec!["replace", "-f", "-"]),
    ] {
        let kubectl = gate.namespace()?;
        set_defaults(
            &kubectl,
            &json!({"maxJobCreationAttempts": 7, "template": {"spec": {"parallelism": 2}}}),
        )?;
        let manifest = DEPLOYMENT.replace("parallelism: 3", "");
        if way == "replace" {
            kubectl.create(&manifest)?.admitted()?;
        }
        kubectl.run_with(&arguments, &manifest)?.admitted()?;
        let first = versions(&kubectl, "fdep/top")?;
        kubectl.run_with(&arguments, &manifest)?.admitted()?;
        assert_eq!(versions(&kubectl, "fdep/top")?, first, "{way}");
        set_defaults(
            &kubectl,
            &json!({"maxJobCreationAttempts": 9, "template": {"spec": {"parallelism": 6, "logging": {"log4jLoggers": {"a": "DEBUG"}}}}}),
        )?;
        for round in 1..=3 {
            kubectl.run_with(&arguments, &manifest)?.admitted()?;
            assert_eq!(
                versions(&kubectl, "fdep/top")?,
                first,
                "{way}, round {round} after the defaults changed"
            );
        }
        let spec = kubectl.get("fdep/top")?["spec"].clone();
        assert_eq!(
            (
                &spec["maxJobCreationAttempts"],
                &spec["template"]["spec"]["parallelism"]
            ),
            (&json!(7), &json!(2))
        );
        // a field of the user's own that is left out gets today's default
        kubectl
            .run_with(
                &arguments,
                &manifest.replace(
                    "state: suspended",
                    "maxJobCreationAttempts: 3\n  state: suspended",
                ),
            )?
            .admitted()?;
        assert_eq!(
            kubectl.get("fdep/top")?["spec"]["maxJobCreationAttempts"],
            3,
            "{way}"
        );
        kubectl.run_with(&arguments, &manifest)?.admitted()?;
        assert_eq!(
            kubectl.get("fdep/top")?["spec"]["maxJobCreationAttempts"],
            9,
            "{way}"
        );
    }
    Ok(())
}

fn second_patch(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    set_defaults(&kubectl, &json!({"template": {"spec": {"parallelism": 2}}}))?;
    kubectl
        .apply(&DEPLOYMENT.replace("parallelism: 3", ""))?
        .admitted()?;
    let (_, generation) = versions(&kubectl, "fdep/top")?;
    set_defaults(&kubectl, &json!({"template": {"spec": {"parallelism": 6}}}))?;
    for patch in [
        json!({"spec": {"state": "suspended"}}),
        json!({"spec": {"template": {"spec": {"parallelism": null}}}}),
    ] {
        // The first time the API server notes who owns the field.
        kubectl.merge("fdep/top", &patch)?.admitted()?;
        let first = versions(&kubectl, "fdep/top")?;
        kubectl.merge("fdep/top", &patch)?.admitted()?;
        assert_eq!(versions(&kubectl, "fdep/top")?, first, "{patch}");
        assert_eq!(first.1, generation, "{patch}");
    }
    // and the derived number follows its input
    kubectl
        .merge(
            "fdep/top",
            &json!({"spec": {"template": {"spec": {"parallelism": 8}}}}),
        )?
        .admitted()?;
    assert_eq!(
        kubectl.get("fdep/top")?["spec"]["template"]["spec"]["numberOfTaskManagers"],
        4
    );
    Ok(())
}

fn layers(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    set_defaults(
        &kubectl,
        &json!({"sessionCluster": {"numberOfTaskManagers": 3, "logging": {"log4jLoggers": {"a": "DEBUG"}}}, "template": {"spec": {"parallelism": 5}}}),
    )?;
    kubectl.apply("{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: s}, spec: {flinkVersion: '1.20'}}")?.admitted()?;
    let spec = kubectl.get("fsc/s")?["spec"].clone();
    assert_eq!(spec["numberOfTaskManagers"], 3);
    assert_eq!(
        spec["logging"]["log4jLoggers"],
        json!({"": "INFO", "a": "DEBUG"})
    );
    Ok(())
}

fn environment(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let environment = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "env-of-one-test"},
        "spec": {"namespaces": [kubectl.namespace()], "sessionCluster": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "8"}}}});
    kubectl.apply(&environment.to_string())?.admitted()?;
    sluice_tests::eventually(std::time::Duration::from_secs(10), || {
        kubectl
            .run(&["delete", "fsc/s", "--ignore-not-found"])?
            .admitted()?;
        kubectl.apply("{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: s}, spec: {flinkVersion: '1.20', flinkConfiguration: {taskmanager.numberOfTaskSlots: 2}}}")?.admitted()?;
        let slots =
            kubectl.get("fsc/s")?["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"]
                .clone();
        ensure!(slots == "8", "the user's {slots} stands");
        Ok(())
    })
}

fn wrong_defaults(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    for (spec, field) in [
        (
            json!({"sessionCluster": {"numberOfTaskManager": 3}}),
            "spec.sessionCluster.numberOfTaskManager",
        ),
        (
            json!({"template": {"spec": {"resources": {"jobmanager": {"cpu": "lots"}}}}}),
            "spec.template.spec.resources.jobmanager.cpu",
        ),
        (
            json!({"maxJobCreationAttempts": -1}),
            "spec.maxJobCreationAttempts",
        ),
    ] {
        let defaults = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentDefaults", "metadata": {"name": "d"}, "spec": spec});
        let said = kubectl.apply(&defaults.to_string())?.refused()?;
        ensure!(said.contains(field), "names {field}: {said}");
    }
    Ok(())
}

fn numeric_version(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    let manifest = |version: &str| {
        format!(
            "{{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {{name: s}}, spec: {{flinkVersion: {version}}}}}"
        )
    };
    kubectl
        .run_with(&["apply", "--server-side", "-f", "-"], &manifest("1.12"))?
        .admitted()?;
    assert_eq!(kubectl.get("fsc/s")?["spec"]["flinkVersion"], "1.12");
    let said = kubectl
        .run_with(&["apply", "--server-side", "-f", "-"], &manifest("1.2"))?
        .refused()?;
    ensure!(
        said.contains("spec.flinkVersion") && said.contains("quote"),
        "{said}"
    );
    Ok(())
}

fn modes(gate: &Gate) -> Result<()> {
    for (mode, warns) in [("warn", true), ("off", false)] {
        let kubectl = gate.labelled_namespace(&[&format!("sluice.dev/defaults={mode}")])?;
        sluice_tests::eventually(std::time::Duration::from_secs(10), || {
            kubectl
                .run(&["delete", "fsc/s", "--ignore-not-found"])?
                .admitted()?;
            let said = kubectl
                .apply("{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: s}, spec: {flinkVersion: '1.20'}}")?
                .admitted()?
                .stderr;
            let spec = kubectl.get("fsc/s")?["spec"].clone();
            ensure!(
                spec == json!({"flinkVersion": "1.20"}),
                "{mode} filled in {spec}"
            );
            ensure!(said.contains("not filled in") == warns, "{mode}: {said}");
            Ok(())
        })?;
    }
    Ok(())
}
