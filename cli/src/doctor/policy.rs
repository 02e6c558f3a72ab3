//! Whether a ValidatingAdmissionPolicy that is stored decides as ours does. Which ones are looked at, and what is said about them, is in
//! `stored` (the guards) and `backstop`.

use super::stored::{json, same};
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use serde_json::{Value, json};

/// What a policy decides by, but for the namespaces in which it does ([`namespaces`]).
pub(super) fn judgement(policy: &ValidatingAdmissionPolicy) -> Value {
    let spec = policy.spec.clone().unwrap_or_default();
    let constraints = spec.match_constraints.unwrap_or_default();
    json!([
        json(&spec.failure_policy),
        json(&constraints.resource_rules),
        json(&constraints.exclude_resource_rules),
        json(&constraints.object_selector),
        json(&constraints.match_policy),
        json(&spec.match_conditions),
        json(&spec.variables),
        json(&spec.validations)
    ])
}

/// In which namespaces a policy decides.
pub(super) fn namespaces(policy: &ValidatingAdmissionPolicy) -> Value {
    let constraints = policy
        .spec
        .as_ref()
        .and_then(|spec| spec.match_constraints.as_ref());
    json(&constraints.and_then(|constraints| constraints.namespace_selector.as_ref()))
}

/// Whether a stored binding does what ours does, where ours does it. It may do more, such as an audit.
pub(super) fn does_as_much(
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
