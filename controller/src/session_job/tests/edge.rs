//! The edge, on an API server and a Flink that are played: what is called, and what is not, where one of them does not do as it is asked.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{Method, StatusCode, Uri};
use futures::FutureExt;
use kube::runtime::reflector;
use kube::runtime::watcher::Event;
use sluice_api::SessionCluster;

use super::*;
use crate::fetch::Reach;
use crate::flink::{FlinkHttp, Timeouts};
use crate::played::{address_of, client_of, refusal};
use crate::runtime::events::Events;
use crate::session_job::reconcile::Context;
use crate::session_job::submissions::Submissions;
use crate::session_job::submit::Jars;

/// What the API server stores and Flink has.
struct World {
    job: Value,
    jars: Vec<String>,
    /// Whether Flink was told to take no submissions over REST: then it has no such path.
    is_closed: bool,
    /// What Flink says of the run; null: it does not know it.
    run: Value,
    /// The same once a jar has been deleted, if it is another then.
    run_then: Option<Value>,
    /// Code and message by which Savepoints are refused.
    savepoints: Option<(u16, &'static str)>,
    told: Vec<String>,
}

struct Stage {
    world: Arc<Mutex<World>>,
    context: Context,
}

fn api(world: &Mutex<World>, asked: &str, body: &Bytes) -> (u16, Value) {
    let mut world = world.lock().unwrap();
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let (code, answer) = match asked {
        "GET /apis/sluice.dev/v1alpha1/namespaces/n/sessionjobs/j" => (200, world.job.clone()),
        "PUT /apis/sluice.dev/v1alpha1/namespaces/n/sessionjobs/j/status" => {
            let version = world.job["metadata"]["resourceVersion"].clone();
            if body["metadata"]["resourceVersion"] != version {
                return (409, refusal(409));
            }
            let next: i64 = version.as_str().unwrap().parse().unwrap();
            world.job["status"] = body["status"].clone();
            world.job["metadata"]["resourceVersion"] = json!((next + 1).to_string());
            (200, world.job.clone())
        }
        "GET /apis/sluice.dev/v1alpha1/namespaces/n/savepoints" => (
            200,
            json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SavepointList", "metadata": {}, "items": []}),
        ),
        "POST /apis/sluice.dev/v1alpha1/namespaces/n/savepoints" => match world.savepoints {
            Some((code, message)) => {
                let mut refused = refusal(code);
                refused["message"] = json!(message);
                (code, refused)
            }
            None => (201, body),
        },
        _ if asked.starts_with("PUT") => (200, body),
        _ if asked.ends_with("/events") => (201, body),
        _ => (404, refusal(404)),
    };
    if asked.starts_with('P') {
        let path = asked.rsplit("/namespaces/n/").next().unwrap_or_default();
        world.told.push(format!("{code} {path}"));
    }
    (code, answer)
}

fn flink(world: &Mutex<World>, asked: &str) -> (u16, Value) {
    let mut world = world.lock().unwrap();
    let name = identity::jar_name(&identity::job_id(UID, 1));
    let id = identity::job_id(UID, 1);
    if asked.starts_with("DELETE /jars/") {
        world.told.push("jar deleted".into());
        world.jars.clear();
        if let Some(run) = world.run_then.take() {
            world.run = run;
        }
        return (200, json!({}));
    }
    match asked {
        "GET /jars" if !world.is_closed => {
            let files = world.jars.iter();
            let files: Vec<Value> = files
                .map(|name| json!({"id": format!("x_{name}"), "name": name}))
                .collect();
            (200, json!({"files": files}))
        }
        "POST /jars/upload" => {
            world.jars.push(name.clone());
            (200, json!({"filename": format!("/tmp/x_{name}")}))
        }
        _ if asked == format!("GET /jobs/{id}") && !world.run.is_null() => (200, world.run.clone()),
        _ if asked == format!("GET /jobs/{id}/savepoints/t") => (
            200,
            json!({"status": {"id": "COMPLETED"}, "operation": {"location": "s3://b/sp/n-j-t/savepoint-1"}}),
        ),
        "GET /config" => (200, json!({"refresh-interval": 0})),
        _ => (404, json!({"errors": ["not found"]})),
    }
}

/// A world with a session cluster that runs, whose Flink answers a run of a jar never.
async fn stage(job: Value) -> (Stage, impl Future<Output = ()>) {
    let world = Arc::new(Mutex::new(World {
        job,
        jars: Vec::new(),
        is_closed: false,
        run: Value::Null,
        run_then: None,
        savepoints: None,
        told: Vec::new(),
    }));
    let of_api = Arc::clone(&world);
    let client = client_of(move |method: Method, uri: Uri, body: Bytes| {
        let (code, answer) = api(&of_api, &format!("{method} {}", uri.path()), &body);
        std::future::ready((StatusCode::from_u16(code).unwrap(), answer.to_string()))
    })
    .await;
    let of_flink = Arc::clone(&world);
    let address = address_of(move |method: Method, uri: Uri| {
        let (code, answer) = flink(&of_flink, &format!("{method} {}", uri.path()));
        let never_answers = uri.path().ends_with("/run");
        async move {
            if never_answers {
                std::future::pending::<()>().await;
            }
            (StatusCode::from_u16(code).unwrap(), answer.to_string())
        }
    })
    .await;
    let (clusters, mut writer) = reflector::store();
    let cluster: SessionCluster = serde_json::from_value(
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
        "metadata": {"name": "c", "namespace": "n", "uid": "cu"}, "spec": {"flinkVersion": "1.20"}, "status": {"state": "RUNNING"}}),
    )
    .unwrap();
    for event in [Event::Init, Event::InitApply(cluster), Event::InitDone] {
        writer.apply_watcher_event(&event);
    }
    let (submissions, submitting) = Submissions::new();
    let timeouts = Timeouts {
        run: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let context = Context {
        clusters,
        flink: FlinkHttp::new(timeouts).unwrap(),
        jars: Jars::new(Reach::Anywhere).unwrap(),
        submissions,
        events: Events::new(client.clone(), "test"),
        resolver: Arc::new(move |_| {
            let address = address.clone();
            async move { Ok(Some(address)) }.boxed()
        }),
        probe: None,
        addresses: Arc::new(Mutex::new(HashMap::new())),
        client,
    };
    (Stage { world, context }, submitting)
}

