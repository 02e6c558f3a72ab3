//! Who may do what: [`rights`] of webhook and controller, [`own_certificates`], and one service account with all of it, for where they
//! run side by side.

use super::{NAME, labels};
use crate::operator::OperatorConfig;
use serde_json::{Value, json};
use sluice_policy::KindInfo;
use sluice_policy::dialect::{Class, dialects};
use std::collections::{BTreeMap, BTreeSet};

/// By which the controllers elect one of them.
pub(crate) const LEASE: &str = "sluice-controller";
/// Where API servers look up whom to ask.
const CONFIGURATIONS: [&str; 2] = [
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
];

/// Service account, roles and bindings of both processes, for `sluice up`, which runs them itself.
pub(super) fn objects(namespace: &str, operator: Option<&OperatorConfig>) -> Vec<Value> {
    let subjects = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}]);
    let role =
        |kind: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": NAME});
    let rights = all();
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
            "rules": rights.cluster,
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
            "rules": rights.own,
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
            "rules": modes(),
        }),
    ];
    objects.extend(users().map(|role| {
        let mut labels = labels();
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(role.aggregated.to_owned(), json!("true"));
        }
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": role.name, "labels": labels},
            "rules": role.rules,
        })
    }));
    if let Some(operator) = operator {
        objects.extend(operator_config(operator, &subjects));
    }
    objects
}

/// Following the Apache operator's ConfigMap, which is all that the webhook wants of ConfigMaps. Today the cluster role gives the
/// shared account more, for what Flink runs in; this Role is what is left to ask for where the controller has its own account.
pub(super) fn operator_config(operator: &OperatorConfig, subjects: &Value) -> [Value; 2] {
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

/// What whoever may soften a namespace's modes needs.
pub(super) fn modes() -> Value {
    json!([{"apiGroups": [sluice_api::GROUP], "resources": ["modes"], "verbs": ["set"]}])
}

/// A ClusterRole that becomes part of one of Kubernetes' own for people.
pub(super) struct ForUsers {
    pub name: &'static str,
    /// The label by which it does; `view` is part of `edit`, and `edit` of `admin`.
    pub aggregated: &'static str,
    pub rules: Value,
}

/// What makes Kubernetes' `view`, `edit` and `admin` hold Sluice's kinds as they hold Deployments and pods: who runs things in a namespace
/// may run Flink there, and see what limits him. Quotas, defaults and targets are other people's to write; statuses and modes are
/// guarded.
pub(super) fn users() -> [ForUsers; 2] {
    let group = [sluice_api::GROUP];
    [
        ForUsers {
            name: "sluice-aggregate-to-view",
            aggregated: "rbac.authorization.k8s.io/aggregate-to-view",
            rules: json!([{"apiGroups": group, "resources": ["*"], "verbs": ["get", "list", "watch"]}]),
        },
        ForUsers {
            name: "sluice-aggregate-to-edit",
            aggregated: "rbac.authorization.k8s.io/aggregate-to-edit",
            rules: json!([
                {"apiGroups": group, "resources": ["sessionclusters", "sessionjobs", "deployments", "savepoints"],
                    "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
                {"apiGroups": group, "resources": ["sessionclusters/scale", "deployments/scale"], "verbs": ["update", "patch"]},
            ]),
        },
    ]
}

/// What a process must be allowed to do, in rules of RBAC.
pub(super) struct Rights {
    /// In every namespace.
    pub cluster: Vec<Value>,
    /// In Sluice's own.
    pub own: Vec<Value>,
}

/// Which process asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Process {
    /// `sluice webhook`.
    Webhook,
    /// `sluice controller`.
    Controller,
}

/// What this process must be allowed to do, and nothing else.
pub(super) fn rights(process: Process) -> Rights {
    let mut cluster = looking();
    match process {
        Process::Webhook => {
            cluster.extend(webhook());
            Rights {
                cluster,
                own: Vec::new(),
            }
        }
        Process::Controller => {
            cluster.extend(controller());
            Rights {
                cluster,
                own: vec![
                    json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]}),
                    json!({"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": [LEASE], "verbs": ["get", "update"]}),
                ],
            }
        }
    }
}

