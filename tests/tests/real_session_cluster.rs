//! SessionClusters on a real API server, with kube-controller-manager and no node: transitions, order, recovery, the second
//! gate, and that nothing is written when nothing happens. No webhook is registered: every object comes past admission.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    missing_docs,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

#[path = "session_cluster/stage.rs"]
mod stage;

use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Service};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sluice_api::SessionClusterState::{Running, Stopped, Stopping};
use sluice_api::quota::CpuQuota;
use sluice_api::{DeploymentTarget, SessionCluster, SessionClusterState};
use sluice_controller::objects::{BuildSettings, FlinkCluster, build};
use sluice_controller::runtime::cover::covers;
use stage::{Controller, Stage, until};

fn cluster(name: &str, spec: Value) -> SessionCluster {
    let mut object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
        "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 2,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}}}});
    if let (Some(into), Value::Object(spec)) = (object["spec"].as_object_mut(), spec) {
        into.extend(spec);
    }
    serde_json::from_value(object).unwrap()
}

async fn create(stage: &Stage, namespace: &str, name: &str, spec: Value) -> SessionCluster {
    let api = stage.clusters(namespace);
    api.create(&PostParams::default(), &cluster(name, spec))
        .await
        .unwrap()
}

async fn change(stage: &Stage, namespace: &str, name: &str, spec: Value) {
    let patch = json!({"spec": spec});
    let api = stage.clusters(namespace);
    api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
}

/// Waits for a state, at the newest generation, and `more`.
async fn reaches(
    stage: &Stage,
    namespace: &str,
    name: &str,
    wanted: SessionClusterState,
    more: impl Fn(&SessionCluster) -> bool,
) -> SessionCluster {
    let api = stage.clusters(namespace);
    until(&format!("{namespace}/{name} is {wanted}"), async || {
        let cluster = api.get(name).await.unwrap();
        let status = cluster.status.clone().unwrap_or_default();
        let done = status.state == Some(wanted)
            && status.observed_generation == cluster.metadata.generation
            && more(&cluster);
        (done, cluster)
    })
    .await
}

fn allocated(cluster: &SessionCluster) -> i64 {
    cluster
        .status
        .as_ref()
        .and_then(|status| status.allocated_milli)
        .unwrap_or_default()
}

fn condition(cluster: &SessionCluster, kind: &str) -> (String, String, String) {
    let conditions = cluster
        .status
        .as_ref()
        .map(|status| status.conditions.clone())
        .unwrap_or_default();
    conditions
        .into_iter()
        .find(|condition| condition.type_ == kind)
        .map(|condition| (condition.status, condition.reason, condition.message))
        .unwrap_or_default()
}

/// Pods of a role: name and uid.
async fn pods(stage: &Stage, namespace: &str, role: &str) -> Vec<(String, String)> {
    let api: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("sluice.dev/component={role}"));
    let list = api.list(&params).await.unwrap();
    list.items
        .into_iter()
        .map(|pod| {
            (
                pod.metadata.name.unwrap_or_default(),
                pod.metadata.uid.unwrap_or_default(),
            )
        })
        .collect()
}

/// Everything that was made in a namespace, as kind/name.
async fn made(stage: &Stage, namespace: &str) -> Vec<String> {
    let params = ListParams::default().labels("app.kubernetes.io/managed-by=sluice");
    let client = || stage.client.clone();
    let mut all = Vec::new();
    for deployment in Api::<Deployment>::namespaced(client(), namespace)
        .list(&params)
        .await
        .unwrap()
    {
        all.push(format!(
            "Deployment/{}",
            deployment.metadata.name.unwrap_or_default()
        ));
    }
    for pod in Api::<Pod>::namespaced(client(), namespace)
        .list(&params)
        .await
        .unwrap()
    {
        all.push(format!("Pod/{}", pod.metadata.name.unwrap_or_default()));
    }
    for service in Api::<Service>::namespaced(client(), namespace)
        .list(&params)
        .await
        .unwrap()
    {
        all.push(format!(
            "Service/{}",
            service.metadata.name.unwrap_or_default()
        ));
    }
    for config in Api::<ConfigMap>::namespaced(client(), namespace)
        .list(&params)
        .await
        .unwrap()
    {
        all.push(format!(
            "ConfigMap/{}",
            config.metadata.name.unwrap_or_default()
        ));
    }
    all
}

