//! Container images without a container engine: OCI archives that `ctr -n k8s.io images import` takes.
//!
//! * [`flink()`]: Flink as `docker.io/library/flink:VERSION`, built of the machine's Java and shell and PyPI's Flink;
//! * [`sluice()`]: Sluice's own image, of a binary of this machine;
//! * [`flink_job_jar`]: small jobs to try a cluster with;
//! * [`Layer`], [`Settings`] and [`write`]: how an archive is written, for whoever makes another image.
//!
//! All are kept in the cache (`$XDG_CACHE_HOME/sluice/images`) under names which say what went in. What does not live
//! here: bringing an archive to a node, which is the node's part.

mod flink;
mod host;
mod java;
mod jobs;
mod layer;
mod libraries;
mod oci;
mod pypi;
mod skeleton;
mod sluice;
mod step;
mod store;
mod version;

use std::fs;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;

use crate::ClusterError;

pub use flink::{flink, flink_distribution};
pub use jobs::flink_job_jar;
pub use layer::{Layer, Owner, Source};
pub use oci::{Settings, Written, write};
pub use sluice::{SLUICE_IMAGE, sluice};
pub use version::FlinkVersion;

/// An image archive that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    path: PathBuf,
    names: Vec<String>,
    bytes: u64,
    origin: Origin,
}

/// Where an archive comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was there.
    Cache,
    /// It was built just now.
    Build,
}

impl Image {
    /// The archive, an OCI image layout in a tar file. Its name changes with its content.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Under which names a node will know it, full with registry and tag.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The archive's size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The archive's size, for people.
    pub fn size(&self) -> String {
        HumanBytes(self.bytes).to_string()
    }

    /// Whether it was built just now.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    fn cached(path: PathBuf, names: &[String]) -> Option<Self> {
        let bytes = fs::metadata(&path)
            .ok()
            .filter(fs::Metadata::is_file)?
            .len();
        Some(Self {
            path,
            names: names.to_vec(),
            bytes,
            origin: Origin::Cache,
        })
    }

    fn built(path: PathBuf, names: Vec<String>) -> Result<Self, ClusterError> {
        let bytes = fs::metadata(&path)
            .map_err(ClusterError::io("reading", &path))?
            .len();
        Ok(Self {
            path,
            names,
            bytes,
            origin: Origin::Build,
        })
    }
}
