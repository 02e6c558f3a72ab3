//! `sluice test`: suites are played by the real binary; what is not as expected is told with its place.
#![allow(missing_docs, clippy::indexing_slicing)] // in tests, as elsewhere

mod support;

use serde_json::Value;
use support::{Folder, Run, code_unread, sluice, sluice_with};

const CLUSTER: &str = "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {name: a}\nspec: {state: RUNNING, flinkVersion: '1.20'}\n";
const QUOTA: &str = "apiVersion: sluice.dev/v1alpha1\nkind: CpuQuota\nmetadata: {name: q, namespace: default}\nspec: {hard: {cpu: 3}, onGrowth: Enforce}\n";

fn play(folder: &Folder, tests: &str, more: &[&str]) -> Run {
    folder.file("cluster.yaml", CLUSTER);
    folder.file("quota.yaml", QUOTA);
    let suite = folder.file(
        "suite.yaml",
        format!("apiVersion: cli.sluice.dev/v1alpha1\nkind: Suite\nmetadata: {{name: s}}\npolicy: [quota.yaml]\ntests:\n{tests}"),
    );
    sluice(&[&["test", "-f", &suite], more].concat())
}

/// An update of the cluster to another version, which is refused while it runs.
const FROZEN: &str = "  - update: {apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: a}, spec: {state: RUNNING, flinkVersion: '2.1'}}\n";

