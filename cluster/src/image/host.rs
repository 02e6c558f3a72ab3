//! What this machine must bring along to build an image: pip, a Java 17 development kit, bash and a busybox. Found where
//! they usually are; on Debian, run by root, installed from the distribution's packages if they are missing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::step::Step;
use crate::ClusterError;
use crate::assets::is_executable;

/// The Java that Flink images are built with: the newest that all of 1.18 to 2.x support.
pub(super) const JAVA: &str = "17";

/// Installing a package with all it needs.
const INSTALL_LIMIT: Duration = Duration::from_mins(15);

/// Something that the machine must have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    /// As messages call it.
    name: &'static str,
    /// Debian 12's package.
    package: &'static str,
    /// Another way out than installing the package, for messages; may be empty.
    otherwise: &'static str,
    find: fn() -> Option<PathBuf>,
}

/// A python3 whose pip can download.
pub(super) const PIP: Tool = Tool {
    name: "python3 with pip",
    package: "python3-pip",
    otherwise: "",
    find: || {
        ["python3", "/usr/bin/python3", "/usr/local/bin/python3"]
            .into_iter()
            .find(|python| succeeds(python, &["-m", "pip", "--version"]))
            .map(PathBuf::from)
    },
};

/// The home of a Java development kit with jlink and its modules.
pub(super) const JDK: Tool = Tool {
    name: "a Java 17 development kit",
    package: "openjdk-17-jdk-headless",
    otherwise: ", or set JAVA_HOME to one",
    find: || {
        let named = std::env::var_os("JAVA_HOME").map(PathBuf::from);
        let mut installed: Vec<PathBuf> = std::fs::read_dir("/usr/lib/jvm")
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect();
        installed.sort();
        named.into_iter().chain(installed).find(|home| is_jdk(home))
    },
};

/// A static busybox if there is one; any other serves too.
pub(super) const BUSYBOX: Tool = Tool {
    name: "busybox",
    package: "busybox-static",
    otherwise: "",
    find: || in_path("busybox"),
};

/// The shell that Flink's scripts are written for.
pub(super) const BASH: Tool = Tool {
    name: "bash",
    package: "bash",
    otherwise: "",
    find: || in_path("bash"),
};

/// The certificates that the internet's servers are checked with.
pub(super) const CA_CERTIFICATES: Tool = Tool {
    name: "the certificates of the public authorities",
    package: "ca-certificates",
    otherwise: "",
    find: || {
        [
            "/etc/ssl/certs/ca-certificates.crt",
            "/etc/pki/tls/certs/ca-bundle.crt",
        ]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
    },
};

impl Tool {
    /// Where it is. Installs it if it is missing, we are root and there is an apt-get.
    ///
    /// # Errors
    /// [`ClusterError::ToolMissing`], or what apt-get said.
    pub(super) async fn get(self, what: &str) -> Result<PathBuf, ClusterError> {
        if let Some(path) = (self.find)() {
            return Ok(path);
        }
        let Some(apt) = in_path("apt-get") else {
            return Err(self.missing(what, ""));
        };
        if !is_root() {
            return Err(self.missing(what, ". Run by root, it is installed by itself"));
        }
        let mut step = Step::begin(what, &format!("installing {} with apt-get", self.package));
        if step
            .quietly(install(&apt, self.package), INSTALL_LIMIT)
            .await
            .is_err()
        {
            // The lists of packages are older than the packages on the server, or were never fetched.
            let mut update = Command::new(&apt);
            update.args(["-q", "update"]);
            step.quietly(update, INSTALL_LIMIT).await?;
            step.quietly(install(&apt, self.package), INSTALL_LIMIT)
                .await?;
        }
        (self.find)().ok_or_else(|| self.missing(what, "; apt-get said it had installed it"))
    }

    fn missing(self, what: &str, why: &str) -> ClusterError {
        ClusterError::ToolMissing {
            what: what.to_owned(),
            tool: self.name,
            package: self.package,
            hint: format!("{}{why}", self.otherwise),
        }
    }
}

fn install(apt: &Path, package: &str) -> Command {
    let mut command = Command::new(apt);
    command
        .args(["-q", "-y", "--no-install-recommends", "install", package])
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// The first executable file of this name in PATH or where a login shell of root has them.
pub(super) fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| is_executable(path))
}

/// Whether we may install packages: who our own entry in /proc belongs to is who we act as.
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

fn succeeds(program: &str, args: &[&str]) -> bool {
    std::process::Command::new(program)
        .args(args)
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Its `release` file says which Java it is; a runtime alone lacks jlink or the modules.
fn is_jdk(home: &Path) -> bool {
    let release = std::fs::read_to_string(home.join("release")).unwrap_or_default();
    release
        .lines()
        .filter_map(|line| line.strip_prefix("JAVA_VERSION=\""))
        .any(|version| version.starts_with(&format!("{JAVA}.")) || version == format!("{JAVA}\""))
        && is_executable(&home.join("bin/jlink"))
        && is_executable(&home.join("bin/javac"))
        && home.join("jmods/java.base.jmod").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_jdk_is_one_of_the_right_version_with_jlink() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        assert!(!is_jdk(home));
        for name in ["bin/jlink", "bin/javac", "jmods/java.base.jmod"] {
            let path = home.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (release, right) in [
            ("JAVA_VERSION=\"17.0.15\"\n", true),
            ("IMPLEMENTOR=\"x\"\nJAVA_VERSION=\"17\"\n", true),
            ("JAVA_VERSION=\"21.0.2\"\n", false),
            ("JAVA_VERSION=\"1.8.0_17\"\n", false),
        ] {
            std::fs::write(home.join("release"), release).unwrap();
            assert_eq!(is_jdk(home), right, "{release}");
        }
        std::fs::remove_file(home.join("bin/jlink")).unwrap();
        std::fs::write(home.join("release"), "JAVA_VERSION=\"17.0.15\"\n").unwrap();
        assert!(!is_jdk(home), "without jlink it is only a runtime");
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_out() {
        assert_eq!(
            JDK.missing("the image of Flink 1.20.5", "").to_string(),
            "building the image of Flink 1.20.5 needs a Java 17 development kit, which this machine lacks. Install it \
             (on Debian 12, as root: apt-get install openjdk-17-jdk-headless), or set JAVA_HOME to one"
        );
    }
}
