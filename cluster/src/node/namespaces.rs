//! The node's own mount, network and PID namespaces, held by one process.
//!
//! kube-proxy's table has a fixed name, so two of them in one network namespace undo each other's work, and a node in
//! the host's would depend on the host's firewall. And whatever the node mounts, starts or links dies with the process
//! that holds the namespaces, by the kernel's hand: also when we are killed. etcd, the API server, webhook and
//! controller stay in the host's namespaces, where loopback is everybody's.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, timeout};

use super::cgroup::Cgroup;
use super::places::Places;
use super::registry::COVERED;
use super::requirements::HostTools;
use crate::{ClusterError, Process, ProcessSpec};

/// How long one command in there may take. They only talk to the kernel.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
/// How long the kernel may take to end all processes of the namespaces.
const END_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// From SIGTERM to SIGKILL. Nothing in there needs longer than nothing.
const GRACE: Duration = Duration::ZERO;

/// The first process in there reaps what others leave: shims outlive those who start them.
const HOLD: &str = "echo ready > \"$1\"; while :; do sleep 1000000 & wait; done";
/// Enters the cgroup before the namespaces, so that no child is born outside it.
const ENTER: &str = "echo $$ > \"$1\" && shift && exec \"$@\"";

/// The namespaces, as long as this value lives.
#[derive(Debug)]
pub(super) struct Namespaces {
    holder: Process,
    members: PathBuf,
    nsenter: PathBuf,
}

impl Namespaces {
    /// Makes them, with loopback up, forwarding on, and the folders with fixed names covered.
    pub(super) async fn make(
        tools: &HostTools,
        cgroup: &Cgroup,
        places: &Places,
        within: Duration,
    ) -> Result<Self, ClusterError> {
        let ready = places.node.join("namespaces");
        let _ = std::fs::remove_file(&ready);
        let spec = ProcessSpec::new("the node's namespaces", "/bin/sh", places.log("namespaces"))
            .args(["-c", ENTER, "sh"])
            .arg(cgroup.members())
            .arg(&tools.unshare)
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child=KILL"])
            .args(["--mount-proc", "--propagation=slave", "--"])
            .args(["/bin/sh", "-c", HOLD, "sh"])
            .arg(&ready);
        let made = Self {
            holder: Process::spawn(spec)?,
            members: cgroup.members(),
            nsenter: tools.nsenter.clone(),
        };
        let deadline = Instant::now() + within;
        while !ready.exists() {
            if let Some(status) = made.holder.exit_status() {
                return Err(made.holder.died(status));
            }
            if Instant::now() > deadline {
                return Err(made.holder.not_ready(within, "no process of them has run"));
            }
            tokio::time::sleep(POLL).await;
        }
        for folder in COVERED {
            made.run(&["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder])
                .await?;
        }
        // So that volumes with mount propagation work.
        let kubelet = places.kubelet().to_string_lossy().into_owned();
        made.run(&["mount", "--bind", &kubelet, &kubelet]).await?;
        made.run(&["mount", "--make-rshared", &kubelet]).await?;
        let ip = tools.ip.to_string_lossy().into_owned();
        made.run(&[&ip, "link", "set", "lo", "up"]).await?;
        made.run(&["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
            .await?;
        Ok(made)
    }

    /// The host's id of a process in there, by which the namespaces can be named.
    pub(super) fn pid(&self) -> u32 {
        self.holder.pid()
    }

    /// The words that lead a command in.
    fn door(&self) -> Vec<String> {
        let pid = self.pid();
        vec![
            "-c".into(),
            ENTER.into(),
            "sh".into(),
            self.members.to_string_lossy().into_owned(),
            self.nsenter.to_string_lossy().into_owned(),
            format!("--target={pid}"),
            "--mount".into(),
            "--net".into(),
            // The holder itself stands outside: only its children are within.
            format!("--pid=/proc/{pid}/ns/pid_for_children"),
            "--".into(),
        ]
    }

    /// What runs a program in there.
    pub(super) fn spec(&self, name: &str, program: PathBuf, log: PathBuf) -> ProcessSpec {
        ProcessSpec::new(name, "/bin/sh", log)
            .args(self.door())
            .arg(program)
    }

    /// Runs a command in there to its end and returns what it printed.
    pub(super) async fn run(&self, command: &[&str]) -> Result<String, ClusterError> {
        let mut all: Vec<String> = vec!["/bin/sh".into()];
        all.extend(self.door());
        all.extend(command.iter().map(|word| (*word).to_owned()));
        run(&all, COMMAND_WITHIN, &command.join(" ")).await
    }

    /// [`Namespaces::run`] with a deadline of its own.
    pub(super) async fn run_within(
        &self,
        command: &[String],
        within: Duration,
    ) -> Result<String, ClusterError> {
        let mut all: Vec<String> = vec!["/bin/sh".into()];
        all.extend(self.door());
        all.extend_from_slice(command);
        run(&all, within, &command.join(" ")).await
    }

    /// Ends everything in there at once, and waits until it is gone: the first process goes last.
    pub(super) async fn end(&self) {
        let first = self.first();
        self.holder.kill();
        self.holder.exited().await;
        let deadline = Instant::now() + END_WITHIN;
        while first.is_some_and(is_there) && Instant::now() < deadline {
            tokio::time::sleep(POLL).await;
        }
    }

    /// The host's id of the first process, which is the holder's only child.
    fn first(&self) -> Option<u32> {
        let pid = self.pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        self.holder.stop_blocking(GRACE);
    }
}

/// Whether a process is more than a number that waits to be taken back.
fn is_there(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name is in parentheses and may hold anything; the state comes after it.
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

/// Runs a command of the host to its end and returns what it printed. `shown` stands for it in messages.
pub(super) async fn run(
    command: &[String],
    within: Duration,
    shown: &str,
) -> Result<String, ClusterError> {
    let (program, args) = command
        .split_first()
        .map_or(("", &[][..]), |(program, args)| (program.as_str(), args));
    let failed = |said: String| ClusterError::NodeCommand {
        command: shown.to_owned(),
        said,
    };
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let output = timeout(within, child.wait_with_output())
        .await
        .map_err(|_| failed(format!("it had not ended after {within:?}")))?
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(failed(format!("{}: {said}", output.status)))
}
