//! Starting, stopping and being killed: nothing may be left outside the data folder, and the data folder must be of use
//! again. Only what belongs to the node under test is looked at: others may run beside it.

use crate::AlonePromise;
use crate::pods::{WITHIN, get, pod, wait, web};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use sluice_cluster::BUSYBOX_IMAGE;
use sluice_tests::{Gate, eventually, node, sluice_binary};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const PROMISES: &[AlonePromise] = &[
    ("life::down_leaves_nothing_behind", down),
    ("life::killed_and_started_again_in_the_same_folder", again),
    (
        "life::what_a_killed_one_left_the_next_one_clears_away",
        killed,
    ),
    (
        "life::another_user_is_told_at_once_what_is_missing",
        no_root,
    ),
    (
        "life::an_unknown_image_or_release_is_told_at_once",
        no_image,
    ),
];

/// Everything of one node outside its processes' memory.
struct Traces {
    /// Its data folder.
    dir: PathBuf,
    /// The eight digits that its link, its cgroup and its entry bear.
    id: String,
    /// Every process: the control plane's, the node's and the pods'.
    processes: Vec<Process>,
}

/// A process and when it began: the system gives its number to others later.
#[derive(Debug, Clone)]
struct Process {
    pid: u32,
    state: String,
    began: String,
    line: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}): {}", self.pid, self.state, self.line)
    }
}

impl Process {
    fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything; the state comes after it, the beginning is the 22nd field.
        let (_, rest) = stat.rsplit_once(')')?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Some(Self {
            pid,
            state: rest.split_whitespace().next()?.to_owned(),
            began: rest.split_whitespace().nth(19)?.to_owned(),
            line: String::from_utf8_lossy(&line).replace('\0', " "),
        })
    }

    /// Itself as it is now. A zombie is gone but for its number, which the first process of the machine takes back when
    /// it gets to it.
    fn now(&self) -> Option<Self> {
        Self::of(self.pid).filter(|now| now.began == self.began && now.state != "Z")
    }
}

impl Traces {
    fn of(gate: &Gate) -> Result<Self> {
        let dir = gate
            .kubeconfig()
            .parent()
            .context("a kubeconfig without a folder")?
            .to_path_buf();
        let address = format!("inet {}/", gate.host_address()?);
        let output = Command::new("ip").args(["-o", "-4", "addr"]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let link = text
            .lines()
            .find(|line| line.contains(&address))
            .and_then(|line| line.split_whitespace().nth(1))
            .with_context(|| format!("no link has {address}: {text}"))?;
        let id = link
            .strip_prefix("sluice")
            .with_context(|| format!("an odd name: {link}"))?
            .to_owned();
        let mut traces = Self {
            dir,
            id,
            processes: Vec::new(),
        };
        let mut pids = vec![gate.pid()];
        pids.extend(traces.in_cgroups());
        pids.extend(traces.named());
        pids.sort_unstable();
        pids.dedup();
        traces.processes = pids.into_iter().filter_map(Process::of).collect();
        ensure!(
            traces.processes.len() > 12,
            "the control plane, the node and its pods: {:?}",
            traces.living()
        );
        ensure!(
            traces.left().iter().any(|what| what.contains("mount")),
            "nothing is mounted below the data folder, so this test sees no mounts"
        );
        Ok(traces)
    }

    /// What of it is still there, the data folder not among it.
    fn left(&self) -> Vec<String> {
        let named = self.named().into_iter().filter_map(Process::of);
        let mut left = self.living();
        left.extend(named.map(|process| process.to_string()));
        left.extend(
            self.cgroups()
                .iter()
                .map(|path| format!("cgroup {}", path.display())),
        );
        for path in [
            format!("/sys/class/net/sluice{}", self.id),
            format!("/run/sluice/node-{}", self.id),
        ] {
            if Path::new(&path).exists() {
                left.push(path);
            }
        }
        let dir = self.dir.to_string_lossy();
        // Of every mount namespace that a process is in.
        for pid in pids() {
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            if mounts.contains(&*dir) {
                left.push(format!("a mount below {dir}, seen by {pid}"));
            }
        }
        let tables = Command::new("nft").args(["list", "tables"]).output();
        let tables = tables.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        if tables.is_ok_and(|tables| tables.contains("kube-proxy")) {
            left.push("kube-proxy's rules in the host's namespace".to_owned());
        }
        left
    }

    fn living(&self) -> Vec<String> {
        let now = self.processes.iter().filter_map(Process::now);
        now.map(|process| process.to_string()).collect()
    }

    fn cgroups(&self) -> Vec<PathBuf> {
        let name = format!("sluice-{}", self.id);
        let mount = Path::new("/sys/fs/cgroup");
        let hierarchies = fs::read_dir(mount).into_iter().flatten().flatten();
        hierarchies
            .map(|entry| entry.path().join(&name))
            .chain([mount.join(&name)])
            .filter(|path| path.exists())
            .collect()
    }

    fn in_cgroups(&self) -> Vec<u32> {
        fn below(folder: &Path, found: &mut Vec<u32>) {
            let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            found.extend(processes.lines().filter_map(|pid| pid.parse::<u32>().ok()));
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    below(&entry.path(), found);
                }
            }
        }
        let mut found = Vec::new();
        for cgroup in self.cgroups() {
            below(&cgroup, &mut found);
        }
        found
    }

    /// Processes whose command line names the data folder.
    fn named(&self) -> Vec<u32> {
        let dir = self.dir.to_string_lossy();
        let names = |pid: &u32| {
            *pid != std::process::id()
                && fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&*dir))
        };
        pids().into_iter().filter(names).collect()
    }
}

