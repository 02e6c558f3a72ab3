//! What an object of a run costs in thousandths of a CPU, written anew from the design's page ("Charge") for the few shapes that
//! [`crate::objects`] makes. `sluice_policy` is not asked: were its charge wrong, the checker would be wrong with it. That both
//! agree is checked at rest, where the ledger's `used` must be what this adds up to.

use crate::place::Kind;
use serde_json::Value;

/// The charge of a stored object.
pub fn charge(kind: Kind, object: &Value) -> u64 {
    match kind {
        Kind::SessionCluster => own(object, object.get("spec"), &["RUNNING", "STOPPED"]),
        Kind::Deployment => own(
            object,
            object.pointer("/spec/template/spec"),
            &["RUNNING", "CANCELLED", "SUSPENDED", "FINISHED", "FAILED"],
        ),
        Kind::FlinkDeployment => flink_deployment(object),
    }
}

/// Thousandths: `2`, `"2"`, `0.5`, `"500m"`.
fn milli(value: Option<&Value>) -> u64 {
    let cores = match value {
        None | Some(Value::Null) => return 1000,
        Some(Value::String(text)) => match text.strip_suffix('m') {
            Some(milli) => return milli.parse().unwrap_or(0),
            None => text.parse().unwrap_or(0.0),
        },
        Some(value) => value.as_f64().unwrap_or(0.0),
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a few positive cores
    let milli = (cores * 1000.0).round() as u64;
    milli
}

fn is_leaving(object: &Value) -> bool {
    object.pointer("/metadata/deletionTimestamp").is_some()
}

fn is_observed(object: &Value) -> bool {
    let generation = object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64);
    generation.is_some()
        && generation
            == object
                .pointer("/status/observedGeneration")
                .and_then(Value::as_i64)
}

/// `settled and observed ? allocated : max(demand, allocated)`.
fn own(object: &Value, cluster: Option<&Value>, at_rest: &[&str]) -> u64 {
    let figure = |pointer: &str| cluster.and_then(|cluster| cluster.pointer(pointer));
    let count = figure("/numberOfTaskManagers")
        .and_then(Value::as_u64)
        .unwrap_or(1);
    let runs = object.pointer("/spec/state").and_then(Value::as_str) == Some("RUNNING");
    let demand = if runs && !is_leaving(object) {
        milli(figure("/resources/jobmanager/cpu"))
            + count * milli(figure("/resources/taskmanager/cpu"))
    } else {
        0
    };
    let state = object
        .pointer("/status/state")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let settled = is_observed(object) && at_rest.contains(&state);
    match object
        .pointer("/status/allocatedMilli")
        .and_then(Value::as_u64)
    {
        Some(allocated) if settled => allocated,
        Some(allocated) => allocated.max(demand),
        None => demand,
    }
}

/// What a spec of a FlinkDeployment asks for while it runs: native mode, TaskManagers from parallelism and slots.
fn asked(object: &Value) -> u64 {
    let slots = object
        .pointer("/spec/flinkConfiguration/taskmanager.numberOfTaskSlots")
        .and_then(|slots| slots.as_str()?.parse::<u64>().ok())
        .unwrap_or(1);
    let parallelism = object
        .pointer("/spec/job/parallelism")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    let count = object
        .pointer("/spec/taskManager/replicas")
        .and_then(Value::as_u64)
        .unwrap_or_else(|| parallelism.div_ceil(slots.max(1)));
    milli(object.pointer("/spec/jobManager/resource/cpu"))
        + count * milli(object.pointer("/spec/taskManager/resource/cpu"))
}

/// By spec until the operator has recorded one; then the most of spec and records until the operator calls it stable, or says that
/// its pods are gone.
fn flink_deployment(object: &Value) -> u64 {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let record = |key: &str| {
        let text = text(&format!("/status/reconciliationStatus/{key}"))?;
        serde_json::from_str::<Value>(text).ok()
    };
    let runs = text("/spec/job/state") != Some("suspended") && !is_leaving(object);
    let wanted = if runs { asked(object) } else { 0 };
    let Some(last) = record("lastReconciledSpec") else {
        return wanted;
    };
    let no_job_manager = matches!(
        text("/status/jobManagerDeploymentStatus"),
        None | Some("MISSING")
    );
    let gone = no_job_manager
        && matches!(
            text("/status/lifecycleState"),
            Some("CREATED" | "SUSPENDED" | "DELETED")
        );
    if gone {
        return if is_observed(object) && !runs {
            0
        } else {
            wanted
        };
    }
    let stable = is_observed(object) && text("/status/lifecycleState") == Some("STABLE");
    if runs && stable {
        return wanted;
    }
    let records = asked(&last).max(record("lastStableSpec").map_or(0, |stable| asked(&stable)));
    // Not running and observed, yet not gone: only the records count.
    if !runs && is_observed(object) {
        return records;
    }
    wanted.max(records)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_told_to_run_costs_its_demand_at_once() {
        let resources = json!({"jobmanager": {"cpu": 1}, "taskmanager": {"cpu": "500m"}});
        let spec = json!({"state": "RUNNING", "numberOfTaskManagers": 3, "resources": resources});
        assert_eq!(charge(Kind::SessionCluster, &json!({"spec": spec})), 2500);
        let deployment = json!({"spec": {"state": "RUNNING", "template": {"spec": {"numberOfTaskManagers": 2, "resources": resources}}}});
        assert_eq!(charge(Kind::Deployment, &deployment), 2000);
        let flink = json!({"spec": {"jobManager": {"resource": {"cpu": 1}}, "taskManager": {"resource": {"cpu": 1.5}},
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"}, "job": {"parallelism": 3, "state": "running"}}});
        assert_eq!(charge(Kind::FlinkDeployment, &flink), 4000);
    }

    #[test]
    fn what_is_stopped_costs_what_its_pods_hold() {
        let object = |status: Value| json!({"metadata": {"generation": 2}, "spec": {"state": "STOPPED"}, "status": status});
        let of = |status| charge(Kind::SessionCluster, &object(status));
        assert_eq!(of(json!(null)), 0);
        assert_eq!(
            of(json!({"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 4000})),
            4000
        );
        assert_eq!(
            of(json!({"state": "STOPPED", "observedGeneration": 2, "allocatedMilli": 0})),
            0
        );
    }
}
