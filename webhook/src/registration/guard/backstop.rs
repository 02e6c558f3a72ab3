//! The backstop: that session clusters which run are frozen, judged by the API server itself, for those who want it to hold with every
//! webhook dead and registrations opened or gone. `sluice export vap` prints it; nothing installs it.
//!
//! What is frozen, what may change and what is said about it comes from the dialects; [`cel`] writes the comparison down. Whatever the
//! language cannot tell is let through, and so is what it cannot compute (`failurePolicy: Ignore`): where a webhook answers, that judges
//! it anyway. A policy is only asked about updates of the object itself; what `/scale` does to a FlinkDeployment it cannot tell.

mod cel;

use crate::registration::Registration;
use cel::{Free, quoted};
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, MatchResources, NamedRuleWithOperations, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding, ValidatingAdmissionPolicyBindingSpec,
    ValidatingAdmissionPolicySpec, Validation, Variable,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    LabelSelector, LabelSelectorRequirement, ObjectMeta,
};
use serde_json::{Value, json};
use sluice_api::names::{annotations::ALLOW_RECREATE, labels::CANARY, labels::MODE_IMMUTABILITY};
use sluice_policy::dialect::{Dialect, Frozen, flink_deployment, session_cluster};
use sluice_policy::immutability::parts::Unlisted;

/// What stands for the observed state in the sentences of policy.
const STATE: &str = "(state)";

/// One policy for each kind that is ever frozen, with two bindings: one refuses, and one warns where the namespace's mode is to.
pub fn policies(
    registration: &Registration,
) -> Vec<(
    ValidatingAdmissionPolicy,
    [ValidatingAdmissionPolicyBinding; 2],
)> {
    [session_cluster(), flink_deployment()]
        .into_iter()
        .flatten()
        .map(|backstop| backstop.objects(registration))
        .collect()
}

