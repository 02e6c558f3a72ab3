//! What the API server holds: CRDs, registrations, guards.

use super::policy::{does_as_much, judgement, namespaces};
use super::{Found, Place};
use crate::emergency::{BOTH, opened};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use serde::Serialize;
use serde_json::Value;
use sluice_webhook::registration::{Address, NAME, Registration, guard};

/// How to bring what is stored to this version. Sluice in another namespace than it is in would take its registrations and rights.
fn upgrade(place: &Place<'_>) -> String {
    format!(
        "install this version: helm upgrade, or sluice manifests --namespace {} (and --image and --operator-config as it was installed with) \
         | kubectl apply --server-side --force-conflicts -f -",
        place.namespace
    )
}

/// Whether every CRD is there, served, and says what this version says.
pub(super) async fn crds(place: &Place<'_>) -> Found {
    let api: Api<CustomResourceDefinition> = Api::all(place.live.client.clone());
    let ours = sluice_api::crds();
    for crd in &ours {
        let name = crd.name_any();
        let stored = match api.get_opt(&name).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                return Found::wrong(
                    format!("CustomResourceDefinition {name} is not there"),
                    "install it: helm upgrade with crds.enabled=true, or sluice manifests --only crds | kubectl apply --server-side -f -",
                );
            }
            Err(error) => return Found::unread(&format!("reading {name}"), &error),
        };
        let condition = |kind: &str| {
            let status = stored.status.as_ref();
            status
                .and_then(|status| status.conditions.as_ref())
                .into_iter()
                .flatten()
                .find(|condition| condition.type_ == kind)
        };
        if condition("Established").is_none_or(|condition| condition.status != "True") {
            let why = condition("NamesAccepted")
                .filter(|condition| condition.status != "True")
                .and_then(|condition| condition.message.clone())
                .unwrap_or_else(|| "the API server has not said why".to_owned());
            return Found::wrong(
                format!("CustomResourceDefinition {name} is not established: {why}"),
                "remove what holds the same names: kubectl get crd",
            );
        }
        for version in &crd.spec.versions {
            let same = stored.spec.versions.iter().any(|other| {
                other.name == version.name
                    && same(&json(&other.schema), &json(&version.schema))
                    && other.served
            });
            if !same {
                return Found::wrong(
                    format!(
                        "CustomResourceDefinition {name} is of another version of Sluice than this program ({})",
                        env!("CARGO_PKG_VERSION")
                    ),
                    "bring both to one version: helm upgrade with crds.enabled=true, or sluice manifests --only crds | kubectl apply --server-side --force-conflicts -f -",
                );
            }
        }
    }
    Found::Well(format!("{} are served and current", ours.len()))
}

/// Whether both registrations ask for what this version judges.
pub(super) async fn registration(place: &Place<'_>) -> Found {
    // The address is the installation's own.
    let ours = Registration {
        address: Address::Url("https://127.0.0.1".to_owned()),
        excluded_namespaces: Vec::new(),
    };
    for registration in BOTH {
        let stored = match registration.read(place.live).await {
            Ok(Some(stored)) => stored,
            Ok(None) => {
                return Found::wrong(
                    format!("{registration} is not there: the API server does not ask Sluice"),
                    upgrade(place),
                );
            }
            Err(failure) => return Found::Unseen(failure.to_string()),
        };
        let wanted = if registration.kind.starts_with("Validating") {
            json(&ours.validating().webhooks)
        } else {
            json(&ours.mutating().webhooks)
        };
        if let Some(field) = differs(&stored, &wanted) {
            return Found::wrong(
                format!("{registration}: {field} is not what this version of Sluice registers"),
                upgrade(place),
            );
        }
    }
    Found::Well(format!("both webhook configurations {NAME} are current"))
}

/// The field of a webhook that decides what is asked and is not as it should be.
fn differs(stored: &DynamicObject, wanted: &Value) -> Option<String> {
    let stored = stored
        .data
        .get("webhooks")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    for webhook in wanted.as_array().into_iter().flatten() {
        let name = webhook.get("name").and_then(Value::as_str)?;
        let Some(held) = stored.iter().find(|held| held["name"] == name) else {
            return Some(format!("webhook {name}"));
        };
        for field in ["rules", "matchPolicy", "sideEffects"] {
            if !same(held.get(field).unwrap_or(&Value::Null), webhook.get(field)?) {
                return Some(format!("{field} of {name}"));
            }
        }
        // Others may have narrowed it further; what we leave out must be left out.
        let conditions = held.get("matchConditions").and_then(Value::as_array);
        for condition in webhook.get("matchConditions")?.as_array()? {
            if !conditions.is_some_and(|all| all.contains(condition)) {
                return Some(format!("matchConditions of {name}"));
            }
        }
    }
    None
}

