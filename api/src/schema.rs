//! From Rust types to the schema that a CRD may hold ("structural"), with descriptions that read well.
//!
//! Generated with our own settings instead of `CustomResourceExt::crd`: there the doc comment of a field's type
//! replaces that of the field, every optional field is `nullable` (so a forgotten value would be stored as null), and
//! line breaks of the source stay in the text. The kinds themselves are in `kinds`, the list of them in `registry`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The schema of a kind's root type.
pub(crate) fn structural<K: JsonSchema>() -> Result<JSONSchemaProps, serde_json::Error> {
    let mut settings = SchemaSettings::openapi3();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.transforms.clear();
    let mut schema = settings.into_generator().into_root_schema_for::<K>();
    RecursiveTransform(plain).transform(&mut schema);
    schema.remove("title");
    serde_json::from_value(schema.to_value())
}

/// One schema node, without what Kubernetes does not allow or what means something else to it.
fn plain(schema: &mut Schema) {
    let Some(node) = schema.as_object_mut() else {
        return;
    };
    for unused in ["default", "nullable", "title", "$schema", "additionalItems"] {
        // A property may bear such a name; then its value is a schema, and it stands under `properties`, not here.
        node.remove(unused);
    }
    optional(node);
    words(node);
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = paragraphs(text);
    }
    if node.get("additionalProperties") == Some(&json!(true)) {
        node.remove("additionalProperties");
        node.insert("x-kubernetes-preserve-unknown-fields".into(), json!(true));
    }
    if !matches!(
        node.get("format").and_then(Value::as_str),
        None | Some("int32" | "int64" | "date-time")
    ) {
        node.remove("format");
    }
}

/// `Option<T>`: the schema of T; what the field itself says about it wins.
fn optional(node: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            node.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(values)) = node.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let inner = match node
        .get("anyOf")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
    {
        Some([inner, Value::Object(null)]) if is_null(null) => inner.as_object().cloned(),
        _ => None,
    };
    if let Some(inner) = inner {
        node.remove("anyOf");
        for (key, value) in inner {
            node.entry(key).or_insert(value);
        }
    }
}

fn is_null(node: &Map<String, Value>) -> bool {
    node.get("type") == Some(&json!("null"))
        || node.get("enum") == Some(&json!([null]))
        || node.get("const") == Some(&Value::Null)
}

/// An enum whose words have doc comments: schemars writes `oneOf` of constants, Kubernetes knows only `enum`.
fn words(node: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = node.get("oneOf") else {
        return;
    };
    let mut all = Vec::new();
    for variant in variants {
        match (
            variant.get("const"),
            variant.get("enum").and_then(Value::as_array),
        ) {
            (Some(word), _) => all.push(word.clone()),
            (None, Some(some)) => all.extend(some.iter().cloned()),
            (None, None) => return,
        }
    }
    node.remove("oneOf");
    node.insert("type".into(), json!("string"));
    node.insert("enum".into(), Value::Array(all));
}

/// Joins the lines of a doc comment; blank lines and list items keep theirs.
fn paragraphs(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() {
            if !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            }
        } else {
            if line.starts_with("* ") && !out.is_empty() && !out.ends_with('\n') {
                out.push('\n');
            } else if !out.is_empty() && !out.ends_with('\n') {
                out.push(' ');
            }
            out.push_str(line);
        }
    }
    out.trim_end().replace('`', "")
}

/// An object with any keys and values: string maps included, since `taskmanager.numberOfTaskSlots: 1` and
/// `log4jLoggers: {org.x: OFF}` (false, to YAML) must reach admission, which makes text of them.
pub(crate) fn open_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of objects with any keys.
pub(crate) fn open_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// Kubernetes' standard conditions, merged by type.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": { "type": "string", "description": "What the condition is about, in CamelCase." },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"], "description": "True, False or Unknown." },
                "reason": { "type": "string", "description": "One word for why, in CamelCase, meant for programs." },
                "message": { "type": "string", "description": "Why, in a sentence, and what to do about it." },
                "lastTransitionTime": { "type": "string", "format": "date-time", "description": "When the status last changed." },
                "observedGeneration": {
                    "type": "integer", "format": "int64",
                    "description": "The metadata.generation that this was found for; older than the object's means out of date.",
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_doc_comment_become_paragraphs() {
        assert_eq!(
            paragraphs("One\ntwo `three`.\n\nFour:\n* a\n  b\n* c\n"),
            "One two three.\nFour:\n* a b\n* c"
        );
    }
}
