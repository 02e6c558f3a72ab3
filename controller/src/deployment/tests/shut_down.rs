//! A JobManager that ends well, with exit code 0: whether its job has ended depends on Flink's version.

use super::*;

/// A job that has run, and whose JobManager has ended well; what it said last of checkpoints is stored.
fn completed(version: Option<FlinkVersion>) -> Scene {
    let mut scene = Scene {
        version,
        flink: Flink::Absent,
        ..Scene::running()
            .run_is(&json!({"lastCheckpoint": "s3://b/ck/chk-7", "lastCheckpointTime": ago(9)}))
    };
    for made in &mut scene.made {
        match made.kind {
            MadeKind::Job => made.detail = Detail::Batch(Batch::Complete),
            MadeKind::Pod => {
                made.detail = Detail::Pod(Pod {
                    ended: true,
                    ..Pod::default()
                });
            }
            _ => {}
        }
    }
    scene
}

fn left(plan: &Plan) -> Option<&str> {
    plan.savepoint.as_ref().map(|left| left.location.as_str())
}

/// `DELETE /cluster`, or `System.exit(0)` in the program: the job has not come to its end.
#[test]
fn a_job_manager_that_outlives_its_job_and_was_shut_down_has_failed() {
    for version in [(1, 15), (1, 20), (2, 0)] {
        let scene = completed(Some(FlinkVersion::new(version.0, version.1)));
        let plan = scene.decide();
        assert_eq!(shown(&plan), "RUNNING/- -, job FAILED", "{version:?}");
        assert_eq!(left(&plan), Some("s3://b/ck/chk-7"));
        let failure = plan.run.as_ref().unwrap().failure.clone().unwrap();
        for part in ["was shut down", "DELETE /cluster", "System.exit(0)"] {
            assert!(failure.message.contains(part), "{part}: {failure:?}");
        }
        // A program that ends so by itself would never come to an end: it is run again when somebody says so, from there.
        let scene = scene.after(&plan);
        let plan = scene.decide();
        assert_eq!(shown(&plan), "TRANSITIONING/Fail -");
        let scene = scene.after(&plan).gone();
        let plan = scene.decide();
        let mut scene = scene.after(&plan);
        assert_eq!(
            (&scene.status["state"], &scene.status["failure"]["reason"]),
            (&json!("FAILED"), &json!("ShutDown"))
        );
        let told = scene.status["failure"]["message"].as_str().unwrap();
        assert!(
            told.ends_with("Change spec.restartNonce to start the job again."),
            "{told}"
        );
        scene.now += SignedDuration::from_secs(20);
        let scene = scene
            .asked(&json!({"restartNonce": 7}))
            .with(&json!({"observedGeneration": 2}));
        let plan = scene.decide();
        let from = &scene.savepoints[0].name;
        assert_eq!(
            shown(&plan),
            format!("TRANSITIONING/Start record d-2 from {from}")
        );
    }
}

#[test]
fn one_that_was_to_be_suspended_then_has_not_been() {
    let mut scene = completed(Some(FlinkVersion::new(1, 20))).asked(&json!({"state": "SUSPENDED"}));
    for _ in 0..4 {
        let plan = scene.decide();
        scene = scene.after(&plan);
        if plan.again == Again::OnNews {
            break;
        }
    }
    assert_eq!(scene.status["state"], "FAILED");
    assert_eq!(scene.status["failure"]["reason"], "SuspendFailed");
    assert_eq!(scene.savepoints[0].location, "s3://b/ck/chk-7");
}

#[test]
fn one_that_says_that_its_job_has_ended_is_believed() {
    let finished = Scene {
        flink: says(JobState::Finished),
        ..completed(Some(FlinkVersion::new(1, 20)))
    };
    let plan = finished.decide();
    assert_eq!(shown(&plan), "RUNNING/- -, job FINISHED");
    assert_eq!(left(&plan), None);
}

/// It was shut down between its word that the job has ended and its last one.
#[test]
fn what_it_has_said_before_it_was_shut_down_counts() {
    let mut ending = Scene::running();
    let Flink::Job(told) = &mut ending.flink else {
        unreachable!()
    };
    (told.report.state, told.report.is_last) = (JobState::Finished, false);
    let plan = ending.decide();
    assert_eq!(plan.run.as_ref().unwrap().end_time, None);
    let heard = ending.after(&plan).run;
    let plan = Scene {
        run: heard,
        ..completed(Some(FlinkVersion::new(1, 20)))
    }
    .decide();
    assert_eq!(shown(&plan), "RUNNING/- -, job FINISHED");
}

/// Before Flink 1.15 a JobManager ends with its job, and Flink deletes the checkpoints of a job that has ended.
#[test]
fn one_that_ends_with_its_job_has_finished() {
    let plan = completed(Some(FlinkVersion::new(1, 14))).decide();
    assert_eq!(shown(&plan), "RUNNING/- -, job FINISHED");
    assert_eq!(left(&plan), None);
}

#[test]
fn one_of_which_nobody_knows_has_finished_and_leaves_its_checkpoint() {
    let plan = completed(None).decide();
    assert_eq!(shown(&plan), "RUNNING/- -, job FINISHED");
    assert_eq!(left(&plan), Some("s3://b/ck/chk-7"));
}

#[test]
fn one_that_was_to_be_cancelled_has_been() {
    let cancelling = json!({"state": "TRANSITIONING", "running": null, "operation": {"kind": "Cancel", "startedAt": ago(5)}});
    for version in [Some(FlinkVersion::new(1, 20)), None] {
        let plan = completed(version)
            .asked(&json!({"state": "CANCELLED"}))
            .with(&cancelling)
            .decide();
        assert_eq!(
            shown(&plan),
            "TRANSITIONING/Cancel -, job TERMINATED",
            "{version:?}"
        );
        assert_eq!(left(&plan), Some("s3://b/ck/chk-7"));
    }
}
