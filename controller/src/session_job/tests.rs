//! The decision as a table: what is observed, and what is done about it.
#![allow(
    clippy::needless_pass_by_value,
    clippy::unnecessary_wraps,
    reason = "rows of the table read better with plain values"
)]

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sluice_api::events::EventReason;
use sluice_api::{DeploymentState, SavepointOrigin, SessionClusterState, SessionJob};
use sluice_policy::flink::FlinkVersion;

mod edge;
mod remains;
mod unanswered;

use super::decide::decide;
use super::identity;
use super::sight::*;
use crate::flink::types::{Checkpoint, Latest};
use crate::flink::{JobState, Snapshot, TriggerId};

const UID: &str = "5d7c";

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

/// A job as it is stored, with a finalizer.
fn job(spec: Value, status: Value) -> SessionJob {
    let mut all = json!({"sessionClusterName": "c", "state": "RUNNING", "job": {"entryClass": "a.B"},
        "flinkConfiguration": {"state.savepoints.dir": "s3://b/sp"}});
    for (key, value) in spec.as_object().unwrap() {
        all[key] = value.clone();
    }
    serde_json::from_value(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob",
        "metadata": {"name": "j", "namespace": "n", "uid": UID, "generation": 3, "finalizers": ["sluice.dev/teardown"]},
        "spec": all, "status": status}))
    .unwrap()
}

/// The status of a job whose first run is live, started with what `job(spec)` says.
fn live(spec: &Value, more: Value) -> Value {
    let fingerprint = identity::fingerprint(&job(spec.clone(), json!({})));
    let mut all = json!({"state": "RUNNING", "observedGeneration": 3, "run": 1, "jobId": identity::job_id(UID, 1).to_string(),
        "flinkState": "RUNNING", "sessionClusterUid": "cu", "startTime": "2026-11-21T09:00:00Z", "startedWith": fingerprint});
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

fn cluster() -> Ready {
    Ready {
        name: "c".into(),
        uid: "cu".into(),
        version: Some(FlinkVersion::new(1, 20)),
        savepoints: None,
    }
}

fn says(state: JobState) -> Option<Flink> {
    Some(Flink::Job(Box::new(Report {
        state,
        failure: None,
        latest: Latest::default(),
        is_last: true,
    })))
}

fn with_checkpoint(state: JobState, failure: Option<&str>) -> Option<Flink> {
    Some(Flink::Job(Box::new(Report {
        state,
        failure: failure.map(str::to_owned),
        latest: Latest {
            completed: Some(Checkpoint {
                id: 7,
                external_path: Some("s3://b/ck/chk-7".into()),
                latest_ack_timestamp: now().as_millisecond() - 5_000,
                ..Checkpoint::default()
            }),
            ..Latest::default()
        },
        is_last: true,
    })))
}

fn with_savepoint(state: JobState) -> Option<Flink> {
    Some(Flink::Job(Box::new(Report {
        state,
        failure: None,
        latest: Latest {
            savepoint: Some(Checkpoint {
                id: 8,
                external_path: Some("s3://b/sp/x".into()),
                latest_ack_timestamp: now().as_millisecond() - 1_000,
                ..Checkpoint::default()
            }),
            ..Latest::default()
        },
        is_last: true,
    })))
}

/// What is observed where all is well; cases change what they are about.
fn see(job: &SessionJob) -> Observed<'_> {
    let status = job.status.as_ref();
    let has_run = status.is_some_and(|status| status.run.is_some());
    Observed {
        job,
        now: now(),
        target: Target::Ready(cluster()),
        home: if has_run { Home::Ready } else { Home::Gone },
        at: has_run.then(cluster),
        flink: None,
        stop: None,
        savepoints: &[],
        answer: None,
    }
}

fn state(plan: &Plan) -> DeploymentState {
    plan.status.state.unwrap()
}

fn reason(plan: &Plan) -> &str {
    let all = &plan.status.conditions;
    let ready = all.iter().find(|condition| condition.type_ == "Ready");
    &ready.unwrap().reason
}

fn told(plan: &Plan) -> Vec<EventReason> {
    plan.notes.iter().map(|note| note.reason).collect()
}

fn submission(plan: &Plan) -> &Submission {
    match &plan.step {
        Some(Step::Submit(submission)) => submission,
        other => panic!("no submission but {other:?}"),
    }
}

#[test]
fn a_finalizer_comes_before_everything() {
    let mut job = job(json!({}), json!({}));
    job.metadata.finalizers = None;
    let plan = decide(&see(&job));
    assert_eq!((plan.finalizer, plan.step), (Finalizer::Add, None));
}

#[test]
fn a_first_start_is_empty_and_has_an_id_of_its_own() {
    let job = job(
        json!({"job": {"entryClass": "a.B", "args": ["--n", "3"], "parallelism": 2}}),
        json!({}),
    );
    let plan = decide(&see(&job));
    assert_eq!(
        (state(&plan), reason(&plan), told(&plan)),
        (
            DeploymentState::Transitioning,
            "Starting",
            vec![EventReason::Starting]
        )
    );
    let submission = submission(&plan);
    assert_eq!(
        submission.name,
        identity::jar_name(&identity::job_id(UID, 1))
    );
    assert_eq!(submission.run.job_id, Some(identity::job_id(UID, 1)));
    assert_eq!(submission.run.savepoint_path, None);
    assert_eq!(submission.run.args, ["--n", "3"]);
    assert_eq!(submission.run.parallelism, Some(2));
    assert_eq!(
        plan.status.job_id.as_deref(),
        Some(identity::job_id(UID, 1).as_str()),
        "stored before it is asked for"
    );
    assert_eq!(
        plan.status.operation.unwrap().kind.as_deref(),
        Some("Start")
    );
}

