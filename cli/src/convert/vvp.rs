//! Manifests of Ververica Platform: `apiVersion: v1`, and a spec that is ours but for names.

use super::{Faults, Wishes, counterpart, name};
use crate::yaml::{Content, Node};
use sluice_policy::FieldPath;

/// The kinds that have a counterpart of the same name.
pub(super) const KINDS: [&str; 4] = [
    "SessionCluster",
    "Deployment",
    "DeploymentTarget",
    "DeploymentDefaults",
];

/// Fields of `metadata` that Kubernetes has as well.
const METADATA: [&str; 4] = ["name", "namespace", "labels", "annotations"];

/// Fields of a spec that name another object, which is converted by the same rules.
const REFERENCES: [&str; 2] = ["deploymentTargetName", "sessionClusterName"];

/// One manifest.
pub(super) fn convert(
    root: &Node,
    kind: &str,
    wishes: &Wishes<'_>,
    faults: &mut Faults<'_>,
) -> Node {
    let mut node = root.clone();
    node.set("apiVersion", Node::text(sluice_api::API_VERSION));
    for entry in root.entries().unwrap_or_default() {
        if !["apiVersion", "kind", "metadata", "spec"].contains(&entry.key.as_str()) {
            faults.add(
                entry.at,
                format_args!("{} has no counterpart in Sluice's {kind}, whose status is its own; take it out", entry.key),
            );
        }
    }
    metadata(&mut node, kind, faults);
    // A namespace of Ververica Platform has one set of defaults, without a name.
    let fallback = (kind == "DeploymentDefaults").then_some("default");
    name::place(&mut node, wishes, fallback, faults);
    if let Some(spec) = node.get_mut("spec") {
        // Their defaults are a Deployment's spec, and so are ours.
        let shape = if kind == "DeploymentDefaults" {
            "Deployment"
        } else {
            kind
        };
        if let Some(schema) = counterpart::spec_schema(shape) {
            counterpart::fit(spec, schema, &FieldPath::of("spec"), kind, faults);
        }
        references(spec, faults);
    }
    node
}

fn metadata(node: &mut Node, kind: &str, faults: &mut Faults<'_>) {
    let Some(metadata) = node.get_mut("metadata") else {
        return;
    };
    let Content::Map(entries) = &mut metadata.content else {
        return;
    };
    entries.retain(|entry| entry.key == "name" || !entry.value.is_null());
    for entry in entries {
        if !METADATA.contains(&entry.key.as_str()) {
            faults.add(
                entry.at,
                format_args!(
                    "metadata.{} has no counterpart in Sluice's {kind}: Kubernetes keeps its own ids and times; take it out",
                    entry.key
                ),
            );
        }
        if let ("labels" | "annotations", Content::Map(values)) =
            (entry.key.as_str(), &mut entry.value.content)
        {
            for value in values {
                // Kubernetes takes texts only.
                if let Content::Word { spelling, .. } = &mut value.value.content {
                    value.value.content = Content::Text(std::mem::take(spelling));
                }
            }
        }
    }
}

pub(super) fn references(spec: &mut Node, faults: &mut Faults<'_>) {
    for field in REFERENCES {
        let Some(value) = spec.get_mut(field) else {
            continue;
        };
        let Some(wanted) = value.spelling().filter(|wanted| !wanted.is_empty()) else {
            continue;
        };
        match name::label(wanted) {
            Some(label) if label == wanted => {}
            Some(label) => value.content = Content::Text(label),
            None => faults.add(
                value.at,
                format_args!("spec.{field}: no DNS label can be made of \"{wanted}\""),
            ),
        }
    }
}