/// What the webhook needs in addition where it makes its certificates itself: its CA's Secret, and the configurations that trust it.
pub(super) fn own_certificates() -> Rights {
    Rights {
        cluster: vec![json!({
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": CONFIGURATIONS,
            "resourceNames": [sluice_webhook::registration::NAME],
            "verbs": ["patch"],
        })],
        own: vec![
            // Creating cannot be limited by name: the name is in the body.
            json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}),
            json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["sluice-ca"], "verbs": ["get", "list", "watch", "update"]}),
        ],
    }
}

/// What both processes may do under one account, certificates of their own included.
fn all() -> Rights {
    let mut all = own_certificates();
    for more in [rights(Process::Webhook), rights(Process::Controller)] {
        for (held, more) in [(&mut all.cluster, more.cluster), (&mut all.own, more.own)] {
            let new: Vec<Value> = more
                .into_iter()
                .filter(|rule| !held.contains(rule))
                .collect();
            held.extend(new);
        }
    }
    all
}

/// The kinds that are judged, looked up or charged, by group.
fn resources(
    wanted: impl Fn(&KindInfo, Class) -> bool,
) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for dialect in dialects() {
        let kind = dialect.kind();
        if wanted(kind, dialect.class()) {
            groups.entry(kind.group).or_default().insert(kind.plural);
        }
    }
    groups
}

/// What both watch, and the ledger that both write.
fn looking() -> Vec<Value> {
    let mut rules = Vec::new();
    for (group, resources) in resources(|kind, _| kind.group != sluice_api::GROUP) {
        rules.push(json!({"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]}));
    }
    rules.extend([
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["*"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["cpuquotas/status", "clustercpuquotas/status"], "verbs": ["get", "update"]}),
        // The guard of the statuses asks for this beside the right to each.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["statuses"], "verbs": ["set"]}),
        json!({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]}),
    ]);
    rules
}

fn webhook() -> Vec<Value> {
    vec![
        json!({"apiGroups": ["platform.confluent.io"], "resources": ["flinkenvironments"], "verbs": ["get", "list", "watch"]}),
        json!({"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get", "list", "watch"]}),
        json!({
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources": CONFIGURATIONS,
            "resourceNames": [sluice_webhook::registration::NAME],
            "verbs": ["get", "list", "watch"],
        }),
    ]
}

fn controller() -> Vec<Value> {
    let mut rules = Vec::new();
    // The ledger's fence is an annotation on a workload.
    for (group, resources) in resources(|_, class| class == Class::Workload) {
        rules.push(json!({"apiGroups": [group], "resources": resources, "verbs": ["patch"]}));
    }
    rules.extend([
        // Whether a kind that is not served any more is gone, and its objects with it.
        json!({"apiGroups": ["apiextensions.k8s.io"], "resources": ["customresourcedefinitions"], "verbs": ["get"]}),
        // Status and finalizers of what the controller runs. Owner references that block need the right to finalizers.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["sessionclusters/status", "sessionjobs/status", "savepoints/status", "deploymenttargets/status", "deployments/status", "jobs/status"], "verbs": ["get", "update"]}),
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["sessionclusters/finalizers", "sessionjobs/finalizers", "deployments/finalizers"], "verbs": ["update"]}),
        // The finalizer of targets that something refers to; workloads can be patched already.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["deploymenttargets"], "verbs": ["patch"]}),
        // Runs of Deployments, snapshots that jobs leave behind, and their history.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["jobs"], "verbs": ["create", "patch", "delete"]}),
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["savepoints"], "verbs": ["create", "delete"]}),
        // The SessionJobs of Deployments that run on session clusters.
        json!({"apiGroups": [sluice_api::GROUP], "resources": ["sessionjobs"], "verbs": ["create", "update", "delete"]}),
        // What Flink runs in. Nobody can give away rights that he does not have, so the rights of Flink's own ServiceAccounts
        // (ConfigMaps, for high availability) are here too.
        json!({"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
        json!({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
        json!({"apiGroups": [""], "resources": ["services", "serviceaccounts"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
        json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"]}),
        json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch", "delete"]}),
        json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}),
    ]);
    rules
}
