//! Which webhook and controller processes `sluice up` runs, on which ports, and under which address the API server
//! finds them.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;
use sluice_cluster::{Cluster, ProcessSpec, free_loopback_port};

use super::balancer::Balancer;
use super::unreachable;
use crate::args::Cli;
use crate::exit::Failure;

/// Whether this binary has the servers' subcommands.
pub(super) fn are_built() -> bool {
    let cli = Cli::command();
    ["webhook", "controller"]
        .iter()
        .all(|name| cli.find_subcommand(name).is_some())
}

/// Ports and files of the servers.
pub(super) struct Servers {
    kubeconfig: PathBuf,
    logs: PathBuf,
    /// The port that is registered: the balancer's, or that of the only webhook.
    front: u16,
    webhooks: Vec<Webhook>,
}

/// One webhook process.
struct Webhook {
    /// Admission, over TLS.
    serving: u16,
    /// Metrics and health, without.
    health: u16,
}

impl Servers {
    /// Chooses the ports.
    pub(super) fn plan(cluster: &Cluster, replicas: u16) -> Result<Self, Failure> {
        let port = || free_loopback_port().map_err(unreachable);
        let webhooks = (0..replicas)
            .map(|_| {
                Ok(Webhook {
                    serving: port()?,
                    health: port()?,
                })
            })
            .collect::<Result<Vec<_>, Failure>>()?;
        let front = match webhooks.as_slice() {
            // No detour where there is nothing to choose from.
            [only] => only.serving,
            _ => port()?,
        };
        Ok(Self {
            kubeconfig: cluster.kubeconfig(),
            logs: cluster.logs_dir().to_path_buf(),
            front,
            webhooks,
        })
    }

    /// Starts the balancer where there are several webhooks.
    pub(super) async fn balance(&self) -> Result<Option<Balancer>, Failure> {
        if self.webhooks.len() < 2 {
            return Ok(None);
        }
        let address = |webhook: &Webhook| SocketAddr::from((Ipv4Addr::LOCALHOST, webhook.serving));
        let backends = self.webhooks.iter().map(address).collect();
        let balancer = Balancer::start(self.front, backends)
            .await
            .context("starting the balancer")?;
        Ok(Some(balancer))
    }

    /// The processes: this very binary with other subcommands.
    pub(super) fn specs(&self) -> Result<Vec<ProcessSpec>, Failure> {
        let binary = std::env::current_exe().context("finding our own binary")?;
        let spec = |name: String, args: Vec<OsString>| {
            let log = self.logs.join(format!("{name}.log"));
            ProcessSpec::new(name, binary.clone(), log)
                .args(args)
                .env("KUBECONFIG", self.kubeconfig.clone())
        };
        let loopback = |port: u16| OsString::from(format!("127.0.0.1:{port}"));
        let webhooks = self.webhooks.iter().enumerate().map(|(index, webhook)| {
            let args = [
                "webhook".into(),
                "--listen".into(),
                loopback(webhook.serving),
                "--health".into(),
                loopback(webhook.health),
            ];
            spec(format!("webhook-{index}"), args.to_vec())
        });
        Ok(webhooks
            .chain([spec("controller".to_owned(), vec!["controller".into()])])
            .collect())
    }
}
