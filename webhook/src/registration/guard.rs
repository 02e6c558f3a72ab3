//! What the API server judges by itself, by ValidatingAdmissionPolicies, so that it holds with every webhook dead too:
//!
//! * [`labels`]: who may change how strictly a namespace is judged.
//! * [`statuses`]: who may write what quotas are counted by.
//! * [`backstop`]: what is frozen, for those who want it to hold with every webhook dead too; not installed by itself.

pub mod backstop;
pub mod labels;
pub mod statuses;

use k8s_openapi::api::admissionregistration::v1::{
    MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use sluice_policy::Rule;

/// What is refused by a policy of these.
pub static RULES: &[&Rule] = &[&labels::RULE, &statuses::RULE];

/// One policy, and on which requests it is asked.
struct Guard {
    name: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    operations: &'static [&'static str],
    spec: ValidatingAdmissionPolicySpec,
}

/// The policies, each with the binding that makes it count: everywhere, by refusal.
pub fn policies() -> Vec<(ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding)> {
    [labels::guard(), statuses::guard()]
        .map(Guard::objects)
        .into()
}

impl Guard {
    fn objects(self) -> (ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding) {
        let metadata = ObjectMeta {
            name: Some(self.name.to_owned()),
            ..ObjectMeta::default()
        };
        let texts = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
        let policy = ValidatingAdmissionPolicy {
            metadata: metadata.clone(),
            spec: Some(ValidatingAdmissionPolicySpec {
                failure_policy: Some("Fail".to_owned()),
                match_constraints: Some(MatchResources {
                    match_policy: Some("Equivalent".to_owned()),
                    namespace_selector: Some(LabelSelector::default()),
                    object_selector: Some(LabelSelector::default()),
                    resource_rules: Some(vec![NamedRuleWithOperations {
                        api_groups: texts(&[self.group]),
                        api_versions: texts(&[self.version]),
                        operations: texts(self.operations),
                        resources: texts(&[self.resource]),
                        scope: Some("*".to_owned()),
                        ..NamedRuleWithOperations::default()
                    }]),
                    ..MatchResources::default()
                }),
                ..self.spec
            }),
            ..ValidatingAdmissionPolicy::default()
        };
        let binding = ValidatingAdmissionPolicyBinding {
            metadata,
            spec: Some(ValidatingAdmissionPolicyBindingSpec {
                policy_name: Some(self.name.to_owned()),
                validation_actions: texts(&["Deny"]),
                ..ValidatingAdmissionPolicyBindingSpec::default()
            }),
        };
        (policy, binding)
    }
}
