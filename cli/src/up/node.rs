//! `--node`: what `sluice up` adds for a real node. The node itself and its images are `sluice-cluster`'s.

use anyhow::Context;
use sluice_cluster::image::{self, FlinkVersion};
use sluice_cluster::{AssetsCache, ClusterError, HostTools, NodeOptions};

use super::{UpArgs, unreachable};
use crate::exit::Failure;

/// One value of `--flink`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flink {
    /// An image of this release.
    Release(FlinkVersion),
    /// No image at all.
    None,
}

/// Reads a value of `--flink`.
pub(super) fn flink(text: &str) -> Result<Flink, String> {
    if text == "none" {
        return Ok(Flink::None);
    }
    text.parse()
        .map(Flink::Release)
        .map_err(|error: ClusterError| error.to_string())
}

/// Says at once what stands in the way, before anything is built, installed or started.
pub(super) fn check(args: &UpArgs) -> Result<(), Failure> {
    if let Some(path) = args.image.iter().find(|path| !path.exists()) {
        return Err(Failure::Input(format!(
            "--image {}: there is no such file or folder",
            path.display()
        )));
    }
    if args.flink.len() > 1 && args.flink.contains(&Flink::None) {
        return Err(Failure::Input(
            "--flink none: it says that there shall be no image, beside others that name some; leave one of them out"
                .to_owned(),
        ));
    }
    HostTools::check().map_err(failure)
}

/// What the node is started with; none where no node is asked for. Installs and builds what is missing.
pub(super) async fn options(
    args: &UpArgs,
    cache: &AssetsCache,
) -> Result<Option<NodeOptions>, Failure> {
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
    let releases: Vec<FlinkVersion> = if args.flink.is_empty() {
        vec![FlinkVersion::DEFAULT]
    } else {
        let release = |flink: &Flink| match flink {
            Flink::Release(version) => Some(*version),
            Flink::None => None,
        };
        args.flink.iter().filter_map(release).collect()
    };
    for version in &releases {
        let flink = image::flink(cache, *version)
            .await
            .map_err(|error| no_image(&error))?;
        options = options.image(flink.path());
    }
    if !releases.is_empty() {
        // What fetches jars for Flink's pods is this very binary.
        let binary = std::env::current_exe().context("finding our own binary")?;
        let own = image::sluice(cache, &binary)
            .await
            .map_err(|error| no_image(&error))?;
        options = options.image(own.path());
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

fn no_image(error: &ClusterError) -> Failure {
    Failure::Input(format!(
        "--node: {error}. With --flink none the node starts without this image"
    ))
}
