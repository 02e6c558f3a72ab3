//! The Kubernetes objects that a Flink cluster runs in, as pure functions: a spec goes in, objects come out.
//!
//! * [`cluster`]: what objects are made from, whatever kind asks for it (a session cluster, or a run of a Deployment);
//! * [`application`]: what a JobManager is told that brings its job along; [`words`]: a line of arguments as words;
//! * [`start_id`]: what keeps the records of one start from another's, with ZooKeeper;
//! * [`names`]: names and labels; [`config`] and [`logging`]: the files that Flink reads;
//! * [`pods`]: what JobManager and TaskManagers run with; [`template`]: what users say about pods, merged into that;
//! * [`artifacts`]: jars and plugins, brought by init containers;
//! * [`workloads`]: Deployments, the Service, the ConfigMap, and the rights that high availability needs.
//!
//! Objects are JSON, not Kubernetes' own types: what users write into pod templates passes through as it is, fields that
//! this version has no type for included. Reading and writing them is in [`crate::runtime`]; when, in the reconcilers.

use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sluice_api::names::annotations;

pub mod application;
pub mod artifacts;
pub mod cluster;
pub mod config;
pub mod input;
pub mod logging;
pub mod names;
pub mod pods;
pub mod start_id;
pub mod template;
pub mod words;
pub mod workloads;

pub use application::Application;
pub use cluster::{FlinkCluster, Owner, RoleResources};
pub use input::Input;
pub use names::{Names, Role};
pub use workloads::{FOSTER, foster};

/// Kinds of objects that are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MadeKind {
    /// Configuration files.
    ConfigMap,
    /// The JobManager's address.
    Service,
    /// For high availability by Kubernetes.
    ServiceAccount,
    /// What that account may do.
    Role,
    /// Gives it to the account.
    RoleBinding,
    /// JobManager or TaskManagers.
    Deployment,
    /// The JobManager of one run of an application: it must not be started again.
    Job,
    /// Of a Deployment or Job. Never made here, only looked at.
    Pod,
}

impl MadeKind {
    /// Those that are made, in the order of their making.
    pub const MADE: [Self; 7] = [
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::ConfigMap,
        Self::Service,
        Self::Deployment,
        Self::Job,
    ];

    /// Group, version, kind and plural.
    pub const fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ConfigMap => ("", "v1", "ConfigMap", "configmaps"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::Role => ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
            Self::RoleBinding => (
                "rbac.authorization.k8s.io",
                "v1",
                "RoleBinding",
                "rolebindings",
            ),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::Job => ("batch", "v1", "Job", "jobs"),
            Self::Pod => ("", "v1", "Pod", "pods"),
        }
    }

    /// The resource as kube's dynamic calls want it.
    pub fn resource(self) -> kube::api::ApiResource {
        let (group, version, kind, plural) = self.names();
        let gvk = kube::api::GroupVersionKind::gvk(group, version, kind);
        kube::api::ApiResource::from_gvk_with_plural(&gvk, plural)
    }
}

impl fmt::Display for MadeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names().2)
    }
}

/// An object as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Built {
    /// Its kind.
    pub kind: MadeKind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// All of it, as it is applied.
    pub object: Value,
    /// What it is made from ([`annotations::INPUT`]).
    pub input: Input,
    /// Hash of the object itself, but for its number of replicas ([`annotations::BUILT`]).
    pub built: String,
}

/// Why no object can be made. Admission refuses such specs; this is for those that were stored without it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct BuildError {
    /// Path of the field.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl BuildError {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// How objects are made, by installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSettings {
    /// The image that holds Sluice's own binary, for the init container that fetches jars.
    pub sluice_image: String,
}

/// All objects of a cluster, in the order of their making.
pub fn build(
    cluster: &FlinkCluster<'_>,
    settings: &BuildSettings,
) -> Result<Vec<Built>, BuildError> {
    let input = Input::of(cluster);
    let objects = workloads::objects(cluster, settings)?;
    Ok(objects
        .into_iter()
        .map(|(kind, object)| stamp(kind, object, &input))
        .collect())
}

/// Adds the hashes to an object.
fn stamp(kind: MadeKind, mut object: Value, input: &Input) -> Built {
    let text = |pointer: &str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let mut measured = object.clone();
    if let Some(spec) = measured.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("replicas");
    }
    let built = hash(&measured);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert(
            "annotations".into(),
            json!({(annotations::INPUT): input.text(), (annotations::BUILT): built}),
        );
    }
    Built {
        kind,
        namespace,
        name,
        object,
        input: input.clone(),
        built,
    }
}

/// A hash of JSON that does not depend on the order of keys: 16 hexadecimal digits.
pub fn hash(value: &Value) -> String {
    fn feed(value: &Value, digest: &mut Sha256) {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(key, _)| *key);
                digest.update(b"{");
                for (key, value) in entries {
                    digest.update(Value::from(key.as_str()).to_string());
                    digest.update(b":");
                    feed(value, digest);
                    digest.update(b",");
                }
                digest.update(b"}");
            }
            Value::Array(items) => {
                digest.update(b"[");
                for item in items {
                    feed(item, digest);
                    digest.update(b",");
                }
                digest.update(b"]");
            }
            other => digest.update(other.to_string()),
        }
    }
    let mut digest = Sha256::new();
    feed(value, &mut digest);
    digest
        .finalize()
        .iter()
        .take(8)
        .fold(String::with_capacity(16), |mut text, byte| {
            use std::fmt::Write;
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests;
