//! Session jobs on a real API server and a real Flink on loopback. The session cluster is played: its object says RUNNING, and
//! its address is given. One test, so that both are started once; each part says what it proves.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use sluice_api::{
    DeploymentState, Savepoint, SavepointOrigin, SavepointState, SessionCluster,
    SessionClusterState, SessionJob,
};
use sluice_cluster::{Assets, AssetsCache, Binary, Cluster, ClusterOptions};
use sluice_controller::fetch::Reach;
use sluice_controller::flink::{FlinkHttp, Timeouts};
use sluice_controller::savepoint::Savepoints;
use sluice_controller::session_cluster;
use sluice_controller::session_job::reconcile::Probe;
use sluice_controller::session_job::run::SessionJobs;
use sluice_tests::{FlinkHere, LocalFlink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, interval};

const NAMESPACE: &str = "team-a";
const CAUSE: &str = "FailingJob fails on purpose: account 4711 has no owner";
const PATIENCE: Duration = Duration::from_mins(2);

/// Waits until a condition holds; the message tells what was seen last.
async fn until<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> (bool, T)) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut every = interval(Duration::from_millis(100));
    loop {
        every.tick().await;
        let (done, seen) = look().await;
        if done {
            return seen;
        }
        assert!(
            Instant::now() < deadline,
            "waited in vain until {what}; last seen: {seen:#?}"
        );
    }
}

/// Serves one file at every path, and remembers who has asked for it.
async fn serve(file: &Path, asked: Arc<Mutex<Vec<String>>>) -> String {
    let body = std::fs::read(file).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let body = body.clone();
            let asked = Arc::clone(&asked);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let line = String::from_utf8_lossy(&request[..length]);
                let line = line.lines().next().unwrap_or_default();
                asked.lock().unwrap().push(line.to_owned());
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(&body).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

/// What the parts share.
struct Scene {
    client: Client,
    address: Arc<Mutex<String>>,
    jar: String,
    /// Requests for it.
    asked: Arc<Mutex<Vec<String>>>,
    begun: Instant,
}

impl Scene {
    fn jobs(&self) -> Api<SessionJob> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn told(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f32());
    }

    async fn create(&self, name: &str, spec: Value) {
        let job: SessionJob = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}))
        .unwrap();
        self.jobs()
            .create(&PostParams::default(), &job)
            .await
            .unwrap();
    }

    async fn patch(&self, name: &str, spec: Value) {
        let patch = json!({"spec": spec});
        self.jobs()
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    /// Waits until the status says this state about the newest spec.
    async fn becomes(&self, name: &str, state: DeploymentState) -> SessionJob {
        until(&format!("{name} is {state}"), async || {
            let job = self.jobs().get(name).await.unwrap();
            let status = job.status.clone().unwrap_or_default();
            let done = status.state == Some(state)
                && status.observed_generation == job.metadata.generation;
            (done, job)
        })
        .await
    }

    async fn cluster_is(&self, state: SessionClusterState) {
        let api: Api<SessionCluster> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = json!({"status": {"state": state}});
        api.patch_status("c", &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .unwrap();
    }

    async fn events(&self, name: &str) -> Vec<(String, String)> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), NAMESPACE);
        let mut all = api.list(&ListParams::default()).await.unwrap().items;
        all.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        all.into_iter()
            .filter(|event| {
                let about = event.regarding.as_ref();
                about.and_then(|about| about.name.as_deref()) == Some(name)
            })
            .map(|event| {
                (
                    event.reason.unwrap_or_default(),
                    event.note.unwrap_or_default(),
                )
            })
            .collect()
    }

    async fn counted(&self, flink: &LocalFlink, job: &str, at_least: i64) {
        until("the job counts", async || {
            let count = flink.counter(job, "count").await.unwrap_or_default();
            (count >= at_least, count)
        })
        .await;
    }
}