#[test]
fn a_session_cluster_that_does_not_run_is_waited_for() {
    let job = job(json!({}), json!({}));
    for (target, expected) in [
        (Target::Unnamed, "NotFound"),
        (Target::Missing("c".into()), "NotFound"),
        (
            Target::NotReady {
                name: "c".into(),
                state: Some(SessionClusterState::Starting),
            },
            "Stopped",
        ),
    ] {
        let plan = decide(&Observed {
            target,
            ..see(&job)
        });
        assert_eq!(
            (state(&plan), reason(&plan), &plan.step),
            (DeploymentState::Transitioning, expected, &None)
        );
        assert!(
            plan.again.is_some_and(|again| again.as_secs() >= 5),
            "no hot loop"
        );
    }
}

#[test]
fn after_a_crash_the_same_submission_is_made_again() {
    let spec = json!({});
    let pending = live(
        &spec,
        json!({"state": "TRANSITIONING", "flinkState": null, "startTime": null,
        "operation": {"kind": "Start", "startedAt": "2026-11-21T09:59:58Z"}, "attempts": {"jobCreation": 1}}),
    );
    let job = job(spec, pending);
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&job)
    });
    assert_eq!(
        submission(&plan).run.job_id,
        Some(identity::job_id(UID, 1)),
        "the same id"
    );
    assert_eq!(plan.status.run, Some(1));
    // Or it has come through, and is not made again.
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        ..see(&job)
    });
    assert_eq!(
        (state(&plan), plan.step.clone(), told(&plan)),
        (DeploymentState::Running, None, vec![EventReason::Started])
    );
    assert!(plan.status.start_time.is_some() && plan.status.operation.is_none());
}

#[test]
fn a_submission_that_may_be_under_way_is_not_left_behind() {
    let spec = json!({"state": "CANCELLED"});
    let pending = |at: &str| {
        live(
            &json!({}),
            json!({"state": "TRANSITIONING", "flinkState": null, "startTime": null,
        "operation": {"kind": "Start", "startedAt": at}, "attempts": {"jobCreation": 1}}),
        )
    };
    let fresh = job(spec.clone(), pending("2026-11-21T09:59:58Z"));
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&fresh)
    });
    assert_eq!(
        (state(&plan), &plan.step),
        (DeploymentState::Transitioning, &None)
    );
    let old = job(spec.clone(), pending("2026-11-21T09:50:00Z"));
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&old)
    });
    assert_eq!(
        (state(&plan), &plan.step),
        (DeploymentState::Cancelled, &None)
    );
    let plan = decide(&Observed {
        flink: says(JobState::Created),
        ..see(&fresh)
    });
    assert_eq!(
        plan.step,
        Some(Step::Cancel(identity::job_id(UID, 1))),
        "it has come through"
    );
}

#[test]
fn four_refusals_are_a_failure_and_transient_trouble_is_none() {
    let spec = json!({});
    let mut status = live(
        &spec,
        json!({"state": "TRANSITIONING", "flinkState": null, "startTime": null,
        "operation": {"kind": "Start", "startedAt": "2026-11-21T09:59:58Z"}, "attempts": {"jobCreation": 1}}),
    );
    for failures in 1..=4 {
        let job = job(spec.clone(), status.clone());
        let refused = Answer::SubmitFailed("IllegalStateException: no input".into());
        let plan = decide(&Observed {
            answer: Some(refused),
            ..see(&job)
        });
        if failures < 4 {
            assert_eq!(state(&plan), DeploymentState::Transitioning);
            assert_eq!(plan.again.unwrap().as_secs(), 1 << failures, "backed off");
            assert_eq!(told(&plan).len(), usize::from(failures == 1), "told once");
        } else {
            assert_eq!(
                (state(&plan), reason(&plan)),
                (DeploymentState::Failed, "JobCreationFailed")
            );
            assert_eq!(
                plan.status.failure.clone().unwrap().message,
                "The job could not be started in 4 attempts: IllegalStateException: no input"
            );
        }
        status = serde_json::to_value(&plan.status).unwrap();
    }
    let failed = job(spec.clone(), status);
    let plan = decide(&see(&failed));
    assert_eq!(
        (Some(&plan.status), &plan.step, plan.again),
        (failed.status.as_ref(), &None, None),
        "it rests"
    );
    let mut changed = failed.clone();
    changed.metadata.generation = Some(4);
    assert_eq!(
        submission(&decide(&see(&changed))).run.job_id,
        Some(identity::job_id(UID, 2)),
        "until the spec changes"
    );
}

/// While the server of its jar is away, no job ends for good that has run before: its session cluster was restarted, say.
#[test]
fn a_jar_that_does_not_come_for_now_is_waited_for_by_what_has_run_before() {
    let spec = json!({});
    let begun = |start_time: Value| {
        live(
            &spec,
            json!({"state": "TRANSITIONING", "flinkState": null, "startTime": start_time,
            "operation": {"kind": "Start", "startedAt": "2026-11-21T09:59:58Z"}, "attempts": {"jobCreation": 1}}),
        )
    };
    let away = || {
        Some(Answer::NotFetched(
            "spec.job.jarUri: https://h/a.jar: no answer".into(),
        ))
    };
    let mut status = begun(json!("2026-11-20T10:00:00Z"));
    for turn in 0..20 {
        let job = job(spec.clone(), status);
        let plan = decide(&Observed {
            answer: away(),
            ..see(&job)
        });
        assert_eq!(state(&plan), DeploymentState::Transitioning);
        assert_eq!(reason(&plan), "JarNotFetched");
        assert_eq!(plan.again, Some(Duration::from_secs(30)));
        let waiting = super::tests::job(spec.clone(), serde_json::to_value(&plan.status).unwrap());
        let early = decide(&Observed {
            flink: Some(Flink::NoSuchJob),
            ..see(&waiting)
        });
        assert_eq!(early.step, None, "nothing is tried before");
        assert_eq!(told(&plan).len(), usize::from(turn == 0), "told once");
        assert_eq!(
            plan.status.attempts.clone().unwrap().job_creation,
            Some(0),
            "none of those that Flink refuses"
        );
        let mut next = plan.status.clone();
        next.attempts.as_mut().unwrap().job_creation = Some(1);
        status = serde_json::to_value(&next).unwrap();
    }
    let new = job(spec.clone(), begun(Value::Null));
    let plan = decide(&Observed {
        answer: away(),
        ..see(&new)
    });
    assert_eq!(plan.status.operation.unwrap().failures, Some(1));
}

