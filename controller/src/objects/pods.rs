//! The pods of JobManager and TaskManagers: Flink's container as the official image wants it, and what is around it.
//!
//! The configuration files are mounted beside the image's own and named by `FLINK_CONF_DIR`: the image's entry point edits
//! its own files, and would fail on a ConfigMap.

use serde_json::{Map, Value, json};
use sluice_api::names::annotations;
use sluice_policy::MilliCpu;
use sluice_policy::flink::FlinkVersion;

use super::cluster::{FlinkCluster, HighAvailability};
use super::config::{BLOB_PORT, REST_PORT, RPC_PORT, TASKMANAGER_RPC_PORT};
use super::names::{Role, labels_of};
use super::template::{MAIN_CONTAINER, merge, users};
use super::{BuildError, BuildSettings, artifacts};

/// Flink's user in the official image.
const USER: i64 = 9999;
/// The volume of configuration files. Users may mount it in sidecars.
const CONFIG_VOLUME: &str = "flink-config";
const CONFIG_DIR: &str = "/opt/sluice/conf";
/// From this version on TaskManagers can be told their id, so that registered ones can be told apart by pod.
const RESOURCE_ID_SINCE: FlinkVersion = FlinkVersion::new(1, 12);

/// The pod template of a role. `config_hash`: of the configuration files.
pub fn template(
    cluster: &FlinkCluster<'_>,
    role: Role,
    config_hash: &str,
    settings: &BuildSettings,
) -> Result<Value, BuildError> {
    let artifacts = artifacts::of(cluster, settings)?;
    let is_run = cluster.application.is_some() && role == Role::JobManager;
    let resources = container_resources(cluster, role);
    let mut volumes =
        vec![json!({"name": CONFIG_VOLUME, "configMap": {"name": cluster.names.config()}})];
    volumes.extend(artifacts.volumes);
    let mut mounts =
        vec![json!({"name": CONFIG_VOLUME, "mountPath": CONFIG_DIR, "readOnly": true})];
    mounts.extend(artifacts.mounts);
    let mut spec = json!({
        "enableServiceLinks": false,
        "restartPolicy": if is_run { "Never" } else { "Always" },
        "securityContext": {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "containers": [{
            "name": MAIN_CONTAINER,
            "image": cluster.image,
            "args": arguments(cluster, role)?,
            "env": [
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "FLINK_CONF_DIR", "value": CONFIG_DIR},
            ],
            "ports": ports(role),
            "readinessProbe": probe(role),
            "resources": resources,
            "volumeMounts": mounts,
        }],
        "volumes": volumes,
    });
    if is_run
        && let Some(main) = spec
            .pointer_mut("/containers/0")
            .and_then(Value::as_object_mut)
    {
        // Why it ended is read from its pod.
        main.insert(
            "terminationMessagePolicy".into(),
            "FallbackToLogsOnError".into(),
        );
    }
    let ours: Vec<Value> = artifacts
        .init_containers
        .iter()
        .filter_map(|container| container.get("name").cloned())
        .collect();
    if let Some(spec) = spec.as_object_mut() {
        if !artifacts.init_containers.is_empty() {
            spec.insert("initContainers".into(), artifacts.init_containers.into());
        }
        if cluster.high_availability() == HighAvailability::Kubernetes {
            spec.insert("serviceAccountName".into(), cluster.names.access().into());
        }
    }
    let own = json!({
        "metadata": {
            "labels": labels_of(cluster, Some(role)),
            "annotations": {(annotations::CONFIG): config_hash},
        },
        "spec": spec,
    });
    let mut merged = merge(users(cluster.kubernetes, role), own);
    finish_init_containers(&mut merged, &ours, &resources);
    Ok(merged)
}

/// Sluice's init containers, those named `ours`, get Flink's own resources, which the pod has anyway once they have ended, and those
/// that fetch get its environment and the Secrets and ConfigMaps that it mounts, for credentials and authorities. None goes on running,
/// whatever was merged into it: nobody has charged that.
fn finish_init_containers(template: &mut Value, ours: &[Value], resources: &Value) {
    // What is not started again is read from its pod.
    let is_once = template
        .pointer("/spec/restartPolicy")
        .and_then(Value::as_str)
        == Some("Never");
    let containers = template
        .pointer("/spec/containers")
        .and_then(Value::as_array);
    let main = containers
        .into_iter()
        .flatten()
        .find(|container| container.get("name").and_then(Value::as_str) == Some(MAIN_CONTAINER));
    let environment: Vec<(&str, Value)> = ["env", "envFrom"]
        .into_iter()
        .filter_map(|field| Some((field, main?.get(field)?.clone())))
        .collect();
    let files = mounted_files(template, main);
    let init = template
        .pointer_mut("/spec/initContainers")
        .and_then(Value::as_array_mut);
    for container in init.into_iter().flatten() {
        let Some(container) = container.as_object_mut() else {
            continue;
        };
        let Some(name) = container.get("name").filter(|name| ours.contains(name)) else {
            continue;
        };
        let fetches = name
            .as_str()
            .is_some_and(|name| name.starts_with(artifacts::FETCH));
        container.shift_remove("restartPolicy");
        container.insert("resources".into(), resources.clone());
        if is_once {
            container.insert(
                "terminationMessagePolicy".into(),
                "FallbackToLogsOnError".into(),
            );
        }
        if !fetches {
            continue;
        }
        for (field, value) in &environment {
            container.insert((*field).to_owned(), value.clone());
        }
        if let Some(Value::Array(mounts)) = container.get_mut("volumeMounts") {
            mounts.extend(files.iter().cloned());
        }
    }
}

