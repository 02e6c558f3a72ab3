//! Deployments on a real API server with a real job controller; kubelet and Flink are played. One test, so that the control
//! plane is started once; each part says what of `vvp-deployments.txt` it proves.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

#[path = "deployments/promises.rs"]
mod promises;
#[path = "deployments/quota.rs"]
mod quota;
#[path = "deployments/scene.rs"]
mod scene;
#[path = "deployments/stage.rs"]
mod stage;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use scene::{Scene, install, ran, ready, until};
use serde_json::json;
use sluice_api::{DeploymentState, JobState, Savepoint, SavepointOrigin, SavepointState};
use sluice_cluster::{Assets, AssetsCache, Binary, Cluster, ClusterOptions, ControllerManager};
use sluice_controller::deployment::reconcile::Probe;
use sluice_controller::deployment::run::Deployments;
use sluice_controller::deployment_target::DeploymentTargets;
use sluice_controller::fetch::Reach;
use sluice_controller::flink::{FlinkHttp, Timeouts};
use sluice_controller::leader::Leadership;
use sluice_controller::ledger::facts::Facts;
use sluice_controller::ledger::{LedgerKeeper, Settings, dialects};
use sluice_controller::objects::BuildSettings;
use sluice_controller::process::{Reconcilers, lead};
use sluice_controller::savepoint::Savepoints;
use sluice_controller::session_cluster::health::Pace;
use sluice_controller::session_cluster::run::SessionClusters;
use sluice_controller::session_job::run::SessionJobs;
use stage::{Play, lock};

