//! The control plane's life: start, kill and restart of its parts, stop. What each part is started with and when it
//! counts as ready is in [`components`], what a caller may choose is in [`options`].

mod addresses;
mod components;
mod options;

use std::fmt;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use tempfile::TempDir;

use crate::node::{Ground, Lasting, Node};
use crate::pki::{self, Pki};
use crate::{Assets, Binary, ClusterError, Process, free_loopback_port};
use components::Layout;
pub use options::{ClusterOptions, ControllerManager, DataDir, EtcdPorts};

/// A free port is not a reserved one: how often a start is tried anew when somebody else was quicker.
const STARTS: u32 = 3;
/// What Go's `net.Listen` says about it.
const PORT_TAKEN: &str = "address already in use";
/// From SIGTERM to SIGKILL. The API server lets requests in flight end; watches are closed at once.
const GRACE: Duration = Duration::from_secs(5);

/// A part of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// The store.
    Etcd,
    /// The API server.
    ApiServer,
    /// The controllers, where [`ControllerManager::Run`] was asked for.
    ControllerManager,
}

impl Component {
    /// In the order of their start; they are stopped the other way round.
    const IN_ORDER: [Self; 3] = [Self::Etcd, Self::ApiServer, Self::ControllerManager];

    const fn binary(self) -> Binary {
        match self {
            Self::Etcd => Binary::Etcd,
            Self::ApiServer => Binary::KubeApiserver,
            Self::ControllerManager => Binary::KubeControllerManager,
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.binary().file_name())
    }
}

/// A running control plane. Dropping it ends all of it, as [`Cluster::stop`] does, only without a runtime.
///
/// It may be shared between tests and runtimes: no part of it is bound to the one that started it.
#[derive(Debug)]
pub struct Cluster {
    options: ClusterOptions,
    layout: Layout,
    /// One place for each of [`Component::IN_ORDER`]; empty after a kill, or where it was never asked for.
    running: Mutex<[Option<Arc<Process>>; 3]>,
    /// Where one was asked for.
    node: Option<Node>,
    /// How the start went on.
    steps: Vec<(&'static str, Duration)>,
    /// Held as long as this value lives: two etcds on the same data would wait for each other.
    _lock: File,
    /// Removed when this value goes, after the processes.
    temporary: Option<TempDir>,
}

impl Cluster {
    /// Starts etcd, kube-apiserver and, where asked for, kube-controller-manager on free loopback ports, and waits until
    /// they are ready (2 to 4 seconds on 2 cores), and with [`ClusterOptions::node`] until pods can run. On an error
    /// nothing is left running.
    ///
    /// # Errors
    /// [`ClusterError::Died`] or [`ClusterError::NotReady`] with the component's last words, or what else stood in the
    /// way.
    pub async fn start(options: ClusterOptions) -> Result<Self, ClusterError> {
        let temporary = match &options.data_dir {
            DataDir::Temporary => Some(
                tempfile::Builder::new()
                    .prefix("sluice-")
                    .tempdir()
                    .map_err(ClusterError::io(
                        "creating a folder in",
                        &std::env::temp_dir(),
                    ))?,
            ),
            DataDir::Keep(_) => None,
        };
        let dir = match (&options.data_dir, &temporary) {
            (DataDir::Keep(dir), _) => {
                std::path::absolute(dir).map_err(ClusterError::io("resolving", dir))?
            }
            (DataDir::Temporary, Some(dir)) => dir.path().to_path_buf(),
            (DataDir::Temporary, None) => std::env::temp_dir(),
        };
        pki::make_private_dir(&dir)?;
        let lock = lock(&dir)?;
        addresses::agree(&dir, options.node.as_ref())?;
        let logs = dir.join("logs");
        pki::make_private_dir(&logs)?;
        let pki = Pki::load_or_make(&dir.join("pki"))?;
        let began = Instant::now();
        let ground = match &options.node {
            Some(node) => {
                let lasting = temporary
                    .as_ref()
                    .map_or(Lasting::Kept, |_| Lasting::Temporary);
                let tools = node.tools.clone();
                Some(Ground::prepare(tools, &dir, &logs, lasting, options.ready_within).await?)
            }
            None => None,
        };
        let network = ground
            .as_ref()
            .map(|ground| addresses::with_node(ground.network(), &pki))
            .transpose()?;

        let layout = Layout {
            dir,
            logs,
            pki,
            etcd_client: 0,
            etcd_front: 0,
            etcd_peer: 0,
            api_server: 0,
            network,
        };
        let mut cluster = Self {
            options,
            layout,
            running: Mutex::new([None, None, None]),
            node: None,
            steps: Vec::new(),
            _lock: lock,
            temporary,
        };
        let (Some(ground), Some(options)) = (ground, cluster.options.node.clone()) else {
            cluster.start_on_free_ports().await?;
            cluster.steps.push(("control plane", began.elapsed()));
            return Ok(cluster);
        };
        cluster.steps.push(("namespaces", began.elapsed()));
        // Images take longest; they need no API server.
        let within = cluster.options.ready_within;
        let runtime = Node::start_runtime(
            ground,
            cluster.options.assets.clone(),
            cluster.layout.kubeconfig(),
            &options,
            within,
        );
        let (runtime, started) = tokio::join!(runtime, cluster.start_on_free_ports());
        let node = cluster.node.insert(runtime?);
        started?;
        cluster
            .steps
            .push(("control plane, containerd and images", began.elapsed()));
        let client = client(&cluster.layout.kubeconfig())
            .await
            .map_err(ClusterError::Client)?;
        node.start_kubelet(&client, &cluster.layout.pki, within)
            .await?;
        cluster.steps.push(("node and DNS ready", began.elapsed()));
        Ok(cluster)
    }

