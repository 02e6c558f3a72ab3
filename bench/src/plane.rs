//! A control plane of its own with Sluice in front of it (`sluice up`), and what the benchmarks of scale do with one: fill etcd
//! behind the API server's back, start further webhooks beside the one that runs, and ask a webhook directly.

use crate::etcd::Etcd;
use crate::load::ApiServer;
use crate::stage::{build_sluice, client, crd, sluice_up};
use crate::target::Target;
use anyhow::{Context as _, bail};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::{Api, Client};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice_cluster::{Process, ProcessSpec, free_loopback_port};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Everything that runs.
pub struct Plane {
    /// For what is not measured.
    pub client: Client,
    /// For what is.
    pub api_server: Arc<ApiServer>,
    kubeconfig: PathBuf,
    sluice: PathBuf,
    data_dir: PathBuf,
    up: Process,
    started: AtomicUsize,
    folder: tempfile::TempDir,
}

/// A webhook beside those of `sluice up`.
pub struct Webhook {
    /// The process.
    pub process: Process,
    /// From its start until it said that it is ready.
    pub ready_after: Duration,
    serving: u16,
}

/// Processes that go on when this is dropped.
#[must_use]
pub struct Still(Vec<u32>);

impl Drop for Still {
    fn drop(&mut self) {
        for pid in &self.0 {
            // Who has ended meanwhile needs nothing.
            let _ = signal(*pid, Signal::SIGCONT);
        }
    }
}

/// Where namespaces get their objects from.
const CONTROLLERS: &str = "kube-controller-manager";

/// Holds a process to a core; of util-linux, as every Debian has it.
pub const TASKSET: &str = "/usr/bin/taskset";

/// How long a webhook may take until it is ready, with everything to be listed.
const READY_WITHIN: Duration = Duration::from_mins(2);

impl Plane {
    /// Builds the binary, starts all of it with so many webhooks, and waits until it is ready.
    pub async fn set(replicas: usize) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let sluice = build_sluice()?;
        let (crd, _) = crd(folder.path())?;
        let data_dir = folder.path().join("data");
        let (up, kubeconfig) = sluice_up(&sluice, folder.path(), &crd, replicas).await?;
        Ok(Self {
            client: client(&kubeconfig).await?,
            api_server: Arc::new(ApiServer::of(&kubeconfig).await?),
            kubeconfig,
            sluice,
            data_dir,
            up,
            started: AtomicUsize::new(0),
            folder,
        })
    }

    /// Ends it all.
    pub async fn strike(self) {
        self.up.stop(Duration::from_secs(20)).await;
    }

    /// The process ids of `sluice up`'s children by name.
    pub fn processes(&self) -> anyhow::Result<BTreeMap<String, u32>> {
        let text = std::fs::read_to_string(self.data_dir.join("processes.json"))
            .context("reading who runs under sluice up")?;
        Ok(serde_json::from_str(&text)?)
    }

    fn pid(&self, name: &str) -> anyhow::Result<u32> {
        let pid = self.processes()?.get(name).copied();
        pid.with_context(|| format!("no {name} is running"))
    }

    /// Where one of the webhooks of `sluice up` listens: host and port.
    pub fn webhook_address(&self, number: usize) -> anyhow::Result<String> {
        argument(self.pid(&format!("webhook-{number}"))?, "--listen=")
    }

    /// etcd itself.
    pub async fn etcd(&self) -> anyhow::Result<Etcd> {
        let url = argument(self.pid("etcd")?, "--listen-client-urls=")?;
        let port = url.rsplit(':').next().unwrap_or_default().parse()?;
        Etcd::connect(port).await
    }

    /// Stops kube-controller-manager, which nothing here needs: for every namespace it makes two objects, twenty a second.
    pub fn hush(&self) -> anyhow::Result<()> {
        signal(self.pid(CONTROLLERS)?, Signal::SIGSTOP)
            .context("kube-controller-manager could not be stopped")
    }

    /// Holds all of it, `hush`ed or not, until what is returned is dropped, so that it takes nothing from what is measured meanwhile.
    /// For seconds only: who waits ten for an answer gives up.
    pub fn hold_still(&self) -> anyhow::Result<Still> {
        let mut still = Still(Vec::new());
        for (name, pid) in self.processes()? {
            if name != CONTROLLERS {
                signal(pid, Signal::SIGSTOP).with_context(|| format!("holding {name} still"))?;
                still.0.push(pid);
            }
        }
        Ok(still)
    }

    /// Starts a webhook as those of `sluice up` are, on ports of its own and, where asked for, on one core, and waits until it is
    /// ready.
    pub async fn webhook(&self, core: Option<usize>) -> anyhow::Result<Webhook> {
        let (serving, health) = (free_loopback_port()?, free_loopback_port()?);
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let name = format!("beside-{number}");
        let command = std::fs::read(format!("/proc/{}/cmdline", self.pid("webhook-0")?))?;
        let command = String::from_utf8_lossy(&command);
        let arguments = command.split('\0').skip(1).filter(|argument| {
            !argument.is_empty()
                && !argument.starts_with("--listen=")
                && !argument.starts_with("--metrics-listen=")
        });
        let log = self.folder.path().join(format!("{name}.log"));
        let spec = match core {
            None => ProcessSpec::new(&name, &self.sluice, log),
            Some(core) => ProcessSpec::new(&name, TASKSET, log)
                .args(["-c".to_owned(), core.to_string()])
                .arg(&self.sluice),
        };
        let spec = spec
            .args(arguments)
            .arg(format!("--listen=127.0.0.1:{serving}"))
            .arg(format!("--metrics-listen=127.0.0.1:{health}"))
            .env("POD_NAME", &name)
            .env("KUBECONFIG", &self.kubeconfig);
        let began = Instant::now();
        let process = Process::spawn(spec)?;
        while sluice_cluster::probe_http(health, "/readyz").await.is_err() {
            if let Some(status) = process.exit_status() {
                bail!("{name} ended ({status}): {}", process.log_tail());
            }
            anyhow::ensure!(
                began.elapsed() < READY_WITHIN,
                "{name} is not ready: {}",
                process.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Webhook {
            ready_after: began.elapsed(),
            process,
            serving,
        })
    }

    /// The way to a webhook past the API server.
    pub async fn target(&self, webhook: &Webhook) -> anyhow::Result<Target> {
        let api: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let registered = api.get("sluice").await?;
        let bundle = registered
            .webhooks
            .into_iter()
            .flatten()
            .find_map(|webhook| webhook.client_config.ca_bundle)
            .context("Sluice's registration has no caBundle")?;
        Target::new(webhook.serving, &bundle.0)
    }
}

fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
}

/// What follows a flag in a process's command line.
fn argument(pid: u32, flag: &str) -> anyhow::Result<String> {
    let command = std::fs::read(format!("/proc/{pid}/cmdline"))?;
    let command = String::from_utf8_lossy(&command);
    let found = command
        .split('\0')
        .find_map(|argument| argument.strip_prefix(flag));
    Ok(found
        .with_context(|| format!("process {pid} has no {flag}"))?
        .to_owned())
}
