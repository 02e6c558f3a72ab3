//! Ids, names and fingerprints: what a job's runs are known by. All follow from what is stored, so that they come out alike
//! after a crash.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sluice_api::{SavepointOrigin, SessionJob};

use crate::flink::{JobId, TriggerId};

/// Flink's id of a run of the object with this uid.
pub fn job_id(uid: &str, run: i64) -> JobId {
    JobId::from_bytes(first_16(&format!("job {uid} {run}")))
}

/// Id of an attempt at stopping a run.
pub fn trigger_id(job: &JobId, attempt: i64) -> TriggerId {
    TriggerId::of(&format!("stop {job} {attempt}"))
}

/// File name of a run's jar at Flink: its own one, even where there is nothing in it, so that taking it away concerns no other run.
pub fn jar_name(job: &JobId) -> String {
    format!("sluice-{job}.jar")
}

/// The Deployment whose job it is, if one's: its snapshots are that Deployment's.
pub fn of_deployment(job: &SessionJob) -> Option<&OwnerReference> {
    let mut owners = job.metadata.owner_references.iter().flatten();
    owners.find(|owner| {
        owner.controller == Some(true)
            && owner.kind == "Deployment"
            && owner.api_version.split('/').next() == Some(sluice_api::GROUP)
            && Some(&owner.name) == job.metadata.name.as_ref()
    })
}

/// Name of the Savepoint object that a run of a Deployment's job has left. The id is part of it: runs are counted anew whenever the
/// Deployment comes back to a session cluster.
pub fn snapshot_name(name: &str, run: i64, origin: SavepointOrigin, id: &JobId) -> String {
    let name = match origin {
        SavepointOrigin::Suspend => savepoint_name(name, run),
        _ => checkpoint_name(name, run),
    };
    let short: String = id.as_str().chars().take(6).collect();
    format!("{name}-{short}")
}

/// Name of the Savepoint object of a run's last stop.
pub fn savepoint_name(name: &str, run: i64) -> String {
    format!("{name}-{run}-savepoint")
}

/// Name of the Savepoint object of the checkpoint that a run has left.
pub fn checkpoint_name(name: &str, run: i64) -> String {
    format!("{name}-{run}-checkpoint")
}

/// Fingerprint of what a run is started with. The order of keys does not count.
pub fn fingerprint(job: &SessionJob) -> String {
    let spec = &job.spec;
    let text = sorted(&json!({
        "cluster": spec.session_cluster_name,
        "job": spec.job,
        "flinkConfiguration": spec.flink_configuration,
        "restartNonce": spec.restart_nonce,
    }));
    format!("{:016x}", u128::from_be_bytes(first_16(&text)) >> 64)
}

/// The JSON with its keys in order; what is null or empty does not count.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map
                .iter()
                .filter(|(_, value)| !is_nothing(value))
                .map(|(key, value)| format!("{}:{}", Value::from(key.as_str()), sorted(value)))
                .collect();
            entries.sort();
            format!("{{{}}}", entries.join(","))
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(sorted).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
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

fn first_16(text: &str) -> [u8; 16] {
    let digest = Sha256::digest(text.as_bytes());
    let mut first = [0; 16];
    for (to, from) in first.iter_mut().zip(digest) {
        *to = from;
    }
    first
}
