//! What a test needs from outside the project, and what happens when it is not there.

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
