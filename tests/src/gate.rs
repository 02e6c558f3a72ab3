//! A running `sluice up`: started once for many tests, taken down when it is dropped.

use crate::kubectl::Kubectl;
use crate::needs;
use crate::wait::eventually;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluice_cluster::{Assets, Binary, OnParentDeath, Process, ProcessSpec};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Seconds are usual; this is for a machine that compiles at the same time.
const READY_WITHIN: Duration = Duration::from_mins(5);
const DOWN_WITHIN: Duration = Duration::from_secs(30);

/// A control plane with Sluice in front of it.
#[derive(Debug)]
pub struct Gate {
    up: Process,
    dir: TempDir,
    kubectl: Kubectl,
    namespaces: AtomicU32,
}

impl Gate {
    /// Runs `sluice up` with further arguments and waits until it says that it is ready.
    ///
    /// It ends with this value, and at the latest with the test program, however that ends.
    pub fn up(arguments: &[&str]) -> Result<Self> {
        // Here and not in `up`, whose output nobody sees: the first time takes minutes, and whoever waits sees why.
        let needed = if arguments.contains(&"--node") {
            Binary::WITH_NODE
        } else {
            Binary::ALL
        };
        let assets = needs::obtain_assets(needed).context("the programs of the control plane")?;
        let binary = sluice_binary()?;
        let dir = tempfile::Builder::new().prefix("sluice-test-").tempdir()?;
        let ready = dir.path().join("ready");
        let spec = ProcessSpec::new("sluice up", binary, dir.path().join("up.log"))
            .args(["up", "--ready-file"])
            .arg(&ready)
            .args(arguments)
            .on_parent_death(OnParentDeath::Terminate);
        let up = Process::spawn(spec)?;
        let started = eventually(READY_WITHIN, || {
            if let Some(status) = up.exit_status() {
                return Ok(Err(status));
            }
            let text = std::fs::read_to_string(&ready).context("the ready file")?;
            ensure!(!text.trim().is_empty(), "the ready file is still empty");
            Ok(Ok(PathBuf::from(text.trim())))
        })
        .with_context(|| format!("sluice up has said so far:\n{}", up.log_tail()))?;
        let kubeconfig = match started {
            Ok(kubeconfig) => kubeconfig,
            Err(status) => return Err(up.died(status).into()),
        };
        let kubectl = Kubectl {
            kubeconfig,
            binary: kubectl_binary(&assets),
            namespace: "default".to_owned(),
        };
        Ok(Self {
            up,
            dir,
            kubectl,
            namespaces: AtomicU32::new(0),
        })
    }

    /// kubectl in a namespace that is new.
    pub fn namespace(&self) -> Result<Kubectl> {
        self.labelled_namespace(&[])
    }

    /// kubectl in a namespace that is new and has labels (`key=value`).
    pub fn labelled_namespace(&self, labels: &[&str]) -> Result<Kubectl> {
        let name = format!("test-{}", self.namespaces.fetch_add(1, Ordering::Relaxed));
        self.kubectl
            .run(&["create", "namespace", &name])?
            .admitted()?;
        if !labels.is_empty() {
            let mut arguments = vec!["label", "namespace", &name];
            arguments.extend(labels);
            self.kubectl.run(&arguments)?.admitted()?;
        }
        Ok(self.kubectl.in_namespace(&name))
    }

    /// kubectl in the default namespace.
    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    /// The kubeconfig of a cluster admin.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubectl.kubeconfig
    }

    /// A folder for the test's files.
    pub fn scratch(&self) -> &Path {
        self.dir.path()
    }

    /// What `sluice up` has printed so far.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.dir.path().join("up.log"))?)
    }

    /// The process id of `sluice up`.
    pub fn pid(&self) -> u32 {
        self.up.pid()
    }

    /// The processes below `sluice up` whose command line holds a word (`webhook`, `controller`).
    pub fn children(&self, word: &str) -> Result<Vec<i32>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc")? {
            let Some(pid) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse::<i32>().ok())
            else {
                continue;
            };
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
                continue;
            };
            // The parent is the second field after the name, which is in parentheses and may hold anything.
            let parent = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            let Ok(command) = std::fs::read(format!("/proc/{pid}/cmdline")) else {
                continue;
            };
            if parent == Some(self.up.pid())
                && command
                    .split(|b| *b == 0)
                    .any(|part| part == word.as_bytes())
            {
                found.push(pid);
            }
        }
        Ok(found)
    }

    /// Sends a signal to one of the processes found with [`Gate::children`].
    pub fn signal(&self, pid: i32, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(pid), signal)?)
    }

    /// Ends `sluice up` as Ctrl-C does and returns its exit code.
    pub fn down(self) -> Result<Option<i32>> {
        self.interrupt()
    }

    fn interrupt(&self) -> Result<Option<i32>> {
        if self.up.exit_status().is_none() {
            kill(Pid::from_raw(i32::try_from(self.up.pid())?), Signal::SIGINT)?;
        }
        eventually(DOWN_WITHIN, || {
            self.up
                .exit_status()
                .map(|status| status.code())
                .context("sluice up is still running")
        })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The process itself is ended by its own drop, if this did not do it.
        if let Err(error) = self.interrupt() {
            eprintln!("sluice up was not taken down: {error:#}");
        }
    }
}

/// The `sluice` binary of this build; built first, so that no test runs an old one.
///
/// Built by way of a test of its package, over the whole workspace: so the features of all dependencies are those that
/// `cargo test --workspace` has just built with, and nothing is left to do. `cargo build` would compile most of them again.
pub fn sluice_binary() -> Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["test", "--quiet", "--workspace", "--no-run", "--test", "up"]);
    // Set by the cargo that runs this test; to the next one they look changed, and what reads them (ring, and so all of TLS) is
    // compiled again, a minute each time.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        }) {
            build.env_remove(name);
        }
    }
    let profile = std::env::current_exe()?;
    let release = profile
        .components()
        .any(|part| part.as_os_str() == "release");
    if release {
        build.arg("--release");
    }
    ensure!(
        build.status()?.success(),
        "building sluice failed: cargo test --workspace --no-run --test up"
    );
    let mut dir = profile;
    while dir.pop() {
        let binary = dir.join("sluice");
        if binary.is_file() && dir.join("deps").is_dir() {
            return Ok(binary);
        }
    }
    bail!("no sluice binary beside the test's own")
}

/// The kubectl of the control plane, for a shell's PATH.
pub fn kubectl() -> Result<PathBuf> {
    Ok(kubectl_binary(&needs::obtain_assets(Binary::ALL)?))
}

/// The kubectl that was built with the control plane: a bare machine has none, and its version is that of the server.
/// `SLUICE_KUBECTL` names another.
fn kubectl_binary(assets: &Assets) -> PathBuf {
    std::env::var_os("SLUICE_KUBECTL").map_or_else(|| assets.path(Binary::Kubectl), PathBuf::from)
}
