//! What happens to a cluster in its second year, under load: the webhook is rolled, the node is drained, the API server and etcd
//! restart. No request fails that should be admitted, and none is admitted that should not be.
//!
//! Sluice runs as pods, installed by helm; the controller keeps the ledger and nothing else, so that no Flink is needed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    missing_docs,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::json;
use sluice_api::SessionCluster;
use sluice_cluster::image;
use sluice_cluster::{
    Assets, AssetsCache, Binary, Cluster, ClusterOptions, Component, ControllerManager, HostTools,
    NodeOptions,
};
use sluice_tests::{Helm, client, real_node, sluice_binary};

/// Seconds are usual; this is for a machine that compiles at the same time.
const WITHIN: Duration = Duration::from_mins(5);
const NAMESPACE: &str = "team-a";
/// How long the load goes on before and after each disturbance.
const CALM: Duration = Duration::from_secs(3);

/// A request that went wrong.
#[derive(Clone, Debug)]
struct Wrong {
    began: Instant,
    why: String,
}

/// What the load has seen since it was last asked.
#[derive(Default)]
struct Seen {
    admitted: AtomicUsize,
    refused: AtomicUsize,
    /// Should have been admitted, and was not.
    failed: Mutex<Vec<Wrong>>,
    /// Should have been refused, and was not, or not for its reason.
    passed: Mutex<Vec<Wrong>>,
}

/// Starts that must be admitted and starts that must be refused, without a pause, by several at once.
struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Seen>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn begin(client: &Client) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Seen::default());
        let tasks = (0..4)
            .map(|index| {
                let api = Api::namespaced(client.clone(), NAMESPACE);
                let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut round = 0;
                    while !stop.load(Relaxed) {
                        round += 1;
                        let began = Instant::now();
                        match start_what_fits(&api, &format!("small-{index}-{round}")).await {
                            Ok(()) => _ = seen.admitted.fetch_add(1, Relaxed),
                            Err(why) => seen.failed.lock().unwrap().push(Wrong { began, why }),
                        }
                        let began = Instant::now();
                        match start_too_much(&api, &format!("large-{index}-{round}")).await {
                            TooMuch::Refused => _ = seen.refused.fetch_add(1, Relaxed),
                            TooMuch::Unanswered(why) => {
                                seen.failed.lock().unwrap().push(Wrong { began, why });
                            }
                            TooMuch::Passed(why) => {
                                seen.passed.lock().unwrap().push(Wrong { began, why });
                            }
                        }
                    }
                })
            })
            .collect();
        Self { stop, seen, tasks }
    }

    async fn end(self) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }

    /// Does `disturbance`, with calm before and after, and asserts that the load has suffered nothing but what began before it gave
    /// back the moment from which all must be well again.
    async fn through(&self, what: &str, disturbance: impl AsyncFnOnce() -> Option<Instant>) {
        let began = Instant::now();
        tokio::time::sleep(CALM).await;
        let well_from = disturbance().await;
        tokio::time::sleep(CALM).await;
        let admitted = self.seen.admitted.swap(0, Relaxed);
        let refused = self.seen.refused.swap(0, Relaxed);
        let failed = std::mem::take(&mut *self.seen.failed.lock().unwrap());
        let passed = std::mem::take(&mut *self.seen.passed.lock().unwrap());
        let (excused, failed): (Vec<_>, Vec<_>) = failed
            .into_iter()
            .partition(|wrong| well_from.is_some_and(|well| wrong.began < well));
        println!(
            "{what}: {:.1?}; {admitted} starts admitted, {refused} refused for the quota, {} failed meanwhile for want of an API \
             server or etcd, {} failed otherwise, {} wrongly admitted",
            began.elapsed(),
            excused.len(),
            failed.len(),
            passed.len()
        );
        let told = |list: &[Wrong]| {
            let lines = list.iter().take(10).map(|wrong| {
                let after = wrong.began.saturating_duration_since(began);
                format!("after {after:.1?}: {}", wrong.why)
            });
            lines.collect::<Vec<_>>().join("\n")
        };
        assert!(passed.is_empty(), "{what}:\n{}", told(&passed));
        assert!(failed.is_empty(), "{what}:\n{}", told(&failed));
        assert!(
            admitted > 20 && refused > 20,
            "{what}: only {admitted} and {refused}: no load"
        );
    }
}

fn session_cluster(name: &str, cpu: u32) -> SessionCluster {
    serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
        "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 1,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": cpu, "memory": "2Gi"}}}}))
    .unwrap()
}

/// A start that the quota has room for, complete with its defaults; and the workload is removed again.
async fn start_what_fits(api: &Api<SessionCluster>, name: &str) -> Result<(), String> {
    let made = api
        .create(&PostParams::default(), &session_cluster(name, 1))
        .await
        .map_err(|error| error.to_string())?;
    if made.spec.logging.is_none() {
        return Err("admitted without its defaults".to_owned());
    }
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("its deletion: {error}")),
    }
}

enum TooMuch {
    Refused,
    Unanswered(String),
    Passed(String),
}

/// A start that no quota has room for.
async fn start_too_much(api: &Api<SessionCluster>, name: &str) -> TooMuch {
    let made = api
        .create(&PostParams::default(), &session_cluster(name, 100_000))
        .await;
    let Err(error) = made else {
        return TooMuch::Passed(format!("{name} was admitted"));
    };
    match &error {
        kube::Error::Api(status) if status.message.contains("[quota/cpu]") => TooMuch::Refused,
        _ => TooMuch::Unanswered(error.to_string()),
    }
}

