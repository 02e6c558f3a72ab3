//! The stage of these tests: a control plane with kube-controller-manager and no node. The test plays the kubelet (it says that
//! pods are ready) and Flink (a REST API in which every ready TaskManager has registered).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sluice_api::SessionCluster;
use sluice_cluster::{Cluster, ControllerManager};
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
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Everything that a test needs.
pub struct Stage {
    pub cluster: Cluster,
    pub client: Client,
    pub play: Arc<Mutex<Play>>,
    address: String,
    audit: PathBuf,
    tasks: Vec<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

/// Every write is logged, with who made it.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
- level: None
";
/// As whom the controller writes.
const CONTROLLER: &str = "the-controller";

/// What the played kubelet and Flink know.
#[derive(Default)]
pub struct Play {
    /// Names of ready TaskManager pods, by the cluster IP of their JobManager's Service.
    registered: BTreeMap<String, Vec<String>>,
    /// Jobs that every cluster says it has.
    pub jobs: u32,
    /// Whether Flink answers.
    pub mute: bool,
    /// Requests that Flink has had.
    pub requests: u64,
    /// Images that cannot be pulled.
    pub missing: BTreeSet<String>,
}

/// Waits until a condition holds; the message tells what was seen last.
pub async fn until<T: std::fmt::Debug>(what: &str, mut look: impl AsyncFnMut() -> (bool, T)) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    let mut every = tokio::time::interval(Duration::from_millis(50));
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

impl Stage {
    pub async fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let policy = dir.path().join("audit-policy.yaml");
        std::fs::write(&policy, AUDIT_POLICY).unwrap();
        let audit = dir.path().join("audit.log");
        let bare = sluice_tests::Stage::set_with(|options| {
            options
                .controller_manager(ControllerManager::Run)
                .api_server_arg(format!("--audit-policy-file={}", policy.display()))
                .api_server_arg(format!("--audit-log-path={}", audit.display()))
        });
        let bare = bare.await.unwrap().unwrap(); // whoever sets a stage has looked whether there can be one
        let sluice_tests::Stage { cluster, client } = bare;
        let play = Arc::new(Mutex::new(Play::default()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let tasks = vec![
            tokio::spawn(kubelet(client.clone(), Arc::clone(&play))),
            tokio::spawn(flink(listener, Arc::clone(&play))),
        ];
        Self {
            cluster,
            client,
            play,
            address,
            audit,
            tasks,
            _dir: dir,
        }
    }

    pub async fn namespace(&self, name: &str, labels: &[(&str, &str)]) {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap();
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    pub fn clusters(&self, namespace: &str) -> Api<SessionCluster> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Writes of the controller so far: verb, resource/subresource and namespace/name.
    pub fn writes(&self) -> Vec<(String, String, String)> {
        let log = std::fs::read_to_string(&self.audit).unwrap_or_default();
        log.lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|event| event.pointer("/impersonatedUser/username") == Some(&json!(CONTROLLER)))
            .map(|event| {
                let text = |pointer: &str| {
                    event
                        .pointer(pointer)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                let resource = match text("/objectRef/subresource").as_str() {
                    "" => text("/objectRef/resource"),
                    sub => format!("{}/{sub}", text("/objectRef/resource")),
                };
                (
                    text("/verb"),
                    resource,
                    format!(
                        "{}/{}",
                        text("/objectRef/namespace"),
                        text("/objectRef/name")
                    ),
                )
            })
            .collect()
    }

    /// Ends what the test plays.
    pub fn strike(&self) {
        for task in &self.tasks {
            task.abort();
        }
    }

    /// A whole controller that leads, in a runtime of its own, so that it can be killed.
    pub fn controller(&self) -> Controller {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let kubeconfig = self.cluster.kubeconfig();
        let address = self.address.clone();
        runtime.spawn(async move {
            let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
            let mut config = kube::Config::from_custom_kubeconfig(
                kubeconfig,
                &kube::config::KubeConfigOptions::default(),
            )
            .await
            .unwrap();
            // Told apart from the test itself in the audit log.
            config.auth_info.impersonate = Some(CONTROLLER.to_owned());
            config.auth_info.impersonate_groups = Some(vec!["system:masters".to_owned()]);
            let client = Client::try_from(config).unwrap();
            let clusters = SessionClusters {
                client: client.clone(),
                flink: FlinkHttp::new(Timeouts::default()).unwrap(),
                instance: "test".into(),
                build: BuildSettings {
                    sluice_image: "example.org/sluice:1".into(),
                },
                address: Arc::new(move |ip| format!("{address}/{ip}")),
                pace: Pace {
                    soon: Duration::from_millis(250),
                    slowly: Duration::from_secs(30),
                },
            };
            let jobs = SessionJobs::new(client.clone(), "test", Reach::Anywhere).unwrap();
            let resources = dialects::resources();
            let facts = Arc::new(Facts::of(&resources));
            let charging = Arc::clone(&facts);
            let keeper = LedgerKeeper {
                client: client.clone(),
                resources,
                charge: Arc::new(move |resource, object| charging.charge(resource, object)),
                facts: Some(facts),
                sightings: Arc::default(),
                settings: Settings::default(),
            };
            let deployments = Deployments {
                client: clusters.client.clone(),
                flink: clusters.flink.clone(),
                instance: "test".into(),
                build: clusters.build.clone(),
                address: Arc::clone(&clusters.address),
                probe: None,
            };
            let all = Reconcilers {
                savepoints: Savepoints::new(client.clone(), clusters.flink.clone(), "test")
                    .session_jobs(jobs.whose()),
                targets: DeploymentTargets::new(client.clone(), "test"),
                clusters,
                jobs,
                deployments,
            };
            Box::pin(lead(&keeper, &all, Leadership::always())).await;
        });
        Controller(Some(runtime))
    }
}

/// A controller that can be killed.
pub struct Controller(Option<tokio::runtime::Runtime>);

impl Controller {
    /// Ends it in the middle of whatever it does.
    pub fn kill(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Says of every pod that it is ready, or that its image cannot be pulled; tells Flink who has registered.
async fn kubelet(client: Client, play: Arc<Mutex<Play>>) {
    let made = ListParams::default().labels("app.kubernetes.io/managed-by=sluice");
    let pods: Api<Pod> = Api::all(client.clone());
    let services: Api<Service> = Api::all(client.clone());
    let mut every = tokio::time::interval(Duration::from_millis(100));
    loop {
        every.tick().await;
        let (Ok(pods), Ok(services)) = tokio::join!(pods.list(&made), services.list(&made)) else {
            continue;
        };
        let label = |labels: &Option<BTreeMap<String, String>>, key: &str| {
            labels
                .as_ref()
                .and_then(|labels| labels.get(key))
                .cloned()
                .unwrap_or_default()
        };
        let mut registered: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in &pods.items {
            let namespace = pod.metadata.namespace.clone().unwrap_or_default();
            let name = pod.metadata.name.clone().unwrap_or_default();
            if pod.metadata.deletion_timestamp.is_some() {
                continue;
            }
            let image = pod
                .spec
                .as_ref()
                .and_then(|spec| spec.containers[0].image.clone())
                .unwrap_or_default();
            let is_missing = play.lock().unwrap().missing.contains(&image);
            let ready = pod
                .status
                .iter()
                .flat_map(|status| status.conditions.iter().flatten())
                .any(|condition| condition.type_ == "Ready" && condition.status == "True");
            if !ready || is_missing {
                let waiting =
                    json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
                let status = json!({"status": {
                    "conditions": [{"type": "Ready", "status": if is_missing { "False" } else { "True" }}],
                    "containerStatuses": [{"name": "flink-main-container", "image": image, "imageID": "", "ready": !is_missing, "restartCount": 0,
                        "state": if is_missing { waiting } else { json!({"running": {}}) }}],
                }});
                let is_told = pod
                    .status
                    .as_ref()
                    .is_some_and(|status| status.container_statuses.is_some());
                if !is_missing || !is_told {
                    let api: Api<Pod> = Api::namespaced(client.clone(), &namespace);
                    let _ = api
                        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&status))
                        .await;
                }
            }
            if ready && label(&pod.metadata.labels, "sluice.dev/component") == "taskmanager" {
                registered
                    .entry(label(&pod.metadata.labels, "sluice.dev/owner-uid"))
                    .or_default()
                    .push(name);
            }
        }
        play.lock().unwrap().registered = services
            .items
            .iter()
            .filter_map(|service| {
                let ip = service.spec.as_ref()?.cluster_ip.clone()?;
                let uid = label(&service.metadata.labels, "sluice.dev/owner-uid");
                Some((ip, registered.get(&uid).cloned().unwrap_or_default()))
            })
            .collect();
    }
}

/// Answers `/<cluster IP>/overview` and `/<cluster IP>/taskmanagers`.
async fn flink(listener: TcpListener, play: Arc<Mutex<Play>>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            return;
        };
        let play = Arc::clone(&play);
        tokio::spawn(async move {
            let mut buffer = vec![0_u8; 8192];
            let mut filled = 0;
            loop {
                while !buffer[..filled].windows(4).any(|four| four == b"\r\n\r\n") {
                    match stream.read(&mut buffer[filled..]).await {
                        Ok(0) | Err(_) => return,
                        Ok(read) => filled += read,
                    }
                }
                let head = String::from_utf8_lossy(&buffer[..filled]).into_owned();
                filled = 0;
                let path = head.split_whitespace().nth(1).unwrap_or_default();
                let mut parts = path.split('/').skip(1);
                let (ip, call) = (
                    parts.next().unwrap_or_default(),
                    parts.next().unwrap_or_default(),
                );
                let body: Option<Value> = {
                    let mut play = play.lock().unwrap();
                    play.requests += 1;
                    let names = play.registered.get(ip).cloned();
                    let jobs = play.jobs;
                    (!play.mute).then_some(()).and(names).map(|names| match call {
                        "overview" => json!({"taskmanagers": names.len(), "slots-total": names.len(), "slots-available": names.len(),
                            "jobs-running": jobs, "jobs-finished": 0, "jobs-cancelled": 0, "jobs-failed": 0, "flink-version": "1.20.1"}),
                        _ => json!({"taskmanagers": names.iter().map(|name| json!({"id": name, "path": "x", "slotsNumber": 1,
                            "freeSlots": 1, "timeSinceLastHeartbeat": 1})).collect::<Vec<_>>()}),
                    })
                };
                let Some(body) = body else { return };
                let body = body.to_string();
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