/// A counter of a job that has ended. Flink answers from a cache of some seconds, one for all that it says of a job but its
/// checkpoints.
async fn at_the_end(flink: &LocalFlink, job: &str, name: &str) -> i64 {
    until("Flink says that the job has ended", async || {
        let details = flink.get(&format!("/jobs/{job}")).await.unwrap();
        let state = details["state"].as_str().unwrap_or_default().to_owned();
        (
            matches!(state.as_str(), "FINISHED" | "CANCELED" | "FAILED"),
            state,
        )
    })
    .await;
    flink.counter(job, name).await.unwrap()
}

fn condition(job: &SessionJob, kind: &str) -> (String, String, String) {
    let status = job.status.clone().unwrap_or_default();
    let found = status
        .conditions
        .into_iter()
        .find(|condition| condition.type_ == kind);
    let found = found.unwrap_or_else(|| panic!("no condition {kind}"));
    (found.status, found.reason, found.message)
}

fn run_id(job: &SessionJob) -> String {
    job.status.clone().unwrap().job_id.unwrap()
}

async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in sluice_api::crds() {
        api.create(&PostParams::default(), &crd).await.unwrap();
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let (clusters, jobs, savepoints): (Api<SessionCluster>, Api<SessionJob>, Api<Savepoint>) = (
        Api::namespaced(client.clone(), NAMESPACE),
        Api::namespaced(client.clone(), NAMESPACE),
        Api::namespaced(client.clone(), NAMESPACE),
    );
    until("the kinds are served", async || {
        let one = ListParams::default().limit(1);
        let served = clusters.list(&one).await.is_ok()
            && jobs.list(&one).await.is_ok()
            && savepoints.list(&one).await.is_ok();
        (served, ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_jobs_run_on_a_real_flink() {
    let Some(here) = FlinkHere::obtain("1.20").await else {
        return;
    };
    let assets = match Assets::obtain(&AssetsCache::Default, Binary::ALL).await {
        Ok(assets) => assets,
        Err(error) if std::env::var("SLUICE_REQUIRE").as_deref() != Ok("all") => {
            eprintln!("skipped: {error}");
            return;
        }
        Err(error) => panic!("no control plane: {error}"),
    };
    let state = tempfile::tempdir().unwrap();
    let (cluster, flink) = tokio::join!(
        Cluster::start(ClusterOptions::new(assets)),
        here.start(state.path(), 6)
    );
    let (cluster, flink) = (cluster.unwrap(), flink.unwrap());
    let client = cluster.client().await.unwrap();
    install(&client).await;
    let asked = Arc::default();
    let scene = Scene {
        address: Arc::new(Mutex::new(flink.address())),
        jar: format!("{}/jobs.jar", serve(&here.jobs, Arc::clone(&asked)).await),
        asked,
        client: client.clone(),
        begun: Instant::now(),
    };
    let clusters: Api<SessionCluster> = Api::namespaced(client.clone(), NAMESPACE);
    let made: SessionCluster = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "c", "namespace": NAMESPACE},
        "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 1, "flinkConfiguration": {
            "state.savepoints.dir": format!("file://{}/savepoints", state.path().display())}}}))
    .unwrap();
    clusters
        .create(&PostParams::default(), &made)
        .await
        .unwrap();

    // Every point at which a job of this name is worked on ends the work there once, for each generation of it.
    let ended: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let address = Arc::clone(&scene.address);
    let jobs = SessionJobs::new(client.clone(), "test", Reach::Anywhere)
        .unwrap()
        .resolver(Arc::new(move |_| {
            let address = address.lock().unwrap().clone();
            async move { Ok(Some(address)) }.boxed()
        }));
    let flink_http = FlinkHttp::new(Timeouts::default()).unwrap();
    let died: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let savepoints = {
        let died = Arc::clone(&died);
        Savepoints::new(client.clone(), flink_http, "test")
            .session_jobs(jobs.whose())
            .probe(Arc::new(move |savepoint, point| {
                let state = savepoint.status.as_ref().and_then(|status| status.state);
                savepoint.name_any() != "mortal"
                    || !died.lock().unwrap().insert(format!("{state:?} {point}"))
            }))
    };
    let meanwhile: Arc<Mutex<Meanwhile>> = Arc::default();
    let controller = jobs.probe(probe(
        scene.jobs(),
        Arc::clone(&meanwhile),
        Arc::clone(&ended),
    ));
    let (clusters, watch_clusters) = session_cluster::run::all(client.clone());
    let running = tokio::spawn(async move {
        tokio::select! {
            biased;
            () = controller.run(&clusters) => {}
            () = savepoints.run() => {}
            () = watch_clusters => {}
        }
    });

    waits_for_its_cluster(&scene).await;
    survives(&scene, &flink).await;
    savepoints_on_demand(&scene, &flink, &died).await;
    last_state(&scene, &flink).await;
    fails(&scene).await;
    let version = finishes(&scene, &flink).await;
    finishes_twice(&scene, &flink).await;
    is_labelled_meanwhile(&scene, &meanwhile).await;
    dies_everywhere(&scene, &flink, &ended).await;
    let finished = scene.jobs().get("finishing").await.unwrap();
    assert_eq!(
        finished.resource_version(),
        version,
        "nothing is written about a job that has finished"
    );
    let flink = cluster_stops(&scene, flink, &here, state.path()).await;
    is_deleted(&scene, &flink).await;

    running.abort();
    flink.stop().await;
    cluster.stop().await.unwrap();
}

