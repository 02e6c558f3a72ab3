//! "Prior to launching a Flink Deployment, Ververica Platform will perform a quota check": with the real ledger, and no webhook in front,
//! so that everything arrives at the second gate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use sluice_api::quota::CpuQuota;
use sluice_api::{Deployment, DeploymentState, Job, SessionCluster};

use super::scene::{Scene, condition, ready, until};
use super::stage::lock;

pub async fn all(stage: &Scene) {
    tokio::join!(
        a_launch_waits_and_starts_by_itself_oldest_first_whatever_its_kind(stage),
        growth_is_charged_before_the_old_job_is_touched(stage),
        a_running_deployment_is_never_stopped_because_of_a_quota(stage),
        what_has_failed_holds_no_cpu(stage),
    );
}

async fn quota(scene: &Scene, spec: Value) {
    scene
        .put::<CpuQuota>(
            json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
            "metadata": {"name": "default"}, "spec": spec}),
        )
        .await;
    counts(scene, 0).await;
}

/// Waits until the ledger counts so many CPU.
async fn counts(scene: &Scene, cpu: u64) {
    until(
        &format!("the ledger of {} counts {cpu}", scene.namespace),
        async || {
            let quota = scene.api::<CpuQuota>().get("default").await.unwrap();
            let status = quota.status.unwrap_or_default();
            let done = status.confirmed_milli == Some(cpu * 1000) && status.pending.is_empty();
            (done, status)
        },
    )
    .await;
}

async fn limit(scene: &Scene, cpu: u64) {
    let patch = json!({"spec": {"hard": {"cpu": cpu}}});
    let api = scene.api::<CpuQuota>();
    api.patch("default", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// One JobManager and so many TaskManagers, of one CPU each.
fn task_managers(number: u32) -> Value {
    json!({"template": {"spec": {"parallelism": number, "numberOfTaskManagers": number}}})
}

fn is_refused(deployment: &Deployment) -> bool {
    condition(deployment, "QuotaExceeded").0 == "True"
}

/// CPU of all pods that stand, in thousandths.
async fn in_use(scene: &Scene) -> u64 {
    let pods = scene.api::<Pod>().list(&ListParams::default()).await;
    let Ok(pods) = pods else {
        return 0; // looked at again
    };
    pods.iter()
        .flat_map(|pod| pod.spec.iter().flat_map(|spec| &spec.containers))
        .filter_map(|container| {
            let requests: BTreeMap<_, _> = container.resources.clone()?.requests?;
            let cpu = requests.get("cpu")?.0.clone();
            Some(match cpu.strip_suffix('m') {
                Some(milli) => milli.parse::<u64>().unwrap(),
                None => cpu.parse::<u64>().unwrap() * 1000,
            })
        })
        .sum()
}

/// Watches what pods ask for until it is dropped; the most that was ever seen.
fn watched(scene: &Scene) -> (Arc<AtomicU64>, tokio::task::AbortHandle) {
    let most = Arc::new(AtomicU64::new(0));
    let (seen, scene) = (Arc::clone(&most), scene.clone());
    let task = tokio::spawn(async move {
        let mut every = tokio::time::interval(Duration::from_millis(100));
        loop {
            every.tick().await;
            seen.fetch_max(in_use(&scene).await, Ordering::Relaxed);
        }
    });
    (most, task.abort_handle())
}

/// Kubernetes tells times by the second: who comes after this is younger.
async fn second_passes() {
    let second = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.unwrap().as_secs()
    };
    let begun = second();
    until("the next second", async || {
        let now = second();
        (now > begun, now)
    })
    .await;
}

async fn cluster(scene: &Scene) -> SessionCluster {
    scene.api().get("cluster").await.unwrap()
}

fn cluster_waits(cluster: &SessionCluster) -> bool {
    let status = cluster.status.clone().unwrap_or_default();
    let conditions = status.conditions.iter();
    let mut refused = conditions.filter(|one| one.type_ == "QuotaExceeded");
    refused.any(|one| one.status == "True")
}

async fn lose_jobmanager(scene: &Scene, name: &str) {
    let pods = scene.api::<Pod>();
    let only = format!("sluice.dev/owner-name={name},sluice.dev/component=jobmanager");
    let only = ListParams::default().labels(&only);
    let victim = pods.list(&only).await.unwrap().items[0].name_any();
    pods.delete(&victim, &DeleteParams::default().grace_period(0))
        .await
        .unwrap();
}

/// "If a Deployment can't be launched due to the quota, there will be a message in the event log."
async fn a_launch_waits_and_starts_by_itself_oldest_first_whatever_its_kind(stage: &Scene) {
    let scene = stage.within("launches", json!({})).await;
    quota(&scene, json!({"hard": {"cpu": 4}})).await;
    let (most, watch) = watched(&scene);
    scene.create("first", task_managers(2)).await;
    scene.runs("first", 1).await;
    counts(&scene, 3).await;

    scene.create("second", task_managers(2)).await;
    let second = scene.sees("refused", "second", is_refused).await;
    let message = "CpuQuota \"launches/default\": starting deployment \"second\" needs 3 CPU; 1 of 4 are free (3 in use, 0 reserved). \
         Stop a workload or ask for 2 more CPU. [quota/cpu]";
    assert_eq!(condition(&second, "QuotaExceeded").2, message);
    assert_eq!(ready(&second).1, "CpuQuota");
    assert_eq!(
        second.status.clone().unwrap().state,
        Some(DeploymentState::Transitioning)
    );
    second_passes().await;
    scene
        .put::<SessionCluster>(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
            "metadata": {"name": "cluster"}, "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 2,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1g"}, "taskmanager": {"cpu": 1, "memory": "2g"}}}}))
        .await;
    until("the cluster is refused", async || {
        let cluster = cluster(&scene).await;
        (cluster_waits(&cluster), cluster)
    })
    .await;
    second_passes().await;
    scene.create("third", task_managers(2)).await;
    scene.sees("refused", "third", is_refused).await;
    assert_eq!(scene.pods("second").await, 0, "no pods are made");
    assert!(
        scene
            .api::<Job>()
            .get_opt("second-1")
            .await
            .unwrap()
            .is_none(),
        "nor a Job"
    );
    scene.hears("second", "QuotaExceeded", message).await;
    let log = scene.event_log("second").await;
    let told: Vec<_> = log.iter().filter(|one| one.0 == "QuotaExceeded").collect();
    assert_eq!(told.len(), 1, "told once: {log:?}");
    assert_eq!(told[0].1, message);
    scene.told("a launch that the quota does not cover waits, and says so");

    scene.patch("first", json!({"state": "SUSPENDED"})).await;
    let (second, _) = scene.runs("second", 1).await;
    assert_eq!(condition(&second, "QuotaExceeded").0, "False");
    assert!(cluster_waits(&cluster(&scene).await), "its turn is later");
    assert!(is_refused(&scene.get("third").await), "and later still");
    scene.told("the oldest starts by itself");
    scene.patch("second", json!({"state": "CANCELLED"})).await;
    until("the cluster is let in", async || {
        let cluster = cluster(&scene).await;
        let status = cluster.status.clone().unwrap_or_default();
        (status.allocated_milli == Some(3000), cluster)
    })
    .await;
    assert!(is_refused(&scene.get("third").await));
    assert_eq!(scene.pods("third").await, 0);
    scene.told("then a SessionCluster that is older than the next Deployment");
    scene
        .api::<SessionCluster>()
        .patch(
            "cluster",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"state": "STOPPED"}})),
        )
        .await
        .unwrap();
    scene.runs("third", 1).await;
    counts(&scene, 3).await;
    watch.abort();
    assert_eq!(most.load(Ordering::Relaxed), 3000, "never more than 4");
    scene.told("then that one, and never more CPU than the limit was in use");
}

