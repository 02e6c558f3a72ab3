//! `sluice check`, by the real binary: contract, order, quota, updates, look-ups.

#![allow(clippy::expect_used, clippy::panic)] // tests

mod support;

use serde_json::{Value, json};
use support::{Folder, Run, code_unread, seed, sluice, sluice_with};

fn cluster(name: &str, state: &str, task_managers: u32) -> String {
    format!(
        "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata:\n  name: {name}\n  namespace: team-a\nspec:\n  state: {state}\n  \
         flinkVersion: \"1.20\"\n  numberOfTaskManagers: {task_managers}\n---\n"
    )
}

fn quota(cpu: u32, more: &str) -> String {
    format!(
        "apiVersion: sluice.dev/v1alpha1\nkind: CpuQuota\nmetadata: {{name: default, namespace: team-a}}\nspec: {{hard: {{cpu: \
         {cpu}}}{more}}}\n---\n"
    )
}

/// Files of one run, by argument.
struct Files(Folder, Vec<String>);

impl Files {
    fn new() -> Self {
        Self(Folder::new(), vec!["check".to_owned()])
    }

    fn give(mut self, argument: &str, content: &str) -> Self {
        let path = self.0.file(
            &format!("{}{}.yaml", argument.trim_matches('-'), self.1.len()),
            content,
        );
        self.1.extend([argument.to_owned(), path]);
        self
    }

    fn run(&self, more: &[&str]) -> Run {
        let args: Vec<&str> = self
            .1
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        sluice(&args)
    }

    #[track_caller]
    fn verdicts(&self, code: i32) -> Vec<Value> {
        let run = self.run(&["-o", "json"]).expect_code(code);
        run.json().as_array().expect("one array").clone()
    }
}

fn allowed(verdicts: &[Value]) -> Vec<bool> {
    verdicts
        .iter()
        .map(|verdict| verdict["allowed"].as_bool().expect("a boolean"))
        .collect()
}

#[test]
fn an_element_has_exactly_the_fields_of_the_contract() {
    let manifest = "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {name: analytics}\nspec: {state: running, \
                    flinkVersion: 1.20.1, numberOfTaskManagers: 2}\n";
    let verdicts = Files::new().give("-f", manifest).verdicts(0);
    let [verdict] = verdicts.as_slice() else {
        panic!("{verdicts:?}")
    };
    let fields: Vec<&str> = verdict
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        fields,
        [
            "apiVersion",
            "kind",
            "namespace",
            "name",
            "operation",
            "allowed",
            "rule",
            "code",
            "message",
            "causes",
            "warnings",
            "chargeMilli",
            "patch",
            "object"
        ]
    );
    let mut seen = verdict.clone();
    let patch = seen["patch"].take();
    let object = seen["object"].take();
    assert_eq!(
        seen,
        json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "namespace": "default", "name": "analytics",
            "operation": "CREATE", "allowed": true, "rule": null, "code": null, "message": null, "causes": [], "warnings": [],
            "chargeMilli": 3000, "patch": null, "object": null,
        })
    );
    assert!(
        patch
            .as_array()
            .expect("RFC 6902")
            .contains(&json!({"op": "replace", "path": "/spec/state", "value": "RUNNING"})),
        "{patch}"
    );
    assert_eq!(object["spec"]["state"], "RUNNING");
    assert_eq!(object["spec"]["resources"]["taskmanager"]["cpu"], 1);
    assert_eq!(object["metadata"]["generation"], 1);
    assert_eq!(object["metadata"]["namespace"], "default");
}

#[test]
fn a_refusal_names_rule_code_and_every_field() {
    let manifest = "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {name: analytics}\nspec:\n  state: sleeping\n  \
                    flinkVersion: 1.20\n  resources: {jobmanager: {cpu: 0.01}}\n";
    let verdicts = Files::new().give("-f", manifest).verdicts(1);
    let [verdict] = verdicts.as_slice() else {
        panic!("{verdicts:?}")
    };
    assert_eq!(verdict["allowed"], false);
    assert_eq!(verdict["code"], 422);
    let rule = verdict["rule"].as_str().expect("a rule");
    assert!(
        verdict["message"]
            .as_str()
            .expect("a message")
            .ends_with(&format!("[{rule}]")),
        "{verdict}"
    );
    insta::assert_json_snapshot!("refusal", verdict["causes"]);
    insta::assert_snapshot!(
        "refusal_table",
        Files::new()
            .give("-f", manifest)
            .run(&[])
            .expect_code(1)
            .stdout
    );
}

#[test]
fn a_reader_that_stops_early_makes_no_refusal_an_admission() {
    let folder = Folder::new();
    let wrong = folder.file(
        "wrong.yaml",
        cluster("a", "RUNNING", 1).replace("\"1.20\"", "1.1"),
    );
    let right = folder.file("right.yaml", cluster("a", "RUNNING", 1));
    for format in ["table", "json", "junit", "sarif", "github"] {
        let code = |file: &str| code_unread(&["check", "-f", file, "-o", format]);
        assert_eq!(code(&wrong), 1, "{format}");
        assert_eq!(code(&right), 0, "{format}");
    }
    assert_eq!(
        code_unread(&["rules"]),
        0,
        "a list has no verdict to be lost"
    );
    let changed = folder.file(
        "short.yaml",
        cluster("a", "RUNNING", 1).replace("  numberOfTaskManagers: 1\n", ""),
    );
    assert_eq!(code_unread(&["render", "-f", &changed]), 1);
}

