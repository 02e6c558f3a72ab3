//! `sluice up`: a real local control plane with Sluice in front of it, until Ctrl-C.
//!
//! This file is the order of things. The control plane itself is `sluice-cluster`; webhook and controller are this very
//! binary, started again with their own subcommands ([`fleet`]), so that what runs here is what runs in a cluster.

mod account;
mod balancer;
mod canary;
mod context;
mod fleet;
mod greeting;
mod install;
mod node;
mod servers;
mod signals;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use sluice_cluster::{
    Assets, AssetsCache, Binary, Cluster, ClusterError, ClusterOptions, ControllerManager, DataDir,
};

use crate::exit::{Failure, Outcome};
use crate::operator::OperatorConfig;
use balancer::Balancer;
pub(crate) use context::trouble;
use fleet::{Fleet, Restart};
use greeting::ReadyFile;
pub use node::Flink;
use sluice_controller::process::Runtime;

/// How long each part may take with a node: ten seconds are usual, unless something else uses all cores.
const NODE_WITHIN: Duration = Duration::from_mins(3);

/// Start a local control plane with Sluice in front of it, in the foreground.
#[derive(Debug, clap::Args)]
pub struct UpArgs {
    /// File that is written, with the kubeconfig's path in it, when everything is ready
    #[arg(long, value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
    /// Folder in which the state is kept; without it, a temporary one that is removed at the end
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Folder in which the control plane's programs are kept once they are built [default: $XDG_CACHE_HOME/sluice]
    #[arg(long, value_name = "DIR")]
    pub assets: Option<PathBuf>,
    /// Number of webhook processes behind one address [default: 1], or of pods with --context [default: 2]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=32))]
    pub replicas: Option<u16>,
    /// File or folder of further CustomResourceDefinitions to install, such as the Apache operator's (repeatable)
    #[arg(long, value_name = "PATH")]
    pub crds: Vec<PathBuf>,
    /// ConfigMap with the Apache operator's own configuration, NAMESPACE/NAME; its defaults then count
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub operator_config: Option<OperatorConfig>,
    /// What happens when a webhook or controller process ends by itself
    #[arg(long, value_enum, default_value_t = Restart::Always)]
    pub restart: Restart,
    /// Add a real node, so that session clusters really run: Linux, as root; Debian packages it lacks are installed
    #[arg(long)]
    pub node: bool,
    /// Flink release that the node has an image of, built from PyPI's packages the first time (repeatable), or `none`
    /// for neither this image nor Sluice's own [default: 1.20]
    #[arg(long, value_name = "VERSION", requires = "node", value_parser = node::flink)]
    pub flink: Vec<Flink>,
    /// Archive of container images that the node shall have, or a folder of such (*.tar; repeatable)
    #[arg(long, value_name = "PATH", requires = "node")]
    pub image: Vec<PathBuf>,
    /// Install Sluice into the cluster of this kubeconfig context instead of starting one, and return when it answers
    #[arg(long, value_name = "NAME", conflicts_with_all = ["node", "data_dir", "ready_file", "assets", "crds"])]
    pub context: Option<String>,
    /// With --context: the image that holds this binary [default: the published one of this version]
    #[arg(long, value_name = "IMAGE", requires = "context")]
    pub sluice_image: Option<String>,
    /// With --context: how long its pods may take to be ready
    #[arg(long, value_name = "SECONDS", requires = "context", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// Runs until Ctrl-C, SIGTERM or SIGHUP, or until something that it cannot do without ends.
///
/// # Errors
/// [`Failure::Input`] for arguments that cannot be followed, [`Failure::Unreachable`] if the control plane does not come
/// up or does not stay up.
pub fn run(args: &UpArgs) -> Result<Outcome, Failure> {
    if args.node {
        node::check(args)?;
    }
    if let Some(name) = &args.context {
        let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
        runtime.block_on(context::install(args, name))?;
        return Ok(Outcome::Fine);
    }
    let crds = install::read_crds(&args.crds)?;
    let ready_file = args.ready_file.as_ref().map(ReadyFile::claim).transpose()?;
    let runtime = tokio::runtime::Runtime::new().context("starting the runtime")?;
    runtime.block_on(serve(args, crds, ready_file))
}

/// Everything that runs. Filled as it is started, so that an interrupted start is taken down in order too.
#[derive(Default)]
struct Running {
    fleet: Option<Fleet>,
    balancer: Option<Balancer>,
    cluster: Option<Cluster>,
}

impl Running {
    /// Takes everything down, what depends on others first.
    async fn stop(self) -> Result<(), ClusterError> {
        if let Some(fleet) = self.fleet {
            fleet.stop().await;
        }
        drop(self.balancer);
        match self.cluster {
            Some(cluster) => cluster.stop().await,
            None => Ok(()),
        }
    }
}

async fn serve(
    args: &UpArgs,
    crds: Vec<install::Crd>,
    ready_file: Option<ReadyFile>,
) -> Result<Outcome, Failure> {
    // Before anything is started: from here on no signal ends us without taking the rest along.
    let mut signals = signals::Signals::listen().context("listening for signals")?;
    let mut running = Running::default();
    let started = tokio::select! {
        result = start(args, crds, ready_file.as_ref(), &mut running) => Some(result),
        () = signals.asked_to_stop() => None,
    };
    let ended = match started {
        Some(Ok(())) => watch(&running, &mut signals).await,
        Some(Err(failure)) => Err(failure),
        // Stopped before it was ready, as asked.
        None => Ok(()),
    };
    drop(ready_file);
    greeting::tell("stopping");
    let stopped = running.stop().await;
    ended?;
    stopped.map_err(unreachable)?;
    Ok(Outcome::Fine)
}

/// Waits for the end, asked for or not.
async fn watch(running: &Running, signals: &mut signals::Signals) -> Result<(), Failure> {
    let Some(cluster) = &running.cluster else {
        return Ok(());
    };
    tokio::select! {
        () = signals.asked_to_stop() => Ok(()),
        error = cluster.failed() => Err(unreachable(error)),
    }
}

async fn start(
    args: &UpArgs,
    crds: Vec<install::Crd>,
    ready_file: Option<&ReadyFile>,
    running: &mut Running,
) -> Result<(), Failure> {
    let began = Instant::now();
    let cache = args
        .assets
        .clone()
        .map_or(AssetsCache::Default, AssetsCache::Dir);
    let (needed, components) = if args.node {
        (Binary::WITH_NODE, "the control plane and a node")
    } else {
        (
            Binary::ALL,
            "etcd, kube-apiserver and kube-controller-manager",
        )
    };
    let node = node::options(args, &cache).await?;
    let assets = Assets::obtain(&cache, needed).await.map_err(unreachable)?;

    greeting::tell(&format!("starting {components}"));
    let mut options = ClusterOptions::new(assets)
        .controller_manager(ControllerManager::Run)
        .data_dir(
            args.data_dir
                .clone()
                .map_or(DataDir::Temporary, DataDir::Keep),
        );
    if let Some(node) = node {
        options = options.node(node).ready_within(NODE_WITHIN);
    }
    let cluster = running
        .cluster
        .insert(Cluster::start(options).await.map_err(unreachable)?);
    greeting::steps(cluster);
    let client = cluster.client().await.map_err(unreachable)?;

    greeting::tell("installing Sluice");
    let servers = servers::Servers::plan(cluster, args.replicas.unwrap_or(1))?;
    install::crds(&client, crds).await?;
    let operator = args.operator_config.as_ref();
    install::namespaces(&client, operator).await?;
    install::registration(&client, servers.url()).await?;
    let kubeconfig = account::kubeconfig(cluster, &client, operator).await?;
    running.balancer = servers.balance().await?;
    let fleet = running.fleet.insert(Fleet::start(
        cluster,
        servers.specs(
            &kubeconfig,
            if args.node {
                Runtime::Run
            } else {
                Runtime::LedgerOnly
            },
            operator,
        )?,
        args.restart,
    ));
    // Whatever goes wrong from here on, the servers' own last words say most about it.
    let ready = async {
        servers.ready().await?;
        install::team_a(&client).await?;
        canary::wait(&client, install::TEAM).await?;
        install::quota_counts(&client).await
    };
    ready.await.map_err(|failure| fleet.explain(&failure))?;

    greeting::metrics(cluster, &servers.targets()).context("writing where metrics are")?;
    greeting::print(cluster).context("writing the greeting")?;
    if let Some(ready_file) = ready_file {
        ready_file.write(&cluster.kubeconfig())?;
    }
    greeting::tell(&format!(
        "ready after {:.1} s; Ctrl-C stops it",
        began.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// The control plane did not come up or did not stay up: its own words.
fn unreachable(error: ClusterError) -> Failure {
    Failure::Unreachable(anyhow::Error::new(error))
}