#[test]
fn session_clusters_on_a_real_api_server() {
    if !sluice_tests::control_plane() {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stage = Stage::set().await;
        let began = Instant::now();
        let told = |what: &str| eprintln!("{:6.1} s  {what}", began.elapsed().as_secs_f32());
        every_combination_of_features_is_accepted(&stage).await;
        told("every combination of features is accepted");
        let controller = stage.controller();
        from_stopped_to_running_and_back(&stage).await;
        told("from stopped to running and back");
        flinks_own_records_of_jobs_go_with_a_stop(&stage).await;
        told("Flink's own records of jobs");
        what_is_lost_or_altered_is_made_again(&stage).await;
        told("what is lost or altered is made again");
        what_bears_its_labels_elsewhere(&stage).await;
        told("what bears its labels elsewhere");
        an_image_that_is_missing(&stage).await;
        told("an image that is missing");
        the_second_gate(&stage).await;
        told("the second gate");
        growth_that_is_enforced(&stage).await;
        told("growth that is enforced");
        another_namespace(&stage).await;
        told("another namespace");
        a_name_that_is_taken(&stage).await;
        told("a name that is taken");
        what_keeps_a_stop_is_told(&stage).await;
        told("what keeps a stop");
        the_newest_desire_wins(&stage).await;
        told("the newest desire wins");
        nothing_is_written_when_nothing_happens(&stage).await;
        told("nothing is written when nothing happens");
        killed_at_any_point(&stage, controller).await;
        told("killed at any point");
        stage.strike();
    });
}

async fn from_stopped_to_running_and_back(stage: &Stage) {
    let namespace = "back-and-forth";
    stage.namespace(namespace, &[]).await;
    let began = Instant::now();
    create(stage, namespace, "a", json!({})).await;
    let running = reaches(stage, namespace, "a", Running, |_| true).await;
    eprintln!("          STOPPED -> RUNNING in {:?}", began.elapsed());
    let status = running.status.clone().unwrap();
    assert_eq!(allocated(&running), 3000);
    assert_eq!(status.task_managers_registered, Some(2));
    assert_eq!(status.cpu.as_deref(), Some("3"));
    assert_eq!(
        status.ui.as_deref(),
        Some("kubectl -n back-and-forth port-forward service/a-sc-jobmanager 8081")
    );
    assert_eq!(
        condition(&running, "Ready"),
        (
            "True".into(),
            "Running".into(),
            "The JobManager answers and 2 TaskManagers are registered.".into()
        )
    );
    let jobmanager = pods(stage, namespace, "jobmanager").await;
    change(stage, namespace, "a", json!({"numberOfTaskManagers": 4})).await;
    let grown = reaches(stage, namespace, "a", Running, |_| true).await;
    assert_eq!(
        (
            allocated(&grown),
            grown.status.unwrap().task_managers_registered
        ),
        (5000, Some(4))
    );
    change(stage, namespace, "a", json!({"numberOfTaskManagers": 1})).await;
    reaches(stage, namespace, "a", Running, |cluster| {
        allocated(cluster) == 2000
            && cluster.status.as_ref().unwrap().task_managers_registered == Some(1)
    })
    .await;
    assert_eq!(
        pods(stage, namespace, "jobmanager").await,
        jobmanager,
        "the JobManager stays"
    );
    change(stage, namespace, "a", json!({"state": "STOPPED"})).await;
    let stopped = reaches(stage, namespace, "a", Stopped, |_| true).await;
    assert_eq!(allocated(&stopped), 0);
    assert_eq!(made(stage, namespace).await, [""; 0]);
    assert_eq!(condition(&stopped, "Ready").1, "Stopped");
    until("the finalizer is released", async || {
        let cluster = stage.clusters(namespace).get("a").await.unwrap();
        (cluster.metadata.finalizers.is_none(), ())
    })
    .await;
    // While stopped anything may change.
    change(
        stage,
        namespace,
        "a",
        json!({"state": "RUNNING", "flinkVersion": "2.0"}),
    )
    .await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    let api = stage.clusters(namespace);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    until("it is gone", async || {
        (api.get_opt("a").await.unwrap().is_none(), ())
    })
    .await;
    assert_eq!(made(stage, namespace).await, [""; 0]);
    let order: Vec<String> = stage
        .writes()
        .into_iter()
        .filter(|(verb, resource, place)| {
            verb == "delete" && place.starts_with("back-and-forth/") && resource != "pods"
        })
        .map(|(_, resource, place)| {
            format!(
                "{resource}{}",
                place.trim_start_matches("back-and-forth/a-sc")
            )
        })
        .collect();
    let once = [
        "deployments-taskmanager",
        "deployments-jobmanager",
        "services-jobmanager",
        "configmaps-config",
    ];
    assert_eq!(order, [once, once].concat(), "removed in order, twice");
    let reasons = events(stage, namespace).await;
    for reason in [
        "Starting", "Started", "Scaling", "Scaled", "Stopping", "Stopped",
    ] {
        assert!(
            reasons.contains(&reason.to_owned()),
            "{reason} is not in {reasons:?}"
        );
    }
}

