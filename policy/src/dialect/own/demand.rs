//! CPU that a Flink cluster of an own kind needs: one JobManager and its TaskManagers, with the containers that pod
//! templates add. Fields that are absent count as the built-in defaults, so an object that was stored while nobody
//! filled them in has a charge too.

use super::at::At;
use super::rules::OwnRules;
use crate::finding::{Cause, CauseReason};
use crate::json;
use crate::quantity::MilliCpu;
use serde_json::Value;

/// Built-in CPU of a JobManager and of a TaskManager.
pub(crate) const DEFAULT_CPU: MilliCpu = MilliCpu(1000);

/// `resources.jobmanager.cpu x 1 + resources.taskmanager.cpu x task_managers`, for a spec (or template spec) at `at`.
pub(crate) fn of_cluster(
    spec: &Value,
    at: &At<'_>,
    task_managers: u64,
    rules: &'static OwnRules,
) -> Result<MilliCpu, Vec<Cause>> {
    let mut causes = Vec::new();
    let mut role = |name: &'static str| {
        json::present(spec, &["resources", name, "cpu"]).map_or(DEFAULT_CPU, |value| {
            MilliCpu::parse(value).unwrap_or_else(|error| {
                causes.push(Cause {
                    rule: rules.field,
                    field: at.key("resources").key(name).key("cpu").path(),
                    reason: CauseReason::Invalid,
                    message: format!("{} {error}", json::shown(value)),
                });
                MilliCpu::ZERO
            })
        })
    };
    let total = role("jobmanager").plus(role("taskmanager").times(task_managers));
    if causes.is_empty() {
        Ok(total)
    } else {
        Err(causes)
    }
}

/// A whole number at `keys` below `spec`, or `absent` where there is none.
pub(crate) fn count(
    spec: &Value,
    keys: &[&str],
    absent: u64,
    at: &At<'_>,
    rules: &'static OwnRules,
) -> Result<u64, Vec<Cause>> {
    let Some(value) = json::present(spec, keys) else {
        return Ok(absent);
    };
    value.as_u64().ok_or_else(|| {
        vec![Cause {
            rule: rules.field,
            field: keys.iter().fold(at.path(), |path, key| path.key(key)),
            reason: CauseReason::Invalid,
            message: format!("must be a whole number from 0, not {}", json::shown(value)),
        }]
    })
}
