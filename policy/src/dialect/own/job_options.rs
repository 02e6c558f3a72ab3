//! Configuration of a single job on a session cluster: which versions take it, and what only a cluster reads.

use super::at::At;
use super::check::Judge;
use super::version;
use crate::defaults::record::Record;
use crate::finding::CauseReason;
use crate::flink::{FlinkVersion, is_read_by_clusters_only};
use crate::json;
use crate::rule::Rule;
use serde_json::Value;

/// From this version on a job can be submitted with options of its own.
const SINCE: FlinkVersion = FlinkVersion::new(1, 17);

/// Judges `flinkConfiguration` of a job, against its session cluster as far as that is known. `record` tells what of it is
/// somebody's defaults, about which its user is told nothing.
pub(crate) fn judge(
    configuration: Option<&Value>,
    record: &Record,
    cluster: Option<&Value>,
    rule: &'static Rule,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) {
    let Some(map) = configuration
        .and_then(Value::as_object)
        .filter(|map| !map.is_empty())
    else {
        return;
    };
    let version = cluster
        .and_then(|cluster| json::get(cluster, &["spec", "flinkVersion"]))
        .and_then(version::read);
    if let Some(version) = version.filter(|version| *version < SINCE) {
        let message = format!(
            "configuration of a single job needs Flink {SINCE}, the session cluster has {version}; set these options on \
             the session cluster, or use one with Flink {SINCE}"
        );
        judge.refuse(rule, at, CauseReason::Forbidden, message);
    }
    let base = at.path();
    let ignored: Vec<&str> = map
        .iter()
        .filter(|(key, value)| !record.holds(&base.key(key), value))
        .map(|(key, _)| key.as_str())
        .filter(|key| is_read_by_clusters_only(key))
        .collect();
    if !ignored.is_empty() {
        judge.findings.warn(format!(
            "{}: only a session cluster reads {}; no effect here, set on the session cluster",
            at.path(),
            ignored.join(", ")
        ));
    }
}

/// The rule for one kind.
macro_rules! job_configuration {
    ($prefix:literal) => {
        $crate::dialect::own::rules::rule!(
            concat!($prefix, "/job-configuration"),
            Forbidden,
            "Configuration of a single job on a session cluster needs Flink 1.17",
            "Before 1.17 Flink's REST API takes no configuration with a job, so the options would silently be lost. Set \
             them on the session cluster, or use a session cluster with Flink 1.17 or later. Options that only the \
             cluster's processes read give a warning.",
            "decision 26; rest-sessions-and-session-jobs.txt"
        )
    };
}

pub(crate) use job_configuration;