/// What happens to jobs by their names while the controller is at work on them.
fn probe(
    jobs: Api<SessionJob>,
    meanwhile: Arc<Mutex<Meanwhile>>,
    ended: Arc<Mutex<BTreeSet<String>>>,
) -> Probe {
    Arc::new(move |job, point| {
        if job.name_any() == "labelled" {
            meanwhile.lock().unwrap().happens(&jobs, point);
        }
        let status = job.status.clone().unwrap_or_default();
        job.name_any() != "mortal"
            || !ended.lock().unwrap().insert(format!(
                "{:?} {:?} {point}",
                job.metadata.generation,
                status.operation.and_then(|operation| operation.kind)
            ))
    })
}

/// A job waits for its session cluster, and says so; without jarUri its class comes from the cluster's class path.
async fn waits_for_its_cluster(scene: &Scene) {
    scene
        .create(
            "quiet",
            json!({"sessionClusterName": "c", "job": {"entryClass": "dev.sluice.jobs.CountingJob", "args": ["--rate", 20]}}),
        )
        .await;
    let job = scene.becomes("quiet", DeploymentState::Transitioning).await;
    let (status, reason, message) = condition(&job, "SessionClusterNotReady");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Stopped"));
    assert_eq!(
        message,
        "SessionCluster c is not started yet; the job starts when it is RUNNING (spec.state)."
    );
    scene.cluster_is(SessionClusterState::Running).await;
    let job = scene.becomes("quiet", DeploymentState::Running).await;
    assert_eq!(condition(&job, "Ready").0, "True");
    assert_eq!(condition(&job, "SessionClusterNotReady").0, "False");
    scene.told("a job without jarUri runs");
}

