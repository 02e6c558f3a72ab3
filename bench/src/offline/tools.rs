//! How each tool is called.

use super::outcome::Outcome;
use crate::peers::policy;
use crate::usage;
use anyhow::{Context as _, bail};
use serde_json::Value;
use sluice_cluster::{Assets, Binary};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Where everything offline lives.
pub const NAMESPACE: &str = "team-b";
/// No run takes as long.
const PATIENCE: Duration = Duration::from_mins(5);

/// Who judges files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `sluice check`.
    Sluice,
    /// `gator test`.
    Gator,
    /// `kyverno apply`.
    Kyverno,
}

impl Tool {
    /// As a user calls it.
    pub fn title(self) -> &'static str {
        match self {
            Tool::Sluice => "sluice check",
            Tool::Gator => "gator test",
            Tool::Kyverno => "kyverno apply",
        }
    }

    /// What is built from a Go module for it.
    pub fn binary(self) -> Option<Binary> {
        match self {
            Tool::Sluice => None,
            Tool::Gator => Some(Binary::Gator),
            Tool::Kyverno => Some(Binary::Kyverno),
        }
    }
}

/// A folder with what is given to every tool.
pub struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    /// Writes manifests to be judged, one a file, what runs already, what is stored of the judged, and each tool's
    /// policies with a limit of `cpu` on the namespace.
    pub fn write(
        judged: &[Value],
        inventory: &[Value],
        old: &[Value],
        cpu: Option<u32>,
    ) -> anyhow::Result<Self> {
        let case = Self {
            folder: tempfile::tempdir()?,
        };
        for (name, objects) in [
            ("judged", judged.to_vec()),
            ("inventory", inventory.to_vec()),
            ("old", old.to_vec()),
            ("sluice", policy::sluice(NAMESPACE, cpu)?),
            ("gator", policy::gator(cpu)?),
            ("kyverno", policy::kyverno(cpu)?),
            ("kyverno-values", vec![policy::kyverno_values(old)]),
        ] {
            let folder = case.path(name);
            std::fs::create_dir(&folder)?;
            for (position, object) in objects.iter().enumerate() {
                let path = folder.join(format!("{position:05}.yaml"));
                std::fs::write(path, serde_saphyr::to_string(object)?)?;
            }
        }
        Ok(case)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Whether something lies in one of the folders.
    fn has(&self, name: &str) -> bool {
        std::fs::read_dir(self.path(name)).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn arguments(&self, tool: Tool) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |parts: &[&dyn AsRef<std::ffi::OsStr>]| {
            arguments.extend(parts.iter().map(|part| part.as_ref().to_owned()));
        };
        let [judged, inventory, old] = ["judged", "inventory", "old"].map(|name| self.path(name));
        match tool {
            Tool::Sluice => {
                add(&[&"check", &"-o", &"json", &"-f", &judged]);
                add(&[&"--policy", &self.path("sluice")]);
                if self.has("inventory") {
                    add(&[&"--inventory", &inventory]);
                }
                if self.has("old") {
                    add(&[&"--old", &old]);
                }
            }
            // It knows no stored object; what runs can only be given as one more object to judge.
            Tool::Gator => {
                add(&[&"test", &"-f", &judged, &"-f", &self.path("gator")]);
                if self.has("inventory") {
                    add(&[&"-f", &inventory]);
                }
            }
            // What a policy may list is the judged themselves and these, which are not judged.
            Tool::Kyverno => {
                add(&[&"apply", &self.path("kyverno"), &"--resource", &judged]);
                if self.has("inventory") {
                    add(&[&"--target-resources", &inventory]);
                }
                if self.has("old") {
                    let values = self.path("kyverno-values").join("00000.yaml");
                    add(&[&"--values-file", &values]);
                }
            }
        }
        arguments
    }
}

/// The programs.
pub struct Toolbox {
    sluice: PathBuf,
    assets: Assets,
    home: tempfile::TempDir,
}

impl Toolbox {
    /// `sluice` and what was built.
    pub fn new(sluice: PathBuf, assets: Assets) -> anyhow::Result<Self> {
        Ok(Self {
            sluice,
            assets,
            home: tempfile::tempdir()?,
        })
    }

    /// Has a tool judge a case.
    pub async fn run(&self, tool: Tool, case: &Case) -> anyhow::Result<Outcome> {
        let program = tool
            .binary()
            .map_or_else(|| self.sluice.clone(), |binary| self.assets.path(binary));
        let said = self.home.path().join("said");
        let began = Instant::now();
        let mut child = Command::new(&program)
            .args(case.arguments(tool))
            // Neither somebody's settings nor somebody's cluster.
            .env("HOME", self.home.path())
            .env_remove("KUBECONFIG")
            .stdin(std::process::Stdio::null())
            .stdout(File::create(&said)?)
            .stderr(File::create(said.with_extension("err"))?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let pid = child.id().context("a process without an id")?;
        let (mut peak, mut cpu) = (0.0, Duration::ZERO);
        // The kernel keeps the peak as long as the process lives, so it is asked until it does not.
        let mut ticks = tokio::time::interval(Duration::from_millis(2));
        let status = loop {
            tokio::select! {
                biased;
                status = child.wait() => break status?,
                _ = ticks.tick() => {
                    if let Ok(memory) = usage::memory(pid) {
                        peak = memory.peak;
                    }
                    cpu = usage::cpu(pid).unwrap_or(cpu).max(cpu);
                    if began.elapsed() > PATIENCE {
                        bail!("{} has not ended after {PATIENCE:?}", tool.title());
                    }
                }
            }
        };
        let wall = began.elapsed();
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let (said, complaint) = (text(&said), text(&said.with_extension("err")));
        // 0 and 1 are verdicts in all.
        if !matches!(status.code(), Some(0 | 1)) || said.is_empty() && !complaint.is_empty() {
            bail!("{} ended with {status}: {complaint}", tool.title());
        }
        let outcome = Outcome {
            took: wall,
            cpu,
            peak,
            tool,
            said,
        };
        if outcome.failed() {
            let last = outcome.last_line();
            bail!("{} could not judge by every rule: {last}", tool.title());
        }
        Ok(outcome)
    }
}