/// Whether nobody has opened the gate.
pub(super) async fn closed(place: &Place<'_>) -> Found {
    let mut unseen = None;
    for registration in BOTH {
        match registration.read(place.live).await {
            Ok(stored) => {
                if let Some(told) = stored.as_ref().and_then(opened) {
                    return Found::wrong(
                        format!("{registration} is open {told}: nothing is judged"),
                        "sluice emergency restore",
                    );
                }
            }
            // The other one may still tell that it is open.
            Err(failure) => unseen = Some(failure.to_string()),
        }
    }
    match unseen {
        Some(why) => Found::Unseen(why),
        None => Found::Well("the gate is not opened by sluice emergency".to_owned()),
    }
}

/// Whether the guards are there and count.
pub(super) async fn guards(place: &Place<'_>) -> Found {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(place.live.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(place.live.client.clone());
    for (policy, binding) in guard::policies() {
        let name = policy.name_any();
        match policies.get_opt(&name).await {
            Ok(Some(stored)) => {
                if !same(&judgement(&stored), &judgement(&policy))
                    || !same(&namespaces(&stored), &namespaces(&policy))
                {
                    return Found::wrong(
                        format!(
                            "ValidatingAdmissionPolicy {name} is not what this version of Sluice has"
                        ),
                        upgrade(place),
                    );
                }
            }
            Ok(None) => {
                return Found::wrong(
                    format!("ValidatingAdmissionPolicy {name} is not there"),
                    upgrade(place),
                );
            }
            Err(error) => return Found::unread(&format!("reading {name}"), &error),
        }
        let name = binding.name_any();
        match bindings.get_opt(&name).await {
            Ok(Some(stored)) if does_as_much(&stored, &binding) => {}
            Ok(Some(_)) => {
                return Found::wrong(
                    format!(
                        "ValidatingAdmissionPolicyBinding {name} is not what this version of Sluice has: its policy does not refuse \
                         everywhere"
                    ),
                    upgrade(place),
                );
            }
            Ok(None) => {
                return Found::wrong(
                    format!(
                        "ValidatingAdmissionPolicyBinding {name} is not there: its policy does not count"
                    ),
                    upgrade(place),
                );
            }
            Err(error) => return Found::unread(&format!("reading {name}"), &error),
        }
    }
    Found::Well("labels and statuses are guarded by the API server".to_owned())
}

/// As JSON, to be compared.
pub(super) fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// Equal, but for the spelling of numbers and for what is null or empty.
///
/// Every pair is looked at once: schemas are deep, and twice a level would be a million times at the bottom.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter()
                .all(|(key, value)| same(value, b.get(key).unwrap_or(&Value::Null)))
                && b.iter()
                    .filter(|(key, _)| !a.contains_key(*key))
                    .all(|(_, value)| empty(value))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b || (empty(a) && empty(b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_null_or_empty_is_as_if_it_were_not_there() {
        let schema = json!({"type": "number", "minimum": 1, "enum": ["a"]});
        for like in [
            json!({"type": "number", "minimum": 1.0, "enum": ["a"]}),
            json!({"type": "number", "minimum": 1, "enum": ["a"], "items": null, "required": [], "properties": {}}),
        ] {
            assert!(same(&schema, &like) && same(&like, &schema), "{like}");
        }
        for unlike in [
            json!({"type": "number", "minimum": 2, "enum": ["a"]}),
            json!({"type": "number", "minimum": 1, "enum": ["a", "b"]}),
            json!({"type": "number", "minimum": 1, "enum": ["a"], "default": false}),
            json!({"type": "number", "enum": ["a"]}),
        ] {
            assert!(
                !same(&schema, &unlike) && !same(&unlike, &schema),
                "{unlike}"
            );
        }
    }

    #[test]
    fn deep_schemas_are_compared_in_no_time() {
        let mut deep = json!({"type": "string"});
        for _ in 0..100 {
            deep = json!({"properties": {"deeper": deep}});
        }
        assert!(same(&deep, &deep.clone()));
    }
}