/// Suspend takes a savepoint, resume starts from it, and so does an upgrade: the counter proves it.
async fn survives(scene: &Scene, flink: &LocalFlink) {
    let job = json!({"entryClass": "dev.sluice.jobs.CountingJob", "jarUri": scene.jar, "parallelism": 1,
        "args": ["--rate", "50", "--checkpoint", "300"]});
    scene
        .create("counting", json!({"sessionClusterName": "c", "job": job}))
        .await;
    let first = scene.becomes("counting", DeploymentState::Running).await;
    scene.told("a job with jarUri runs");
    scene.counted(flink, &run_id(&first), 20).await;

    scene.patch("counting", json!({"state": "SUSPENDED"})).await;
    let suspended = scene.becomes("counting", DeploymentState::Suspended).await;
    scene.told("it is suspended");
    let counted = at_the_end(flink, &run_id(&first), "count").await;
    assert!(counted >= 20, "{counted}");
    let savepoints: Api<Savepoint> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let savepoint = savepoints.get("counting-1-savepoint").await.unwrap();
    let status = savepoint.status.unwrap();
    assert_eq!(savepoint.spec.origin, Some(SavepointOrigin::Suspend));
    assert_eq!(savepoint.spec.session_job_name.as_deref(), Some("counting"));
    assert_eq!(status.state, Some(SavepointState::Completed));
    assert_eq!(
        status.location,
        suspended.status.clone().unwrap().snapshot_location
    );
    let folder = status.location.unwrap();
    assert!(
        Path::new(folder.trim_start_matches("file:")).is_dir(),
        "{folder}"
    );
    assert_eq!(condition(&suspended, "Ready").1, "Suspended");

    scene.patch("counting", json!({"state": "RUNNING"})).await;
    let second = scene.becomes("counting", DeploymentState::Running).await;
    assert_ne!(run_id(&first), run_id(&second));
    scene.counted(flink, &run_id(&second), counted + 1).await;
    assert_eq!(
        flink.counter(&run_id(&second), "restored").await.unwrap(),
        counted
    );
    scene.told("it goes on from where it was");

    scene
        .patch(
            "counting",
            json!({"job": {"args": ["--rate", "40", "--checkpoint", "300"]}}),
        )
        .await;
    let third = until("the upgrade runs", async || {
        let job = scene.jobs().get("counting").await.unwrap();
        let status = job.status.clone().unwrap();
        (
            status.run == Some(3) && status.state == Some(DeploymentState::Running),
            job,
        )
    })
    .await;
    let before = at_the_end(flink, &run_id(&second), "count").await;
    scene.counted(flink, &run_id(&third), before + 1).await;
    assert_eq!(
        flink.counter(&run_id(&third), "restored").await.unwrap(),
        before
    );
    scene.told("an upgrade keeps the state");
    let told: Vec<String> = scene
        .events("counting")
        .await
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(
        told,
        [
            "Starting",
            "Started",
            "Suspending",
            "Suspended",
            "Starting",
            "Started",
            "Upgrading",
            "Starting",
            "Started"
        ]
    );
}

/// A Savepoint that a user creates is taken once, however often the controller dies meanwhile, while the job runs on; one that
/// cannot be taken says why, in Flink's words where they are Flink's.
async fn savepoints_on_demand(scene: &Scene, flink: &LocalFlink, died: &Mutex<BTreeSet<String>>) {
    let api: Api<Savepoint> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let ask = async |name: &str, job: &str| {
        let wanted: Savepoint = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint",
            "metadata": {"name": name, "namespace": NAMESPACE}, "spec": {"sessionJobName": job}}))
        .unwrap();
        api.create(&PostParams::default(), &wanted).await.unwrap();
        until(&format!("Savepoint {name} is over"), async || {
            let status = api.get(name).await.unwrap().status.unwrap_or_default();
            let over = matches!(
                status.state,
                Some(SavepointState::Completed | SavepointState::Failed)
            );
            (over, status)
        })
        .await
    };
    let before = scene.becomes("counting", DeploymentState::Running).await;
    for name in ["asked", "mortal"] {
        let status = ask(name, "counting").await;
        assert_eq!(status.state, Some(SavepointState::Completed), "{status:#?}");
        assert_eq!(status.job_id.as_deref(), Some(run_id(&before).as_str()));
        let folder = status.location.unwrap();
        let folder = Path::new(folder.trim_start_matches("file:"));
        assert!(folder.join("_metadata").is_file(), "{}", folder.display());
        let own = folder.parent().unwrap();
        let taken = std::fs::read_dir(own).unwrap().count();
        assert_eq!(taken, 1, "one savepoint is in {}", own.display());
    }
    let died: Vec<String> = died.lock().unwrap().iter().cloned().collect();
    assert_eq!(
        died,
        [
            "Some(Completed) savepoint status written",
            "Some(Started) savepoint asked for",
            "Some(Started) savepoint status written"
        ]
    );
    let told: Vec<String> = scene
        .events("asked")
        .await
        .into_iter()
        .map(|(reason, _)| reason)
        .collect();
    assert_eq!(told, ["SavepointStarted", "SavepointCompleted"]);
    let after = scene.jobs().get("counting").await.unwrap();
    assert_eq!(run_id(&after), run_id(&before), "the job runs on");
    assert_eq!(after.metadata.generation, before.metadata.generation);
    let states = flink.jobs().await.unwrap();
    assert!(
        states.contains(&(run_id(&before), "RUNNING".into())),
        "{states:?}"
    );
    scene.told("a savepoint that a user asks for is taken once, and the job runs on");

    let job = json!({"entryClass": "dev.sluice.jobs.CountingJob", "args": ["--rate", "20"]});
    scene
        .create(
            "unwritable",
            json!({"sessionClusterName": "c", "job": job, "flinkConfiguration": {"state.savepoints.dir": "file:///proc/nowhere"}}),
        )
        .await;
    scene.becomes("unwritable", DeploymentState::Running).await;
    let failure = ask("cannot", "unwritable").await.failure.unwrap();
    assert_eq!(failure.reason, "SavepointCreationFailed");
    assert!(
        failure.message.contains("/proc/nowhere") && !failure.message.contains("\tat "),
        "{}",
        failure.message
    );
    scene
        .patch("unwritable", json!({"state": "CANCELLED"}))
        .await;
    scene
        .becomes("unwritable", DeploymentState::Cancelled)
        .await;
    let failure = ask("too-late", "unwritable").await.failure.unwrap();
    assert_eq!(failure.reason, "JobNotRunning");
    assert_eq!(
        failure.message,
        "SessionJob unwritable does not run: it is CANCELLED. Create another Savepoint when it runs; this one is not tried again."
    );
    scene.told(&format!(
        "one that cannot be taken says why: {}",
        failure.message
    ));
}

