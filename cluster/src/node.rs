//! One real node: kubelet, containerd, kube-proxy, kube-scheduler and a DNS server, on the API server of
//! [`crate::Cluster`]. This file is the order of things.
//!
//! What must be there is in [`requirements`], what the node stands on in [`ground`], what is written for its programs
//! in [`config`]. Flink's images are not made here.
//!
//! **Nothing outlives us.** All of the node runs in namespaces whose first process is our child
//! ([`namespaces`]): when that dies, the kernel ends every process, mount and link in them. Empty cgroups and a
//! temporary folder are what may be left after a SIGKILL, and the next start removes them ([`registry`]).

mod busybox;
mod cgroup;
mod config;
mod dns;
mod ground;
mod identity;
mod namespaces;
mod network;
mod options;
mod places;
mod ready;
mod registry;
mod requirements;

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::pki::{Pki, Usage};
use crate::{Assets, Binary, ClusterError, Process, ProcessSpec};
pub use busybox::IMAGE as BUSYBOX_IMAGE;
pub use config::NODE_NAME;
pub(crate) use ground::{Ground, Lasting};
pub use network::Network;
pub use options::NodeOptions;
pub(crate) use places::has_node;
pub use requirements::HostTools;

/// How often readiness is asked for, and how long one answer may take.
const POLL: Duration = Duration::from_millis(50);
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long one archive may take to be imported. A Flink image of 330 MB takes 6 s on 2 cores.
const IMPORT_WITHIN: Duration = Duration::from_mins(3);
/// From SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// A process of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodePart {
    /// The container runtime.
    Containerd,
    /// Gives pods their node. It runs beside the API server.
    Scheduler,
    /// Runs pods.
    Kubelet,
    /// Makes Services' addresses lead to pods.
    Proxy,
}

impl NodePart {
    /// In the order of their start.
    const IN_ORDER: [Self; 4] = [
        Self::Containerd,
        Self::Scheduler,
        Self::Kubelet,
        Self::Proxy,
    ];

    const fn binary(self) -> Binary {
        match self {
            Self::Containerd => Binary::Containerd,
            Self::Scheduler => Binary::KubeScheduler,
            Self::Kubelet => Binary::Kubelet,
            Self::Proxy => Binary::KubeProxy,
        }
    }
}

/// A running node. It belongs to its [`crate::Cluster`], which takes it down.
#[derive(Debug)]
pub struct Node {
    ground: Ground,
    assets: Assets,
    kubeconfig: PathBuf,
    running: Mutex<[Option<Arc<Process>>; 4]>,
    /// When this start began, in seconds of Unix time: what the store says of earlier ones does not count.
    began: i64,
}

impl Node {
    /// Starts containerd and imports the images, for which no API server is needed yet.
    pub(crate) async fn start_runtime(
        ground: Ground,
        assets: Assets,
        kubeconfig: PathBuf,
        options: &NodeOptions,
        within: Duration,
    ) -> Result<Self, ClusterError> {
        let node = Self {
            ground,
            assets,
            kubeconfig,
            running: Mutex::new([None, None, None, None]),
            began: ready::now(),
        };
        let places = &node.ground.places;
        // Which pod had which address: all pods get new ones.
        let addresses = places.addresses();
        if addresses.exists() {
            fs::remove_dir_all(&addresses).map_err(ClusterError::io("removing", &addresses))?;
        }
        write(
            &places.node.join("containerd.toml"),
            &config::containerd(places, &node.ground.tools),
        )?;
        write(
            &places.cni().join("10-sluice.conflist"),
            &config::cni(places, node.network()),
        )?;
        node.start(NodePart::Containerd)?;
        node.containerd_answers(within).await?;
        let own = places.node.join("busybox.tar");
        busybox::archive(&node.ground.tools, &own)?;
        node.import_image(&own).await?;
        for archive in archives(options)? {
            node.import_image(&archive).await?;
        }
        Ok(node)
    }

