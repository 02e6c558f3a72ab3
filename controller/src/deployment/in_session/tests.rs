//! The table: a Deployment, its SessionJob, and what is done.

use jiff::{SignedDuration, Timestamp};
use rstest::rstest;
use serde_json::{Value, json};
use sluice_api::{Deployment, DeploymentState, DesiredState, SessionJob};

use super::build::{self, mark, written};
use super::decide::{Found, Observed, Plan, Step, decide, takes};
use crate::deployment::sight::{Again, Stored};
use crate::session_job::sight::Finalizer;

mod gone;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}

/// A Deployment on session cluster c, at generation 3, of which everything was told; with changes.
fn deployment(more: &Value) -> Deployment {
    let mut object = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "team-a", "uid": "u-d", "generation": 3, "finalizers": ["sluice.dev/teardown"]},
        "spec": {"state": "RUNNING", "sessionClusterName": "c",
            "restoreStrategy": {"kind": "LATEST_STATE"}, "upgradeStrategy": {"kind": "STATEFUL"}, "maxJobCreationAttempts": 5,
            "template": {"spec": {
                "artifact": {"kind": "JAR", "jarUri": "https://h/a.jar", "entryClass": "a.B", "mainArgs": "--a 'b c' --d"},
                "parallelism": 2, "flinkConfiguration": {"pipeline.name": "x", "taskmanager.numberOfTaskSlots": "4"}}}},
        "status": {"state": "RUNNING", "observedGeneration": 3, "sessionJob": {"name": "d", "generation": 1, "writtenFor": 3}},
    });
    merge(&mut object, more);
    serde_json::from_value(object).unwrap()
}

/// Its SessionJob as it was written, with such a status.
fn job(deployment: &Deployment, state: DesiredState, status: Value) -> SessionJob {
    let spec = build::spec(deployment, state, 0).unwrap();
    let mut job = build::object(deployment, spec);
    job.metadata.generation = Some(1);
    job.metadata.uid = Some("u-j".into());
    job.status = serde_json::from_value(status).unwrap();
    job
}

fn says(state: &str, flink: &str) -> Value {
    json!({"state": state, "observedGeneration": 1, "flinkState": flink, "jobId": "f".repeat(32),
        "conditions": [{"type": "Ready", "status": if state == "RUNNING" {"True"} else {"False"}, "reason": "R", "message": "The word.",
            "lastTransitionTime": "2026-11-21T11:00:00Z"}]})
}

fn decided(deployment: &Deployment, found: Found<'_>) -> Plan {
    decide(&Observed {
        deployment,
        now: now(),
        found,
        savepoints: &[],
    })
}

/// The state that the SessionJob is told, or what else is done.
fn step(plan: &Plan) -> String {
    match &plan.step {
        None => "-".into(),
        Some(Step::Create(job)) => format!("create {}", job.spec.state.unwrap()),
        Some(Step::Replace(job)) => format!("replace {}", job.spec.state.unwrap()),
        Some(Step::Delete) => "delete".into(),
    }
}

fn ready(plan: &Plan) -> (String, String) {
    let all = plan.status.conditions.iter();
    let ready = all.clone().find(|one| one.type_ == "Ready").unwrap();
    (ready.reason.clone(), ready.message.clone())
}

#[test]
fn the_session_job_is_what_the_template_says() {
    let spec = build::spec(&deployment(&json!({})), DesiredState::Running, 0).unwrap();
    assert_eq!(
        serde_json::to_value(&spec).unwrap(),
        json!({
            "state": "RUNNING", "sessionClusterName": "c",
            "job": {"entryClass": "a.B", "args": ["--a", "b c", "--d"], "jarUri": "https://h/a.jar", "parallelism": 2},
            // What only a cluster reads is left out: a change of it would start the job anew for nothing.
            "flinkConfiguration": {"pipeline.name": "x"},
            "restoreStrategy": {"kind": "LATEST_STATE"}, "upgradeStrategy": {"kind": "STATEFUL"}, "maxJobCreationAttempts": 5,
        })
    );
}

