//! The whole process: what is started in which order, when it is ready, and how it stops.

use crate::config::Config;
use crate::events::{self, Events};
use crate::gate::{Gate, LiveObjects};
use crate::http::Service;
use crate::ledger::{self, KubeStore, Ledger};
use crate::metrics::Metrics;
use crate::quota::ByLedger;
use crate::review::Limits;
use crate::server::clients::{Clients, Unusable};
use crate::server::files;
use crate::server::{Server, Stop, ops, tls};
use crate::telemetry::{Traces, TracesError};
use crate::world::Caches;
use kube::config::{KubeConfigOptions, Kubeconfig};
use sluice_certs::bundle::{Target, TargetKind};
use sluice_certs::files::Files;
use sluice_certs::{Keeper, LeafResolver, Settings, State};
use sluice_policy::dialects;
use sluice_policy::ledger::QuotaKey;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Certificates are reconciled this often.
const CERTIFICATE_TICK: Duration = Duration::from_mins(1);

/// A connection to the API server on which nothing comes for so long is dead, and what waits on it begins anew on another: whatever asks
/// without a time-out of its own would hang for ever on one that an API server's node took with it. A healthy watch
/// has a bookmark about every minute.
const SILENCE: Duration = Duration::from_secs(150);

/// What keeps the process from running.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address} ({flag}): {source}; choose another address or end what uses it"
    )]
    Listen {
        /// Which.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The kubeconfig file cannot be read.
    #[error("cannot read the kubeconfig {path} (--kubeconfig): {source}")]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why.
        source: kube::config::KubeconfigError,
    },
    /// There is neither a kubeconfig nor a service account.
    #[error("no cluster to talk to: {0}; give --kubeconfig, set KUBECONFIG, or run in a pod")]
    NoCluster(kube::config::InferConfigError),
    /// A client cannot be made of the configuration.
    #[error("cannot make a Kubernetes client: {0}")]
    Client(kube::Error),
    /// What clients have to show cannot be read.
    #[error(transparent)]
    Clients(#[from] Unusable),
    /// Traces cannot be told.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Signals cannot be listened to, or the runtime cannot be made.
    #[error("the operating system refused: {0}")]
    System(#[from] std::io::Error),
}

/// The runtime that the webhook is measured with: two workers, so that one large review does not hold up the others.
pub fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .thread_stack_size(1 << 20)
        .enable_all()
        .build()?)
}

/// Runs until SIGTERM or SIGINT, then stops in order. A second signal cuts the grace short.
pub async fn run(config: Config) -> Result<(), Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let webhook = Webhook::bind(config).await?;
    let stop = CancellationToken::new();
    let hurry = CancellationToken::new();
    let mut serving = std::pin::pin!(webhook.serve(stop.clone(), hurry.clone()));
    loop {
        tokio::select! {
            ended = serving.as_mut() => return ended,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if stop.is_cancelled() {
            tracing::info!("second signal; stopping at once");
            hurry.cancel();
        } else {
            tracing::info!("signal; stopping");
            stop.cancel();
        }
    }
}

/// A webhook that has its ports but serves nothing yet.
pub struct Webhook {
    config: Config,
    client: kube::Client,
    listener: TcpListener,
    ops: TcpListener,
}

