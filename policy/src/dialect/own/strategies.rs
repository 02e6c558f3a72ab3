//! What a job starts with and what happens to it at an upgrade: defaults, contradictions, missing directories.

use super::at::At;
use super::check::Judge;
use crate::dialect::Derived;
use crate::finding::CauseReason;
use crate::flink::Options;
use crate::json;
use crate::path::FieldPath;
use crate::rule::Rule;
use serde_json::{Value, json};

/// Where Flink writes savepoints: its name, and the one since 1.20.
const SAVEPOINTS: [&str; 2] = [
    "state.savepoints.dir",
    "execution.checkpointing.savepoint-dir",
];
/// Where Flink writes checkpoints: its name, and the one since 1.20.
const CHECKPOINTS: [&str; 2] = ["state.checkpoints.dir", "execution.checkpointing.dir"];

/// `upgradeStrategy.kind` as it follows from `restoreStrategy.kind` (decision 22).
pub(crate) fn upgrade(object: &Value) -> Derived {
    let starts_empty = restore_kind(object.get("spec").unwrap_or(&Value::Null)) == Some("NONE");
    Derived {
        path: FieldPath::of("spec.upgradeStrategy.kind"),
        value: json!(if starts_empty {
            "STATELESS"
        } else {
            "STATEFUL"
        }),
    }
}

fn restore_kind(spec: &Value) -> Option<&str> {
    json::text(spec, &["restoreStrategy", "kind"])
}

/// Refuses a stateful upgrade of a job that starts empty.
pub(crate) fn judge(spec: &Value, rule: &'static Rule, at: &At<'_>, judge: &mut Judge<'_>) {
    if json::text(spec, &["upgradeStrategy", "kind"]) == Some("STATEFUL")
        && restore_kind(spec) == Some("NONE")
    {
        judge.refuse(
            rule,
            &at.key("upgradeStrategy").key("kind"),
            CauseReason::Invalid,
            "is STATEFUL, but restoreStrategy.kind NONE starts without the state that it saves; set restoreStrategy.kind to \
             LATEST_STATE or LATEST_SAVEPOINT, or upgradeStrategy.kind to STATELESS",
        );
    }
}

/// Warns where a job is to keep its state and has nowhere to put it. `configuration` is where the options stand.
pub(crate) fn directories(
    spec: &Value,
    options: &Options<'_>,
    configuration: &At<'_>,
    judge: &mut Judge<'_>,
) {
    let Some(restore) = restore_kind(spec).filter(|kind| *kind != "NONE") else {
        return;
    };
    let has = |keys: &[&str]| keys.iter().any(|key| options.text(key).is_some());
    if !has(&SAVEPOINTS) {
        judge.findings.warn(format!(
            "{}: {} is not set; suspending and stateful upgrades have nowhere to write savepoints",
            configuration.path(),
            SAVEPOINTS[0]
        ));
    }
    if restore == "LATEST_STATE" && !has(&CHECKPOINTS) {
        judge.findings.warn(format!(
            "{}: {} is not set; after a failure only savepoints can be restored",
            configuration.path(),
            CHECKPOINTS[0]
        ));
    }
}

/// The rule for one kind.
macro_rules! stateful_without_restore {
    ($prefix:literal) => {
        $crate::dialect::own::rules::rule!(
            concat!($prefix, "/stateful-without-restore"),
            Forbidden,
            "A stateful upgrade needs a restore strategy that uses the state",
            "STATEFUL stops the job with a savepoint so that the new one starts from it; restoreStrategy NONE starts \
             every job empty, so the savepoint would be thrown away. Use LATEST_STATE or LATEST_SAVEPOINT, or STATELESS.",
            "vvp-deployments.txt, Transitions to RUNNING; decision 22"
        )
    };
}

pub(crate) use stateful_without_restore;