#[test]
fn objects_are_judged_in_order_and_use_up_the_quota() {
    let manifests = [
        cluster("one", "RUNNING", 5),
        cluster("two", "RUNNING", 5),
        cluster("three", "RUNNING", 3),
        cluster("four", "STOPPED", 99),
    ]
    .concat();
    let files = Files::new()
        .give("-f", &manifests)
        .give("--policy", &quota(10, ""));
    let verdicts = files.verdicts(1);
    assert_eq!(allowed(&verdicts), [true, false, true, true]);
    assert_eq!(verdicts[1]["rule"], "quota/cpu");
    assert_eq!(verdicts[1]["code"], 403);
    assert_eq!(
        verdicts[1]["message"],
        "CpuQuota \"team-a/default\": starting sessioncluster \"two\" needs 6 CPU; 4 of 10 are free (6 in use, 0 reserved). Stop a \
         workload or ask for 2 more CPU. [quota/cpu]"
    );
    assert_eq!(verdicts[1]["chargeMilli"], 6000);
    assert_eq!(verdicts[3]["chargeMilli"], 0);
    insta::assert_snapshot!("order_table", files.run(&[]).expect_code(1).stdout);
}

#[test]
fn what_exists_counts_unless_it_is_stopped() {
    let existing = [cluster("old", "RUNNING", 7), cluster("idle", "STOPPED", 50)].concat();
    let files = Files::new()
        .give("-f", &cluster("new", "RUNNING", 2))
        .give("--policy", &quota(10, ""))
        .give("--inventory", &existing);
    let verdicts = files.verdicts(1);
    assert!(
        verdicts[0]["message"]
            .as_str()
            .expect("a message")
            .contains("2 of 10 are free (8 in use"),
        "{}",
        verdicts[0]["message"]
    );
    let files = Files::new()
        .give("-f", &cluster("new", "RUNNING", 1))
        .give("--policy", &quota(10, ""))
        .give("--inventory", &existing);
    assert_eq!(allowed(&files.verdicts(0)), [true]);
}

/// What is in use of the quota of team-a, as the refusal of one more cluster tells.
#[track_caller]
fn in_use(policy: &str, argument: &str, existing: &str) -> String {
    let verdicts = Files::new()
        .give("-f", &cluster("one-more", "RUNNING", 1))
        .give("--policy", &format!("{}{policy}", quota(1, "")))
        .give(argument, existing)
        .verdicts(1);
    let message = verdicts
        .first()
        .and_then(|verdict| verdict["message"].as_str());
    let (_, rest) = message
        .expect("a message")
        .split_once(" are free (")
        .expect("a figure");
    rest.split(' ').next().expect("a figure").to_owned()
}

const DEFAULTS: &str = "apiVersion: sluice.dev/v1alpha1\nkind: DeploymentDefaults\nmetadata: {name: default, namespace: team-a}\nspec: \
                        {sessionCluster: {resources: {taskmanager: {cpu: 3}}}, flinkDeployment: {taskManager: {resource: {cpu: 4}}}}\n---\n";

#[test]
fn an_object_costs_the_same_wherever_it_is_given() {
    let spelled = cluster("a", "running", 5)
        .replace("TaskManagers: 5", "TaskManagers: \"5\"")
        .replace(
            "---",
            "  resources: {jobManager: {cpu: 2}, taskManager: {cpu: 500m}}\n---",
        );
    let session = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nmetadata: {name: s, namespace: team-a}\nspec:\n  flinkVersion: \
                   v1_20\n  serviceAccount: flink\n  jobManager: {resource: {cpu: 1, memory: 1Gi}}\n  taskManager: {resource: {memory: 1Gi}}\n";
    let job = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkSessionJob\nmetadata: {name: j, namespace: team-a}\nspec: {deploymentName: s, \
               job: {jarURI: 'https://example.com/a.jar', parallelism: 2, upgradeMode: stateless, state: running}}\n---\n";
    let session_and_job = format!("{session}---\n{job}");
    for (policy, objects, cpu) in [
        ("", spelled.as_str(), "4.5"),
        (DEFAULTS, &cluster("a", "RUNNING", 2), "7"),
        (DEFAULTS, &session_and_job, "9"),
    ] {
        let mut files = Files::new().give("-f", objects);
        if !policy.is_empty() {
            files = files.give("--policy", policy);
        }
        let charges = files
            .verdicts(0)
            .iter()
            .map(|verdict| verdict["chargeMilli"].as_f64().expect("a charge"))
            .sum::<f64>()
            / 1000.0;
        assert_eq!(charges.to_string(), cpu, "{objects}");
        for argument in ["--inventory", "--old"] {
            assert_eq!(
                in_use(policy, argument, objects),
                cpu,
                "{argument} {objects}"
            );
        }
        // Settings count wherever they stand among the objects.
        assert_eq!(
            in_use("", "--inventory", &format!("{objects}{policy}")),
            cpu,
            "{objects}"
        );
    }
}