#[test]
fn what_is_admitted_stays_for_the_next_step_and_for_no_other_test() {
    let folder = Folder::new();
    let tests = format!(
        "- name: one\n  steps:\n  - create: cluster.yaml\n{FROZEN}    expect: {{rule: immutable/session-cluster, message: ['\"1.20\" -> \"2.1\"']}}\n\
         \x20 - scale: {{kind: SessionCluster, name: a, replicas: 3}}\n    expect: {{rule: quota/cpu}}\n\
         \x20 - scale: {{kind: SessionCluster, name: a, replicas: 2}}\n    expect: {{warnings: []}}\n\
         \x20 - delete: {{kind: SessionCluster, name: a}}\n  - create: cluster.yaml\n- name: two\n  create: cluster.yaml\n"
    );
    let run = play(&folder, &tests, &[]).expect_code(0);
    assert_eq!(
        run.stdout,
        "ok      s: one\nok      s: two\n0 of 2 failed\n"
    );
    let json = play(&folder, &tests, &["-o", "json", "--filter", "one"])
        .expect_code(0)
        .json();
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    let rules: Vec<_> = json[0]["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|step| step["rule"].clone())
        .collect();
    assert_eq!(
        serde_json::Value::from(rules),
        serde_json::json!([
            null,
            "immutable/session-cluster",
            "quota/cpu",
            null,
            null,
            null
        ])
    );
}

/// A job that has come to its end costs nothing, and whatever changes its spec starts it again, `/scale` to fewer TaskManagers too.
#[test]
fn what_a_scale_to_fewer_would_start_again_is_charged() {
    let job = |name: &str, status: &str| {
        format!(
            "apiVersion: sluice.dev/v1alpha1\nkind: Deployment\nmetadata: {{name: {name}, namespace: default, generation: 2}}\nspec:\n  state: \
             RUNNING\n  template:\n    spec: {{numberOfTaskManagers: 9, artifact: {{kind: JAR, flinkVersion: '1.20', jarUri: \
             'https://example.com/a.jar'}}}}\nstatus: {{observedGeneration: 2, {status}}}\n---\n"
        )
    };
    let flink = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nmetadata: {name: ended, namespace: default, generation: 2}\nspec:\n  \
                 flinkVersion: v1_20\n  mode: standalone\n  serviceAccount: flink\n  job: {jarURI: 'local:///a.jar', state: running, upgradeMode: stateless}\n  \
                 jobManager: {resource: {cpu: 1, memory: 1Gi}}\n  taskManager: {replicas: 9, resource: {cpu: 1, memory: 1Gi}}\nstatus: \
                 {observedGeneration: 2, lifecycleState: STABLE, jobManagerDeploymentStatus: MISSING, jobStatus: {state: FINISHED}, \
                 reconciliationStatus: {state: DEPLOYED, lastReconciledSpec: '{\"spec\": {\"mode\": \"standalone\", \"flinkVersion\": \"v1_20\", \"job\": {\"state\": \"running\"}}}'}}\n";
    let folder = Folder::new();
    folder.file("quota.yaml", QUOTA);
    folder.file(
        "inventory.yaml",
        format!(
            "{}{}{flink}",
            job("ended", "state: FINISHED"),
            // Its quota was set later.
            job(
                "runs",
                "state: RUNNING, numberOfTaskManagers: 9, allocatedMilli: 10000"
            ),
        ),
    );
    let suite = folder.file(
        "suite.yaml",
        "apiVersion: cli.sluice.dev/v1alpha1\nkind: Suite\nmetadata: {name: s}\npolicy: [quota.yaml]\ninventory: [inventory.yaml]\ntests:\n- \
         name: ended\n  scale: {kind: Deployment, name: ended, replicas: 5}\n  expect: {rule: quota/cpu}\n- name: runs\n  scale: {kind: \
         Deployment, name: runs, replicas: 5}\n- name: of the operator\n  scale: {kind: FlinkDeployment, name: ended, replicas: 5}\n  expect: \
         {rule: quota/cpu}\n",
    );
    let run = sluice(&["test", "-f", &suite]).expect_code(0);
    assert_eq!(
        run.stdout,
        "ok      s: ended\nok      s: runs\nok      s: of the operator\n0 of 3 failed\n"
    );
}

#[test]
fn what_is_not_as_expected_is_told_with_place_and_message() {
    let folder = Folder::new();
    let tests = format!(
        "- name: wrong\n  steps:\n  - create: cluster.yaml\n    expect: {{allowed: false, warnings: [nothing like it]}}\n{FROZEN}"
    );
    let run = play(&folder, &tests, &[]).expect_code(1);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], "FAILED  s: wrong");
    assert!(
        lines[1].ends_with(
            "suite.yaml: line 8, column 13: create SessionCluster default/a: is admitted"
        ),
        "{}",
        run.stdout
    );
    assert!(
        lines[2].ends_with("no warning holds \"nothing like it\": "),
        "{}",
        run.stdout
    );
    assert!(
        lines[3].contains(
            "update SessionCluster default/a: is refused: sessioncluster \"a\" is RUNNING"
        ),
        "{}",
        run.stdout
    );
    assert_eq!(lines[4], "1 of 1 failed");

    let junit = play(&folder, &tests, &["-o", "junit"])
        .expect_code(1)
        .stdout;
    assert!(
        junit.contains("<testsuite name=\"s\" tests=\"1\"") && junit.contains("failures=\"1\""),
        "{junit}"
    );
    assert!(
        junit.contains("<failure message=\"create SessionCluster default/a: is admitted\""),
        "{junit}"
    );
    let sarif = play(&folder, &tests, &["-o", "sarif"])
        .expect_code(1)
        .json();
    assert_eq!(sarif["version"], "2.1.0");
    let region = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(region["startLine"], 8);
    let github = play(&folder, &tests, &["-o", "github"])
        .expect_code(1)
        .stdout;
    assert!(
        github.starts_with("::error file=")
            && github.contains(",line=8,col=13,title=wrong::create"),
        "{github}"
    );
    let suite = format!("{}/suite.yaml", folder.path());
    for format in ["table", "json", "junit", "sarif", "github"] {
        let unread = code_unread(&["test", "-f", &suite, "-o", format]);
        assert_eq!(unread, 1, "{format}: a reader that stops early");
    }
}

#[test]
fn golden_files_are_compared_and_written_only_when_asked() {
    let folder = Folder::new();
    let tests = "- name: golden\n  create: cluster.yaml\n  expect: {object: golden/a.yaml, patch: golden/a.json}\n";
    let run = play(&folder, tests, &[]).expect_code(1);
    assert!(
        run.stdout
            .contains("a.yaml does not exist; --update writes it"),
        "{}",
        run.stdout
    );
    let run = play(&folder, tests, &["--update"]).expect_code(0);
    assert!(
        run.stderr.contains("golden files written: 2;"),
        "{}",
        run.stderr
    );
    play(&folder, tests, &[]).expect_code(0);
    let golden = std::path::Path::new(&folder.path()).join("golden/a.yaml");
    let text = std::fs::read_to_string(&golden).expect("it was written");
    assert!(text.contains("numberOfTaskManagers: 1"), "{text}");
    folder.file(
        "golden/a.yaml",
        text.replace("numberOfTaskManagers: 1", "numberOfTaskManagers: 2"),
    );
    let run = play(&folder, tests, &[]).expect_code(1);
    assert!(
        run.stdout.contains(
            "`numberOfTaskManagers: 2`, but it is `numberOfTaskManagers: 1`; --update takes it over"
        ),
        "{}",
        run.stdout
    );
}