/// Flink makes its ConfigMaps by itself, without an owner. The next start would bring the old jobs back from them.
async fn flinks_own_records_of_jobs_go_with_a_stop(stage: &Stage) {
    let namespace = "available";
    stage.namespace(namespace, &[]).await;
    let spec = json!({"numberOfTaskManagers": 1, "flinkConfiguration": {
        "high-availability.type": "kubernetes", "high-availability.storageDir": "s3://b/ha"}});
    create(stage, namespace, "a", spec).await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    let config_maps: Api<ConfigMap> = Api::namespaced(stage.client.clone(), namespace);
    // As Flink 2 labels them; earlier ones said what they are for.
    for app in ["a-sc", "b-sc"] {
        let left = json!({"metadata": {"name": format!("{app}-cluster-config-map"), "labels": {"app": app,
            "type": "flink-native-kubernetes"}}});
        let left: ConfigMap = serde_json::from_value(left).unwrap();
        config_maps
            .create(&PostParams::default(), &left)
            .await
            .unwrap();
    }
    let left = async || {
        let ours = ListParams::default().labels("type=flink-native-kubernetes");
        let list = config_maps.list(&ours).await.unwrap();
        let names = list.items.into_iter();
        names
            .filter_map(|map| map.metadata.name)
            .collect::<Vec<_>>()
    };
    // As long as it is to run they stay: what is lost comes back with its jobs.
    for (pod, _) in pods(stage, namespace, "jobmanager").await {
        let api: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
        api.delete(&pod, &DeleteParams::default()).await.unwrap();
    }
    reaches(stage, namespace, "a", Running, |_| true).await;
    assert_eq!(left().await.len(), 2);
    change(stage, namespace, "a", json!({"state": "STOPPED"})).await;
    reaches(stage, namespace, "a", Stopped, |_| true).await;
    assert_eq!(left().await, ["b-sc-cluster-config-map"]);
}

async fn what_is_lost_or_altered_is_made_again(stage: &Stage) {
    let namespace = "recovery";
    stage.namespace(namespace, &[]).await;
    create(stage, namespace, "a", json!({})).await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    for role in ["taskmanager", "jobmanager"] {
        let before = pods(stage, namespace, role).await;
        let api: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
        api.delete(&before[0].0, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
        until("another pod took its place", async || {
            let now = pods(stage, namespace, role).await;
            (now.len() == before.len() && !now.contains(&before[0]), now)
        })
        .await;
        reaches(stage, namespace, "a", Running, |_| true).await;
    }
    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), namespace);
    deployments
        .delete("a-sc-taskmanager", &DeleteParams::background())
        .await
        .unwrap();
    let services: Api<Service> = Api::namespaced(stage.client.clone(), namespace);
    services
        .delete("a-sc-jobmanager", &DeleteParams::default())
        .await
        .unwrap();
    until("Deployment and Service are there again", async || {
        let there = deployments
            .get_opt("a-sc-taskmanager")
            .await
            .unwrap()
            .is_some()
            && services.get_opt("a-sc-jobmanager").await.unwrap().is_some();
        (there, made(stage, namespace).await)
    })
    .await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    let configs: Api<ConfigMap> = Api::namespaced(stage.client.clone(), namespace);
    let patch = json!({"data": {"config.yaml": "mine"}});
    configs
        .patch(
            "a-sc-config",
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
        .unwrap();
    let patch = json!({"spec": {"replicas": 7}});
    deployments
        .patch(
            "a-sc-taskmanager",
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await
        .unwrap();
    until("what was altered is as it was", async || {
        let config = configs.get("a-sc-config").await.unwrap();
        let text = config
            .data
            .unwrap_or_default()
            .remove("config.yaml")
            .unwrap_or_default();
        let replicas = deployments
            .get("a-sc-taskmanager")
            .await
            .unwrap()
            .spec
            .unwrap()
            .replicas;
        (
            text.contains("jobmanager.rpc.address") && replicas == Some(2),
            (text, replicas),
        )
    })
    .await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    let reasons = events(stage, namespace).await;
    assert!(reasons.contains(&"Recovering".to_owned()), "{reasons:?}");
    pods_that_were_left_to_themselves(stage, namespace, &deployments).await;
}

/// What makes pods makes them again when they are removed, as long as nobody has it.
async fn pods_that_were_left_to_themselves(
    stage: &Stage,
    namespace: &str,
    deployments: &Api<Deployment>,
) {
    let both = ["a-sc-taskmanager", "a-sc-jobmanager"];
    let before = made(stage, namespace).await;
    for name in both {
        deployments
            .delete(name, &DeleteParams::orphan())
            .await
            .unwrap();
    }
    until("both Deployments are there again and at work", async || {
        let mut at_work = 0;
        for name in both {
            let found = deployments.get_opt(name).await.unwrap();
            let spec = found.and_then(|found| {
                let is_going = found.metadata.deletion_timestamp.is_some();
                found.spec.filter(|_| !is_going)
            });
            at_work += usize::from(spec.is_some_and(|spec| spec.paused != Some(true)));
        }
        (at_work == 2, at_work)
    })
    .await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    assert_eq!(made(stage, namespace).await, before, "the same pods");
    for name in both {
        deployments
            .delete(name, &DeleteParams::orphan())
            .await
            .unwrap();
    }
    change(stage, namespace, "a", json!({"state": "STOPPED"})).await;
    reaches(stage, namespace, "a", Stopped, |_| true).await;
    assert_eq!(made(stage, namespace).await, [""; 0]);
}

/// Restored somewhere else with its labels kept, say.
async fn what_bears_its_labels_elsewhere(stage: &Stage) {
    let (namespace, elsewhere) = ("labels", "elsewhere");
    stage.namespace(namespace, &[]).await;
    stage.namespace(elsewhere, &[]).await;
    create(stage, namespace, "a", json!({})).await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    let (name, _) = pods(stage, namespace, "taskmanager").await.remove(0);
    let ours: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    let theirs: Api<Pod> = Api::namespaced(stage.client.clone(), elsewhere);
    let copy = json!({
        "metadata": {"name": name, "labels": ours.get(&name).await.unwrap().metadata.labels, "finalizers": ["example.com/stays"]},
        "spec": {"containers": [{"name": "c", "image": "example.org/c:1"}]},
    });
    let copy: Pod = serde_json::from_value(copy).unwrap();
    theirs.create(&PostParams::default(), &copy).await.unwrap();
    let api = stage.clusters(namespace);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let status = api.get("a").await.unwrap().status.unwrap();
        assert_eq!(status.state, Some(Running), "{status:#?}");
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    until("it is gone", async || {
        (api.get_opt("a").await.unwrap().is_none(), ())
    })
    .await;
    let stays = theirs.get(&name).await.unwrap();
    assert_eq!(
        stays.metadata.deletion_timestamp, None,
        "it is not Sluice's"
    );
    let patch = json!({"metadata": {"finalizers": null}});
    theirs
        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    theirs
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
}

async fn an_image_that_is_missing(stage: &Stage) {
    let namespace = "image";
    stage.namespace(namespace, &[]).await;
    let image = "docker.io/library/flink:no-such-tag";
    stage.play.lock().unwrap().missing.insert(image.into());
    create(
        stage,
        namespace,
        "a",
        json!({"flinkImageTag": "no-such-tag"}),
    )
    .await;
    let failed = reaches(stage, namespace, "a", SessionClusterState::Failed, |_| true).await;
    let (truth, reason, message) = condition(&failed, "Ready");
    assert_eq!(
        (truth.as_str(), reason.as_str()),
        ("False", "ImagePullFailed")
    );
    assert_eq!(
        message,
        format!("jobmanager: image {image} cannot be pulled: no such image")
    );
    assert_eq!(allocated(&failed), 3000, "its pods exist");
    let writes = || {
        stage
            .writes()
            .iter()
            .filter(|(_, _, place)| place.starts_with("image/"))
            .count()
    };
    settled(writes).await;
    let before = writes();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(writes(), before, "no hot loop");
    stage.play.lock().unwrap().missing.clear();
    reaches(stage, namespace, "a", Running, |_| true).await;
}

async fn quota(stage: &Stage, namespace: &str, spec: Value) {
    let quota: CpuQuota = serde_json::from_value(
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
        "metadata": {"name": "default"}, "spec": spec}),
    )
    .unwrap();
    let api: Api<CpuQuota> = Api::namespaced(stage.client.clone(), namespace);
    api.create(&PostParams::default(), &quota).await.unwrap();
    ledger(stage, namespace, 0).await;
}

