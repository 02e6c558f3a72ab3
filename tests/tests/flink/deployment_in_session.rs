//! Deployments on a session cluster (`sessionClusterName`): a real API server with a real job controller, and a real Flink on loopback
//! that plays the session cluster. Pods are not run: what a Deployment gets off the session cluster is seen in its records. One test, so
//! that both are started once; each part says what it proves.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use sluice_api::{
    Deployment, DeploymentState, Job, Savepoint, SavepointState, SessionCluster,
    SessionClusterState, SessionJob,
};
use sluice_cluster::ControllerManager;
use sluice_controller::deployment::run::Deployments;
use sluice_controller::fetch::Reach;
use sluice_controller::flink::{FlinkHttp, Timeouts};
use sluice_controller::objects::BuildSettings;
use sluice_controller::savepoint::Savepoints;
use sluice_controller::session_cluster;
use sluice_controller::session_job::run::SessionJobs;
use sluice_tests::{FlinkHere, LocalFlink, Stage};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, interval};

const NAMESPACE: &str = "team-a";
const PATIENCE: Duration = Duration::from_mins(2);

/// Serves one file at every path.
async fn serve(file: &Path) -> String {
    let body = std::fs::read(file).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let body = body.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
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

struct Scene<'f> {
    client: Client,
    flink: &'f LocalFlink,
    jar: String,
    begun: Instant,
}