#[test]
fn what_an_api_server_has_stored_costs_what_it_cost_there() {
    let short = cluster("a", "RUNNING", 2);
    let mut stored = Files::new().give("-f", &short).verdicts(0)[0]["object"].take();
    let imposed = format!(
        "{DEFAULTS}apiVersion: sluice.dev/v1alpha1\nkind: Environment\nmetadata: {{name: prod}}\nspec: {{namespaces: ['*'], sessionCluster: \
         {{resources: {{jobmanager: {{cpu: 9}}}}}}}}\n"
    );
    assert_eq!(in_use(&imposed, "--inventory", &short), "15");
    assert_eq!(in_use(&imposed, "--inventory", &stored.to_string()), "3");
    // It has been stopped, and its pods are not gone yet.
    stored["spec"]["state"] = json!("STOPPED");
    stored["metadata"]["generation"] = json!(2);
    stored["status"] = json!({"state": "RUNNING", "observedGeneration": 1, "numberOfTaskManagers": 2, "allocatedMilli": 2500});
    assert_eq!(in_use(&imposed, "--inventory", &stored.to_string()), "2.5");
}

#[test]
fn quotas_of_the_cluster_and_of_other_namespaces() {
    let all = |namespaces: &str| {
        format!(
            "apiVersion: sluice.dev/v1alpha1\nkind: ClusterCpuQuota\nmetadata: {{name: company}}\nspec: {{hard: {{cpu: \"2500m\"}}, \
             namespaces: [{namespaces}]}}\n---\n{}",
            quota(1, "").replace("team-a", "team-b")
        )
    };
    let files = |namespaces: &str| {
        Files::new()
            .give("-f", &cluster("a", "RUNNING", 2))
            .give("--policy", &all(namespaces))
    };
    let verdicts = files("'*'").verdicts(1);
    assert!(
        verdicts[0]["message"]
            .as_str()
            .expect("a message")
            .starts_with("ClusterCpuQuota \"company\": "),
        "{}",
        verdicts[0]["message"]
    );
    assert_eq!(allowed(&files("team-a").verdicts(1)), [false]);
    assert_eq!(allowed(&files("team-c").verdicts(0)), [true]);
}

#[test]
fn an_update_is_judged_against_what_is_stored() {
    let running = cluster("a", "RUNNING", 2);
    let bigger = cluster("a", "RUNNING", 4).replace("1.20", "1.19");
    let files = Files::new().give("-f", &bigger).give("--old", &running);
    let verdicts = files.verdicts(1);
    assert_eq!(verdicts[0]["operation"], "UPDATE");
    assert_eq!(verdicts[0]["rule"], "immutable/session-cluster");
    assert_eq!(verdicts[0]["code"], 403);
    assert!(
        verdicts[0]["message"]
            .as_str()
            .expect("a message")
            .contains("spec.flinkVersion \"1.20\" -> \"1.19\""),
        "{verdicts:?}"
    );

    // Two more TaskManagers are let through; the stored object's CPU is in use and is not charged twice.
    let files = Files::new()
        .give("-f", &cluster("a", "RUNNING", 4))
        .give("--old", &running)
        .give("--policy", &quota(5, ", onGrowth: Enforce"));
    let verdicts = files.verdicts(0);
    assert_eq!(verdicts[0]["chargeMilli"], 5000);
    assert_eq!(verdicts[0]["object"]["metadata"]["generation"], 2);
    let growth = |on_growth: &str, task_managers| {
        Files::new()
            .give("-f", &cluster("a", "RUNNING", task_managers))
            .give("--old", &running)
            .give("--policy", &quota(5, &format!(", onGrowth: {on_growth}")))
    };
    let refused = growth("Enforce", 5).verdicts(1);
    assert!(
        refused[0]["message"]
            .as_str()
            .expect("a message")
            .contains("growing sessioncluster \"a\" needs 3 more CPU; 2 of 5"),
        "{refused:?}"
    );
    let warned = growth("Warn", 5).verdicts(0);
    assert!(
        warned[0]["warnings"][0]
            .as_str()
            .expect("a warning")
            .contains("was admitted past the quota"),
        "{warned:?}"
    );
    assert_eq!(growth("Ignore", 5).verdicts(0)[0]["warnings"], json!([]));

    // Nothing changes: nothing is touched.
    let again = Files::new()
        .give("-f", &running)
        .give("--old", &running)
        .verdicts(0);
    assert_eq!(again[0]["object"]["metadata"]["generation"], 1);
}

#[test]
fn the_second_of_two_requests_for_one_object_is_an_update() {
    let verdicts = Files::new()
        .give(
            "-f",
            &format!(
                "{}{}",
                cluster("a", "STOPPED", 2),
                cluster("a", "RUNNING", 2)
            ),
        )
        .verdicts(0);
    assert_eq!(
        (&verdicts[0]["operation"], &verdicts[1]["operation"]),
        (&json!("CREATE"), &json!("UPDATE"))
    );
    assert_eq!(verdicts[1]["object"]["metadata"]["generation"], 2);
    assert_eq!(
        verdicts[1]["object"]["metadata"]["uid"],
        verdicts[0]["object"]["metadata"]["uid"]
    );
}

#[test]
fn modes_of_the_namespace_soften_the_verdict() {
    let files = |mode: &str| {
        let namespace = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: team-a, labels: {{sluice.dev/quota: {mode}}}}}\n"
        );
        Files::new()
            .give("-f", &cluster("a", "RUNNING", 2))
            .give("--policy", &format!("{}{namespace}", quota(1, "")))
    };
    assert_eq!(allowed(&files("enforce").verdicts(1)), [false]);
    let warned = files("warn").verdicts(0);
    assert!(
        warned[0]["warnings"][0]
            .as_str()
            .expect("a warning")
            .contains("[quota/cpu]"),
        "{warned:?}"
    );
    assert_eq!(files("off").verdicts(0)[0]["warnings"], json!([]));
    assert_eq!(
        allowed(&files("offf").verdicts(1)),
        [false],
        "a typing error never opens the gate"
    );
}

