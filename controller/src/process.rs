//! The controller's process: an election, and while it leads, the ledger and the reconcilers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::deployment::run::Deployments;
use crate::deployment_target::DeploymentTargets;
use crate::fetch::Reach;
use crate::flink::{FlinkError, FlinkHttp, Timeouts};
use crate::leader::{Elector, Leadership, Times};
use crate::ledger::facts::Facts;
use crate::ledger::operator::{Follower, Place};
use crate::ledger::{LedgerKeeper, Settings, dialects, standing};
use crate::objects::BuildSettings;
use crate::ops::{self, PortTaken};
use crate::savepoint::Savepoints;
use crate::session_cluster::health::{AddressOf, Pace};
use crate::session_cluster::run::{self, SessionClusters, by_cluster_ip};
use crate::session_job::run::{SessionJobs, SetupError};

/// How the controller is started.
#[derive(Clone, Debug)]
pub struct Config {
    /// Kubeconfig file; `None`: the service account, or `KUBECONFIG`.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the Lease.
    pub namespace: String,
    /// Name of the Lease.
    pub lease: String,
    /// Name of this instance, such as the pod's; made unique for each process.
    pub instance: String,
    /// Where metrics, health and readiness are shown, in plain HTTP; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// What is done beside keeping the ledger.
    pub runtime: Runtime,
    /// Image that holds Sluice's own binary: its init containers fetch jars.
    pub sluice_image: String,
    /// Where Flink's REST APIs are; `None`: at the cluster IP of each cluster's Service.
    pub flink_address: Option<String>,
    /// The Apache operator's ConfigMap with its defaults, where there is one.
    pub operator: Option<Place>,
    /// Whether jars of session jobs are fetched from loopback, link-local addresses and the API server too.
    pub local_fetch: LocalFetch,
}

/// Whether users' jars are fetched from where only the controller stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LocalFetch {
    /// They are not.
    #[default]
    Refused,
    /// They are: on a machine of one's own.
    Allowed,
}

/// What is done beside keeping the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Runtime {
    /// Workloads are run.
    #[default]
    Run,
    /// Nothing: where no pods can run, or where somebody else runs the workloads.
    LedgerOnly,
}

