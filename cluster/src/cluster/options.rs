//! What a caller may choose about a control plane.

use std::path::PathBuf;
use std::time::Duration;

use crate::{Assets, NodeOptions};

/// Whether kube-controller-manager runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ControllerManager {
    /// It does: namespaces can be deleted, owners' dependents are collected, pods get their ServiceAccounts.
    Run,
    /// It does not, which saves a second and 100 MB; admission alone needs none of it. Namespaces stay in Terminating.
    #[default]
    Absent,
}

/// Where the state lies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DataDir {
    /// In a new folder of the system's temporary one, removed at the end (but not if we are killed).
    #[default]
    Temporary,
    /// In a named folder, which is made if it is missing and kept at the end. A later start goes on from there.
    Keep(PathBuf),
}

/// Ports on 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcdPorts {
    /// Where etcd listens for clients, in plain HTTP.
    pub listen: u16,
    /// Where the API server looks for it; whoever chooses another than `listen` carries the bytes.
    pub front: u16,
}

/// How to start a [`crate::Cluster`].
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    pub(crate) assets: Assets,
    pub(crate) data_dir: DataDir,
    pub(crate) controller_manager: ControllerManager,
    pub(crate) api_server_args: Vec<String>,
    pub(crate) admission_plugins: Vec<String>,
    pub(crate) etcd: Option<EtcdPorts>,
    pub(crate) ready_within: Duration,
    pub(crate) node: Option<NodeOptions>,
}

impl ClusterOptions {
    /// API server and etcd only, in a temporary folder.
    pub fn new(assets: Assets) -> Self {
        Self {
            assets,
            data_dir: DataDir::default(),
            controller_manager: ControllerManager::default(),
            api_server_args: Vec::new(),
            admission_plugins: Vec::new(),
            etcd: None,
            // Two seconds are usual; this is for a machine that builds something else at the same time.
            ready_within: Duration::from_secs(90),
            node: None,
        }
    }

    /// Where the state lies.
    #[must_use]
    pub fn data_dir(mut self, data_dir: DataDir) -> Self {
        self.data_dir = data_dir;
        self
    }

    /// Whether kube-controller-manager runs.
    #[must_use]
    pub fn controller_manager(mut self, controller_manager: ControllerManager) -> Self {
        self.controller_manager = controller_manager;
        self
    }

    /// Adds an argument of kube-apiserver, such as `--feature-gates=X=true`. Of a flag given twice the last one counts,
    /// so this overrides ours.
    #[must_use]
    pub fn api_server_arg(mut self, arg: impl Into<String>) -> Self {
        self.api_server_args.push(arg.into());
        self
    }

    /// Enables an admission plugin that is off by default, such as `PodNodeSelector`.
    #[must_use]
    pub fn admission_plugin(mut self, name: impl Into<String>) -> Self {
        self.admission_plugins.push(name.into());
        self
    }

    /// Fixes etcd's port and the one by which the API server reaches it: for tests that put something between the two.
    #[must_use]
    pub fn etcd(mut self, ports: EtcdPorts) -> Self {
        self.etcd = Some(ports);
        self
    }

    /// Adds a real node, on which pods run. kube-controller-manager runs with it in any case.
    #[must_use]
    pub fn node(mut self, node: NodeOptions) -> Self {
        self.node = Some(node);
        self.controller_manager = ControllerManager::Run;
        self
    }

    /// How long each component may take to become ready.
    #[must_use]
    pub fn ready_within(mut self, deadline: Duration) -> Self {
        self.ready_within = deadline;
        self
    }
}