/// A container's mounts of users' Secrets and ConfigMaps: these hold files, and hide nothing that is needed to fetch.
fn mounted_files(template: &Value, container: Option<&Value>) -> Vec<Value> {
    let list = |of: Option<&Value>| of.and_then(Value::as_array).cloned().unwrap_or_default();
    let volumes = list(template.pointer("/spec/volumes"));
    let holds_files = |mount: &Value| {
        let name = mount.get("name");
        name.and_then(Value::as_str) != Some(CONFIG_VOLUME)
            && volumes
                .iter()
                .filter(|volume| volume.get("name") == name)
                .any(|volume| {
                    ["secret", "configMap", "projected"]
                        .iter()
                        .any(|kind| volume.get(kind).is_some())
                })
    };
    let mut mounts = list(container.and_then(|container| container.get("volumeMounts")));
    mounts.retain(holds_files);
    mounts
}

/// Arguments of the official image's entry point.
fn arguments(cluster: &FlinkCluster<'_>, role: Role) -> Result<Vec<String>, BuildError> {
    if let (Some(application), Role::JobManager) = (&cluster.application, role) {
        return application.arguments(cluster.high_availability());
    }
    let mut arguments = vec![role.word().to_owned()];
    match role {
        // A JobManager that is found by an election must be reachable where it is, not where its Service points.
        Role::JobManager if cluster.high_availability() != HighAvailability::None => {
            arguments.push("$(POD_IP)".to_owned());
        }
        Role::JobManager => {}
        Role::TaskManager => {
            arguments.extend(["-D".to_owned(), "taskmanager.host=$(POD_IP)".to_owned()]);
            if cluster.version >= RESOURCE_ID_SINCE {
                arguments.extend([
                    "-D".to_owned(),
                    "taskmanager.resource-id=$(POD_NAME)".to_owned(),
                ]);
            }
        }
    }
    Ok(arguments)
}

fn ports(role: Role) -> Value {
    let port =
        |name: &str, port: u16| json!({"name": name, "containerPort": port, "protocol": "TCP"});
    match role {
        Role::JobManager => json!([
            port("rpc", RPC_PORT),
            port("blob", BLOB_PORT),
            port("rest", REST_PORT),
        ]),
        Role::TaskManager => json!([port("rpc", TASKMANAGER_RPC_PORT)]),
    }
}

fn probe(role: Role) -> Value {
    let check = match role {
        Role::JobManager => {
            json!({"httpGet": {"path": "/overview", "port": REST_PORT, "scheme": "HTTP"}})
        }
        Role::TaskManager => json!({"tcpSocket": {"port": TASKMANAGER_RPC_PORT}}),
    };
    let mut probe = json!({"periodSeconds": 2, "timeoutSeconds": 5, "failureThreshold": 3, "successThreshold": 1});
    if let (Some(probe), Value::Object(check)) = (probe.as_object_mut(), check) {
        probe.extend(check);
    }
    probe
}

/// Requests, and limits equal to them. CPU may be limited higher by Flink's own option
/// `kubernetes.<role>.cpu.limit-factor`; what is requested is what quotas count.
fn container_resources(cluster: &FlinkCluster<'_>, role: Role) -> Value {
    let of = cluster.resources(role);
    let factor = cluster
        .option(&format!("kubernetes.{}.cpu.limit-factor", role.word()))
        .and_then(|text| MilliCpu::parse_text(text).ok())
        .map_or(1000, |MilliCpu(thousandths)| {
            thousandths.clamp(1000, 1_000_000)
        });
    let limit = MilliCpu(of.cpu.0.saturating_mul(factor) / 1000);
    let mut requests = Map::new();
    requests.insert("memory".into(), of.memory.to_string().into());
    if let Some(disk) = of.ephemeral_storage {
        requests.insert("ephemeral-storage".into(), disk.to_string().into());
    }
    let mut limits = requests.clone();
    requests.insert("cpu".into(), cpu(of.cpu).into());
    limits.insert("cpu".into(), cpu(limit).into());
    json!({"requests": requests, "limits": limits})
}

/// As the API server writes it, so that what is stored compares equal.
fn cpu(MilliCpu(milli): MilliCpu) -> String {
    if milli % 1000 == 0 {
        (milli / 1000).to_string()
    } else {
        format!("{milli}m")
    }
}
