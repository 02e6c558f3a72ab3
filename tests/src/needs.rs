//! What a test needs from outside the project, and what happens when it is not there.

use anyhow::Result;
use sluice_cluster::{Assets, AssetsCache, Binary, ClusterError};
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
#[allow(clippy::panic)] // a missing requirement must fail the test that asked
pub fn control_plane() -> bool {
    let Err(error) = obtain_assets() else {
        return true;
    };
    let needs = matches!(
        error.downcast_ref(),
        Some(
            ClusterError::GoMissing { .. }
                | ClusterError::GoTooOld { .. }
                | ClusterError::MissingAsset { .. }
        )
    );
    let required = std::env::var("SLUICE_REQUIRE").as_deref() == Ok("all");
    assert!(needs && !required, "no control plane: {error}");
    eprintln!("skipped: {error}");
    false
}

/// The control plane's programs, built now if this is the first time.
pub(crate) fn obtain_assets() -> Result<Assets> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(Assets::obtain(&AssetsCache::Default, Binary::ALL))?)
}
