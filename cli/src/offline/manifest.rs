//! A document as an object of Kubernetes: what it is called, where it lives, which dialect speaks about it.

use super::{names, served, texts};
use crate::input::Document;
use crate::yaml::{Node, Position};
use serde_json::Value;
use sluice_policy::dialect::{Dialect, Scope, dialect_for};
use std::fmt;

/// Kinds without a dialect that live beside all namespaces.
const CLUSTER_KINDS: [(&str, &str); 4] = [
    ("", "Namespace"),
    ("sluice.dev", "ClusterCpuQuota"),
    ("sluice.dev", "ClusterDeploymentDefaults"),
    ("sluice.dev", "Environment"),
];

/// Which object. Versions of one kind are the same object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind.
    pub kind: String,
    /// Namespace; `None` for kinds that live beside all namespaces.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl fmt::Display for ObjectId {
    /// `SessionCluster team-a/analytics`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// An object as a file holds it.
#[derive(Clone)]
pub struct Manifest {
    /// Which object.
    pub id: ObjectId,
    /// `apiVersion` as written.
    pub api_version: String,
    /// Where it stands in its file.
    pub at: Position,
    /// Who speaks about its kind; `None`: it never reaches the gate.
    pub dialect: Option<&'static dyn Dialect>,
    /// The object as written.
    pub object: Value,
}

impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("id", &self.id)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

impl Manifest {
    /// Reads a document. The error names file, place and field.
    pub fn of(document: &Document, default_namespace: &str) -> Result<Self, String> {
        let root = &document.root;
        let api_version = text(document, root, "apiVersion")?;
        let kind = text(document, root, "kind")?;
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        served::check(document, &api_version, &kind)?;
        let Some(metadata) = root
            .get("metadata")
            .filter(|metadata| metadata.entries().is_some())
        else {
            let at = root.get("metadata").map_or(root.at, |metadata| metadata.at);
            return Err(document.fault(
                at,
                format_args!("metadata is missing; {kind} needs at least metadata.name"),
            ));
        };
        let is_namespace = group.is_empty() && kind == "Namespace";
        texts::check(document, metadata, is_namespace)?;
        let name = match metadata.get("name").filter(|name| !name.is_null()) {
            Some(name) => name.as_text().map(str::to_owned).ok_or_else(|| {
                document.fault(
                    name.at,
                    format_args!(
                        "metadata.name is {}, not a text; quote it",
                        name.type_name()
                    ),
                )
            })?,
            None => String::new(),
        };
        let name = match metadata.get("generateName").and_then(Node::as_text) {
            // The API server appends five characters.
            Some(prefix) if name.is_empty() => format!("{prefix}00000"),
            _ => name,
        };
        if name.is_empty() {
            let at = metadata.get("name").map_or(metadata.at, |name| name.at);
            return Err(document.fault(
                at,
                format_args!("metadata.name is empty; give this {kind} a name"),
            ));
        }
        if is_namespace && let Some(fault) = names::namespace_fault(&name) {
            let at = metadata.get("name").map_or(metadata.at, |name| name.at);
            return Err(document.fault(at, format_args!("metadata.name: {fault}")));
        }
        let dialect = dialect_for(group, &kind);
        let cluster = match dialect {
            Some(dialect) => dialect.kind().scope == Scope::Cluster,
            None => CLUSTER_KINDS.contains(&(group, kind.as_str())),
        };
        let namespace = if cluster {
            None
        } else {
            Some(namespace(document, metadata, &kind, default_namespace)?)
        };
        let mut object = root.to_json();
        if is_namespace {
            // `sluice.dev/quota: off` is a boolean to YAML; here it can only mean the word.
            for entry in metadata
                .get("labels")
                .and_then(Node::entries)
                .unwrap_or_default()
            {
                let label = object
                    .pointer_mut("/metadata/labels")
                    .and_then(|labels| labels.get_mut(&entry.key));
                if let (Some(label), Some(spelling)) = (label, entry.value.spelling()) {
                    *label = Value::from(spelling);
                }
            }
        }
        Ok(Self {
            id: ObjectId {
                group: group.to_owned(),
                kind,
                namespace,
                name,
            },
            api_version,
            at: root.at,
            dialect,
            object,
        })
    }
}

fn text(document: &Document, root: &Node, field: &str) -> Result<String, String> {
    match root.get(field) {
        Some(node) => node
            .as_text()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .ok_or_else(|| {
                document.fault(
                    node.at,
                    format_args!("{field} is {}, not a word", node.type_name()),
                )
            }),
        None => Err(document.fault(
            root.at,
            format_args!("{field} is missing; every object has apiVersion, kind and metadata.name"),
        )),
    }
}

/// Where an object of a namespaced kind goes.
fn namespace(
    document: &Document,
    metadata: &Node,
    kind: &str,
    default: &str,
) -> Result<String, String> {
    let Some(node) = metadata.get("namespace").filter(|node| !node.is_null()) else {
        return match names::namespace_fault(default) {
            None => Ok(default.to_owned()),
            Some(fault) => Err(document.fault(
                metadata.at,
                format_args!("this {kind} names no namespace and goes to that of --namespace, or of its suite: {fault}"),
            )),
        };
    };
    let Some(name) = node.as_text() else {
        let what = node.type_name();
        return Err(document.fault(
            node.at,
            format_args!("metadata.namespace is {what}, not the name of a namespace; quote it"),
        ));
    };
    match names::namespace_fault(name) {
        None => Ok(name.to_owned()),
        Some(fault) => Err(document.fault(node.at, format_args!("metadata.namespace: {fault}"))),
    }
}
