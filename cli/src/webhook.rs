//! `sluice webhook`: the admission webhook as a process, until SIGTERM.
//!
//! Arguments become a [`Config`]; everything else is in `sluice_webhook`.

use crate::exit::{Failure, Outcome};
use crate::operator::OperatorConfig;
use clap::Args;
use jiff::SignedDuration;
use sluice_certs::Pace;
use sluice_certs::files::Pair;
use sluice_webhook::Config;
use sluice_webhook::config::log_json;
use sluice_webhook::registration::Address;
use sluice_webhook::server::clients::Required;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Run the admission webhook until SIGTERM.
#[derive(Debug, Args)]
#[command(args_override_self = true)] // the chart's extraArgs come after its own
pub struct WebhookArgs {
    /// Where reviews are taken, over TLS
    #[arg(long, value_name = "ADDR:PORT", default_value = "0.0.0.0:10250")]
    pub listen: SocketAddr,
    /// Where /metrics, /healthz and /readyz are shown, in plain HTTP
    #[arg(
        long,
        value_name = "ADDR:PORT",
        default_value = "0.0.0.0:8080",
        alias = "health"
    )]
    pub metrics_listen: SocketAddr,
    /// Kubeconfig file; without it KUBECONFIG, else the pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the CA's Secret, of leases and of the Service
    #[arg(long, value_name = "NAMESPACE", default_value = "sluice-system")]
    pub namespace: String,
    /// URL by which the API server reaches this webhook, where there is no Service: https://HOST:PORT
    #[arg(long, value_name = "URL", conflicts_with = "service")]
    pub url: Option<String>,
    /// Service by which the API server reaches this webhook
    #[arg(long, value_name = "NAME", default_value = "sluice")]
    pub service: String,
    /// Name of the two webhook configurations whose caBundle is kept
    #[arg(long, value_name = "NAME", default_value = sluice_webhook::registration::NAME)]
    pub configuration: String,
    /// ConfigMap with the Apache operator's own configuration, NAMESPACE/NAME; its defaults then count
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub operator_config: Option<OperatorConfig>,
    /// Leaf that somebody else keeps (PEM, with what leads to its CA); without it the webhook makes its own
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of that leaf (PEM). Both files are read every five seconds, and a new leaf is served at once
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Collector of traces, such as http://otel-collector:4318 (OTLP over HTTP): it is told a span for each review
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// CAs of clients (PEM): with it only whoever shows a certificate of one gets an answer, such as the API server
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// Common name that a client's certificate must carry; may be given several times
    #[arg(long, value_name = "NAME", requires = "client_ca")]
    pub client_name: Vec<String>,
    /// Rotation of the CA: seconds from its announcement in every caBundle until it signs; all API servers must hear of it meanwhile
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub ca_dwell: u32,
    /// Rotation of the CA: seconds for which the previous one stays trusted; a leaf lives for seven days
    #[arg(long, value_name = "SECONDS", default_value_t = 604_800)]
    pub ca_retire: u32,
    /// After SIGTERM: seconds of unready but still accepting, while endpoints hear of it
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub shutdown_grace: u64,
    /// What is logged, as in RUST_LOG: info, debug, sluice_webhook=debug
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "SLUICE_LOG"
    )]
    pub log: String,
}

impl WebhookArgs {
    fn config(&self) -> Result<Config, Failure> {
        let address = match &self.url {
            Some(url) if url.starts_with("https://") => Address::Url(url.clone()),
            Some(url) => {
                return Err(Failure::Input(format!(
                    "--url {url}: the API server calls webhooks over TLS only; give https://HOST:PORT"
                )));
            }
            None => Address::Service {
                namespace: self.namespace.clone(),
                name: self.service.clone(),
                port: 443,
            },
        };
        let mut config = Config::new(address);
        config.listen = self.listen;
        config.metrics_listen = self.metrics_listen;
        config.kubeconfig.clone_from(&self.kubeconfig);
        config.namespace.clone_from(&self.namespace);
        config.configuration.clone_from(&self.configuration);
        config.operator = self.operator_config.as_ref().map(Into::into);
        config.leaf = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Pair {
                certificate: certificate.clone(),
                key: key.clone(),
            }),
            _ => None,
        };
        config.otlp_endpoint = self
            .otlp_endpoint
            .clone()
            .filter(|endpoint| !endpoint.is_empty());
        config.clients = self.client_ca.as_ref().map(|file| Required {
            file: file.clone(),
            names: self.client_name.clone(),
        });
        config.ca_pace = Pace {
            dwell: SignedDuration::from_secs(self.ca_dwell.into()),
            retire: SignedDuration::from_secs(self.ca_retire.into()),
        };
        config.shutdown_grace = Duration::from_secs(self.shutdown_grace);
        Ok(config)
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`Failure::Input`] for arguments that cannot be followed or ports that are taken, [`Failure::Unreachable`] if there is
/// no cluster to talk to.
pub fn run(args: &WebhookArgs) -> Result<Outcome, Failure> {
    let config = args.config()?;
    log_json(&args.log).map_err(|error| {
        Failure::Input(format!("--log {}: {error}; give info or debug", args.log))
    })?;
    let runtime = sluice_webhook::runtime().map_err(failure)?;
    runtime
        .block_on(sluice_webhook::run(config))
        .map_err(failure)?;
    Ok(Outcome::Fine)
}

fn failure(error: sluice_webhook::Error) -> Failure {
    use sluice_webhook::Error;
    match error {
        Error::Listen { .. } | Error::Kubeconfig { .. } | Error::Clients(_) | Error::Traces(_) => {
            Failure::Input(error.to_string())
        }
        Error::NoCluster(_) | Error::Client(_) => Failure::Unreachable(error.into()),
        Error::Tls(_) | Error::System(_) => Failure::Internal(error.into()),
    }
}
