//! Ids, names and fingerprints: what a Deployment's runs are known by. All follow from what is stored, so that they come out
//! alike after a crash.

use serde_json::{Value, json};
use sluice_api::names::labels;
use sluice_api::{Deployment, Job, SavepointOrigin};

use crate::flink::{JobId, TriggerId};
use crate::objects::hash;

/// Name of the Job object of a run.
pub fn job_name(deployment: &str, run: i64) -> String {
    format!("{deployment}-{run}")
}

/// The number of the run whose Job object has this name.
pub fn run_of(deployment: &str, job: &str) -> Option<i64> {
    job.strip_prefix(deployment)?
        .strip_prefix('-')?
        .parse()
        .ok()
}

/// Flink's id of a run: the uid of its Job object without dashes.
pub fn job_id(job: &Job) -> Option<JobId> {
    JobId::parse(&job.metadata.uid.as_deref()?.replace('-', ""))
}

/// Whether a Job object is of this very Deployment. Its label says so still when the garbage collector has taken the reference away, as it does where
/// a Deployment is deleted without what belongs to it.
pub fn is_of(job: &Job, deployment: &Deployment) -> bool {
    let Some(uid) = &deployment.metadata.uid else {
        return false;
    };
    let mut owners = job.metadata.owner_references.iter().flatten();
    let mut labels = job.metadata.labels.iter().flatten();
    owners.any(|owner| owner.uid == *uid)
        || labels.any(|(key, value)| key == labels::OWNER_UID && value == uid)
}

/// Id of an attempt at stopping a run.
pub fn trigger_id(job: &JobId, attempt: &str) -> TriggerId {
    TriggerId::of(&format!("stop {job} {attempt}"))
}

/// Name of the Savepoint object that a run has left: of its last stop, or of the checkpoint that was retained. The id is part of
/// it, since what an earlier Deployment of this name has left may still stand.
pub fn savepoint_name(job: &str, id: &JobId, origin: SavepointOrigin) -> String {
    let what = match origin {
        SavepointOrigin::RetainedCheckpoint => "checkpoint",
        _ => "savepoint",
    };
    let short: String = id.as_str().chars().take(6).collect();
    format!("{job}-{what}-{short}")
}

/// Fingerprint of what a run is made from. What does not alter the job (labels of the Job object, limits, strategies) does not
/// count, nor does the order of keys.
pub fn fingerprint(deployment: &Deployment) -> String {
    let spec = &deployment.spec;
    let template = spec.template.as_ref().and_then(|all| all.spec.as_ref());
    hash(&without_nothing(json!({
        "target": [spec.deployment_target_name, spec.deployment_target_id],
        "sessionCluster": spec.session_cluster_name,
        "template": template,
        "restartNonce": spec.restart_nonce,
    })))
}

/// What is null or empty does not count.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, without_nothing(value)))
                .filter(|(_, value)| !is_nothing(value))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nothing).collect()),
        other => other,
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