/// STATELESS with LATEST_STATE is what others call last-state: cancelled, then started from the checkpoint that is left.
async fn last_state(scene: &Scene, flink: &LocalFlink) {
    let job = json!({"entryClass": "dev.sluice.jobs.CountingJob", "jarUri": scene.jar,
        "args": ["--rate", "50"]});
    scene
        .create(
            "last",
            json!({"sessionClusterName": "c", "job": job, "upgradeStrategy": {"kind": "STATELESS"},
                "flinkConfiguration": {"execution.checkpointing.interval": "200 ms"}}),
        )
        .await;
    let first = scene.becomes("last", DeploymentState::Running).await;
    scene.counted(flink, &run_id(&first), 30).await;
    // Its own configuration is all that makes it take checkpoints.
    scene.patch("last", json!({"restartNonce": 1})).await;
    let second = until("it runs again", async || {
        let job = scene.jobs().get("last").await.unwrap();
        let status = job.status.clone().unwrap();
        (
            status.run == Some(2) && status.state == Some(DeploymentState::Running),
            job,
        )
    })
    .await;
    let restored = until("it was restored", async || {
        let restored = flink
            .counter(&run_id(&second), "restored")
            .await
            .unwrap_or_default();
        (restored > 0, restored)
    })
    .await;
    assert!(restored >= 20, "{restored}");
    let states = flink.jobs().await.unwrap();
    assert!(
        states.contains(&(run_id(&first), "CANCELED".to_owned())),
        "{states:?}"
    );
    let savepoints: Api<Savepoint> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let kept = savepoints.get("last-1-checkpoint").await.unwrap();
    assert_eq!(kept.spec.origin, Some(SavepointOrigin::RetainedCheckpoint));
    scene.told("last-state restores the retained checkpoint");
    scene.patch("last", json!({"state": "CANCELLED"})).await;
    let cancelled = scene.becomes("last", DeploymentState::Cancelled).await;
    assert_eq!(condition(&cancelled, "Ready").1, "Cancelled");
    scene.told("it is cancelled");
}

