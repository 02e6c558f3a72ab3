//! Where the control plane's programs come from. How they are built is in [`build`], how they are run is not here.

mod build;
mod module;
pub(crate) mod progress;
mod required;

pub use required::or_skip;

use std::env;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::ClusterError;
use module::Module;

/// A program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binary {
    /// The store.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Garbage collection, namespaces, service accounts, batch Jobs. Not part of what envtest calls assets.
    KubeControllerManager,
    /// The client that users type.
    Kubectl,
    /// Gives pods their node. From here on: what only a node needs.
    KubeScheduler,
    /// Runs pods on the node.
    Kubelet,
    /// Makes Services' addresses lead to pods.
    KubeProxy,
    /// The container runtime.
    Containerd,
    /// The parent of a pod's containers, started by containerd.
    ContainerdShim,
    /// containerd's client, which imports images.
    Ctr,
    /// The cluster's DNS server, which runs in a pod.
    CoreDns,
    /// Installs charts. Only the tests of Sluice's own chart need it.
    Helm,
    /// Reads metrics and evaluates alerts. Only the tests of Sluice's own alerts and dashboard need it.
    Prometheus,
    /// Checks alerts and evaluates them over series of a test's own.
    Promtool,
    /// A policy engine that Sluice is measured against. From here on: what only benchmarks need.
    Gatekeeper,
    /// Gatekeeper's rules on files.
    Gator,
    /// Another engine's policies on files.
    Kyverno,
}

impl Binary {
    /// The control plane: what `sluice up` needs.
    pub const ALL: &'static [Self] = &[
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::Kubectl,
    ];

    /// The control plane and a node: what `sluice up --node` needs.
    pub const WITH_NODE: &'static [Self] = &[
        Self::Etcd,
        Self::KubeApiserver,
        Self::KubeControllerManager,
        Self::Kubectl,
        Self::KubeScheduler,
        Self::Kubelet,
        Self::KubeProxy,
        Self::Containerd,
        Self::ContainerdShim,
        Self::Ctr,
        Self::CoreDns,
    ];

    /// Its file's name.
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Containerd => "containerd",
            Self::ContainerdShim => "containerd-shim-runc-v2",
            Self::Ctr => "ctr",
            Self::CoreDns => "coredns",
            Self::Helm => "helm",
            Self::Prometheus => "prometheus",
            Self::Promtool => "promtool",
            Self::Gatekeeper => "gatekeeper",
            Self::Gator => "gator",
            Self::Kyverno => "kyverno",
        }
    }

    /// The Go package of its `main`.
    const fn package(self) -> &'static str {
        match self {
            Self::Etcd => "go.etcd.io/etcd/server/v3",
            Self::KubeApiserver => "k8s.io/kubernetes/cmd/kube-apiserver",
            Self::KubeControllerManager => "k8s.io/kubernetes/cmd/kube-controller-manager",
            Self::Kubectl => "k8s.io/kubernetes/cmd/kubectl",
            Self::KubeScheduler => "k8s.io/kubernetes/cmd/kube-scheduler",
            Self::Kubelet => "k8s.io/kubernetes/cmd/kubelet",
            Self::KubeProxy => "k8s.io/kubernetes/cmd/kube-proxy",
            Self::Containerd => "github.com/containerd/containerd/v2/cmd/containerd",
            Self::ContainerdShim => {
                "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"
            }
            Self::Ctr => "github.com/containerd/containerd/v2/cmd/ctr",
            Self::CoreDns => "github.com/coredns/coredns",
            Self::Helm => "helm.sh/helm/v4/cmd/helm",
            Self::Prometheus => "github.com/prometheus/prometheus/cmd/prometheus",
            Self::Promtool => "github.com/prometheus/prometheus/cmd/promtool",
            Self::Gatekeeper => "github.com/open-policy-agent/gatekeeper/v3",
            Self::Gator => "github.com/open-policy-agent/gatekeeper/v3/cmd/gator",
            Self::Kyverno => "github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno",
        }
    }

    /// The version that is built, without `v`: `3.6.16`.
    pub fn version(self) -> &'static str {
        self.module().version()
    }

    const fn module(self) -> &'static Module {
        match self {
            Self::Etcd => &module::ETCD,
            Self::KubeApiserver
            | Self::KubeControllerManager
            | Self::Kubectl
            | Self::KubeScheduler
            | Self::Kubelet
            | Self::KubeProxy => &module::KUBERNETES,
            Self::Containerd | Self::ContainerdShim | Self::Ctr => &module::CONTAINERD,
            Self::CoreDns => &module::COREDNS,
            Self::Helm => &module::HELM,
            Self::Prometheus | Self::Promtool => &module::PROMETHEUS,
            Self::Gatekeeper | Self::Gator => &module::GATEKEEPER,
            Self::Kyverno => &module::KYVERNO,
        }
    }
}