/// Decision 17: growth that is refused lets the old job run on.
async fn growth_is_charged_before_the_old_job_is_touched(stage: &Scene) {
    let scene = stage.within("growth", json!({})).await;
    quota(&scene, json!({"hard": {"cpu": 6}, "onGrowth": "Enforce"})).await;
    let (most, watch) = watched(&scene);
    scene.create("a", task_managers(2)).await;
    scene.create("b", task_managers(2)).await;
    let (_, job) = scene.runs("a", 1).await;
    scene.runs("b", 1).await;
    counts(&scene, 6).await;
    for (change, cpu, more) in [
        (task_managers(3), 4, 1),
        (
            json!({"template": {"spec": {"parallelism": 2, "numberOfTaskManagers": 2,
                "resources": {"taskmanager": {"cpu": 2}}}}}),
            5,
            2,
        ),
    ] {
        scene.patch("a", change).await;
        let message = format!(
            "CpuQuota \"growth/default\": growing deployment \"a\" needs {more} more CPU; 0 of 6 are free (6 in use, 0 reserved). \
             Stop a workload or ask for {more} more CPU. [quota/cpu]"
        );
        let refused = scene
            .sees("its growth is refused", "a", |a| {
                condition(a, "QuotaExceeded").2 == message
            })
            .await;
        let status = refused.status.clone().unwrap();
        assert_eq!(status.state, Some(DeploymentState::Running));
        assert_eq!(status.job_name.as_deref(), Some("a-1"));
        assert_eq!(status.allocated_milli, Some(3000));
        counts(&scene, 3 + cpu).await;
    }
    let count = scene.counts("a", job.count + 1).await;
    scene.counts("a", count + 5).await;
    scene
        .hears("a", "GrowthRefused", "needs 1 more CPU; 0 of 6 are free")
        .await;
    scene.told("refused growth lets the old job run on");
    until("a checkpoint is known", async || {
        let known = scene.job("a-1").await.status.unwrap().last_checkpoint;
        (known.is_some(), known)
    })
    .await;
    lose_jobmanager(&scene, "a").await;
    let again = scene
        .sees("its next run runs", "a", |a| {
            let status = a.status.clone().unwrap();
            status.state == Some(DeploymentState::Running)
                && status.job_name.as_deref() == Some("a-2")
        })
        .await;
    let status = again.status.clone().unwrap();
    assert_eq!(status.allocated_milli, Some(3000));
    assert!(is_refused(&again), "its growth still waits");
    let job = lock(&scene.play).jobs[&status.running.unwrap().job_id.unwrap()].clone();
    assert!(job.restored > 0, "{job:?}");
    assert_eq!(
        scene.job("a-2").await.spec.template,
        scene.job("a-1").await.spec.template,
        "what it was started with"
    );
    scene.told("and recovers as it was");
    let count = scene.counts("a", job.count + 1).await;
    scene.patch("b", json!({"state": "SUSPENDED"})).await;
    let (grown, job) = scene.runs("a", 3).await;
    assert!(job.restored > count, "from the state of the old one");
    assert_eq!(grown.status.clone().unwrap().allocated_milli, Some(5000));
    assert_eq!(condition(&grown, "QuotaExceeded").0, "False");
    counts(&scene, 5).await;
    watch.abort();
    assert_eq!(most.load(Ordering::Relaxed), 6000);
    scene.told("it goes ahead when CPU becomes free");
}

