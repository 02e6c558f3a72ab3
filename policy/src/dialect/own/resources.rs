//! Memory against what Flink's own derivation needs, and the options of Flink that Sluice reads or sets itself.

use super::at::At;
use super::check::{self, Judge};
use crate::finding::CauseReason;
use crate::flink::memory::{self, MemoryFault, Role};
use crate::flink::{FlinkVersion, OptionFault, Options, rest_tls};
use crate::json;
use crate::quantity::Bytes;
use serde_json::Value;

/// Options that Sluice sets from other fields: what stands in `flinkConfiguration` has no effect.
const DECIDED_ELSEWHERE: [(&str, &str); 13] = [
    (
        "jobmanager.memory.process.size",
        "resources.jobmanager.memory",
    ),
    (
        "taskmanager.memory.process.size",
        "resources.taskmanager.memory",
    ),
    ("kubernetes.jobmanager.cpu", "resources.jobmanager.cpu"),
    ("kubernetes.taskmanager.cpu", "resources.taskmanager.cpu"),
    (
        "kubernetes.jobmanager.cpu.amount",
        "resources.jobmanager.cpu",
    ),
    (
        "kubernetes.taskmanager.cpu.amount",
        "resources.taskmanager.cpu",
    ),
    ("kubernetes.cluster-id", "metadata.name"),
    ("kubernetes.namespace", "deploymentTargetName"),
    ("jobmanager.rpc.address", "Sluice"),
    ("jobmanager.rpc.bind-port", "Sluice"),
    ("taskmanager.rpc.bind-port", "Sluice"),
    ("rest.bind-port", "Sluice"),
    (
        "rest.cache.checkpoint-statistics.timeout",
        "web.refresh-interval",
    ),
];

/// The configuration of a cluster described at `cluster`.
pub(crate) fn options(cluster: &Value, version: Option<FlinkVersion>) -> Options<'_> {
    Options::of(cluster.get("flinkConfiguration"), version)
}

/// Judges memory and options of a cluster, its spec or template spec at `at`.
pub(crate) fn judge(
    cluster: &Value,
    version: Option<FlinkVersion>,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) {
    let options = options(cluster, version);
    if let Err(fault) = options.slots() {
        option(&fault, at, judge);
    }
    if let Err(fault) = options.scheduler() {
        option(&fault, at, judge);
    }
    if let Some(fault) = rest_tls(|key| options.text(key)) {
        option(&fault, at, judge);
    }
    for (role, name) in [
        (Role::JobManager, "jobmanager"),
        (Role::TaskManager, "taskmanager"),
    ] {
        process(role, name, cluster, &options, at, judge);
    }
    for (key, field) in DECIDED_ELSEWHERE {
        if options.text(key).is_some() {
            judge.findings.warn(format!(
                "{}: has no effect, {field} decides",
                at.key("flinkConfiguration").key(key).path()
            ));
        }
    }
}

fn process(
    role: Role,
    name: &'static str,
    cluster: &Value,
    options: &Options<'_>,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) {
    let resources = at.key("resources");
    let of_role = resources.key(name);
    let place = of_role.key("memory");
    let Some(value) = json::present(cluster, &["resources", name, "memory"]) else {
        return;
    };
    let Ok(given) = check::memory(value) else {
        return; // told by the check of the field
    };
    let message = match memory::suffices(role, given, options) {
        Ok(()) => return,
        Err(MemoryFault::Option(fault)) => {
            option(&fault, at, judge);
            return;
        }
        Err(MemoryFault::TooLittle) => match memory::least(role, options) {
            Some(least) => format!(
                "{} is too little: Flink needs at least {least} for {} with this configuration; write {least} or more",
                json::shown(value),
                role.with_article()
            ),
            None => format!(
                "no amount of memory suffices for {} with these memory options in flinkConfiguration; remove them",
                role.with_article()
            ),
        },
        Err(MemoryFault::TooMuch {
            part,
            most: Bytes(most),
        }) => format!(
            "{} is more than the memory options in flinkConfiguration can divide: {part} is {}; raise it or write less \
             memory",
            json::shown(value),
            Bytes(most)
        ),
    };
    judge.refuse(judge.rules.memory, &place, CauseReason::Invalid, message);
}

/// Refuses an option that Flink could not use, once.
pub(crate) fn option(fault: &OptionFault, at: &At<'_>, judge: &mut Judge<'_>) {
    let configuration = at.key("flinkConfiguration");
    let place = configuration.key(&fault.key);
    let path = place.path();
    let is_told = judge
        .findings
        .causes
        .iter()
        .any(|cause| cause.field == path);
    if !is_told {
        judge.refuse(
            judge.rules.configuration,
            &place,
            CauseReason::Invalid,
            fault.message.clone(),
        );
    }
}