/// The folder in which built programs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AssetsCache {
    /// `$XDG_CACHE_HOME/sluice`, else `~/.cache/sluice`.
    #[default]
    Default,
    /// A folder named by the user (`--assets DIR`); made if it is missing.
    Dir(PathBuf),
}

impl AssetsCache {
    /// The folder, absolute.
    pub(crate) fn resolve(&self) -> Result<PathBuf, ClusterError> {
        let dir = self.dir(&Environment::read())?;
        std::path::absolute(&dir).map_err(ClusterError::io("resolving", &dir))
    }

    fn dir(&self, env: &Environment) -> Result<PathBuf, ClusterError> {
        match (self, &env.xdg_cache_home, &env.home) {
            (Self::Dir(dir), ..) => Ok(dir.clone()),
            // The XDG base directory specification: a relative path is to be ignored.
            (Self::Default, Some(cache), _) if Path::new(cache).is_absolute() => {
                Ok(Path::new(cache).join("sluice"))
            }
            (Self::Default, _, Some(home)) => Ok(Path::new(home).join(".cache/sluice")),
            (Self::Default, _, None) => Err(ClusterError::NoCacheDir),
        }
    }
}

/// Programs that are there, ready to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assets(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// All in one folder, as `KUBEBUILDER_ASSETS` has it.
    Folder(PathBuf),
    /// In our cache, a folder for each module and version.
    Cache(PathBuf),
}

impl Assets {
    /// Finds the programs in `needed`, or builds them: from `KUBEBUILDER_ASSETS` if that is set (then nothing is built),
    /// else from the cache, in which a folder is named by version so that a newer Sluice builds anew.
    ///
    /// A first build takes minutes and reports its progress on stderr. Only one process builds at a time; others wait.
    ///
    /// # Errors
    /// [`ClusterError::MissingAsset`], [`ClusterError::NoCacheDir`], [`ClusterError::GoMissing`],
    /// [`ClusterError::GoTooOld`], [`ClusterError::BuildFailed`] or [`ClusterError::Io`].
    pub async fn obtain(cache: &AssetsCache, needed: &[Binary]) -> Result<Self, ClusterError> {
        Self::obtain_in(cache, needed, &Environment::read()).await
    }

    async fn obtain_in(
        cache: &AssetsCache,
        needed: &[Binary],
        env: &Environment,
    ) -> Result<Self, ClusterError> {
        if let Some(dir) = &env.kubebuilder_assets {
            return Self::from_dir(Path::new(dir), needed);
        }
        // Absolute, since the build changes its folder.
        let cache = cache.dir(env)?;
        let cache = std::path::absolute(&cache).map_err(ClusterError::io("resolving", &cache))?;
        for module in module::ALL {
            let wanted: Vec<Binary> = needed
                .iter()
                .copied()
                .filter(|binary| binary.module().name == module.name)
                .collect();
            build::ensure(module, &wanted, &cache).await?;
        }
        Ok(Self(Place::Cache(cache)))
    }

    /// All of `needed` from one folder, as `KUBEBUILDER_ASSETS` has it.
    fn from_dir(dir: &Path, needed: &[Binary]) -> Result<Self, ClusterError> {
        match needed
            .iter()
            .find(|binary| !is_executable(&dir.join(binary.file_name())))
        {
            Some(missing) => Err(ClusterError::MissingAsset {
                dir: dir.to_path_buf(),
                name: missing.file_name(),
            }),
            None => Ok(Self(Place::Folder(dir.to_path_buf()))),
        }
    }

