//! The stage: a control plane whose ways can be disturbed, three webhooks behind one address, two controllers, the sibling, and the
//! namespaces with their quotas and defaults.

mod furnish;
mod install;

use crate::member::Member;
use crate::place::NAMESPACES;
use crate::proxy::Proxy;
use crate::sibling::{self, Sibling};
use anyhow::{Context as _, bail};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use sluice_cluster::{
    Assets, AssetsCache, Binary, Cluster, ClusterOptions, Component, EtcdPorts, ProcessSpec,
    free_loopback_port, probe_http,
};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// Where Sluice's own Secret and Lease lie.
const SYSTEM: &str = "sluice-system";
/// The controllers' Lease.
const LEASE: &str =
    "/apis/coordination.k8s.io/v1/namespaces/sluice-system/leases/sluice-controller";
/// Webhooks of a run.
const WEBHOOKS: usize = 3;
/// How long anything of the set-up may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// Everything that runs.
#[allow(missing_debug_implementations)] // a client has none
pub struct Stage {
    /// The control plane.
    pub cluster: Cluster,
    /// The port on which etcd itself listens.
    pub etcd_port: u16,
    /// From the API server to etcd.
    pub to_etcd: Proxy,
    /// From the API server to the webhooks: each takes a third of the names, see [`spread`].
    pub to_webhooks: Vec<Proxy>,
    /// The webhooks.
    pub webhooks: Vec<Member>,
    /// The controllers.
    pub controllers: Vec<Member>,
    /// The other webhook.
    pub sibling: Sibling,
    /// The administrator's client; resends nothing by itself.
    pub client: Client,
    /// Held while a fault has the API server or etcd.
    pub busy: [Mutex<()>; 2],
}

impl Stage {
    /// Starts all of it and waits until it answers. `sluice` is the binary under fire, `env` goes to its processes.
    pub async fn set(
        sluice: &Path,
        seed: u64,
        assets: Option<Assets>,
        env: &[(String, String)],
    ) -> anyhow::Result<Self> {
        let assets = match assets {
            Some(assets) => assets,
            None => Assets::obtain(&AssetsCache::Default, Binary::ALL).await?,
        };
        let ports = EtcdPorts {
            listen: free_loopback_port()?,
            front: free_loopback_port()?,
        };
        let to_etcd = Proxy::start(ports.front, vec![ports.listen]).await?;
        let options = ClusterOptions::new(assets)
            .etcd(ports)
            // The history is read from its first revision on.
            .api_server_arg("--etcd-compaction-interval=0");
        let cluster = Cluster::start(options).await?;
        let client = client(&cluster.kubeconfig()).await?;

        let mut fronts = Vec::new();
        for _ in 0..WEBHOOKS {
            fronts.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        }
        let urls = fronts
            .iter()
            .map(|front| Ok(format!("https://{}", front.local_addr()?)))
            .collect::<std::io::Result<Vec<String>>>()?;
        let url = urls.first().context("no webhook")?;
        install::install(&client, &install::manifests(sluice)?, &urls).await?;
        let token = token(&client).await?;
        let mut webhooks = Vec::new();
        let mut serving = Vec::new();
        let mut health = Vec::new();
        for index in 0..WEBHOOKS {
            let (listen, metrics) = (free_loopback_port()?, free_loopback_port()?);
            let name = format!("webhook-{index}");
            let spec = process(sluice, "webhook", &name, &cluster, env).args([
                format!("--listen=127.0.0.1:{listen}"),
                format!("--metrics-listen=127.0.0.1:{metrics}"),
                format!("--url={url}"),
                "--shutdown-grace=0".to_owned(),
            ]);
            webhooks.push(member(spec, &name, &cluster, &token).await?);
            serving.push(listen);
            health.push(metrics);
        }
        let mut to_webhooks = Vec::new();
        for front in fronts {
            to_webhooks.push(Proxy::on(front, serving.clone()));
            serving.rotate_left(1);
        }
        let mut controllers = Vec::new();
        for index in 0..2 {
            let name = format!("controller-{index}");
            let spec = process(sluice, "controller", &name, &cluster, env)
                // Without a node no pod would ever come; the player writes the statuses.
                .args(["--ledger-only".to_owned(), format!("--instance={name}")]);
            controllers.push(member(spec, &name, &cluster, &token).await?);
        }
        for port in health {
            eventually("a webhook is ready", async || {
                probe_http(port, "/readyz").await
            })
            .await?;
        }
        let port = free_loopback_port()?;
        let sibling = Sibling::start(port, seed).await?;
        let stage = Self {
            cluster,
            etcd_port: ports.listen,
            to_etcd,
            to_webhooks,
            webhooks,
            controllers,
            sibling,
            client,
            busy: [Mutex::new(()), Mutex::new(())],
        };
        stage.register_sibling(port).await?;
        furnish::furnish(&stage.client).await?;
        Ok(stage)
    }

