//! What can go wrong with the local control plane, each with the way out. Nothing else lives here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

/// Why the control plane could not be obtained, started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// `KUBEBUILDER_ASSETS` names a folder in which a needed program is missing.
    #[error(
        "KUBEBUILDER_ASSETS is {dir}, where there is no executable file {name:?}. Put it there, or unset \
         KUBEBUILDER_ASSETS to have the programs built from source"
    )]
    MissingAsset {
        /// The folder that `KUBEBUILDER_ASSETS` names.
        dir: PathBuf,
        /// File name of the missing program, such as `kube-apiserver`.
        name: &'static str,
    },

    /// Neither `--assets`, `XDG_CACHE_HOME` nor `HOME` says where the cache is.
    #[error("no cache folder: neither XDG_CACHE_HOME nor HOME is set. Name one with --assets DIR")]
    NoCacheDir,

    /// The programs must be built, but there is no `go`.
    #[error(
        "building {what} needs Go {needed} or later, and there is no `go` in PATH or /usr/local/go/bin. Install it \
         (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder which holds the built programs"
    )]
    GoMissing {
        /// What was to be built, such as `kubernetes 1.36.3`.
        what: String,
        /// The `go` line of the module.
        needed: String,
    },

    /// The `go` that is there is older than the module asks for and cannot fetch a newer toolchain.
    #[error(
        "building {what} needs Go {needed} or later, and `{go}` cannot provide it: {said}. Install a newer Go \
         (https://go.dev/dl) or allow it to fetch one (GOTOOLCHAIN=auto), or set KUBEBUILDER_ASSETS to a folder which \
         holds the built programs"
    )]
    GoTooOld {
        /// What was to be built, such as `kubernetes 1.36.3`.
        what: String,
        /// The `go` line of the module.
        needed: String,
        /// Path of the `go` that was asked.
        go: PathBuf,
        /// Its answer.
        said: String,
    },

    /// `go build` or `go list` failed.
    #[error("building {what}: `{command}` failed ({status}); its last lines:\n{tail}")]
    BuildFailed {
        /// What was to be built, such as `kubernetes 1.36.3`.
        what: String,
        /// The command, shortened.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its last lines on stderr.
        tail: String,
    },

    /// What was given is no Flink version that an image can be built of.
    #[error("Flink version {given:?}: {problem}. Name one such as 1.20 or 1.20.5")]
    FlinkVersion {
        /// What was given.
        given: String,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// A program of the machine that a build needs is not there, and could not be installed.
    #[error(
        "building {what} needs {tool}, which this machine lacks. Install it (on Debian 12, as root: apt-get install \
         {package}){hint}"
    )]
    ToolMissing {
        /// What was to be built, such as `the image of Flink 1.20.5`.
        what: String,
        /// What is missing, such as `a Java 17 development kit`.
        tool: &'static str,
        /// Debian's package of it.
        package: &'static str,
        /// Another way out, or why it was not installed by itself; starts with its own punctuation.
        hint: String,
    },

    /// A step of a build did not end in time.
    #[error(
        "building {what}: `{command}` did not end within {limit:?} and was stopped; its last lines:\n{tail}"
    )]
    StepTooLong {
        /// What was to be built.
        what: String,
        /// The command, shortened.
        command: String,
        /// How long it was given.
        limit: Duration,
        /// Its last lines.
        tail: String,
    },

    /// What a build took apart does not hold what it should.
    #[error(
        "building {what}: {path} is missing or not as expected ({problem}). Remove its folder from the cache and try again"
    )]
    Unexpected {
        /// What was to be built.
        what: String,
        /// The file in question.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },

    /// A file or a process could not be made, read or removed.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, such as `creating`.
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },

    /// Another control plane runs on the same data folder.
    #[error(
        "{dir} is in use by another local control plane. Stop that one, or name another data folder"
    )]
    InUse {
        /// The data folder.
        dir: PathBuf,
    },

    /// No free port was found on loopback.
    #[error("no free TCP port on 127.0.0.1 among {tried} tried. See what listens there: ss -ltn")]
    NoFreePort {
        /// How many were tried.
        tried: u32,
    },

    /// A key or certificate could not be made.
    #[error("making the control plane's keys: {0}")]
    Keys(#[from] rcgen::Error),

    /// A component ended although nobody asked it to.
    #[error("{name} ended by itself ({status}); the last lines of {log}:\n{tail}")]
    Died {
        /// The component's name.
        name: String,
        /// How it ended.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },

    /// A component was not ready in time.
    #[error("{name} was not ready after {after:?} ({last}); the last lines of {log}:\n{tail}")]
    NotReady {
        /// The component's name.
        name: String,
        /// How long was waited.
        after: Duration,
        /// What the last probe said.
        last: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },

    /// The component that was to be killed or asked does not run in this cluster.
    #[error("{name} does not run in this cluster")]
    NotRunning {
        /// The component's name.
        name: String,
    },

    /// This machine lacks something that a node needs.
    #[error(
        "this machine cannot carry a node: {missing}. Without --node everything but pods works; --context NAME installs \
         Sluice into an existing cluster instead"
    )]
    NodeUnsupported {
        /// Everything that is missing, with the way to get it.
        missing: String,
    },

    /// The package manager could not install what a node needs.
    #[error("{command} failed: {said}")]
    InstallFailed {
        /// The command.
        command: String,
        /// Its complaint.
        said: String,
    },

    /// A command on which the node depends failed.
    #[error("{command}: {said}")]
    NodeCommand {
        /// The command, as it would be typed in the node's namespaces or on the host.
        command: String,
        /// How it ended and what it said.
        said: String,
    },

    /// Every block of addresses is taken.
    #[error(
        "no block 10.N.0.0/16 with N from 130 to 239 is free for the node's pods; see ip route show table all"
    )]
    NoFreeNetwork,

    /// The data folder's block of addresses is taken by somebody else now.
    #[error(
        "the Services in this data folder have addresses in {block}, which this machine uses otherwise now ({by}). Remove \
         that, or name another data folder"
    )]
    NetworkInUse {
        /// Such as `10.140.0.0/16`.
        block: String,
        /// The route or address in the way.
        by: String,
    },

    /// The data folder was made with a node and is started without one, or the other way round.
    #[error(
        "{dir} was made {made} a node, and its Services' addresses depend on that: start it {made} --node again, or name \
         another data folder"
    )]
    OtherNetwork {
        /// The data folder.
        dir: PathBuf,
        /// `with` or `without`.
        made: &'static str,
    },

    /// Processes of the node do not die, or a cgroup cannot be removed.
    #[error("{path} still has processes {after:?} after they were killed; see its cgroup.procs")]
    Stuck {
        /// The cgroup.
        path: PathBuf,
        /// How long was waited.
        after: Duration,
    },

    /// No client could be made for the API server, or it refused what the node needs.
    #[error("asking the API server: {0}")]
    Client(Box<dyn std::error::Error + Send + Sync>),
}

impl ClusterError {
    /// For `map_err`: what was being done to which file.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