/// Waits until the ledger says so.
async fn ledger(stage: &Stage, namespace: &str, milli: u64) {
    let api: Api<CpuQuota> = Api::namespaced(stage.client.clone(), namespace);
    until(
        &format!("the ledger of {namespace} counts {milli}"),
        async || {
            let status = api.get("default").await.unwrap().status.unwrap_or_default();
            let done = status.confirmed_milli == Some(milli) && status.pending.is_empty();
            (done, status)
        },
    )
    .await;
}

async fn the_second_gate(stage: &Stage) {
    let namespace = "gate";
    stage.namespace(namespace, &[]).await;
    quota(stage, namespace, json!({"hard": {"cpu": 4}})).await;
    create(stage, namespace, "first", json!({})).await;
    reaches(stage, namespace, "first", Running, |_| true).await;
    let refused = |cluster: &SessionCluster| condition(cluster, "QuotaExceeded").0 == "True";
    create(stage, namespace, "second", json!({})).await;
    let second = reaches(stage, namespace, "second", Stopped, refused).await;
    assert_eq!(
        condition(&second, "QuotaExceeded").2,
        "CpuQuota \"gate/default\": starting sessioncluster \"second\" needs 3 CPU; 1 of 4 are free (3 in use, 0 reserved). \
         Stop a workload or ask for 2 more CPU. [quota/cpu]"
    );
    assert_eq!(condition(&second, "Ready").1, "CpuQuota");
    create(
        stage,
        namespace,
        "third",
        json!({"numberOfTaskManagers": 0}),
    )
    .await;
    reaches(stage, namespace, "third", Stopped, refused).await;
    let names = made(stage, namespace).await;
    assert!(
        names.iter().all(|name| name.contains("/first-sc-")),
        "{names:?}"
    );
    let reasons = events(stage, namespace).await;
    let told = reasons
        .iter()
        .filter(|reason| *reason == "QuotaExceeded")
        .count();
    assert_eq!(told, 2, "each is told once: {reasons:?}");
    let began = Instant::now();
    change(stage, namespace, "first", json!({"state": "STOPPED"})).await;
    reaches(stage, namespace, "first", Stopped, |_| true).await;
    eprintln!("          stopped in {:?}", began.elapsed());
    let began = Instant::now();
    let second = reaches(stage, namespace, "second", Running, |_| true).await;
    reaches(stage, namespace, "third", Running, |_| true).await;
    eprintln!("          what waited runs after {:?}", began.elapsed());
    assert_eq!(condition(&second, "QuotaExceeded").0, "False");
    ledger(stage, namespace, 4000).await;
}

