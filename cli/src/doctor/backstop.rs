//! The policies that `sluice export vap` prints, where somebody has installed them: an upgrade of Sluice does not bring them along.

use super::{Found, Place};
use crate::doctor::stored::{json, same};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sluice_webhook::registration::{Address, Registration, guard::backstop};

const EXPORT: &str = "sluice export vap | kubectl apply --server-side --force-conflicts -f - (with the --namespace and --exclude it was \
                      exported with)";

/// Whether what is there of the backstop is whole and of this version. Nothing of it is well, too.
pub(super) async fn backstop(place: &Place<'_>) -> Found {
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(place.live.client.clone());
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(place.live.client.clone());
    // Which namespaces are left out was the exporter's choice, and is not compared.
    let registration = Registration {
        address: Address::Url(String::new()),
        excluded_namespaces: Vec::new(),
    };
    let (mut missing, mut stale, mut there) = (Vec::new(), Vec::new(), 0);
    for (policy, of_policy) in backstop::policies(&registration) {
        let name = policy.name_any();
        match policies.get_opt(&name).await {
            Ok(Some(stored)) if same(&judgement(&stored), &judgement(&policy)) => there += 1,
            Ok(Some(_)) => {
                there += 1;
                stale.push(format!("ValidatingAdmissionPolicy {name}"));
            }
            Ok(None) => missing.push(format!("ValidatingAdmissionPolicy {name}")),
            Err(error) => return Found::unread(&format!("reading {name}"), &error),
        }
        for binding in of_policy {
            let name = binding.name_any();
            match bindings.get_opt(&name).await {
                Ok(Some(stored)) => {
                    there += 1;
                    // Nothing of it is the exporter's choice.
                    if !does_as_much(&stored, &binding) {
                        stale.push(format!("ValidatingAdmissionPolicyBinding {name}"));
                    }
                }
                Ok(None) => missing.push(format!("ValidatingAdmissionPolicyBinding {name}")),
                Err(error) => return Found::unread(&format!("reading {name}"), &error),
            }
        }
    }
    if there == 0 {
        return Found::Well("none is installed (sluice export vap)".to_owned());
    }
    if !stale.is_empty() {
        return Found::wrong(
            format!(
                "of the backstop is not what this version of Sluice has: {}",
                stale.join(", ")
            ),
            EXPORT,
        );
    }
    if !missing.is_empty() {
        return Found::wrong(
            format!("of the backstop is missing: {}", missing.join(", ")),
            EXPORT,
        );
    }
    Found::Well("running session clusters stay frozen with no webhook".to_owned())
}

/// What a policy decides by.
fn judgement(policy: &ValidatingAdmissionPolicy) -> Value {
    let spec = policy.spec.clone().unwrap_or_default();
    let constraints = spec.match_constraints.unwrap_or_default();
    json!([
        json(&spec.failure_policy),
        json(&constraints.resource_rules),
        json(&spec.match_conditions),
        json(&spec.variables),
        json(&spec.validations)
    ])
}

/// Whether a stored binding does what ours does, where ours does it. It may do more, such as an audit.
fn does_as_much(
    stored: &ValidatingAdmissionPolicyBinding,
    ours: &ValidatingAdmissionPolicyBinding,
) -> bool {
    let actions = |binding: &ValidatingAdmissionPolicyBinding| {
        let spec = binding.spec.clone().unwrap_or_default();
        spec.validation_actions.unwrap_or_default()
    };
    let there = actions(stored);
    same(&reach(stored), &reach(ours)) && actions(ours).iter().all(|action| there.contains(action))
}

/// Which policy a binding puts in force, and where.
fn reach(binding: &ValidatingAdmissionPolicyBinding) -> Value {
    let spec = binding.spec.clone().unwrap_or_default();
    let resources = spec.match_resources.unwrap_or_default();
    json!([
        json(&spec.policy_name),
        json(&resources.namespace_selector),
        json(&resources.object_selector),
        json(&resources.exclude_resource_rules),
        json(&resources.resource_rules),
    ])
}