    async fn start_on_free_ports(&mut self) -> Result<(), ClusterError> {
        let mut tries = 1;
        loop {
            let etcd = if let Some(ports) = self.options.etcd {
                ports
            } else {
                let port = free_loopback_port()?;
                EtcdPorts {
                    listen: port,
                    front: port,
                }
            };
            self.layout.etcd_client = etcd.listen;
            self.layout.etcd_front = etcd.front;
            self.layout.etcd_peer = free_loopback_port()?;
            self.layout.api_server = free_loopback_port()?;
            match self.start_all().await {
                Ok(()) => return Ok(()),
                Err(ClusterError::Died { tail, .. })
                    if tail.contains(PORT_TAKEN) && tries < STARTS =>
                {
                    self.stop_all().await;
                    tries += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn start_all(&self) -> Result<(), ClusterError> {
        self.layout
            .pki
            .write_kubeconfig(&self.layout.kubeconfig(), &self.layout.server_url())?;
        self.start_component(Component::Etcd).await?;
        self.start_component(Component::ApiServer).await?;
        match self.options.controller_manager {
            ControllerManager::Run => self.start_component(Component::ControllerManager).await,
            ControllerManager::Absent => Ok(()),
        }
    }

    /// Spawns it and waits until it is ready.
    async fn start_component(&self, component: Component) -> Result<(), ClusterError> {
        let spec = self.layout.spec(component, &self.options);
        let process = Arc::new(Process::spawn(spec)?);
        self.put(component, Some(Arc::clone(&process)));
        let client = match component {
            Component::Etcd => None,
            Component::ApiServer | Component::ControllerManager => Some(self.client().await?),
        };
        self.layout
            .wait_ready(component, &process, client, self.options.ready_within)
            .await
    }

    /// Ends everything in order (the node with its pods, controllers, API server, etcd), each with SIGTERM, a deadline and SIGKILL, and removes
    /// the data folder if it is a temporary one.
    ///
    /// # Errors
    /// [`ClusterError::Io`] if the temporary folder cannot be removed.
    pub async fn stop(mut self) -> Result<(), ClusterError> {
        if let Some(node) = &self.node {
            node.stop().await;
        }
        self.stop_all().await;
        if let Some(node) = self.node.take() {
            node.clear().await?;
        }
        match self.temporary.take() {
            Some(dir) => {
                let path = dir.path().to_path_buf();
                dir.close().map_err(ClusterError::io("removing", &path))
            }
            None => Ok(()),
        }
    }

    async fn stop_all(&self) {
        for component in Component::IN_ORDER.into_iter().rev() {
            if let Some(process) = self.put(component, None) {
                process.stop(GRACE).await;
            }
        }
    }

    /// Kills a component with SIGKILL and returns when it is gone. Its data stays; [`Cluster::restart`] brings it back.
    ///
    /// # Errors
    /// [`ClusterError::NotRunning`] if it does not run.
    pub async fn kill(&self, component: Component) -> Result<(), ClusterError> {
        let process = self
            .put(component, None)
            .ok_or_else(|| not_running(component))?;
        process.kill();
        process.exited().await;
        Ok(())
    }

    /// Stops a component if it runs, starts it anew on the same port with the same data, and waits until it is ready.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&self, component: Component) -> Result<(), ClusterError> {
        if let Some(process) = self.put(component, None) {
            process.stop(GRACE).await;
        }
        self.start_component(component).await
    }

    /// Waits until any component ends by itself, and returns the error which says so. Killing one by [`Cluster::kill`]
    /// counts as ending by itself for whoever already waits here.
    pub async fn failed(&self) -> ClusterError {
        let waits = Component::IN_ORDER
            .into_iter()
            .filter_map(|component| self.get(component))
            .chain(self.node.iter().flat_map(Node::processes))
            .map(|process| {
                Box::pin(async move {
                    let status = process.exited().await;
                    process.died(status)
                })
            });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return not_running(Component::ApiServer);
        }
        futures::future::select_all(waits).await.0
    }

    /// The process of a component, to look at its pid and log, or to freeze it.
    ///
    /// # Errors
    /// [`ClusterError::NotRunning`] if it does not run.
    pub fn process(&self, component: Component) -> Result<Arc<Process>, ClusterError> {
        self.get(component).ok_or_else(|| not_running(component))
    }

    /// The node, where one was asked for.
    pub fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    /// What the start consisted of, and after how long each step was done.
    pub fn steps(&self) -> &[(&'static str, Duration)] {
        &self.steps
    }

    /// The administrator's kubeconfig file, which needs no other file.
    pub fn kubeconfig(&self) -> PathBuf {
        self.layout.kubeconfig()
    }

    /// `https://127.0.0.1:PORT`; with a node `https://10.N.255.1:PORT`, which pods reach too.
    pub fn server_url(&self) -> String {
        self.layout.server_url()
    }

    /// The folder with data, keys, kubeconfig and `logs/`. Whatever else belongs to this cluster may be put there too.
    pub fn data_dir(&self) -> &Path {
        &self.layout.dir
    }

    /// The folder of the log files, one for each component.
    pub fn logs_dir(&self) -> &Path {
        &self.layout.logs
    }

    /// The certificate authority of the API server.
    pub fn ca_cert(&self) -> &Path {
        &self.layout.pki.ca_cert
    }

    /// Its key, with which client certificates can be signed that the API server accepts.
    pub fn ca_key(&self) -> &Path {
        &self.layout.pki.ca_key
    }

    /// The programs it runs on.
    pub fn assets(&self) -> &Assets {
        &self.options.assets
    }

    /// The path of kubectl.
    pub fn kubectl(&self) -> PathBuf {
        self.options.assets.path(Binary::Kubectl)
    }

    /// A client with the administrator's rights. Bound to the runtime it is made in, as all such clients.
    ///
    /// # Errors
    /// [`ClusterError::Client`] if the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<kube::Client, ClusterError> {
        client(&self.kubeconfig())
            .await
            .map_err(ClusterError::Client)
    }

    fn get(&self, component: Component) -> Option<Arc<Process>> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.get(component as usize).cloned().flatten()
    }

    fn put(&self, component: Component, process: Option<Arc<Process>>) -> Option<Arc<Process>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running
            .get_mut(component as usize)
            .and_then(|place| std::mem::replace(place, process))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(node) = &self.node {
            node.stop_blocking();
        }
        for component in Component::IN_ORDER.into_iter().rev() {
            if let Some(process) = self.put(component, None) {
                process.stop_blocking(GRACE);
            }
        }
    }
}

/// Makes the data folder ours. The system lets go of it if we die.
fn lock(dir: &Path) -> Result<File, ClusterError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(ClusterError::io("creating", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ClusterError::InUse {
            dir: dir.to_path_buf(),
        }),
        Err(TryLockError::Error(source)) => Err(ClusterError::io("locking", &path)(source)),
    }
}

fn not_running(component: Component) -> ClusterError {
    ClusterError::NotRunning {
        name: component.to_string(),
    }
}

async fn client(
    kubeconfig: &Path,
) -> Result<kube::Client, Box<dyn std::error::Error + Send + Sync>> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    Ok(kube::Client::try_from(config)?)
}
