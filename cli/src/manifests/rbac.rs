//! Who may do what: one service account for webhook and controller, which run side by side in one pod.

use super::{Installation, NAME, labels};
use crate::operator::OperatorConfig;
use serde_json::{Value, json};
use sluice_policy::KindInfo;
use sluice_policy::dialect::{Class, dialects};
use std::collections::{BTreeMap, BTreeSet};

/// Service account, roles and bindings.
pub(super) fn objects(installation: &Installation<'_>) -> Vec<Value> {
    let namespace = installation.namespace;
    let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}]);
    let role =
        |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME});
    let mut objects = vec![
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": NAME, "namespace": namespace, "labels": labels()},
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME, "labels": labels()},
            "rules": cluster_rules(),
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME, "labels": labels()},
            "roleRef": role("ClusterRole"),
            "subjects": subjects,
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": NAME, "namespace": namespace, "labels": labels()},
            "rules": [
                // Creating cannot be limited by name: the name is in the body.
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
                {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["sluice-ca"], "verbs": ["get", "list", "watch", "update"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["sluice-controller"], "verbs": ["get", "update"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": NAME, "namespace": namespace, "labels": labels()},
            "roleRef": role("Role"),
            "subjects": subjects,
        }),
        // For whoever may soften a namespace's modes; bound to nobody here.
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "sluice-modes", "labels": labels()},
            "rules": [{"apiGroups": [sluice_api::GROUP], "resources": ["modes"], "verbs": ["set"]}],
        }),
    ];
    if let Some(operator) = installation.operator {
        objects.extend(operator_config(operator, &subjects));
    }
    objects
}

/// Following the Apache operator's ConfigMap, which is all that the webhook wants of ConfigMaps. Today the cluster role gives the
/// shared account more, for what Flink runs in; this Role is what is left to ask for where the controller has its own account.
fn operator_config(operator: &OperatorConfig, subjects: &Value) -> [Value; 2] {
    const ROLE: &str = "sluice-operator-config";
    let metadata = json!({"name": ROLE, "namespace": operator.namespace, "labels": labels()});
    [
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [operator.name], "verbs": ["list", "watch"]}],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ROLE},
            "subjects": subjects,
        }),
    ]
}

fn cluster_rules() -> Value {
    let resources = |wanted: &dyn Fn(&KindInfo, Class) -> bool| {
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for dialect in dialects() {
            let kind = dialect.kind();
            if wanted(kind, dialect.class()) {
                groups.entry(kind.group).or_default().insert(kind.plural);
            }
        }
        groups
    };
    let mut rules = Vec::new();
    // What is judged, looked up or charged is watched.
    for (group, resources) in resources(&|kind, _| kind.group != sluice_api::GROUP) {
        rules.push(json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]}));
    }
    // The ledger's fence is an annotation on a workload.
    for (group, resources) in resources(&|_, class| class == Class::Workload) {
        rules.push(json!({"apiGroups": [group], "resources": resources, "verbs": ["patch"]}));
    }
    rules.extend([
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["*"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["cpuquotas/status", "clustercpuquotas/status"], "verbs": ["get", "update"]}),
        // The guard of the statuses asks for this beside the right to each.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["statuses"], "verbs": ["set"]}),
        // Status and finalizers of what the controller runs. Owner references that block need the right to finalizers.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["sessionclusters/status", "sessionjobs/status", "savepoints/status", "deploymenttargets/status", "deployments/status", "jobs/status"], "verbs": ["get", "update"]}),
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["sessionclusters/finalizers", "sessionjobs/finalizers", "deployments/finalizers"], "verbs": ["update"]}),
        // The finalizer of targets that something refers to; workloads can be patched already.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["deploymenttargets"], "verbs": ["patch"]}),
        // Runs of Deployments, snapshots that jobs leave behind, and their history.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["jobs"], "verbs": ["create", "patch", "delete"]}),
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["savepoints"], "verbs": ["create", "delete"]}),
        // What Flink runs in. Nobody can give away rights that he does not have, so the rights of Flink's own ServiceAccounts
        // (ConfigMaps, for high availability) are here too.
        json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
        json!({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
        json!({"apiGroups": [""], "resources": ["services", "serviceaccounts"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
        json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]}),
        json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]}),
        json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
        json!({"apiGroups": ["platform.confluent.io"], "resources": ["flinkenvironments"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}),
        json!({
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"],
            "resourceNames": [sluice_webhook::registration::NAME],
            "verbs": ["get", "list", "watch", "patch"],
        }),
    ]);
    Value::from(rules)
}