/// Whoever was not asked, because a cluster was not reached or something newer is asked for, has changed nothing of what was asked before.
#[test]
fn a_submission_that_was_not_sent_leaves_an_earlier_one_under_way_and_comes_again_later() {
    let spec = json!({});
    let begun = |attempts: i32, now: &Value| {
        let status = json!({"state": "TRANSITIONING", "flinkState": null, "startTime": null,
            "operation": {"kind": "Start", "startedAt": "2026-11-21T09:59:59Z"}, "attempts": {"jobCreation": attempts}});
        job(now.clone(), live(&spec, status))
    };
    for attempts in [1, 2] {
        let plan = decide(&Observed {
            answer: Some(Answer::NotSent("no room".into())),
            ..see(&begun(attempts, &spec))
        });
        let left = plan.status.attempts.unwrap().job_creation;
        assert_eq!(left, Some(attempts - 1));
    }
    let unsent = begun(0, &spec);
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&unsent)
    });
    assert_eq!(
        (&plan.step, plan.again, Some(&plan.status)),
        (&None, Some(Duration::from_secs(1)), unsent.status.as_ref()),
        "no hot loop"
    );
    let cancelled = begun(1, &json!({"state": "CANCELLED"}));
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&cancelled)
    });
    assert_eq!(state(&plan), DeploymentState::Transitioning);
}

/// A jar may take minutes to come; only then is Flink asked, and it may be at it for as long as after any other call.
#[test]
fn a_call_without_an_answer_may_be_under_way_however_long_its_jar_took() {
    let spec = json!({});
    let asked = live(
        &spec,
        json!({"state": "TRANSITIONING", "flinkState": null, "startTime": null,
        "operation": {"kind": "Start", "startedAt": "2026-11-21T09:55:00Z"}, "attempts": {"jobCreation": 1}}),
    );
    let job1 = job(spec.clone(), asked);
    let unclear = decide(&Observed {
        answer: Some(Answer::Unclear("no answer in time".into())),
        ..see(&job1)
    });
    let begun = unclear.status.operation.unwrap().started_at.unwrap();
    assert_eq!(begun.0, now());
}

#[test]
fn what_runs_and_has_not_changed_is_left_alone() {
    let spec = json!({});
    let job1 = job(spec.clone(), live(&spec, json!({})));
    let first = decide(&Observed {
        flink: says(JobState::Running),
        ..see(&job1)
    });
    assert_eq!(
        (state(&first), reason(&first), &first.step),
        (DeploymentState::Running, "Running", &None)
    );
    let stored = job(spec, serde_json::to_value(&first.status).unwrap());
    let later = Observed {
        flink: says(JobState::Running),
        now: now() + SignedDuration::from_mins(5),
        ..see(&stored)
    };
    let second = decide(&later);
    assert_eq!(second.status, first.status, "nothing to write");
    assert!(second.notes.is_empty());
}

#[test]
fn suspending_stops_with_a_savepoint_in_a_folder_of_its_own() {
    let spec = json!({"state": "SUSPENDED"});
    let runs = job(spec.clone(), live(&json!({}), json!({})));
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        ..see(&runs)
    });
    let Some(Step::Stop {
        directory: Some(directory),
        trigger: Some(trigger),
        ..
    }) = plan.step.clone()
    else {
        panic!("{:?}", plan.step);
    };
    assert!(directory.starts_with("s3://b/sp/n-j-"), "{directory}");
    assert_eq!(
        plan.status.operation.clone().unwrap().trigger_id,
        Some(trigger.0.clone()),
        "stored before it is asked for"
    );

    // Asked for, in progress, forgotten, done.
    let stopping = job(spec.clone(), serde_json::to_value(&plan.status).unwrap());
    let at = |flink, stop| {
        decide(&Observed {
            flink,
            stop,
            ..see(&stopping)
        })
    };
    assert_eq!(
        at(says(JobState::Running), Some(Snapshot::InProgress)).step,
        None
    );
    let again = at(says(JobState::Running), Some(Snapshot::Unknown));
    assert!(
        matches!(&again.step, Some(Step::Stop { trigger: Some(same), .. }) if *same == trigger),
        "{:?}",
        again.step
    );
    let done = at(with_savepoint(JobState::Finished), None);
    assert_eq!(
        (state(&done), told(&done)),
        (DeploymentState::Suspended, vec![EventReason::Suspended])
    );
    let record = done.record.clone().unwrap();
    assert_eq!(
        (
            record.name.as_str(),
            record.origin,
            record.location.as_str()
        ),
        ("j-1-savepoint", SavepointOrigin::Suspend, "s3://b/sp/x")
    );
    assert_eq!(
        done.status.snapshot_location.as_deref(),
        Some("s3://b/sp/x")
    );
    assert_eq!(
        done.status.latest_savepoint_name.as_deref(),
        Some("j-1-savepoint")
    );

    // And from there on.
    let suspended = job(json!({}), serde_json::to_value(&done.status).unwrap());
    assert_eq!(
        submission(&decide(&see(&suspended)))
            .run
            .savepoint_path
            .as_deref(),
        Some("s3://b/sp/x")
    );
}

