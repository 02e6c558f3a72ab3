//! Many session clusters on one controller: its resident memory, and how soon it acts upon a change.
//!
//! API server and etcd are real; nobody makes pods there, so the bench makes them as kube-controller-manager would and says
//! that they are ready, and answers for Flink. The controller is the process `sluice controller` that is given.

use crate::stage::eventually;
use crate::table::Table;
use crate::usage;
use anyhow::{Context as _, ensure};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use sluice_cluster::{Assets, AssetsCache, Binary, Cluster, ClusterOptions, Process, ProcessSpec};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Calls to the API server at the same time.
const AT_ONCE: usize = 16;
const NAMESPACE: &str = "default";

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Session clusters that run.
    #[arg(long, default_value_t = 1_000)]
    clusters: usize,
    /// Changes whose time is taken.
    #[arg(long, default_value_t = 50)]
    changes: usize,
    /// The binary of Sluice.
    #[arg(long, default_value = "target/release/sluice")]
    binary: PathBuf,
}

/// Makes the clusters, lets them run, and changes some.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let assets = Assets::obtain(&AssetsCache::Default, Binary::ALL).await?;
    let cluster = Cluster::start(ClusterOptions::new(assets)).await?;
    let measured = measure(options, &cluster).await;
    cluster.stop().await?;
    measured
}

