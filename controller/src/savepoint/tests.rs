//! The decision as a table: what is observed of a savepoint that a user asks for, and what is done about it.
#![allow(
    clippy::needless_pass_by_value,
    reason = "rows of the table read better with plain values"
)]

use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use sluice_api::events::EventReason;
use sluice_api::{Savepoint, SavepointState};
use sluice_policy::flink::FlinkVersion;

use super::decide::decide;
use super::object::{Request, request};
use super::place::trigger_id;
use super::sight::*;
use crate::flink::{JobId, Snapshot, TriggerId};

const UID: &str = "77aa";
const JOB: &str = "0000000000000000000000000000000a";

fn now() -> Timestamp {
    "2026-11-21T10:00:00Z".parse().unwrap()
}

fn savepoint(spec: Value, status: Value) -> Savepoint {
    serde_json::from_value(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint",
        "metadata": {"name": "s", "namespace": "n", "uid": UID, "generation": 1}, "spec": spec, "status": status}))
    .unwrap()
}

fn of_job() -> Value {
    json!({"sessionJobName": "j"})
}

/// Asked for this long ago, under our id.
fn started(seconds: i64) -> Value {
    let at = now() - jiff::SignedDuration::from_secs(seconds);
    json!({"state": "STARTED", "jobId": JOB, "triggerId": trigger_id(UID).0, "startTime": at.to_string()})
}

fn runs_at(version: FlinkVersion) -> Sight {
    Sight {
        life: Life::Runs,
        place: Some(Place {
            address: "http://f".into(),
            job: JobId::parse(JOB).unwrap(),
            version: Some(version),
            folder: Some("s3://b/sp/".into()),
        }),
    }
}

fn runs() -> Sight {
    runs_at(FlinkVersion::new(1, 20))
}

fn rests() -> Sight {
    Sight {
        life: Life::Resting("SessionJob j does not run: it is SUSPENDED.".into()),
        place: None,
    }
}

fn plan(savepoint: &Savepoint, sight: Option<Sight>, told: Option<Told>) -> Plan {
    decide(&Observed {
        savepoint,
        now: now(),
        sight,
        told,
        answer: None,
    })
}

fn ready(plan: &Plan) -> (String, String, String) {
    let found = plan
        .status
        .conditions
        .iter()
        .find(|one| one.type_ == "Ready");
    let found = found.unwrap();
    (
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    )
}

fn told(plan: &Plan) -> Vec<EventReason> {
    plan.notes.iter().map(|note| note.reason).collect()
}

fn failure(plan: &Plan) -> (String, String) {
    let failure = plan.status.failure.clone().unwrap_or_default();
    assert_eq!(plan.status.state, Some(SavepointState::Failed));
    assert_eq!((&plan.ask, plan.again), (&None, None), "it is over");
    assert_eq!(told(plan), [EventReason::SavepointFailed]);
    let (status, reason, message) = ready(plan);
    assert_eq!(status, "False");
    assert_eq!(
        (reason, message),
        (failure.reason.clone(), failure.message.clone())
    );
    (failure.reason, failure.message)
}

#[test]
fn it_is_stored_before_it_is_asked_for() {
    let wanted = savepoint(of_job(), json!(null));
    let plan = plan(&wanted, Some(runs()), None);
    assert_eq!(plan.status.state, Some(SavepointState::Started));
    assert_eq!(plan.status.job_id.as_deref(), Some(JOB));
    assert_eq!(plan.status.observed_generation, Some(1));
    let id = trigger_id(UID);
    assert_eq!(plan.status.trigger_id, Some(id.0.clone()));
    let short: String = id.0.chars().take(12).collect();
    assert_eq!(
        plan.ask,
        Some(Ask {
            job: JobId::parse(JOB).unwrap(),
            directory: Some(format!("s3://b/sp/n-j-{short}")),
            trigger: Some(id),
        })
    );
    assert_eq!(told(&plan), [EventReason::SavepointStarted]);
    assert_eq!(ready(&plan).1, "Starting");
}

#[test]
fn an_old_flink_takes_no_id_and_its_own_is_kept() {
    let old = runs_at(FlinkVersion::new(1, 14));
    let wanted = savepoint(of_job(), json!(null));
    let begun = plan(&wanted, Some(old.clone()), None);
    assert_eq!(begun.status.trigger_id, None);
    assert_eq!(begun.ask.as_ref().and_then(|ask| ask.trigger.clone()), None);
    let stored = savepoint(of_job(), serde_json::to_value(&begun.status).unwrap());
    let answered = decide(&Observed {
        savepoint: &stored,
        now: now(),
        sight: Some(old),
        told: None,
        answer: Some(Answer::Accepted(TriggerId("f1".into()))),
    });
    assert_eq!(answered.status.trigger_id.as_deref(), Some("f1"));
    assert!(answered.again.is_some() && answered.ask.is_none());
}

