//! What is installed without helm: `charts/install.yaml`, which helm has rendered from the chart with its default values, changed to
//! fit what was chosen. So there is one source for what runs, the chart, and this binary needs no templates.

use super::{NAME, rbac};
use crate::exit::Failure;
use crate::input;
use crate::operator::OperatorConfig;
use anyhow::anyhow;
use serde_json::{Value, json};

/// As helm renders it; a test of the chart tells when it is stale.
const RENDERED: &str = include_str!("../../../charts/install.yaml");
/// The namespace that it was rendered for.
const NAMESPACE: &str = "sluice-system";

/// What differs between installations.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices<'a> {
    /// The image that holds this binary.
    pub image: &'a str,
    /// Where it runs.
    pub namespace: &'a str,
    /// Pods of the webhook.
    pub replicas: u16,
    /// Where the Apache operator keeps its configuration.
    pub operator: Option<&'a OperatorConfig>,
}

/// Everything, in the order in which it can be applied.
#[derive(Debug)]
pub(crate) struct Installation {
    /// CustomResourceDefinitions.
    pub crds: Vec<Value>,
    /// Namespace, roles, and what runs.
    pub workload: Vec<Value>,
    /// From these on the API server asks.
    pub registration: Vec<Value>,
}

/// The installation that these choices make.
pub(crate) fn read(choices: &Choices<'_>) -> Result<Installation, Failure> {
    let mut all = Installation {
        crds: Vec::new(),
        workload: Vec::new(),
        registration: Vec::new(),
    };
    for mut object in objects()? {
        place(&mut object, choices.namespace);
        let group = text(&object, "/apiVersion").split('/').next();
        match group {
            Some("apiextensions.k8s.io") => all.crds.push(object),
            Some("admissionregistration.k8s.io") => all.registration.push(object),
            _ => {
                if text(&object, "/kind") == "Deployment" {
                    fit(&mut object, choices);
                }
                all.workload.push(object);
            }
        }
    }
    // Nobody is asked before all else is in place.
    all.registration
        .sort_by_key(|object| text(object, "/kind").ends_with("WebhookConfiguration"));
    if let Some(operator) = choices.operator {
        let subjects =
            json!([{"kind": "ServiceAccount", "name": NAME, "namespace": choices.namespace}]);
        all.workload
            .extend(rbac::operator_config(operator, &subjects));
    }
    Ok(all)
}

fn objects() -> Result<Vec<Value>, Failure> {
    let documents = input::parse("install.yaml", RENDERED.as_bytes())
        .map_err(|why| Failure::Internal(anyhow!("the embedded install.yaml: {why}")))?;
    Ok(documents
        .into_iter()
        .map(|document| document.root.to_json())
        .collect())
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Puts another namespace wherever that of the rendering stands, alone or as the value of an argument.
fn place(value: &mut Value, namespace: &str) {
    match value {
        Value::String(text) if text == NAMESPACE => namespace.clone_into(text),
        Value::String(text) => {
            if let Some(flag) = text
                .strip_suffix(NAMESPACE)
                .filter(|flag| flag.ends_with('='))
            {
                *text = format!("{flag}{namespace}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| place(item, namespace)),
        Value::Object(map) => map.values_mut().for_each(|value| place(value, namespace)),
        _ => {}
    }
}

/// Image, number of pods and the operator's configuration.
fn fit(deployment: &mut Value, choices: &Choices<'_>) {
    if let Some(spec) = deployment.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("replicas".to_owned(), json!(choices.replicas));
    }
    let containers = deployment
        .pointer_mut("/spec/template/spec/containers")
        .and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten() {
        let Some(container) = container.as_object_mut() else {
            continue;
        };
        container.insert("image".to_owned(), json!(choices.image));
        let Some(args) = container.get_mut("args").and_then(Value::as_array_mut) else {
            continue;
        };
        for arg in args.iter_mut() {
            if arg
                .as_str()
                .is_some_and(|arg| arg.starts_with("--sluice-image="))
            {
                *arg = json!(format!("--sluice-image={}", choices.image));
            }
        }
        args.extend(
            choices
                .operator
                .map(|place| json!(format!("--operator-config={place}"))),
        );
    }
}
