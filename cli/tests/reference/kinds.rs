//! Kinds and their fields, from the schemas of the CRDs.

use crate::{cell, code};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use std::fmt::Write;

pub fn page() -> String {
    let mut page = "# Kinds and their fields\n\nAll in `sluice.dev/v1alpha1`; `kubectl explain` tells the same. Status is written by Sluice \
                    only.\n"
        .to_owned();
    let mut all = sluice_api::crds();
    all.sort_by_key(|crd| crd.spec.names.kind.clone());
    for crd in &all {
        describe(crd, &mut page);
    }
    page
}

fn describe(crd: &CustomResourceDefinition, page: &mut String) {
    let names = &crd.spec.names;
    let version = &crd.spec.versions[0];
    let schema = version
        .schema
        .as_ref()
        .unwrap()
        .open_api_v3_schema
        .as_ref()
        .unwrap();
    write!(page, "\n## {}\n\n", names.kind).unwrap();
    if let Some(text) = &schema.description {
        write!(page, "{}\n\n", text.trim().replace('<', "&lt;")).unwrap();
    }
    let scope = match crd.spec.scope.as_str() {
        "Cluster" => "For the whole cluster",
        _ => "In a namespace",
    };
    let mut words = vec![code(&names.plural)];
    words.extend(names.short_names.iter().flatten().map(|short| code(short)));
    writeln!(page, "{scope}, {}.", words.join(", ")).unwrap();
    for part in ["spec", "status"] {
        if let Some(schema) = schema.properties.as_ref().and_then(|all| all.get(part)) {
            if let Some(text) = &schema.description {
                write!(page, "\n`{part}`: {}\n", text.trim().replace('<', "&lt;")).unwrap();
            }
            page.push_str("\n| field | type | means |\n|---|---|---|\n");
            fields(schema, part, page);
        }
    }
}

fn fields(schema: &JSONSchemaProps, path: &str, page: &mut String) {
    for (name, field) in schema.properties.iter().flatten() {
        let path = format!("{path}.{name}");
        let required = schema
            .required
            .iter()
            .flatten()
            .any(|wanted| wanted == name);
        let words: Vec<String> = field
            .enum_
            .iter()
            .flatten()
            .map(|word| {
                word.0
                    .as_str()
                    .map_or_else(|| word.0.to_string(), str::to_owned)
            })
            .collect();
        let mut means = cell(field.description.as_deref().unwrap_or_default());
        if !words.is_empty() {
            write!(means, " One of `{}`.", words.join("`, `")).unwrap();
        }
        if required {
            means.push_str(" Required.");
        }
        writeln!(
            page,
            "| {} | {} | {} |",
            code(&path),
            type_of(field),
            means.trim()
        )
        .unwrap();
        below(field, &path, page);
    }
}

/// What stands in an object, in the objects of a list, or in those of a map.
fn below(field: &JSONSchemaProps, path: &str, page: &mut String) {
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &field.items {
        fields(item, &format!("{path}[]"), page);
    } else if let Some(JSONSchemaPropsOrBool::Schema(value)) = &field.additional_properties {
        fields(value, &format!("{path}.*"), page);
    } else {
        fields(field, path, page);
    }
}

fn type_of(field: &JSONSchemaProps) -> String {
    if field.x_kubernetes_int_or_string == Some(true) {
        return "integer or string".to_owned();
    }
    match field.type_.as_deref() {
        Some("array") => match &field.items {
            Some(JSONSchemaPropsOrArray::Schema(item)) => format!("list of {}", type_of(item)),
            _ => "list".to_owned(),
        },
        Some("object") => match &field.additional_properties {
            Some(JSONSchemaPropsOrBool::Schema(value)) => format!("map of {}", type_of(value)),
            _ => "object".to_owned(),
        },
        Some(word) => word.to_owned(),
        None => "any".to_owned(),
    }
}
