//! What a test needs from outside the project, and what happens when it is not there.

use sluice_cluster::image::{self, FlinkVersion, Image};
use sluice_cluster::{Assets, AssetsCache, Binary, ClusterError, HostTools, or_skip};
use std::path::{Path, PathBuf};

/// The fixtures that nobody on the project wrote.
#[derive(Debug, Clone)]
pub struct Fixtures(PathBuf);

impl Fixtures {
    /// A file or folder among them.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }
}

/// The folder of fixtures, or `None` with a line that says so.
///
/// # Panics
/// If it is missing although `SLUICE_REQUIRE_FIXTURES=1` asks for it.
#[allow(clippy::panic)] // a missing requirement must fail the test that asked
pub fn fixtures() -> Option<Fixtures> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures");
    if root.is_dir() {
        return Some(Fixtures(root));
    }
    assert!(
        std::env::var("SLUICE_REQUIRE_FIXTURES").as_deref() != Ok("1"),
        "SLUICE_REQUIRE_FIXTURES=1, but there are no fixtures at ../shared/fixtures"
    );
    eprintln!("skipped: there are no fixtures at ../shared/fixtures");
    None
}

/// Whether a control plane can be had on this machine, or `false` with a line that says what is missing. The first time
/// it is built, which takes minutes and is reported on stderr.
///
/// # Panics
/// If something is missing although `SLUICE_REQUIRE=all` asks for everything, or if building fails.
pub fn control_plane() -> bool {
    met("no control plane", obtain_assets(Binary::ALL))
}

/// Whether a real node can run on this machine, or `false` with a line that says what is missing. Its programs are built
/// and its Debian packages installed the first time, which takes minutes and is reported on stderr.
///
/// # Panics
/// As [`control_plane`].
pub fn real_node() -> bool {
    let obtained = runtime()
        .and_then(|runtime| runtime.block_on(HostTools::obtain()))
        .and_then(|_| obtain_assets(Binary::WITH_NODE));
    met("no node", obtained)
}

/// Whether it is there; what is missing by the machine's nature skips, everything else fails.
#[allow(clippy::panic)] // a missing requirement must fail the test that asked
fn met<T>(what: &str, obtained: Result<T, ClusterError>) -> bool {
    match or_skip(obtained) {
        Ok(found) => found.is_some(),
        Err(error) => panic!("{what}: {error}"),
    }
}

/// Programs, built now if this is the first time.
pub(crate) fn obtain_assets(needed: &[Binary]) -> Result<Assets, ClusterError> {
    runtime()?.block_on(Assets::obtain(&AssetsCache::Default, needed))
}

fn runtime() -> Result<tokio::runtime::Runtime, ClusterError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| ClusterError::Io {
            doing: "starting",
            path: "the runtime".into(),
            source,
        })
}

/// What a test with a real Flink needs besides a place to run it.
#[derive(Debug, Clone)]
pub struct FlinkParts {
    /// Which Flink.
    pub version: FlinkVersion,
    /// Its image, for a node or to unpack.
    pub image: Image,
    /// The jar of `tests/flink-jobs`, compiled for it.
    pub jobs: PathBuf,
}

/// Image and jobs of a Flink release, or `None` with a line that says what is missing (root, or a program of the
/// machine). The first time the image is built, which is reported on stderr.
///
/// # Panics
/// If something is missing although `SLUICE_REQUIRE=all` asks for everything, or if building fails.
#[allow(clippy::panic)] // a missing requirement must fail the test that asked
pub fn flink_parts(version: FlinkVersion) -> Option<FlinkParts> {
    // Before anything is downloaded that could not be run.
    let missing = if is_root() {
        match obtain_flink(version) {
            Ok(parts) => return Some(parts),
            Err(error @ ClusterError::ToolMissing { .. }) => error.to_string(),
            Err(error) => panic!("no Flink {version}: {error}"),
        }
    } else {
        "running Flink without a container engine needs root".to_owned()
    };
    let required = std::env::var("SLUICE_REQUIRE").as_deref() == Ok("all");
    assert!(!required, "no Flink {version}: {missing}");
    eprintln!("skipped: {missing}");
    None
}

fn obtain_flink(version: FlinkVersion) -> Result<FlinkParts, ClusterError> {
    runtime()?.block_on(async {
        let cache = AssetsCache::Default;
        Ok(FlinkParts {
            version,
            image: image::flink(&cache, version).await?,
            jobs: image::flink_job_jar(&cache, version).await?,
        })
    })
}

/// Our own entry in /proc belongs to who we act as.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}