#[test]
fn a_savepoint_that_fails_four_times_leaves_the_job_running() {
    let spec = json!({"state": "SUSPENDED"});
    let mut status = live(&json!({}), json!({}));
    let mut time = now();
    for failures in 1..=4 {
        let runs = job(spec.clone(), status.clone());
        let plan = decide(&Observed {
            flink: says(JobState::Running),
            now: time,
            ..see(&runs)
        });
        assert!(
            matches!(plan.step, Some(Step::Stop { .. })),
            "{failures}: {:?}",
            plan.step
        );
        let stopping = job(spec.clone(), serde_json::to_value(&plan.status).unwrap());
        let failed = Some(Snapshot::Failed("no room".into()));
        let plan = decide(&Observed {
            flink: says(JobState::Running),
            stop: failed,
            now: time,
            ..see(&stopping)
        });
        status = serde_json::to_value(&plan.status).unwrap();
        if failures < 4 {
            assert_eq!(told(&plan), [EventReason::SavepointFailed]);
            let waits = job(spec.clone(), status.clone());
            let plan = decide(&Observed {
                flink: says(JobState::Running),
                now: time,
                ..see(&waits)
            });
            assert_eq!(plan.step, None, "not at once");
            time += SignedDuration::from_mins(2);
        } else {
            assert_eq!(
                (state(&plan), reason(&plan)),
                (DeploymentState::Failed, "SavepointCreationFailed")
            );
        }
    }
}

#[test]
fn an_upgrade_follows_its_strategy() {
    let before = live(&json!({}), json!({"observedGeneration": 2}));
    let changed = |strategy: &str| {
        let spec = json!({"job": {"entryClass": "a.C"}, "upgradeStrategy": {"kind": strategy}});
        let job = job(spec, before.clone());
        decide(&Observed {
            flink: with_checkpoint(JobState::Running, None),
            ..see(&job)
        })
    };
    assert!(matches!(changed("STATEFUL").step, Some(Step::Stop { .. })));
    assert!(matches!(changed("STATELESS").step, Some(Step::Cancel(_))));
    let left = changed("NONE");
    assert_eq!(
        (state(&left), &left.step),
        (DeploymentState::Running, &None)
    );
}

#[test]
fn a_cancelled_run_restarts_from_its_retained_checkpoint() {
    let spec = json!({"job": {"entryClass": "a.C"}, "upgradeStrategy": {"kind": "STATELESS"}});
    let cancelling = live(
        &json!({}),
        json!({"state": "TRANSITIONING", "operation": {"kind": "Cancel", "startedAt": "2026-11-21T09:59:59Z"}}),
    );
    let job1 = job(spec, cancelling.clone());
    let plan = decide(&Observed {
        flink: with_checkpoint(JobState::Canceled, None),
        ..see(&job1)
    });
    assert_eq!(
        submission(&plan).run.savepoint_path.as_deref(),
        Some("s3://b/ck/chk-7")
    );
    assert_eq!(submission(&plan).run.job_id, Some(identity::job_id(UID, 2)));
    let record = plan.record.clone().unwrap();
    assert_eq!(
        (record.name.as_str(), record.origin),
        ("j-1-checkpoint", SavepointOrigin::RetainedCheckpoint)
    );
    // Only savepoints count for LATEST_SAVEPOINT, and nothing does for NONE.
    let only =
        json!({"job": {"entryClass": "a.C"}, "restoreStrategy": {"kind": "LATEST_SAVEPOINT"}});
    let job2 = job(only, cancelling.clone());
    let plan = decide(&Observed {
        flink: with_checkpoint(JobState::Canceled, None),
        ..see(&job2)
    });
    assert_eq!(
        (state(&plan), reason(&plan), told(&plan)),
        (
            DeploymentState::Failed,
            "NoState",
            vec![EventReason::NoState]
        )
    );
    let none = json!({"job": {"entryClass": "a.C"}, "restoreStrategy": {"kind": "NONE"}});
    let job3 = job(none, cancelling);
    let plan = decide(&Observed {
        flink: with_checkpoint(JobState::Canceled, None),
        ..see(&job3)
    });
    assert_eq!(submission(&plan).run.savepoint_path, None);
}

#[test]
fn a_lost_job_starts_from_the_newest_snapshot_and_never_empty() {
    let spec = json!({});
    let known = live(
        &spec,
        json!({"snapshotLocation": "s3://b/ck/chk-9", "snapshotTime": "2026-11-21T09:59:00Z"}),
    );
    let lost = job(spec.clone(), known.clone());
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&lost)
    });
    assert_eq!(
        submission(&plan).run.savepoint_path.as_deref(),
        Some("s3://b/ck/chk-9")
    );
    assert_eq!(
        told(&plan),
        [EventReason::Recovering, EventReason::Starting]
    );
    // A newer Savepoint object wins, an older one does not.
    let stored = |name: &str, at: &str| Stored {
        name: name.into(),
        location: format!("s3://b/{name}"),
        completed: at.parse().unwrap(),
        origin: SavepointOrigin::Copied,
    };
    for (at, expected) in [
        ("2026-11-21T09:59:30Z", "s3://b/brought"),
        ("2026-11-21T09:58:00Z", "s3://b/ck/chk-9"),
    ] {
        let savepoints = [stored("brought", at)];
        let plan = decide(&Observed {
            flink: Some(Flink::NoSuchJob),
            savepoints: &savepoints,
            ..see(&lost)
        });
        assert_eq!(
            submission(&plan).run.savepoint_path.as_deref(),
            Some(expected)
        );
    }
    let stateless = job(spec.clone(), live(&spec, json!({})));
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&stateless)
    });
    assert_eq!(
        (state(&plan), reason(&plan), &plan.step),
        (DeploymentState::Failed, "NoState", &None)
    );
    // Somebody brings a snapshot in.
    let failed = job(spec, serde_json::to_value(&plan.status).unwrap());
    let savepoints = [stored("brought", "2026-11-21T09:59:30Z")];
    let plan = decide(&Observed {
        savepoints: &savepoints,
        ..see(&failed)
    });
    assert_eq!(
        submission(&plan).run.savepoint_path.as_deref(),
        Some("s3://b/brought")
    );
}

