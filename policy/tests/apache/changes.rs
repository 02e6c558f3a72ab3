//! Changes of what is deployed: what the operator refuses, and what is frozen.

use crate::support::*;
use rstest::rstest;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::*;

#[rstest]
#[case(json!({"job": null}), "flink/cluster-type", "spec.job", "make another FlinkDeployment")]
#[case(json!({"mode": "standalone"}), "flink/deployment-mode", "spec.mode", "cannot become standalone")]
#[case(json!({"job": {"savepointRedeployNonce": 1}}), "flink/savepoint-redeploy", "spec.job.initialSavepointPath", "give its path")]
#[case(json!({"job": {"savepointRedeployNonce": 1, "initialSavepointPath": " "}}), "flink/savepoint-redeploy", "spec.job.initialSavepointPath", "give its path")]
fn changes_of_a_deployed_application(
    #[case] spec: Value,
    #[case] rule: &str,
    #[case] field: &str,
    #[case] piece: &str,
) {
    let old = deployed(&application());
    let new = merged(&old, &json!({ "spec": spec }));
    let refusal = updated(&old, &new, &EmptyWorld).refusal.unwrap();
    let cause = refusal
        .causes
        .iter()
        .find(|cause| cause.rule.id == rule)
        .unwrap();
    assert_eq!(
        (cause.field.to_string().as_str(), refusal.code.number()),
        (field, 403)
    );
    assert!(cause.message.contains(piece), "{}", cause.message);
    // Before the first deployment it may change.
    let fresh = merged(&application(), &json!({ "spec": spec }));
    assert!(
        updated(&application(), &fresh, &EmptyWorld)
            .refusal
            .is_none()
    );
}

#[test]
fn the_version_stays_after_a_last_state_suspend() {
    let configuration = json!({"state.checkpoints.dir": "c"});
    let old = deployed(&with(
        json!({"job": {"state": "suspended", "upgradeMode": "last-state"}, "flinkConfiguration": configuration}),
    ));
    let change =
        |spec: Value| updated(&old, &merged(&old, &json!({ "spec": spec })), &EmptyWorld).refusal;
    let refusal = change(json!({"flinkVersion": "v2_0", "job": {"state": "running"}})).unwrap();
    assert_eq!(
        (refusal.rule.id, refusal.code.number()),
        ("flink/version-after-suspend", 403)
    );
    assert!(
        refusal.message.contains("restore it with v1_20"),
        "{}",
        refusal.message
    );
    assert_eq!(
        change(
            json!({"flinkVersion": "v2_0", "job": {"state": "running", "upgradeMode": "stateless"}})
        ),
        None
    );
    assert_eq!(change(json!({"job": {"state": "running"}})), None);
}

#[test]
fn suspending_works_however_wrong_the_rest_is() {
    let old = deployed(&with(json!({"serviceAccount": null})));
    let new = merged(&old, &json!({"spec": {"job": {"state": "suspended"}}}));
    assert_eq!(updated(&old, &new, &EmptyWorld).refusal, None);
}

/// A session cluster that gets a `job`, be it one that is suspended, is told that it cannot become an application: it would not be frozen any
/// more, and the session jobs on it would cost less while they run.
#[rstest]
#[case(json!({"state": "suspended"}))]
#[case(json!({"state": "running"}))]
#[case(json!({}))]
fn a_job_is_no_lever_of_a_session_cluster(#[case] job: Value) {
    let (old, new) = change_session(json!({ "job": job }), json!({}));
    let refusal = updated(&old, &new, &EmptyWorld).refusal.unwrap();
    let message = refusal.message;
    assert!(message.contains("[flink/cluster-type]"), "{message}");
    let application = deployed(&with(json!({"job": {"state": "running"}})));
    let mut bare = application.clone();
    merge(
        &mut bare,
        &json!({"spec": {"job": null}, "metadata": {"generation": 2}}),
    );
    let refusal = updated(&application, &bare, &EmptyWorld).refusal.unwrap();
    let message = refusal.message;
    assert!(message.contains("[flink/cluster-type]"), "{message}");
}

fn change_session(spec: Value, base: Value) -> (Value, Value) {
    let old = deployed(&merged(&session(), &json!({ "spec": base })));
    let new = merged(&old, &json!({"spec": spec, "metadata": {"generation": 2}}));
    (old, new)
}

