//! What the operator's validator refuses of a FlinkStateSnapshot.

use super::rules::SNAPSHOT;
use super::shape;
use crate::dialect::{flink_deployment, flink_session_job};
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::world::{Lookup, World};
use serde_json::Value;

/// Judges a FlinkStateSnapshot.
pub(crate) fn judge(review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
    let object = review.object;
    shape::check(object, &[shape::SNAPSHOT], findings);
    if !object.get("spec").is_some_and(Value::is_object) {
        return;
    }
    let savepoint = json::present(object, &["spec", "savepoint"]);
    let checkpoint = json::present(object, &["spec", "checkpoint"]);
    if savepoint.is_some() == checkpoint.is_some() {
        findings.refuse(
            &SNAPSHOT,
            FieldPath::of("spec"),
            CauseReason::Invalid,
            "must have exactly one of savepoint and checkpoint",
        );
        return;
    }
    let exists = savepoint
        .and_then(|savepoint| savepoint.get("alreadyExists"))
        .is_some_and(|flag| flag == &Value::Bool(true));
    if exists {
        return; // nothing is taken, so no job is needed
    }
    let field = FieldPath::of("spec.jobReference");
    if json::present(object, &["spec", "jobReference"]).is_none() {
        findings.refuse(
            &SNAPSHOT,
            field,
            CauseReason::Required,
            "name the FlinkDeployment or FlinkSessionJob to take a snapshot of",
        );
        return;
    }
    let state = json::text(object, &["status", "state"]);
    let pending = json::present(object, &["status"]).is_none()
        || matches!(state, None | Some("TRIGGER_PENDING"));
    if !pending {
        return;
    }
    if review.namespace.is_empty() {
        findings.refuse(
            &SNAPSHOT,
            FieldPath::of("metadata.namespace"),
            CauseReason::Required,
            "a snapshot needs the namespace of its job",
        );
        return;
    }
    let name = json::text(object, &["spec", "jobReference", "name"]);
    let kind = match json::text(object, &["spec", "jobReference", "kind"]) {
        Some("FlinkDeployment") => Some(&flink_deployment::KIND),
        Some("FlinkSessionJob") => Some(&flink_session_job::KIND),
        _ => None,
    };
    let (Some(name), Some(kind)) = (name, kind) else {
        let missing = if name.is_none() { "name" } else { "kind" };
        findings.refuse(
            &SNAPSHOT,
            field.key(missing),
            CauseReason::Required,
            "the job reference needs both a kind (FlinkDeployment or FlinkSessionJob) and a name",
        );
        return;
    };
    match world.lookup(kind, review.namespace, name) {
        Lookup::Found(_) => {}
        Lookup::Absent => findings.refuse(
            &SNAPSHOT,
            field.key("name"),
            CauseReason::NotFound,
            format!(
                "there is no {} {} in namespace {}; create it first or correct the name",
                kind.kind,
                json::quoted(name),
                review.namespace
            ),
        ),
        Lookup::Unknown => findings.warn(format!(
            "{}: it is not known whether {} {name} exists",
            review.subject(),
            kind.kind
        )),
    }
}