/// "Ververica Platform will never stop a running Deployment because of a quota limitation."
async fn a_running_deployment_is_never_stopped_because_of_a_quota(stage: &Scene) {
    let scene = stage.within("lowered", json!({})).await;
    quota(&scene, json!({"hard": {"cpu": 3}, "onGrowth": "Enforce"})).await;
    scene.create("a", task_managers(2)).await;
    let (_, job) = scene.runs("a", 1).await;
    limit(&scene, 1).await;
    until("the limit is counted", async || {
        let quota = scene.api::<CpuQuota>().get("default").await.unwrap();
        let status = quota.status.unwrap_or_default();
        (
            status.observed_generation == quota.metadata.generation,
            status,
        )
    })
    .await;
    scene.counts("a", job.count + 10).await;
    scene.told("a limit below usage stops nothing");
    scene.patch("a", json!({"restartNonce": 1})).await;
    let (upgraded, job) = scene.runs("a", 2).await;
    assert!(job.restored > 0);
    assert_eq!(upgraded.status.clone().unwrap().allocated_milli, Some(3000));
    scene.told("an upgrade of the same size goes ahead");
    lose_jobmanager(&scene, "a").await;
    scene.runs("a", 3).await;
    scene.told("so does a recovery");
    let log = scene.events("a").await;
    assert!(
        !log.iter()
            .any(|reason| reason == "QuotaExceeded" || reason == "GrowthRefused"),
        "{log:?}"
    );
    scene.patch("a", json!({"state": "SUSPENDED"})).await;
    scene.becomes("a", DeploymentState::Suspended).await;
    scene.patch("a", json!({"state": "RUNNING"})).await;
    let refused = scene.sees("refused", "a", is_refused).await;
    assert_eq!(
        condition(&refused, "QuotaExceeded").2,
        "CpuQuota \"lowered/default\": starting deployment \"a\" needs 3 CPU; 1 of 1 are free (0 in use, 0 reserved). Stop a workload or \
         ask for 2 more CPU. [quota/cpu]"
    );
    limit(&scene, 3).await;
    let (_, job) = scene.runs("a", 4).await;
    assert!(job.from.is_some(), "from its savepoint");
    scene.told("only a launch is refused, and it starts when the limit is raised");
}

/// Only what runs uses cores: a Deployment that could not be started waits for somebody, and others go ahead.
async fn what_has_failed_holds_no_cpu(stage: &Scene) {
    let scene = stage.within("failures", json!({})).await;
    quota(&scene, json!({"hard": {"cpu": 3}})).await;
    scene.fault("stillborn", |fault| fault.starts = 1);
    let mut spec = task_managers(2);
    spec["maxJobCreationAttempts"] = json!(1);
    scene.create("stillborn", spec).await;
    scene.becomes("stillborn", DeploymentState::Failed).await;
    counts(&scene, 0).await;
    scene.create("next", task_managers(2)).await;
    scene.runs("next", 1).await;
    scene.patch("stillborn", json!({"restartNonce": 1})).await;
    scene.sees("refused", "stillborn", is_refused).await;
    scene
        .deployments()
        .delete("next", &DeleteParams::default())
        .await
        .unwrap();
    scene.runs("stillborn", 2).await;
    scene.told("what has FAILED holds no CPU, and waits for its turn when it is started anew");
}
