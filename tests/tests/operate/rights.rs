//! `sluice quota` for a team's own user, who may list Sluice's kinds in the team's namespace and nothing else. Kubernetes asks for the right
//! before it looks whether a kind is there: the Apache operator's kinds, which are not installed here, are forbidden and not absent.

use super::{Said, Stage};
use serde_json::json;
use sluice_tests::Kubectl;

/// A session cluster in the team's namespace.
fn cluster(managers: u32) -> String {
    super::cluster("ours", managers).replace("team-a", "default")
}

fn grant(kubectl: &Kubectl, kind: &str, resources: &str) {
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": format!("team-{kind}").to_lowercase()},
        "rules": [{"apiGroups": ["sluice.dev"], "resources": [resources], "verbs": ["get", "list", "watch"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": "team"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role["metadata"]["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}],
    });
    for object in [role, binding] {
        kubectl
            .apply(&object.to_string())
            .unwrap()
            .admitted()
            .unwrap();
    }
}

#[track_caller]
fn has(said: &Said, out: &[&str], err: &[&str]) {
    for text in out {
        assert!(said.out.contains(text), "{text}: {}{}", said.out, said.err);
    }
    for text in err {
        assert!(said.err.contains(text), "{text}: {}{}", said.out, said.err);
    }
}

pub fn of_a_team(stage: &Stage, kubectl: &Kubectl) {
    let kubectl = kubectl.in_namespace("default");
    let team = stage.somebody("default");
    let quota = |rest: &str| stage.sluice(&format!("quota {rest} --kubeconfig {team}"));
    let (small, large) = (
        stage.file("ours.yaml", &cluster(2)),
        stage.file("ours-large.yaml", &cluster(9)),
    );

    // Without a right there is nothing to say, and who said so did answer.
    let said = quota("-n default");
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    has(&said, &[], &["is forbidden", "Ask for that right"]);
    assert!(!said.err.contains("does not answer"), "{}", said.err);

    grant(&kubectl, "RoleBinding", "*");
    let said = quota("-n default");
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    has(
        &said,
        &[
            "There is no quota that you may see for namespace default. Whether CPU is limited is not known: you may not list clustercpuquotas\n",
        ],
        &[
            "left out: flinkdeployments.flink.apache.org is forbidden",
            "left out: clustercpuquotas.sluice.dev is forbidden",
        ],
    );
    let said = quota("-A");
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    has(
        &said,
        &[],
        &["in all namespaces (-n NAMESPACE looks at one)"],
    );
    let said = quota(&format!("simulate -n default -f {small}"));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    has(
        &said,
        &[
            "fits      SessionCluster default/ours   0         3",
            "No quota that you may see counts any of these. Others may: you may not list clustercpuquotas\n",
        ],
        &["in all namespaces: of these only what is in default was read"],
    );

    // With a look at the quotas that are shared, what others hold of them counts.
    grant(&kubectl, "ClusterRoleBinding", "clustercpuquotas");
    let said = quota("-n default");
    has(
        &said,
        &[
            "ClusterCpuQuota all   20      12     0          8      counted",
            "others, not seen here   12",
        ],
        &[],
    );
    let said = quota(&format!("simulate -n default -f {small}"));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = quota(&format!("simulate -n default -f {large}"));
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    has(
        &said,
        &[
            "ClusterCpuQuota \"all\": starting sessioncluster \"ours\" needs 10 CPU; 8 of 20 are free (12 in use, 0 reserved)",
        ],
        &[],
    );

    // What no webhook hears of does not fit; it is not judged.
    let other = stage.file(
        "other.yaml",
        "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: other, namespace: default}, spec: {}}",
    );
    let said = quota(&format!("simulate -n default -f {other}"));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    has(
        &said,
        &[
            "not judged   StatefulSet default/other",
            "Nothing was judged",
        ],
        &["StatefulSet default/other is not judged: its kind (apps/v1) never reaches the gate"],
    );

    for object in [
        "rolebinding/team",
        "clusterrolebinding/team",
        "clusterrole/team-rolebinding",
        "clusterrole/team-clusterrolebinding",
    ] {
        kubectl
            .run(&["delete", object])
            .unwrap()
            .admitted()
            .unwrap();
    }
}