fn pids() -> Vec<u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// A pod that has been running for a while, with a volume mounted.
fn busy(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    kubectl
        .apply(&pod("busy", "trap '' TERM; sleep 1000 & wait").to_string())?
        .admitted()?;
    wait(&kubectl, "pod/busy", "condition=Ready")
}

fn down() -> Result<()> {
    let Some(gate) = node(&[])? else {
        return Ok(());
    };
    busy(&gate)?;
    let traces = Traces::of(&gate)?;
    let began = Instant::now();
    assert_eq!(gate.down()?, Some(0));
    eprintln!("down after {:.1?}", began.elapsed());
    let left = traces.left();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    ensure!(!traces.dir.exists(), "{} is left", traces.dir.display());
    Ok(())
}

fn kill(gate: &Gate) -> Result<()> {
    gate.signal(i32::try_from(gate.pid())?, Signal::SIGKILL)
}

fn again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let data = data.to_str().context("a temporary folder in Unicode")?;
    let start = || node(&["--data-dir", data]);
    let Some(gate) = start()? else {
        return Ok(());
    };
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "stays"},
        "spec": {
            "selector": {"matchLabels": {"app": "stays"}},
            "template": {
                "metadata": {"labels": {"app": "stays"}},
                "spec": {"containers": [{
                    "name": "main",
                    "image": BUSYBOX_IMAGE,
                    "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}},
                    "command": ["sh", "-c", "mkdir /tmp/w && echo stays > /tmp/w/index.html && exec httpd -f -p 8080 -h /tmp/w"],
                }]},
            },
        },
    });
    let kubectl = gate.kubectl().clone();
    kubectl.apply(&deployment.to_string())?.admitted()?;
    let expose = [
        "expose",
        "deployment/stays",
        "--port=80",
        "--target-port=8080",
    ];
    kubectl.run(&expose)?.admitted()?;
    let service = kubectl.get("service/stays")?;
    let address = service["spec"]["clusterIP"]
        .as_str()
        .context("clusterIP")?
        .to_owned();
    let answers = || {
        eventually(WITHIN, || {
            let answer = get(&address)?;
            ensure!(answer.ends_with("stays\n"), "{answer}");
            Ok(())
        })
    };
    answers()?;
    let traces = Traces::of(&gate)?;
    kill(&gate)?;
    drop(gate);

    let gate = start()?.context("it could carry a node a moment ago")?;
    answers().context("after a SIGKILL")?;
    let old = traces.living();
    ensure!(old.is_empty(), "of the killed one there run {old:?}");
    assert_eq!(gate.down()?, Some(0));
    let left = traces.left();
    ensure!(left.is_empty(), "left behind: {left:#?}");

    let gate = start()?.context("it could carry a node a moment ago")?;
    answers().context("after a stop")?;
    assert_eq!(gate.down()?, Some(0));

    // Services have addresses from the node's block, so the folder is of no use without one.
    let output = Command::new(sluice_binary()?)
        .args(["up", "--data-dir", data])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(said.contains("was made with a node"), "{said}");
    Ok(())
}

fn killed() -> Result<()> {
    let Some(gate) = node(&[])? else {
        return Ok(());
    };
    web(&gate.namespace()?, "killed")?;
    busy(&gate)?;
    let traces = Traces::of(&gate)?;
    kill(&gate)?;
    // By nobody's hand but the kernel's.
    eventually(Duration::from_secs(10), || {
        let living = traces.living();
        ensure!(living.is_empty(), "{living:?} outlive the killed sluice up");
        Ok(())
    })?;
    drop(gate);
    ensure!(traces.dir.exists(), "who has removed the folder?");
    let next = node(&[])?.context("it could carry a node a moment ago")?;
    let left = traces.left();
    ensure!(left.is_empty(), "left behind: {left:#?}");
    ensure!(!traces.dir.exists(), "{} is left", traces.dir.display());
    assert_eq!(next.down()?, Some(0));
    Ok(())
}

fn no_root() -> Result<()> {
    if !sluice_tests::real_node() {
        return Ok(());
    }
    // A copy where everybody may run it.
    let dir = tempfile::tempdir()?;
    let binary = dir.path().join("sluice");
    fs::copy(sluice_binary()?, &binary)?;
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(dir.path(), everybody)?;
    let began = Instant::now();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&binary)
        .args(["up", "--node"])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    ensure!(said.contains("it needs root (try sudo)"), "{said}");
    ensure!(said.contains("--context NAME"), "{said}");
    ensure!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

fn no_image() -> Result<()> {
    let refused = |arguments: &[&str], expected: &str| -> Result<()> {
        let output = Command::new(sluice_binary()?)
            .args(["up", "--node"])
            .args(arguments)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        ensure!(said.contains(expected), "{said}");
        Ok(())
    };
    refused(
        &["--image", "/no/such.tar"],
        "--image /no/such.tar: there is no such file",
    )?;
    refused(&["--flink", "1.2"], "1.18 and later")?;
    refused(
        &["--flink", "none", "--flink", "1.20"],
        "leave one of them out",
    )
}