async fn growth_that_is_enforced(stage: &Stage) {
    let namespace = "growth";
    stage.namespace(namespace, &[]).await;
    quota(
        stage,
        namespace,
        json!({"hard": {"cpu": 4}, "onGrowth": "Enforce"}),
    )
    .await;
    create(stage, namespace, "a", json!({})).await;
    reaches(stage, namespace, "a", Running, |_| true).await;
    let before = pods(stage, namespace, "taskmanager").await;
    change(stage, namespace, "a", json!({"numberOfTaskManagers": 5})).await;
    let refused = reaches(
        stage,
        namespace,
        "a",
        SessionClusterState::Updating,
        |cluster| condition(cluster, "QuotaExceeded").0 == "True",
    )
    .await;
    assert_eq!(
        condition(&refused, "QuotaExceeded").2,
        "CpuQuota \"growth/default\": growing sessioncluster \"a\" needs 3 more CPU; 1 of 4 are free (3 in use, 0 reserved). \
         Stop a workload or ask for 2 more CPU. [quota/cpu]"
    );
    assert_eq!(allocated(&refused), 3000);
    assert_eq!(
        pods(stage, namespace, "taskmanager").await,
        before,
        "it runs on as it was"
    );
    let quotas: Api<CpuQuota> = Api::namespaced(stage.client.clone(), namespace);
    let patch = json!({"spec": {"hard": {"cpu": 6}}});
    quotas
        .patch("default", &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let grown = reaches(stage, namespace, "a", Running, |_| true).await;
    assert_eq!(allocated(&grown), 6000);
    let reasons = events(stage, namespace).await;
    assert!(reasons.contains(&"GrowthRefused".to_owned()), "{reasons:?}");
}

async fn another_namespace(stage: &Stage) {
    let (own, there) = ("source", "destination");
    stage.namespace(own, &[]).await;
    stage.namespace(there, &[]).await;
    create(stage, own, "a", json!({"deploymentTargetName": "far"})).await;
    let waits = reaches(stage, own, "a", Stopped, |cluster| {
        condition(cluster, "TargetNotFound").1 == "NotFound"
    })
    .await;
    assert!(
        condition(&waits, "TargetNotFound")
            .2
            .contains("there is no DeploymentTarget far")
    );
    let target: DeploymentTarget = serde_json::from_value(
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentTarget",
        "metadata": {"name": "far"}, "spec": {"kubernetes": {"namespace": there}}}),
    )
    .unwrap();
    let targets: Api<DeploymentTarget> = Api::namespaced(stage.client.clone(), own);
    targets
        .create(&PostParams::default(), &target)
        .await
        .unwrap();
    reaches(stage, own, "a", Stopped, |cluster| {
        condition(cluster, "TargetNotFound").1 == "NotAccepted"
    })
    .await;
    let target = async |kind: &str, reason: &str| {
        let what = format!("the target's condition {kind} is {reason}");
        until(&what, async || {
            let target = targets.get("far").await.unwrap();
            let status = target.status.clone().unwrap_or_default();
            let found = status.conditions.iter().find(|one| one.type_ == kind);
            let found = found.cloned();
            let is_so = found.as_ref().is_some_and(|one| one.reason == reason);
            (is_so, (target, found.map(|one| one.message)))
        })
        .await
    };
    let (told, message) = target("Accepted", "NotAccepted").await;
    assert_eq!(
        message.as_deref(),
        Some(
            "namespace destination does not accept pods from source; add source to its label sluice.dev/accept-from (several names are separated by a dot)"
        )
    );
    assert_eq!(
        told.metadata.finalizers,
        Some(vec!["sluice.dev/referenced".to_owned()])
    );
    assert_eq!(told.status.unwrap().references, Some(1));
    assert_eq!(
        made(stage, there).await,
        [""; 0],
        "nothing is made there without leave"
    );
    let namespaces: Api<Namespace> = Api::all(stage.client.clone());
    let patch = json!({"metadata": {"labels": {"sluice.dev/accept-from": "others.source"}}});
    namespaces
        .patch(there, &PatchParams::default(), &Patch::Merge(&patch))
        .await
        .unwrap();
    let running = reaches(stage, own, "a", Running, |_| true).await;
    assert_eq!(
        running.status.as_ref().unwrap().target_namespace.as_deref(),
        Some(there)
    );
    assert_eq!(condition(&running, "TargetNotFound").0, "False");
    assert_eq!(made(stage, own).await, [""; 0]);
    assert_eq!(made(stage, there).await.len(), 2 + 3 + 1 + 1);
    let (_, message) = target("Accepted", "AsExpected").await;
    assert_eq!(
        message.as_deref(),
        Some("Namespace destination takes pods from source.")
    );
    // It stays while something refers to it, and says what.
    targets
        .delete("far", &DeleteParams::default())
        .await
        .unwrap();
    let (_, message) = target("Referenced", "DeletionBlocked").await;
    assert_eq!(
        message.as_deref(),
        Some(
            "It is to be deleted and stays, as SessionCluster a refers to it. Delete them, or have them name another target."
        )
    );
    let told = until("an Event tells it", async || {
        let told = events(stage, own).await;
        (told.contains(&"DeletionBlocked".to_owned()), told)
    })
    .await;
    let times = told.iter().filter(|reason| *reason == "DeletionBlocked");
    assert_eq!(times.count(), 1, "{told:?}");
    let api = stage.clusters(own);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    until("it is gone", async || {
        (api.get_opt("a").await.unwrap().is_none(), ())
    })
    .await;
    until("the target is gone after it", async || {
        (targets.get_opt("far").await.unwrap().is_none(), ())
    })
    .await;
    assert_eq!(
        made(stage, there).await,
        [""; 0],
        "no owner reference reaches there, the finalizer does"
    );
}