#[test]
fn what_cannot_be_run_names_its_field() {
    for (more, expected) in [
        (
            json!({"jarUri": "", "entryClass": null}),
            "spec.template.spec.artifact.jarUri: is needed to run",
        ),
        (
            json!({"mainArgs": "--a 'b"}),
            "spec.template.spec.artifact.mainArgs: a quotation mark is not closed",
        ),
    ] {
        let deployment = deployment(&json!({"spec": {"template": {"spec": {"artifact": more}}}}));
        let why = build::spec(&deployment, DesiredState::Running, 0).unwrap_err();
        assert!(why.starts_with(expected), "{why}");
        let plan = decided(&deployment, Found::Nothing);
        assert_eq!(plan.status.state, Some(DeploymentState::Failed));
        assert_eq!(ready(&plan), ("InvalidSpec".to_owned(), why));
        // What stops needs no program.
        let ours = job(
            &self::deployment(&json!({})),
            DesiredState::Running,
            says("RUNNING", "RUNNING"),
        );
        let mut stopped = deployment.clone();
        stopped.spec.state = Some(DesiredState::Cancelled);
        assert_eq!(
            step(&decided(&stopped, Found::Ours(&ours))),
            "replace CANCELLED"
        );
    }
}

/// Each recovery is another number, and so is each wish of the user's.
#[test]
fn a_recovery_and_a_nonce_never_make_the_same_number() {
    let nonce = |asked: Option<i64>, recoveries| {
        let deployment = deployment(&json!({"spec": {"restartNonce": asked}}));
        let spec = build::spec(&deployment, DesiredState::Running, recoveries);
        spec.unwrap().restart_nonce
    };
    assert_eq!((nonce(None, 0), nonce(Some(7), 0)), (None, Some(7)));
    let mut all: Vec<_> = (0..20)
        .flat_map(|recoveries| {
            [
                nonce(None, recoveries),
                nonce(Some(1), recoveries),
                nonce(Some(2), recoveries),
            ]
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 60);
}

/// It has failed on a cluster of its own, of which nothing is left, and this is the generation that was seen last.
fn failed_alone(reason: &str, seen: i64) -> Value {
    json!({"status": {"state": "FAILED", "observedGeneration": seen, "sessionJob": null, "allocatedMilli": 0,
        "failure": {"reason": reason, "message": "why"}}})
}

/// Which way a Deployment goes: onto a session cluster only when nothing of a cluster of its own is left, and off it only when its
/// SessionJob is gone.
#[rstest]
#[case::claimed(json!({}), true)]
#[case::claimed_and_not_named_any_more(json!({"spec": {"sessionClusterName": null}}), true)]
#[case::never_run(json!({"status": {"state": null, "sessionJob": null}}), true)]
#[case::nothing_left(json!({"status": {"state": "CANCELLED", "sessionJob": null, "allocatedMilli": 0}}), true)]
#[case::not_to_run(json!({"spec": {"state": "CANCELLED"}, "status": {"sessionJob": null}}), false)]
#[case::not_named(json!({"spec": {"sessionClusterName": ""}, "status": {"sessionJob": null}}), false)]
#[case::has_pods(json!({"status": {"sessionJob": null, "allocatedMilli": 2000}}), false)]
#[case::is_being_made(json!({"status": {"sessionJob": null, "targetNamespace": "team-a"}}), false)]
#[case::something_under_way(json!({"status": {"sessionJob": null, "operation": {"kind": "Suspend"}}}), false)]
// What an unclear stop has left may be newer than every snapshot that is known.
#[case::stop_unclear(failed_alone("StopUnclear", 3), false)]
#[case::stop_unclear_and_changed_since(failed_alone("StopUnclear", 2), true)]
#[case::failed_otherwise(failed_alone("JobCreationFailed", 3), true)]
fn the_ways_part_in_one_place(#[case] more: Value, #[case] expected: bool) {
    assert_eq!(takes(&deployment(&more)), expected);
}

#[test]
fn nothing_is_made_before_the_finalizer_and_the_claim_are_stored() {
    let fresh =
        deployment(&json!({"metadata": {"finalizers": []}, "status": {"sessionJob": null}}));
    let plan = decided(&fresh, Found::Nothing);
    assert_eq!((plan.finalizer, step(&plan)), (Finalizer::Add, "-".into()));
    let plan = decided(
        &deployment(&json!({"status": {"sessionJob": null}})),
        Found::Nothing,
    );
    assert_eq!((step(&plan), plan.again), ("-".into(), Again::AtOnce));
    assert_eq!(plan.status.session_job.unwrap().name, "d");
    let plan = decided(&deployment(&json!({})), Found::Nothing);
    assert_eq!(step(&plan), "create RUNNING");
    let Some(Step::Create(made)) = &plan.step else {
        unreachable!()
    };
    assert!(build::is_of(made, &deployment(&json!({}))));
    assert_eq!(made.metadata.resource_version, None);
}

/// A user's own SessionJob is neither taken over nor touched.
#[rstest]
#[case::before_the_claim(json!({"status": {"sessionJob": null}}))]
#[case::after_it(json!({}))]
fn a_session_job_of_the_name_that_is_a_users_is_left_alone(#[case] more: Value) {
    let plan = decided(&deployment(&more), Found::Theirs);
    assert_eq!(step(&plan), "-");
    assert_eq!(plan.status.state, Some(DeploymentState::Failed));
    let (reason, message) = ready(&plan);
    assert_eq!(reason, "NameTaken");
    assert_eq!(
        message,
        "The job would run as SessionJob d, and a SessionJob d that is not this Deployment's stands in this namespace; delete or rename \
         it, or give the Deployment another name."
    );
    // It is looked at again, and told once.
    assert_ne!(plan.again, Again::OnNews);
    let mut again = deployment(&more);
    again.status = Some(plan.status);
    assert_eq!(decided(&again, Found::Theirs).notes, []);
}

/// Every desired state against every state of the SessionJob: it is told what is asked for, once, and otherwise told on.
#[test]
fn what_is_asked_for_is_told_and_what_is_told_is_told_on() {
    let desired = ["RUNNING", "SUSPENDED", "CANCELLED"];
    let states = [
        "RUNNING",
        "SUSPENDED",
        "CANCELLED",
        "FINISHED",
        "TRANSITIONING",
        "FAILED",
    ];
    for wish in desired {
        for stands in desired {
            for is in states {
                told_on(wish, stands, is);
            }
        }
    }
}

fn told_on(wish: &str, stands: &str, is: &str) {
    let asked = deployment(&json!({"spec": {"state": wish}}));
    let stood: DesiredState = serde_json::from_value(json!(stands)).unwrap();
    let flink = if is == "RUNNING" {
        "RUNNING"
    } else {
        "FINISHED"
    };
    let job = job(&asked, stood, says(is, flink));
    let plan = decided(&asked, Found::Ours(&job));
    if wish != stands {
        assert_eq!(step(&plan), format!("replace {wish}"));
        let mut before = asked.status.clone().unwrap();
        quiet(&mut before, &plan);
        assert_eq!(plan.status, before);
        return;
    }
    assert_eq!(step(&plan), "-");
    let state: DeploymentState = serde_json::from_value(json!(is)).unwrap();
    assert_eq!(plan.status.state, Some(state));
    assert_eq!(ready(&plan), ("R".into(), "The word.".into()));
    assert_eq!(plan.status.observed_generation, Some(3));
    assert_eq!(plan.status.running.is_some(), is == "RUNNING");
    assert_eq!(plan.status.allocated_milli, Some(0), "the cluster has paid");
    if let Some(running) = plan.status.running {
        assert_eq!(running.job_id, Some("f".repeat(32)));
        assert_eq!(running.transition_time.unwrap().0, now());
        assert_eq!(running.conditions[0].type_, "ClusterUnreachable");
        assert_eq!(running.conditions[0].status, "False");
    }
}

/// The fields that every plan writes alike.
fn quiet(status: &mut sluice_api::DeploymentStatus, plan: &Plan) {
    status
        .label_selector
        .clone_from(&plan.status.label_selector);
    status.allocated_milli = Some(0);
    status.cpu = Some("0".into());
    status.number_of_task_managers = Some(0);
}

#[test]
fn the_same_again_changes_nothing() {
    let mut one = deployment(&json!({}));
    let job = job(&one, DesiredState::Running, says("RUNNING", "RUNNING"));
    one.status = Some(decided(&one, Found::Ours(&job)).status);
    let later = decide(&Observed {
        deployment: &one,
        now: now() + SignedDuration::from_secs(60),
        found: Found::Ours(&job),
        savepoints: &[],
    });
    assert_eq!(Some(later.status), one.status);
    assert_eq!(later.notes, []);
}

/// Somebody has edited it by hand: another generation than Sluice's own write gave.
#[test]
fn what_somebody_else_has_changed_is_taken_back() {
    let one = deployment(&json!({}));
    let mut edited = job(&one, DesiredState::Running, says("RUNNING", "RUNNING"));
    edited.metadata.generation = Some(2);
    edited.spec.job.as_mut().unwrap().parallelism = Some(9);
    let plan = decided(&one, Found::Ours(&edited));
    let Some(Step::Replace(back)) = plan.step else {
        panic!("{plan:?}")
    };
    assert_eq!(
        back.spec,
        build::spec(&one, DesiredState::Running, 0).unwrap()
    );
    // An admin's defaults may make more of it than was written; then it stays at that.
    let mut more = job(&one, DesiredState::Running, says("RUNNING", "RUNNING"));
    more.spec.flink_configuration =
        serde_json::from_value(json!({"pipeline.name": "an Environment's"})).unwrap();
    assert_eq!(step(&decided(&one, Found::Ours(&more))), "-");
}

/// Until it has said a word on the newest spec, the Deployment has not either.
#[test]
fn a_change_is_not_told_as_seen_before_the_session_job_has_seen_it() {
    let one = deployment(&json!({"metadata": {"generation": 4}}));
    let mut job = job(&one, DesiredState::Running, says("RUNNING", "RUNNING"));
    job.status.as_mut().unwrap().observed_generation = Some(0);
    let plan = decided(&one, Found::Ours(&job));
    assert_eq!(plan.status.observed_generation, Some(3));
    assert_eq!(plan.status.state, Some(DeploymentState::Running));
}

fn given_up(reason: &str, failed: &str) -> Value {
    let mut status = says("FAILED", "FAILED");
    merge(
        &mut status,
        &json!({"startTime": "2026-11-21T11:59:30Z",
        "failure": {"reason": reason, "message": "why", "failedAt": failed}}),
    );
    status
}

/// "Ververica Platform detects the terminal state and will recover the job according to its RestoreStrategy."
#[test]
fn a_job_that_flink_has_given_up_is_recovered_and_not_in_a_hurry() {
    let one = deployment(&json!({}));
    let just_now = job(
        &one,
        DesiredState::Running,
        given_up("JobFailed", "2026-11-21T11:59:56Z"),
    );
    let plan = decided(&one, Found::Ours(&just_now));
    assert_eq!(plan.status.state, Some(DeploymentState::Transitioning));
    assert_eq!(plan.again, Again::After(std::time::Duration::from_secs(6)));
    assert_eq!(plan.notes.len(), 1);
    let a_while_ago = job(
        &one,
        DesiredState::Running,
        given_up("JobFailed", "2026-11-21T11:59:46Z"),
    );
    let plan = decided(&one, Found::Ours(&a_while_ago));
    let claim = plan.status.session_job.clone().unwrap();
    assert_eq!(
        (step(&plan).as_str(), claim.recoveries),
        ("-", Some(1)),
        "stored first"
    );
    let mut next = one.clone();
    next.status = Some(plan.status);
    let plan = decided(&next, Found::Ours(&a_while_ago));
    let Some(Step::Replace(again)) = &plan.step else {
        panic!("{plan:?}")
    };
    assert_ne!(again.spec.restart_nonce, a_while_ago.spec.restart_nonce);
    // The same write once more, should it have died in between: not a second recovery.
    assert_eq!(decided(&next, Found::Ours(&a_while_ago)).step, plan.step);
}

#[test]
fn another_failure_stays_until_somebody_changes_the_deployment() {
    let one = deployment(&json!({}));
    let failed = job(
        &one,
        DesiredState::Running,
        given_up("NoState", "2026-11-21T11:00:00Z"),
    );
    let plan = decided(&one, Found::Ours(&failed));
    assert_eq!(
        (step(&plan).as_str(), plan.status.state),
        ("-", Some(DeploymentState::Failed))
    );
    assert_eq!(plan.status.failure.unwrap().reason, "NoState");
    let changed = deployment(&json!({"metadata": {"generation": 4}}));
    let plan = decided(&changed, Found::Ours(&failed));
    let claim = plan.status.session_job.unwrap();
    assert_eq!((claim.recoveries, claim.written_for), (Some(1), Some(4)));
}

/// A label that was changed long before is no wish to start what somebody has cancelled at Flink since.
#[test]
fn a_change_that_came_before_a_failure_is_no_reason_to_try_again() {
    let mut one = deployment(&json!({"metadata": {"generation": 4}}));
    let with = |status: Value| job(&deployment(&json!({})), DesiredState::Running, status);
    let plan = decided(&one, Found::Ours(&with(says("RUNNING", "RUNNING"))));
    let claim = plan.status.session_job.clone().unwrap();
    assert_eq!((step(&plan).as_str(), claim.written_for), ("-", Some(4)));
    one.status = Some(plan.status);
    let cancelled = with(given_up("Cancelled", "2026-11-21T11:00:00Z"));
    let plan = decided(&one, Found::Ours(&cancelled));
    assert_eq!(plan.status.state, Some(DeploymentState::Failed));
    let claim = plan.status.session_job.unwrap();
    assert_eq!((claim.recoveries, claim.written_for), (None, Some(4)));
    // A change that is made now is one.
    one.metadata.generation = Some(5);
    let claim = decided(&one, Found::Ours(&cancelled)).status.session_job;
    assert_eq!(claim.unwrap().recoveries, Some(1));
}

/// Off the session cluster: the run ends as an upgrade does, then the SessionJob goes, and only then the other way begins.
#[rstest]
#[case::stateful("RUNNING", "STATEFUL", "RUNNING", "RUNNING", "replace SUSPENDED")]
#[case::stateless("RUNNING", "STATELESS", "RUNNING", "RUNNING", "replace CANCELLED")]
#[case::left_alone("RUNNING", "NONE", "RUNNING", "RUNNING", "-")]
#[case::suspended("SUSPENDED", "STATELESS", "RUNNING", "RUNNING", "replace SUSPENDED")]
#[case::cancelled("CANCELLED", "STATEFUL", "RUNNING", "RUNNING", "replace CANCELLED")]
#[case::waits_for_its_cluster("RUNNING", "STATEFUL", "TRANSITIONING", "", "replace SUSPENDED")]
#[case::has_ended("RUNNING", "STATEFUL", "SUSPENDED", "FINISHED", "delete")]
#[case::came_to_its_end("RUNNING", "STATEFUL", "FINISHED", "FINISHED", "delete")]
#[case::failed_and_runs_on("RUNNING", "STATEFUL", "FAILED", "RUNNING", "replace SUSPENDED")]
#[case::failed("RUNNING", "STATEFUL", "FAILED", "FAILED", "delete")]
fn off_the_session_cluster(
    #[case] wish: &str,
    #[case] upgrade: &str,
    #[case] is: &str,
    #[case] flink: &str,
    #[case] expected: &str,
) {
    let more = json!({"metadata": {"generation": 4},
        "spec": {"state": wish, "sessionClusterName": null, "upgradeStrategy": {"kind": upgrade}}});
    let one = deployment(&more);
    let job = job(
        &deployment(&json!({})),
        DesiredState::Running,
        says(is, flink),
    );
    let plan = decided(&one, Found::Ours(&job));
    assert_eq!(step(&plan), expected);
    assert!(plan.status.session_job.is_some(), "until it is gone");
    if let Some(Step::Replace(told)) = &plan.step {
        let kept = sluice_api::SessionJobSpec {
            state: told.spec.state,
            ..job.spec.clone()
        };
        assert_eq!(
            told.spec, kept,
            "nothing else changes: it is not upgraded on its way out"
        );
        let after = written(job.clone(), kept.clone());
        assert_eq!(build::marked(&after), Some(mark(&kept).as_str()));
    }
}

#[test]
fn when_its_session_job_is_gone_the_other_way_begins() {
    let one = deployment(&json!({"spec": {"sessionClusterName": null}}));
    let plan = decided(&one, Found::Nothing);
    assert_eq!(plan.status.session_job, None);
    assert_eq!((step(&plan).as_str(), plan.again), ("-", Again::AtOnce));
    let mut next = one;
    next.status = Some(plan.status);
    assert!(!takes(&next));
}

#[test]
fn deletion_takes_the_session_job_first_and_the_finalizer_last() {
    let more = json!({"metadata": {"deletionTimestamp": "2026-11-21T11:59:59Z"}});
    let gone = deployment(&more);
    let mut ours = job(&gone, DesiredState::Running, says("RUNNING", "RUNNING"));
    assert_eq!(step(&decided(&gone, Found::Ours(&ours))), "delete");
    ours.metadata.deletion_timestamp = gone.metadata.deletion_timestamp.clone();
    let plan = decided(&gone, Found::Ours(&ours));
    assert_eq!(
        (step(&plan).as_str(), plan.finalizer),
        ("-", Finalizer::Leave)
    );
    let plan = decided(&gone, Found::Nothing);
    assert_eq!(plan.finalizer, Finalizer::Remove);
    // A user's own of that name does not hold it up.
    assert_eq!(decided(&gone, Found::Theirs).finalizer, Finalizer::Remove);
}

/// The condition names the cluster and the way out.
#[test]
fn a_session_cluster_that_does_not_run_is_told_with_the_way_out() {
    let one = deployment(&json!({"status": {"state": "TRANSITIONING"}}));
    let mut status = says("TRANSITIONING", "");
    let message = "SessionCluster c is STOPPED; the job starts when it is RUNNING (spec.state).";
    status["conditions"] = json!([{"type": "SessionClusterNotReady", "status": "True", "reason": "Stopped", "message": message,
        "lastTransitionTime": "2026-11-21T11:00:00Z"}]);
    let waits = job(&one, DesiredState::Running, status);
    let plan = decided(&one, Found::Ours(&waits));
    let told = plan
        .status
        .conditions
        .iter()
        .find(|one| one.type_ == "SessionClusterNotReady")
        .unwrap();
    assert_eq!(
        (
            told.status.as_str(),
            told.reason.as_str(),
            told.message.as_str()
        ),
        ("True", "Stopped", message)
    );
}

#[test]
fn a_job_that_nobody_can_be_asked_about_is_told_as_such() {
    let one = deployment(&json!({}));
    let mut status = says("RUNNING", "RUNNING");
    merge(
        &mut status["conditions"][0],
        &json!({"status": "False", "reason": "Unreachable", "message": "no answer"}),
    );
    let plan = decided(&one, Found::Ours(&job(&one, DesiredState::Running, status)));
    let running = plan.status.running.clone().unwrap();
    assert_eq!(
        (
            running.conditions[0].status.as_str(),
            running.conditions[0].message.as_deref()
        ),
        ("True", Some("no answer"))
    );
    assert_eq!(plan.status.state, Some(DeploymentState::Running));
}

/// Somebody deletes its SessionJob: where the job has run, it goes on from what that has left, and never from nothing.
#[test]
fn a_session_job_that_has_run_and_is_deleted_is_not_started_empty() {
    let mut one = deployment(&json!({}));
    let mut status = says("RUNNING", "RUNNING");
    let runs = |status: &Value| {
        job(
            &deployment(&json!({})),
            DesiredState::Running,
            status.clone(),
        )
    };
    let claim = |plan: &Plan| plan.status.session_job.clone().unwrap().has_run;
    assert_eq!(claim(&decided(&one, Found::Ours(&runs(&status)))), None);
    status["startTime"] = json!("2026-11-21T11:00:00Z");
    let plan = decided(&one, Found::Ours(&runs(&status)));
    assert_eq!(claim(&plan), Some(true));
    one.status = Some(plan.status);
    let plan = decided(&one, Found::Nothing);
    assert_eq!(
        (step(&plan).as_str(), plan.status.state),
        ("-", Some(DeploymentState::Failed))
    );
    let (reason, message) = ready(&plan);
    assert_eq!(reason, "NoState");
    assert!(message.contains("deploymentName d"), "{message}");
    assert_ne!(plan.again, Again::OnNews, "a snapshot may be brought in");
    let left = [Stored {
        name: "d-1-checkpoint".into(),
        location: "s3://b/ck/chk-7".into(),
        completed: now(),
        origin: sluice_api::SavepointOrigin::RetainedCheckpoint,
    }];
    let with = |one: &Deployment| {
        decide(&Observed {
            deployment: one,
            now: now(),
            found: Found::Nothing,
            savepoints: &left,
        })
    };
    assert_eq!(step(&with(&one)), "create RUNNING");
    let mut savepoints_only = one.clone();
    savepoints_only.spec.restore_strategy =
        serde_json::from_value(json!({"kind": "LATEST_SAVEPOINT"})).unwrap();
    assert_eq!(step(&with(&savepoints_only)), "-");
    let mut empty = one.clone();
    empty.spec.restore_strategy = serde_json::from_value(json!({"kind": "NONE"})).unwrap();
    assert_eq!(step(&decided(&empty, Found::Nothing)), "create RUNNING");
    // It is remembered while the job is not to run.
    one.spec.state = Some(DesiredState::Cancelled);
    let plan = decided(&one, Found::Nothing);
    assert_eq!(plan.status.state, Some(DeploymentState::Cancelled));
    one.status = Some(plan.status);
    one.spec.state = Some(DesiredState::Running);
    assert_eq!(ready(&decided(&one, Found::Nothing)).0, "NoState");
}

/// It was being stopped to leave, and nobody knows whether its savepoint is complete: it is told, and goes on when somebody who was told asks.
#[test]
fn what_has_left_a_savepoint_perhaps_does_not_leave_without_it() {
    let asked = |generation: i64, state: &str, status: Value| {
        let mut one = deployment(&json!({"metadata": {"generation": generation},
            "spec": {"state": state, "sessionClusterName": null}}));
        if !status.is_null() {
            one.status = serde_json::from_value(status).unwrap();
        }
        one
    };
    let mut status = says("FAILED", "");
    status["flinkState"] = json!(null);
    status["failure"] = json!({"reason": "StopUnclear", "message": "in s3://b/sp"});
    let unclear = job(
        &deployment(&json!({})),
        DesiredState::Suspended,
        status.clone(),
    );
    for state in ["RUNNING", "SUSPENDED"] {
        let plan = decided(&asked(4, state, json!(null)), Found::Ours(&unclear));
        assert_eq!(
            (step(&plan).as_str(), plan.status.state),
            ("-", Some(DeploymentState::Failed))
        );
        let failure = plan.status.failure.clone().unwrap();
        assert_eq!(failure.message, "in s3://b/sp");
        let told = serde_json::to_value(&plan.status).unwrap();
        let again = decided(&asked(4, state, told.clone()), Found::Ours(&unclear));
        assert_eq!((step(&again).as_str(), again.status), ("-", plan.status));
        // Whoever changes it has been told.
        let plan = decided(&asked(5, "RUNNING", told), Found::Ours(&unclear));
        assert_eq!(step(&plan), "delete");
        let begun = serde_json::to_value(&plan.status).unwrap();
        let again = decided(&asked(5, "RUNNING", begun), Found::Ours(&unclear));
        assert_eq!(step(&again), "delete", "should it have died in between");
    }
    let cancelled = decided(&asked(4, "CANCELLED", json!(null)), Found::Ours(&unclear));
    assert_eq!(step(&cancelled), "delete");
}