/// A job that fails, in its main method or later, says why in Flink's own words.
async fn fails(scene: &Scene) {
    let spec = |args: Value| json!({"sessionClusterName": "c", "job": {"entryClass": "dev.sluice.jobs.FailingJob", "jarUri": scene.jar, "args": args}});
    scene.create("failing", spec(json!(["--after", "2"]))).await;
    scene
        .create("failing-main", spec(json!(["--main", "1"])))
        .await;
    let job = scene.becomes("failing", DeploymentState::Failed).await;
    let failure = job.status.clone().unwrap().failure.unwrap();
    assert_eq!(failure.reason, "JobFailed");
    assert!(failure.message.contains(CAUSE), "{}", failure.message);
    assert!(!failure.message.contains("\tat "), "{}", failure.message);
    assert_eq!(
        condition(&job, "Ready"),
        ("False".into(), "JobFailed".into(), failure.message.clone())
    );
    let told = scene.events("failing").await;
    assert!(
        told.iter()
            .any(|(reason, note)| reason == "TransitionFailed" && note.contains(CAUSE)),
        "{told:?}"
    );
    scene.told("a job that fails says why");
    let job = scene.becomes("failing-main", DeploymentState::Failed).await;
    let failure = job.status.clone().unwrap().failure.unwrap();
    assert_eq!(failure.reason, "JobCreationFailed");
    assert_eq!(
        failure.message,
        format!("The job could not be started in 4 attempts: IllegalStateException: {CAUSE}")
    );
    scene.told("a program that fails says why, after four attempts");
    // What was wrong is put right, and it runs: it failed before its first snapshot, as Flink itself would begin again.
    scene
        .patch(
            "failing-main",
            json!({"job": {"entryClass": "dev.sluice.jobs.CountingJob", "args": []}}),
        )
        .await;
    scene
        .becomes("failing-main", DeploymentState::Running)
        .await;
    scene
        .patch("failing-main", json!({"state": "CANCELLED"}))
        .await;
    scene
        .becomes("failing-main", DeploymentState::Cancelled)
        .await;
}

/// A bounded job finishes and is told to have; returns the version of that, after which nothing more is to be written.
async fn finishes(scene: &Scene, flink: &LocalFlink) -> Option<String> {
    scene
        .create(
            "finishing",
            json!({"sessionClusterName": "c", "job": {"entryClass": "dev.sluice.jobs.FinishingJob",
                "args": ["--limit", "20", "--rate", "100"]}}),
        )
        .await;
    let job = scene.becomes("finishing", DeploymentState::Finished).await;
    assert_eq!(condition(&job, "Ready").1, "Finished");
    assert_eq!(at_the_end(flink, &run_id(&job), "count").await, 20);
    scene.told("a bounded job finishes");
    job.resource_version()
}

/// A bounded job that has taken checkpoints can be run again: Flink has deleted them with its end, and nothing is started from them.
async fn finishes_twice(scene: &Scene, flink: &LocalFlink) {
    scene
        .create(
            "twice",
            json!({"sessionClusterName": "c", "job": {"entryClass": "dev.sluice.jobs.FinishingJob",
                "args": ["--limit", "250", "--rate", "50", "--checkpoint", "200"]}}),
        )
        .await;
    until("a checkpoint is known", async || {
        let status = scene.jobs().get("twice").await.unwrap().status;
        let location = status.unwrap_or_default().snapshot_location;
        let location = location.unwrap_or_default();
        (location.contains("/chk-"), location)
    })
    .await;
    let first = scene.becomes("twice", DeploymentState::Finished).await;
    assert_eq!(first.status.unwrap().snapshot_location, None);
    scene.patch("twice", json!({"restartNonce": 1})).await;
    let second = until("it has finished again", async || {
        let job = scene.jobs().get("twice").await.unwrap();
        let status = job.status.clone().unwrap();
        let done = status.run == Some(2) && status.state == Some(DeploymentState::Finished);
        (done, job)
    })
    .await;
    assert_eq!(at_the_end(flink, &run_id(&second), "count").await, 250);
    scene.told("a bounded job that took checkpoints is run again, from its beginning");
}

/// What a job goes through that is given a label while its jar is on its way, which takes two seconds.
#[derive(Default)]
struct Meanwhile {
    /// When it had come, each time, in seconds since 1970.
    uploaded: Vec<i64>,
    /// What was stored as the begin of the submission when Flink had answered.
    begun: Option<i64>,
}