async fn a_name_that_is_taken(stage: &Stage) {
    let namespace = "taken";
    stage.namespace(namespace, &[]).await;
    let mine: ConfigMap = serde_json::from_value(
        json!({"metadata": {"name": "a-sc-config"}, "data": {"mine": "yes"}}),
    )
    .unwrap();
    let configs: Api<ConfigMap> = Api::namespaced(stage.client.clone(), namespace);
    configs.create(&PostParams::default(), &mine).await.unwrap();
    create(stage, namespace, "a", json!({})).await;
    let failed = reaches(stage, namespace, "a", SessionClusterState::Failed, |_| true).await;
    assert_eq!(
        (
            condition(&failed, "Ready").1.as_str(),
            condition(&failed, "Ready").2.as_str()
        ),
        (
            "NameTaken",
            "ConfigMap taken/a-sc-config exists and belongs to somebody else; remove it, or give one of the two another name"
        )
    );
    let data = configs.get("a-sc-config").await.unwrap().data.unwrap();
    assert_eq!(
        data.get("mine").map(String::as_str),
        Some("yes"),
        "it is left alone"
    );
    change(stage, namespace, "a", json!({"state": "STOPPED"})).await;
    reaches(stage, namespace, "a", Stopped, |_| true).await;
    assert!(configs.get_opt("a-sc-config").await.unwrap().is_some());
}

/// One cluster whose pod somebody keeps by a finalizer, and one of which somebody's policy lets nothing be removed.
async fn what_keeps_a_stop_is_told(stage: &Stage) {
    let namespace = "kept";
    stage.namespace(namespace, &[]).await;
    for name in ["a", "b"] {
        create(stage, namespace, name, json!({"numberOfTaskManagers": 1})).await;
        reaches(stage, namespace, name, Running, |_| true).await;
    }
    let all: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    let name = pods(stage, namespace, "taskmanager").await;
    let (kept, _) = name
        .iter()
        .find(|(name, _)| name.starts_with("a-"))
        .unwrap();
    let keep = |finalizers: Value| Patch::Merge(json!({"metadata": {"finalizers": finalizers}}));
    let merge = PatchParams::default();
    all.patch(kept, &merge, &keep(json!(["example.com/audit"])))
        .await
        .unwrap();
    let policies: Api<ValidatingAdmissionPolicy> = Api::all(stage.client.clone());
    let policy = json!({"metadata": {"name": "freeze"}, "spec": {
        "matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["DELETE"]}],
        },
        "validations": [{"expression": "!request.name.startsWith('b-')", "message": "nothing goes before Monday"}],
    }});
    let policy = serde_json::from_value(policy).unwrap();
    policies
        .create(&PostParams::default(), &policy)
        .await
        .unwrap();
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(stage.client.clone());
    let binding = json!({"metadata": {"name": "freeze"}, "spec": {"policyName": "freeze", "validationActions": ["Deny"]}});
    let binding = serde_json::from_value(binding).unwrap();
    bindings
        .create(&PostParams::default(), &binding)
        .await
        .unwrap();
    let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), namespace);
    until("the policy holds", async || {
        let asking = DeleteParams::default().dry_run();
        let refused = deployments.delete("b-sc-taskmanager", &asking).await.err();
        (refused.is_some(), refused.map(|error| error.to_string()))
    })
    .await;
    for name in ["a", "b"] {
        change(stage, namespace, name, json!({"state": "STOPPED"})).await;
    }
    let tells = |cluster: &SessionCluster, reason: &str, part: &str| {
        let (_, is, message) = condition(cluster, "Progressing");
        is == reason && message.contains(part)
    };
    let refused = reaches(stage, namespace, "b", Stopping, |cluster| {
        tells(cluster, "ObjectRefused", "nothing goes before Monday")
    })
    .await;
    assert_eq!(allocated(&refused), 2000);
    bindings
        .delete("freeze", &DeleteParams::default())
        .await
        .unwrap();
    let late = reaches(stage, namespace, "a", Stopping, |cluster| {
        tells(cluster, "Stopping", "has the finalizer example.com/audit")
    })
    .await;
    assert_eq!(allocated(&late), 2000);
    all.patch(kept, &merge, &keep(Value::Null)).await.unwrap();
    for name in ["a", "b"] {
        reaches(stage, namespace, name, Stopped, |_| true).await;
    }
    assert_eq!(made(stage, namespace).await, [""; 0]);
}

