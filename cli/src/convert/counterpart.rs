//! Which fields have a counterpart, asked of the schema of the CRD that the object is for; and how scalars must be written
//! so that they arrive as they were spelled.

use super::Faults;
use crate::yaml::{Content, Node};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use sluice_policy::FieldPath;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Leaves that are numbers although the schema leaves their type open.
const QUANTITIES: [&str; 3] = ["cpu", "memory", "ephemeralStorage"];

/// The schema of a kind's `spec`.
pub(super) fn spec_schema(kind: &str) -> Option<&'static JSONSchemaProps> {
    // Made of the types, which takes a while; and a folder holds many objects of a kind.
    static SCHEMAS: LazyLock<HashMap<String, JSONSchemaProps>> = LazyLock::new(|| {
        let spec = |crd: CustomResourceDefinition| {
            let version = crd.spec.versions.into_iter().next()?;
            let mut properties = version.schema?.open_api_v3_schema?.properties?;
            Some((crd.spec.names.kind, properties.remove("spec")?))
        };
        sluice_api::crds().into_iter().filter_map(spec).collect()
    });
    SCHEMAS.get(kind)
}

/// Holds a value against its schema. What the schema does not know is a fault; a field without a value is left out, as it
/// says nothing and the API server would refuse it.
pub(super) fn fit(
    node: &mut Node,
    schema: &JSONSchemaProps,
    path: &FieldPath,
    kind: &str,
    faults: &mut Faults<'_>,
) {
    let typed = schema.type_.as_deref();
    match &mut node.content {
        Content::Map(entries) => match (&schema.properties, &schema.additional_properties) {
            (Some(known), _) => {
                entries.retain(|entry| !entry.value.is_null());
                for entry in entries {
                    let path = path.key(&entry.key);
                    match known.get(&entry.key) {
                        Some(schema) => fit(&mut entry.value, schema, &path, kind, faults),
                        None if schema.x_kubernetes_preserve_unknown_fields == Some(true) => {}
                        None => faults.add(
                            entry.at,
                            format_args!("{path} has no counterpart in Sluice's {kind}; take it out if you can do without"),
                        ),
                    }
                }
            }
            (None, Some(JSONSchemaPropsOrBool::Schema(each))) => {
                for entry in entries {
                    fit(&mut entry.value, each, &path.key(&entry.key), kind, faults);
                }
            }
            _ if typed == Some("object") => texts(node),
            _ => {}
        },
        Content::List(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(each)) = &schema.items {
                for (position, item) in items.iter_mut().enumerate() {
                    fit(item, each, &path.index(position), kind, faults);
                }
            }
        }
        Content::Word { spelling, meaning } => {
            let open =
                typed.is_none() && !path.last_key().is_some_and(|key| QUANTITIES.contains(&key));
            if (typed == Some("string") || open) && !meaning.is_null() {
                node.content = Content::Text(std::mem::take(spelling));
            }
        }
        Content::Text(_) => {}
    }
}

/// The leaves of a map of texts (`flinkConfiguration`): quoted where kubectl would change their spelling, 1.10 to 1.1.
pub(super) fn texts(node: &mut Node) {
    match &mut node.content {
        Content::Word { spelling, meaning } if !meaning.is_null() => {
            let sent = meaning.to_string();
            if *spelling != sent {
                node.content = Content::Text(std::mem::take(spelling));
            }
        }
        Content::List(items) => items.iter_mut().for_each(texts),
        Content::Map(entries) => entries.iter_mut().for_each(|entry| texts(&mut entry.value)),
        Content::Word { .. } | Content::Text(_) => {}
    }
}
