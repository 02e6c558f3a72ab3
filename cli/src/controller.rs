//! `sluice controller`: the controller as a process, until SIGTERM.
//!
//! Arguments become a [`Config`]; everything else is in `sluice_controller`.

use crate::exit::{Failure, Outcome};
use crate::operator::OperatorConfig;
use clap::Args;
use sluice_controller::process::{self, Config, LocalFetch, Runtime};
use sluice_webhook::config::log_json;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Run the controller until SIGTERM: it keeps the quota ledger true, and runs session clusters, their jobs and Deployments.
#[derive(Debug, Args)]
#[command(args_override_self = true)] // the chart's extraArgs come after its own
pub struct ControllerArgs {
    /// Kubeconfig file; without it KUBECONFIG, else the pod's service account
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the Lease
    #[arg(long, value_name = "NAMESPACE", default_value = "sluice-system")]
    pub namespace: String,
    /// Name of the Lease by which the controllers elect one of them
    #[arg(long, value_name = "NAME", default_value = "sluice-controller")]
    pub lease: String,
    /// Name of this instance in the Lease, such as the pod's
    #[arg(
        long,
        value_name = "NAME",
        env = "POD_NAME",
        default_value = "sluice-controller"
    )]
    pub instance: String,
    /// Where /metrics, /healthz and /readyz are shown, in plain HTTP; without it nowhere. Beside a webhook: another port than its own
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_listen: Option<SocketAddr>,
    /// Keep the quota ledger and nothing else: no pods are made
    #[arg(long)]
    pub ledger_only: bool,
    /// Image that holds this binary: init containers of Flink's pods fetch jars with it
    #[arg(
        long,
        value_name = "IMAGE",
        env = "SLUICE_IMAGE",
        default_value = super::manifests::IMAGE
    )]
    pub sluice_image: String,
    /// Address of every Flink REST API, for tests; without it each is looked for at its Service's cluster IP
    #[arg(long, value_name = "URL", hide = true)]
    pub flink_address: Option<String>,
    /// ConfigMap with the Apache operator's own configuration, NAMESPACE/NAME; its defaults then count, as for the webhook
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub operator_config: Option<OperatorConfig>,
    /// Fetch jars of session jobs from loopback, link-local addresses and the API server too: any user can name one
    #[arg(long)]
    pub allow_local_fetch: bool,
    /// What is logged, as in RUST_LOG: info, debug, sluice_controller=debug
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "info",
        env = "SLUICE_LOG"
    )]
    pub log: String,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`Failure::Input`] for arguments that cannot be followed, [`Failure::Unreachable`] if there is no cluster to talk to.
pub fn run(args: &ControllerArgs) -> Result<Outcome, Failure> {
    log_json(&args.log).map_err(|error| {
        Failure::Input(format!("--log {}: {error}; give info or debug", args.log))
    })?;
    // A thousand session clusters are many small things: in pages of 2 MiB, which the allocator asks the kernel for, they take half as
    // much again. What the allocator took before this is told by MIMALLOC_ALLOW_THP=0, as the chart does. A kernel that has none of these has nothing to switch off.
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::debug!(%error, "huge pages stay in use");
    }
    let config = Config {
        kubeconfig: args.kubeconfig.clone(),
        namespace: args.namespace.clone(),
        lease: args.lease.clone(),
        instance: args.instance.clone(),
        metrics_listen: args.metrics_listen,
        runtime: if args.ledger_only {
            Runtime::LedgerOnly
        } else {
            Runtime::Run
        },
        sluice_image: args.sluice_image.clone(),
        flink_address: args.flink_address.clone(),
        operator: args.operator_config.as_ref().map(Into::into),
        local_fetch: if args.allow_local_fetch {
            LocalFetch::Allowed
        } else {
            LocalFetch::Refused
        },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::Internal(error.into()))?;
    runtime.block_on(process::run(config)).map_err(failure)?;
    Ok(Outcome::Fine)
}

fn failure(error: process::Error) -> Failure {
    use process::Error;
    match error {
        Error::Kubeconfig(_) | Error::Listen(_) => Failure::Input(error.to_string()),
        Error::NoCluster(_) | Error::Client(_) => Failure::Unreachable(error.into()),
        Error::Flink(_) | Error::SessionJobs(_) | Error::System(_) => {
            Failure::Internal(error.into())
        }
    }
}