#[test]
fn defaults_of_admins_are_filled_in_with_theirs_first() {
    let policy = "apiVersion: sluice.dev/v1alpha1\nkind: DeploymentDefaults\nmetadata: {name: default, namespace: team-a}\nspec: \
                  {sessionCluster: {numberOfTaskManagers: 3}}\n---\napiVersion: sluice.dev/v1alpha1\nkind: \
                  ClusterDeploymentDefaults\nmetadata: {name: all}\nspec: {sessionCluster: {numberOfTaskManagers: 9, flinkVersion: \
                  '1.19'}}\n---\napiVersion: sluice.dev/v1alpha1\nkind: Environment\nmetadata: {name: prod}\nspec: {namespaces: [team-a], \
                  sessionCluster: {flinkConfiguration: {a.b: c}}}\n";
    let manifest = "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {name: a}\nspec: {flinkConfiguration: {a.b: mine}}\n";
    let files = Files::new().give("-f", manifest).give("--policy", policy);
    let run = files.run(&["-o", "json", "-n", "team-a"]).expect_code(0);
    let spec = &run.json()[0]["object"]["spec"];
    assert_eq!(
        (&spec["numberOfTaskManagers"], &spec["flinkVersion"]),
        (&json!(3), &json!("1.19"))
    );
    assert_eq!(
        spec["flinkConfiguration"]["a.b"], "c",
        "an Environment wins over the user"
    );
}

#[test]
fn kinds_that_never_reach_the_gate_are_told_on_stderr() {
    let run = sluice_with(
        b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        &["check", "-f", "-", "-o", "json"],
    )
    .expect_code(0);
    let verdict = &run.json()[0];
    assert_eq!(
        (&verdict["allowed"], &verdict["rule"], &verdict["kind"]),
        (&json!(true), &json!(null), &json!("ConfigMap"))
    );
    assert_eq!(
        run.stderr,
        "sluice: note: ConfigMap default/a is not judged: its kind never reaches the gate\n"
    );
}

/// What is said of a kind beside one that is fine.
fn of_kind(api_version: &str, kind: &str) -> Run {
    let object = format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n");
    Files::new()
        .give("-f", &cluster("a", "STOPPED", 1))
        .give("-f", &object)
        .run(&["-o", "json"])
}

