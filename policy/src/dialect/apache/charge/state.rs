//! What a workload is asked to be, and what of it exists as the operator's status tells.
//!
//! Two properties of the ledger decide what counts: a status write never raises a charge, and nothing is given back
//! before the pods are gone. So an object that runs undisturbed costs what its spec asks for, or would if its pod templates were merged as
//! they were when it was deployed and it were as wide as its autoscaler has made it; from a change of the spec
//! until the operator calls it stable, it costs the most of the spec, the recorded spec and the one to roll back to.

use super::Overrides;
use crate::charge::{Desired, Workload};
use crate::dialect::apache::conf::flatten;
use crate::dialect::apache::recorded::Recorded;
use crate::dialect::apache::templates;
use crate::finding::Cause;
use crate::json;
use crate::quantity::MilliCpu;
use crate::review::is_being_deleted;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What the autoscaler writes into the recorded spec only; the resource itself never has it from there.
pub(super) const OVERRIDES_KEY: &str = "pipeline.jobvertex-parallelism-overrides";

/// Which status is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A FlinkDeployment or FlinkApplication: pods of its own.
    Cluster,
    /// A FlinkSessionJob: TaskManagers of its cluster.
    SessionJob,
}

/// The workload of an object; `demand` tells what a spec asks for while it runs.
pub(crate) fn workload(
    object: &Value,
    kind: Kind,
    demand: impl Fn(&Value, Overrides) -> Result<MilliCpu, Cause>,
) -> Result<Workload, Vec<Cause>> {
    let deleting = is_being_deleted(object);
    let asked = demand(object, Overrides::OfUser);
    let asked = if deleting {
        asked.unwrap_or_default()
    } else {
        asked.map_err(|cause| vec![cause])?
    };
    let unseen = generations_unseen(object);
    let is_observed = unseen == Some(0);
    let has_finished = has_finished(object, kind);
    let desired = if is_observed && has_finished {
        Desired::Stopped
    } else {
        wish(object)
    };
    // What has finished and is then told to go, or to stay away, is not started in between.
    let stays_gone = has_finished
        && desired != Desired::Running
        && unseen.is_some_and(|generations| generations <= 1);
    let recorded = Recorded::of(object);
    let allocated = if recorded == Recorded::Nothing {
        None
    } else if stays_gone || pods_are_gone(object, kind, &recorded) {
        Some(MilliCpu::ZERO)
    } else if desired == Desired::Running && is_observed && is_stable(object) {
        Some(asked.max(as_deployed(object, &recorded, demand).unwrap_or_default()))
    } else {
        Some(most_of_records(object, &recorded, asked, demand))
    };
    Ok(Workload {
        desired,
        demand: if deleting { MilliCpu::ZERO } else { asked },
        settled: match desired {
            Desired::Running => is_observed && is_stable(object),
            Desired::Suspended | Desired::Stopped => is_observed,
        },
        allocated,
    })
}

/// What the user asks for, whatever has become of it.
pub(crate) fn wish(object: &Value) -> Desired {
    if is_being_deleted(object) {
        Desired::Stopped
    } else if json::text(object, &["spec", "job", "state"]) == Some("suspended") {
        Desired::Suspended
    } else {
        Desired::Running
    }
}

/// A stored workload whose spec cannot be read, as far as the records tell. The operator takes such a spec for an error, and what it has
/// deployed runs on.
pub(crate) fn unread(
    object: &Value,
    kind: Kind,
    demand: impl Fn(&Value, Overrides) -> Result<MilliCpu, Cause>,
) -> Option<Workload> {
    let recorded = Recorded::of(object);
    let is_gone = recorded == Recorded::Nothing
        || has_finished(object, kind)
        || pods_are_gone(object, kind, &recorded);
    (!is_gone).then(|| Workload {
        desired: wish(object),
        demand: MilliCpu::ZERO,
        allocated: Some(most_of_records(object, &recorded, MilliCpu::ZERO, demand)),
        settled: false,
    })
}

/// What the spec asks for with its pod templates merged as they were, if they would be merged in another way now, and as wide as the
/// autoscaler has made the job: it takes back nothing because its quota is lowered.
fn as_deployed(
    object: &Value,
    recorded: &Recorded,
    demand: impl Fn(&Value, Overrides) -> Result<MilliCpu, Cause>,
) -> Option<MilliCpu> {
    let record = recorded.object()?;
    let scaled = overrides(record).filter(|scaled| overrides(object) != Some(scaled));
    let merged = templates::as_deployed(object, || recorded.clone());
    if merged.is_none() && scaled.is_none() {
        return None;
    }
    let spec = object.get("spec")?;
    let configuration = merged.or_else(|| spec.get("flinkConfiguration").cloned());
    let mut configuration = match configuration {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    };
    let whose = match scaled {
        Some(scaled) => {
            configuration.insert(OVERRIDES_KEY.to_owned(), scaled.clone());
            Overrides::OfAutoscaler
        }
        None => Overrides::OfUser,
    };
    let mut deployed = serde_json::json!({ "spec": spec });
    deployed.get_mut("spec")?.as_object_mut()?.insert(
        "flinkConfiguration".to_owned(),
        Value::Object(configuration),
    );
    demand(&deployed, whose).ok()
}

