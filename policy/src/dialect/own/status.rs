//! What the status of a stored object tells policy. Anyone may have written it: what cannot be read counts as absent.

use super::shape::canonical_word;
use crate::charge::{Desired, Workload};
use crate::finding::Cause;
use crate::json;
use crate::quantity::MilliCpu;
use crate::review::is_being_deleted;
use serde_json::Value;

/// `status.state`, as it stands there.
pub(crate) fn state(object: &Value) -> Option<&str> {
    json::text(object, &["status", "state"])
}

/// `status.allocatedMilli`.
pub(crate) fn allocated(object: &Value) -> Option<MilliCpu> {
    json::get(object, &["status", "allocatedMilli"])?
        .as_u64()
        .filter(|milli| *milli <= MilliCpu::MAX_ACCEPTED.0)
        .map(MilliCpu)
}

/// A workload whose spec cannot be read: it was stored while nobody judged it, and its controller keeps the pods.
pub(crate) fn unread(object: &Value, desired: Desired) -> Option<Workload> {
    Some(Workload {
        desired,
        demand: MilliCpu::ZERO,
        allocated: Some(allocated(object)?),
        settled: false,
    })
}

/// A count in the status.
pub(crate) fn count(object: &Value, key: &str) -> Option<u64> {
    json::get(object, &["status", key])?.as_u64()
}

/// Whether the controller has seen this very spec and `status.state` is one of `at_rest`, with nothing under way.
pub(crate) fn is_settled(object: &Value, at_rest: &[&str]) -> bool {
    let generation = json::get(object, &["metadata", "generation"]).and_then(Value::as_i64);
    let observed = json::get(object, &["status", "observedGeneration"]).and_then(Value::as_i64);
    generation.is_some()
        && generation == observed
        && json::present(object, &["status", "operation"]).is_none()
        && state(object).is_some_and(|state| at_rest.contains(&state))
}

/// What an object asks for. On its way out it asks for nothing and any change of it is let through, so what cannot be read
/// there must not hide what its pods still hold.
pub(crate) fn asked(
    object: &Value,
    demand: Result<MilliCpu, Vec<Cause>>,
) -> Result<MilliCpu, Vec<Cause>> {
    if is_being_deleted(object) {
        return Ok(MilliCpu::ZERO);
    }
    demand
}

/// What a Deployment or session job is asked to be; `absent` is what saying nothing means. Nothing, once it is being deleted.
pub(crate) fn desired(object: &Value, absent: &str) -> Desired {
    if is_being_deleted(object) {
        return Desired::Stopped;
    }
    let word = json::text(object, &["spec", "state"]).unwrap_or(absent);
    match canonical_word(&["RUNNING", "SUSPENDED"], word) {
        Some("RUNNING") => Desired::Running,
        Some("SUSPENDED") => Desired::Suspended,
        _ => Desired::Stopped,
    }
}

/// What the pods of a Deployment hold. A job that came to its end holds nothing once its controller has said so, although
/// it is still asked to run.
pub(crate) fn allocated_of_job(object: &Value, settled: bool) -> Option<MilliCpu> {
    let has_ended = settled && state(object) != Some("RUNNING");
    allocated(object).or(has_ended.then_some(MilliCpu::ZERO))
}