/// What differs between the kinds.
struct Backstop {
    dialect: &'static dyn Dialect,
    unlisted: Unlisted,
    free: Free,
    /// Further conditions on which the policy is asked, by name.
    conditions: Vec<(&'static str, String)>,
    /// Whether the stored object is frozen.
    frozen: String,
    /// Expressions that the others use, by name.
    variables: Vec<(&'static str, String)>,
    /// The two sentences around the fields, as expressions.
    why: String,
    way_out: String,
    rule: &'static sluice_policy::Rule,
}

fn session_cluster() -> Option<Backstop> {
    let dialect: &'static dyn Dialect = &session_cluster::SessionCluster;
    let object = |desired: &str| json!({"spec": {"state": desired}, "status": {"state": STATE}});
    let running = dialect.frozen(&object("RUNNING"))?;
    let stopping = dialect.frozen(&object("STOPPED"))?;
    Some(Backstop {
        dialect,
        unlisted: Unlisted::Pruned,
        free: unconditional(&running),
        conditions: Vec::new(),
        frozen: "variables.desired != 'STOPPED' || !(variables.observed in ['', 'STOPPED']) || \
                 oldObject.?status.?allocatedMilli.orValue(0) > 0"
            .to_owned(),
        variables: vec![
            (
                "desired",
                "variables.old.?state.orValue('STOPPED').upperAscii()".to_owned(),
            ),
            (
                "observed",
                "oldObject.?status.?state.orValue('')".to_owned(),
            ),
            (
                "state",
                "variables.observed in ['', 'STOPPED'] ? (variables.desired == 'STOPPED' ? 'STOPPING' : variables.desired) : \
                 variables.observed"
                    .to_owned(),
            ),
        ],
        why: quoted(&running.why).replace(STATE, "' + variables.state + '"),
        way_out: format!(
            "(variables.desired == 'STOPPED' ? {} : {})",
            quoted(&stopping.way_out),
            quoted(&running.way_out)
        ),
        rule: running.rule,
    })
}

fn flink_deployment() -> Option<Backstop> {
    let dialect: &'static dyn Dialect = &flink_deployment::FlinkDeployment;
    let object = |mode: &str| -> Value {
        json!({"spec": {"mode": mode}, "status": {"lifecycleState": "STABLE"}})
    };
    let native = dialect.frozen(&object("native"))?;
    let standalone = dialect.frozen(&object("standalone"))?;
    let mut free = unconditional(&native);
    for path in &standalone.may_change {
        if !native.may_change.contains(path) {
            let condition = "variables.standalone".to_owned();
            free.paths.push((path.clone(), Some(condition)));
        }
    }
    let canary = |object: &str| {
        format!(
            "{object}.metadata.?labels[?{}].orValue('').lowerAscii() == 'true' \
            && oldObject.?status.?reconciliationStatus.?lastReconciledSpec.orValue('') == ''",
            quoted(CANARY)
        )
    };
    let canaries = [canary("object"), canary("oldObject")]
        .map(|canary| format!("({canary})"))
        .join(" || ");
    Some(Backstop {
        dialect,
        unlisted: Unlisted::Exact,
        free,
        conditions: vec![
            ("not-a-canary", format!("!({canaries})")),
            (
                "not-to-be-recreated",
                format!(
                    "object.metadata.?annotations[?{}].orValue('') != 'true'",
                    quoted(ALLOW_RECREATE)
                ),
            ),
        ],
        frozen: "has(oldObject.spec) && variables.old.?job.orValue(null) == null && variables.lifecycle != 'FAILED' && \
                 (oldObject.?status.?reconciliationStatus.?lastReconciledSpec.orValue(null) != null || \
                 !(variables.lifecycle in ['', 'CREATED', 'SUSPENDED', 'DELETED']))"
            .to_owned(),
        variables: vec![
            (
                "lifecycle",
                "oldObject.?status.?lifecycleState.orValue('')".to_owned(),
            ),
            (
                "standalone",
                "variables.old.?mode.orValue('') == 'standalone'".to_owned(),
            ),
        ],
        why: format!(
            "(variables.standalone ? {} : {})",
            quoted(&standalone.why),
            quoted(&native.why)
        ),
        way_out: quoted(&native.way_out),
        rule: native.rule,
    })
}

fn unconditional(frozen: &Frozen) -> Free {
    Free {
        paths: frozen
            .may_change
            .iter()
            .map(|path| (path.clone(), None))
            .collect(),
        configuration: frozen
            .may_change_keys
            .iter()
            .map(|(_, prefix)| *prefix)
            .collect(),
    }
}

impl Backstop {
    fn objects(
        self,
        registration: &Registration,
    ) -> (
        ValidatingAdmissionPolicy,
        [ValidatingAdmissionPolicyBinding; 2],
    ) {
        let kind = self.dialect.kind();
        let name = format!("sluice-backstop-{}", kind.plural);
        let policy = ValidatingAdmissionPolicy {
            metadata: named(&name),
            spec: Some(ValidatingAdmissionPolicySpec {
                failure_policy: Some("Ignore".to_owned()),
                match_constraints: Some(MatchResources {
                    match_policy: Some("Equivalent".to_owned()),
                    namespace_selector: Some(registration.namespace_selector()),
                    object_selector: Some(LabelSelector::default()),
                    resource_rules: Some(vec![NamedRuleWithOperations {
                        api_groups: Some(vec![kind.group.to_owned()]),
                        api_versions: Some(vec![kind.version.to_owned()]),
                        operations: Some(vec!["UPDATE".to_owned()]),
                        resources: Some(vec![kind.plural.to_owned()]),
                        scope: Some("Namespaced".to_owned()),
                        ..NamedRuleWithOperations::default()
                    }]),
                    ..MatchResources::default()
                }),
                match_conditions: Some(self.match_conditions()),
                variables: Some(self.variables()),
                validations: Some(vec![Validation {
                    expression: "!variables.frozen || size(variables.changed) == 0".to_owned(),
                    message: Some(format!(
                        "{}. [{}]",
                        self.rule.summary.trim_end_matches('.'),
                        self.rule.id
                    )),
                    message_expression: Some(format!(
                        "{} + object.metadata.name + '\" ' + {} + ' Changed: ' + variables.changed.join(', ') + '. ' + {} + {}",
                        quoted(&format!("{} \"", kind.singular)),
                        self.why,
                        self.way_out,
                        quoted(&format!(" [{}]", self.rule.id)),
                    )),
                    reason: Some("Forbidden".to_owned()),
                }]),
                ..ValidatingAdmissionPolicySpec::default()
            }),
            ..ValidatingAdmissionPolicy::default()
        };
        let warning = format!("{name}-warn");
        let bindings = [
            binding(
                &name,
                &name,
                "Deny",
                "NotIn",
                &[&WARN[..], &OFF[..]].concat(),
            ),
            binding(&warning, &name, "Warn", "In", &WARN),
        ];
        (policy, bindings)
    }

    fn match_conditions(&self) -> Vec<MatchCondition> {
        let common = [
            (
                "not-being-deleted",
                "!has(object.metadata.deletionTimestamp)".to_owned(),
            ),
            (
                "spec-changed",
                "object.?spec.orValue({}) != oldObject.?spec.orValue({})".to_owned(),
            ),
        ];
        common
            .into_iter()
            .chain(self.conditions.iter().cloned())
            .map(|(name, expression)| MatchCondition {
                name: name.to_owned(),
                expression,
            })
            .collect()
    }

    fn variables(&self) -> Vec<Variable> {
        let sides = [("old", "oldObject"), ("new", "object")]
            .map(|(name, object)| (name, format!("{object}.?spec.orValue({{}})")));
        let changed = cel::changes(&self.dialect.parts(), self.unlisted, &self.free);
        sides
            .into_iter()
            .chain([("units", cel::units())])
            .chain(self.variables.iter().cloned())
            .chain([("frozen", self.frozen.clone()), ("changed", changed)])
            .map(|(name, expression)| Variable {
                name: name.to_owned(),
                expression,
            })
            .collect()
    }
}

/// A selector compares letter by letter, so the usual spellings of a mode are listed. Any other word enforces.
const WARN: [&str; 3] = ["warn", "Warn", "WARN"];
const OFF: [&str; 3] = ["off", "Off", "OFF"];

fn binding(
    name: &str,
    policy: &str,
    action: &str,
    operator: &str,
    modes: &[&str],
) -> ValidatingAdmissionPolicyBinding {
    ValidatingAdmissionPolicyBinding {
        metadata: named(name),
        spec: Some(ValidatingAdmissionPolicyBindingSpec {
            policy_name: Some(policy.to_owned()),
            validation_actions: Some(vec![action.to_owned()]),
            match_resources: Some(MatchResources {
                namespace_selector: Some(LabelSelector {
                    match_expressions: Some(vec![LabelSelectorRequirement {
                        key: MODE_IMMUTABILITY.to_owned(),
                        operator: operator.to_owned(),
                        values: Some(modes.iter().map(|&mode| mode.to_owned()).collect()),
                    }]),
                    match_labels: None,
                }),
                ..MatchResources::default()
            }),
            ..ValidatingAdmissionPolicyBindingSpec::default()
        }),
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        ..ObjectMeta::default()
    }
}