fn clusters(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("sluice.dev", "v1alpha1", "SessionCluster");
    let resource = ApiResource::from_gvk_with_plural(&kind, "sessionclusters");
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

#[allow(clippy::too_many_lines, reason = "one step after the other")]
async fn measure(options: &Options, cluster: &Cluster) -> anyhow::Result<()> {
    let client = cluster.client().await?;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for manifest in sluice_api::crds() {
        crds.create(&PostParams::default(), &manifest).await?;
    }
    let api = clusters(&client);
    eventually("the kinds are served", async || {
        Ok(api
            .list(&ListParams::default().limit(1))
            .await
            .ok()
            .map(drop))
    })
    .await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let flink = tokio::spawn(flink(listener));
    let spec = ProcessSpec::new(
        "sluice controller",
        options.binary.clone(),
        cluster.data_dir().join("controller.log"),
    )
    .args([
        "controller",
        "--namespace",
        NAMESPACE,
        "--flink-address",
        &address,
        "--kubeconfig",
    ])
    .arg(cluster.kubeconfig())
    .env("MIMALLOC_ALLOW_THP", "0"); // as in the chart
    let controller = Process::spawn(spec)?;
    let mut table = Table::new([
        "session clusters",
        "resident, MiB",
        "of it anonymous",
        "peak",
    ]);
    let mut row = |number: usize| -> anyhow::Result<()> {
        let memory = usage::memory(controller.pid())?;
        table.row([
            number.to_string(),
            format!("{:.1}", memory.resident),
            format!("{:.1}", memory.anonymous),
            format!("{:.1}", memory.peak),
        ]);
        Ok(())
    };
    eventually("it is there", async || {
        Ok(usage::memory(controller.pid())
            .ok()
            .filter(|memory| memory.anonymous > 1.0))
    })
    .await?;
    row(0)?;
    let began = Instant::now();
    stream::iter(0..options.clusters)
        .map(|index| {
            let api = api.clone();
            async move {
                let object: DynamicObject = serde_json::from_value(example(index))?;
                api.create(&PostParams::default(), &object).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    let mut running = 0;
    while running < options.clusters {
        ensure!(
            began.elapsed() < Duration::from_mins(5),
            "{running} run: {}",
            controller.log_tail()
        );
        play(&client).await?;
        let states = api.list(&ListParams::default()).await?;
        running = states
            .iter()
            .filter(|cluster| state(cluster) == Some("RUNNING"))
            .count();
    }
    println!(
        "{running} session clusters run after {:.1} s.\n",
        began.elapsed().as_secs_f32()
    );
    // What starting left behind, events and closed connections, is not what running costs.
    tokio::time::sleep(Duration::from_secs(5)).await;
    row(options.clusters)?;
    let mut times = Vec::new();
    for index in 0..options.changes {
        times.push(change(&client, index).await?);
    }
    times.sort_unstable();
    table.print();
    let at = |part: usize| {
        times
            .get(times.len().saturating_sub(1) * part / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "\nFrom a change of numberOfTaskManagers to that of the Deployment: median {:?}, 99th percentile {:?}.",
        at(50),
        at(99)
    );
    flink.abort();
    Ok(())
}

fn state(cluster: &DynamicObject) -> Option<&str> {
    cluster.data.pointer("/status/state")?.as_str()
}

fn example(index: usize) -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": format!("session-{index}")},
        "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 1,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}},
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2", "execution.checkpointing.interval": "10s"},
            "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}}}})
}

/// Time from a change to what follows from it.
async fn change(client: &Client, index: usize) -> anyhow::Result<Duration> {
    let name = format!("session-{index}");
    let began = Instant::now();
    let patch = json!({"spec": {"numberOfTaskManagers": 2}});
    clusters(client)
        .patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let deadline = began + Duration::from_secs(30);
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    loop {
        ticks.tick().await;
        let deployment = deployments.get(&format!("{name}-sc-taskmanager")).await?;
        if deployment.spec.and_then(|spec| spec.replicas) == Some(2) {
            return Ok(began.elapsed());
        }
        ensure!(
            Instant::now() < deadline,
            "{name} does not follow its change"
        );
    }
}

/// Makes the pods that Deployments ask for, and says that all is well.
async fn play(client: &Client) -> anyhow::Result<()> {
    let made = ListParams::default().labels("app.kubernetes.io/managed-by=sluice");
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let list = deployments.list(&made).await?;
    let new = list.items.into_iter().filter(|deployment| {
        let status = deployment.status.as_ref();
        status.and_then(|status| status.observed_generation) != deployment.metadata.generation
    });
    stream::iter(new)
        .map(|deployment| man(client, deployment))
        .buffer_unordered(AT_ONCE)
        .try_collect::<Vec<()>>()
        .await?;
    Ok(())
}

async fn man(client: &Client, deployment: Deployment) -> anyhow::Result<()> {
    let name = deployment.name_any();
    let spec = deployment
        .spec
        .clone()
        .context("a Deployment without a spec")?;
    let replicas = spec.replicas.unwrap_or(1);
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let template = serde_json::to_value(&spec.template)?;
    for index in 0..replicas {
        let pod = format!("{name}-{index}");
        let mut object = template.clone();
        object
            .pointer_mut("/metadata")
            .and_then(Value::as_object_mut)
            .context("a pod template without metadata")?
            .insert("name".to_owned(), pod.clone().into());
        let object: Pod = serde_json::from_value(object)?;
        pods.create(&PostParams::default(), &object).await?;
        let status = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(&status))
            .await?;
    }
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let status = json!({"status": {"observedGeneration": deployment.metadata.generation, "replicas": replicas,
        "updatedReplicas": replicas, "readyReplicas": replicas}});
    deployments
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
        .await?;
    Ok(())
}

/// Every JobManager has one TaskManager.
async fn flink(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = vec![0_u8; 4096];
            let mut head = Vec::new();
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                head.extend_from_slice(buffer.get(..read).unwrap_or_default());
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let body = if head.starts_with(b"GET /overview") {
                    json!({"taskmanagers": 1, "slots-total": 2, "slots-available": 2, "jobs-running": 0, "jobs-finished": 0,
                        "jobs-cancelled": 0, "jobs-failed": 0, "flink-version": "1.20.1"})
                } else {
                    json!({"taskmanagers": [{"id": "tm", "path": "x", "slotsNumber": 2, "freeSlots": 2, "timeSinceLastHeartbeat": 1}]})
                }
                .to_string();
                head.clear();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}