impl Meanwhile {
    fn happens(&mut self, jobs: &Api<SessionJob>, point: &str) {
        let now = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| match point {
            "jar uploaded" => {
                std::thread::sleep(Duration::from_secs(2));
                let since = std::time::UNIX_EPOCH.elapsed().unwrap();
                self.uploaded.push(since.as_secs().try_into().unwrap());
                if self.uploaded.len() == 1 {
                    let label = json!({"metadata": {"labels": {"team": "a"}}});
                    let label = Patch::Merge(&label);
                    let params = PatchParams::default();
                    now.block_on(jobs.patch("labelled", &params, &label))
                        .unwrap();
                }
            }
            "jar run" => {
                let stored = now.block_on(jobs.get("labelled")).unwrap();
                let operation = stored.status.and_then(|status| status.operation);
                let begun = operation.and_then(|operation| operation.started_at);
                self.begun = begun.map(|begun| begun.0.as_second());
            }
            _ => {}
        });
    }
}

/// An edit that is none of the job's spec costs no second fetch; and what is stored when Flink is asked is when it was asked, however long
/// the jar took.
async fn is_labelled_meanwhile(scene: &Scene, meanwhile: &Mutex<Meanwhile>) {
    let jar = scene.jar.replace("jobs.jar", "labelled.jar");
    let job = json!({"entryClass": "dev.sluice.jobs.CountingJob", "jarUri": jar});
    scene
        .create("labelled", json!({"sessionClusterName": "c", "job": job}))
        .await;
    scene.becomes("labelled", DeploymentState::Running).await;
    let fetched = scene.asked.lock().unwrap().clone();
    let fetched = fetched.iter().filter(|line| line.contains("labelled.jar"));
    assert_eq!(fetched.count(), 1, "the jar stayed");
    {
        let seen = meanwhile.lock().unwrap();
        assert_eq!(seen.uploaded.len(), 2);
        assert!(seen.begun >= seen.uploaded.last().copied());
    }
    scene.told("a label that is set while a jar comes does not bring it twice");
    scene.patch("labelled", json!({"state": "CANCELLED"})).await;
    scene.becomes("labelled", DeploymentState::Cancelled).await;
}

/// A job whose controller dies after every single write and call: never submitted twice, and no savepoint lost.
async fn dies_everywhere(scene: &Scene, flink: &LocalFlink, ended: &Mutex<BTreeSet<String>>) {
    let before = flink.jobs().await.unwrap().len();
    let job = json!({"entryClass": "dev.sluice.jobs.CountingJob", "jarUri": scene.jar,
        "args": ["--rate", "50", "--checkpoint", "300"]});
    scene
        .create("mortal", json!({"sessionClusterName": "c", "job": job}))
        .await;
    let first = scene.becomes("mortal", DeploymentState::Running).await;
    scene.counted(flink, &run_id(&first), 20).await;
    scene.patch("mortal", json!({"state": "SUSPENDED"})).await;
    scene.becomes("mortal", DeploymentState::Suspended).await;
    let counted = at_the_end(flink, &run_id(&first), "count").await;
    scene.patch("mortal", json!({"state": "RUNNING"})).await;
    let second = scene.becomes("mortal", DeploymentState::Running).await;
    scene.counted(flink, &run_id(&second), counted + 1).await;
    assert_eq!(
        flink.counter(&run_id(&second), "restored").await.unwrap(),
        counted
    );
    scene.patch("mortal", json!({"state": "CANCELLED"})).await;
    scene.becomes("mortal", DeploymentState::Cancelled).await;
    let jobs = flink.jobs().await.unwrap();
    assert_eq!(jobs.len(), before + 2, "two runs, two jobs: {jobs:?}");
    let ended = ended.lock().unwrap().clone();
    let points: BTreeSet<&str> = ended
        .iter()
        .filter_map(|key| key.split("\") ").last())
        .collect();
    scene.told(&format!(
        "the controller died {} times: {ended:#?}",
        ended.len()
    ));
    for point in [
        "status written",
        "jar uploaded",
        "jar run",
        "stop asked for",
        "cancellation asked for",
        "Savepoint created",
        "Savepoint completed",
    ] {
        assert!(
            points.iter().any(|seen| seen.ends_with(point)),
            "{point} is not in {points:?}"
        );
    }
    assert!(ended.len() >= 14, "{ended:#?}");
}