impl Scene<'_> {
    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn session_jobs(&self) -> Api<SessionJob> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }

    fn told(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.begun.elapsed().as_secs_f32());
    }

    /// Waits until a condition holds; at every look no two jobs are live, for only one Deployment asks to run at a time.
    async fn until<T: std::fmt::Debug>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> (bool, T),
    ) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut every = interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            let live = self.live().await;
            assert!(live.len() <= 1, "two jobs at once: {live:?}");
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

    async fn live(&self) -> Vec<String> {
        let all = self.flink.jobs().await.unwrap_or_default();
        let live = all
            .into_iter()
            .filter(|(_, state)| !matches!(state.as_str(), "FINISHED" | "CANCELED" | "FAILED"));
        live.map(|(id, _)| id).collect()
    }

    async fn create(&self, name: &str, class: &str, args: &str) {
        let deployment: Deployment = serde_json::from_value(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"state": "RUNNING", "sessionClusterName": "c", "template": {"spec": {
                "artifact": {"kind": "JAR", "flinkVersion": "1.20", "jarUri": self.jar, "mainArgs": args,
                    "entryClass": format!("dev.sluice.jobs.{class}")},
                "parallelism": 1, "numberOfTaskManagers": 1,
                "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}}}}}}))
        .unwrap();
        let params = PostParams::default();
        self.deployments()
            .create(&params, &deployment)
            .await
            .unwrap();
    }

    async fn patch(&self, name: &str, spec: Value) {
        let patch = Patch::Merge(json!({ "spec": spec }));
        let params = PatchParams::default();
        self.deployments()
            .patch(name, &params, &patch)
            .await
            .unwrap();
    }

    /// Waits until the status says this state about the newest spec.
    async fn becomes(&self, name: &str, state: DeploymentState) -> Deployment {
        self.until(&format!("{name} is {state}"), async || {
            let deployment = self.deployments().get(name).await.unwrap();
            let status = deployment.status.clone().unwrap_or_default();
            let done = status.state == Some(state)
                && status.operation.is_none()
                && status.observed_generation == deployment.metadata.generation;
            (done, deployment)
        })
        .await
    }

    async fn counts(&self, deployment: &Deployment, name: &str, at_least: i64) -> i64 {
        let id = run_id(deployment);
        self.until("the job counts", async || {
            let count = self.flink.counter(&id, name).await.unwrap_or_default();
            (count >= at_least, count)
        })
        .await
    }

    async fn cluster_is(&self, state: SessionClusterState) {
        let api: Api<SessionCluster> = Api::namespaced(self.client.clone(), NAMESPACE);
        let patch = Patch::Merge(json!({"status": {"state": state}}));
        api.patch_status("c", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    async fn savepoints(&self, name: &str) -> Vec<Savepoint> {
        let api: Api<Savepoint> = Api::namespaced(self.client.clone(), NAMESPACE);
        let only = ListParams::default().fields(&format!("spec.deploymentName={name}"));
        api.list(&only).await.unwrap().items
    }

    async fn events(&self, name: &str) -> Vec<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), NAMESPACE);
        let mut all = api.list(&ListParams::default()).await.unwrap().items;
        all.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        let about = |event: &Event| {
            event.regarding.as_ref().is_some_and(|about| {
                about.name.as_deref() == Some(name) && about.kind.as_deref() == Some("Deployment")
            })
        };
        let told = all.into_iter().filter(about);
        told.map(|event| event.reason.unwrap_or_default()).collect()
    }

    async fn goes(&self, name: &str) {
        let params = DeleteParams::default();
        self.deployments().delete(name, &params).await.unwrap();
        self.until(&format!("{name} is gone"), async || {
            let deployment = self.deployments().get_opt(name).await.unwrap();
            let job = self.session_jobs().get_opt(name).await.unwrap();
            if deployment.is_none() {
                assert!(job.is_none(), "its SessionJob goes first");
                assert_eq!(self.live().await, [""; 0], "and its job before that");
            }
            (deployment.is_none(), ())
        })
        .await;
    }
}

fn run_id(deployment: &Deployment) -> String {
    let running = deployment.status.clone().unwrap().running;
    running.unwrap().job_id.unwrap()
}

fn condition(deployment: &Deployment, kind: &str) -> (String, String, String) {
    let all = deployment.status.clone().unwrap().conditions;
    let found = all.into_iter().find(|one| one.type_ == kind);
    let found = found.unwrap_or_else(|| panic!("no condition {kind}: {deployment:#?}"));
    (found.status, found.reason, found.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_run_on_session_clusters() {
    let Some(here) = FlinkHere::obtain("1.20").await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (stage, flink) = tokio::join!(
        // Its garbage collector takes what Deployments leave.
        Stage::set_with(|options| options.controller_manager(ControllerManager::Run)),
        here.start(folder.path(), 4)
    );
    let (stage, flink) = (stage.unwrap(), flink.unwrap());
    let Some(stage) = stage else {
        flink.stop().await;
        return;
    };
    stage.namespace(NAMESPACE, &[]).await.unwrap();
    let client = stage.client.clone();
    let scene = Scene {
        jar: format!("{}/jobs.jar", serve(&here.jobs).await),
        client: client.clone(),
        flink: &flink,
        begun: Instant::now(),
    };
    let address = flink.address();
    let jobs = SessionJobs::new(client.clone(), "test", Reach::Anywhere)
        .unwrap()
        .resolver(Arc::new(move |_| {
            let address = address.clone();
            async move { Ok(Some(address)) }.boxed()
        }));
    // Every point at which this one is worked on ends the work there once, for each generation of it.
    let ended: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let counted = Arc::clone(&ended);
    let flink_http = FlinkHttp::new(Timeouts::default()).unwrap();
    let deployments = Deployments {
        client: client.clone(),
        flink: flink_http.clone(),
        instance: "test".into(),
        build: BuildSettings {
            sluice_image: "example.org/sluice:1".into(),
        },
        address: Arc::new(|_| "http://127.0.0.1:1".to_owned()),
        probe: Some(Arc::new(move |deployment, point| {
            let generation = deployment.metadata.generation;
            deployment.name_any() != "mortal"
                || !counted
                    .lock()
                    .unwrap()
                    .insert(format!("{generation:?} {point}"))
        })),
    };
    let whose = deployments.whose_everywhere(jobs.whose());
    let savepoints = Savepoints::new(client.clone(), flink_http, "test").deployments(whose);
    let (clusters, watch_clusters) = session_cluster::run::all(client.clone());
    let controller = tokio::spawn(async move {
        tokio::select! {
            () = jobs.run(&clusters) => {}
            () = watch_clusters => {}
            () = Box::pin(deployments.run(None)) => {}
            () = savepoints.run() => {}
        }
    });

    Box::pin(waits_for_its_cluster(&scene, folder.path())).await;
    Box::pin(lives(&scene)).await;
    Box::pin(is_refused_a_name_that_is_taken(&scene)).await;
    Box::pin(moves(&scene, folder.path())).await;
    Box::pin(is_recovered(&scene)).await;
    Box::pin(outlives_its_session_job(&scene)).await;
    Box::pin(stays_finished(&scene)).await;
    Box::pin(dies_everywhere(&scene, &ended)).await;

    controller.abort();
    flink.stop().await;
    stage.cluster.stop().await.unwrap();
}

/// The session cluster missing, then stopped: the condition names it and the way out; it starts when the cluster runs.
async fn waits_for_its_cluster(scene: &Scene<'_>, state: &Path) {
    scene
        .create("lives", "CountingJob", "--rate 50 --checkpoint '300'")
        .await;
    let not_ready = async |expected: &str| {
        scene
            .until("it is told that the cluster does not run", async || {
                let deployment = scene.deployments().get("lives").await.unwrap();
                let all = deployment.status.clone().unwrap_or_default().conditions;
                let found = all
                    .into_iter()
                    .find(|one| one.type_ == "SessionClusterNotReady" && one.status == "True");
                let message = found.map(|one| one.message).unwrap_or_default();
                (message == expected, deployment.status)
            })
            .await
    };
    not_ready("There is no SessionCluster c in this namespace; the job starts when there is.")
        .await;
    let clusters: Api<SessionCluster> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let made: SessionCluster = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "c", "namespace": NAMESPACE},
        "spec": {"state": "STOPPED", "flinkVersion": "1.20", "numberOfTaskManagers": 1, "flinkConfiguration": {
            "state.savepoints.dir": format!("file://{}/savepoints", state.display())}}}))
    .unwrap();
    clusters
        .create(&PostParams::default(), &made)
        .await
        .unwrap();
    scene.cluster_is(SessionClusterState::Stopped).await;
    let status =
        not_ready("SessionCluster c is STOPPED; the job starts when it is RUNNING (spec.state).")
            .await;
    assert_eq!(status.unwrap().state, Some(DeploymentState::Transitioning));
    scene.cluster_is(SessionClusterState::Running).await;
    let deployment = scene.becomes("lives", DeploymentState::Running).await;
    assert_eq!(condition(&deployment, "SessionClusterNotReady").0, "False");
    assert_eq!(condition(&deployment, "Ready").0, "True");
    assert_eq!(
        deployment.status.unwrap().allocated_milli,
        Some(0),
        "the cluster has paid"
    );
    scene.told("it waited for its cluster, and runs");
}

