//! References to other objects. What is not there yet may come with the same `kubectl apply`, so it only warns
//! (decision 21); the controller waits for it.

use super::at::At;
use super::check::Judge;
use crate::dialect::config::deployment_target;
use crate::dialect::session_cluster;
use crate::finding::CauseReason;
use crate::json;
use crate::review::Review;
use crate::world::{Lookup, World};
use serde_json::Value;

/// The target that means the object's own namespace where nobody has defined it.
const DEFAULT_TARGET: &str = "default";

/// Judges `deploymentTargetName` and `deploymentTargetId` of the object at `at`, its spec.
pub(crate) fn target(
    review: &Review<'_>,
    spec: &Value,
    world: &dyn World,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) {
    let name = json::present(spec, &["deploymentTargetName"]).and_then(Value::as_str);
    let id = json::present(spec, &["deploymentTargetId"]).and_then(Value::as_str);
    let namespace = review.namespace;
    let (field, written, found) = match (name, id) {
        (Some(_), Some(_)) => {
            judge.refuse(
                judge.rules.target,
                &at.key("deploymentTargetId"),
                CauseReason::Forbidden,
                "deploymentTargetName is set too; keep one of them",
            );
            return;
        }
        (Some(name), None) => (
            "deploymentTargetName",
            name,
            world.lookup(&deployment_target::KIND, namespace, name),
        ),
        (None, Some(id)) => (
            "deploymentTargetId",
            id,
            world.lookup_uid(&deployment_target::KIND, namespace, id),
        ),
        (None, None) => return,
    };
    let place = at.key(field);
    match found {
        Lookup::Absent if field == "deploymentTargetName" && written == DEFAULT_TARGET => {}
        Lookup::Absent => judge.findings.warn(format!(
            "{}: there is no DeploymentTarget {written} in namespace {namespace}; nothing starts until there is",
            place.path()
        )),
        Lookup::Found(target) => {
            if let Some(fault) = deployment_target::not_accepted(&target, namespace, world) {
                if starts_there(review, field, written) {
                    judge.refuse(
                        deployment_target::NOT_ACCEPTED,
                        &place,
                        CauseReason::Forbidden,
                        fault,
                    );
                } else {
                    judge.findings.warn(format!("{}: {fault}", place.path()));
                }
            }
        }
        Lookup::Unknown => {}
    }
}

/// Whether this very request starts pods at the target: what runs there already is left alone.
fn starts_there(review: &Review<'_>, field: &str, target: &str) -> bool {
    let runs = |object| json::text(object, &["spec", "state"]) == Some("RUNNING");
    let ran_there = review
        .old()
        .is_some_and(|old| runs(old) && json::text(old, &["spec", field]) == Some(target));
    runs(review.object) && !ran_there
}

/// The session cluster that `sessionClusterName` names, if it is known; warns if it is known to be absent.
pub(crate) fn session_cluster(
    spec: &Value,
    namespace: &str,
    world: &dyn World,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) -> Option<std::sync::Arc<Value>> {
    let name = json::present(spec, &["sessionClusterName"])?.as_str()?;
    if name.is_empty() {
        return None; // as good as not written
    }
    match world.lookup(&session_cluster::KIND, namespace, name) {
        Lookup::Found(cluster) => Some(cluster),
        Lookup::Absent => {
            judge.findings.warn(format!(
                "{}: there is no SessionCluster {name} in namespace {namespace}; nothing starts until there is",
                at.key("sessionClusterName").path()
            ));
            None
        }
        Lookup::Unknown => None,
    }
}
