//! What a run leaves behind: Flink deletes checkpoints, and nothing is restored from what is not there any more.

use super::*;

const OLDER: &str = "2026-11-21T09:10:00Z";

/// Where the first run's checkpoint lies.
fn own() -> String {
    format!("s3://b/ck/{}/chk-9", identity::job_id(UID, 1))
}

/// A run that has told of its ninth checkpoint.
fn runs(wish: Value, more: Value) -> SessionJob {
    let mut status = json!({"snapshotLocation": own(), "snapshotTime": "2026-11-21T09:59:00Z"});
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    job(wish, live(&json!({}), status))
}

fn ended(state: JobState, latest: Latest) -> Option<Flink> {
    Some(Flink::Job(Box::new(Report {
        state,
        failure: None,
        latest,
        is_last: true,
    })))
}

fn ninth(discarded: bool) -> Latest {
    Latest {
        completed: Some(Checkpoint {
            id: 9,
            external_path: Some(own()),
            discarded,
            latest_ack_timestamp: now().as_millisecond() - 60_000,
            ..Checkpoint::default()
        }),
        ..Latest::default()
    }
}

fn stored(origin: SavepointOrigin) -> [Stored; 1] {
    [Stored {
        name: "older".into(),
        location: "s3://b/sp/older".into(),
        completed: OLDER.parse().unwrap(),
        origin,
    }]
}

/// With another restartNonce, once the plan is stored.
fn changed(mut job: SessionJob, plan: Plan) -> SessionJob {
    job.status = Some(plan.status);
    job.spec.restart_nonce = Some(7);
    job.spec.state = Some(sluice_api::DesiredState::Running);
    job.metadata.generation = Some(4);
    job
}

/// Flink deletes the checkpoints of a job that has come to its end, and may not say so at once.
#[test]
fn a_finished_job_that_is_run_again_does_not_start_from_its_deleted_checkpoint() {
    for discarded in [false, true] {
        let job = runs(json!({}), json!({}));
        let plan = decide(&Observed {
            flink: ended(JobState::Finished, ninth(discarded)),
            ..see(&job)
        });
        assert_eq!(
            (state(&plan), &plan.record, &plan.status.snapshot_location),
            (DeploymentState::Finished, &None, &None)
        );
        let again = changed(job, plan);
        let plan = decide(&see(&again));
        assert_eq!(submission(&plan).run.savepoint_path, None);
        // What was stored before it stays: a Deployment of its own starts from that too.
        let all = stored(SavepointOrigin::Suspend);
        let plan = decide(&Observed {
            savepoints: &all,
            ..see(&again)
        });
        assert_eq!(
            submission(&plan).run.savepoint_path.as_deref(),
            Some("s3://b/sp/older")
        );
    }
}

#[test]
fn a_finished_job_that_took_no_checkpoint_is_run_again() {
    let job = job(json!({}), live(&json!({}), json!({})));
    let plan = decide(&Observed {
        flink: says(JobState::Finished),
        ..see(&job)
    });
    let again = changed(job, plan);
    let plan = decide(&see(&again));
    assert_eq!(submission(&plan).run.savepoint_path, None);
}

#[test]
fn a_savepoint_of_a_finished_job_stays() {
    let job = runs(json!({}), json!({}));
    let mut latest = ninth(false);
    latest.savepoint = Some(Checkpoint {
        id: 8,
        external_path: Some("s3://b/sp/by-hand".into()),
        latest_ack_timestamp: now().as_millisecond() - 90_000,
        ..Checkpoint::default()
    });
    let plan = decide(&Observed {
        flink: ended(JobState::Finished, latest),
        ..see(&job)
    });
    assert_eq!(
        plan.status.snapshot_location.as_deref(),
        Some("s3://b/sp/by-hand")
    );
}

/// `DELETE_ON_CANCELLATION`, or checkpoints that are not kept at all.
#[test]
fn a_checkpoint_that_went_with_its_run_is_neither_stored_nor_hides_an_older_savepoint() {
    let cancelling = json!({"state": "TRANSITIONING", "operation": {"kind": "Cancel", "startedAt": "2026-11-21T09:59:59Z"}});
    for (wish, more, end) in [
        (
            json!({"state": "CANCELLED"}),
            cancelling,
            JobState::Canceled,
        ),
        (json!({}), json!({}), JobState::Failed),
    ] {
        let latest = ninth(true);
        let job = runs(wish.clone(), more.clone());
        let all = stored(SavepointOrigin::Copied);
        let plan = decide(&Observed {
            flink: ended(end, latest.clone()),
            savepoints: &all,
            ..see(&job)
        });
        assert_eq!(plan.record, None, "{end:?}");
        let status = &plan.status;
        assert_eq!(status.snapshot_location.as_deref(), Some("s3://b/sp/older"));
        assert_eq!(status.latest_savepoint_name.as_deref(), Some("older"));
        let again = changed(job.clone(), plan);
        let plan = decide(&Observed {
            savepoints: &all,
            ..see(&again)
        });
        assert_eq!(
            submission(&plan).run.savepoint_path.as_deref(),
            Some("s3://b/sp/older")
        );
        // It has had state, so it does not begin without unasked.
        let plan = decide(&Observed {
            flink: ended(end, latest),
            ..see(&job)
        });
        let again = changed(job, plan);
        let plan = decide(&see(&again));
        assert_eq!((reason(&plan), &plan.step), ("NoState", &None), "{end:?}");
    }
}

#[test]
fn a_checkpoint_that_flink_still_has_is_kept() {
    let job = runs(json!({}), json!({}));
    let plan = decide(&Observed {
        flink: ended(JobState::Failed, ninth(false)),
        ..see(&job)
    });
    assert_eq!(plan.record.unwrap().location, own());
}

/// Its JobManager has taken the job over from another one, whose checkpoints it does not tell of.
#[test]
fn a_checkpoint_that_flink_says_nothing_of_is_kept() {
    for end in [JobState::Failed, JobState::Canceled] {
        let job = runs(json!({}), json!({}));
        let plan = decide(&Observed {
            flink: ended(end, Latest::default()),
            ..see(&job)
        });
        assert_eq!(plan.record.unwrap().location, own(), "{end:?}");
    }
}

/// No Savepoint object of it could be made, and the run that was started from it ended before a snapshot of its own.
#[test]
fn what_a_run_was_started_from_is_not_forgotten_with_it() {
    let before = format!("s3://b/ck/{}/chk-3", identity::job_id(UID, 0));
    let job = runs(
        json!({}),
        json!({"snapshotLocation": before, "snapshotTime": "2026-11-21T08:59:00Z"}),
    );
    let plan = decide(&Observed {
        flink: ended(JobState::Failed, Latest::default()),
        ..see(&job)
    });
    assert_eq!(plan.status.snapshot_location.as_deref(), Some(&*before));
    assert_eq!(plan.record.unwrap().location, before);
}