impl Webhook {
    /// Takes the ports and makes the client. Fails early, before anything is promised.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        let listener = listen(config.listen, "--listen").await?;
        let ops = listen(config.metrics_listen, "--metrics-listen").await?;
        let client = client(config.kubeconfig.as_deref(), SILENCE).await?;
        Ok(Self {
            config,
            client,
            listener,
            ops,
        })
    }

    /// Where reviews are taken.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Where metrics, health and readiness are shown.
    pub fn ops_address(&self) -> Option<SocketAddr> {
        self.ops.local_addr().ok()
    }

    /// Serves until `stop`, then: unready, accept for the grace (or until `hurry`) but keep no connection, drain, end.
    pub async fn serve(
        self,
        stop: CancellationToken,
        hurry: CancellationToken,
    ) -> Result<(), Error> {
        let Self {
            config,
            client,
            listener,
            ops,
        } = self;
        files::raise();
        let metrics = Arc::new(Metrics::default());
        let background = TaskTracker::new();
        let end = CancellationToken::new(); // of everything behind the server

        let clients = required_of_clients(&config, &background, &end)?;
        let caches = Arc::new(Caches::new(
            dialects(),
            config.modes,
            config.operator.clone(),
            &metrics,
        ));
        {
            let (caches, client, end) = (Arc::clone(&caches), client.clone(), end.clone());
            background.spawn(async move { caches.run(client, end).await });
        }
        let resolver = Arc::new(LeafResolver::default());
        let certificates = keep_certificates(&config, &client, &resolver, &background, &end);
        let traces = traces(&config)?;

        let (events, queue) = Events::queue(Arc::clone(&metrics));
        background.spawn(events::write(
            client.clone(),
            queue,
            config.instance.clone(),
            Arc::clone(&metrics),
        ));

        let (obstacles, readiness) = watch::channel(vec!["starting".to_owned()]);
        background.spawn(keep_readiness(
            Arc::clone(&caches),
            certificates,
            obstacles,
            Arc::clone(&metrics),
            stop.clone(),
            end.clone(),
        ));
        let shown = ops::router(Arc::clone(&metrics), readiness);
        background.spawn(ops::run(ops, shown, end.clone()));

        let copies = Arc::clone(&caches);
        let newest = move |key: &QuotaKey| copies.quota(key)?.stored.clone();
        let ledger = Ledger::new(
            Arc::new(KubeStore::with_watch(client.clone(), Arc::new(newest))),
            ledger::Settings::default(),
            metrics.ledger(),
        );
        let quota = Arc::new(ByLedger::new(Arc::clone(&caches), ledger));
        let gate = Gate::new(caches, quota, Arc::new(LiveObjects::new(client)), events);
        let router = Service::new(gate, Arc::clone(&metrics), Limits::default())
            .traces(traces.clone())
            .router();
        let drain = CancellationToken::new();
        let leaving = stop.clone();
        let server = Server {
            listener,
            tls: tls::config(resolver, clients.clone())?,
            clients,
            router,
            patience: config.patience,
            metrics,
        };
        tracing::info!(listen = %config.listen, metrics = %config.metrics_listen, "serving");
        let wind_down = async {
            stop.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(config.shutdown_grace) => {}
                () = hurry.cancelled() => {}
            }
            drain.cancel();
            std::future::pending::<()>().await;
        };
        let stop_server = Stop {
            leaving,
            drain: drain.clone(),
            drain_for: config.drain,
        };
        tokio::select! {
            () = server.run(stop_server) => {}
            () = wind_down => {}
        }
        last_spans(traces).await;
        end.cancel();
        background.close();
        if tokio::time::timeout(config.drain, background.wait())
            .await
            .is_err()
        {
            tracing::warn!("background tasks did not end in time");
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Our own leaf of our own CA, or somebody else's of files; kept from now on.
fn keep_certificates(
    config: &Config,
    client: &kube::Client,
    resolver: &Arc<LeafResolver>,
    background: &TaskTracker,
    end: &CancellationToken,
) -> watch::Receiver<State> {
    let settings = certificate_settings(config);
    let (client, resolver) = (client.clone(), Arc::clone(resolver));
    if let Some(pair) = config.leaf.clone() {
        let name = settings.names.into_iter().next().unwrap_or_default();
        let (files, certificates) = Files::new(client, pair, name, settings.targets, resolver);
        background.spawn(files.run(end.clone()));
        certificates
    } else {
        let (keeper, certificates) = Keeper::new(client, settings, resolver);
        background.spawn(keeper.run(end.clone()));
        certificates
    }
}

/// Where spans are told, where that is asked for.
fn traces(config: &Config) -> Result<Option<Arc<Traces>>, TracesError> {
    let endpoint = config.otlp_endpoint.as_deref();
    let traces = endpoint.map(|endpoint| Traces::to(endpoint, &config.instance));
    Ok(traces.transpose()?.map(Arc::new))
}

async fn last_spans(traces: Option<Arc<Traces>>) {
    if let Some(traces) = traces {
        traces.end().await;
    }
}

/// What clients have to show, followed from now on.
fn required_of_clients(
    config: &Config,
    background: &TaskTracker,
    end: &CancellationToken,
) -> Result<Option<Arc<Clients>>, Unusable> {
    let clients = config.clients.clone().map(Clients::load).transpose()?;
    if let Some(clients) = &clients {
        background.spawn(Arc::clone(clients).follow(end.clone()));
    }
    Ok(clients)
}

async fn listen(address: SocketAddr, flag: &'static str) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen {
            address,
            flag,
            source,
        })
}

