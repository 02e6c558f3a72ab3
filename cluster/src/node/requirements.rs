//! What a machine must have to carry a node, where it is found, and how it is got on Debian. What is built from source
//! is not here but in [`crate::Assets`].

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::cgroup;
use crate::ClusterError;
use crate::assets::progress::{Progress, say};

/// Folders of programs besides those in PATH, which a user's shell may not name.
const SYSTEM_FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Where distributions and people put the CNI plugins.
const CNI_FOLDERS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
/// The plugins that the node's pod network is made of.
const CNI_PLUGINS: [&str; 3] = ["ptp", "host-local", "loopback"];
/// How long the package manager may take altogether.
const INSTALL_WITHIN: Duration = Duration::from_mins(10);

/// The machine's own programs that a node runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTools {
    /// The OCI runtime.
    pub runc: PathBuf,
    /// The folder of the CNI plugins.
    pub cni: PathBuf,
    /// What kube-proxy makes its rules with.
    pub nft: PathBuf,
    /// Makes links, addresses and routes.
    pub ip: PathBuf,
    /// Makes the node's namespaces.
    pub unshare: PathBuf,
    /// Enters them.
    pub nsenter: PathBuf,
    /// A busybox that needs no library: the image of the pods' sandboxes.
    pub busybox: PathBuf,
}

/// Something that is not there, and the way to get it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Missing {
    /// Such as `runc`.
    what: String,
    /// The Debian package that has it; none where no package helps.
    package: Option<&'static str>,
}

impl HostTools {
    /// Finds everything, or installs what is missing with apt-get (as root on Debian and its relatives), which is
    /// reported on stderr. Nothing is built, started or installed before it is clear that the rest is there.
    ///
    /// # Errors
    /// [`ClusterError::NodeUnsupported`] names everything that is missing and how to get it;
    /// [`ClusterError::InstallFailed`] if apt-get could not.
    pub async fn obtain() -> Result<Self, ClusterError> {
        let machine = machine();
        let found = Self::find();
        let packages: Vec<&str> = match &found {
            Ok(_) => Vec::new(),
            Err(missing) => missing.iter().filter_map(|m| m.package).collect(),
        };
        if machine.is_empty() && !packages.is_empty() && has_apt() {
            install(&packages).await?;
            return Self::find().map_err(|missing| unsupported(&[], &missing));
        }
        match found {
            Ok(tools) if machine.is_empty() => Ok(tools),
            Ok(_) => Err(unsupported(&machine, &[])),
            Err(missing) => Err(unsupported(&machine, &missing)),
        }
    }

    /// Says whether this machine can carry a node, were the Debian packages installed. Changes nothing.
    ///
    /// # Errors
    /// [`ClusterError::NodeUnsupported`] names everything that stands in the way.
    pub fn check() -> Result<(), ClusterError> {
        let machine = machine();
        match Self::find() {
            Ok(_) if machine.is_empty() => Ok(()),
            Err(_) if machine.is_empty() && has_apt() => Ok(()),
            Ok(_) => Err(unsupported(&machine, &[])),
            Err(missing) => Err(unsupported(&machine, &missing)),
        }
    }

    fn find() -> Result<Self, Vec<Missing>> {
        let mut missing = Vec::new();
        let mut program = |name: &str, package| {
            find_program(name).unwrap_or_else(|| {
                missing.push(Missing {
                    what: name.to_owned(),
                    package: Some(package),
                });
                PathBuf::new()
            })
        };
        let tools = Self {
            runc: program("runc", "runc"),
            nft: program("nft", "nftables"),
            ip: program("ip", "iproute2"),
            unshare: program("unshare", "util-linux"),
            nsenter: program("nsenter", "util-linux"),
            busybox: find_program("busybox")
                .filter(|path| is_static(path))
                .unwrap_or_default(),
            cni: CNI_FOLDERS
                .iter()
                .map(PathBuf::from)
                .find(|folder| CNI_PLUGINS.iter().all(|name| folder.join(name).is_file()))
                .unwrap_or_default(),
        };
        let mut others = vec![
            (
                &tools.busybox,
                "a busybox without libraries",
                "busybox-static",
            ),
            (
                &tools.cni,
                "the CNI plugins ptp, host-local and loopback",
                "containernetworking-plugins",
            ),
        ];
        others.retain(|(path, ..)| path.as_os_str().is_empty());
        missing.extend(others.into_iter().map(|(_, what, package)| Missing {
            what: what.to_owned(),
            package: Some(package),
        }));
        if missing.is_empty() {
            Ok(tools)
        } else {
            Err(missing)
        }
    }
}