#[test]
fn a_job_that_comes_is_waited_for() {
    let wanted = savepoint(of_job(), json!(null));
    for (life, reason) in [
        (
            Life::Missing("There is no SessionJob j.".into()),
            "NotFound",
        ),
        (
            Life::Moving("SessionJob j is TRANSITIONING.".into()),
            "JobNotRunning",
        ),
    ] {
        let sight = Sight { life, place: None };
        let waits = plan(&wanted, Some(sight.clone()), None);
        assert_eq!(waits.status.state, None, "nothing has begun");
        assert_eq!(ready(&waits).1, reason);
        assert!(waits.ask.is_none() && waits.again.is_some() && waits.notes.is_empty());
        // The same again gives the same, so nothing is written.
        let stored = savepoint(of_job(), serde_json::to_value(&waits.status).unwrap());
        assert_eq!(plan(&stored, Some(sight), None).status, waits.status);
    }
}

#[test]
fn a_job_that_does_not_come_is_looked_for_less_and_less_often() {
    for (waited, again) in [(0, 5), (40, 5), (600, 60), (86_400, 300), (-60, 5)] {
        let mut wanted = savepoint(of_job(), json!(null));
        let created = now() - jiff::SignedDuration::from_secs(waited);
        wanted.metadata.creation_timestamp = Some(
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(created),
        );
        let sight = Sight {
            life: Life::Missing("There is no SessionJob j.".into()),
            place: None,
        };
        let waits = plan(&wanted, Some(sight), None);
        assert_eq!(
            waits.again,
            Some(std::time::Duration::from_secs(again)),
            "{waited}"
        );
    }
}

#[test]
fn of_a_job_that_rests_none_is_taken() {
    let wanted = savepoint(of_job(), json!(null));
    let (reason, message) = failure(&plan(&wanted, Some(rests()), None));
    assert_eq!(reason, "JobNotRunning");
    assert_eq!(
        message,
        "SessionJob j does not run: it is SUSPENDED. Create another Savepoint when it runs; this one is not tried again."
    );
    let nobody = savepoint(json!({}), json!(null));
    let (reason, message) = failure(&plan(&nobody, None, None));
    assert_eq!(reason, "InvalidSpec");
    assert!(message.contains("spec.sessionJobName"), "{message}");
    let other = json!({"sessionJobName": "j", "jobId": "0000000000000000000000000000000b"});
    let (reason, message) = failure(&plan(&savepoint(other, json!(null)), Some(runs()), None));
    assert_eq!(reason, "JobNotRunning");
    assert!(
        message.contains(JOB) && message.contains("spec.jobId"),
        "{message}"
    );
}

#[test]
fn flinks_word_ends_it() {
    let begun = savepoint(of_job(), started(2));
    let done = plan(
        &begun,
        Some(runs()),
        Some(Told::Stands(Snapshot::Completed("s3://b/sp/x".into()))),
    );
    assert_eq!(done.status.state, Some(SavepointState::Completed));
    assert_eq!(done.status.location.as_deref(), Some("s3://b/sp/x"));
    assert!(done.status.completion_time.is_some());
    assert_eq!(
        done.status.job_id.as_deref(),
        Some(JOB),
        "it stays to be read"
    );
    assert_eq!(ready(&done).0, "True");
    assert_eq!(told(&done), [EventReason::SavepointCompleted]);
    assert_eq!((&done.ask, done.again), (&None, None));
    let why = "IOException: no space left";
    let failed = plan(
        &begun,
        Some(runs()),
        Some(Told::Stands(Snapshot::Failed(why.into()))),
    );
    let (reason, message) = failure(&failed);
    assert_eq!(reason, "SavepointCreationFailed");
    assert!(message.ends_with(why), "{message}");
    let refused = decide(&Observed {
        savepoint: &begun,
        now: now(),
        sight: Some(runs()),
        told: None,
        answer: Some(Answer::Refused("no directory".into())),
    });
    assert!(failure(&refused).1.ends_with("no directory"));
}

