//! The node's own cgroup: every process of the node is in it, and nothing of anybody else.
//!
//! The kubelet ends what it does not know under its root, so two nodes must not share one; and what is in here can be
//! found and ended without guessing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::Instant;

use crate::ClusterError;

const MOUNT: &str = "/sys/fs/cgroup";
/// The controllers that the kubelet and runc use, as cgroup v1 mounts them.
const V1: [&str; 9] = [
    "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd",
];
/// How often emptiness is looked for.
const POLL: Duration = Duration::from_millis(20);

/// One name in every hierarchy that the machine has.
#[derive(Debug, Clone)]
pub(super) struct Cgroup {
    /// The folders that we make, such as `/sys/fs/cgroup/memory/sluice-1a2b3c4d`, or just one with cgroup v2.
    folders: Vec<PathBuf>,
    /// Where else runc makes them: in every hierarchy that there is, `unified` beside those of v1 for instance.
    others: Vec<PathBuf>,
}

impl Cgroup {
    /// Where it is or would be. Nothing is made.
    pub(super) fn locate(name: &str) -> Self {
        let mount = Path::new(MOUNT);
        if is_v2() {
            return Self {
                folders: vec![mount.join(name)],
                others: Vec::new(),
            };
        }
        let hierarchies = fs::read_dir(mount).into_iter().flatten().flatten();
        let (folders, others) = hierarchies
            .map(|entry| entry.path())
            // Such as cpu, a link to cpu,cpuacct where both are mounted together.
            .filter(|hierarchy| hierarchy.is_dir())
            .partition::<Vec<_>, _>(|hierarchy| {
                V1.iter()
                    .any(|controller| mount.join(controller) == *hierarchy)
            });
        let named = |hierarchies: Vec<PathBuf>| {
            hierarchies
                .iter()
                .map(|hierarchy| hierarchy.join(name))
                .collect()
        };
        Self {
            folders: named(folders),
            others: named(others),
        }
    }

    /// Makes it, with room for processes.
    pub(super) fn make(&self) -> Result<(), ClusterError> {
        for folder in &self.folders {
            fs::create_dir_all(folder).map_err(ClusterError::io("creating", folder))?;
            // A new cpuset is empty, and takes no process until it is not.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let (ours, above) = (folder.join(file), folder.with_file_name(file));
                if ours.is_file() && above.is_file() {
                    fs::read(&above)
                        .and_then(|text| fs::write(&ours, text))
                        .map_err(ClusterError::io("filling", &ours))?;
                }
            }
        }
        if is_v2() {
            self.delegate()?;
        }
        let members = self.members();
        if let Some(parent) = members.parent() {
            fs::create_dir_all(parent).map_err(ClusterError::io("creating", parent))?;
        }
        Ok(())
    }

    /// cgroup v2 hands a controller down only where that is asked for.
    fn delegate(&self) -> Result<(), ClusterError> {
        let Some(folder) = self.folders.first() else {
            return Ok(());
        };
        for folder in [Path::new(MOUNT), folder] {
            let path = folder.join("cgroup.controllers");
            let controllers =
                fs::read_to_string(&path).map_err(ClusterError::io("reading", &path))?;
            let control = folder.join("cgroup.subtree_control");
            for controller in controllers.split_whitespace() {
                fs::write(&control, format!("+{controller}"))
                    .map_err(ClusterError::io("writing", &control))?;
            }
        }
        Ok(())
    }

    /// The file into which a process of the node itself writes its id. Pods have cgroups beside it.
    pub(super) fn members(&self) -> PathBuf {
        let hierarchy = self
            .folders
            .iter()
            .find(|folder| folder.starts_with(Path::new(MOUNT).join("pids")))
            .or_else(|| self.folders.first());
        hierarchy
            .cloned()
            .unwrap_or_default()
            .join("node")
            .join("cgroup.procs")
    }

    /// Kills whatever is in it and removes it. Nothing happens where it is not there.
    pub(super) fn remove_blocking(&self, within: Duration) -> Result<(), ClusterError> {
        let deadline = std::time::Instant::now() + within;
        while !self.try_remove()? {
            if std::time::Instant::now() > deadline {
                return Err(self.stuck(within));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// [`Cgroup::remove_blocking`], without holding up the runtime.
    pub(super) async fn remove(&self, within: Duration) -> Result<(), ClusterError> {
        let deadline = Instant::now() + within;
        while !self.try_remove()? {
            if Instant::now() > deadline {
                return Err(self.stuck(within));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// One round: kills, and removes what is empty. Whether all is gone.
    fn try_remove(&self) -> Result<bool, ClusterError> {
        let mut gone = true;
        for folder in self.everywhere().filter(|folder| folder.is_dir()) {
            for folder in below(folder) {
                let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                for pid in processes.lines().filter_map(|line| line.parse().ok()) {
                    // Zero stands for a process of another PID namespace than ours, and to kill for our own group.
                    if pid > 0 {
                        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                    }
                }
                match fs::remove_dir(&folder) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error)
                        if matches!(
                            error.kind(),
                            io::ErrorKind::ResourceBusy | io::ErrorKind::DirectoryNotEmpty
                        ) =>
                    {
                        gone = false;
                    }
                    Err(error) => return Err(ClusterError::io("removing", &folder)(error)),
                    Ok(()) => {}
                }
            }
        }
        Ok(gone)
    }

    fn everywhere(&self) -> impl Iterator<Item = &PathBuf> {
        self.folders.iter().chain(&self.others)
    }

    fn stuck(&self, within: Duration) -> ClusterError {
        let folder = self.everywhere().find(|folder| folder.is_dir());
        ClusterError::Stuck {
            path: folder.cloned().unwrap_or_default(),
            after: within,
        }
    }
}

/// A folder and all folders below it, the deepest first.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(below(&entry.path()));
        }
    }
    all.push(folder.to_path_buf());
    all
}

fn is_v2() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").is_file()
}

/// Whether we may make cgroups here, and if not, why.
pub(super) fn usable() -> Result<(), String> {
    let mount = Path::new(MOUNT);
    let parent = if is_v2() {
        mount.to_path_buf()
    } else {
        let missing = V1
            .iter()
            .filter(|controller| !matches!(**controller, "freezer" | "systemd"))
            .find(|controller| !mount.join(controller).is_dir());
        if let Some(missing) = missing {
            return Err(format!(
                "there is no cgroup controller {missing} in {MOUNT}"
            ));
        }
        mount.join("pids")
    };
    let probe = parent.join(format!("sluice-probe-{}", std::process::id()));
    fs::create_dir(&probe)
        .and_then(|()| fs::remove_dir(&probe))
        .map_err(|error| format!("no cgroup can be made in {}: {error}", parent.display()))
}
