//! `sluice convert`, by the real binary.

#![allow(clippy::expect_used, clippy::panic)] // tests

mod support;

use support::{Folder, seed, sluice, sluice_with};

fn convert(manifest: &str, args: &[&str]) -> support::Run {
    let mut all = vec!["convert", "-f", "-"];
    all.extend(args);
    sluice_with(manifest.as_bytes(), &all)
}

/// The message on stderr when nothing can be converted.
#[track_caller]
fn refused(manifest: &str, args: &[&str]) -> String {
    let run = convert(manifest, args).expect_code(2);
    assert_eq!(run.stdout, "", "nothing is printed beside an error");
    run.stderr
}

#[test]
fn a_deployment_of_ververica_platform_changes_only_its_version_and_name() {
    let run = convert(
        "kind: Deployment\napiVersion: v1\nmetadata:\n  name: My  Job\n  labels: {env: testing, tier: 1}\nspec:\n  state: running\n  \
         deploymentTargetId: 57b4c290-73ad-11e7-8cf7-a6006ad3dba0\n  template:\n    spec:\n      artifact:\n        kind: jar\n        \
         flinkVersion: 1.10\n        flinkImageTag: 1.10\n        mainArgs: 7\n      resources:\n        jobManager: {cpu: 1.0, memory: 1g}\n      \
         flinkConfiguration:\n        taskmanager.numberOfTaskSlots: 1\n        own.version: 1.20\n        own.switch: on\n",
        &["--namespace", "team-a"],
    )
    .expect_code(0);
    insta::assert_snapshot!(run.stdout, @r#"
    kind: Deployment
    apiVersion: sluice.dev/v1alpha1
    metadata:
      name: my-job
      labels:
        env: testing
        tier: "1"
      annotations:
        sluice.dev/display-name: My  Job
      namespace: team-a
    spec:
      state: running
      deploymentTargetId: "57b4c290-73ad-11e7-8cf7-a6006ad3dba0"
      template:
        spec:
          artifact:
            kind: jar
            flinkVersion: "1.10"
            flinkImageTag: "1.10"
            mainArgs: "7"
          resources:
            jobManager:
              cpu: 1.0
              memory: "1g"
          flinkConfiguration:
            taskmanager.numberOfTaskSlots: 1
            own.version: "1.20"
            own.switch: "on"
    "#);
    assert_eq!(run.stderr, "");
}

#[test]
fn spelling_survives_json_too() {
    let run = convert(
        "{\"apiVersion\": \"v1\", \"kind\": \"SessionCluster\", \"metadata\": {\"name\": \"a\"}, \"spec\": {\"flinkVersion\": 1.20, \
         \"resources\": {\"jobmanager\": {\"cpu\": 0.50}}}}",
        &[],
    )
    .expect_code(0);
    assert!(
        run.stdout.contains("flinkVersion: \"1.20\"\n"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("cpu: 0.50\n"), "{}", run.stdout);
    assert!(
        !run.stdout.contains("display-name"),
        "a name that is kept needs no annotation: {}",
        run.stdout
    );
}

#[test]
fn a_session_of_the_rest_api() {
    let run = convert(
        "{\"name\": \"Example Flink Session\", \"runtime\": \"FLINK_1_20\", \"jars\": [\"s3://bucket/a.jar\"], \"plugins\": [{\"name\": \
         \"p\", \"jars\": [\"/opt/p.jar\"]}], \"flinkConfiguration\": {\"a.b\": \"2\"}, \"logConfiguration\": {\"log4j.properties\": \
         \"a = b\\nc = d\\n\"}, \"jobManagerResource\": {\"cpu\": 0.5, \"memory\": \"1024m\"}, \"taskManagerResource\": {\"cpu\": 0.5, \
         \"ephemeralStorage\": \"256m\"}}",
        &[],
    )
    .expect_code(0);
    insta::assert_snapshot!(run.stdout, @r#"
    apiVersion: sluice.dev/v1alpha1
    kind: SessionCluster
    metadata:
      name: example-flink-session
      annotations:
        sluice.dev/display-name: Example Flink Session
    spec:
      state: RUNNING
      flinkVersion: "1.20"
      jars:
      - s3://bucket/a.jar
      plugins:
      - name: p
        jars:
        - /opt/p.jar
      flinkConfiguration:
        a.b: "2"
      logConfiguration:
        log4j.properties: |
          a = b
          c = d
      resources:
        jobmanager:
          cpu: 0.5
          memory: "1024m"
        taskmanager:
          cpu: 0.5
          ephemeralStorage: "256m"
    "#);
}

#[test]
fn a_session_job_of_the_rest_api() {
    let body = "{\"name\": \"Job\", \"flinkConfiguration\": {}, \"job\": {\"entryClass\": \"A\", \"args\": [1, \"b\"]}}";
    let run = convert(body, &["--session", "My Session"]).expect_code(0);
    insta::assert_snapshot!(run.stdout, @r#"
    apiVersion: sluice.dev/v1alpha1
    kind: SessionJob
    metadata:
      name: job
      annotations:
        sluice.dev/display-name: Job
    spec:
      sessionClusterName: my-session
      flinkConfiguration: {}
      job:
        entryClass: A
        args:
        - "1"
        - b
    "#);
    let run = convert(body, &[]).expect_code(0);
    assert!(!run.stdout.contains("sessionClusterName"), "{}", run.stdout);
    assert!(
        run.stderr
            .contains("add --session NAME, or set spec.sessionClusterName"),
        "{}",
        run.stderr
    );
}

#[test]
fn targets_and_defaults() {
    let run = convert(
        "apiVersion: v1\nkind: DeploymentTarget\nmetadata: {name: My Target}\nspec: {kubernetes: {namespace: jobs}}\n---\napiVersion: \
         v1\nkind: DeploymentDefaults\nmetadata:\nspec: {state: RUNNING, template: {spec: {parallelism: 2}}}\n---\napiVersion: v1\nkind: \
         SessionCluster\nmetadata: {name: s}\nspec: {deploymentTargetName: My Target, flinkVersion: '1.20'}\n",
        &[],
    )
    .expect_code(0);
    insta::assert_snapshot!(run.stdout, @r#"
    apiVersion: sluice.dev/v1alpha1
    kind: DeploymentTarget
    metadata:
      name: my-target
      annotations:
        sluice.dev/display-name: My Target
    spec:
      kubernetes:
        namespace: jobs
    ---
    apiVersion: sluice.dev/v1alpha1
    kind: DeploymentDefaults
    metadata:
      name: default
    spec:
      state: RUNNING
      template:
        spec:
          parallelism: 2
    ---
    apiVersion: sluice.dev/v1alpha1
    kind: SessionCluster
    metadata:
      name: s
    spec:
      deploymentTargetName: my-target
      flinkVersion: "1.20"
    "#);
}

#[test]
fn what_has_no_counterpart_is_named_all_at_once() {
    let message = refused(
        "apiVersion: v1\nkind: Deployment\nmetadata:\n  id: 1\n  name: a\nspec:\n  jobFailureExpirationTime: 3\n  template:\n    spec:\n      \
         artifact: {kind: jar, additionalDependencies: [a]}\nstatus: {state: RUNNING}\n",
        &[],
    );
    insta::assert_snapshot!(message, @r#"
    sluice: standard input: line 11, column 1: status has no counterpart in Sluice's Deployment, whose status is its own; take it out
    sluice: standard input: line 4, column 3: metadata.id has no counterpart in Sluice's Deployment: Kubernetes keeps its own ids and times; take it out
    sluice: standard input: line 7, column 3: spec.jobFailureExpirationTime has no counterpart in Sluice's Deployment; take it out if you can do without
    sluice: standard input: line 10, column 29: spec.template.spec.artifact.additionalDependencies has no counterpart in Sluice's Deployment; take it out if you can do without
    "#);
    let message = refused(
        "{\"name\": \"a\", \"runtime\": \"FLINK_1_20\", \"parallelism\": 1}",
        &[],
    );
    assert_eq!(
        message,
        "sluice: standard input: line 1, column 40: parallelism has no counterpart in Sluice's SessionCluster; take it out if you \
         can do without\n"
    );
    let message = refused(
        "{\"name\": \"a\", \"job\": {\"upgradeMode\": \"stateless\"}}",
        &[],
    );
    assert!(
        message.contains("spec.job.upgradeMode has no counterpart in Sluice's SessionJob"),
        "{message}"
    );
}

#[test]
fn a_name_is_needed_and_may_be_given() {
    let unnamed =
        "apiVersion: v1\nkind: SessionCluster\nmetadata:\n  name:\nspec: {flinkVersion: 1.20}\n";
    assert_eq!(
        refused(unnamed, &[]),
        "sluice: standard input: line 4, column 7: metadata.name is empty; give the object a name with --name NAME\n"
    );
    let run = convert(unnamed, &["--name", "My Cluster"]).expect_code(0);
    assert!(run.stdout.contains("name: my-cluster\n"), "{}", run.stdout);
    assert!(
        run.stdout.contains("sluice.dev/display-name: My Cluster\n"),
        "{}",
        run.stdout
    );
    let run = convert(
        "apiVersion: v1\nkind: SessionCluster\nmetadata: {name: Old Name}\n",
        &["--name", "new"],
    )
    .expect_code(0);
    assert!(run.stdout.contains("name: new\n"), "{}", run.stdout);
    assert!(
        run.stdout.contains("sluice.dev/display-name: Old Name\n"),
        "the original is kept: {}",
        run.stdout
    );
    let message = refused(
        "apiVersion: v1\nkind: SessionCluster\nmetadata: {name: 作业}\n",
        &[],
    );
    assert!(
        message.contains(
            "no DNS label can be made of \"作业\"; give the object a name with --name NAME"
        ),
        "{message}"
    );
    let two = format!("{unnamed}---\n{unnamed}");
    assert!(
        refused(&two, &["--name", "a"]).contains("--name is for a single object, but there are 2")
    );
}

#[test]
fn a_namespace_that_cannot_be_is_refused() {
    let manifest = |namespace: &str| {
        format!(
            "apiVersion: v1\nkind: SessionCluster\nmetadata: {{name: a, namespace: {namespace}}}\n"
        )
    };
    let said = "\"Team A\" is no name of a namespace; write at most 63 of a-z, 0-9 and '-', no '-' first or last";
    assert!(refused(&manifest("x"), &["--namespace", "Team A"]).contains(said));
    let ours = manifest("Team A").replace("v1", "sluice.dev/v1alpha1");
    for manifest in [manifest("Team A"), ours] {
        let message = refused(&manifest, &[]);
        let place = "line 3, column 32: metadata.namespace: ";
        let way_out = ", or give the namespace with --namespace NAMESPACE\n";
        assert!(
            message.ends_with(&format!("{place}{said}{way_out}")),
            "{message}"
        );
        let run = convert(&manifest, &["--namespace", "team-a"]).expect_code(0);
        assert!(run.stdout.contains("namespace: team-a\n"), "{}", run.stdout);
    }
}

#[test]
fn two_names_that_become_one_are_refused() {
    let one = |name: &str| {
        format!("apiVersion: v1\nkind: SessionCluster\nmetadata: {{name: {name}}}\n---\n")
    };
    let message = refused(&format!("{}{}", one("My Job"), one("my_job")), &[]);
    assert!(
        message.contains("a second SessionCluster would be called \"my-job\""),
        "{message}"
    );
}

#[test]
fn kinds_that_cannot_be_converted() {
    let message = refused(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n",
        &[],
    );
    assert!(
        message.contains("kind Deployment of apiVersion apps/v1 has no counterpart in Sluice"),
        "{message}"
    );
    assert!(
        refused("{\"name\": \"a\"}", &[])
            .contains("neither a manifest (apiVersion and kind) nor the body of create-session")
    );
    assert!(refused("kind: Deployment\nspec: {}\n", &[]).contains("apiVersion is missing"));
    let message = refused(
        "{\"name\": \"a\", \"runtime\": \"FLINK_1_20\", \"job\": {}}",
        &[],
    );
    assert!(message.contains("create-application"), "{message}");
    let message = refused("{\"name\": \"a\", \"runtime\": \"1.20\"}", &[]);
    assert!(
        message.contains("runtime must look like FLINK_1_17"),
        "{message}"
    );
}

#[test]
fn what_needs_no_conversion_passes() {
    let manifest = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nmetadata:\n  name: basic\nspec:\n  flinkVersion: v1_20\n  foo: 1.0\n";
    assert_eq!(convert(manifest, &[]).expect_code(0).stdout, manifest);
    // Names by the rules of their own kinds, some of which are no labels.
    let name = "a-name-of-more-than-forty-five-characters-which-is-allowed";
    for (kind, name) in [
        (
            "flink.apache.org/v1beta1\nkind: FlinkDeployment",
            "etl.prod",
        ),
        ("flink.apache.org/v1beta1\nkind: FlinkSessionJob", name),
        ("cmf.confluent.io/v1\nkind: FlinkApplication", "second.try"),
        ("sluice.dev/v1alpha1\nkind: CpuQuota", "of.the.team"),
    ] {
        let manifest = format!("apiVersion: {kind}\nmetadata:\n  name: {name}\nspec:\n  a: b\n");
        assert_eq!(convert(&manifest, &[]).expect_code(0).stdout, manifest);
        let moved = manifest.replace("spec:", "  namespace: team-a\nspec:");
        let run = convert(&manifest, &["--namespace", "team-a"]).expect_code(0);
        assert_eq!(run.stdout, moved);
        let run = convert(&manifest, &["--name", "other"]).expect_code(0);
        assert!(run.stdout.contains("name: other\n"), "{}", run.stdout);
    }
    let unnamed = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nspec: {}\n";
    assert!(refused(unnamed, &[]).contains("metadata.name is empty"));
}

#[test]
fn folders_lists_and_files_that_cannot_be_read() {
    let folder = Folder::new();
    let one = "apiVersion: v1\nkind: SessionCluster\nmetadata: {name: NAME}\n";
    folder.file("b.yaml", one.replace("NAME", "second"));
    folder.file("a.json", "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"SessionCluster\", \"metadata\": {\"name\": \"first\"}}]}");
    folder.file("c.yml", "# nothing yet\n");
    folder.file("notes.txt", "{{{");
    folder.file("deeper/d.yaml", one.replace("NAME", "third"));
    let names = |run: &support::Run| {
        run.stdout
            .lines()
            .filter_map(|line| line.strip_prefix("  name: "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(&sluice(&["convert", "-f", &folder.path()]).expect_code(0)),
        ["first", "second"]
    );
    assert_eq!(
        names(&sluice(&["convert", "-R", "-f", &folder.path()]).expect_code(0)),
        ["first", "second", "third"]
    );

    let missing = sluice(&["convert", "-f", "/nowhere/a.yaml"]).expect_code(2);
    assert!(
        missing.stderr.contains("/nowhere/a.yaml: No such file"),
        "{}",
        missing.stderr
    );
    let empty = folder.file("empty.yaml", "");
    let run = sluice(&["convert", "-f", &empty]).expect_code(2);
    assert!(
        run.stderr
            .contains("empty.yaml: line 1, column 1: there is no object in it"),
        "{}",
        run.stderr
    );
    assert_eq!(sluice(&["convert"]).expect_code(2).stdout, "");
}

#[test]
fn the_seeds_convert() {
    for (name, args) in [
        ("vvp-deployment.yaml", vec![]),
        ("vvp-session-cluster.yaml", vec!["--name", "analytics"]),
        ("rest-create-session.json", vec![]),
        (
            "rest-create-session-job.json",
            vec!["--session", "Example Flink Session"],
        ),
    ] {
        let Some(path) = seed(name) else { return };
        let mut all = vec!["convert", "-f", &path];
        all.extend(args);
        let run = sluice(&all).expect_code(0);
        assert!(
            run.stdout.contains("sluice.dev/v1alpha1"),
            "{name}: {}",
            run.stdout
        );
        // Converting what is converted changes nothing more.
        let again = sluice_with(run.stdout.as_bytes(), &["convert", "-f", "-"]).expect_code(0);
        assert_eq!(again.stdout, run.stdout, "{name}");
    }
}
