//! The status of Sluice's own kinds: what a workload costs, whether it may be changed, and all that a quota counts stand there.
//! Whoever may write it could raise a charge or lower it, thaw what is frozen, or empty a quota's book. No webhook is asked
//! about a status, so the API server itself sees to it that only the controller and the ledger write it.

use super::Guard;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicySpec, Validation};
use sluice_policy::{Code, Family, Rule};

/// What the policy refuses by.
pub static RULE: Rule = Rule {
    id: "status/guarded",
    family: Family::Validation,
    code: Code::Forbidden,
    summary: "Only Sluice writes the status of its kinds: charges and quotas are counted by it",
    explain: "status.allocatedMilli and status.state say what a workload costs and whether its fields are frozen, a quota's status \
              what is in use. Who may write a status for other reasons may not for that reason change what is counted: writing one \
              needs the verb set on statuses.sluice.dev, cluster-wide, too. Sluice's own service account has it. To start, stop or \
              scale a workload change its spec.",
    source: "quota-ledger.md, invariant S9",
};

/// A write of the status needs the verb `set` on `statuses.sluice.dev`.
pub(super) fn guard() -> Guard {
    Guard {
        name: "sluice-statuses",
        group: sluice_api::GROUP,
        version: "*",
        resource: "*/status",
        operations: &["UPDATE"],
        spec: ValidatingAdmissionPolicySpec {
            validations: Some(vec![Validation {
                expression:
                    "authorizer.group('sluice.dev').resource('statuses').check('set').allowed()"
                        .to_owned(),
                message: Some(format!(
                    "status: only Sluice itself writes it, for quotas are counted by it; to start, stop or scale, change the \
                     spec. Whoever must write it needs the verb \"set\" on statuses.sluice.dev. [{}]",
                    RULE.id
                )),
                reason: Some("Forbidden".to_owned()),
                ..Validation::default()
            }]),
            ..ValidatingAdmissionPolicySpec::default()
        },
    }
}