/// A real node with Sluice's image, and kubectl.
struct Ground {
    cluster: Cluster,
    client: Client,
}

impl Ground {
    async fn prepare() -> Self {
        let assets = Assets::obtain(
            &AssetsCache::Default,
            &[Binary::WITH_NODE, &[Binary::Helm]].concat(),
        )
        .await
        .unwrap();
        let binary = sluice_binary().unwrap();
        let image = image::sluice(&AssetsCache::Default, &binary).await.unwrap();
        let node = NodeOptions::new(HostTools::obtain().await.unwrap()).image(image.path());
        let options = ClusterOptions::new(assets.clone())
            .controller_manager(ControllerManager::Run)
            .node(node);
        let cluster = Cluster::start(options).await.unwrap();
        let helm = Helm::new(&assets, &cluster.kubeconfig()).unwrap();
        tokio::task::spawn_blocking(move || {
            helm.run(&[
                "install",
                "sluice",
                Helm::chart().unwrap(),
                "--create-namespace",
                "--wait",
                "--timeout",
                "5m",
                "--set",
                "controller.ledgerOnly=true",
            ])
        })
        .await
        .unwrap()
        .unwrap();
        let client = client(&cluster.kubeconfig()).await.unwrap();
        Self { cluster, client }
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = tokio::process::Command::from(Command::new(self.cluster.kubectl()))
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments)
            .output()
            .await
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() {
            Ok(said)
        } else {
            Err(said)
        }
    }

    async fn apply(&self, objects: serde_json::Value) {
        for object in objects.as_array().unwrap() {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), object.to_string()).unwrap();
            let path = file.path().to_str().unwrap();
            self.kubectl(&["apply", "-f", path]).await.unwrap();
        }
    }

    /// Waits until the quota has been counted: before, nothing may start.
    async fn counted(&self) {
        let api = Api::namespaced(self.client.clone(), NAMESPACE);
        let began = Instant::now();
        while let Err(why) = start_what_fits(&api, "first").await {
            assert!(began.elapsed() < WITHIN, "{why}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Pods of the webhook that are ready.
    async fn ready(&self) -> i32 {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), "sluice-system");
        let deployment = api.get("sluice").await.unwrap();
        deployment
            .status
            .and_then(|status| status.ready_replicas)
            .unwrap_or(0)
    }

    async fn roll(&self) {
        let roll = ["-n", "sluice-system", "rollout"];
        let restart = [&roll[..], &["restart", "deployment/sluice"]].concat();
        self.kubectl(&restart).await.unwrap();
        let status = [&roll[..], &["status", "deployment/sluice", "--timeout=4m"]].concat();
        self.kubectl(&status).await.unwrap();
        // Old pods have a grace in which they answer still; their very last moment counts too.
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), "sluice-system");
        let began = Instant::now();
        while pods.list(&ListParams::default()).await.unwrap().items.len() > 2 {
            assert!(began.elapsed() < WITHIN, "an old pod does not end");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The only node is drained: one pod goes, and no second one while the first has no place to come back to.
    async fn drain(&self) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let node = nodes.list(&ListParams::default()).await.unwrap();
        let node = node.items.first().unwrap().metadata.name.clone().unwrap();
        let refused = self
            .kubectl(&[
                "drain",
                &node,
                "--ignore-daemonsets",
                "--delete-emptydir-data",
                "--pod-selector=app.kubernetes.io/name=sluice",
                "--timeout=20s",
            ])
            .await
            .expect_err("one pod must stay, so the drain cannot come to its end");
        assert!(refused.contains("disruption budget"), "{refused}");
        assert_eq!(self.ready().await, 1, "{refused}");
        self.kubectl(&["uncordon", &node]).await.unwrap();
        let began = Instant::now();
        while self.ready().await < 2 {
            assert!(
                began.elapsed() < WITHIN,
                "the evicted pod did not come back"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// SIGKILL and a start with the same data. From the moment given back on, the API server says that it is ready.
    async fn restart(&self, component: Component) -> Instant {
        self.cluster.kill(component).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.cluster.restart(component).await.unwrap();
        let began = Instant::now();
        while self.kubectl(&["get", "--raw", "/readyz"]).await.is_err() {
            assert!(began.elapsed() < WITHIN, "the API server is not ready");
        }
        Instant::now()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_lost_or_wrongly_admitted_while_things_restart() {
    if !tokio::task::spawn_blocking(real_node).await.unwrap() {
        return;
    }
    let ground = Ground::prepare().await;
    ground
        .apply(json!([
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
            {"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default", "namespace": NAMESPACE},
             "spec": {"hard": {"cpu": 10000}}}
        ]))
        .await;
    ground.counted().await;
    let load = Load::begin(&ground.client);
    load.through("rolling update", async || {
        ground.roll().await;
        None
    })
    .await;
    load.through("node drain", async || {
        ground.drain().await;
        None
    })
    .await;
    load.through("API server killed", async || {
        Some(ground.restart(Component::ApiServer).await)
    })
    .await;
    load.through("etcd killed", async || {
        Some(ground.restart(Component::Etcd).await)
    })
    .await;
    load.end().await;
    ground.cluster.stop().await.unwrap();
}
