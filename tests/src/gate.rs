//! A running `sluice up`: started once for many tests, taken down when it is dropped.

use crate::kubectl::Kubectl;
use crate::wait::eventually;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Building the control plane from source takes minutes, once.
const READY_WITHIN: Duration = Duration::from_mins(25);
const DOWN_WITHIN: Duration = Duration::from_secs(30);

/// A control plane with Sluice in front of it.
#[derive(Debug)]
pub struct Gate {
    up: Child,
    dir: TempDir,
    kubectl: Kubectl,
    namespaces: AtomicU32,
}

impl Gate {
    /// Runs `sluice up` with further arguments and waits until it says that it is ready.
    pub fn up(arguments: &[&str]) -> Result<Self> {
        let binary = sluice_binary()?;
        let dir = tempfile::Builder::new().prefix("sluice-test-").tempdir()?;
        let ready = dir.path().join("ready");
        let log = std::fs::File::create(dir.path().join("up.log"))?;
        let mut up = Command::new(binary)
            .arg("up")
            .arg("--ready-file")
            .arg(&ready)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("sluice up")?;
        let started = eventually(READY_WITHIN, || {
            if let Some(status) = up.try_wait()? {
                return Ok(Err(status));
            }
            let text = std::fs::read_to_string(&ready).context("the ready file")?;
            ensure!(!text.trim().is_empty(), "the ready file is still empty");
            Ok(Ok(PathBuf::from(text.trim())))
        })?;
        let Ok(kubeconfig) = started else {
            bail!(
                "sluice up ended: {}",
                std::fs::read_to_string(dir.path().join("up.log"))?
            );
        };
        let kubectl = Kubectl {
            kubeconfig,
            binary: kubectl_binary(),
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
        self.up.id()
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
            if parent == Some(self.up.id())
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
    pub fn down(mut self) -> Result<Option<i32>> {
        self.interrupt()
    }

    fn interrupt(&mut self) -> Result<Option<i32>> {
        if let Some(status) = self.up.try_wait()? {
            return Ok(status.code());
        }
        kill(Pid::from_raw(i32::try_from(self.up.id())?), Signal::SIGINT)?;
        eventually(DOWN_WITHIN, || {
            self.up
                .try_wait()?
                .map(|status| status.code())
                .context("sluice up is still running")
        })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Err(error) = self.interrupt() {
            eprintln!("sluice up was not taken down: {error:#}");
            let _ = self.up.kill();
        }
    }
}

/// The `sluice` binary of this build; built first, so that no test runs an old one.
pub fn sluice_binary() -> Result<PathBuf> {
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "sluice", "--bin", "sluice"]);
    let profile = std::env::current_exe()?;
    let release = profile
        .components()
        .any(|part| part.as_os_str() == "release");
    if release {
        build.arg("--release");
    }
    ensure!(
        build.status()?.success(),
        "cargo build --package sluice failed"
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

/// kubectl of the machine, else the one that was built with the control plane.
fn kubectl_binary() -> PathBuf {
    std::env::var_os("SLUICE_KUBECTL").map_or_else(|| PathBuf::from("kubectl"), PathBuf::from)
}