/// SUSPENDED, RUNNING, an upgrade, a savepoint on demand, a change by hand, CANCELLED: as a Deployment with a cluster of its own.
async fn lives(scene: &Scene<'_>) {
    let first = scene.becomes("lives", DeploymentState::Running).await;
    let counted = scene.counts(&first, "count", 20).await;
    let api: Api<Savepoint> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let wanted: Savepoint = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint", "metadata": {"name": "asked", "namespace": NAMESPACE},
        "spec": {"deploymentName": "lives"}}))
    .unwrap();
    api.create(&PostParams::default(), &wanted).await.unwrap();
    scene
        .until("the savepoint is taken", async || {
            let status = api.get("asked").await.unwrap().status.unwrap_or_default();
            (status.state == Some(SavepointState::Completed), status)
        })
        .await;
    scene.told("a savepoint was taken on demand");

    scene.patch("lives", json!({"state": "SUSPENDED"})).await;
    let suspended = scene.becomes("lives", DeploymentState::Suspended).await;
    assert_eq!(scene.live().await, [""; 0]);
    let name = suspended.status.unwrap().latest_savepoint_name.unwrap();
    let savepoint = api.get(&name).await.unwrap();
    assert_eq!(savepoint.spec.deployment_name.as_deref(), Some("lives"));
    assert_eq!(savepoint.spec.session_job_name, None);
    assert_eq!(savepoint.owner_references()[0].kind, "Deployment");

    scene.patch("lives", json!({"state": "RUNNING"})).await;
    let second = scene.becomes("lives", DeploymentState::Running).await;
    let restored = scene.counts(&second, "restored", counted).await;
    scene.told(&format!(
        "suspended at {counted} and more, resumed from {restored}"
    ));

    let counted = scene.counts(&second, "count", restored + 10).await;
    let args =
        json!({"template": {"spec": {"artifact": {"mainArgs": "--rate 40 --checkpoint 300"}}}});
    scene.patch("lives", args).await;
    let third = scene.becomes("lives", DeploymentState::Running).await;
    assert_ne!(run_id(&second), run_id(&third));
    let restored = scene.counts(&third, "restored", counted).await;
    scene.told(&format!(
        "upgraded at {counted} and more, goes on from {restored}"
    ));

    // What does not alter the job does not restart it.
    scene
        .patch("lives", json!({"maxJobCreationAttempts": 9, "template": {"spec": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"}}}}))
        .await;
    let same = scene.becomes("lives", DeploymentState::Running).await;
    assert_eq!(run_id(&third), run_id(&same));
    // What somebody changes by hand is taken back.
    let by_hand = Patch::Merge(json!({"spec": {"state": "CANCELLED"}}));
    let params = PatchParams::default();
    let edited = scene
        .session_jobs()
        .patch("lives", &params, &by_hand)
        .await
        .unwrap();
    scene
        .until("the change by hand is taken back", async || {
            let job = scene.session_jobs().get("lives").await.unwrap();
            let is_back = job.metadata.generation > edited.metadata.generation;
            (
                is_back && job.spec.state == Some(sluice_api::DesiredState::Running),
                job,
            )
        })
        .await;
    scene.becomes("lives", DeploymentState::Running).await;

    // A change of mind: only the last word counts.
    scene.patch("lives", json!({"state": "SUSPENDED"})).await;
    scene.patch("lives", json!({"state": "CANCELLED"})).await;
    let cancelled = scene.becomes("lives", DeploymentState::Cancelled).await;
    assert_eq!(scene.live().await, [""; 0]);
    assert_eq!(condition(&cancelled, "Ready").1, "Cancelled");
    let events = scene.events("lives").await;
    for expected in ["Starting", "Started", "Suspended", "Cancelled"] {
        assert!(events.iter().any(|event| event == expected), "{events:?}");
    }
    scene.told("cancelled");
    scene.goes("lives").await;
}

/// A user's own SessionJob of the name is not taken over; when it goes, the Deployment starts.
async fn is_refused_a_name_that_is_taken(scene: &Scene<'_>) {
    let theirs: SessionJob = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob", "metadata": {"name": "taken", "namespace": NAMESPACE},
        "spec": {"state": "CANCELLED", "sessionClusterName": "c", "job": {"entryClass": "dev.sluice.jobs.CountingJob"}}}))
    .unwrap();
    let params = PostParams::default();
    let theirs = scene.session_jobs().create(&params, &theirs).await.unwrap();
    scene.create("taken", "CountingJob", "--rate 50").await;
    let refused = scene.becomes("taken", DeploymentState::Failed).await;
    let (_, reason, message) = condition(&refused, "Ready");
    assert_eq!(reason, "NameTaken");
    assert!(
        message.contains("delete or rename it, or give the Deployment another name"),
        "{message}"
    );
    let now = scene.session_jobs().get("taken").await.unwrap();
    assert_eq!(
        (now.spec, now.metadata.uid),
        (theirs.spec, theirs.metadata.uid)
    );
    let params = DeleteParams::default();
    scene.session_jobs().delete("taken", &params).await.unwrap();
    scene.becomes("taken", DeploymentState::Running).await;
    scene.told("a name that was taken is free, and the job runs");
    scene.goes("taken").await;
}

