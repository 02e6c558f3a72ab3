//! The namespaces' labels: whoever may patch a namespace could otherwise switch off a rule or accept another tenant's
//! targets (decisions 9 and 10).

use super::Guard;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, ValidatingAdmissionPolicySpec, Validation, Variable,
};
use sluice_api::names::labels::{ACCEPT_FROM, MODE_DEFAULTS, MODE_IMMUTABILITY, MODE_QUOTA};
use sluice_policy::{Code, Family, Rule};

/// The guarded labels.
pub const LABELS: &[&str] = &[MODE_IMMUTABILITY, MODE_QUOTA, MODE_DEFAULTS, ACCEPT_FROM];

/// Those of them that choose a mode; the other names a namespace.
const MODES: &[&str] = &[MODE_IMMUTABILITY, MODE_QUOTA, MODE_DEFAULTS];

/// What the policy refuses by. The API server judges it, so it holds with every webhook dead too.
pub static RULE: Rule = Rule {
    id: "modes/guarded",
    family: Family::Validation,
    code: Code::Forbidden,
    summary: "Who may change a namespace may not for that reason change how strictly Sluice judges it",
    explain: "The labels sluice.dev/immutability, sluice.dev/quota and sluice.dev/defaults decide whether a namespace's refusals \
              are enforced, sluice.dev/accept-from whose pods it takes; a mode is enforce, warn or off. Many may label a namespace; changing these labels needs \
              the verb set on modes.sluice.dev too. A cluster administrator sets the label, or binds the ClusterRole \
              sluice-modes to whoever may.",
    source: "decisions 9 and 10",
};

/// A change of a guarded label needs the verb `set` on `modes.sluice.dev`.
pub(super) fn guard() -> Guard {
    let changed: Vec<String> = LABELS
        .iter()
        .map(|label| format!("variables.new[?'{label}'] != variables.old[?'{label}']"))
        .collect();
    Guard {
        name: "sluice-namespace-labels",
        group: "",
        version: "v1",
        resource: "namespaces",
        operations: &["CREATE", "UPDATE"],
        spec: ValidatingAdmissionPolicySpec {
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
            validations: Some(vec![
                Validation {
                    expression: format!(
                        "{}.all(mode, variables.new[?mode] == variables.old[?mode] || variables.new[?mode].orValue('off').lowerAscii() in ['enforce', 'warn', 'off'])",
                        cel_list(MODES)
                    ),
                    message: Some(format!(
                        "metadata.labels: each of {} is enforce, warn or off. [{}]",
                        MODES.join(", "),
                        RULE.id
                    )),
                    reason: Some("Invalid".to_owned()),
                    ..Validation::default()
                },
                Validation {
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
                },
            ]),
            ..ValidatingAdmissionPolicySpec::default()
        },
    }
}

fn cel_list(texts: &[&str]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("'{text}'")).collect();
    format!("[{}]", quoted.join(", "))
}
