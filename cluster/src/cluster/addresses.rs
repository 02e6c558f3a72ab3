//! What a node changes for the control plane: its addresses, and the certificates that go with them.

use std::path::Path;

use super::components::NodeNetwork;
use crate::ClusterError;
use crate::node::{self, Network, NodeOptions};
use crate::pki::{self, Pki, Usage};

/// Services keep their addresses, so a data folder keeps its ranges.
pub(super) fn agree(dir: &Path, node: Option<&NodeOptions>) -> Result<(), ClusterError> {
    let made = match (node::has_node(dir), node) {
        (true, None) => "with",
        (false, Some(_)) if dir.join("etcd").exists() => "without",
        _ => return Ok(()),
    };
    Err(ClusterError::OtherNetwork {
        dir: dir.to_path_buf(),
        made,
    })
}

/// The API server's names and addresses with a node.
pub(super) fn with_node(network: Network, pki: &Pki) -> Result<NodeNetwork, ClusterError> {
    let mut names = pki::SERVER_NAMES.map(String::from).to_vec();
    names.extend([
        "kubernetes.default.svc.cluster.local".to_owned(),
        network.host().to_string(),
        network.kubernetes().to_string(),
    ]);
    Ok(NodeNetwork {
        network,
        server: pki.issue("apiserver-node", Usage::Server, &names)?,
        kubelet_client: pki.issue("kubelet-client", Usage::Administrator, &[])?,
    })
}