async fn client(kubeconfig: Option<&Path>, silence: Duration) -> Result<kube::Client, Error> {
    let mut config = match kubeconfig {
        None => kube::Config::infer().await.map_err(Error::NoCluster)?,
        Some(path) => {
            let unreadable = |source| Error::Kubeconfig {
                path: path.to_owned(),
                source,
            };
            let read = Kubeconfig::read_from(path).map_err(unreadable)?;
            kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                .await
                .map_err(unreadable)?
        }
    };
    // It would repeat 429, 503 and 504 by itself, fifteen times with doubling pauses, long after whoever waits for our answer has
    // gone. Who calls decides: requests are answered in time, everything else has a pace of its own.
    config.default_retry = false;
    config.read_timeout = Some(silence);
    kube::Client::try_from(config).map_err(Error::Client)
}

fn certificate_settings(config: &Config) -> Settings {
    let mut names = config.address.names();
    for name in ["localhost", "127.0.0.1"] {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Settings {
        namespace: config.namespace.clone(),
        secret: config.ca_secret.clone(),
        names,
        targets: [TargetKind::Mutating, TargetKind::Validating]
            .map(|kind| Target {
                kind,
                name: config.configuration.clone(),
            })
            .to_vec(),
        tick: CERTIFICATE_TICK,
        pace: config.ca_pace,
    }
}

/// Ready while the caches are full, the leaf verifies, and nobody has told us to stop.
async fn keep_readiness(
    caches: Arc<Caches>,
    mut certificates: watch::Receiver<State>,
    obstacles: watch::Sender<ops::Obstacles>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    end: CancellationToken,
) {
    let changed = caches.changed();
    loop {
        // Registered before the look, so that a change in between is not missed.
        let mut change = std::pin::pin!(changed.notified());
        change.as_mut().enable();
        let mut found = caches.obstacles();
        match &*certificates.borrow_and_update() {
            State::NotReady(why) => found.push(format!("certificate: {why}")),
            State::Ready { leaf_ends, ca_ends } => {
                metrics.certificate("leaf", *leaf_ends);
                metrics.certificate("ca", *ca_ends);
            }
        }
        if stop.is_cancelled() {
            found.push("stopping".to_owned());
        }
        metrics.ready(found.is_empty());
        obstacles.send_if_modified(|held| {
            if *held == found {
                return false;
            }
            tracing::info!(ready = found.is_empty(), obstacles = ?found, "readiness");
            *held = found;
            true
        });
        tokio::select! {
            () = end.cancelled() => return,
            () = change => {}
            changed = certificates.changed() => if changed.is_err() {
                return; // the keeper has ended, so we are ending
            },
            () = stop.cancelled(), if !stop.is_cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, Bytes};
    use axum::{Router, routing};
    use futures::{TryStreamExt, stream};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::api::WatchParams;
    use std::convert::Infallible;

    #[tokio::test]
    async fn a_watch_on_which_nothing_comes_any_more_ends() {
        // The head of an answer, then nothing for ever: so it looks when the API server's node has died.
        let silent = || async { Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()) };
        let router = Router::new().fallback(routing::any(silent));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
        let client = client(Some(&kubeconfig), Duration::from_millis(300))
            .await
            .unwrap();
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
