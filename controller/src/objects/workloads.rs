//! The objects themselves: ConfigMap, Service, the two Deployments (an application's JobManager is a Job), and the rights that
//! high availability needs.

use serde_json::{Map, Value, json};
use sluice_api::API_VERSION;

use super::cluster::{FlinkCluster, HighAvailability, Owner};
use super::config::{BLOB_PORT, REST_PORT, RPC_PORT};
use super::names::{Names, Role, labels_of, own_labels, pods_of, selector};
use super::template::MAIN_CONTAINER;
use super::{
    BuildError, BuildSettings, Built, Input, MadeKind, config, hash, logging, pods, stamp,
};

/// All objects, in the order of their making.
pub fn objects(
    cluster: &FlinkCluster<'_>,
    settings: &BuildSettings,
) -> Result<Vec<(MadeKind, Value)>, BuildError> {
    let mut data = Map::new();
    for (name, text) in logging::files(cluster) {
        data.insert(name, text.into());
    }
    // Last, so that no file of the user's can take its place.
    for name in ["config.yaml", "flink-conf.yaml"] {
        data.remove(name);
    }
    let (name, text) = config::file(cluster)?;
    data.insert(name.to_owned(), text.into());
    let data = Value::Object(data);
    let config_hash = hash(&data);

    let mut objects = Vec::new();
    if cluster.high_availability() == HighAvailability::Kubernetes {
        objects.extend(access(cluster));
    }
    let object = |kind, name: String, more| (kind, object(cluster, kind, &name, None, more));
    objects.push(object(
        MadeKind::ConfigMap,
        cluster.names.config(),
        json!({"data": data}),
    ));
    let port = |name: &str, port: u16| json!({"name": name, "port": port, "targetPort": port, "protocol": "TCP"});
    objects.push(object(
        MadeKind::Service,
        cluster.names.service(),
        json!({"spec": {
            "type": "ClusterIP",
            // TaskManagers that find nobody there look again only after `cluster.registration.error-delay`, ten seconds, so they may come
            // before it is ready. And it is ready only as long as every job of it answers: one that is busy deploying its tasks must not be
            // cut off from the TaskManagers that fetch the job's jars meanwhile.
            "publishNotReadyAddresses": true,
            "selector": pods_of(cluster, Role::JobManager),
            "ports": [port("rpc", RPC_PORT), port("blob", BLOB_PORT), port("rest", REST_PORT)],
        }}),
    ));
    // An application's JobManager comes last: where it stands, everything does.
    let mut jobmanager_of_run = None;
    for role in Role::BOTH {
        let template = pods::template(cluster, role, &config_hash, settings)?;
        if role == Role::JobManager && cluster.application.is_some() {
            jobmanager_of_run = Some((MadeKind::Job, run_once(cluster, &template)));
        } else {
            objects.push((MadeKind::Deployment, workload(cluster, role, &template)));
        }
    }
    objects.extend(jobmanager_of_run);
    Ok(objects)
}

/// A JobManager that brings its job along. Started again it would begin again from where the run began, so it is not, unless
/// high availability tells it where the job has got to.
fn run_once(cluster: &FlinkCluster<'_>, template: &Value) -> Value {
    /// Restarts that high availability is given.
    const RESTARTS: u32 = 6;
    let retries = match cluster.high_availability() {
        HighAvailability::None => 0,
        _ => RESTARTS,
    };
    object(
        cluster,
        MadeKind::Job,
        &cluster.names.workload(Role::JobManager),
        Some(Role::JobManager),
        json!({"spec": {
            "backoffLimit": retries,
            "completions": 1,
            "parallelism": 1,
            "template": template,
        }}),
    )
}

fn workload(cluster: &FlinkCluster<'_>, role: Role, template: &Value) -> Value {
    let replicas = match role {
        Role::JobManager => 1,
        Role::TaskManager => cluster.task_managers,
    };
    object(
        cluster,
        MadeKind::Deployment,
        &cluster.names.workload(role),
        Some(role),
        json!({"spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            // Never more pods at a time than CPU was set aside for.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": pods_of(cluster, role)},
            "template": template,
        }}),
    )
}

/// What a [`foster`] is made of: no spec, so it has no pods to be scaled to.
pub const FOSTER: &str = "foster";

/// A Deployment without pods, for a role whose own one somebody has removed from above its pods (`--cascade=orphan`): Kubernetes gives it
/// what makes them, which would otherwise make each pod again that is removed. Not of the spec, which may be unreadable by now.
pub fn foster(owner: &Owner, names: &Names, namespace: &str, role: Role) -> Built {
    let labels = own_labels(owner, Some(role));
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(owner, namespace, &names.workload(role), &labels),
        "spec": {
            "replicas": 0,
            "revisionHistoryLimit": 0,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector(&owner.uid, Some(role))},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": MAIN_CONTAINER, "image": "none"}]},
            },
        },
    });
    stamp(MadeKind::Deployment, object, &Input::fixed(FOSTER))
}

/// What Flink needs to elect a JobManager and keep its pointers: ConfigMaps of its own namespace.
fn access(cluster: &FlinkCluster<'_>) -> [(MadeKind, Value); 3] {
    let name = cluster.names.access();
    let of = |kind, more| (kind, object(cluster, kind, &name, None, more));
    [
        of(MadeKind::ServiceAccount, json!({})),
        of(
            MadeKind::Role,
            json!({"rules": [{
                "apiGroups": [""],
                "resources": ["configmaps"],
                "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            }]}),
        ),
        of(
            MadeKind::RoleBinding,
            json!({
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": cluster.namespace}],
            }),
        ),
    ]
}

fn object(
    cluster: &FlinkCluster<'_>,
    kind: MadeKind,
    name: &str,
    role: Option<Role>,
    more: Value,
) -> Value {
    let (group, version, kind, _) = kind.names();
    let api_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    let labels = labels_of(cluster, role);
    let metadata = metadata(&cluster.owner, &cluster.namespace, name, &labels);
    let mut object = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    object
}

fn metadata(owner: &Owner, namespace: &str, name: &str, labels: &Map<String, Value>) -> Value {
    let mut metadata = json!({"name": name, "namespace": namespace, "labels": labels});
    // Owners cannot reach into other namespaces; there the finalizer and the labels do.
    if namespace == owner.namespace
        && let Some(metadata) = metadata.as_object_mut()
    {
        metadata.insert(
            "ownerReferences".into(),
            json!([{
                "apiVersion": API_VERSION,
                "kind": owner.kind,
                "name": owner.name,
                "uid": owner.uid,
                "controller": true,
                "blockOwnerDeletion": true,
            }]),
        );
    }
    metadata
}