#[rstest]
#[case(json!({"image": "flink:new"}), "spec.image")]
#[case(json!({"flinkVersion": "v2_0"}), "spec.flinkVersion")]
#[case(json!({"taskManager": {"resource": {"cpu": 3}}}), "spec.taskManager.resource.cpu")]
#[case(json!({"flinkConfiguration": {"env.java.opts": "-X"}}), "spec.flinkConfiguration[env.java.opts]")]
#[case(json!({"taskManager": {"replicas": 4}}), "spec.taskManager.replicas")]
#[case(json!({"serviceAccount": "other"}), "spec.serviceAccount")]
fn a_deployed_session_cluster_is_frozen(#[case] spec: Value, #[case] field: &str) {
    let (old, new) = change_session(spec, json!({}));
    let refusal = updated(&old, &new, &EmptyWorld).refusal.unwrap();
    assert_eq!(
        (refusal.rule.id, refusal.code.number()),
        ("immutable/flink-session-cluster", 403)
    );
    assert_eq!(refusal.causes.len(), 1, "{}", refusal.message);
    assert_eq!(refusal.causes[0].field.to_string(), field);
    assert_eq!(refusal.causes[0].reason, CauseReason::Forbidden);
    assert!(
        refusal.message.contains("sluice.dev/allow-recreate"),
        "{}",
        refusal.message
    );
    // The way out works, with a warning.
    let mut annotated = new.clone();
    merge(
        &mut annotated,
        &json!({"metadata": {"annotations": {"sluice.dev/allow-recreate": "true"}}}),
    );
    let judgement = updated(&old, &annotated, &EmptyWorld);
    assert_eq!(judgement.refusal, None);
    assert!(
        judgement
            .warnings
            .iter()
            .any(|w| w.contains("deleted and recreated")),
        "{:?}",
        judgement.warnings
    );
    // And a failed cluster, or one that was never deployed, is not frozen.
    let mut failed = old.clone();
    merge(
        &mut failed,
        &json!({"status": {"lifecycleState": "FAILED"}}),
    );
    assert_eq!(updated(&failed, &new, &EmptyWorld).refusal, None);
    assert_eq!(
        updated(
            &session(),
            &merged(&session(), &json!({"spec": new["spec"]})),
            &EmptyWorld
        )
        .refusal,
        None
    );
}

#[rstest]
#[case(json!({"flinkConfiguration": {"kubernetes.operator.savepoint.format.type": "NATIVE"}}))]
#[case(json!({"flinkConfiguration": {"job": {"autoscaler": {"enabled": true}}}}))]
#[case(json!({"flinkConfiguration": {"parallelism.default": 3}}))]
#[case(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": null, "taskmanager": {"numberOfTaskSlots": 2}}}))]
#[case(json!({"taskManager": {"resource": {"memory": "2Gi", "cpu": 1.50}}}))]
#[case(json!({"restartNonce": 2}))]
fn what_costs_no_jobs_may_change(#[case] spec: Value) {
    let (old, new) = change_session(spec, json!({}));
    assert_eq!(updated(&old, &new, &EmptyWorld).refusal, None);
}

#[test]
fn replicas_and_the_nonce_warn_of_lost_jobs() {
    let warnings = |spec: Value, base: Value| {
        let (old, new) = change_session(spec, base);
        assert_eq!(updated(&old, &new, &EmptyWorld).refusal, None);
        mutate(&review(&new, Operation::Update { old: &old }), &EmptyWorld).warnings
    };
    let standalone = json!({"mode": "standalone", "taskManager": {"replicas": 2}});
    let replicas = warnings(json!({"taskManager": {"replicas": 3}}), standalone);
    assert!(replicas[0].contains("up to 1.16 recreate"), "{replicas:?}");
    let nonce = warnings(json!({"restartNonce": 2}), json!({"restartNonce": 1}));
    assert!(nonce[0].contains("jobs are lost"), "{nonce:?}");
    assert!(
        warnings(json!({"restartNonce": null}), json!({"restartNonce": 1})).is_empty(),
        "the operator ignores that"
    );
}