fn unsupported(machine: &[String], missing: &[Missing]) -> ClusterError {
    let mut lines = machine.to_vec();
    lines.extend(missing.iter().map(|missing| match missing.package {
        Some(package) => format!("{} is missing (Debian package {package})", missing.what),
        None => missing.what.clone(),
    }));
    ClusterError::NodeUnsupported {
        missing: lines.join("; "),
    }
}

/// What no package can mend.
fn machine() -> Vec<String> {
    if !cfg!(target_os = "linux") {
        return vec!["this is not Linux".to_owned()];
    }
    if !is_root() {
        return vec!["it needs root (try sudo), and this is another user".to_owned()];
    }
    let mut missing = Vec::new();
    if let Err(reason) = cgroup::usable() {
        missing.push(reason);
    }
    if let Err(reason) = namespaces_usable() {
        missing.push(reason);
    }
    missing
}

/// The kernel says to whom we belong: our own entry in /proc has our effective user's id.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Root in a container is often root by name only.
fn namespaces_usable() -> Result<(), String> {
    let Some(unshare) = find_program("unshare") else {
        return Ok(()); // reported as a missing program
    };
    let output = std::process::Command::new(unshare)
        .args(["--mount", "--net", "--pid", "--fork", "--", "/bin/true"])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("namespaces cannot be made: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!(
        "namespaces cannot be made, which a container without privileges is not allowed ({said})"
    ))
}

pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|path| crate::assets::is_executable(path))
}

/// A dynamic program names its loader near its beginning.
fn is_static(path: &Path) -> bool {
    use std::io::Read;
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(8192).read_to_end(&mut start));
    let names = |word: &[u8]| start.windows(word.len()).any(|part| part == word);
    read.is_ok() && !names(b"/ld-linux") && !names(b"/ld-musl") && !names(b"/ld64")
}

fn has_apt() -> bool {
    Path::new("/etc/debian_version").exists() && find_program("apt-get").is_some()
}

async fn install(packages: &[&str]) -> Result<(), ClusterError> {
    let mut packages = packages.to_vec();
    packages.sort_unstable();
    packages.dedup();
    say(&format!(
        "Installing Debian packages which the node needs: {}.",
        packages.join(", ")
    ));
    let mut args = vec!["install", "-qy", "--no-install-recommends"];
    args.extend(&packages);
    let both = async {
        // The lists may be old or absent: they are fetched only if it does not work without.
        if apt_get(&args).await.is_err() {
            apt_get(&["update", "-q"]).await?;
            apt_get(&args).await?;
        }
        Ok(())
    };
    tokio::time::timeout(INSTALL_WITHIN, both)
        .await
        .unwrap_or_else(|_| {
            Err(ClusterError::InstallFailed {
                command: format!("apt-get {}", args.join(" ")),
                said: format!("it had not ended after {INSTALL_WITHIN:?}"),
            })
        })
}

async fn apt_get(args: &[&str]) -> Result<(), ClusterError> {
    let program = find_program("apt-get").unwrap_or_else(|| PathBuf::from("apt-get"));
    let mut child = Command::new(&program)
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(ClusterError::io("running", &program))?;
    let mut progress = Progress::new("apt-get");
    let lines = child.stdout.take().map(BufReader::new);
    let watch = async {
        let Some(mut lines) = lines.map(AsyncBufReadExt::lines) else {
            return;
        };
        while let Ok(Some(line)) = lines.next_line().await {
            progress.message(&line);
        }
    };
    let (output, ()) = tokio::join!(child.wait_with_output(), watch);
    progress.finish();
    let output = output.map_err(ClusterError::io("running", &program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(ClusterError::InstallFailed {
        command: format!("apt-get {}", args.join(" ")),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_its_package() {
        let missing = [
            Missing {
                what: "runc".into(),
                package: Some("runc"),
            },
            Missing {
                what: "a kernel".into(),
                package: None,
            },
        ];
        assert_eq!(
            unsupported(&["this is not Linux".to_owned()], &missing).to_string(),
            "this machine cannot carry a node: this is not Linux; runc is missing (Debian package runc); a kernel. \
             Without --node everything but pods works; --context NAME installs Sluice into an existing cluster instead"
        );
    }

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        assert!(!is_static(Path::new("/bin/sh")));
        assert!(!is_static(Path::new("/no/such/file")));
    }

    #[test]
    fn programs_are_found_where_no_path_leads() {
        assert!(find_program("mount").is_some());
        assert_eq!(find_program("no-such-program"), None);
    }
}