/// What keeps the process from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kubeconfig file cannot be read.
    #[error("cannot read the kubeconfig (--kubeconfig): {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// There is neither a kubeconfig nor a service account.
    #[error("no cluster to talk to: {0}; give --kubeconfig, set KUBECONFIG, or run in a pod")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// A client cannot be made of the configuration.
    #[error("cannot make a Kubernetes client: {0}")]
    Client(Box<kube::Error>),
    /// No HTTP client can be made for Flink's REST API.
    #[error(transparent)]
    Flink(#[from] FlinkError),
    /// Session jobs cannot be seen to.
    #[error(transparent)]
    SessionJobs(#[from] SetupError),
    /// The port of metrics and probes cannot be had.
    #[error(transparent)]
    Listen(#[from] PortTaken),
    /// Signals cannot be listened to.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
}

/// A connection to the API server on which nothing comes for so long is dead, and what waits on it begins anew on another: a watch that an
/// API server's node took with it would hang for ever, while the Lease is renewed over other connections. A healthy
/// watch has a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(150);

/// A client for the cluster that the configuration names, and what users' jars are fetched from.
async fn client(
    kubeconfig: Option<&Path>,
    local_fetch: LocalFetch,
    silence: Duration,
) -> Result<(kube::Client, Reach), Error> {
    let mut cluster = match kubeconfig {
        None => kube::Config::infer().await?,
        Some(path) => {
            kube::Config::from_custom_kubeconfig(
                Kubeconfig::read_from(path)?,
                &KubeConfigOptions::default(),
            )
            .await?
        }
    };
    // It would repeat 429, 503 and 504 by itself, fifteen times with doubling pauses, and hold up the loop that called, long after
    // the Lease has gone to another. Every loop has a pace of its own.
    cluster.default_retry = false;
    cluster.read_timeout = Some(silence);
    let reach = match local_fetch {
        LocalFetch::Allowed => Reach::Anywhere,
        LocalFetch::Refused => {
            let url = &cluster.cluster_url;
            let port = url.port_u16().unwrap_or(443);
            Reach::outside(url.host().map(|host| (host, port)))
        }
    };
    let client = kube::Client::try_from(cluster).map_err(|error| Error::Client(Box::new(error)))?;
    Ok((client, reach))
}

/// Where JobManagers' REST APIs are.
fn address(fixed: Option<String>) -> AddressOf {
    match fixed {
        None => by_cluster_ip(),
        Some(address) => Arc::new(move |_: &str| address.clone()),
    }
}

/// Runs until SIGTERM or SIGINT, then gives the Lease back.
pub async fn run(config: Config) -> Result<(), Error> {
    let port = take_port(config.metrics_listen).await?;
    let (client, reach) = client(config.kubeconfig.as_deref(), config.local_fetch, SILENCE).await?;
    let stop = told_to_stop()?;
    let identity = format!("{}-{:08x}", config.instance, rand::random::<u32>());
    let (elector, leadership) = Elector::new(
        client.clone(),
        &config.namespace,
        &config.lease,
        &identity,
        Times::default(),
    );
    let probes = port.map(|listener| tokio::spawn(ops::serve(listener, elector.pulse())));
    let (keeper, facts) = keeper(&client);
    let begin = config
        .operator
        .clone()
        .map(|place| Follower::begin(client.clone(), place, facts));
    let flink = FlinkHttp::new(Timeouts::default())?;
    let jobs = SessionJobs::new(client.clone(), &config.instance, reach)?
        .flink(flink.clone())
        .fixed_address(config.flink_address.clone());
    let address = address(config.flink_address.clone());
    let build = BuildSettings {
        sluice_image: config.sluice_image.clone(),
    };
    let deployments = Deployments {
        client: client.clone(),
        flink: flink.clone(),
        instance: config.instance.clone(),
        build: build.clone(),
        address: Arc::clone(&address),
        probe: None,
    };
    let savepoints = Savepoints::new(client.clone(), flink.clone(), &config.instance)
        .session_jobs(jobs.whose())
        .deployments(deployments.whose_everywhere(jobs.whose()));
    let clusters = SessionClusters {
        client,
        flink,
        instance: config.instance.clone(),
        build,
        address,
        pace: Pace::default(),
    };
    let all = Reconcilers {
        targets: DeploymentTargets::new(keeper.client.clone(), &config.instance),
        clusters,
        jobs,
        savepoints,
        deployments,
    };
    tracing::info!(
        identity,
        namespace = config.namespace,
        lease = config.lease,
        "the controller takes part in the election"
    );
    // A task of its own: however much there is to reconcile, the Lease is renewed in time.
    let election = tokio::spawn(elector.run(stop));
    tokio::select! {
        ended = election => if let Err(error) = ended {
            tracing::error!(%error, "the election has come to an end");
        },
        () = async {
            // Nothing is counted before it is known what things cost.
            let operator = match begin {
                Some(begin) => Some(begin.await),
                None => None,
            };
            let follow = async {
                match operator {
                    Some(operator) => operator.follow().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = follow => {}
                () = async {
                    match config.runtime {
                        Runtime::Run => Box::pin(lead(&keeper, &all, leadership)).await,
                        Runtime::LedgerOnly => keeper.run(leadership).await,
                    }
                } => {}
            }
        } => {}
    }
    if let Some(probes) = probes {
        probes.abort();
    }
    tracing::info!("stopped");
    Ok(())
}

/// What keeps the ledger, and what it knows of costs.
fn keeper(client: &kube::Client) -> (LedgerKeeper, Arc<Facts>) {
    let resources = dialects::resources();
    let facts = Arc::new(Facts::of(&resources));
    let charging = Arc::clone(&facts);
    let keeper = LedgerKeeper {
        client: client.clone(),
        resources,
        charge: Arc::new(move |resource, object| charging.charge(resource, object)),
        facts: Some(Arc::clone(&facts)),
        sightings: Arc::default(),
        settings: Settings::default(),
    };
    (keeper, facts)
}

/// The port of metrics and probes, where one is asked for. Taken first, so that a port in use is told at once.
async fn take_port(address: Option<SocketAddr>) -> Result<Option<TcpListener>, PortTaken> {
    match address {
        Some(address) => ops::listen(address).await.map(Some),
        None => Ok(None),
    }
}

/// Ends at SIGTERM or SIGINT.
fn told_to_stop() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// What reconciles while this process leads.
#[derive(Clone, Debug)]
pub struct Reconcilers {
    /// SessionClusters.
    pub clusters: SessionClusters,
    /// SessionJobs.
    pub jobs: SessionJobs,
    /// Savepoints that users ask for.
    pub savepoints: Savepoints,
    /// DeploymentTargets.
    pub targets: DeploymentTargets,
    /// Deployments.
    pub deployments: Deployments,
}

/// Keeps the ledger and reconciles, each time this process leads; never returns. When leadership is lost all of it ends at once,
/// whatever is under way.
pub async fn lead(keeper: &LedgerKeeper, all: &Reconcilers, mut leadership: Leadership) {
    loop {
        keeper.stand_by(&mut leadership).await;
        let (asker, questions) = standing::channel();
        let (clusters, watch_clusters) = run::all(keeper.client.clone());
        tokio::select! {
            // In this order: who listens to a shared watch has begun when the watch does.
            biased;
            () = leadership.lost() => {}
            () = keeper.keep(questions) => {}
            () = all.clusters.run(&clusters, Some(asker.clone())) => {}
            () = all.jobs.run(&clusters) => {}
            () = all.savepoints.run() => {}
            () = all.targets.run(&clusters) => {}
            () = all.deployments.run(Some(asker)) => {}
            () = watch_clusters => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::{Body, Bytes};
    use axum::http::StatusCode;
    use axum::{Router, routing};
    use futures::{TryStreamExt, stream};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::WatchParams;

    async fn client_of(router: Router, silence: Duration) -> kube::Client {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "c", "user": {}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).unwrap();
        let (client, _) = client(Some(&kubeconfig), LocalFetch::Refused, silence)
            .await
            .unwrap();
        client
    }

    #[tokio::test]
    async fn a_busy_api_server_is_heard_at_once_and_not_asked_again_behind_the_loops_back() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let busy = move || {
            counted.fetch_add(1, Ordering::SeqCst);
            std::future::ready((StatusCode::SERVICE_UNAVAILABLE, "later"))
        };
        let router = Router::new().fallback(routing::any(busy));
        let api: kube::Api<Namespace> = kube::Api::all(client_of(router, SILENCE).await);
        let answered = tokio::time::timeout(Duration::from_secs(10), api.get("a"));
        match answered.await.unwrap() {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, 503),
            other => panic!("{other:?}"),
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_watch_on_which_nothing_comes_any_more_ends() {
        // The head of an answer, then nothing for ever: so it looks when the API server's node has died.
        let silent = || async { Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()) };
        let router = Router::new().fallback(routing::any(silent));
        let client = client_of(router, Duration::from_millis(300)).await;
        let api: kube::Api<Namespace> = kube::Api::all(client);
        let watching = async {
            let events = api.watch(&WatchParams::default(), "1").await?;
            std::pin::pin!(events).try_next().await
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), watching).await;
        assert!(
            matches!(ended, Ok(Err(_))),
            "it ends, and not as if all were well: {ended:?}"
        );
    }
}