/// As an API server says "no matches for kind": what the gate never sees is not what it has nothing to say about.
#[test]
fn a_kind_that_nobody_serves_is_bad_input_that_names_the_right_one() {
    for (api_version, kind, said) in [
        (
            "sluice.dev/v1alpha1",
            "SesionCluster",
            "line 2, column 7: kind SesionCluster is none of sluice.dev; did you mean SessionCluster?\n",
        ),
        (
            "sluice.dev/v1alpha1",
            "sessioncluster",
            "line 2, column 7: kind sessioncluster is none of sluice.dev; did you mean SessionCluster?\n",
        ),
        (
            "sluice.dev/v1alpha1",
            "FlinkDeployment",
            "kind FlinkDeployment is none of sluice.dev; write apiVersion: flink.apache.org/v1beta1\n",
        ),
        (
            "sluice.dev/v1alpha1",
            "Pipeline",
            "kind Pipeline is none of sluice.dev; its kinds are SessionCluster, SessionJob, Deployment, ",
        ),
        (
            "sluice.dev/v2",
            "SessionCluster",
            "line 1, column 13: apiVersion sluice.dev/v2 of SessionCluster is not known to this version of Sluice; write apiVersion: \
             sluice.dev/v1alpha1\n",
        ),
        (
            "sluice.dev/v1",
            "Savepoint",
            "write apiVersion: sluice.dev/v1alpha1\n",
        ),
        (
            "flink.apache.org/v1alpha1",
            "FlinkDeployment",
            "write apiVersion: flink.apache.org/v1beta1\n",
        ),
    ] {
        let run = of_kind(api_version, kind).expect_code(2);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn kinds_and_groups_of_others_are_spelled_right_too() {
    for (api_version, kind, said) in [
        (
            "v1",
            "DeploymentTarget",
            "line 1, column 13: kind DeploymentTarget of apiVersion v1 is Ververica Platform's, and no API server knows it; turn it into \
             Sluice's with `sluice convert`\n",
        ),
        (
            "v1",
            "Deployment",
            "with `sluice convert`; that of Kubernetes is of apiVersion: apps/v1\n",
        ),
        (
            "flink.apache.org/v1beta1",
            "FlinkDeploymnt",
            "line 2, column 7: kind FlinkDeploymnt is none of flink.apache.org; did you mean FlinkDeployment?\n",
        ),
        (
            "flink.apache.org/v1beta1",
            "FlinkApplication",
            "write apiVersion: cmf.confluent.io/v1 or apiVersion: platform.confluent.io/v1beta1\n",
        ),
        (
            "platform.confluent.io/v1beta1",
            "FlinkSessionJob",
            "kind FlinkSessionJob is none of platform.confluent.io; write apiVersion: flink.apache.org/v1beta1\n",
        ),
        (
            "fink.apache.org/v1beta1",
            "FlinkDeployment",
            "line 1, column 13: apiVersion fink.apache.org/v1beta1 of FlinkDeployment is not known; did you mean flink.apache.org/v1beta1?\n",
        ),
        (
            "sluice.de/v1alpha1",
            "Job",
            "did you mean sluice.dev/v1alpha1?\n",
        ),
        (
            "apps/v1",
            "FlinkDeployment",
            "apiVersion apps/v1 has no kind FlinkDeployment; write apiVersion: flink.apache.org/v1beta1\n",
        ),
        (
            "flink.apache.org",
            "FlinkDeployment",
            "write apiVersion: flink.apache.org/v1beta1\n",
        ),
    ] {
        let run = of_kind(api_version, kind).expect_code(2);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    for (api_version, kind) in [
        ("sluice.dev/v1alpha1", "Savepoint"),
        ("flink.apache.org/v1beta1", "FlinkBlueGreenDeployment"),
        ("flink.apache.org/v1", "FlinkBlueGreenDeployment"),
        ("flink.apache.org/v1beta1", "FlinkCatalog"),
        ("cmf.confluent.io/v1alpha1", "ComputePool"),
        ("cmf.confluent.io/v1", "Environment"),
        ("platform.confluent.io/v1beta1", "FlinkEnvironment"),
        ("flink.k8s.io/v1beta1", "FlinkApplication"), // Lyft's
        ("apps/v1", "Deployment"),
        ("batch/v1", "Job"),
    ] {
        let run = of_kind(api_version, kind).expect_code(0);
        assert!(
            run.stderr.contains("never reaches the gate"),
            "{}",
            run.stderr
        );
    }
}

/// As an API server says "cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string".
#[test]
fn labels_and_annotations_are_texts() {
    let check = |metadata: &str| {
        let more = format!("metadata:\n  name: a\n  {metadata}\n");
        Files::new()
            .give(
                "-f",
                &cluster("a", "STOPPED", 1).replace("metadata:\n  name: a\n", &more),
            )
            .run(&[])
    };
    for (metadata, said) in [
        (
            "labels: {version: 1.20}",
            "line 5, column 21: metadata.labels.version is a number, not a text; quote it: \"1.20\"\n",
        ),
        (
            "annotations: {a: b, prod: yes}",
            "line 5, column 29: metadata.annotations.prod is a boolean, not a text; quote it: \"yes\"\n",
        ),
        (
            "labels: {a.b/c: [x]}",
            "line 5, column 19: metadata.labels[a.b/c] is a list, not a text\n",
        ),
        (
            "labels: [x]",
            "line 5, column 11: metadata.labels is a list, not a map of texts\n",
        ),
    ] {
        let run = check(metadata).expect_code(2);
        assert!(run.stderr.ends_with(said), "{said}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    for metadata in [
        "labels: {version: '1.20', empty: }",
        "labels:",
        "annotations: {a: null, b: ~, c: 1.2.3}",
    ] {
        check(metadata).expect_code(0);
    }
}

/// As an API server says "a lowercase RFC 1123 label must consist of ...", and as it validates keys and values of labels.
#[test]
fn namespaces_and_labels_are_written_as_kubernetes_wants_them() {
    let good = cluster("a", "STOPPED", 1);
    let meta = |more: &str| good.replace("team-a", &format!("team-a\n  {more}"));
    let long = "a".repeat(64);
    for (manifest, said) in [
        (
            good.replace("team-a", "T_x"),
            "line 5, column 14: metadata.namespace: \"T_x\" is no name of a namespace; write at most 63 of a-z, 0-9 and '-', no '-' first or last\n",
        ),
        (
            good.replace("team-a", &long),
            "a\" is no name of a namespace; write at most 63 of",
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: T_x}\n".to_owned(),
            "line 3, column 18: metadata.name: \"T_x\" is no name of a namespace; ",
        ),
        (
            meta("labels: {team: Team A}"),
            "line 6, column 18: metadata.labels.team: \"Team A\" is no value of a label; write at most 63 letters, digits, '-', '_' or '.', ",
        ),
        (
            meta("labels: {a b: c}"),
            "line 6, column 12: metadata.labels: \"a b\" is no key that Kubernetes takes; ",
        ),
        (
            meta("annotations: {a/b/c: d}"),
            "metadata.annotations: \"a/b/c\" is no key that Kubernetes takes; ",
        ),
    ] {
        let run = Files::new().give("-f", &manifest).run(&[]).expect_code(2);
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        assert_eq!(run.stdout, "");
    }
    let nowhere = good.replace("  namespace: team-a\n", "");
    let run = Files::new()
        .give("-f", &nowhere)
        .run(&["-n", "Team A"])
        .expect_code(2);
    let said = "names no namespace and goes to that of --namespace, or of its suite: \"Team A\" is no name of a namespace; ";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let run = sluice(&["manifests", "--namespace", "Bad Ns"]).expect_code(2);
    assert!(
        run.stderr
            .contains("\"Bad Ns\" is no name of a namespace; "),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout, "");
    let fine = meta(
        "labels: {example.com/Team_A: B.c_d-1, e: ''}\n  annotations: {Example.com/x: Any thing}",
    );
    Files::new().give("-f", &fine).run(&[]).expect_code(0);
}

#[test]
fn a_list_whose_items_are_none_is_bad_input() {
    for (list, said) in [
        (
            "v1\nkind: List\nitems: {}\n",
            "line 3, column 8: items of List is a map, not a list; one without objects has items: []\n",
        ),
        (
            "v1\nkind: List\n",
            "line 1, column 1: List has no items; one without objects has items: []\n",
        ),
        (
            "flink.apache.org/v1beta1\nkind: FlinkDeploymentList\nitems: none\n",
            "items of FlinkDeploymentList is a text, not a list; ",
        ),
        (
            "v1\nkind: List\nitems: [{apiVersion: v1, kind: List, items: []}]\n",
            "this List is part of another list; give its items by themselves\n",
        ),
    ] {
        for metadata in ["", "metadata: {name: a}\n"] {
            let list = format!("apiVersion: {list}{metadata}");
            let run = Files::new().give("-f", &list).run(&[]).expect_code(2);
            assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
        }
    }
    let empty = "apiVersion: v1\nkind: List\nmetadata: {resourceVersion: ''}\nitems: []\n";
    let files = Files::new().give("-f", &cluster("a", "STOPPED", 1));
    files
        .give("--inventory", empty)
        .give("--policy", empty)
        .run(&[])
        .expect_code(0);
}

/// `kubectl get … -o yaml | sluice check -f -` where nothing is selected: nothing is wrong, and somebody may be surprised.
#[test]
fn lists_without_objects_are_told() {
    let files = Files::new().give("-f", "apiVersion: v1\nkind: List\nitems: []\n");
    let run = files.run(&["-o", "json"]).expect_code(0);
    assert_eq!(run.stdout.trim(), "[]");
    let said = "nothing is judged: there are only lists without objects";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    let files = files.give("-f", &cluster("a", "STOPPED", 1));
    let run = files.run(&[]).expect_code(0);
    assert!(!run.stderr.contains(said), "{}", run.stderr);
}

#[test]
fn a_setting_that_sets_nothing_is_told_on_stderr() {
    let config_map = |name: &str, file: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{{file}: ''}}\n---\n"
        )
    };
    let all = [
        config_map("flink-operator-config", "config.yaml"),
        config_map("operator", "flink-conf.yaml"),
        config_map("other", "x"),
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a}\n---\n".to_owned(),
        quota(9, ""),
    ];
    let files = Files::new()
        .give("-f", &cluster("a", "STOPPED", 1))
        .give("--policy", &all.concat());
    let run = files.run(&[]).expect_code(0);
    let notes: Vec<&str> = run.stderr.lines().collect();
    let [operator, other] = notes.as_slice() else {
        panic!("{notes:?}")
    };
    assert!(
        operator.ends_with(
            "line 6, column 1: ConfigMap default/operator sets nothing here: the Apache operator's configuration is read from a ConfigMap \
             that is called flink-operator-config; if it is this, call it so"
        ),
        "{operator}"
    );
    assert!(
        other
            .contains("ConfigMap default/other sets nothing here: settings are quotas, defaults, "),
        "{other}"
    );
}

