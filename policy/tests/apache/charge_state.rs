//! What a workload costs in each state that the operator reports.

use crate::support::*;
use serde_json::{Value, json};
use sluice_policy::*;

#[test]
fn a_suspended_job_costs_until_its_pods_are_gone() {
    let running = application();
    let suspended = merged(&running, &json!({"spec": {"job": {"state": "suspended"}}}));
    assert_eq!(workload(&suspended).charge().0, 0, "never deployed");
    assert_eq!(workload(&suspended).desired, Desired::Suspended);
    let full = 1000 + 2 * 1500;
    for (status, charge) in [
        (
            json!({"lifecycleState": "STABLE", "jobManagerDeploymentStatus": "READY", "observedGeneration": 1}),
            full,
        ),
        (
            json!({"lifecycleState": "UPGRADING", "jobManagerDeploymentStatus": "MISSING"}),
            full,
        ),
        (
            json!({"lifecycleState": "SUSPENDED", "jobManagerDeploymentStatus": "READY"}),
            full,
        ),
        (
            json!({"lifecycleState": "FAILED", "jobManagerDeploymentStatus": "MISSING"}),
            full,
        ),
        (
            json!({"lifecycleState": "SUSPENDED", "jobManagerDeploymentStatus": "MISSING"}),
            0,
        ),
        (json!({"lifecycleState": "SUSPENDED"}), 0),
        (
            json!({"lifecycleState": "DELETED", "jobManagerDeploymentStatus": "MISSING"}),
            0,
        ),
    ] {
        let object = reported(&suspended, &running, status.clone());
        assert_eq!(workload(&object).charge().0, charge, "{status}");
    }
    let resumed = reported(
        &running,
        &suspended,
        json!({"lifecycleState": "SUSPENDED", "observedGeneration": 1}),
    );
    assert_eq!(
        workload(&resumed).charge().0,
        full,
        "told to run costs at once"
    );
}

#[test]
fn a_lowered_job_costs_the_old_until_the_new_is_stable() {
    let large = merged(
        &application(),
        &json!({"spec": {"job": {"parallelism": 40}}}),
    );
    let small = merged(&application(), &json!({"metadata": {"generation": 2}}));
    let (much, little) = (1000 + 20 * 1500, 1000 + 2 * 1500);
    let at = |recorded: &Value, stable: Option<&Value>, lifecycle: &str, generation: u64| {
        let mut object = reported(
            &small,
            recorded,
            json!({"lifecycleState": lifecycle, "jobManagerDeploymentStatus": "READY", "observedGeneration": generation}),
        );
        if let Some(stable) = stable {
            let text = json!({"spec": stable["spec"], "resource_metadata": {}}).to_string();
            merge(
                &mut object,
                &json!({"status": {"reconciliationStatus": {"lastStableSpec": text}}}),
            );
        }
        workload(&object).charge().0
    };
    assert_eq!(
        at(&large, Some(&large), "STABLE", 1),
        much,
        "not observed yet"
    );
    assert_eq!(
        at(&small, Some(&large), "DEPLOYED", 2),
        much,
        "may be rolled back"
    );
    assert_eq!(at(&small, Some(&large), "ROLLED_BACK", 2), much);
    assert_eq!(at(&small, Some(&small), "STABLE", 2), little);
}

#[test]
fn a_status_write_of_the_autoscaler_does_not_raise_a_charge() {
    let standalone = merged(&application(), &json!({"spec": {"mode": "standalone"}}));
    let scaled = merged(
        &standalone,
        &json!({"spec": {"flinkConfiguration": {"pipeline.jobvertex-parallelism-overrides": "a:100"}}}),
    );
    let before = reported(
        &standalone,
        &standalone,
        json!({"lifecycleState": "DEPLOYED", "observedGeneration": 1}),
    );
    let after = reported(
        &standalone,
        &scaled,
        json!({"lifecycleState": "DEPLOYED", "observedGeneration": 1}),
    );
    assert_eq!(workload(&after).charge(), workload(&before).charge());
}