async fn the_newest_desire_wins(stage: &Stage) {
    let namespace = "newest";
    stage.namespace(namespace, &[]).await;
    create(stage, namespace, "a", json!({})).await;
    for turn in 0..8_u64 {
        tokio::time::sleep(Duration::from_millis(37 * turn)).await;
        let state = if turn % 2 == 0 { "STOPPED" } else { "RUNNING" };
        change(
            stage,
            namespace,
            "a",
            json!({"state": state, "numberOfTaskManagers": turn}),
        )
        .await;
    }
    reaches(stage, namespace, "a", Running, |cluster| {
        allocated(cluster) == 8000
    })
    .await;
    assert_eq!(pods(stage, namespace, "taskmanager").await.len(), 7);
    change(stage, namespace, "a", json!({"numberOfTaskManagers": 3})).await;
    change(stage, namespace, "a", json!({"numberOfTaskManagers": 5})).await;
    change(stage, namespace, "a", json!({"state": "STOPPED"})).await;
    reaches(stage, namespace, "a", Stopped, |_| true).await;
    assert_eq!(made(stage, namespace).await, [""; 0]);
}

/// Waits until a figure has stood still for a second.
async fn settled(figure: impl Fn() -> usize) {
    let mut last = (figure(), Instant::now());
    until("the controller is done", async || {
        let now = figure();
        if now != last.0 {
            last = (now, Instant::now());
        }
        (last.1.elapsed() > Duration::from_secs(1), now)
    })
    .await;
}

/// The whole controller but its Lease, for 20 s. `SLUICE_IDLE_SECONDS=600` makes it as long as users leave it alone.
async fn nothing_is_written_when_nothing_happens(stage: &Stage) {
    let seconds: u64 = std::env::var("SLUICE_IDLE_SECONDS")
        .map_or(20, |text| text.parse().expect("a number of seconds"));
    let writes = || stage.writes().len();
    settled(writes).await;
    let (before, asked) = (stage.writes(), stage.play.lock().unwrap().requests);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = stage.writes();
    assert_eq!(
        after[before.len()..],
        [],
        "an idle controller writes nothing"
    );
    let asked = stage.play.lock().unwrap().requests - asked;
    eprintln!(
        "in {seconds} s without a change: {} writes, and Flink was asked {asked} times",
        after.len() - before.len()
    );
    assert!(
        asked <= 2 * 8 * seconds.div_ceil(30),
        "two requests each 30 s for each of the clusters that run: {asked}"
    );
}