    /// Starts the rest, now that the API server answers, and waits until the node is ready.
    pub(crate) async fn start_kubelet(
        &self,
        client: &kube::Client,
        pki: &Pki,
        within: Duration,
    ) -> Result<(), ClusterError> {
        let places = &self.ground.places;
        let network = self.network();
        let keys = pki.issue(
            "kubelet",
            Usage::Server,
            &[NODE_NAME.to_owned(), network.node().to_string()],
        )?;
        let keys = config::KubeletKeys {
            ca: &pki.ca_cert,
            cert: &keys.cert,
            key: &keys.key,
        };
        write(
            &places.node.join("kubelet.yaml"),
            &config::kubelet(places, network, &self.ground.cgroup(), &keys),
        )?;
        write(
            &places.node.join("kube-proxy.yaml"),
            &config::kube_proxy(network, &self.kubeconfig),
        )?;
        for part in [NodePart::Scheduler, NodePart::Kubelet, NodePart::Proxy] {
            self.start(part)?;
        }
        dns::apply(client, network, &self.assets.path(Binary::CoreDns)).await?;
        self.ready(client, within).await
    }

    fn spec(&self, part: NodePart) -> ProcessSpec {
        let places = &self.ground.places;
        let binary = part.binary();
        let name = binary.file_name();
        let (program, log) = (self.assets.path(binary), places.log(name));
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        let config = |file: &str| format!("--config={}", places.node.join(file).display());
        let inside = |program| self.ground.namespaces.spec(name, program, log.clone());
        let spec = match part {
            NodePart::Scheduler => ProcessSpec::new(name, program, log).args([
                kubeconfig,
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                "--profiling=false".into(),
            ]),
            NodePart::Containerd => {
                inside(program).args([config("containerd.toml"), "--log-level=warn".into()])
            }
            NodePart::Kubelet => inside(program).args([
                config("kubelet.yaml"),
                kubeconfig,
                format!("--hostname-override={NODE_NAME}"),
                format!("--node-ip={}", self.network().node()),
                format!("--root-dir={}", places.kubelet().display()),
                format!(
                    "--cert-dir={}",
                    places.node.join("kubelet-certificates").display()
                ),
            ]),
            NodePart::Proxy => inside(program).args([config("kube-proxy.yaml")]),
        };
        // A proxy of the user's is not on the way to an address of this machine.
        ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"]
            .into_iter()
            .fold(spec.env("PATH", self.path()), |spec, name| {
                spec.env(name, "")
            })
    }

    /// containerd looks for its shim there, kube-proxy for nft, the kubelet for mount.
    fn path(&self) -> String {
        let folder = |path: &Path| path.parent().map(|dir| dir.display().to_string());
        let mut folders = vec![
            folder(&self.assets.path(Binary::ContainerdShim)),
            folder(&self.ground.tools.nft),
            folder(&self.ground.tools.ip),
        ];
        folders.extend(
            [
                "/usr/local/sbin",
                "/usr/local/bin",
                "/usr/sbin",
                "/usr/bin",
                "/sbin",
                "/bin",
            ]
            .map(|dir| Some(dir.to_owned())),
        );
        folders.into_iter().flatten().collect::<Vec<_>>().join(":")
    }

    fn start(&self, part: NodePart) -> Result<(), ClusterError> {
        let process = Process::spawn(self.spec(part))?;
        self.put(part, Some(Arc::new(process)));
        Ok(())
    }