/// The operator cancels the old run and takes the JobManager away before it starts the new one; all the while its status tells the
/// generation of the new spec.
#[test]
fn an_upgrade_gives_nothing_back_on_the_way() {
    let object = application();
    for on_the_way in [
        json!({"lifecycleState": "UPGRADING"}),
        json!({"reconciliationStatus": {"state": "UPGRADING"}}),
        json!({"lifecycleState": "ROLLING_BACK"}),
    ] {
        let mut stopped = reported(
            &object,
            &merged(&object, &json!({"spec": {"job": {"state": "suspended"}}})),
            json!({"jobStatus": {"state": "FINISHED"}, "jobManagerDeploymentStatus": "MISSING", "observedGeneration": 1}),
        );
        merge(&mut stopped, &json!({ "status": on_the_way }));
        assert_eq!(workload(&stopped).charge().0, 4000, "{on_the_way}");
        assert_eq!(workload(&stopped).desired, Desired::Running);
    }
}

#[test]
fn what_has_finished_costs_nothing_while_it_goes_or_is_suspended() {
    let object = application();
    let at = |change: &Value, generation: u64| {
        let mut ended = reported(
            &object,
            &object,
            json!({"lifecycleState": "STABLE", "jobStatus": {"state": "FINISHED"}, "jobManagerDeploymentStatus": "MISSING", "observedGeneration": 1}),
        );
        merge(&mut ended, &json!({"metadata": {"generation": generation}}));
        merge(&mut ended, change);
        workload(&ended).charge().0
    };
    let deleted = json!({"metadata": {"deletionTimestamp": "2026-11-21T10:00:00Z"}});
    let suspended = json!({"spec": {"job": {"state": "suspended"}}});
    assert_eq!(at(&deleted, 2), 0);
    assert_eq!(at(&suspended, 2), 0);
    assert_eq!(
        at(&json!({}), 2),
        4000,
        "a change of the spec starts it again"
    );
    assert_eq!(
        at(&suspended, 3),
        4000,
        "it may have been started in between"
    );
}

/// The operator lets alone what bears the label, and so does what it has deployed before: that runs on.
#[test]
fn a_label_makes_no_canary_of_what_runs() {
    let label = json!({"metadata": {"labels": {"flink.apache.org/canary": "true"}}});
    let dialect = dialect_for("flink.apache.org", "FlinkDeployment").unwrap();
    let canary = merged(&application(), &label);
    assert!(dialect.is_exempt(&canary));
    let runs = reported(&canary, &application(), json!({"lifecycleState": "STABLE"}));
    assert!(!dialect.is_exempt(&runs));
    // The operator may have begun with it and not said so yet.
    let marked = updated(&application(), &canary, &world::EmptyWorld);
    assert_eq!(marked.refusal.unwrap().rule.id, "request/marked-later");
    let edited = merged(&canary, &json!({"spec": {"image": "flink:1.20.1"}}));
    assert!(
        updated(&canary, &edited, &world::EmptyWorld)
            .refusal
            .is_none()
    );
    // A PUT holds no status; the stored one tells.
    let old = reported(
        &merged(&session(), &label),
        &session(),
        json!({"lifecycleState": "STABLE"}),
    );
    let image = json!({"spec": {"image": "flink:1.20.1"}});
    let sent = merged(&merged(&session(), &label), &image);
    assert!(updated(&old, &sent, &world::EmptyWorld).refusal.is_some());
}

#[test]
fn a_finished_job_costs_until_its_jobmanager_is_gone() {
    let object = application();
    let at = |manager: &str, generation: u64| {
        workload(&reported(
            &object,
            &object,
            json!({"lifecycleState": "STABLE", "jobStatus": {"state": "FINISHED"}, "jobManagerDeploymentStatus": manager, "observedGeneration": generation}),
        ))
    };
    assert_eq!(at("READY", 1).charge().0, 4000);
    assert_eq!(at("MISSING", 1).charge().0, 0);
    assert_eq!(at("MISSING", 1).desired, Desired::Stopped);
    assert_eq!(
        at("MISSING", 0).charge().0,
        4000,
        "a change of the spec starts it again"
    );
    let failed = reported(
        &object,
        &object,
        json!({"lifecycleState": "FAILED", "jobStatus": {"state": "FAILED"}, "observedGeneration": 1}),
    );
    assert_eq!(
        workload(&failed).charge().0,
        4000,
        "the operator may start it again"
    );
    let job = session_job();
    let over = reported(
        &job,
        &job,
        json!({"jobStatus": {"state": "FINISHED"}, "lifecycleState": "STABLE", "observedGeneration": 1}),
    );
    assert_eq!(workload(&over).charge().0, 0);
}

