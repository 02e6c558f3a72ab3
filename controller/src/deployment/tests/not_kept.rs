//! A Savepoint object that the API server refuses: a ResourceQuota is exhausted, another webhook does not take it.

use std::time::Duration;

use super::context::context;
use super::*;
use crate::played::{ApiServer, refusal};

const QUOTA: &str = "exceeded quota: objects, requested: count/savepoints.sluice.dev=1";

/// A job that was stopped; its savepoint is refused in these words.
fn refused(why: &str) -> Scene {
    let stopped = Scene {
        stop: Some(Snapshot::Completed("s3://b/sp/n-d-1-t/x".into())),
        ..Scene::running().asked(&json!({"state": "SUSPENDED"})).with(
            &json!({"state": "TRANSITIONING", "running": null,
            "operation": {"kind": "Suspend", "startedAt": ago(5), "triggerId": "t", "targetDirectory": "s3://b/sp/n-d-1-t"}}),
        )
    };
    let record = stopped.decide().savepoint.unwrap();
    Scene {
        answer: Some(Answer::NotKept {
            name: record.name,
            location: record.location,
            why: why.to_owned(),
        }),
        ..stopped
    }
}

#[test]
fn it_is_told_with_its_location_and_the_way_out_and_the_run_stays_as_it_is() {
    let scene = refused(QUOTA);
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Suspend -");
    assert_eq!((&plan.savepoint, &plan.run), (&None, &None));
    assert_eq!(told(&plan), [EventReason::SavepointFailed]);
    assert_eq!(plan.again, Again::After(Duration::from_secs(2)));
    let (reason, message) = progressing(&plan);
    assert_eq!(reason, "ObjectRefused");
    for part in [
        "d-1-savepoint-6f0c0d",
        "s3://b/sp/n-d-1-t/x",
        QUOTA,
        "ResourceQuota",
        "webhook",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(plan.status.failure.as_ref().unwrap().message, message);
    // Then it is let in, and nothing of it is left.
    let mut scene = scene.clone().after(&plan);
    scene.answer = None;
    scene.stop = Some(Snapshot::Completed("s3://b/sp/n-d-1-t/x".into()));
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Suspend -, job FINISHED");
    assert_eq!(plan.status.failure, None);
    let mut scene = scene.after(&plan).gone();
    for _ in 0..3 {
        let plan = scene.decide();
        scene = scene.after(&plan);
    }
    assert_eq!(scene.status["state"], "SUSPENDED");
}

#[test]
fn it_is_tried_again_ever_later_and_told_once() {
    let scene = refused(QUOTA);
    let plan = scene.decide();
    let at = |seconds: i64, why: &str| {
        let mut later = Scene {
            answer: refused(why).answer,
            ..scene.clone().after(&plan)
        };
        later.now += SignedDuration::from_secs(seconds);
        let again = later.decide();
        (again.status != plan.status, told(&again), again.again)
    };
    for (seconds, wait) in [(1, 2), (5, 5), (50, 50), (3600, 60)] {
        let again = Again::After(Duration::from_secs(wait));
        assert_eq!(at(seconds, QUOTA), (false, vec![], again), "{seconds}");
    }
    // Words that are others each time do not have the status written each time.
    assert!(!at(30, "request 7 is denied").0);
    assert!(at(61, "request 8 is denied").0);
}

#[test]
fn a_webhook_with_much_to_say_does_not_fill_the_status() {
    let plan = refused(&"no ".repeat(100_000)).decide();
    let (_, message) = progressing(&plan);
    assert!(message.len() < 2000, "{}", message.len());
    assert!(message.ends_with("goes on then."), "{message}");
}

/// Its job has ended without being asked to: the status must not go on saying that it runs.
#[test]
fn a_job_that_is_lost_meanwhile_is_not_said_to_run() {
    let mut scene = Scene::running()
        .run_is(&json!({"lastCheckpoint": "s3://b/ck/chk-7", "lastCheckpointTime": ago(9)}));
    scene.made.retain(|made| made.kind != MadeKind::Job);
    let lost = scene.decide().savepoint.unwrap();
    scene.answer = Some(Answer::NotKept {
        name: lost.name,
        location: lost.location,
        why: QUOTA.to_owned(),
    });
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/- -");
    let ready = plan
        .status
        .conditions
        .iter()
        .find(|one| one.type_ == "Ready");
    assert_eq!(ready.unwrap().status, "False");
    let mut scene = scene.after(&plan);
    scene.answer = None;
    let plan = scene.decide();
    let mut scene = scene.after(&plan);
    let plan = scene.decide();
    assert_eq!(shown(&plan), "TRANSITIONING/Recover -");
    scene = scene.after(&plan);
    assert_eq!(scene.savepoints[0].location, "s3://b/ck/chk-7");
}

#[tokio::test]
async fn a_refusal_is_written_into_the_status_and_tried_again() {
    let scene = Scene::running()
        .run_is(&json!({"lastCheckpoint": "s3://b/ck/chk-7", "lastCheckpointTime": ago(9)}));
    let deployment = scene.stored();
    let mut run = json!(scene.run);
    run["metadata"]["labels"] = json!({"sluice.dev/owner-uid": "u"});
    let stored = json!(deployment);
    let server = ApiServer::answering(move |what| match what {
        "POST /apis/sluice.dev/v1alpha1/namespaces/n/savepoints" => (403, refusal(403)),
        "GET /apis/sluice.dev/v1alpha1/namespaces/n/jobs/d-1" => (200, run.clone()),
        _ if what.contains("/deployments/d") => (200, stored.clone()),
        _ if what.starts_with("GET") => (
            200,
            json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": []}),
        ),
        _ => (200, json!({})),
    })
    .await;
    let again = context(&server).reconcile(&deployment).await.unwrap();
    assert_eq!(again, Some(Duration::from_secs(2)));
    let asked = server.asked();
    let written: Vec<&String> = asked
        .iter()
        .filter(|what| what.starts_with("PUT"))
        .collect();
    assert_eq!(
        written,
        ["PUT /apis/sluice.dev/v1alpha1/namespaces/n/deployments/d/status"],
        "{asked:#?}"
    );
}
