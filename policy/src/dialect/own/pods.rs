//! `kubernetes`: pod settings that Kubernetes would refuse when the pods are made, long after the object was accepted.
//!
//! Names, references inside the pod and quantities are judged here and in the modules below; the rest of what a pod may
//! say is read with Kubernetes' own types. What the containers cost is in `demand`.

mod env;
mod names;
mod reserved;
mod scheduling;
mod template;
mod volumes;

use super::at::At;
use super::check::Judge;
use crate::finding::CauseReason;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The container that Flink runs in; a pod template may say more about it, but for its CPU and memory.
pub(crate) const MAIN_CONTAINER: &str = "flink-main-container";

/// Keys of the two pod templates, by role as `resources` names it.
pub(crate) const TEMPLATES: [(&str, &str); 2] = [
    ("jobmanager", "jobManagerPodTemplate"),
    ("taskmanager", "taskManagerPodTemplate"),
];

/// Judges `kubernetes` at `at`.
pub(crate) fn judge(kubernetes: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let given = |key: &str| kubernetes.get(key).filter(|value| !value.is_null());
    if let Some(labels) = given("labels") {
        names::labels(labels, &at.key("labels"), judge);
    }
    for (_, key) in TEMPLATES {
        if let Some(template) = given(key) {
            if given("pods").is_some() {
                judge.refuse(
                    judge.rules.pods,
                    &at.key(key),
                    CauseReason::Forbidden,
                    "pods is set too, and the two exclude each other; move what pods says into the pod templates, or \
                     remove these",
                );
            }
            template::judge(template, &at.key(key), judge);
        }
    }
    if let Some(pods) = given("pods") {
        self::pods(pods, &at.key("pods"), judge);
    }
}

/// Judges labels and annotations of made objects at `at`.
pub(crate) fn metadata(metadata: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    if let Some(labels) = metadata.get("labels") {
        names::labels(labels, &at.key("labels"), judge);
    }
    if let Some(annotations) = metadata.get("annotations") {
        names::keys(annotations, &at.key("annotations"), judge);
    }
}

fn pods(pods: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let given = |key: &str| pods.get(key).filter(|value| !value.is_null());
    metadata(pods, at, judge);
    if let Some(selector) = given("nodeSelector") {
        names::labels(selector, &at.key("nodeSelector"), judge);
    }
    if let Some(variables) = given("envVars").and_then(Value::as_array) {
        env::judge(variables, &at.key("envVars"), judge);
        reserved::variables(variables, &at.key("envVars"), judge);
    }
    if let Some(mounts) = given("volumeMounts").and_then(Value::as_array) {
        volumes::pairs(mounts, &at.key("volumeMounts"), judge);
    }
    if let Some(tolerations) = given("tolerations").and_then(Value::as_array) {
        scheduling::tolerations(tolerations, &at.key("tolerations"), judge);
    }
    if let Some(secrets) = given("imagePullSecrets").and_then(Value::as_array) {
        scheduling::pull_secrets(secrets, &at.key("imagePullSecrets"), judge);
    }
    if let Some(affinity) = given("affinity") {
        readable::<k8s_openapi::api::core::v1::Affinity>(affinity, &at.key("affinity"), judge);
    }
    if let Some(context) = given("securityContext") {
        readable::<k8s_openapi::api::core::v1::PodSecurityContext>(
            context,
            &at.key("securityContext"),
            judge,
        );
    }
}

/// Refuses what Kubernetes' own type cannot hold. What is no map is told by the check of the field.
fn readable<T: DeserializeOwned>(value: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    if !value.is_object() {
        return;
    }
    if let Err(error) = T::deserialize(value) {
        refuse(
            at,
            CauseReason::TypeInvalid,
            format!("Kubernetes cannot read it: {error}"),
            judge,
        );
    }
}

fn refuse(at: &At<'_>, reason: CauseReason, message: impl Into<String>, judge: &mut Judge<'_>) {
    judge.refuse(judge.rules.pods, at, reason, message);
}

/// The text of a field, where it is one.
fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