#[test]
fn defaults_of_ververica_platform_that_were_not_converted_are_no_settings() {
    let defaults = "apiVersion: v1\nkind: DeploymentDefaults\nmetadata: {name: a}\nspec: {}\n";
    let files = Files::new().give("-f", &cluster("a", "STOPPED", 1));
    let run = files.give("--policy", defaults).run(&[]).expect_code(2);
    assert!(
        run.stderr
            .ends_with("turn it into Sluice's with `sluice convert`\n"),
        "{}",
        run.stderr
    );
}

#[test]
fn lists_are_judged_item_by_item() {
    let item = |name: &str| json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name}, "spec": {"flinkVersion": "1.20"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [item("a"), item("b")]});
    let run = sluice_with(
        list.to_string().as_bytes(),
        &["check", "-f", "-", "-o", "json"],
    )
    .expect_code(0);
    assert_eq!(
        (&run.json()[0]["name"], &run.json()[1]["name"]),
        (&json!("a"), &json!("b"))
    );
}

#[test]
fn a_folder_without_manifests_is_told_how_its_folders_are_read() {
    let folder = Folder::new();
    let path = folder.path();
    folder.file("below/a.yaml", cluster("a", "STOPPED", 1));
    let said = |args: &[&str]| {
        let run = sluice(args).expect_code(2);
        run.stderr.trim_end().to_owned()
    };
    let nothing = format!(
        "sluice: {path}: there is no object in the .yaml, .yml and .json files of this folder"
    );
    assert_eq!(
        said(&["check", "-f", &path]),
        format!("{nothing}; -R reads the folders in it too")
    );
    sluice(&["check", "-R", "-f", &path]).expect_code(0);
    let empty = Folder::new();
    assert_eq!(
        said(&["check", "-R", "-f", &empty.path()]),
        format!(
            "{} and the folders in it; is this the right folder?",
            nothing.replace(&path, &empty.path())
        )
    );
    // Where there is no -R, none is offered.
    let log = folder.file("log", "");
    assert_eq!(
        said(&["replay", "-f", &log, "--policy", &path]),
        format!("{nothing}; is this the right folder?")
    );
}