    /// The path of a program. Only those asked for in [`Assets::obtain`] are sure to exist.
    pub fn path(&self, binary: Binary) -> PathBuf {
        match &self.0 {
            Place::Folder(dir) => dir.join(binary.file_name()),
            Place::Cache(cache) => binary.module().bin_dir(cache).join(binary.file_name()),
        }
    }
}

pub(crate) fn is_executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The variables that matter here, read once, so that tests need not change those of the whole program.
#[derive(Debug, Clone, Default)]
struct Environment {
    kubebuilder_assets: Option<OsString>,
    xdg_cache_home: Option<OsString>,
    home: Option<OsString>,
}

impl Environment {
    fn read() -> Self {
        // Empty counts as unset, as the shell's `VAR= command` means it.
        let read = |name| env::var_os(name).filter(|value| !value.is_empty());
        Self {
            kubebuilder_assets: read("KUBEBUILDER_ASSETS"),
            xdg_cache_home: read("XDG_CACHE_HOME"),
            home: read("HOME"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn executable(path: &Path) {
        std::fs::write(path, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn env(kubebuilder_assets: &Path) -> Environment {
        Environment {
            kubebuilder_assets: Some(kubebuilder_assets.into()),
            ..Environment::default()
        }
    }

    #[tokio::test]
    async fn kubebuilder_assets_wins_and_builds_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        for binary in Binary::ALL {
            executable(&dir.path().join(binary.file_name()));
        }
        let assets = Assets::obtain_in(
            &AssetsCache::Dir(cache.clone()),
            Binary::ALL,
            &env(dir.path()),
        )
        .await
        .unwrap();
        assert_eq!(assets.path(Binary::Kubectl), dir.path().join("kubectl"));
        assert_eq!(assets.path(Binary::Etcd), dir.path().join("etcd"));
        assert!(
            !cache.exists(),
            "the cache was touched although KUBEBUILDER_ASSETS is set"
        );
    }

    #[tokio::test]
    async fn kubebuilder_assets_without_a_needed_program_names_it_and_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        for binary in [Binary::Etcd, Binary::KubeApiserver, Binary::Kubectl] {
            executable(&dir.path().join(binary.file_name()));
        }
        // There, but not executable: as good as missing.
        std::fs::write(dir.path().join("kube-controller-manager"), "").unwrap();
        let error = Assets::obtain_in(&AssetsCache::Default, Binary::ALL, &env(dir.path()))
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "KUBEBUILDER_ASSETS is {}, where there is no executable file \"kube-controller-manager\". Put it there, \
                 or unset KUBEBUILDER_ASSETS to have the programs built from source",
                dir.path().display()
            )
        );
        // envtest's three suffice for whoever needs only those.
        let three = [Binary::Etcd, Binary::KubeApiserver, Binary::Kubectl];
        assert!(
            Assets::obtain_in(&AssetsCache::Default, &three, &env(dir.path()))
                .await
                .is_ok()
        );
    }

    #[test]
    fn the_cache_follows_xdg() {
        let home = Some(OsString::from("/home/u"));
        let dir = |xdg: Option<&str>, home: &Option<OsString>| {
            AssetsCache::Default.dir(&Environment {
                xdg_cache_home: xdg.map(OsString::from),
                home: home.clone(),
                kubebuilder_assets: None,
            })
        };
        assert_eq!(
            dir(None, &home).unwrap(),
            Path::new("/home/u/.cache/sluice")
        );
        assert_eq!(dir(Some("/c"), &home).unwrap(), Path::new("/c/sluice"));
        assert_eq!(
            dir(Some("relative"), &home).unwrap(),
            Path::new("/home/u/.cache/sluice")
        );
        assert_eq!(
            dir(None, &None).unwrap_err().to_string(),
            "no cache folder: neither XDG_CACHE_HOME nor HOME is set. Name one with --assets DIR"
        );
    }
}