#[test]
fn what_is_being_deleted_asks_for_nothing_but_holds_its_pods() {
    let running = application();
    let status = json!({"lifecycleState": "DELETING", "jobManagerDeploymentStatus": "READY", "observedGeneration": 1});
    let mut object = reported(&running, &running, status);
    merge(
        &mut object,
        &json!({"metadata": {"deletionTimestamp": "2026-11-21T00:00:00Z"}}),
    );
    let workload = workload(&object);
    assert_eq!(
        (workload.desired, workload.demand, workload.charge().0),
        (Desired::Stopped, MilliCpu::ZERO, 4000)
    );
}

/// The operator ignores a change of its own options: pods that run stay merged as they were.
#[test]
fn another_way_to_merge_pod_templates_gives_nothing_back_of_what_runs() {
    const KEY: &str = "kubernetes.operator.pod-template.merge-arrays-by-name";
    let container = |name: &str, cpu: &str| json!({"name": name, "image": "x", "resources": {"requests": {"cpu": cpu}}});
    let templates = json!({"spec": {
        "podTemplate": {"spec": {"containers": [container("a", "10")]}},
        "taskManager": {"podTemplate": {"spec": {"containers": [{"name": "b"}, container("a", "100m")]}}},
    }});
    // Two TaskManagers with b of 10 and a of 0.1, and a JobManager with a of 10.
    let application = merged(&application(), &templates);
    let running = deployed(&application);
    let as_merged = 1000 + 10_000 + 2 * (1500 + 10_100);
    assert_eq!(workload(&running).charge().0, as_merged);
    for value in [
        json!({ KEY: "true" }),
        json!({"kubernetes": {"operator": {"pod-template.merge-arrays-by-name": true}}}),
    ] {
        let flipped = merged(&running, &json!({"spec": {"flinkConfiguration": value}}));
        assert_eq!(
            workload(&flipped).charge().0,
            as_merged,
            "nothing was started anew"
        );
        let anew = deployed(&merged(
            &application,
            &json!({"spec": {"flinkConfiguration": value}}),
        ));
        assert_eq!(workload(&anew).charge().0, 1000 + 10_000 + 2 * (1500 + 100));
        let world = |cluster: &Value| Known {
            objects: vec![cluster.clone()],
            ..Known::default()
        };
        let cluster = deployed(&merged(&session(), &templates));
        let flipped = merged(&cluster, &json!({"spec": {"flinkConfiguration": value}}));
        let job = deployed(&session_job());
        assert_eq!(
            workload_in(&job, &world(&cluster)).charge().0,
            2 * (1500 + 10_100)
        );
        assert_eq!(
            workload_in(&job, &world(&flipped)).charge().0,
            2 * (1500 + 10_100)
        );
    }
    // What is changed beside it and has come to rest is given back.
    let smaller = merged(
        &running,
        &json!({"spec": {"flinkConfiguration": {KEY: "true"}, "job": {"parallelism": 2}}}),
    );
    assert_eq!(
        workload(&deployed(&smaller)).charge().0,
        1000 + 10_000 + 1500 + 100
    );
}

/// The operator runs on with the spec that it has recorded; to correct the other one is no start of what runs.
#[test]
fn what_runs_beside_a_spec_that_cannot_be_read_costs_what_is_recorded() {
    let large = json!({"spec": {"job": {"parallelism": 40}}});
    for (object, cost) in [(application(), 31_000), (session_job(), 20 * 1500)] {
        let world = Known {
            objects: vec![session()],
            ..Known::default()
        };
        let running = deployed(&merged(&object, &large));
        let unreadable = json!({"spec": {"job": {"parallelism": null}, "flinkConfiguration": {
            "taskmanager.numberOfTaskSlots": "many", "parallelism.default": "many"}}});
        let stored = merged(&running, &unreadable);
        let dialect = dialect_of(&stored);
        assert!(dialect.workload(&stored, &world).is_err());
        let unread = dialect.unread(&stored, &world).unwrap();
        assert_eq!(unread.charge().0, cost);
        assert_eq!(unread.desired, Desired::Running);
        let corrected = updated(&stored, &running, &world);
        assert_eq!(corrected.refusal, None);
        assert_eq!(corrected.demand, None, "no start");
        // What nobody has deployed, and what has gone, costs nothing.
        assert_eq!(dialect.unread(&merged(&object, &unreadable), &world), None);
        let gone = merged(
            &stored,
            &json!({"status": {"lifecycleState": "SUSPENDED", "jobManagerDeploymentStatus": "MISSING"}}),
        );
        assert_eq!(dialect.unread(&gone, &world), None);
    }
}