/// Off the session cluster and back, with the state: while it runs, since a change is an upgrade, and never two jobs at once.
async fn moves(scene: &Scene<'_>, state: &Path) {
    scene
        .create("moves", "CountingJob", "--rate 50 --checkpoint 300")
        .await;
    let first = scene.becomes("moves", DeploymentState::Running).await;
    let counted = scene.counts(&first, "count", 20).await;
    scene
        .patch("moves", json!({"sessionClusterName": null}))
        .await;
    let jobs: Api<Job> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let record = scene
        .until("it starts with a cluster of its own", async || {
            let record = jobs.get_opt("moves-1").await.unwrap();
            if record.is_some() {
                assert_eq!(scene.live().await, [""; 0], "the other one has ended");
                assert!(
                    scene
                        .session_jobs()
                        .get_opt("moves")
                        .await
                        .unwrap()
                        .is_none()
                );
            }
            (record.is_some(), record)
        })
        .await
        .unwrap();
    let location = record.spec.savepoint_location.unwrap();
    assert!(
        location.contains(&state.display().to_string()),
        "{location}"
    );
    let left = scene
        .deployments()
        .get("moves")
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(left.session_job, None);
    assert_eq!(
        left.allocated_milli,
        Some(2000),
        "from now on its pods are counted"
    );
    scene.told(&format!("off the session cluster, starts from {location}"));

    scene
        .patch("moves", json!({"sessionClusterName": "c"}))
        .await;
    let back = scene.becomes("moves", DeploymentState::Running).await;
    let restored = scene.counts(&back, "restored", counted).await;
    assert_eq!(back.status.clone().unwrap().allocated_milli, Some(0));
    let batch: Api<k8s_openapi::api::batch::v1::Job> =
        Api::namespaced(scene.client.clone(), NAMESPACE);
    assert_eq!(
        batch
            .list(&ListParams::default())
            .await
            .unwrap()
            .items
            .len(),
        0
    );
    scene.told(&format!("back on it, from {restored} of {counted}"));
    // Terminal, then elsewhere: nothing is lost, and nothing runs until it is asked to.
    scene.patch("moves", json!({"state": "SUSPENDED"})).await;
    scene.becomes("moves", DeploymentState::Suspended).await;
    scene
        .patch("moves", json!({"sessionClusterName": null}))
        .await;
    let moved = scene.becomes("moves", DeploymentState::Suspended).await;
    assert_eq!(moved.status.unwrap().session_job, None);
    let kept = scene.savepoints("moves").await;
    assert_eq!(kept.len(), 2, "{kept:#?}");
    scene.goes("moves").await;
}

