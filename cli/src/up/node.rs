//! `--node`: what `sluice up` adds for a real node. The node itself is `sluice-cluster`'s.

use sluice_cluster::{ClusterError, HostTools, NodeOptions};

use super::{UpArgs, unreachable};
use crate::exit::Failure;

/// Says at once what stands in the way, before anything is built, installed or started.
pub(super) fn check(args: &UpArgs) -> Result<(), Failure> {
    if let Some(path) = args.image.iter().find(|path| !path.exists()) {
        return Err(Failure::Input(format!(
            "--image {}: there is no such file or folder",
            path.display()
        )));
    }
    HostTools::check().map_err(failure)
}

/// What the node is started with; none where no node is asked for. Installs what can be installed.
pub(super) async fn options(args: &UpArgs) -> Result<Option<NodeOptions>, Failure> {
    if !args.node {
        return Ok(None);
    }
    let mut options = NodeOptions::new(HostTools::obtain().await.map_err(failure)?);
    for path in &args.image {
        options = if path.is_dir() {
            options.image_folder(path)
        } else {
            options.image(path)
        };
    }
    Ok(Some(options))
}

/// A machine that cannot is no fault of the cluster.
fn failure(error: ClusterError) -> Failure {
    match error {
        ClusterError::NodeUnsupported { .. } | ClusterError::InstallFailed { .. } => {
            Failure::Input(format!("--node: {error}"))
        }
        other => unreachable(other),
    }
}
