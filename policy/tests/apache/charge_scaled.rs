//! What a job costs whose autoscaler makes it wider and narrower.

use crate::support::*;
use serde_json::{Value, json};

#[test]
fn an_autoscaled_job_is_charged_what_its_autoscaler_keeps_to() {
    let with = |configuration: Value| {
        milli(
            application(),
            json!({ "flinkConfiguration": configuration }),
        )
    };
    assert_eq!(
        with(json!({"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": "30"})),
        1000 + 31_500,
        "20 fit, and 41 slots of 2 count as 20"
    );
    assert_eq!(
        with(json!({"kubernetes.operator.job.autoscaler": {"enabled": "true", "quota.cpu": 30}})),
        1000 + 31_500
    );
    assert_eq!(
        with(
            json!({"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": "30", "taskmanager.numberOfTaskSlots": 1})
        ),
        1000 + 30_000
    );
    assert_eq!(
        with(
            json!({"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": "30", "slotmanager.redundant-taskmanager-num": 2})
        ),
        1000 + 34_500
    );
    assert_eq!(
        with(
            json!({"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": "3", "taskmanager.cpu.cores": 8})
        ),
        1000 + 3 * 8000,
        "it counts 1.5 a TaskManager, and each has 8"
    );
    assert_eq!(
        with(json!({"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": "0.5"})),
        1000 + 3000,
        "at least what it asks for"
    );
    assert_eq!(
        with(json!({"job.autoscaler.quota.cpu": "30"})),
        1000 + 3000,
        "the autoscaler is off"
    );
}

#[test]
fn a_quota_that_limits_nothing_is_warned_of_once() {
    let quota = json!({"flinkConfiguration": {"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": "30"}});
    let object = merged(&application(), &json!({ "spec": quota }));
    let warnings = |old: Option<&Value>, object: &Value| {
        let world = Known {
            objects: vec![session()],
            ..Known::default()
        };
        let judgement = match old {
            Some(old) => updated(old, object, &world),
            None => created(object, &world),
        };
        assert_eq!(judgement.refusal, None);
        judgement.warnings.join(" ")
    };
    assert_eq!(warnings(None, &object), "");
    for (spec, piece) in [
        (json!({"flinkVersion": "v1_19"}), "from Flink 1.20 on"),
        (
            json!({"taskManager": {"resource": {"cpu": null}}}),
            "kubernetes.taskmanager.cpu.amount",
        ),
    ] {
        let object = merged(&object, &json!({ "spec": spec }));
        let told = warnings(None, &object);
        assert!(
            told.contains("job.autoscaler.quota.cpu limits nothing") && told.contains(piece),
            "{told}"
        );
        assert_eq!(warnings(Some(&object), &object), "", "told before");
    }
    let job = merged(&session_job(), &json!({ "spec": quota }));
    assert_eq!(warnings(None, &job), "");
    let own = json!({"spec": {"flinkConfiguration": {"kubernetes.taskmanager.cpu.amount": 0}}});
    assert!(warnings(None, &merged(&job, &own)).contains("limits nothing"));
}

/// The operator takes note of a new quota and starts nothing anew for it, and the autoscaler never scales down because of one.
#[test]
fn a_lower_autoscaler_quota_gives_nothing_back_of_what_runs() {
    let quota = |cpu: u32| {
        merged(
            &application(),
            &json!({"spec": {"flinkConfiguration": {"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": cpu}}}),
        )
    };
    let scaled = |object: &Value| {
        merged(
            object,
            &json!({"spec": {"flinkConfiguration": {"pipeline.jobvertex-parallelism-overrides": "a:40,b:2"}}}),
        )
    };
    let at_rest = json!({"lifecycleState": "STABLE", "observedGeneration": 1, "jobManagerDeploymentStatus": "READY"});
    let charge = |object: &Value, recorded: &Value| {
        workload(&reported(object, recorded, at_rest.clone()))
            .charge()
            .0
    };
    let (wide, narrow) = (1000 + 20 * 1500, 1000 + 3 * 1500);
    assert_eq!(charge(&quota(4), &quota(30)), narrow, "was never scaled");
    assert_eq!(charge(&quota(4), &scaled(&quota(30))), wide);
    assert_eq!(
        charge(&quota(4), &scaled(&quota(4))),
        wide,
        "after an upgrade too: the autoscaler remembers"
    );
    assert_eq!(charge(&quota(30), &scaled(&quota(30))), 1000 + 31_500);
    assert_eq!(
        charge(&application(), &scaled(&application())),
        4000,
        "without a quota nothing was paid for"
    );
}