/// Times that the controller dies.
const DEATHS: usize = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deployments_live_their_whole_life() {
    let assets = match Assets::obtain(&AssetsCache::Default, Binary::ALL).await {
        Ok(assets) => assets,
        Err(error) if std::env::var("SLUICE_REQUIRE").as_deref() != Ok("all") => {
            eprintln!("skipped: {error}");
            return;
        }
        Err(error) => panic!("no control plane: {error}"),
    };
    let options = ClusterOptions::new(assets).controller_manager(ControllerManager::Run);
    let cluster = Cluster::start(options).await.unwrap();
    let client = cluster.client().await.unwrap();
    install(&client).await;
    let play = Arc::new(Mutex::new(Play::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let stage = Scene {
        namespace: String::new(),
        client: client.clone(),
        play: Arc::clone(&play),
        begun: Instant::now(),
    };
    // Where the controller died, and how often: only while it works on this one.
    let deaths: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let probe = mortal(Arc::clone(&deaths));
    let tasks = [
        tokio::spawn(stage::kubelet(client.clone(), Arc::clone(&play))),
        tokio::spawn(stage::flink(listener, Arc::clone(&play))),
        tokio::spawn(controller(client, address, probe)),
    ];
    let scene = stage.within("team-a", json!({})).await;
    tokio::join!(
        transitions(&scene),
        stateless_from_the_latest_savepoint(&scene),
        savepoint_creation_attempts(&scene),
        job_creation_attempts(&scene),
        recovers_and_finishes(&scene),
        cancellation_fails(&scene),
        savepoints_on_demand(&scene),
        dies_everywhere(&scene, &deaths),
        promises::all(&stage),
        quota::all(&stage),
    );
    assert_eq!(lock(&play).violations, Vec::<String>::new());
    for task in tasks {
        task.abort();
    }
    cluster.stop().await.unwrap();
}

/// Ends the work on the Deployment "mortal": the first time that a point is passed, and later with one chance in four.
fn mortal(deaths: Arc<Mutex<BTreeMap<String, usize>>>) -> Probe {
    let seed = Instant::now().elapsed().as_nanos() ^ u128::from(std::process::id());
    let chance = Mutex::new(u64::try_from(seed).unwrap());
    eprintln!("chance begins with {seed}");
    Arc::new(move |deployment, point| {
        if deployment.name_any() != "mortal" {
            return true;
        }
        let mut chance = chance.lock().unwrap();
        *chance = chance
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let dies = (*chance >> 33) % 4 == 0;
        let mut deaths = deaths.lock().unwrap();
        let times = deaths.entry(point.to_owned()).or_default();
        let dies = dies || *times == 0;
        *times += usize::from(dies);
        !dies
    })
}

/// A whole controller that leads.
async fn controller(client: kube::Client, address: String, probe: Probe) {
    let flink = FlinkHttp::new(Timeouts {
        connect: Duration::from_secs(1),
        call: Duration::from_secs(1),
        ..Timeouts::default()
    })
    .unwrap();
    let deployments = Deployments {
        client: client.clone(),
        flink: flink.clone(),
        instance: "test".into(),
        build: BuildSettings {
            sluice_image: "example.org/sluice:1".into(),
        },
        address: Arc::new(move |ip| format!("{address}/{ip}")),
        probe: Some(probe),
    };
    let jobs = SessionJobs::new(client.clone(), "test", Reach::Anywhere).unwrap();
    let all = Reconcilers {
        clusters: SessionClusters {
            client: client.clone(),
            flink: flink.clone(),
            instance: "test".into(),
            build: deployments.build.clone(),
            address: Arc::clone(&deployments.address),
            pace: Pace::default(),
        },
        savepoints: Savepoints::new(client.clone(), flink, "test")
            .session_jobs(jobs.whose())
            .deployments(deployments.whose()),
        targets: DeploymentTargets::new(client.clone(), "test"),
        jobs,
        deployments,
    };
    let resources = dialects::resources();
    let facts = Arc::new(Facts::of(&resources));
    let charging = Arc::clone(&facts);
    let keeper = LedgerKeeper {
        client,
        resources,
        charge: Arc::new(move |resource, object| charging.charge(resource, object)),
        facts: Some(facts),
        sightings: Arc::default(),
        settings: Settings::default(),
    };
    Box::pin(lead(&keeper, &all, Leadership::always())).await;
}

/// RUNNING, SUSPENDED, RUNNING from the savepoint, a stateful upgrade, CANCELLED, RUNNING from the retained checkpoint.
async fn transitions(scene: &Scene) {
    scene.create("life", json!({})).await;
    let (first, _) = scene.runs("life", 1).await;
    let status = first.status.clone().unwrap();
    let record = scene.job("life-1").await;
    assert_eq!(ran(&record), JobState::Started);
    assert_eq!(
        serde_json::to_value(record.spec.template.clone().unwrap()).unwrap(),
        serde_json::to_value(first.spec.template.clone().unwrap()).unwrap(),
        "the frozen spec"
    );
    let running = status.running.clone().unwrap();
    assert_eq!(
        running.job_id.unwrap(),
        record.uid().unwrap().replace('-', "")
    );
    assert!(running.transition_time.is_some());
    assert_eq!(status.allocated_milli, Some(2000));
    assert_eq!(ready(&first).0, "True");
    scene.counts("life", 7).await;
    scene.told("a Deployment runs, with the record of its job");

    scene.patch("life", json!({"state": "SUSPENDED"})).await;
    let suspended = scene.becomes("life", DeploymentState::Suspended).await;
    let end = scene.ended(&suspended);
    assert_eq!(end.state, "FINISHED");
    assert_eq!(ran(&scene.job("life-1").await), JobState::Finished);
    assert_eq!(scene.pods("life").await, 0, "all resources are deallocated");
    assert_eq!(suspended.status.clone().unwrap().allocated_milli, Some(0));
    let savepoints = scene.savepoints("life").await;
    assert_eq!(savepoints.len(), 1, "{savepoints:#?}");
    assert_eq!(savepoints[0].spec.origin, Some(SavepointOrigin::Suspend));
    assert_eq!(
        savepoints[0].status.clone().unwrap().state,
        Some(SavepointState::Completed)
    );
    scene.told("it is suspended");

    scene.patch("life", json!({"state": "RUNNING"})).await;
    let (_, second) = scene.runs("life", 2).await;
    assert_eq!(second.restored, end.count);
    assert_eq!(
        scene.job("life-2").await.spec.savepoint_name,
        Some(savepoints[0].name_any())
    );
    scene.told("it goes on from the savepoint");

    // What does not alter the job does not restart it.
    let patch = json!({"metadata": {"labels": {"env": "testing"}}, "spec": {"maxJobCreationAttempts": 9,
        "template": {"metadata": {"labels": {"env": "testing"}}}}});
    scene
        .deployments()
        .patch("life", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let same = scene.becomes("life", DeploymentState::Running).await;
    assert_eq!(same.status.unwrap().job_name.as_deref(), Some("life-2"));

    scene
        .patch(
            "life",
            json!({"template": {"spec": {"parallelism": 2, "numberOfTaskManagers": 2}}}),
        )
        .await;
    let (third, job) = scene.runs("life", 3).await;
    let end = lock(&scene.play)
        .jobs
        .values()
        .filter(|job| job.of.ends_with("/life") && !job.is_up)
        .map(|job| job.count)
        .max();
    assert_eq!(Some(job.restored), end, "a stateful upgrade loses nothing");
    assert_eq!(third.status.clone().unwrap().allocated_milli, Some(3000));
    scene.counts("life", job.restored + 12).await;
    scene.told("an upgrade keeps the state");

    scene.patch("life", json!({"state": "CANCELLED"})).await;
    let cancelled = scene.becomes("life", DeploymentState::Cancelled).await;
    assert_eq!(ready(&cancelled).1, "Cancelled");
    assert_eq!(ran(&scene.job("life-3").await), JobState::Terminated);
    assert_eq!(scene.pods("life").await, 0);
    let end = scene.ended(&cancelled);
    assert_eq!(end.state, "CANCELED");
    scene.told("it is cancelled");

    scene.patch("life", json!({"state": "RUNNING"})).await;
    let (_, fourth) = scene.runs("life", 4).await;
    assert!(
        fourth.restored > end.count - 6,
        "LATEST_STATE takes the retained checkpoint: {} of {}",
        fourth.restored,
        end.count
    );
    let from = scene.job("life-4").await.spec.savepoint_name.unwrap();
    let from = scene
        .savepoints("life")
        .await
        .into_iter()
        .find(|one| one.name_any() == from)
        .unwrap();
    assert_eq!(from.spec.origin, Some(SavepointOrigin::RetainedCheckpoint));

    scene
        .deployments()
        .delete("life", &DeleteParams::default())
        .await
        .unwrap();
    until("it is gone", async || {
        (
            scene.deployments().get_opt("life").await.unwrap().is_none(),
            (),
        )
    })
    .await;
    assert_eq!(scene.pods("life").await, 0, "deletion cancels first");
    scene.told("it is deleted");
}

/// The example's combination: STATELESS cancels, and LATEST_SAVEPOINT leaves retained checkpoints out.
async fn stateless_from_the_latest_savepoint(scene: &Scene) {
    scene.create("light", json!({"restoreStrategy": {"kind": "LATEST_SAVEPOINT"}, "upgradeStrategy": {"kind": "STATELESS"}})).await;
    scene.runs("light", 1).await;
    scene.counts("light", 12).await;
    scene.patch("light", json!({"restartNonce": 1})).await;
    let (_, second) = scene.runs("light", 2).await;
    assert_eq!(
        (second.restored, second.from.clone()),
        (0, None),
        "no savepoint yet"
    );
    let checkpoint = scene.savepoints("light").await;
    assert_eq!(
        checkpoint[0].spec.origin,
        Some(SavepointOrigin::RetainedCheckpoint)
    );
    let told = scene.events("light").await;
    assert!(told.contains(&"NoState".to_owned()), "{told:?}");
    scene.patch("light", json!({"state": "SUSPENDED"})).await;
    let suspended = scene.becomes("light", DeploymentState::Suspended).await;
    let end = lock(&scene.play)
        .jobs
        .values()
        .filter(|job| job.of.ends_with("/light") && job.state == "FINISHED")
        .map(|job| job.count)
        .max();
    assert!(suspended.status.unwrap().latest_savepoint_name.is_some());
    scene
        .patch(
            "light",
            json!({"state": "RUNNING", "upgradeStrategy": {"kind": "NONE"}}),
        )
        .await;
    let (_, third) = scene.runs("light", 3).await;
    assert_eq!(Some(third.restored), end);
    scene.patch("light", json!({"restartNonce": 2})).await;
    let left = until("the change is seen", async || {
        let deployment = scene.get("light").await;
        let seen = deployment.status.clone().unwrap().observed_generation
            == deployment.metadata.generation;
        (seen, deployment)
    })
    .await;
    assert_eq!(
        left.status.unwrap().job_name.as_deref(),
        Some("light-3"),
        "NONE leaves it alone"
    );
    scene.told("STATELESS, LATEST_SAVEPOINT and NONE do what they say");
}

/// maxSavepointCreationAttempts: FAILED while the job still runs, and the way out by hand.
async fn savepoint_creation_attempts(scene: &Scene) {
    scene
        .create("full", json!({"maxSavepointCreationAttempts": 2}))
        .await;
    scene.runs("full", 1).await;
    scene.fault("full", |fault| fault.savepoints = 2);
    scene.patch("full", json!({"state": "SUSPENDED"})).await;
    let failed = scene.becomes("full", DeploymentState::Failed).await;
    let failure = failed.status.clone().unwrap().failure.unwrap();
    assert_eq!(failure.reason, "SavepointCreationFailed");
    assert!(
        failure.message.contains("2 attempts") && failure.message.contains("the disk is full"),
        "{}",
        failure.message
    );
    let before = scene.counts("full", 1).await;
    scene.counts("full", before + 3).await;
    assert_eq!(
        ran(&scene.job("full-1").await),
        JobState::Started,
        "the job still runs"
    );
    scene.patch("full", json!({"state": "CANCELLED"})).await;
    scene.becomes("full", DeploymentState::Cancelled).await;
    scene.told("a suspension that fails leaves the job running, and is left by hand");
}

/// maxJobCreationAttempts, reset by a change; the reason is told.
async fn job_creation_attempts(scene: &Scene) {
    scene.fault("stillborn", |fault| fault.starts = 2);
    scene
        .create("stillborn", json!({"maxJobCreationAttempts": 2}))
        .await;
    let failed = scene.becomes("stillborn", DeploymentState::Failed).await;
    let status = failed.status.clone().unwrap();
    let failure = status.failure.unwrap();
    assert_eq!(failure.reason, "JobCreationFailed");
    assert!(
        failure.message.contains("the class a.B is not there"),
        "{}",
        failure.message
    );
    assert_eq!(status.allocated_milli, Some(0));
    assert_eq!(ran(&scene.job("stillborn-1").await), JobState::Failed);
    assert_eq!(ran(&scene.job("stillborn-2").await), JobState::Failed);
    assert_eq!(scene.pods("stillborn").await, 0);
    scene
        .patch(
            "stillborn",
            json!({"template": {"spec": {"artifact": {"entryClass": "a.C"}}}}),
        )
        .await;
    scene.runs("stillborn", 3).await;
    scene.told("a job that cannot be started is FAILED after so many attempts");
}

/// A JobManager that is lost, and a job that ends by itself.
async fn recovers_and_finishes(scene: &Scene) {
    scene.create("frail", json!({})).await;
    scene.runs("frail", 1).await;
    scene.counts("frail", 12).await;
    until("a checkpoint is known", async || {
        let known = scene.job("frail-1").await.status.unwrap().last_checkpoint;
        (known.is_some(), known)
    })
    .await;
    let pods: Api<Pod> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let only =
        ListParams::default().labels("sluice.dev/owner-name=frail,sluice.dev/component=jobmanager");
    let victim = pods.list(&only).await.unwrap().items[0].name_any();
    pods.delete(&victim, &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
    let (_, second) = scene.runs("frail", 2).await;
    assert!(second.restored > 0, "{second:?}");
    assert_eq!(ran(&scene.job("frail-1").await), JobState::Failed);
    assert!(
        scene
            .events("frail")
            .await
            .contains(&"Recovering".to_owned())
    );
    scene.told("a lost JobManager ends the run, and the next one restores the last checkpoint");

    scene
        .patch(
            "frail",
            json!({"restoreStrategy": {"kind": "NONE"}, "upgradeStrategy": {"kind": "STATELESS"},
        "template": {"spec": {"artifact": {"mainArgs": "--limit 20"}}}}),
        )
        .await;
    let finished = scene.becomes("frail", DeploymentState::Finished).await;
    assert_eq!(ready(&finished).1, "Finished");
    assert_eq!(finished.status.clone().unwrap().allocated_milli, Some(0));
    assert_eq!(ran(&scene.job("frail-3").await), JobState::Finished);
    scene.told("a bounded job is FINISHED");
}

/// 5 failures, and the cluster is cleaned up whatever Flink says.
async fn cancellation_fails(scene: &Scene) {
    scene.create("mute", json!({})).await;
    scene.runs("mute", 1).await;
    scene.fault("mute", |fault| fault.mute = true);
    let unreachable = until("it is told", async || {
        let deployment = scene.get("mute").await;
        let running = deployment
            .status
            .clone()
            .unwrap()
            .running
            .unwrap_or_default();
        let told = running
            .conditions
            .iter()
            .any(|one| one.type_ == "ClusterUnreachable" && one.status == "True");
        (told, deployment)
    })
    .await;
    assert_eq!(
        unreachable.status.unwrap().state,
        Some(DeploymentState::Running)
    );
    scene.patch("mute", json!({"state": "CANCELLED"})).await;
    scene.becomes("mute", DeploymentState::Cancelled).await;
    assert_eq!(scene.pods("mute").await, 0);
    assert_eq!(ran(&scene.job("mute-1").await), JobState::Terminated);
    assert!(
        scene
            .events("mute")
            .await
            .contains(&"CancellationFailed".to_owned())
    );
    scene.told("a cancellation that fails 5 times ends in a clean-up");
}

/// A Savepoint object that a user creates is taken, of the job that runs.
async fn savepoints_on_demand(scene: &Scene) {
    let api: Api<Savepoint> = Api::namespaced(scene.client.clone(), &scene.namespace);
    let asked: Savepoint = serde_json::from_value(
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint",
        "metadata": {"name": "now"}, "spec": {"deploymentName": "asked"}}),
    )
    .unwrap();
    api.create(&PostParams::default(), &asked).await.unwrap();
    scene.create("asked", json!({"restoreStrategy": {"kind": "LATEST_SAVEPOINT"}, "upgradeStrategy": {"kind": "STATELESS"}})).await;
    scene.runs("asked", 1).await;
    let taken = until("the savepoint is taken", async || {
        let status = api.get("now").await.unwrap().status.unwrap_or_default();
        (status.state == Some(SavepointState::Completed), status)
    })
    .await;
    let location = taken.location.unwrap();
    let count = lock(&scene.play).snapshots[&location];
    scene.patch("asked", json!({"restartNonce": 1})).await;
    let (_, second) = scene.runs("asked", 2).await;
    assert_eq!((second.from, second.restored), (Some(location), count));
    scene.told("a savepoint that a user asks for is taken, and restored from");
}

/// A Deployment whose controller dies after its writes and calls: never two jobs at once, and no savepoint lost.
async fn dies_everywhere(scene: &Scene, deaths: &Mutex<BTreeMap<String, usize>>) {
    let died = || deaths.lock().unwrap().values().sum::<usize>();
    scene.create("mortal", json!({})).await;
    let mut number = 1;
    let mut cycle = 0;
    scene.runs("mortal", 1).await;
    while died() < DEATHS || cycle < 4 {
        cycle += 1;
        let newest = |state: &str| {
            let play = lock(&scene.play);
            let jobs = play
                .jobs
                .values()
                .filter(|job| job.of.ends_with("/mortal") && job.state == state);
            jobs.map(|job| job.count).max()
        };
        scene.counts("mortal", 1).await;
        scene.patch("mortal", json!({"state": "SUSPENDED"})).await;
        scene.becomes("mortal", DeploymentState::Suspended).await;
        let count = newest("FINISHED");
        scene.patch("mortal", json!({"state": "RUNNING"})).await;
        number += 1;
        let (_, job) = scene.runs("mortal", number).await;
        assert_eq!(Some(job.restored), count, "the savepoint is restored");
        scene.patch("mortal", json!({"restartNonce": cycle})).await;
        number += 1;
        let (_, job) = scene.runs("mortal", number).await;
        assert_eq!(
            Some(job.restored),
            newest("FINISHED"),
            "the upgrade keeps the state"
        );
        if cycle % 2 == 0 {
            scene.patch("mortal", json!({"state": "CANCELLED"})).await;
            scene.becomes("mortal", DeploymentState::Cancelled).await;
            scene.patch("mortal", json!({"state": "RUNNING"})).await;
            number += 1;
            scene.runs("mortal", number).await;
        }
    }
    let runs = lock(&scene.play)
        .jobs
        .values()
        .filter(|job| job.of.ends_with("/mortal"))
        .count();
    assert_eq!(
        runs,
        usize::try_from(number).unwrap(),
        "as many jobs as runs"
    );
    let deaths = deaths.lock().unwrap().clone();
    for point in [
        "finalizer added",
        "status written",
        "Job created",
        "Job status written",
        "Job released",
        "object made",
        "JobManager made",
        "object deleted",
        "stop asked for",
        "cancellation asked for",
        "Savepoint created",
        "Savepoint completed",
    ] {
        assert!(deaths.contains_key(point), "{point} is not in {deaths:#?}");
    }
    scene.told(&format!(
        "the controller died {} times over {number} runs: {deaths:?}",
        died()
    ));
}
