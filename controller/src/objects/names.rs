//! Names and labels of made objects.

use std::fmt;

use serde_json::{Map, Value, json};
use sluice_api::Object;
use sluice_api::names::labels;

use super::cluster::{FlinkCluster, Owner};

/// Which of Flink's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The JobManager.
    JobManager,
    /// A TaskManager.
    TaskManager,
}

impl Role {
    /// Both, as they are started.
    pub const BOTH: [Self; 2] = [Self::JobManager, Self::TaskManager];

    /// `jobmanager`, `taskmanager`: in labels, names, and as the argument of the official image.
    pub const fn word(self) -> &'static str {
        match self {
            Self::JobManager => labels::JOBMANAGER,
            Self::TaskManager => labels::TASKMANAGER,
        }
    }

    /// The role that a label names.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JobManager => "JobManager",
            Self::TaskManager => "TaskManager",
        })
    }
}

/// Names of a cluster's objects. The kind is part of them, so that a SessionCluster and a Deployment of one name can stand
/// side by side; own names have at most 45 characters, so these fit into 63.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    base: String,
}

impl Names {
    /// Of a SessionCluster of this name.
    pub fn of_session_cluster(name: &str) -> Self {
        Self {
            base: format!("{name}-sc"),
        }
    }

    /// Of a Deployment of this name. Every run has them, one after the other: so two of them cannot stand side by side.
    pub fn of_deployment(name: &str) -> Self {
        Self {
            base: format!("{name}-dep"),
        }
    }

    /// A role's Deployment or Job.
    pub fn workload(&self, role: Role) -> String {
        format!("{}-{}", self.base, role.word())
    }

    /// The JobManager's Service, which is also the address that Flink is told.
    pub fn service(&self) -> String {
        self.workload(Role::JobManager)
    }

    /// The ConfigMap.
    pub fn config(&self) -> String {
        format!("{}-config", self.base)
    }

    /// ServiceAccount, Role and RoleBinding.
    pub fn access(&self) -> String {
        format!("{}-flink", self.base)
    }

    /// Flink's own id of the cluster, under which high availability keeps its ConfigMaps.
    pub fn flink_id(&self) -> String {
        self.base.clone()
    }
}

/// Selects all objects made for an owner, by its uid: several may have had its name.
pub fn selector(uid: &str, role: Option<Role>) -> Map<String, Value> {
    let mut selector = Map::new();
    selector.insert(labels::OWNER_UID.into(), uid.into());
    if let Some(role) = role {
        selector.insert(labels::COMPONENT.into(), role.word().into());
    }
    selector
}

/// The same as a text, for lists and autoscalers.
pub fn selector_text(uid: &str, role: Option<Role>) -> String {
    let terms: Vec<String> = selector(uid, role)
        .iter()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    terms.join(",")
}

/// Labels of an object: what users want on all of them, and Sluice's own, which win.
pub fn labels_of(cluster: &FlinkCluster<'_>, role: Option<Role>) -> Map<String, Value> {
    let mut map = common_labels(cluster, role);
    if let Some(application) = &cluster.application {
        map.insert(labels::JOB.into(), application.job.as_str().into());
    }
    map
}

/// Selects the pods of a role; those of this run, where it is one.
pub fn pods_of(cluster: &FlinkCluster<'_>, role: Role) -> Map<String, Value> {
    let mut selector = selector(&cluster.owner.uid, Some(role));
    if let Some(application) = &cluster.application {
        selector.insert(labels::JOB.into(), application.job.as_str().into());
    }
    selector
}

fn common_labels(cluster: &FlinkCluster<'_>, role: Option<Role>) -> Map<String, Value> {
    let users = cluster
        .kubernetes
        .and_then(|options| options.labels.as_ref());
    let mut map = user_labels(users);
    map.extend(own_labels(&cluster.owner, role));
    map
}

/// Sluice's own labels of an object.
pub fn own_labels(owner: &Owner, role: Option<Role>) -> Map<String, Value> {
    let own = json!({
        "app.kubernetes.io/name": "flink",
        "app.kubernetes.io/instance": owner.name,
        (labels::MANAGED_BY): labels::MANAGED_BY_SLUICE,
        (labels::OWNER_KIND): owner.kind.to_ascii_lowercase(),
        (labels::OWNER_NAMESPACE): owner.namespace,
        (labels::OWNER_NAME): owner.name,
        (labels::OWNER_UID): owner.uid,
    });
    let mut map = match own {
        Value::Object(own) => own,
        _ => Map::new(),
    };
    if let Some(role) = role {
        map.insert("app.kubernetes.io/component".into(), role.word().into());
        map.insert(labels::COMPONENT.into(), role.word().into());
    }
    map
}

/// What users wrote as labels, without those that are Sluice's to set.
pub fn user_labels(written: Option<&Object>) -> Map<String, Value> {
    let mut map = texts(written);
    map.retain(|key, _| {
        !labels::OWN_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix))
    });
    map
}

/// A map of scalars as a map of texts. What is no scalar is left out: admission refuses it.
pub fn texts(written: Option<&Object>) -> Map<String, Value> {
    let entries = written.into_iter().flatten();
    entries
        .filter_map(|(key, value)| {
            sluice_policy::json::scalar_text(value).map(|text| (key.clone(), Value::from(text)))
        })
        .collect()
}