#[test]
fn a_stopped_session_cluster_marks_its_jobs() {
    let spec = json!({});
    let runs = job(
        spec.clone(),
        live(&spec, json!({"snapshotLocation": "s3://b/ck/chk-9"})),
    );
    let stopped = |state| Target::NotReady {
        name: "c".into(),
        state: Some(state),
    };
    let stopping = decide(&Observed {
        target: stopped(SessionClusterState::Stopping),
        home: Home::Away,
        ..see(&runs)
    });
    assert_eq!(
        (state(&stopping), reason(&stopping), &stopping.step),
        (DeploymentState::Running, "Unreachable", &None)
    );
    let plan = decide(&Observed {
        target: stopped(SessionClusterState::Stopped),
        home: Home::Gone,
        ..see(&runs)
    });
    assert_eq!(
        (state(&plan), &plan.step, plan.status.flink_state.as_deref()),
        (DeploymentState::Transitioning, &None, None)
    );
    assert_eq!(plan.record.unwrap().name, "j-1-checkpoint");
}

/// A savepoint that is complete may hold more than every snapshot that is known, so nothing goes on without somebody who has looked.
#[test]
fn a_stop_whose_outcome_was_lost_ends_failed_with_its_folder_and_the_way_out() {
    let stopping = live(
        &json!({}),
        json!({"state": "TRANSITIONING", "snapshotLocation": "s3://b/ck/chk-9", "snapshotTime": "2026-11-21T09:59:00Z",
        "operation": {"kind": "Suspend", "startedAt": "2026-11-21T09:59:50Z", "triggerId": "t", "targetDirectory": "s3://b/sp/n-j-t"}}),
    );
    for (wish, nonce) in [("RUNNING", json!(1)), ("SUSPENDED", json!(null))] {
        for (home, flink) in [(Home::Ready, Some(Flink::NoSuchJob)), (Home::Gone, None)] {
            let mut lost = job(
                json!({"state": wish, "restartNonce": nonce}),
                stopping.clone(),
            );
            lost.metadata.generation = Some(4);
            let plan = decide(&Observed {
                home,
                flink,
                ..see(&lost)
            });
            assert_eq!(
                (state(&plan), reason(&plan), &plan.step),
                (DeploymentState::Failed, "StopUnclear", &None)
            );
            let message = plan.status.failure.clone().unwrap().message;
            for part in [
                "in s3://b/sp/n-j-t",
                "spec.sessionJobName j",
                "spec.restartNonce",
            ] {
                assert!(message.contains(part), "{part}: {message}");
            }
            assert_eq!(plan.record.unwrap().location, "s3://b/ck/chk-9");
            // It stays so until somebody changes it; what was brought in meanwhile is the newest.
            let spec = json!({"state": "RUNNING", "restartNonce": nonce});
            let mut rests = job(spec, serde_json::to_value(&plan.status).unwrap());
            rests.metadata.generation = Some(4);
            assert_eq!(decide(&see(&rests)).status, plan.status);
            rests.metadata.generation = Some(5);
            let found = [Stored {
                name: "found".into(),
                location: "s3://b/sp/n-j-t/x".into(),
                completed: now(),
                origin: SavepointOrigin::Copied,
            }];
            let plan = decide(&Observed {
                savepoints: &found,
                ..see(&rests)
            });
            assert_eq!(
                submission(&plan).run.savepoint_path.as_deref(),
                Some("s3://b/sp/n-j-t/x")
            );
        }
    }
    let cancelled = job(json!({"state": "CANCELLED"}), stopping.clone());
    let plan = decide(&Observed {
        home: Home::Gone,
        ..see(&cancelled)
    });
    assert_eq!(state(&plan), DeploymentState::Cancelled);
    // Its cluster is on its way out, and still says that the savepoint is complete.
    let suspended = job(json!({"state": "SUSPENDED"}), stopping);
    let plan = decide(&Observed {
        home: Home::Away,
        flink: says(JobState::Running),
        stop: Some(Snapshot::Completed("s3://b/sp/n-j-t/x".into())),
        ..see(&suspended)
    });
    assert_eq!(state(&plan), DeploymentState::Suspended);
    assert_eq!(plan.record.unwrap().location, "s3://b/sp/n-j-t/x");
}

#[test]
fn a_deleted_job_of_a_deployment_leaves_its_checkpoint() {
    let mut deleted = job(json!({}), live(&json!({}), json!({})));
    deleted.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    let ends = |deleted: &SessionJob| {
        let plan = decide(&Observed {
            flink: with_checkpoint(JobState::Canceled, None),
            ..see(deleted)
        });
        assert_eq!(plan.finalizer, Finalizer::Remove);
        plan.record.map(|record| record.location)
    };
    assert_eq!(ends(&deleted), None, "it would be gone with the job");
    deleted.metadata.owner_references = serde_json::from_value(
        json!([{"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
        "name": "j", "uid": "d", "controller": true}]),
    )
    .unwrap();
    assert_eq!(ends(&deleted).as_deref(), Some("s3://b/ck/chk-7"));
}

fn owned_and_deleted(status: Value) -> SessionJob {
    let mut deleted = deleted_job(status);
    deleted.metadata.owner_references = serde_json::from_value(
        json!([{"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
        "name": "j", "uid": "d", "controller": true}]),
    )
    .unwrap();
    deleted
}

fn deleted_job(status: Value) -> SessionJob {
    let mut deleted = job(json!({}), status);
    deleted.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    deleted
}

