//! Which webhook and controller processes `sluice up` runs, on which ports, and under which address the API server
//! finds them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use sluice_cluster::{Cluster, ProcessSpec, free_loopback_port, probe_http};
use sluice_controller::process::Runtime;

use super::balancer::Balancer;
use super::install::eventually;
use super::unreachable;
use crate::exit::Failure;
use crate::operator::OperatorConfig;

/// Ports and files of the servers.
pub(super) struct Servers {
    logs: PathBuf,
    /// The port that is registered: the balancer's, or that of the only webhook.
    front: u16,
    webhooks: Vec<Webhook>,
    /// The controller's metrics and probes.
    controller: u16,
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
            logs: cluster.logs_dir().to_path_buf(),
            front,
            webhooks,
            controller: port()?,
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

    /// The URL under which the API server finds them.
    pub(super) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.front)
    }

    /// The processes: this very binary with other subcommands, as whom the kubeconfig says.
    pub(super) fn specs(
        &self,
        kubeconfig: &Path,
        runtime: Runtime,
        operator: Option<&OperatorConfig>,
    ) -> Result<Vec<ProcessSpec>, Failure> {
        let binary = std::env::current_exe().context("finding our own binary")?;
        let spec = |name: &str, subcommand: &str| {
            let log = self.logs.join(format!("{name}.log"));
            // What a pod gets from its manifest: who it is, and how to reach the API server.
            ProcessSpec::new(name, binary.clone(), log)
                .arg(subcommand)
                .env("POD_NAME", name)
                .env("KUBECONFIG", kubeconfig)
                .args(operator.map(|place| format!("--operator-config={place}")))
        };
        let webhook = |(index, webhook): (usize, &Webhook)| {
            spec(&format!("webhook-{index}"), "webhook").args([
                format!("--listen=127.0.0.1:{}", webhook.serving),
                format!("--metrics-listen=127.0.0.1:{}", webhook.health),
                format!("--url={}", self.url()),
                // Nobody goes on sending to a webhook that stops here: the balancer goes round it.
                "--shutdown-grace=0".to_owned(),
                // The only API server hears at once of what a bundle holds, and no replica is ever far away.
                "--ca-dwell=5".to_owned(),
                "--ca-retire=20".to_owned(),
            ])
        };
        let mut specs: Vec<_> = self.webhooks.iter().enumerate().map(webhook).collect();
        // A jar that lies on this machine is what people try first.
        let controller = spec("controller", "controller")
            .arg("--allow-local-fetch")
            .arg(format!("--metrics-listen=127.0.0.1:{}", self.controller))
            // As in the chart: the allocator reads it before our own code runs.
            .env("MIMALLOC_ALLOW_THP", "0");
        specs.push(match runtime {
            Runtime::Run => controller,
            // Without a node no pod would ever come, nor go.
            Runtime::LedgerOnly => controller.arg("--ledger-only"),
        });
        Ok(specs)
    }

    /// Where metrics are, in the form that Prometheus reads as `file_sd_configs`.
    pub(super) fn targets(&self) -> serde_json::Value {
        let target = |component: &str, name: String, port: u16| {
            json!({
                "targets": [format!("127.0.0.1:{port}")],
                "labels": {"component": component, "pod": name},
            })
        };
        let mut targets: Vec<_> = self
            .webhooks
            .iter()
            .enumerate()
            .map(|(index, webhook)| target("webhook", format!("webhook-{index}"), webhook.health))
            .collect();
        targets.push(target(
            "controller",
            "controller".to_owned(),
            self.controller,
        ));
        targets.into()
    }

    /// Waits until every webhook says that it is ready: certificates made and trusted, caches filled.
    pub(super) async fn ready(&self) -> Result<(), Failure> {
        for (index, webhook) in self.webhooks.iter().enumerate() {
            eventually(&format!("webhook-{index} is ready"), async || {
                probe_http(webhook.health, "/readyz").await
            })
            .await?;
        }
        Ok(())
    }
}