impl Stage {
    fn job(&self) -> SessionJob {
        serde_json::from_value(self.world.lock().unwrap().job.clone()).unwrap()
    }

    /// Lets something happen meanwhile.
    fn meanwhile(&self, happens: impl FnOnce(&mut World)) {
        happens(&mut self.world.lock().unwrap());
    }

    async fn reconcile(&self) -> Option<Duration> {
        Box::pin(self.context.reconcile(&self.job())).await.unwrap()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.world.lock().unwrap().told)
    }

    fn jars(&self) -> usize {
        self.world.lock().unwrap().jars.len()
    }

    /// Waits until the status says so.
    async fn until(&self, what: &str, holds: impl Fn(&sluice_api::SessionJobStatus) -> bool) {
        for _ in 0..1000 {
            if self.job().status.is_some_and(|status| holds(&status)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain until {what}: {:#?}", self.job().status);
    }
}

fn stored(spec: Value, status: Value) -> Value {
    let mut stored = serde_json::to_value(job(spec, status)).unwrap();
    stored["metadata"]["resourceVersion"] = json!("1");
    stored
}

fn of_flink(state: &str) -> Value {
    json!({"jid": identity::job_id(UID, 1).to_string(), "state": state, "start-time": 1, "end-time": -1, "now": 100_000})
}

/// A submission without an answer, as it is stored.
async fn unanswered() -> (Stage, impl Future<Output = ()>) {
    let (stage, submitting) = stage(stored(json!({}), json!({}))).await;
    let mut submitting = Box::pin(submitting);
    tokio::select! {
        () = &mut submitting => panic!("it has ended"),
        () = async {
            assert_eq!(stage.reconcile().await, Some(Duration::from_secs(5)));
            stage.until("no answer has come", |status| status.failure.is_some()).await;
        } => {}
    }
    let failure = stage.job().status.unwrap().failure.unwrap();
    assert_eq!(failure.reason, "SubmissionUnanswered");
    (stage, submitting)
}

/// Flink opens it again when the program's main method has ended.
#[tokio::test]
async fn a_jar_stays_until_its_submission_is_over() {
    let (stage, _submitting) = unanswered().await;
    assert_eq!(stage.jars(), 1, "{:?}", stage.told());
    stage.reconcile().await;
    assert_eq!(stage.jars(), 1, "it may be under way: {:?}", stage.told());
    stage.meanwhile(|world| world.run = of_flink("RUNNING"));
    stage.reconcile().await;
    assert_eq!(stage.jars(), 0, "{:?}", stage.told());
    assert_eq!(
        stage.job().status.unwrap().state,
        Some(DeploymentState::Running)
    );
}

/// Without its jar it becomes no job later; and if it was one before the jar was gone, it is cancelled.
#[tokio::test]
async fn a_submission_that_is_given_up_loses_its_jar_before_anybody_is_told_that_nothing_runs() {
    for appears in [false, true] {
        let (stage, _submitting) = unanswered().await;
        stage.meanwhile(|world| {
            world.job["spec"]["state"] = json!("CANCELLED");
            world.job["metadata"]["generation"] = json!(4);
            world.job["status"]["operation"]["startedAt"] = json!("2026-11-21T10:00:00Z");
            world.run_then = appears.then(|| of_flink("RUNNING"));
        });
        stage.told();
        stage.reconcile().await;
        let told = stage.told();
        let is = stage.job().status.unwrap().state;
        if appears {
            assert_eq!(
                (told, is),
                (
                    vec!["jar deleted".to_owned()],
                    Some(DeploymentState::Transitioning)
                )
            );
            stage.reconcile().await;
            let operation = stage.job().status.unwrap().operation.unwrap();
            assert_eq!(operation.kind.as_deref(), Some("Cancel"));
        } else {
            assert_eq!(
                told.first().map(String::as_str),
                Some("jar deleted"),
                "{told:?}"
            );
            assert_eq!(is, Some(DeploymentState::Cancelled));
        }
    }
}

/// `web.submit.enable: false`, switched off meanwhile: what cannot be listed cannot be run, and keeps nobody waiting.
#[tokio::test]
async fn a_jar_that_cannot_be_deleted_for_good_holds_up_nothing() {
    let (stage, _submitting) = unanswered().await;
    stage.meanwhile(|world| {
        world.job["spec"]["state"] = json!("CANCELLED");
        world.job["metadata"]["generation"] = json!(4);
        world.job["status"]["operation"]["startedAt"] = json!("2026-11-21T10:00:00Z");
        world.is_closed = true;
    });
    stage.reconcile().await;
    assert_eq!(
        stage.job().status.unwrap().state,
        Some(DeploymentState::Cancelled)
    );
}

/// A submission waits for its turn, or for a jar that comes slowly; whoever does not want it any more waits for neither.
#[tokio::test]
async fn a_submission_that_flink_was_not_asked_for_yet_ends_with_a_change_of_the_spec() {
    let (stage, _submitting) = stage(stored(json!({}), json!({}))).await;
    stage.reconcile().await;
    assert_eq!(stage.reconcile().await, Some(Duration::from_secs(5)));
    stage.meanwhile(|world| {
        world.job["spec"]["state"] = json!("CANCELLED");
        world.job["metadata"]["generation"] = json!(4);
        world.job["metadata"]["resourceVersion"] = json!("7");
    });
    stage.reconcile().await;
    stage.reconcile().await;
    let status = stage.job().status.unwrap();
    assert_eq!(
        (status.state, status.observed_generation),
        (Some(DeploymentState::Cancelled), Some(4))
    );
}

/// Somebody annotates the job, or raises its attempts, while its program's main method runs.
#[tokio::test]
async fn that_no_answer_has_come_is_not_lost_where_somebody_writes_meanwhile() {
    let (stage, submitting) = stage(stored(json!({}), json!({}))).await;
    stage.reconcile().await;
    stage.reconcile().await;
    tokio::select! {
        () = submitting => panic!("it has ended"),
        () = async {
            stage.until("its jar was brought", |_| stage.jars() > 0).await;
            // Flink is asked once that is stored.
            stage.until("Flink is asked", |_| stage.told().iter().filter(|told| told.ends_with("/status")).count() > 0).await;
            stage.meanwhile(|world| {
                world.job["spec"]["maxJobCreationAttempts"] = json!(9);
                world.job["metadata"]["generation"] = json!(4);
                world.job["metadata"]["resourceVersion"] = json!("70");
            });
            stage.until("no answer has come", |status| status.failure.is_some()).await;
        } => {}
    }
    let status = stage.job().status.unwrap();
    assert_eq!(status.failure.unwrap().reason, "SubmissionUnanswered");
    assert_eq!(
        status.observed_generation,
        Some(3),
        "the change is still to be seen"
    );
}

/// Who ends a submission may write once more before that is stored.
#[tokio::test]
async fn that_nothing_was_submitted_is_not_lost_where_somebody_writes_meanwhile() {
    let (stage, _submitting) = stage(stored(json!({}), json!({}))).await;
    stage.reconcile().await;
    assert_eq!(stage.reconcile().await, Some(Duration::from_secs(5)));
    stage.meanwhile(|world| {
        world.job["spec"]["state"] = json!("CANCELLED");
        world.job["metadata"]["generation"] = json!(4);
        world.job["metadata"]["resourceVersion"] = json!("7");
    });
    let seen_last = stage.job();
    stage.meanwhile(|world| world.job["metadata"]["resourceVersion"] = json!("8"));
    let again = Box::pin(stage.context.reconcile(&seen_last)).await.unwrap();
    assert_eq!(
        again,
        Some(Duration::from_millis(200)),
        "somebody was first"
    );
    stage.reconcile().await;
    stage.reconcile().await;
    let status = stage.job().status.unwrap();
    assert_eq!(
        (status.state, status.observed_generation),
        (Some(DeploymentState::Cancelled), Some(4))
    );
}

/// `ResourceQuota` with `count/savepoints.sluice.dev`, or somebody's webhook.
#[tokio::test]
async fn a_savepoint_that_is_refused_is_told_and_its_snapshot_is_not_forgotten() {
    let operation = json!({"kind": "Suspend", "startedAt": "2026-11-21T09:59:50Z", "triggerId": "t", "targetDirectory": "s3://b/sp/n-j-t"});
    let status = live(
        &json!({}),
        json!({"state": "TRANSITIONING", "operation": operation, "snapshotLocation": "s3://b/ck/chk-9", "snapshotTime": "2026-11-21T09:59:00Z"}),
    );
    let (stage, _submitting) = stage(stored(json!({"state": "SUSPENDED"}), status)).await;
    stage.meanwhile(|world| {
        world.run = of_flink("RUNNING");
        world.savepoints = Some((
            403,
            "exceeded quota: q, used: count/savepoints.sluice.dev=5",
        ));
    });
    for round in 1..=2 {
        let again = stage.reconcile().await;
        assert_eq!(again.unwrap().as_secs(), if round == 1 { 2 } else { 30 });
        let told = stage.told();
        let events = told.iter().filter(|one| one.ends_with("events")).count();
        assert_eq!(events, usize::from(round == 1), "told once: {told:?}");
        let written = told.iter().any(|one| one.ends_with("/status"));
        assert_eq!(written, round == 1, "written once: {told:?}");
        stage.meanwhile(|world| {
            // Its JobManager ends, and what it knew with it.
            world.run = Value::Null;
            world.savepoints = Some((403, "in other words: request 4711"));
        });
    }
    let status = stage.job().status.unwrap();
    assert_eq!(status.state, Some(DeploymentState::Transitioning));
    assert_eq!(
        status.snapshot_location.as_deref(),
        Some("s3://b/sp/n-j-t/savepoint-1")
    );
    let ready = status
        .conditions
        .iter()
        .find(|one| one.type_ == "Ready")
        .unwrap();
    assert_eq!(ready.reason, "ObjectRefused");
    for part in [
        "s3://b/sp/n-j-t/savepoint-1",
        "Savepoint j-1-savepoint",
        "exceeded quota: q",
        "Raise the ResourceQuota",
    ] {
        assert!(ready.message.contains(part), "{part}: {}", ready.message);
    }
    // There is room again.
    stage.meanwhile(|world| world.savepoints = None);
    stage.reconcile().await;
    let status = stage.job().status.unwrap();
    assert_eq!(
        status.state,
        Some(DeploymentState::Suspended),
        "{status:#?}"
    );
    assert_eq!(
        status.latest_savepoint_name.as_deref(),
        Some("j-1-savepoint")
    );
}