/// A stop cannot be called back: a cancellation that comes meanwhile may come too late.
#[test]
fn a_stop_is_asked_about_to_the_end_even_where_the_job_is_cancelled_meanwhile() {
    let stopping = live(
        &json!({}),
        json!({"state": "TRANSITIONING",
        "operation": {"kind": "Suspend", "startedAt": "2026-11-21T09:59:50Z", "triggerId": "t", "targetDirectory": "s3://b/sp/n-j-t"}}),
    );
    let asked = job(json!({"state": "CANCELLED"}), stopping.clone());
    for before in [asked, owned_and_deleted(stopping)] {
        let plan = decide(&Observed {
            flink: says(JobState::Running),
            stop: Some(Snapshot::InProgress),
            ..see(&before)
        });
        assert_eq!(plan.step, Some(Step::Cancel(identity::job_id(UID, 1))));
        let operation = plan.status.operation.clone().unwrap();
        assert_eq!(
            (
                operation.kind.as_deref(),
                operation.trigger_id.as_deref(),
                operation.target_directory.as_deref()
            ),
            (Some("Cancel"), Some("t"), Some("s3://b/sp/n-j-t"))
        );
        let mut cancelling = before.clone();
        cancelling.status = Some(plan.status);
        let completed = Some(Snapshot::Completed("s3://b/sp/x".into()));
        for (flink, stop) in [
            (says(JobState::Running), completed),
            (with_savepoint(JobState::Finished), None),
        ] {
            let plan = decide(&Observed {
                flink,
                stop,
                ..see(&cancelling)
            });
            let record = plan.record.clone().unwrap();
            assert_eq!(
                (record.origin, record.location.as_str()),
                (SavepointOrigin::Suspend, "s3://b/sp/x")
            );
            assert_eq!(state(&plan), DeploymentState::Cancelled);
            assert_eq!(plan.status.operation, None);
        }
    }
    // Where none was under way the job has come to its end by itself.
    let cancelling = job(
        json!({"state": "CANCELLED"}),
        live(
            &json!({}),
            json!({"state": "TRANSITIONING", "operation": {"kind": "Cancel", "startedAt": "2026-11-21T09:59:59Z"}}),
        ),
    );
    let plan = decide(&Observed {
        flink: with_savepoint(JobState::Finished),
        ..see(&cancelling)
    });
    assert_eq!(plan.record, None);
}

/// A Deployment outlives its job, and goes on from it.
#[test]
fn an_end_that_a_deployment_must_not_mistake_is_stored_before_its_job_is_let_go() {
    let cancelling = |more: Value| {
        let mut operation = json!({"kind": "Cancel", "startedAt": "2026-11-21T09:59:59Z"});
        for (key, value) in more.as_object().unwrap() {
            operation[key] = value.clone();
        }
        live(
            &json!({}),
            json!({"state": "TRANSITIONING", "snapshotLocation": "s3://b/ck/chk-9", "snapshotTime": "2026-11-21T09:59:00Z",
            "operation": operation}),
        )
    };
    let stopped = json!({"triggerId": "t", "targetDirectory": "s3://b/sp/n-j-t"});
    for (more, flink, expected, reason) in [
        (
            &stopped,
            Some(Flink::NoSuchJob),
            DeploymentState::Failed,
            Some("StopUnclear"),
        ),
        (
            &json!({}),
            says(JobState::Finished),
            DeploymentState::Finished,
            None,
        ),
        (
            &stopped,
            with_checkpoint(JobState::Canceled, None),
            DeploymentState::Cancelled,
            None,
        ),
    ] {
        let mut goes = owned_and_deleted(cancelling(more.clone()));
        let plan = decide(&Observed {
            flink: flink.clone(),
            ..see(&goes)
        });
        assert_eq!(
            (plan.finalizer, &plan.step, state(&plan)),
            (Finalizer::Leave, &None, expected)
        );
        let failure = plan.status.failure.as_ref();
        assert_eq!(failure.map(|failure| failure.reason.as_str()), reason);
        assert!(plan.again.is_some());
        assert_eq!(
            plan.record.is_some(),
            expected != DeploymentState::Finished,
            "what it has left is kept"
        );
        goes.status = Some(plan.status);
        assert_eq!(decide(&see(&goes)).finalizer, Finalizer::Remove);
        // Of a user's own nothing is left that could go on.
        let own = deleted_job(cancelling(more.clone()));
        let plan = decide(&Observed { flink, ..see(&own) });
        assert_eq!((plan.finalizer, plan.record), (Finalizer::Remove, None));
    }
}

#[test]
fn the_newest_wish_wins() {
    // A stop cannot be called back: the job starts again from it.
    let stopping = live(
        &json!({}),
        json!({"state": "TRANSITIONING",
        "operation": {"kind": "Suspend", "startedAt": "2026-11-21T09:59:50Z", "triggerId": "t"}}),
    );
    let wants = job(json!({}), stopping.clone());
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        stop: Some(Snapshot::InProgress),
        ..see(&wants)
    });
    assert_eq!(
        (state(&plan), &plan.step),
        (DeploymentState::Transitioning, &None)
    );
    let plan = decide(&Observed {
        flink: with_savepoint(JobState::Finished),
        ..see(&wants)
    });
    assert_eq!(
        submission(&plan).run.savepoint_path.as_deref(),
        Some("s3://b/sp/x")
    );
    // One that failed leaves it running.
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        stop: Some(Snapshot::Failed("x".into())),
        ..see(&wants)
    });
    let back = job(json!({}), serde_json::to_value(&plan.status).unwrap());
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        ..see(&back)
    });
    assert_eq!(
        (state(&plan), reason(&plan)),
        (DeploymentState::Running, "Running")
    );
    // Cancelling does not wait for a stop.
    let cancel = job(json!({"state": "CANCELLED"}), stopping);
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        stop: Some(Snapshot::InProgress),
        ..see(&cancel)
    });
    assert_eq!(plan.step, Some(Step::Cancel(identity::job_id(UID, 1))));
}