    /// Waits until containerd answers.
    async fn containerd_answers(&self, within: Duration) -> Result<(), ClusterError> {
        let process = self.process(NodePart::Containerd)?;
        let deadline = Instant::now() + within;
        loop {
            let last = match self.ctr(&["version"], ANSWER_WITHIN).await {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            };
            if let Some(status) = process.exit_status() {
                return Err(process.died(status));
            }
            if Instant::now() > deadline {
                return Err(process.not_ready(within, last));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Runs containerd's client in the namespace that the kubelet uses.
    async fn ctr(&self, words: &[&str], within: Duration) -> Result<String, ClusterError> {
        let mut command = vec![
            self.assets.path(Binary::Ctr).to_string_lossy().into_owned(),
            format!("--address={}", config::CONTAINERD_SOCKET),
            "--namespace=k8s.io".to_owned(),
        ];
        command.extend(words.iter().map(|word| (*word).to_owned()));
        self.ground.namespaces.run_within(&command, within).await
    }

    /// Imports an archive of images (OCI or Docker layout, one tar file). Pods find them under the names that the
    /// archive gives them, with `imagePullPolicy` IfNotPresent or Never. An archive that was imported already and has
    /// not changed since is left alone.
    ///
    /// # Errors
    /// [`ClusterError::Io`] if there is no such file, [`ClusterError::NodeCommand`] if it is no archive of images.
    pub async fn import_image(&self, archive: &Path) -> Result<(), ClusterError> {
        let archive =
            std::path::absolute(archive).map_err(ClusterError::io("resolving", archive))?;
        let meta = fs::metadata(&archive).map_err(ClusterError::io("reading", &archive))?;
        let stamp = format!(
            "{} {} {:?}\n",
            archive.display(),
            meta.len(),
            meta.modified().ok()
        );
        let imported = self.ground.places.node.join("imported");
        let before = fs::read_to_string(&imported).unwrap_or_default();
        if before.contains(&stamp) {
            return Ok(());
        }
        let path = archive.to_string_lossy().into_owned();
        self.ctr(&["images", "import", "--local", &path], IMPORT_WITHIN)
            .await?;
        write(&imported, &(before + &stamp))
    }

    /// Waits until the node is Ready and resolves names.
    ///
    /// # Errors
    /// [`ClusterError::NotReady`] or [`ClusterError::Died`] with the kubelet's last words.
    pub async fn ready(&self, client: &kube::Client, within: Duration) -> Result<(), ClusterError> {
        let kubelet = self.process(NodePart::Kubelet)?;
        let deadline = Instant::now() + within;
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                status = kubelet.exited() => return Err(kubelet.died(status)),
                _ = ticks.tick() => {}
            }
            let last = match timeout(ANSWER_WITHIN, ready::not_yet(client, self.began)).await {
                Ok(None) => return Ok(()),
                Ok(Some(reason)) => reason,
                Err(_) => format!("no answer within {ANSWER_WITHIN:?}"),
            };
            if Instant::now() > deadline {
                return Err(kubelet.not_ready(within, last));
            }
        }
    }

    /// Its addresses.
    pub fn network(&self) -> Network {
        self.ground.network()
    }

    /// The address of this machine that pods reach: what shall serve them listens here.
    pub fn host_address(&self) -> Ipv4Addr {
        self.network().host()
    }

    /// The process whose namespaces the node is in, for `nsenter --target PID --mount --net`.
    pub fn namespaces_pid(&self) -> u32 {
        self.ground.namespaces.pid()
    }

    /// A process of the node.
    ///
    /// # Errors
    /// [`ClusterError::NotRunning`] if it does not run.
    pub fn process(&self, part: NodePart) -> Result<Arc<Process>, ClusterError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .get(part as usize)
            .cloned()
            .flatten()
            .ok_or_else(|| ClusterError::NotRunning {
                name: part.binary().file_name().to_owned(),
            })
    }

    /// All processes that are watched, the namespaces' holder not among them.
    pub(crate) fn processes(&self) -> Vec<Arc<Process>> {
        NodePart::IN_ORDER
            .into_iter()
            .filter_map(|part| self.process(part).ok())
            .collect()
    }

    fn put(&self, part: NodePart, process: Option<Arc<Process>>) -> Option<Arc<Process>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .get_mut(part as usize)
            .and_then(|place| std::mem::replace(place, process))
    }

    /// Ends kubelet, kube-proxy and scheduler, then at once whatever else is in the namespaces: pods and containerd.
    /// The API server must still run, and may be stopped afterwards.
    pub(crate) async fn stop(&self) {
        for part in NodePart::IN_ORDER.into_iter().rev() {
            if let Some(process) = self.put(part, None) {
                process.stop(GRACE).await;
            }
        }
        self.ground.namespaces.end().await;
    }

    /// Removes what stands outside the data folder. Nothing may use the node's addresses any more.
    pub(crate) async fn clear(self) -> Result<(), ClusterError> {
        self.ground.clear().await
    }

    /// [`Node::stop`] for `Drop`.
    pub(crate) fn stop_blocking(&self) {
        for part in NodePart::IN_ORDER.into_iter().rev() {
            if let Some(process) = self.put(part, None) {
                process.stop_blocking(GRACE);
            }
        }
    }
}

/// All archives that were asked for.
fn archives(options: &NodeOptions) -> Result<Vec<PathBuf>, ClusterError> {
    let mut all = options.images.clone();
    for folder in options
        .image_folders
        .iter()
        .filter(|folder| folder.is_dir())
    {
        let mut found: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(ClusterError::io("reading", folder))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "tar"))
            .collect();
        found.sort();
        all.extend(found);
    }
    Ok(all)
}

fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    fs::write(path, text).map_err(ClusterError::io("writing", path))
}