/// "Ververica Platform detects the terminal state and will recover the job according to its RestoreStrategy."
async fn is_recovered(scene: &Scene<'_>) {
    scene.create("fails", "FailingJob", "").await;
    scene
        .until("it has been recovered", async || {
            let status = scene.deployments().get("fails").await.unwrap().status;
            let claim = status.clone().and_then(|status| status.session_job);
            let recoveries = claim.and_then(|claim| claim.recoveries);
            (recoveries >= Some(1), status)
        })
        .await;
    let events = scene.events("fails").await;
    assert!(
        events.iter().any(|event| event == "Recovering"),
        "{events:?}"
    );
    scene.told("a job that Flink gave up was started again");
    // Between two runs: a submission under way would be waited for.
    scene
        .until("it has failed again", async || {
            let deployment = scene.deployments().get("fails").await.unwrap();
            let (_, reason, _) = condition(&deployment, "Ready");
            (reason == "JobFailed", reason)
        })
        .await;
    scene.goes("fails").await;
}

/// Somebody deletes its SessionJob, which cancels the job: it goes on from the checkpoint that this has left.
async fn outlives_its_session_job(scene: &Scene<'_>) {
    scene
        .create("robbed", "CountingJob", "--rate 50 --checkpoint 300")
        .await;
    let first = scene.becomes("robbed", DeploymentState::Running).await;
    scene.counts(&first, "count", 50).await;
    let jobs = scene.session_jobs();
    let uid = jobs.get("robbed").await.unwrap().uid();
    let params = DeleteParams::default();
    jobs.delete("robbed", &params).await.unwrap();
    scene
        .until("it has another SessionJob", async || {
            let job = jobs.get_opt("robbed").await.unwrap();
            (job.as_ref().is_some_and(|job| job.uid() != uid), job)
        })
        .await;
    let second = scene
        .until("it runs again", async || {
            let deployment = scene.deployments().get("robbed").await.unwrap();
            let running = deployment
                .status
                .clone()
                .and_then(|status| status.running?.job_id);
            let is_another = running.is_some_and(|id| id != run_id(&first));
            (is_another, deployment)
        })
        .await;
    let restored = scene.counts(&second, "restored", 1).await;
    assert_eq!(scene.savepoints("robbed").await.len(), 1);
    scene.told(&format!(
        "its SessionJob was deleted, and it goes on from {restored}"
    ));
    scene.goes("robbed").await;
}

