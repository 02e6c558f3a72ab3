//! What users say about pods, merged into what Sluice sets.
//!
//! Lists are merged by what Kubernetes tells their entries apart by: containers, volumes and variables by name, mounts by
//! path, ports by number. Where both say something, Sluice's word holds, but for those settings that are only its proposal
//! ([`PROPOSED`]).

use serde_json::{Map, Value, json};
use sluice_api::{KubernetesOptions, PodOptions};

use super::names::{Role, texts, user_labels};

/// The container that Flink runs in.
pub const MAIN_CONTAINER: &str = "flink-main-container";

/// Fields of a pod and of Flink's container that users may decide otherwise.
const PROPOSED: [&str; 6] = [
    "enableServiceLinks",
    "securityContext",
    "serviceAccountName",
    "readinessProbe",
    "imagePullPolicy",
    "terminationGracePeriodSeconds",
];

/// By which field entries of a list are told apart.
const KEYS: [(&str, &str); 8] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("imagePullSecrets", "name"),
    ("env", "name"),
    ("volumeMounts", "mountPath"),
    ("ports", "containerPort"),
    ("hostAliases", "ip"),
];

/// The pod template that users have written for a role, in either of the two ways.
pub fn users(options: Option<&KubernetesOptions>, role: Role) -> Value {
    let Some(options) = options else {
        return json!({});
    };
    let template = match role {
        Role::JobManager => options.job_manager_pod_template.as_ref(),
        Role::TaskManager => options.task_manager_pod_template.as_ref(),
    };
    match (template, &options.pods) {
        (Some(template), _) => without_own_labels(Value::Object(template.clone())),
        (None, Some(pods)) => of_options(pods),
        (None, None) => json!({}),
    }
}

fn without_own_labels(mut template: Value) -> Value {
    if let Some(labels) = template.pointer_mut("/metadata/labels") {
        let kept = user_labels(labels.as_object());
        *labels = Value::Object(kept);
    }
    template
}

/// `pods` as a pod template.
fn of_options(pods: &PodOptions) -> Value {
    let mut spec = Map::new();
    let mut set = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            spec.insert(key.to_owned(), value);
        }
    };
    let object = |object: Option<&sluice_api::Object>| object.cloned().map(Value::Object);
    let objects = |list: Option<&Vec<sluice_api::Object>>| {
        list.map(|list| list.iter().cloned().map(Value::Object).collect::<Value>())
    };
    set(
        "nodeSelector",
        pods.node_selector
            .as_ref()
            .filter(|selector| !selector.is_empty())
            .map(|selector| Value::Object(texts(Some(selector)))),
    );
    set("affinity", object(pods.affinity.as_ref()));
    set("tolerations", objects(pods.tolerations.as_ref()));
    set(
        "imagePullSecrets",
        objects(pods.image_pull_secrets.as_ref()),
    );
    set("securityContext", object(pods.security_context.as_ref()));
    let pairs = pods.volume_mounts.as_deref().unwrap_or_default();
    let named = |name: &str, of: Option<&sluice_api::Object>| {
        let mut map = of.cloned().unwrap_or_default();
        map.insert("name".into(), name.into());
        Value::Object(map)
    };
    let volumes: Vec<Value> = pairs
        .iter()
        .filter(|pair| pair.volume.is_some())
        .map(|pair| named(&pair.name, pair.volume.as_ref()))
        .collect();
    let mounts: Vec<Value> = pairs
        .iter()
        .filter(|pair| pair.volume_mount.is_some())
        .map(|pair| named(&pair.name, pair.volume_mount.as_ref()))
        .collect();
    let env: Vec<Value> = pods
        .env_vars
        .iter()
        .flatten()
        .map(|variable| {
            let mut map = Map::new();
            map.insert("name".into(), variable.name.clone().into());
            if let Some(from) = &variable.value_from {
                map.insert("valueFrom".into(), Value::Object(from.clone()));
            } else if let Some(value) = variable.value.as_ref().and_then(sluice_api::Scalar::text) {
                map.insert("value".into(), value.into());
            }
            Value::Object(map)
        })
        .collect();
    set("volumes", (!volumes.is_empty()).then(|| volumes.into()));
    let mut main = json!({"name": MAIN_CONTAINER});
    if let Some(main) = main.as_object_mut() {
        if !env.is_empty() {
            main.insert("env".into(), env.into());
        }
        if !mounts.is_empty() {
            main.insert("volumeMounts".into(), mounts.into());
        }
    }
    set("containers", Some(json!([main])));
    json!({
        "metadata": {
            "labels": user_labels(pods.labels.as_ref()),
            "annotations": texts(pods.annotations.as_ref()),
        },
        "spec": spec,
    })
}

/// Merges what users say into what Sluice sets.
pub fn merge(users: Value, own: Value) -> Value {
    match (users, own) {
        (Value::Object(mut users), Value::Object(own)) => {
            for (key, value) in own {
                let merged = match users.remove(&key) {
                    None | Some(Value::Null) => value,
                    Some(theirs) if PROPOSED.contains(&key.as_str()) => theirs,
                    Some(theirs) => merge_field(&key, theirs, value),
                };
                users.insert(key, merged);
            }
            Value::Object(users)
        }
        (_, own) => own,
    }
}

fn merge_field(key: &str, users: Value, own: Value) -> Value {
    let by = KEYS.iter().find(|(list, _)| *list == key);
    match (by, users, own) {
        (Some((_, by)), Value::Array(users), Value::Array(own)) => {
            Value::Array(merge_lists(users, own, by))
        }
        (None, users @ Value::Object(_), own @ Value::Object(_)) => merge(users, own),
        (_, _, own) => own,
    }
}

/// Sluice's entries first, in their order: what users add may refer to them.
fn merge_lists(mut users: Vec<Value>, own: Vec<Value>, by: &str) -> Vec<Value> {
    let mut merged = Vec::with_capacity(users.len() + own.len());
    for entry in own {
        let place = users
            .iter()
            .position(|theirs| theirs.get(by).is_some() && theirs.get(by) == entry.get(by));
        merged.push(match place {
            Some(place) => merge(users.remove(place), entry),
            None => entry,
        });
    }
    merged.extend(users);
    merged
}