#[test]
fn a_suite_that_is_wrong_is_bad_input_that_names_the_place() {
    for (tests, message) in [
        (
            "- name: a\n  create: cluster.yaml\n  expects: {}\n",
            "line 8, column 3: a test has no key \"expects\"",
        ),
        (
            "- name: a\n  create: cluster.yaml\n  expect: {rules: quota/cpu}\n",
            "expect has no key \"rules\"",
        ),
        (
            "- name: a\n  create: cluster.yaml\n  expect: {rule: quota/cup}\n",
            "there is no rule \"quota/cup\"",
        ),
        ("- name: a\n  steps: []\n", "steps is empty"),
        ("- create: cluster.yaml\n", "name is missing"),
        (
            "- name: a\n  create: cluster.yaml\n  update: cluster.yaml\n",
            "this has 2",
        ),
        (
            "- name: a\n  update: cluster.yaml\n",
            "SessionCluster default/a does not exist here",
        ),
        (
            "- name: a\n  create: nowhere.yaml\n",
            "nowhere.yaml: No such file",
        ),
        (
            "- name: a\n  scale: {kind: SessionCluster, name: a, replicas: -1}\n",
            "a whole number of 0 or more",
        ),
        (
            "- name: a\n  scale: {kind: SessionCluster, name: a, replicas: 1}\n",
            "create it in an earlier step",
        ),
        (
            "- name: a\n  delete: {kind: Pod, name: a}\n",
            "kind Pod is none that Sluice judges",
        ),
        (
            "- name: a\n  create: quota.yaml\n  old: quota.yaml\n",
            "old goes with update",
        ),
    ] {
        let run = play(&Folder::new(), tests, &[]).expect_code(2);
        assert!(run.stderr.contains(message), "{message}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    let folder = Folder::new();
    let file = folder.file("x.yaml", CLUSTER);
    assert!(
        sluice(&["test", "-f", &file])
            .expect_code(2)
            .stderr
            .contains("this is no Suite")
    );
    assert!(
        sluice(&["test", "-f", &folder.path()])
            .expect_code(2)
            .stderr
            .contains("there is no Suite")
    );
}

#[test]
fn check_speaks_to_ci_servers_too() {
    let folder = Folder::new();
    let file = folder.file("x.yaml", CLUSTER.replace("'1.20'", "1.20"));
    let github = sluice(&["check", "-f", &file, "-o", "github"])
        .expect_code(1)
        .stdout;
    assert!(
        github.contains("line=1,col=1,title=create SessionCluster default/a::sessioncluster \"a\": spec.flinkVersion"),
        "{github}"
    );
    let sarif = sluice(&["check", "-f", &file, "-o", "sarif"])
        .expect_code(1)
        .json();
    let run = &sarif["runs"][0];
    assert_eq!(run["results"][0]["ruleId"], "session-cluster/flink-version");
    assert_eq!(
        run["tool"]["driver"]["rules"][0]["id"],
        "session-cluster/flink-version"
    );
    let place = |result: &Value| {
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].clone()
    };
    let odd = folder.file("my app#1.yaml", CLUSTER.replace("'1.20'", "1.20"));
    let sarif = sluice(&["check", "-f", &odd, "-o", "sarif"])
        .expect_code(1)
        .json();
    let uri = place(&sarif["runs"][0]["results"][0]);
    assert!(
        uri.as_str()
            .is_some_and(|uri| uri.ends_with("/my%20app%231.yaml")),
        "{uri}"
    );
    let text = std::fs::read(&odd).expect("the file");
    let sarif = sluice_with(&text, &["check", "-f", "-", "-o", "sarif"])
        .expect_code(1)
        .json();
    assert_eq!(place(&sarif["runs"][0]["results"][0]), "stdin");
    let junit = sluice(&["check", "-f", &file, "-o", "junit"])
        .expect_code(1)
        .stdout;
    assert!(
        junit.contains("type=\"session-cluster/flink-version\""),
        "{junit}"
    );
}