#[test]
fn ends_of_its_own_are_told_apart() {
    let spec = json!({});
    let runs = job(spec.clone(), live(&spec, json!({})));
    let at = |flink| {
        decide(&Observed {
            flink,
            ..see(&runs)
        })
    };
    let finished = at(says(JobState::Finished));
    assert_eq!(
        (state(&finished), told(&finished)),
        (DeploymentState::Finished, vec![EventReason::Finished])
    );
    let failed = at(with_checkpoint(
        JobState::Failed,
        Some("IOException: disk on fire"),
    ));
    assert_eq!(
        (state(&failed), reason(&failed)),
        (DeploymentState::Failed, "JobFailed")
    );
    assert!(
        failed
            .status
            .failure
            .clone()
            .unwrap()
            .message
            .ends_with(": IOException: disk on fire")
    );
    assert_eq!(
        failed.record.unwrap().name,
        "j-1-checkpoint",
        "its checkpoint is kept"
    );
    let cancelled = at(says(JobState::Canceled));
    assert_eq!(
        (state(&cancelled), reason(&cancelled)),
        (DeploymentState::Failed, "Cancelled")
    );
    let restarting = at(with_checkpoint(JobState::Restarting, Some("X: y")));
    assert_eq!(
        (state(&restarting), reason(&restarting)),
        (DeploymentState::Running, "Restarting")
    );
    // A finished job stays so, whatever else changes.
    let mut rests = job(spec, serde_json::to_value(&finished.status).unwrap());
    rests.metadata.generation = Some(4);
    let plan = decide(&see(&rests));
    assert_eq!(
        (state(&plan), &plan.step, plan.notes.len()),
        (DeploymentState::Finished, &None, 0)
    );
}

#[test]
fn a_deleted_job_is_cancelled_and_let_go() {
    let deleted = |status: Value| {
        let mut job = job(json!({}), status);
        job.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
        job
    };
    let runs = deleted(live(&json!({}), json!({})));
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        ..see(&runs)
    });
    assert_eq!(
        (plan.finalizer, &plan.step),
        (
            Finalizer::Leave,
            &Some(Step::Cancel(identity::job_id(UID, 1)))
        )
    );
    let unknown = decide(&Observed {
        flink: Some(Flink::Silent("x".into())),
        ..see(&runs)
    });
    assert_eq!(unknown.finalizer, Finalizer::Leave, "it may still run");
    for (home, flink) in [
        (Home::Ready, says(JobState::Canceled)),
        (Home::Ready, Some(Flink::NoSuchJob)),
        (Home::Gone, None),
    ] {
        let plan = decide(&Observed {
            home,
            flink,
            ..see(&runs)
        });
        assert_eq!((plan.finalizer, plan.step), (Finalizer::Remove, None));
    }
    assert_eq!(
        decide(&see(&deleted(json!({})))).finalizer,
        Finalizer::Remove
    );
}

#[test]
fn a_cancellation_that_takes_too_long_is_told_and_goes_on() {
    let spec = json!({"state": "CANCELLED"});
    let status = live(
        &json!({}),
        json!({"state": "TRANSITIONING", "operation": {"kind": "Cancel", "startedAt": "2026-11-21T09:56:00Z"}}),
    );
    let job1 = job(spec.clone(), status);
    let plan = decide(&Observed {
        flink: says(JobState::Cancelling),
        ..see(&job1)
    });
    assert_eq!(
        (state(&plan), reason(&plan), told(&plan)),
        (
            DeploymentState::Failed,
            "CancellationFailed",
            vec![EventReason::CancellationFailed]
        )
    );
    assert!(plan.step.is_some());
    let still = job(spec, serde_json::to_value(&plan.status).unwrap());
    let plan = decide(&Observed {
        flink: says(JobState::Cancelling),
        ..see(&still)
    });
    assert_eq!(
        (Some(&plan.status), plan.notes.len()),
        (still.status.as_ref(), 0),
        "told once"
    );
    for answer in [Answer::Cancelling, Answer::Unclear("no route".into())] {
        let plan = decide(&Observed {
            flink: says(JobState::Cancelling),
            answer: Some(answer),
            ..see(&still)
        });
        assert_eq!(plan.again, Some(Duration::from_secs(30)), "no hot loop");
    }
    let plan = decide(&Observed {
        flink: says(JobState::Canceled),
        ..see(&still)
    });
    assert_eq!(state(&plan), DeploymentState::Cancelled);
}

/// A stop that did not reach Flink is no start, and the savepoints that have failed before it still count.
#[test]
fn a_stop_that_was_not_sent_forgets_nothing() {
    for kind in ["Suspend", "Cancel"] {
        let status = live(
            &json!({}),
            json!({"state": "TRANSITIONING", "attempts": {"savepointCreation": 3},
                "operation": {"kind": kind, "startedAt": "2026-11-21T09:59:58Z", "generation": 3}}),
        );
        let stops = job(json!({"state": "SUSPENDED"}), status);
        let plan = decide(&Observed {
            answer: Some(Answer::NotSent("The session cluster is gone.".into())),
            ..see(&stops)
        });
        let attempts = plan.status.attempts.clone().unwrap();
        assert_eq!(
            (attempts.savepoint_creation, attempts.job_creation),
            (Some(3), None),
            "{kind}"
        );
        let is_start = |reason: &str| reason == "Starting";
        let conditions = &plan.status.conditions;
        assert!(
            !conditions.iter().any(|one| is_start(&one.reason)),
            "{kind}"
        );
        assert_eq!(
            (plan.step, plan.again),
            (None, Some(Duration::from_secs(2)))
        );
    }
}

fn old(minor: u32) -> Ready {
    Ready {
        version: Some(FlinkVersion::new(1, minor)),
        savepoints: Some("s3://b/cluster".into()),
        ..cluster()
    }
}