/// A session cluster that stops marks its jobs, and they start again with it from their newest snapshot; a job without one
/// does not start empty by itself.
async fn cluster_stops(
    scene: &Scene,
    flink: LocalFlink,
    here: &FlinkHere,
    state: &Path,
) -> LocalFlink {
    let counting = scene.becomes("counting", DeploymentState::Running).await;
    let seen = until("a checkpoint is known", async || {
        let status = scene.jobs().get("counting").await.unwrap().status.unwrap();
        let location = status.snapshot_location.unwrap_or_default();
        (location.contains("/chk-"), location)
    })
    .await;
    scene.cluster_is(SessionClusterState::Stopping).await;
    flink.stop().await;
    scene.cluster_is(SessionClusterState::Stopped).await;
    let waiting = scene
        .becomes("counting", DeploymentState::Transitioning)
        .await;
    assert_eq!(condition(&waiting, "SessionClusterNotReady").0, "True");
    assert_eq!(condition(&waiting, "Ready").0, "False");
    scene.told("the jobs of a stopped session cluster are marked");

    let flink = here.start(state, 6).await.unwrap();
    *scene.address.lock().unwrap() = flink.address();
    scene.cluster_is(SessionClusterState::Running).await;
    let lost = scene.becomes("quiet", DeploymentState::Failed).await;
    assert_eq!(
        lost.status.clone().unwrap().failure.unwrap().reason,
        "NoState"
    );
    // An Event is written after the status that it tells of.
    until("an Event says NoState", async || {
        let told = scene.events("quiet").await;
        (told.iter().any(|(reason, _)| reason == "NoState"), told)
    })
    .await;
    let again = scene.becomes("counting", DeploymentState::Running).await;
    assert_ne!(run_id(&again), run_id(&counting));
    let restored = until("it was restored", async || {
        let restored = flink
            .counter(&run_id(&again), "restored")
            .await
            .unwrap_or_default();
        (restored > 0, restored)
    })
    .await;
    scene.told(&format!("with its session cluster a job starts again from its newest snapshot ({seen}, count {restored})"));
    let told = scene.events("counting").await;
    assert!(
        told.iter().any(|(reason, _)| reason == "Recovering"),
        "{told:?}"
    );
    // Bringing a snapshot in is enough, without a change of the job; this one does not exist, so Flink refuses to start.
    let savepoints: Api<Savepoint> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let brought: Savepoint = serde_json::from_value(
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint",
        "metadata": {"name": "brought", "namespace": NAMESPACE},
        "spec": {"sessionJobName": "quiet", "savepointLocation": "file:///nowhere/savepoint-1"}}),
    )
    .unwrap();
    savepoints
        .create(&PostParams::default(), &brought)
        .await
        .unwrap();
    until("the snapshot that was brought in is tried", async || {
        let failure = scene
            .jobs()
            .get("quiet")
            .await
            .unwrap()
            .status
            .unwrap()
            .failure;
        let failure = failure.map(|failure| failure.message).unwrap_or_default();
        (failure.contains("/nowhere/savepoint-1"), failure)
    })
    .await;
    let brought = savepoints.get("brought").await.unwrap();
    assert_eq!(
        brought.status.unwrap().state,
        Some(SavepointState::Completed)
    );
    scene
        .patch("quiet", json!({"restoreStrategy": {"kind": "NONE"}}))
        .await;
    scene.becomes("quiet", DeploymentState::Running).await;
    scene.told("a job without state starts empty when it is told to");
    flink
}

/// Deletion cancels, then lets go.
async fn is_deleted(scene: &Scene, flink: &LocalFlink) {
    let id = run_id(&scene.jobs().get("counting").await.unwrap());
    scene
        .jobs()
        .delete("counting", &DeleteParams::default())
        .await
        .unwrap();
    until("it is gone", async || {
        let there = scene.jobs().get_opt("counting").await.unwrap();
        (there.is_none(), there)
    })
    .await;
    let jobs = flink.jobs().await.unwrap();
    assert!(jobs.contains(&(id, "CANCELED".to_owned())), "{jobs:?}");
    scene.told("a deleted job is cancelled first");
}