/// Somebody deletes the SessionJob of a job that came to its end: it does not run again before somebody asks.
async fn stays_finished(scene: &Scene<'_>) {
    /// Many more than it takes until a deleted SessionJob is made again.
    const LOOKS: u32 = 30;
    scene.create("ends", "FinishingJob", "--rate 100").await;
    scene.becomes("ends", DeploymentState::Finished).await;
    let jobs = scene.session_jobs();
    let params = DeleteParams::default();
    jobs.delete("ends", &params).await.unwrap();
    let mut looks = 0;
    scene
        .until("its SessionJob is gone, and stays so", async || {
            let deployment = scene.deployments().get("ends").await.unwrap();
            let state = deployment.status.unwrap().state;
            assert_eq!(state, Some(DeploymentState::Finished));
            let is_gone = jobs.get_opt("ends").await.unwrap().is_none();
            assert!(is_gone || looks == 0, "it is made again");
            looks += u32::from(is_gone);
            (looks >= LOOKS, looks)
        })
        .await;
    let anew = json!({"restartNonce": 1, "restoreStrategy": {"kind": "NONE"}});
    scene.patch("ends", anew).await;
    scene.becomes("ends", DeploymentState::Finished).await;
    assert!(jobs.get_opt("ends").await.unwrap().is_some());
    scene.told(
        "a job that came to its end does not run again with another SessionJob, unless asked to",
    );
    scene.goes("ends").await;
}

/// Cut off at each point of each transition, it comes to the same.
async fn dies_everywhere(scene: &Scene<'_>, ended: &Mutex<BTreeSet<String>>) {
    scene
        .create("mortal", "CountingJob", "--rate 50 --checkpoint 300")
        .await;
    let first = scene.becomes("mortal", DeploymentState::Running).await;
    scene.told("a mortal one runs");
    let counted = scene.counts(&first, "count", 20).await;
    scene.patch("mortal", json!({"state": "SUSPENDED"})).await;
    scene.becomes("mortal", DeploymentState::Suspended).await;
    scene.told("it is suspended");
    scene
        .patch("mortal", json!({"state": "RUNNING", "restartNonce": 1}))
        .await;
    let second = scene.becomes("mortal", DeploymentState::Running).await;
    let counted = scene.counts(&second, "restored", counted).await;
    scene.told("it runs again");
    scene
        .patch("mortal", json!({"sessionClusterName": null}))
        .await;
    let jobs: Api<Job> = Api::namespaced(scene.client.clone(), NAMESPACE);
    scene
        .until("it starts with a cluster of its own", async || {
            let record = jobs.get_opt("mortal-1").await.unwrap();
            (record.is_some(), record)
        })
        .await;
    scene.told("it is off the session cluster");
    scene
        .patch("mortal", json!({"sessionClusterName": "c"}))
        .await;
    let third = scene.becomes("mortal", DeploymentState::Running).await;
    scene.counts(&third, "restored", counted).await;
    scene.told("it is back");
    scene.goes("mortal").await;
    let ended = ended.lock().unwrap();
    scene.told(&format!("died {} times", ended.len()));
    for point in [
        "finalizers written",
        "SessionJob written",
        "SessionJob deleted",
        "status written",
    ] {
        assert!(
            ended.iter().any(|seen| seen.ends_with(point)),
            "{point}: {ended:?}"
        );
    }
}
