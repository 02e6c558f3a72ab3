//! `sluice quota`: the table, the formats, what several namespaces share, trying first, watching.

use super::{SOON, Stage, cluster, docs};
use serde_json::{Value, json};
use sluice_tests::{Kubectl, eventually};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

pub fn are_shown(stage: &Stage, kubectl: &Kubectl) {
    kubectl
        .apply(&cluster("analytics", 3))
        .unwrap()
        .admitted()
        .unwrap();
    kubectl
        .apply(&cluster("reports", 7))
        .unwrap()
        .admitted()
        .unwrap();
    // The count follows within moments.
    let table = eventually(SOON, || {
        let said = stage.documented("quota -n team-a");
        anyhow::ensure!(said.out.contains("12     0"), "{}{}", said.out, said.err);
        Ok(said.out)
    })
    .unwrap();
    let expected = "\
QUOTA                     LIMIT   USED   RESERVED   FREE   STATE
CpuQuota team-a/default   100     12     0          88     counted

QUOTA                     HELD BY                           CPU
CpuQuota team-a/default   SessionCluster team-a/reports     8
CpuQuota team-a/default   SessionCluster team-a/analytics   4
";
    assert_eq!(table, expected);
    assert!(docs().contains(expected), "the docs show another table");
    let said = stage.sluice("quota -n team-a -o json");
    let all: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(all[0]["usedMilli"], 12_000);
    assert_eq!(all[0]["freeMilli"], 88_000);
    assert_eq!(
        all[0]["holders"][0],
        json!({"kind": "SessionCluster", "namespace": "team-a", "name": "reports", "chargeMilli": 8000})
    );
    let yaml: Value = serde_saphyr::from_str(&stage.sluice("quota -n team-a -o yaml").out).unwrap();
    assert_eq!(yaml, all);
    assert!(
        stage
            .sluice("quota -n team-a -o wide")
            .out
            .contains("Enforce")
    );
    let said = stage.sluice("quota -n default");
    assert_eq!(
        (said.code, said.out.as_str()),
        (
            0,
            "There is no quota for namespace default: CPU is not limited. kubectl explain cpuquota.spec\n"
        )
    );
}

/// One that several namespaces share: what others hold is told without them.
pub fn are_shared(stage: &Stage, kubectl: &Kubectl) {
    let shared = "{apiVersion: sluice.dev/v1alpha1, kind: ClusterCpuQuota, metadata: {name: all}, spec: {hard: {cpu: 20}, namespaces: ['*']}}";
    kubectl.apply(shared).unwrap().admitted().unwrap();
    eventually(SOON, || {
        let said = stage.documented("quota -A");
        anyhow::ensure!(
            said.out
                .contains("ClusterCpuQuota all       20      12     0          8      counted"),
            "{}",
            said.out
        );
        let elsewhere = stage.sluice("quota -n default");
        anyhow::ensure!(
            elsewhere.out.contains("others, not seen here   12"),
            "{}",
            elsewhere.out
        );
        Ok(())
    })
    .unwrap();
}

pub fn are_tried_first(stage: &Stage, kubectl: &Kubectl) {
    let small = stage.file("small.yaml", &cluster("more", 2));
    let said = stage.sluice(&format!("quota simulate -f {small}"));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(
        said.out
            .contains("fits      SessionCluster team-a/more   0         3"),
        "{}",
        said.out
    );
    let large = stage.file(
        "large.yaml",
        &format!("{}\n---\n{}", cluster("analytics", 5), cluster("greedy", 9)),
    );
    let said = stage.sluice(&format!("quota simulate -f {large}"));
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(
        said.out
            .contains("fits      SessionCluster team-a/analytics   4         6"),
        "an update: {}",
        said.out
    );
    assert!(
        said.out.contains("ask for 4 more CPU. [quota/cpu]"),
        "{}",
        said.out
    );
    assert!(
        said.out
            .contains("ClusterCpuQuota all       20      12       24                  4"),
        "{}",
        said.out
    );
    let said = stage.sluice(&format!("quota simulate -o json -f {large}"));
    let all: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(all["quotas"][0]["missingMilli"], 4000);
    assert_eq!(all["objects"][1]["rule"], "quota/cpu");
    // Nothing of it was sent.
    assert!(
        kubectl
            .run(&["get", "fsc", "greedy"])
            .unwrap()
            .refused()
            .unwrap()
            .contains("NotFound")
    );
}

/// Watching tells what changes, once.
pub fn are_watched(stage: &Stage, kubectl: &Kubectl) {
    let mut watching = stage
        .command(&["quota", "-n", "team-a", "-w"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().starts_with("QUOTA"));
    kubectl
        .run(&["delete", "fsc", "reports", "--wait=false"])
        .unwrap()
        .admitted()
        .unwrap();
    let changed = lines
        .map(Result::unwrap)
        .find(|line| line.contains("4      0          96"));
    watching.kill().unwrap();
    watching.wait().unwrap();
    assert!(changed.is_some());
    kubectl
        .run(&["delete", "clustercpuquota", "all"])
        .unwrap()
        .admitted()
        .unwrap();
}
