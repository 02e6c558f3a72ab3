//! What else exists, as the judge may know it. The webhook answers from its caches, `sluice check` from files.

use crate::dialect::{Dialect, KindInfo};
use crate::mode::Modes;
use serde_json::Value;
use std::sync::Arc;

/// The answer to "does this object exist".
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// It does. Only the facts that the dialect keeps may be there ([`crate::Dialect::facts`]).
    Found(Arc<Value>),
    /// A full cache says that it does not.
    Absent,
    /// It is not known, for example because the cache is not filled or its kind is not installed.
    Unknown,
}

impl Lookup {
    /// The object, if found.
    pub fn found(&self) -> Option<&Value> {
        match self {
            Lookup::Found(object) => Some(object),
            Lookup::Absent | Lookup::Unknown => None,
        }
    }
}

/// A named layer of defaults or of settings that win.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Where a value comes from, for people: `DeploymentDefaults team-a/default`.
    pub source: String,
    /// The object's `spec`.
    pub spec: Arc<Value>,
}

/// What the judgement of a kind looks at beside the object, apart from what holds for every workload (its namespace's modes) and
/// for every kind with a section of its own (defaults and `Environment`s).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Objects of a kind, by name or uid.
    Objects(&'static KindInfo),
    /// [`World::operator_configuration`].
    OperatorConfiguration,
}

/// What else exists.
pub trait World {
    /// The modes of a namespace; [`Modes::default`] (enforce everything) where nothing is known.
    fn modes(&self, namespace: &str) -> Modes;

    /// Defaults for a namespace, the first that has a value wins: its `DeploymentDefaults` by name, then the
    /// `ClusterDeploymentDefaults` by name.
    fn defaults(&self, namespace: &str) -> Vec<Layer>;

    /// `Environment`s that name this namespace (or `*`), by name; the first that has a value wins.
    fn environments(&self, namespace: &str) -> Vec<Layer>;

    /// An object by kind, namespace and name.
    fn lookup(&self, kind: &KindInfo, namespace: &str, name: &str) -> Lookup;

    /// An object by kind, namespace and uid (`deploymentTargetId`).
    fn lookup_uid(&self, kind: &KindInfo, namespace: &str, uid: &str) -> Lookup;

    /// The labels of a namespace, if it is known.
    fn namespace_labels(&self, namespace: &str) -> Option<Arc<Value>>;

    /// What a kind is judged by and is not known yet, in a few words for people, while a cache is being filled for the first time.
    /// Until then settings of admins may be missing here, and nothing that they could change is admitted. What the kind is not
    /// judged by is no reason to refuse anything.
    fn unfilled(&self, _dialect: &dyn Dialect) -> Option<String> {
        None
    }

    /// The Apache operator's own configuration (`flink-conf.yaml` of its ConfigMap) as one map, with its defaults for
    /// namespaces and versions under their prefixes. `None`: not known, so Flink's own defaults count.
    fn operator_configuration(&self) -> Option<Arc<Value>> {
        None
    }
}

/// A world in which nothing else exists, for tests and for judging an object by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyWorld;

impl World for EmptyWorld {
    fn modes(&self, _namespace: &str) -> Modes {
        Modes::default()
    }
    fn defaults(&self, _namespace: &str) -> Vec<Layer> {
        Vec::new()
    }
    fn environments(&self, _namespace: &str) -> Vec<Layer> {
        Vec::new()
    }
    fn lookup(&self, _kind: &KindInfo, _namespace: &str, _name: &str) -> Lookup {
        Lookup::Unknown
    }
    fn lookup_uid(&self, _kind: &KindInfo, _namespace: &str, _uid: &str) -> Lookup {
        Lookup::Unknown
    }
    fn namespace_labels(&self, _namespace: &str) -> Option<Arc<Value>> {
        None
    }
}
