//! The guard of the namespaces' labels: whoever may patch a namespace could otherwise switch off a rule or accept
//! another tenant's targets (decisions 9 and 10). A ValidatingAdmissionPolicy, so that it holds without us.

use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec, Validation, Variable,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use sluice_api::names::labels::{ACCEPT_FROM, MODE_DEFAULTS, MODE_IMMUTABILITY, MODE_QUOTA};
use sluice_policy::{Code, Family, Rule};

/// Name of policy and binding.
pub const NAME: &str = "sluice-namespace-labels";

/// The guarded labels.
pub const LABELS: &[&str] = &[MODE_IMMUTABILITY, MODE_QUOTA, MODE_DEFAULTS, ACCEPT_FROM];

/// What the policy refuses by. The API server judges it, so it holds with every webhook dead too.
pub static RULE: Rule = Rule {
    id: "modes/guarded",
    family: Family::Validation,
    code: Code::Forbidden,
    summary: "Who may change a namespace may not for that reason change how strictly Sluice judges it",
    explain: "The labels sluice.dev/immutability, sluice.dev/quota and sluice.dev/defaults decide whether a namespace's refusals \
              are enforced, sluice.dev/accept-from whose pods it takes. Many may label a namespace; changing these labels needs \
              the verb set on modes.sluice.dev too. A cluster administrator sets the label, or binds the ClusterRole \
              sluice-modes to whoever may.",
    source: "decisions 9 and 10",
};

/// The policy: a change of a guarded label needs the verb `set` on `modes.sluice.dev`.
pub fn policy() -> ValidatingAdmissionPolicy {
    let changed: Vec<String> = LABELS
        .iter()
        .map(|label| format!("variables.new[?'{label}'] != variables.old[?'{label}']"))
        .collect();
    ValidatingAdmissionPolicy {
        metadata: named(),
        spec: Some(ValidatingAdmissionPolicySpec {
            failure_policy: Some("Fail".to_owned()),
            match_constraints: Some(MatchResources {
                match_policy: Some("Equivalent".to_owned()),
                namespace_selector: Some(LabelSelector::default()),
                object_selector: Some(LabelSelector::default()),
                resource_rules: Some(vec![NamedRuleWithOperations {
                    api_groups: Some(vec![String::new()]),
                    api_versions: Some(vec!["v1".to_owned()]),
                    operations: Some(vec!["CREATE".to_owned(), "UPDATE".to_owned()]),
                    resources: Some(vec!["namespaces".to_owned()]),
                    scope: Some("*".to_owned()),
                    ..NamedRuleWithOperations::default()
                }]),
                ..MatchResources::default()
            }),
            match_conditions: Some(vec![MatchCondition {
                name: "not-being-deleted".to_owned(),
                expression: "!has(object.metadata.deletionTimestamp)".to_owned(),
            }]),
            variables: Some(vec![
                Variable {
                    name: "new".to_owned(),
                    expression: "object.metadata.?labels.orValue({})".to_owned(),
                },
                Variable {
                    name: "old".to_owned(),
                    expression: "oldObject == null ? {} : oldObject.metadata.?labels.orValue({})"
                        .to_owned(),
                },
            ]),
            validations: Some(vec![Validation {
                expression: format!(
                    "!({}) || authorizer.group('sluice.dev').resource('modes').check('set').allowed()",
                    changed.join(" || ")
                ),
                message: Some(format!(
                    "metadata.labels: changing {} needs the verb \"set\" on modes.sluice.dev; ask a cluster \
                     administrator to set the label or to grant the verb. [{}]",
                    LABELS.join(", "),
                    RULE.id
                )),
                reason: Some("Forbidden".to_owned()),
                ..Validation::default()
            }]),
            ..ValidatingAdmissionPolicySpec::default()
        }),
        ..ValidatingAdmissionPolicy::default()
    }
}

/// Its binding: everywhere, by refusal.
pub fn binding() -> ValidatingAdmissionPolicyBinding {
    ValidatingAdmissionPolicyBinding {
        metadata: named(),
        spec: Some(ValidatingAdmissionPolicyBindingSpec {
            policy_name: Some(NAME.to_owned()),
            validation_actions: Some(vec!["Deny".to_owned()]),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        }),
    }
}

fn named() -> ObjectMeta {
    ObjectMeta {
        name: Some(NAME.to_owned()),
        ..ObjectMeta::default()
    }
}