/// `kubectl get … -o json | jq '.items[]' | sluice check -f -`, as kubectl apply takes it.
#[test]
fn json_objects_may_follow_one_another() {
    let item = |name: &str| {
        format!(
            "{{\n  \"apiVersion\": \"sluice.dev/v1alpha1\", \"kind\": \"SessionCluster\", \"metadata\": {{\"name\": \"{name}\"}},\n  \
             \"spec\": {{\"flinkVersion\": \"1.20\"}}\n}}"
        )
    };
    let stdin = |text: &str| sluice_with(text.as_bytes(), &["check", "-f", "-", "-o", "github"]);
    let three = format!("{}\n{}{}\n", item("a"), item("b"), item("c"));
    let run = sluice_with(three.as_bytes(), &["check", "-f", "-", "-o", "json"]).expect_code(0);
    let verdicts = run.json();
    let names: Vec<&Value> = verdicts
        .as_array()
        .expect("one array")
        .iter()
        .map(|verdict| &verdict["name"])
        .collect();
    assert_eq!(names, ["a", "b", "c"]);
    let wrong = three.replace("\"c\"", "7");
    let run = stdin(&wrong).expect_code(2);
    assert!(
        run.stderr
            .contains("standard input: line 9, column 87: metadata.name is a number"),
        "{}",
        run.stderr
    );
    let cut = three.trim_end().trim_end_matches('}');
    let run = stdin(cut).expect_code(2);
    assert!(
        run.stderr
            .contains("standard input: line 8, column 2: unclosed bracket '{'"),
        "{}",
        run.stderr
    );
}

#[test]
fn bad_input_is_told_with_file_line_and_column() {
    let mut bad = vec![
        (
            "a:\n\tb: 1\n".to_owned().into_bytes(),
            "bad.yaml: line 2, column ",
            "tab",
        ),
        (
            b"a: 1\nb: 2\na: 3\n".to_vec(),
            "bad.yaml: line 3, column 1: ",
            "for the second time; first in line 1, column 1",
        ),
        (
            Vec::new(),
            "bad.yaml: line 1, column 1: ",
            "there is no object in it",
        ),
        (
            b"# nothing\n".to_vec(),
            "bad.yaml: line 1, column 1: ",
            "there is no object in it",
        ),
        (b"kind: [\n".to_vec(), "bad.yaml: line ", "column"),
        (
            b"- 1\n".to_vec(),
            "bad.yaml: line 1, column 1: ",
            "expected an object (apiVersion, kind, ...), found a list",
        ),
        (
            b"kind: X\nmetadata: {name: a}\n".to_vec(),
            "bad.yaml: line 1, column 1: ",
            "apiVersion is missing",
        ),
        (
            b"apiVersion: 1\nkind: X\n".to_vec(),
            "bad.yaml: line 1, column 13: ",
            "apiVersion is a number, not a word",
        ),
        (
            b"apiVersion: v1\nkind: X\n".to_vec(),
            "bad.yaml: line 1, column 1: ",
            "metadata is missing",
        ),
        (
            b"apiVersion: v1\nkind: X\nmetadata:\n  name:\n".to_vec(),
            "bad.yaml: line 4, column ",
            "metadata.name is empty",
        ),
        (
            b"apiVersion: v1\nkind: X\nmetadata: {name: 1}\n".to_vec(),
            "bad.yaml: line 3, column 18: ",
            "metadata.name is a number",
        ),
        (
            b"a: \xff\n".to_vec(),
            "bad.yaml: line 1, column 4: ",
            "not UTF-8",
        ),
        (b"{\"a\": 1".to_vec(), "bad.yaml: line 1, column ", ""),
    ];
    bad.push((
        format!("a: {}{}\n", "[".repeat(5000), "]".repeat(5000)).into_bytes(),
        "bad.yaml: line 1, column ",
        "levels deep",
    ));
    let folder = Folder::new();
    for (content, place, message) in bad {
        let path = folder.file("bad.yaml", &content);
        for argument in ["-f", "--old", "--policy", "--inventory"] {
            let good = folder.file("good.yaml", cluster("a", "STOPPED", 1));
            let run = sluice(&["check", "-o", "json", "-f", &good, argument, &path]).expect_code(2);
            assert_eq!(run.stdout, "");
            assert!(
                run.stderr.contains(place) && run.stderr.contains(message),
                "{place} {message}: {}",
                run.stderr
            );
        }
    }
}

#[test]
fn bad_usage() {
    assert!(
        sluice(&["check"])
            .expect_code(2)
            .stderr
            .contains("--filename <FILE>")
    );
    assert!(
        sluice(&["check", "-f", "-", "--old", "-"])
            .expect_code(2)
            .stderr
            .contains("standard input can be read only once")
    );
    assert!(
        sluice(&["check", "-f", "a", "-o", "xml"])
            .expect_code(2)
            .stderr
            .contains("possible values: table, json")
    );
    assert!(
        sluice(&["chekc"]).expect_code(2).stderr.contains("check"),
        "a near miss is suggested"
    );
}