    /// Ends it all.
    pub async fn strike(self) -> anyhow::Result<()> {
        for member in self.webhooks.iter().chain(&self.controllers) {
            member.stop().await;
        }
        Ok(self.cluster.stop().await?)
    }

    /// Starts again what has ended by itself. Returns whether the API server or etcd had.
    pub async fn tend(&self) -> anyhow::Result<bool> {
        for member in self.webhooks.iter().chain(&self.controllers) {
            member.tend()?;
        }
        let mut had_ended = false;
        for (component, busy) in [Component::Etcd, Component::ApiServer]
            .into_iter()
            .zip(&self.busy)
        {
            let Ok(_held) = busy.try_lock() else { continue };
            let process = self.cluster.process(component);
            if process.is_ok_and(|process| process.exit_status().is_some()) {
                had_ended = true;
                self.cluster.restart(component).await?;
            }
        }
        Ok(had_ended)
    }

    /// Deletes the controllers' Lease, as an administrator may: whoever comes first has it, and the one that had it does not know for a
    /// moment. That it cannot be deleted just now is as good.
    pub async fn delete_lease(&self) {
        if let Ok(request) = hyper::Request::delete(LEASE).body(Vec::new()) {
            let answer = self.client.request::<Value>(request);
            let _ = tokio::time::timeout(Duration::from_secs(1), answer).await;
        }
    }

    async fn register_sibling(&self, port: u16) -> anyhow::Result<()> {
        let names: Vec<String> = (0..NAMESPACES)
            .map(|index| format!("chaos-{index}"))
            .collect();
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "zz-chaos-sibling"},
            "webhooks": [{
                "name": sibling::NAME, "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/"), "caBundle": self.sibling.authority},
                "rules": [{"apiGroups": ["sluice.dev", "flink.apache.org"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"],
                    "resources": ["sessionclusters", "deployments", "flinkdeployments", "sessionclusters/scale", "deployments/scale"]}],
                "namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": names}]},
                "failurePolicy": "Ignore", "sideEffects": "None", "timeoutSeconds": 5,
            }],
        });
        install::apply(&self.client, &object).await
    }
}

fn process(
    sluice: &Path,
    subcommand: &str,
    name: &str,
    cluster: &Cluster,
    env: &[(String, String)],
) -> ProcessSpec {
    let log = cluster.logs_dir().join(format!("{name}.log"));
    let spec = ProcessSpec::new(name, sluice, log)
        .arg(subcommand)
        .env("POD_NAME", name)
        .env(
            "KUBECONFIG",
            cluster.data_dir().join(format!("{name}.kubeconfig")),
        );
    env.iter()
        .fold(spec, |spec, (key, value)| spec.env(key, value))
}

/// Starts a process with a way of its own to the API server.
async fn member(
    spec: ProcessSpec,
    name: &str,
    cluster: &Cluster,
    token: &str,
) -> anyhow::Result<Member> {
    let port = free_loopback_port()?;
    let server = cluster.server_url();
    let (_, api_server) = server
        .rsplit_once(':')
        .context("the API server has a port")?;
    let way = Proxy::start(port, vec![api_server.parse()?]).await?;
    let config = json!({
        "apiVersion": "v1", "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": format!("https://127.0.0.1:{port}"), "certificate-authority": cluster.ca_cert()}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": SYSTEM}}],
        "current-context": "x",
    });
    let path = cluster.data_dir().join(format!("{name}.kubeconfig"));
    std::fs::write(path, config.to_string())?;
    Member::start(spec, way)
}

async fn token(client: &Client) -> anyhow::Result<String> {
    let request = TokenRequest {
        spec: TokenRequestSpec {
            expiration_seconds: Some(7 * 24 * 60 * 60),
            ..TokenRequestSpec::default()
        },
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), SYSTEM);
    let made = accounts
        .create_token_request("sluice", &PostParams::default(), &request)
        .await?;
    Ok(made.status.context("the API server made no token")?.token)
}

async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    // Every answer counts as it is given.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Polls until it holds.
async fn eventually(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<(), String>,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let last = match look().await {
            Ok(()) => return Ok(()),
            Err(last) => last,
        };
        if Instant::now() > deadline {
            bail!("waited {PATIENCE:?} in vain: {what}; the last answer: {last}");
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Where the logs of everything lie while it runs.
pub fn logs(cluster: &Cluster) -> PathBuf {
    cluster.logs_dir().to_path_buf()
}
