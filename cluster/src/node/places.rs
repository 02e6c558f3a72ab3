//! Where a node's files lie: under `node/` in the data folder, logs beside those of the control plane.

use std::path::{Path, PathBuf};

use crate::ClusterError;
use crate::pki::make_private_dir;

/// The folders and files.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub node: PathBuf,
    logs: PathBuf,
}

impl Places {
    pub(super) fn make(dir: &Path, logs: &Path) -> Result<Self, ClusterError> {
        let places = Self {
            node: dir.join("node"),
            logs: logs.to_path_buf(),
        };
        for folder in [
            places.node.clone(),
            places.kubelet(),
            places.containerd(),
            places.cni(),
        ] {
            make_private_dir(&folder)?;
        }
        Ok(places)
    }

    /// The block of addresses, kept: Services have theirs from it.
    pub(super) fn network(&self) -> PathBuf {
        network(&self.node)
    }

    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    /// The kubelet's state, with the pods' volumes.
    pub(super) fn kubelet(&self) -> PathBuf {
        self.node.join("kubelet")
    }

    /// Images, unpacked and not.
    pub(super) fn containerd(&self) -> PathBuf {
        self.node.join("containerd")
    }

    /// The pod network's configuration.
    pub(super) fn cni(&self) -> PathBuf {
        self.node.join("cni")
    }

    /// Which pod has which address.
    pub(super) fn addresses(&self) -> PathBuf {
        self.node.join("addresses")
    }

    /// What the pods print.
    pub(super) fn pod_logs(&self) -> PathBuf {
        self.node.join("pods")
    }
}

/// Whether a data folder was made with a node.
pub(crate) fn has_node(dir: &Path) -> bool {
    network(&dir.join("node")).is_file()
}

fn network(node: &Path) -> PathBuf {
    node.join("network")
}
