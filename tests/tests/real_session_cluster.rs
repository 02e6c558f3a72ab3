//! SessionClusters on a real API server, with kube-controller-manager and no node: transitions, order, recovery, the second
//! gate, and that nothing is written when nothing happens. No webhook is registered: every object comes past admission.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    missing_docs,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

#[path = "session_cluster/stage.rs"]
mod stage;

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sluice_api::{SessionCluster, SessionClusterState};
use stage::{Stage, until};

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
    state: SessionClusterState,
    more: impl Fn(&SessionCluster) -> bool,
) -> SessionCluster {
    let api = stage.clusters(namespace);
    until(&format!("{namespace}/{name} is {state}"), async || {
        let cluster = api.get(name).await.unwrap();
        let status = cluster.status.clone().unwrap_or_default();
        let done = status.state == Some(state)
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
        let stage = Stage::set(&[]).await;
        let _controller = stage.controller();
        from_stopped_to_running_and_back(&stage).await;
    });
}

async fn from_stopped_to_running_and_back(stage: &Stage) {
    let namespace = "back-and-forth";
    stage.namespace(namespace, &[]).await;
    let began = Instant::now();
    create(stage, namespace, "a", json!({})).await;
    let running = reaches(stage, namespace, "a", SessionClusterState::Running, |_| {
        true
    })
    .await;
    eprintln!("STOPPED -> RUNNING in {:?}", began.elapsed());
    let status = running.status.clone().unwrap();
    assert_eq!(allocated(&running), 3000);
    assert_eq!(status.task_managers_registered, Some(2));
    assert_eq!(condition(&running, "Ready").0, "True");
    let jobmanager = pods(stage, namespace, "jobmanager").await;
    change(stage, namespace, "a", json!({"numberOfTaskManagers": 4})).await;
    let grown = reaches(stage, namespace, "a", SessionClusterState::Running, |_| {
        true
    })
    .await;
    assert_eq!(
        (
            allocated(&grown),
            grown.status.unwrap().task_managers_registered
        ),
        (5000, Some(4))
    );
    change(stage, namespace, "a", json!({"numberOfTaskManagers": 1})).await;
    reaches(
        stage,
        namespace,
        "a",
        SessionClusterState::Running,
        |cluster| allocated(cluster) == 2000,
    )
    .await;
    assert_eq!(
        pods(stage, namespace, "jobmanager").await,
        jobmanager,
        "the JobManager stays"
    );
    change(stage, namespace, "a", json!({"state": "STOPPED"})).await;
    let stopped = reaches(stage, namespace, "a", SessionClusterState::Stopped, |_| {
        true
    })
    .await;
    eprintln!("stopped: {:?}", stopped.status);
    assert_eq!(allocated(&stopped), 0);
    assert_eq!(made(stage, namespace).await, [""; 0]);
    change(stage, namespace, "a", json!({"state": "RUNNING"})).await;
    reaches(stage, namespace, "a", SessionClusterState::Running, |_| {
        true
    })
    .await;
    let api = stage.clusters(namespace);
    api.delete("a", &DeleteParams::default()).await.unwrap();
    until("it is gone", async || {
        (api.get_opt("a").await.unwrap().is_none(), ())
    })
    .await;
    assert_eq!(made(stage, namespace).await, [""; 0]);
    let _ = Duration::ZERO;
}