/// What becomes of a request that Flink does not know: sent again only where that cannot make a second savepoint.
#[rstest]
#[case::lost_between_status_and_call(FlinkVersion::new(1, 20), 3, true, false)]
#[case::flink_may_have_forgotten(FlinkVersion::new(1, 20), 300, false, true)]
#[case::old_flink_under_way(FlinkVersion::new(1, 14), 3, false, false)]
#[case::old_flink(FlinkVersion::new(1, 14), 60, false, true)]
fn a_request_is_sent_again_only_where_it_is_the_same(
    #[case] version: FlinkVersion,
    #[case] age: i64,
    #[case] asks: bool,
    #[case] fails: bool,
) {
    let mut status = started(age);
    if version < FlinkVersion::new(1, 15) {
        status.as_object_mut().unwrap().remove("triggerId");
    }
    let begun = savepoint(of_job(), status);
    let plan = plan(
        &begun,
        Some(runs_at(version)),
        Some(Told::Stands(Snapshot::Unknown)),
    );
    assert_eq!(plan.ask.is_some(), asks);
    if let Some(ask) = &plan.ask {
        assert_eq!(ask.trigger, Some(trigger_id(UID)), "the same request");
    }
    assert_eq!(plan.status.state == Some(SavepointState::Failed), fails);
    if fails {
        assert!(failure(&plan).1.contains("is not known"));
    } else {
        assert!(plan.again.is_some());
    }
}

#[test]
fn what_was_written_is_found_without_an_id() {
    let begun = savepoint(of_job(), started(400));
    let done = plan(
        &begun,
        Some(runs()),
        Some(Told::Found("s3://b/sp/y".into(), now())),
    );
    assert_eq!(done.status.state, Some(SavepointState::Completed));
    assert_eq!(done.status.location.as_deref(), Some("s3://b/sp/y"));
}

/// The newest snapshot is restored from, and a checkpoint may have been complete between a savepoint and the moment Sluice hears of it.
#[test]
fn a_savepoint_is_not_told_to_be_newer_than_it_is() {
    let begun = savepoint(of_job(), started(400));
    let at = |seconds| now() - jiff::SignedDuration::from_secs(seconds);
    let completed = |told| {
        let done = plan(&begun, Some(runs()), Some(told));
        assert_eq!(done.status.state, Some(SavepointState::Completed));
        done.status.completion_time.unwrap().0
    };
    let location = || "s3://b/sp/y".to_owned();
    assert_eq!(completed(Told::Found(location(), at(390))), at(390));
    let untimed = Told::Stands(Snapshot::Completed(location()));
    assert_eq!(completed(untimed), at(400), "when it was asked for");
}

#[test]
fn a_job_that_ends_meanwhile_is_told_unless_its_savepoint_is_there() {
    let begun = savepoint(of_job(), started(2));
    let stopped = Sight {
        place: runs().place,
        ..rests()
    };
    let lost = plan(
        &begun,
        Some(stopped.clone()),
        Some(Told::Stands(Snapshot::Unknown)),
    );
    let (reason, message) = failure(&lost);
    assert_eq!(reason, "JobNotRunning");
    assert!(message.ends_with("it is SUSPENDED."), "{message}");
    let there = plan(
        &begun,
        Some(stopped),
        Some(Told::Stands(Snapshot::Completed("s3://b/sp/z".into()))),
    );
    assert_eq!(there.status.state, Some(SavepointState::Completed));
    // Its cluster has gone with it: nobody can be asked.
    assert_eq!(
        failure(&plan(&begun, Some(rests()), None)).0,
        "JobNotRunning"
    );
}

#[test]
fn a_flink_that_is_silent_is_asked_again() {
    let begun = savepoint(of_job(), started(30));
    let silent = plan(
        &begun,
        Some(runs()),
        Some(Told::Silent("no answer within 10 s".into())),
    );
    assert_eq!(silent.status.state, Some(SavepointState::Started));
    assert_eq!(ready(&silent).1, "Unreachable");
    assert!(silent.again.is_some() && silent.ask.is_none());
    let writing = plan(
        &begun,
        Some(runs()),
        Some(Told::Stands(Snapshot::InProgress)),
    );
    assert_eq!(ready(&writing).1, "Starting");
    assert!(writing.again.is_some() && writing.ask.is_none());
}

#[test]
fn what_is_brought_in_is_complete_and_sluices_own_are_let_be() {
    let brought = savepoint(
        json!({"sessionJobName": "j", "savepointLocation": "s3://b/old"}),
        json!(null),
    );
    assert_eq!(request(&brought), Request::BringIn);
    let done = plan(&brought, Some(rests()), None);
    assert_eq!(done.status.location.as_deref(), Some("s3://b/old"));
    let own = savepoint(
        json!({"sessionJobName": "j", "origin": "SUSPEND"}),
        json!(null),
    );
    assert_eq!(request(&own), Request::Nothing);
    let over = json!({"state": "FAILED", "failure": {"reason": "X", "message": "x"}});
    let over = savepoint(of_job(), over);
    let plan = plan(&over, Some(runs()), None);
    assert_eq!(Some(plan.status), over.status, "what is over stays");
    assert!(plan.ask.is_none() && plan.notes.is_empty());
}
