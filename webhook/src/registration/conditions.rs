//! matchConditions: which requests never leave the API server, so that they work with every webhook dead
//! (decision 2, tested there on a real API server).
//!
//! All conditions of a webhook must hold for it to be called. Optional fields are reached with `?`: these expressions run
//! on every kind that the rules name, quotas and defaults too.

use sluice_policy::dialect::ScaleDown;
use sluice_policy::{Dialect, KindInfo, dialects};

/// For an update: something that we judge has changed.
const RELEVANT: &str = "oldObject == null \
    || object.?spec != oldObject.?spec \
    || object.metadata.?annotations[?'sluice.dev/defaults'] != oldObject.metadata.?annotations[?'sluice.dev/defaults'] \
    || object.metadata.?labels[?'flink.apache.org/canary'] != oldObject.metadata.?labels[?'flink.apache.org/canary']";

/// The API server holds `1.0` for another value than a stored `1`, CEL does not: a generation is new where both specs look equal,
/// and starts a job again that has come to its end. Told to the validating webhook alone, as no generation is raised yet before.
const NEW_GENERATION: &str = "object.metadata.?generation != oldObject.metadata.?generation";

/// Where the parent has no number of replicas, Go leaves a 0 out of both Scales, so they look equal though the parent changes.
const SCALED_TO_NONE: &str =
    "request.?subResource.orValue('') == 'scale' && object.?spec.?replicas.orValue(0) == 0";

/// What is on its way out may always change.
const NOT_BEING_DELETED: &str = "!has(object.metadata.deletionTimestamp)";

/// `/scale` to fewer replicas, or as many, of a kind and in a state of which its dialect says that it cannot cost more ([`ScaleDown`]).
fn not_scale_down() -> String {
    let unseen: Vec<_> = dialects()
        .iter()
        .filter_map(|dialect| unseen(*dialect))
        .collect();
    format!(
        "!(request.?subResource.orValue('') == 'scale' && oldObject != null \
        && object.?spec.?replicas.orValue(0) <= oldObject.?spec.?replicas.orValue(0) \
        && ({}))",
        unseen.join(" || ")
    )
}

fn unseen(dialect: &dyn Dialect) -> Option<String> {
    let runs = match dialect.scale_down() {
        ScaleDown::Judged => return None,
        ScaleDown::UnseenWhileItRuns => " && oldObject.?status.?replicas.orValue(0) > 0",
        ScaleDown::Unseen => "",
    };
    let KindInfo { group, plural, .. } = dialect.kind();
    Some(format!(
        "(request.resource.group == '{group}' && request.resource.resource == '{plural}'{runs})"
    ))
}

/// A session cluster whose only change is a state away from RUNNING, or fewer TaskManagers. One that also edits
/// anything else is judged: otherwise a patch that stops and edits frozen fields would pass unseen.
const NOT_ONLY_LOWERING: &str = "!(request.kind.kind == 'SessionCluster' && oldObject != null \
    && has(object.spec) && has(oldObject.spec) \
    && (object.spec.?state == oldObject.spec.?state || oldObject.spec.?state.orValue('') == 'RUNNING') \
    && int(object.spec.?numberOfTaskManagers.orValue(0)) <= int(oldObject.spec.?numberOfTaskManagers.orValue(0)) \
    && object.spec.all(k, k in ['state', 'numberOfTaskManagers'] \
        || (k in oldObject.spec && object.spec[k] == oldObject.spec[k])) \
    && oldObject.spec.all(k, k in object.spec))";

/// Conditions of the mutating webhook. It also sees what only lowers, as the warnings about it are its own.
pub fn mutating() -> Vec<(&'static str, String)> {
    vec![("relevant", RELEVANT.to_owned())]
}

/// Conditions of the validating webhook.
pub fn validating() -> Vec<(&'static str, String)> {
    vec![
        (
            "relevant",
            format!("{RELEVANT} || {NEW_GENERATION} || ({SCALED_TO_NONE})"),
        ),
        ("not-being-deleted", NOT_BEING_DELETED.to_owned()),
        ("not-scale-down", not_scale_down()),
        ("not-only-lowering", NOT_ONLY_LOWERING.to_owned()),
    ]
}
