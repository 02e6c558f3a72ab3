//! The real kubectl, as a user calls it.

use crate::wait::eventually;
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A kubectl that talks to one control plane, in one namespace.
#[derive(Debug, Clone)]
pub struct Kubectl {
    pub(crate) kubeconfig: PathBuf,
    pub(crate) binary: PathBuf,
    pub(crate) namespace: String,
}

/// What a call came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about, warnings included.
    pub stderr: String,
}

impl Ran {
    /// The call, which must have succeeded.
    pub fn admitted(self) -> Result<Self> {
        ensure!(
            self.code == 0,
            "refused with {}: {}{}",
            self.code,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }

    /// What was said about the refusal; the call must have failed.
    pub fn refused(self) -> Result<String> {
        ensure!(
            self.code != 0,
            "was admitted: {}{}",
            self.stdout,
            self.stderr
        );
        Ok(self.stderr)
    }
}

impl Kubectl {
    /// The same kubectl in another namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            ..self.clone()
        }
    }

    /// The program itself, for lines that a shell runs.
    pub fn binary(&self) -> &std::path::Path {
        &self.binary
    }

    /// The namespace it works in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// As [`eventually`]; in vain, it tells as well what pods there are, what befell them and what they said.
    pub fn eventually<T>(
        &self,
        deadline: Duration,
        attempt: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        eventually(deadline, attempt).map_err(|error| anyhow!("{error:#}\n{}", self.scene()))
    }

    fn scene(&self) -> String {
        let shown: [&[&str]; 3] = [
            &["get", "pods", "-o", "wide"],
            &["get", "events", "--sort-by=.lastTimestamp"],
            &[
                "logs",
                "--selector=sluice.dev/component",
                "--all-containers",
                "--prefix",
                "--tail=20",
            ],
        ];
        shown
            .into_iter()
            .map(|arguments| match self.run(arguments) {
                Ok(ran) => format!(
                    "--- kubectl {}\n{}{}",
                    arguments.join(" "),
                    ran.stdout,
                    ran.stderr
                ),
                Err(error) => format!("--- kubectl {}: {error:#}\n", arguments.join(" ")),
            })
            .collect()
    }

    /// Runs kubectl; `input` goes to its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Result<Ran> {
        let mut child = Command::new(&self.binary)
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--namespace")
            .arg(&self.namespace)
            .arg("--request-timeout=30s")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        Ok(Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs kubectl.
    pub fn run(&self, arguments: &[&str]) -> Result<Ran> {
        self.run_with(arguments, "")
    }

    /// `kubectl apply -f -`.
    pub fn apply(&self, manifest: &str) -> Result<Ran> {
        self.run_with(&["apply", "-f", "-"], manifest)
    }

    /// `kubectl create -f -`.
    pub fn create(&self, manifest: &str) -> Result<Ran> {
        self.run_with(&["create", "-f", "-"], manifest)
    }

    /// `kubectl patch --type=merge`.
    pub fn merge(&self, what: &str, patch: &Value) -> Result<Ran> {
        self.run(&["patch", what, "--type=merge", "-p", &patch.to_string()])
    }

    /// Writes an object's status, as its controller would.
    pub fn set_status(&self, what: &str, status: &Value) -> Result<Ran> {
        let patch = serde_json::json!({ "status": status }).to_string();
        self.run(&[
            "patch",
            what,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])?
        .admitted()
    }

    /// An object as it is stored.
    pub fn get(&self, what: &str) -> Result<Value> {
        let ran = self
            .run(&["get", what, "-o", "json", "--show-managed-fields"])?
            .admitted()?;
        serde_json::from_str(&ran.stdout).context("kubectl get -o json")
    }
}
