//! `spec.job`: where state is kept, and how parallel the job is.

use super::autoscaler::unreadable;
use super::conf::{Conf, Opt};
use super::java;
use super::rules::{CHECKPOINT_DIRECTORY, PARALLELISM, SAVEPOINT_DIRECTORY, TASK_MANAGER_REPLICAS};
use super::shape::whole;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use serde_json::Value;

const CHECKPOINTS: Opt = Opt::new(
    "execution.checkpointing.dir",
    &["state.checkpoints.dir", "state.backend.fs.checkpointdir"],
);
const SAVEPOINTS: Opt = Opt::new(
    "execution.checkpointing.savepoint-dir",
    &["state.savepoints.dir", "savepoints.state.backend.fs.dir"],
);
const PERIODIC: Opt = Opt::new("kubernetes.operator.periodic.savepoint.interval", &[]);
const MAX_AGE: Opt = Opt::new(
    "kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age",
    &[],
);

/// How a job is upgraded; absent means stateless.
pub(crate) fn upgrade_mode(object: &Value) -> &str {
    json::text(object, &["spec", "job", "upgradeMode"]).unwrap_or("stateless")
}

/// Judges the job, if there is one. `replicas`: `taskManager.replicas` where the kind has it.
pub(crate) fn judge(
    object: &Value,
    replicas: Option<i64>,
    conf: &Conf<'_>,
    findings: &mut Findings,
) {
    if json::present(object, &["spec", "job"]).is_none() {
        return;
    }
    let mode = upgrade_mode(object);
    if mode != "stateless" && conf.is_blank(CHECKPOINTS) {
        findings.refuse(
            &CHECKPOINT_DIRECTORY,
            super::conf::path(CHECKPOINTS.key),
            CauseReason::Required,
            format!("upgradeMode {mode} needs a checkpoint directory; set it, or choose upgradeMode stateless"),
        );
    }
    if conf.is_blank(SAVEPOINTS) {
        savepoints(object, mode, conf, findings);
    }
    match replicas {
        Some(replicas) if replicas < 1 => findings.refuse(
            &TASK_MANAGER_REPLICAS,
            FieldPath::of("spec.taskManager.replicas"),
            CauseReason::Invalid,
            format!(
                "{replicas} must be at least 1; to stop the job set spec.job.state to suspended"
            ),
        ),
        Some(_) => {}
        None => {
            let parallelism = whole(object, &["spec", "job", "parallelism"]).unwrap_or(0);
            if parallelism < 1 {
                findings.refuse(
                    &PARALLELISM,
                    FieldPath::of("spec.job.parallelism"),
                    CauseReason::Invalid,
                    format!("{parallelism} must be at least 1; to stop the job set spec.job.state to suspended"),
                );
            }
        }
    }
}

/// Who needs savepoints although there is no directory for them: the first that does.
fn savepoints(object: &Value, mode: &str, conf: &Conf<'_>, findings: &mut Findings) {
    let nonce = json::present(object, &["spec", "job", "savepointTriggerNonce"]);
    let who = if mode == "savepoint" {
        "upgradeMode savepoint"
    } else if nonce.is_some() {
        "savepointTriggerNonce"
    } else if conf.has(PERIODIC) {
        PERIODIC.key
    } else {
        match conf.read(
            MAX_AGE,
            "a length of time such as 10 min",
            java::duration_nanos,
        ) {
            Ok(None) => return,
            Ok(Some(_)) => MAX_AGE.key,
            Err(bad) => return unreadable(findings, &bad),
        }
    };
    findings.refuse(
        &SAVEPOINT_DIRECTORY,
        super::conf::path(SAVEPOINTS.key),
        CauseReason::Required,
        format!("{who} needs a savepoint directory; set it, or leave {who} out"),
    );
}