async fn killed_at_any_point(stage: &Stage, mut controller: Controller) {
    let namespace = "killed";
    stage.namespace(namespace, &[]).await;
    quota(stage, namespace, json!({"hard": {"cpu": 100}})).await;
    create(stage, namespace, "a", json!({})).await;
    let api = stage.clusters(namespace);
    // Any sequence will do, as long as it is the same each time.
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut roll = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let mut killed = 0;
    while killed < 50 {
        let state = if roll(3) == 0 { "STOPPED" } else { "RUNNING" };
        let number = roll(5);
        change(
            stage,
            namespace,
            "a",
            json!({"state": state, "numberOfTaskManagers": number}),
        )
        .await;
        let end = Instant::now() + Duration::from_millis(20 + roll(900));
        while Instant::now() < end {
            // What runs is never more than what has been set aside: read around it, as either may change meanwhile.
            let before = allocated(&api.get("a").await.unwrap());
            let running = pods(stage, namespace, "taskmanager").await.len()
                + pods(stage, namespace, "jobmanager").await.len();
            let after = allocated(&api.get("a").await.unwrap());
            let running = i64::try_from(running).unwrap() * 1000;
            assert!(
                running <= before.max(after),
                "{running} run with {before} and then {after} allocated"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        controller.kill();
        controller = stage.controller();
        killed += 1;
        if killed % 10 == 0 {
            let running = roll(2) == 0;
            let state = if running { "RUNNING" } else { "STOPPED" };
            change(
                stage,
                namespace,
                "a",
                json!({"state": state, "numberOfTaskManagers": 3}),
            )
            .await;
            if running {
                reaches(stage, namespace, "a", Running, |cluster| {
                    allocated(cluster) == 4000
                })
                .await;
                assert_eq!(made(stage, namespace).await.len(), 2 + 4 + 1 + 1);
                ledger(stage, namespace, 4000).await;
            } else {
                reaches(stage, namespace, "a", Stopped, |_| true).await;
                assert_eq!(made(stage, namespace).await, [""; 0]);
                ledger(stage, namespace, 0).await;
            }
            eprintln!("          killed {killed} times; {state} as asked");
        }
    }
    api.delete("a", &DeleteParams::default()).await.unwrap();
    until("it is gone", async || {
        (api.get_opt("a").await.unwrap().is_none(), ())
    })
    .await;
    assert_eq!(made(stage, namespace).await, [""; 0]);
    ledger(stage, namespace, 0).await;
}

/// Reasons of all Events of a namespace that the controller wrote.
async fn events(stage: &Stage, namespace: &str) -> Vec<String> {
    let api: Api<Event> = Api::namespaced(stage.client.clone(), namespace);
    let list = api.list(&ListParams::default()).await.unwrap();
    list.items
        .into_iter()
        .filter(|event| event.reporting_controller.as_deref() == Some("sluice.dev/controller"))
        .filter_map(|event| event.reason)
        .collect()
}

/// What is made of every combination of what a spec can say is dry-run applied.
async fn every_combination_of_features_is_accepted(stage: &Stage) {
    let namespace = "features";
    stage.namespace(namespace, &[]).await;
    let features: [Value; 8] = [
        json!({"flinkVersion": "2.1"}),
        json!({"jars": ["https://h/a.jar", "/opt/flink/opt/b.jar"], "plugins": [{"name": "S3 fs", "jars": ["s3://b/c.jar", "local:///d.jar"]}]}),
        json!({"flinkConfiguration": {"high-availability.type": "kubernetes", "a: b": "*x\n"}}),
        json!({"resources": {"jobmanager": {"cpu": "0.1", "memory": "1500000001"}, "taskmanager": {"cpu": "1500m", "memory": "3g", "ephemeralStorage": "5g"}}}),
        json!({"logging": {"log4jLoggers": {"": "debug", "org.example": "OFF"}}, "logConfiguration": {"logback-console.xml": "<a/>"}}),
        json!({"kubernetes": {"labels": {"team": "data"}, "pods": {"labels": {"l": "m"}, "annotations": {"x/y": "z"},
            "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "k", "operator": "Exists"}], "imagePullSecrets": [{"name": "s"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm":
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}}]}},
            "securityContext": {"runAsNonRoot": true}, "envVars": [{"name": "A", "value": 1}, {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
            "volumeMounts": [{"name": "v", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/v"}}]}}}),
        json!({"kubernetes": {"jobManagerPodTemplate": {"metadata": {"labels": {"l": "m"}}, "spec": {"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "flink-main-container", "env": [{"name": "A", "value": "b"}], "livenessProbe": {"tcpSocket": {"port": 6123}}},
                {"name": "side", "image": "busybox", "volumeMounts": [{"name": "flink-config", "mountPath": "/c"}]}]}},
            "taskManagerPodTemplate": {"spec": {"initContainers": [{"name": "i", "image": "busybox"}]}}}}),
        json!({"flinkImageRegistry": "registry.example:5000", "flinkImageRepository": "a/b", "flinkImageTag": format!("1.20@sha256:{}", "0a".repeat(32))}),
    ];
    let longest = "a".repeat(45);
    let settings = BuildSettings {
        sluice_image: "ghcr.io/sluice-dev/sluice:0.1.0".into(),
    };
    let mut count = 0;
    for choice in 0..1_u32 << features.len() {
        let mut cluster = cluster(&longest, json!({}));
        let mut spec = serde_json::to_value(&cluster.spec).unwrap();
        for (_, feature) in features
            .iter()
            .enumerate()
            .filter(|(index, _)| choice & (1 << index) != 0)
        {
            merge(&mut spec, feature);
        }
        cluster.spec = serde_json::from_value(spec).unwrap();
        cluster.metadata.namespace = Some(namespace.into());
        cluster.metadata.uid = Some("6f0c0d5e-0000-4000-8000-000000000001".into());
        let flink = FlinkCluster::of_session_cluster(&cluster, namespace, 2).unwrap();
        for built in build(&flink, &settings).unwrap() {
            let api: Api<DynamicObject> =
                Api::namespaced_with(stage.client.clone(), namespace, &built.kind.resource());
            let params = PatchParams {
                dry_run: true,
                ..PatchParams::apply("sluice-controller").force()
            };
            let applied = api
                .patch(&built.name, &params, &Patch::Apply(&built.object))
                .await;
            let stored =
                applied.unwrap_or_else(|error| panic!("{} of {choice:#b}: {error}", built.name));
            let stored = serde_json::to_value(&stored).unwrap();
            // Else each controller would write once more than it must after its start.
            let odd = choice & (1 << 3) != 0;
            assert!(
                odd || covers(&stored, &built.object),
                "{} of {choice:#b}: {stored:#} does not cover {:#}",
                built.name,
                built.object
            );
            count += 1;
        }
    }
    eprintln!("          {count} objects of {} specs", 1 << features.len());
}

fn merge(into: &mut Value, more: &Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more.clone(),
    }
}