/// The most of what may be running: the recorded spec, and the stable one that the operator may roll back to.
fn most_of_records(
    object: &Value,
    recorded: &Recorded,
    asked: MilliCpu,
    demand: impl Fn(&Value, Overrides) -> Result<MilliCpu, Cause>,
) -> MilliCpu {
    let whose = if has_overrides(object) {
        Overrides::OfUser
    } else {
        Overrides::OfAutoscaler
    };
    let of = |record: &Recorded| match record {
        Recorded::Nothing => MilliCpu::ZERO,
        Recorded::Unreadable => asked,
        Recorded::Object(record) => demand(record, whose).unwrap_or(asked),
    };
    of(recorded).max(of(&Recorded::stable(object)))
}

/// The overrides as the autoscaler writes them.
fn overrides(object: &Value) -> Option<&Value> {
    json::present(object, &["spec", "flinkConfiguration", OVERRIDES_KEY])
}

/// Whether there are overrides in any spelling.
fn has_overrides(object: &Value) -> bool {
    let mut found = false;
    if let Some(configuration) = json::present(object, &["spec", "flinkConfiguration"]) {
        flatten(configuration, Cow::Borrowed(""), &mut |key, _| {
            found |= key
                .strip_prefix(OVERRIDES_KEY)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        });
    }
    found
}

/// How many generations the object is ahead of the one that the operator has acted on, if that can be told; 0: it has acted on this
/// very spec.
fn generations_unseen(object: &Value) -> Option<i64> {
    let number = |path: &[&str]| json::get(object, path).and_then(Value::as_i64);
    let seen = number(&["status", "observedGeneration"])?;
    let unseen = number(&["metadata", "generation"])?.checked_sub(seen)?;
    (unseen >= 0).then_some(unseen)
}

fn lifecycle(object: &Value) -> Option<&str> {
    json::text(object, &["status", "lifecycleState"])
}

/// Whether what runs is the spec, for good: no upgrade and no rollback is to be expected.
fn is_stable(object: &Value) -> bool {
    lifecycle(object) == Some("STABLE")
}

/// Whether the operator is about to start it anew.
fn is_under_way(object: &Value) -> bool {
    let reconciliation = json::text(object, &["status", "reconciliationStatus", "state"]);
    [lifecycle(object), reconciliation]
        .iter()
        .any(|state| matches!(state, Some("UPGRADING" | "ROLLING_BACK")))
}

fn job_manager_is_missing(object: &Value) -> bool {
    matches!(
        json::text(object, &["status", "jobManagerDeploymentStatus"]),
        None | Some("MISSING")
    )
}

fn job_state(object: &Value) -> Option<&str> {
    json::text(object, &["status", "jobStatus", "state"])
}

/// Whether the job came to its end by itself and its pods are gone, though the spec still says running. A failed one may
/// be started again by the operator, and so is one that it has cancelled itself to replace it: on the way its status tells the
/// end of the old run beside the generation of the new spec.
fn has_finished(object: &Value, kind: Kind) -> bool {
    let over = matches!(job_state(object), Some("FINISHED" | "CANCELED"));
    let has_job = json::present(object, &["spec", "job"]).is_some();
    over && has_job
        && !is_under_way(object)
        && Recorded::of(object) != Recorded::Nothing
        && match kind {
            Kind::Cluster => job_manager_is_missing(object),
            Kind::SessionJob => true,
        }
}

/// Whether the status says that no pods are left. During an upgrade the record says suspended too, but not the
/// lifecycle state.
fn pods_are_gone(object: &Value, kind: Kind, recorded: &Recorded) -> bool {
    let at_rest = match lifecycle(object) {
        Some("CREATED" | "SUSPENDED" | "DELETED") => true,
        Some(_) => false,
        None => {
            let settled = json::text(object, &["status", "reconciliationStatus", "state"])
                == Some("DEPLOYED");
            let suspended = recorded
                .object()
                .and_then(|record| json::text(record, &["spec", "job", "state"]))
                == Some("suspended");
            settled && suspended
        }
    };
    at_rest && (kind == Kind::SessionJob || job_manager_is_missing(object))
}
