//! Changes of a deployed FlinkDeployment that the operator refuses, against the spec that it last acted on.

use super::job::upgrade_mode;
use super::recorded::Recorded;
use super::rules::{CLUSTER_TYPE, DEPLOYMENT_MODE, SAVEPOINT_REDEPLOY, VERSION_AFTER_SUSPEND};
use super::{java, mode};
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use serde_json::Value;

/// Judges an object against its record.
pub(crate) fn judge(object: &Value, recorded: &Recorded, findings: &mut Findings) {
    let Some(old) = recorded.object() else {
        return; // before the first deployment everything may change
    };
    let job = |object| json::present(object, &["spec", "job"]);
    match (job(old), job(object)) {
        (None, Some(_)) => switched_type(
            findings,
            "a session cluster",
            "an application (it now has spec.job)",
        ),
        (Some(_), None) => switched_type(
            findings,
            "an application",
            "a session cluster (it now has no spec.job)",
        ),
        (Some(old_job), Some(new_job)) => {
            version_after_suspend(object, old, findings);
            savepoint_redeploy(old_job, new_job, findings);
        }
        (None, None) => {}
    }
    let (was, is) = (mode(old), mode(object));
    if was != is {
        findings.refuse(
            &DEPLOYMENT_MODE,
            FieldPath::of("spec.mode"),
            CauseReason::Forbidden,
            format!(
                "was deployed as {} and cannot become {}; make another FlinkDeployment",
                was.word(),
                is.word()
            ),
        );
    }
}

/// What nobody may change of the stored object now, whatever else he changes.
pub(crate) fn held(old: &Value) -> Vec<FieldPath> {
    let recorded = Recorded::of(old);
    let Some(recorded) = recorded.object() else {
        return Vec::new();
    };
    let mut held = vec![FieldPath::of("spec.mode")];
    if is_suspended_with_last_state(recorded) {
        held.push(FieldPath::of("spec.flinkVersion"));
    }
    held
}

fn is_suspended_with_last_state(recorded: &Value) -> bool {
    json::text(recorded, &["spec", "job", "state"]) == Some("suspended")
        && upgrade_mode(recorded) == "last-state"
}

fn switched_type(findings: &mut Findings, was: &str, is: &str) {
    findings.refuse(
        &CLUSTER_TYPE,
        FieldPath::of("spec.job"),
        CauseReason::Forbidden,
        format!("it was deployed as {was} and cannot become {is}; make another FlinkDeployment"),
    );
}

fn version_after_suspend(object: &Value, old: &Value, findings: &mut Findings) {
    let version = |object| json::text(object, &["spec", "flinkVersion"]);
    if upgrade_mode(object) != "stateless"
        && is_suspended_with_last_state(old)
        && version(old) != version(object)
    {
        let was = version(old).unwrap_or("none");
        findings.refuse(
            &VERSION_AFTER_SUSPEND,
            FieldPath::of("spec.flinkVersion"),
            CauseReason::Forbidden,
            format!(
                "the job was suspended with last-state on {was}; restore it with {was} and change the version afterwards"
            ),
        );
    }
}

fn savepoint_redeploy(old: &Value, new: &Value, findings: &mut Findings) {
    let nonce = |job: &Value| json::present(job, &["savepointRedeployNonce"]).cloned();
    let changed = nonce(new).is_some_and(|new| Some(new) != nonce(old));
    let path = json::text(new, &["initialSavepointPath"]);
    if changed && path.is_none_or(java::is_blank) {
        findings.refuse(
            &SAVEPOINT_REDEPLOY,
            FieldPath::of("spec.job.initialSavepointPath"),
            CauseReason::Required,
            "a changed savepointRedeployNonce starts the job from this savepoint; give its path",
        );
    }
}