#[test]
fn a_quota_that_cannot_be_read_is_bad_input() {
    let bad = quota(1, "").replace("cpu: 1", "cpu: many");
    let run = Files::new()
        .give("-f", &cluster("a", "STOPPED", 1))
        .give("--policy", &bad)
        .run(&[])
        .expect_code(2);
    assert!(
        run.stderr.contains("line 1, column 1: ") && run.stderr.contains("hard.cpu"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_quota_that_the_gate_admits_counts_as_the_gate_stores_it() {
    for argument in ["--policy", "--inventory"] {
        let growing = |on_growth: &str| {
            Files::new()
                .give("-f", &cluster("a", "RUNNING", 5))
                .give("--old", &cluster("a", "RUNNING", 2))
                .give(argument, &quota(5, &format!(", onGrowth: {on_growth}")))
                .verdicts(i32::from(on_growth == "enforce"))
        };
        assert_eq!(growing("enforce")[0]["rule"], "quota/cpu", "{argument}");
        assert_eq!(growing("IGNORE")[0]["warnings"], json!([]), "{argument}");
        // One that it refuses is told in its words, not in those of a reader.
        let bad = quota(1, "").replace("{hard: {cpu: 1}}", "{hard: {}}");
        let run = Files::new()
            .give("-f", &cluster("a", "STOPPED", 1))
            .give(argument, &bad)
            .run(&[])
            .expect_code(2);
        let said = "line 1, column 1: cpuquota \"default\": spec.hard.cpu: is the limit; ";
        assert!(
            run.stderr.contains(said) && run.stderr.ends_with("[config/field]\n"),
            "{argument}: {}",
            run.stderr
        );
    }
}

#[test]
fn several_files_behind_one_flag() {
    let folder = Folder::new();
    let (one, two) = (
        folder.file("1.yaml", cluster("a", "STOPPED", 1)),
        folder.file("2.yaml", cluster("b", "STOPPED", 1)),
    );
    assert_eq!(
        sluice(&["check", "-f", &one, &two, "-o", "json"])
            .expect_code(0)
            .json()
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    assert_eq!(
        sluice(&["check", "-f", &folder.path(), "-o", "json"])
            .expect_code(0)
            .json()
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[test]
fn every_seed_is_admitted() {
    let convert = |name: &str, args: &[&str]| {
        let path = seed(name)?;
        let mut all = vec!["convert", "--namespace", "team-a", "-f", &path];
        all.extend(args);
        Some(sluice(&all).expect_code(0).stdout)
    };
    let Some(deployment) = convert("vvp-deployment.yaml", &[]) else {
        return;
    };
    let mut all = vec![
        deployment,
        convert("vvp-session-cluster.yaml", &["--name", "analytics"]).expect("fixtures"),
        convert("rest-create-session.json", &[]).expect("fixtures"),
        convert(
            "rest-create-session-job.json",
            &["--session", "Example Flink Session"],
        )
        .expect("fixtures"),
        convert(
            "rest-create-session-job.json",
            &["--name", "without-session"],
        )
        .expect("fixtures"),
    ];
    for name in [
        "apache-application.yaml",
        "apache-session-job.yaml",
        "confluent-flink-application.yaml",
    ] {
        all.push(std::fs::read_to_string(seed(name).expect("fixtures")).expect("the seed is read"));
    }
    let files = Files::new()
        .give("-f", &all.join("\n---\n"))
        .give("--policy", &quota(100, ""));
    let run = files.run(&["-o", "json"]).expect_code(0);
    assert_eq!(run.stderr, "", "every kind reaches the gate");
    let verdicts = run.json();
    let charges: Vec<String> = verdicts
        .as_array()
        .expect("one array")
        .iter()
        .map(|verdict| {
            format!(
                "{} {}: {}",
                verdict["kind"], verdict["name"], verdict["chargeMilli"]
            )
        })
        .collect();
    insta::assert_debug_snapshot!("seed_charges", charges);
    let warnings: Vec<&Value> = verdicts
        .as_array()
        .into_iter()
        .flatten()
        .map(|verdict| &verdict["warnings"])
        .collect();
    insta::assert_debug_snapshot!("seed_warnings", warnings);
}

#[test]
fn applying_the_same_file_again_changes_nothing_even_when_the_defaults_have() {
    let short = "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {name: a, namespace: team-a}\nspec: {state: running, \
                 flinkVersion: 1.12}\n";
    let stored = Files::new().give("-f", short).verdicts(0)[0]["object"].clone();
    let defaults = "apiVersion: sluice.dev/v1alpha1\nkind: DeploymentDefaults\nmetadata: {name: default, namespace: team-a}\nspec: \
                    {sessionCluster: {numberOfTaskManagers: 7}}\n";
    let again = Files::new()
        .give("-f", short)
        .give("--old", &stored.to_string())
        .give("--policy", defaults)
        .verdicts(0);
    assert_eq!(again[0]["object"], stored);
}

#[test]
fn settings_take_effect_as_the_gate_would_have_stored_them() {
    let defaults = "apiVersion: sluice.dev/v1alpha1\nkind: DeploymentDefaults\nmetadata: {name: default, namespace: team-a}\nspec: \
                    {sessionCluster: {state: running, resources: {jobManager: {cpu: 3}}}}\n";
    let short = "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {name: a, namespace: team-a}\nspec: {flinkVersion: '1.20'}\n";
    let verdict = &Files::new()
        .give("-f", short)
        .give("--policy", defaults)
        .verdicts(0)[0];
    assert_eq!(verdict["object"]["spec"]["state"], "RUNNING");
    assert_eq!(
        verdict["object"]["spec"]["resources"]["jobmanager"]["cpu"],
        3
    );
    assert_eq!(verdict["chargeMilli"], 4000);

    let wrong = defaults.replace("cpu: 3", "cpu: -3");
    let run = Files::new()
        .give("-f", short)
        .give("--policy", &wrong)
        .run(&[])
        .expect_code(2);
    assert!(
        run.stderr.contains("line 1, column 1: ") && run.stderr.contains("cpu"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_manifest_that_was_not_converted_is_told_so() {
    let run = sluice_with(
        b"apiVersion: v1\nkind: SessionCluster\nmetadata: {name: a}\n",
        &["check", "-f", "-"],
    )
    .expect_code(2);
    assert!(
        run.stderr
            .contains("turn it into Sluice's with `sluice convert`"),
        "{}",
        run.stderr
    );
}
