//! Pod templates: containers, their names and resources, and what they refer to.

use super::names::dns_label;
use super::{MAIN_CONTAINER, env, readable, refuse, reserved, scheduling, text, volumes};
use crate::dialect::own::at::At;
use crate::dialect::own::check::Judge;
use crate::finding::CauseReason;
use crate::json;
use crate::quantity::{MilliCpu, kubernetes_quantity};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;
use std::collections::HashSet;

/// What the names of the containers begin with that the controller adds to pods, to bring artifacts into place.
const OWN_CONTAINERS: &str = "sluice-";

/// Judges a pod template. What is no map is told by the check of the field.
pub(super) fn judge(template: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let before = judge.findings.causes.len();
    if let Some(metadata) = template.get("metadata") {
        super::metadata(metadata, &at.key("metadata"), judge);
    }
    if let Some(spec) = json::present(template, &["spec"]) {
        pod(spec, &at.key("spec"), judge);
    }
    if judge.findings.causes.len() == before {
        readable::<PodTemplateSpec>(template, at, judge);
    }
}

fn pod(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let entries = |key: &str| spec.get(key).and_then(Value::as_array);
    let volumes = entries("volumes")
        .map(|list| volumes::volumes(list, &at.key("volumes"), judge))
        .unwrap_or_default();
    let mut containers = HashSet::new();
    for key in ["containers", "initContainers"] {
        for (index, container) in entries(key).into_iter().flatten().enumerate() {
            let place = at.key(key);
            let at = place.index(index);
            let name = dns_label(container, "a container", &at, judge);
            if let Some(name) = name.filter(|name| name.starts_with(OWN_CONTAINERS)) {
                // Merged into Sluice's own, it would run with resources that nobody has charged.
                let message = format!(
                    "{name} is the name of a container of Sluice's own; choose one that does not begin with {OWN_CONTAINERS}"
                );
                judge.refuse(
                    judge.rules.container,
                    &at.key("name"),
                    CauseReason::Forbidden,
                    message,
                );
            }
            if let Some(name) = name
                && !containers.insert(name)
            {
                refuse(
                    &at.key("name"),
                    CauseReason::Invalid,
                    "another container has this name; give each its own",
                    judge,
                );
            }
            self::container(container, &volumes, &at, judge);
        }
    }
    if let Some(tolerations) = entries("tolerations") {
        scheduling::tolerations(tolerations, &at.key("tolerations"), judge);
    }
    if let Some(secrets) = entries("imagePullSecrets") {
        scheduling::pull_secrets(secrets, &at.key("imagePullSecrets"), judge);
    }
    // Resources of the pod as a whole would hold for Flink's container too.
    main_resources(spec, at, judge);
}

fn container(container: &Value, volumes: &HashSet<&str>, at: &At<'_>, judge: &mut Judge<'_>) {
    let entries = |key: &str| container.get(key).and_then(Value::as_array);
    if text(container, "name") == Some(MAIN_CONTAINER) {
        main_resources(container, at, judge);
        if let Some(variables) = entries("env") {
            reserved::variables(variables, &at.key("env"), judge);
        }
    } else {
        if text(container, "image").is_none_or(str::is_empty) {
            refuse(
                &at.key("image"),
                CauseReason::Required,
                format!("a container needs an image; only {MAIN_CONTAINER} has one of its own"),
                judge,
            );
        }
        quantities(container, at, judge);
    }
    if let Some(variables) = entries("env") {
        env::judge(variables, &at.key("env"), judge);
    }
    if let Some(mounts) = entries("volumeMounts") {
        volumes::mounts(mounts, volumes, &at.key("volumeMounts"), judge);
    }
}

/// CPU and memory of Flink's own container would walk round a quota (decision 20).
fn main_resources(owner: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    for kind in ["requests", "limits"] {
        for name in ["cpu", "memory"] {
            if json::present(owner, &["resources", kind, name]).is_some() {
                let resources = at.key("resources");
                let of_kind = resources.key(kind);
                judge.refuse(
                    judge.rules.container,
                    &of_kind.key(name),
                    CauseReason::Forbidden,
                    format!("{name} of Flink's container stands in resources.jobmanager and resources.taskmanager; move it there"),
                );
            }
        }
    }
}

fn quantities(container: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let resources = at.key("resources");
    for kind in ["requests", "limits"] {
        let of_kind = resources.key(kind);
        let map = json::get(container, &["resources", kind]).and_then(Value::as_object);
        for (name, value) in map.into_iter().flatten() {
            if let Err(message) = quantity(name, value) {
                refuse(&of_kind.key(name), CauseReason::Invalid, message, judge);
            }
        }
    }
    for name in ["cpu", "memory", "ephemeral-storage"] {
        let side = |kind| {
            let value = json::present(container, &["resources", kind, name])?;
            quantity(name, value).ok()
        };
        if let (Some(request), Some(limit)) = (side("requests"), side("limits"))
            && request > limit
        {
            refuse(
                &resources.key("requests").key(name),
                CauseReason::Invalid,
                "is more than the limit; raise the limit or ask for less",
                judge,
            );
        }
    }
}

/// The quantity in the unit of the resource: milli-CPU or bytes (or whole things).
fn quantity(name: &str, value: &Value) -> Result<u64, String> {
    let shown = json::shown(value);
    if name == "cpu" {
        return MilliCpu::parse(value)
            .map(|cpu| cpu.0)
            .map_err(|error| format!("{shown} {error}"));
    }
    json::scalar_text(value)
        .filter(|_| !value.is_boolean())
        .ok_or_else(|| format!("{shown} is no quantity; write one such as 512Mi"))
        .and_then(|text| {
            kubernetes_quantity(&text)
                .map(|bytes| bytes.0)
                .map_err(|error| format!("{shown} {error}"))
        })
}
