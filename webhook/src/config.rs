//! What the process is told at its start, and its logs.

use crate::registration::{self, Address};
use crate::server::clients::Required;
use crate::server::connection::Patience;
use crate::world::kinds::Single;
use sluice_certs::Pace;
use sluice_certs::files::Pair;
use sluice_policy::Modes;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tracing_subscriber::EnvFilter;

/// Everything that `sluice webhook` can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where reviews are taken, over TLS.
    pub listen: SocketAddr,
    /// Where metrics, health and readiness are shown, in plain HTTP.
    pub metrics_listen: SocketAddr,
    /// The kubeconfig file; `None`: `KUBECONFIG`, else the service account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the CA's Secret and of leases.
    pub namespace: String,
    /// How the API server reaches us: the leaf carries these names.
    pub address: Address,
    /// Name of both webhook configurations, whose `caBundle` is kept.
    pub configuration: String,
    /// Name of the Secret with the CA.
    pub ca_secret: String,
    /// Leaf and key that somebody else keeps; `None`: we make our own.
    pub leaf: Option<Pair>,
    /// Base address of a collector of traces (OTLP over HTTP); `None`: nothing is traced.
    pub otlp_endpoint: Option<String>,
    /// What clients have to show; `None`: nothing.
    pub clients: Option<Required>,
    /// How long the phases of the CA's rotation last.
    pub ca_pace: Pace,
    /// Modes where a namespace's labels say nothing.
    pub modes: Modes,
    /// After SIGTERM: unready but still accepting for this long, while endpoints and load balancers hear of it.
    pub shutdown_grace: Duration,
    /// After that: how long requests in flight may take.
    pub drain: Duration,
    /// How long clients may take.
    pub patience: Patience,
    /// The Apache operator's ConfigMap with its defaults; `None`: there is no operator, and Flink's own defaults count.
    pub operator: Option<Single>,
    /// Who we are, in Events and holds: the pod's name.
    pub instance: String,
}

impl Config {
    /// The usual values for an address: port 10250 (which private clusters' firewalls let through), metrics on 8080,
    /// namespace sluice-system, 10 s of grace.
    pub fn new(address: Address) -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 10250)),
            metrics_listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            kubeconfig: None,
            namespace: "sluice-system".to_owned(),
            address,
            configuration: registration::NAME.to_owned(),
            ca_secret: "sluice-ca".to_owned(),
            leaf: None,
            otlp_endpoint: None,
            clients: None,
            ca_pace: Pace::default(),
            modes: Modes::default(),
            shutdown_grace: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            patience: Patience::default(),
            operator: None,
            instance: instance_name(),
        }
    }
}

/// The pod's name (which is its host name), else something unique.
fn instance_name() -> String {
    std::env::var("POD_NAME")
        .or_else(|_| std::env::var("HOSTNAME"))
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("sluice-{:08x}", rand::random::<u32>()))
}

/// Sends logs to standard error, one JSON object a line. `filter` as in `RUST_LOG`: `info`, `sluice_webhook=debug`.
/// Does nothing if a subscriber is there already.
pub fn log_json(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .finish();
    // An error means that the caller has set one up, which then has its way.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}
