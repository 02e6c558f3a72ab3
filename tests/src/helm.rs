//! The real helm, with a home of its own.

use anyhow::{Context, Result, ensure};
use sluice_cluster::{Assets, Binary};
use std::path::{Path, PathBuf};
use std::process::Command;

/// helm against one cluster, in the namespace `sluice-system`, where Sluice lives.
#[derive(Debug)]
pub struct Helm {
    binary: PathBuf,
    kubeconfig: PathBuf,
    home: tempfile::TempDir,
}

impl Helm {
    /// helm out of the assets; they must have been obtained with [`Binary::Helm`].
    ///
    /// # Errors
    /// If there can be no folder for its home.
    pub fn new(assets: &Assets, kubeconfig: &Path) -> Result<Self> {
        Ok(Self {
            binary: assets.path(Binary::Helm),
            kubeconfig: kubeconfig.to_owned(),
            home: tempfile::tempdir()?,
        })
    }

    /// The folder of Sluice's chart.
    ///
    /// # Errors
    /// If the path is not in Unicode.
    pub fn chart() -> Result<&'static str> {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/sluice"))
            .to_str()
            .context("a path in Unicode")
    }

    /// Runs it, and gives what it printed.
    ///
    /// # Errors
    /// What it said, when it failed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .args(["--namespace", "sluice-system"])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", self.home.path())
            .env("HELM_CONFIG_HOME", self.home.path())
            .env("HELM_DATA_HOME", self.home.path())
            .output()?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "helm {arguments:?}: {out}{err}");
        Ok(out)
    }
}