/// A cluster that has FAILED takes no jobs and still stops those that it has; and a job may be on its way to another one.
#[test]
fn a_stop_goes_by_the_cluster_that_the_run_is_on() {
    let wish = json!({"flinkConfiguration": {}, "state": "SUSPENDED"});
    let runs = job(wish, live(&json!({}), json!({})));
    for target in [
        Target::NotReady {
            name: "c".into(),
            state: Some(SessionClusterState::Failed),
        },
        Target::Missing("d".into()),
        Target::Ready(cluster()),
    ] {
        let plan = decide(&Observed {
            target,
            at: Some(old(14)),
            flink: says(JobState::Running),
            ..see(&runs)
        });
        assert!(
            matches!(&plan.step, Some(Step::Stop { trigger: None, directory: Some(dir), .. }) if dir.starts_with("s3://b/cluster/n-j-")),
            "{:?}",
            plan.step
        );
    }
}

#[test]
fn old_flinks_take_no_trigger_and_no_options() {
    let wish = json!({"flinkConfiguration": {}, "state": "SUSPENDED"});
    let runs = job(wish.clone(), live(&json!({}), json!({})));
    let plan = decide(&Observed {
        target: Target::Ready(old(14)),
        at: Some(old(14)),
        flink: says(JobState::Running),
        ..see(&runs)
    });
    assert!(
        matches!(&plan.step, Some(Step::Stop { trigger: None, directory: Some(dir), .. }) if dir.starts_with("s3://b/cluster/n-j-")),
        "{:?}",
        plan.step
    );
    let stopping = job(wish, serde_json::to_value(&plan.status).unwrap());
    let answer = Some(Answer::Stopping(TriggerId("theirs".into())));
    let plan = decide(&Observed {
        answer,
        ..see(&stopping)
    });
    assert_eq!(
        plan.status.operation.unwrap().trigger_id.as_deref(),
        Some("theirs")
    );

    let job2 = job(json!({}), json!({}));
    let plan = decide(&Observed {
        target: Target::Ready(old(16)),
        ..see(&job2)
    });
    assert_eq!(
        (state(&plan), reason(&plan)),
        (DeploymentState::Failed, "JobConfigurationUnsupported")
    );
}

#[test]
fn fingerprints_know_what_counts() {
    let of = |spec: Value| identity::fingerprint(&job(spec, json!({})));
    let one = of(json!({"flinkConfiguration": {"a": "1", "b": "2"}}));
    assert_eq!(
        one,
        of(json!({"flinkConfiguration": {"b": "2", "a": "1"}, "state": "SUSPENDED"}))
    );
    assert_eq!(
        one,
        of(
            json!({"flinkConfiguration": {"b": "2", "a": "1"}, "restoreStrategy": {"kind": "NONE"}})
        )
    );
    assert_ne!(
        one,
        of(json!({"flinkConfiguration": {"b": "2", "a": "1"}, "restartNonce": 1}))
    );
    assert_ne!(identity::job_id(UID, 1), identity::job_id(UID, 2));
}

#[test]
fn what_flink_remembers_of_old_is_not_taken_for_the_last_word() {
    // The job has ended, and the snapshots are still those of before.
    let spec = json!({});
    let cancelling = live(
        &spec,
        json!({"state": "TRANSITIONING", "operation": {"kind": "Cancel", "startedAt": "2026-11-21T09:59:59Z"}}),
    );
    let job1 = job(json!({"state": "CANCELLED"}), cancelling);
    let Some(Flink::Job(mut report)) = with_checkpoint(JobState::Canceled, None) else {
        panic!("no report");
    };
    report.is_last = false;
    let plan = decide(&Observed {
        flink: Some(Flink::Job(report)),
        ..see(&job1)
    });
    assert_eq!(
        (Some(&plan.status), plan.record.is_none()),
        (job1.status.as_ref(), true)
    );
    assert!(plan.again.is_some());
    // The answer to a stop is, whatever else is remembered.
    let stopping = live(
        &spec,
        json!({"state": "TRANSITIONING",
        "operation": {"kind": "Suspend", "startedAt": "2026-11-21T09:59:50Z", "triggerId": "t"}}),
    );
    let job2 = job(json!({"state": "SUSPENDED"}), stopping);
    let stop = Some(Snapshot::Completed("s3://b/sp/y".into()));
    let plan = decide(&Observed {
        flink: says(JobState::Running),
        stop,
        ..see(&job2)
    });
    assert_eq!(state(&plan), DeploymentState::Suspended);
    assert_eq!(plan.record.unwrap().location, "s3://b/sp/y");
}

#[test]
fn a_run_that_flink_gives_up_while_it_is_submitted_is_not_submitted_for_ever() {
    let spec = json!({});
    let pending = live(
        &spec,
        json!({"state": "TRANSITIONING", "flinkState": null, "startTime": null,
            "operation": {"kind": "Start", "startedAt": "2026-11-21T09:59:50Z", "failures": 1}, "attempts": {"jobCreation": 1}}),
    );
    let mut refused = job(spec, pending);
    let sees = |refused: &SessionJob| {
        decide(&Observed {
            flink: with_checkpoint(
                JobState::Failed,
                Some("FileNotFoundException: no savepoint"),
            ),
            ..see(refused)
        })
    };
    let plan = sees(&refused);
    assert_eq!(
        (state(&plan), reason(&plan), &plan.step),
        (DeploymentState::Failed, "JobFailed", &None)
    );
    // The spec has changed meanwhile: another run, under another id.
    refused.metadata.generation = Some(4);
    assert_eq!(
        submission(&sees(&refused)).run.job_id,
        Some(identity::job_id(UID, 2))
    );
    let plan = decide(&Observed {
        flink: Some(Flink::NoSuchJob),
        ..see(&refused)
    });
    assert_eq!(submission(&plan).run.job_id, Some(identity::job_id(UID, 2)));
    // And while its end is not certain, the change is still to be seen.
    let Some(Flink::Job(mut report)) = with_checkpoint(JobState::Failed, None) else {
        panic!("no report");
    };
    report.is_last = false;
    let plan = decide(&Observed {
        flink: Some(Flink::Job(report)),
        ..see(&refused)
    });
    assert_eq!(plan.status.observed_generation, Some(3));
}
