use super::*;
use crate::input;
use crate::live::snapshot::Unseen;
use serde_json::json;

/// What is tried, of a cluster that holds this, in namespace `team-a`.
fn simulated(snapshot: &Snapshot, yaml: &str) -> (Trial, Vec<String>, String) {
    let documents = input::parse("new.yaml", yaml.as_bytes()).unwrap();
    let manifests = manifests(&documents, "team-a").unwrap();
    let notes = manifests.iter().filter_map(not_judged).collect();
    let trial = Trial::of(snapshot, &manifests, "team-a").unwrap();
    let text = print::trial(&trial, snapshot, Format::Table).unwrap();
    (trial, notes, text)
}

fn cluster(name: &str, namespace: &str, managers: u32) -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name, "namespace": namespace, "uid": name,
        "generation": 1}, "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": managers,
        "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}}}})
}

/// A quota of 12 CPU for `team-a` and `team-b`.
fn shared(confirmed: u64, on_growth: &str) -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterCpuQuota", "metadata": {"name": "analytics", "generation": 1},
        "spec": {"hard": {"cpu": 12}, "namespaces": ["team-a", "team-b"], "onGrowth": on_growth},
        "status": {"chargeFn": sluice_policy::ledger::CHARGE_FN, "observedGeneration": 1, "confirmedMilli": confirmed}})
}

fn snapshot(objects: impl IntoIterator<Item = Value>) -> Snapshot {
    Snapshot {
        objects: objects.into_iter().collect(),
        ..Snapshot::default()
    }
}

#[test]
fn what_nobody_judges_does_not_fit() {
    let yaml = "\
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: other}}
---
{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {name: small}, spec: {state: RUNNING, flinkVersion: '1.20', numberOfTaskManagers: 1}}
";
    let (trial, notes, text) = simulated(&snapshot([]), yaml);
    let words: Vec<_> = trial.tried.iter().map(Tried::fits).collect();
    assert_eq!(words, [None, Some(true)]);
    assert_eq!(
        text,
        "\
VERDICT      OBJECT                        CPU NOW   CPU THEN
not judged   StatefulSet team-a/other      -         -
fits         SessionCluster team-a/small   0         2

No quota counts any of these.
"
    );
    assert_eq!(
        notes,
        ["StatefulSet team-a/other is not judged: its kind (apps/v1) never reaches the gate"]
    );
    let (_, _, text) = simulated(
        &snapshot([shared(0, "Enforce")]),
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: other}}",
    );
    assert!(
        text.ends_with("Nothing was judged: whether it fits is not known.\n"),
        "{text}"
    );
}

#[test]
fn what_no_api_server_knows_does_not_fit_either() {
    for (yaml, way_out) in [
        (
            "{apiVersion: v1, kind: SessionCluster, metadata: {name: vvp}}",
            "`sluice convert`",
        ),
        (
            "{apiVersion: flink.apache.org/v1beta1, kind: FlinkDeploymnt, metadata: {name: a}}",
            "FlinkDeployment",
        ),
        (
            "{apiVersion: fink.apache.org/v1beta1, kind: FlinkDeployment, metadata: {name: a}}",
            "flink.apache.org/v1beta1",
        ),
    ] {
        let documents = input::parse("new.yaml", yaml.as_bytes()).unwrap();
        let Err(Failure::Input(why)) = manifests(&documents, "team-a") else {
            panic!("was read: {yaml}");
        };
        assert!(why.contains(way_out), "{why}");
    }
}

#[test]
fn quotas_that_may_not_be_seen_are_not_said_to_count_nothing() {
    let mut snapshot = snapshot([]);
    snapshot.unseen.push(Unseen {
        resource: "clustercpuquotas".to_owned(),
        said: "forbidden".to_owned(),
    });
    let new = cluster("more", "team-a", 2).to_string();
    let (trial, _, text) = simulated(&snapshot, &new);
    assert!(
        text.ends_with(
            "No quota that you may see counts any of these. Others may: you may not list clustercpuquotas\n"
        ),
        "{text}"
    );
    let said = print::trial(&trial, &snapshot, Format::Json).unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["unseen"], json!(["clustercpuquotas"]));
    assert_eq!(said["objects"][0]["fits"], true);
}

#[test]
fn what_others_hold_counts_where_only_the_quota_tells_of_it() {
    // 4 of the 10 CPU in use are seen.
    let here = snapshot([shared(10_000, "Enforce"), cluster("seen", "team-a", 3)]);
    let both = format!(
        "{}\n---\n{}",
        cluster("large", "team-a", 2),
        cluster("small", "team-a", 1)
    );
    let (trial, _, text) = simulated(&here, &both);
    let words: Vec<_> = trial.tried.iter().map(Tried::fits).collect();
    // The refused one takes no room from the next.
    assert_eq!(words, [Some(false), Some(true)], "{text}");
    assert!(
        text.contains(
            "ClusterCpuQuota \"analytics\": starting sessioncluster \"large\" needs 3 CPU; 2 of 12 are free (10 in use, 0 reserved). \
             Stop a workload or ask for 1 more CPU. [quota/cpu]"
        ),
        "{text}"
    );
    // All of it is seen.
    let there = cluster("theirs", "team-b", 5);
    let all = snapshot([
        shared(10_000, "Enforce"),
        cluster("seen", "team-a", 3),
        there,
    ]);
    let (_, _, same) = simulated(&all, &both);
    assert_eq!(text, same);
}

#[test]
fn what_grows_is_put_back_where_others_leave_no_room() {
    let here = |on_growth| snapshot([shared(12_000, on_growth), cluster("seen", "team-a", 3)]);
    let grown = cluster("seen", "team-a", 5).to_string();
    let (trial, _, text) = simulated(&here("Enforce"), &grown);
    assert_eq!(trial.tried[0].fits(), Some(false), "{text}");
    assert!(
        text.contains("growing sessioncluster \"seen\" needs 2 more CPU; 0 of 12 are free"),
        "{text}"
    );
    let (trial, _, text) = simulated(&here("Warn"), &grown);
    assert_eq!(trial.tried[0].fits(), Some(true), "{text}");
    assert!(
        text.contains("14 of 12 CPU are in use or reserved now, 2 over the limit"),
        "{text}"
    );
}

#[test]
fn a_larger_limit_counts_for_what_follows_it() {
    let here = snapshot([shared(10_000, "Enforce"), cluster("seen", "team-a", 3)]);
    let mut larger = shared(0, "Enforce");
    larger["spec"]["hard"]["cpu"] = json!(20);
    let both = format!("{larger}\n---\n{}", cluster("large", "team-a", 2));
    let (trial, _, text) = simulated(&here, &both);
    let words: Vec<_> = trial.tried.iter().map(Tried::fits).collect();
    assert_eq!(words, [Some(true), Some(true)], "{text}");
}

#[test]
fn namespaces_of_the_manifests_are_looked_at_too() {
    let yaml = format!(
        "{}\n---\n{{apiVersion: v1, kind: ConfigMap, metadata: {{name: c, namespace: elsewhere}}}}",
        cluster("more", "team-b", 1)
    );
    let documents = input::parse("new.yaml", yaml.as_bytes()).unwrap();
    let manifests = manifests(&documents, "team-a").unwrap();
    let concerned = namespaces(&manifests, "team-a");
    assert_eq!(
        Vec::from_iter(concerned),
        ["team-a".to_owned(), "team-b".to_owned()]
    );
}
