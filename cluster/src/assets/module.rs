//! The Go modules from which the programs are built, embedded so that an installed `sluice` can build them too.
//! One module for each project: their requirements collide.

use std::path::{Path, PathBuf};

/// A Go module which only pins versions.
#[derive(Debug)]
pub(super) struct Module {
    /// Prefix of the folder in the cache.
    pub name: &'static str,
    /// Go's name of the project whose version counts.
    requires: &'static str,
    /// The files of the module.
    pub files: [(&'static str, &'static str); 3],
    /// Said before a build, since it is long.
    pub takes: &'static str,
    /// Build tags: parts left out, which would need C libraries.
    pub tags: &'static str,
    /// How the version gets into the program.
    stamp: Stamp,
}

#[derive(Debug)]
enum Stamp {
    /// etcd and CoreDNS have it in their source.
    Source,
    /// Without it a Kubernetes server says v0.0.0, and clients misbehave.
    Component,
    /// A variable of the program, named by its import path.
    Variable(&'static str),
}

/// In the order in which they are built.
pub(super) const ALL: [&Module; 8] = [
    &ETCD,
    &KUBERNETES,
    &CONTAINERD,
    &COREDNS,
    &HELM,
    &PROMETHEUS,
    &GATEKEEPER,
    &KYVERNO,
];

pub(super) const ETCD: Module = Module {
    name: "etcd",
    requires: "go.etcd.io/etcd/server/v3",
    files: [
        ("go.mod", include_str!("../../modules/etcd/go.mod")),
        ("go.sum", include_str!("../../modules/etcd/go.sum")),
        ("tools.go", include_str!("../../modules/etcd/tools.go")),
    ],
    takes: "about a minute on 2 cores",
    tags: "",
    stamp: Stamp::Source,
};

pub(super) const KUBERNETES: Module = Module {
    name: "kubernetes",
    requires: "k8s.io/kubernetes",
    files: [
        ("go.mod", include_str!("../../modules/kubernetes/go.mod")),
        ("go.sum", include_str!("../../modules/kubernetes/go.sum")),
        (
            "tools.go",
            include_str!("../../modules/kubernetes/tools.go"),
        ),
    ],
    takes: "5 to 8 minutes on 2 cores",
    tags: "",
    stamp: Stamp::Component,
};

pub(super) const CONTAINERD: Module = Module {
    name: "containerd",
    requires: "github.com/containerd/containerd/v2",
    files: [
        ("go.mod", include_str!("../../modules/containerd/go.mod")),
        ("go.sum", include_str!("../../modules/containerd/go.sum")),
        (
            "tools.go",
            include_str!("../../modules/containerd/tools.go"),
        ),
    ],
    takes: "1 to 2 minutes on 2 cores",
    tags: "no_btrfs no_devmapper no_zfs",
    stamp: Stamp::Variable("github.com/containerd/containerd/v2/version.Version"),
};

pub(super) const COREDNS: Module = Module {
    name: "coredns",
    requires: "github.com/coredns/coredns",
    files: [
        ("go.mod", include_str!("../../modules/coredns/go.mod")),
        ("go.sum", include_str!("../../modules/coredns/go.sum")),
        ("tools.go", include_str!("../../modules/coredns/tools.go")),
    ],
    takes: "2 to 3 minutes on 2 cores",
    tags: "",
    stamp: Stamp::Source,
};

pub(super) const HELM: Module = Module {
    name: "helm",
    requires: "helm.sh/helm/v4",
    files: [
        ("go.mod", include_str!("../../modules/helm/go.mod")),
        ("go.sum", include_str!("../../modules/helm/go.sum")),
        ("tools.go", include_str!("../../modules/helm/tools.go")),
    ],
    takes: "1 to 2 minutes on 2 cores",
    tags: "",
    stamp: Stamp::Variable("helm.sh/helm/v4/internal/version.version"),
};

pub(super) const PROMETHEUS: Module = Module {
    name: "prometheus",
    requires: "github.com/prometheus/prometheus",
    files: [
        ("go.mod", include_str!("../../modules/prometheus/go.mod")),
        ("go.sum", include_str!("../../modules/prometheus/go.sum")),
        (
            "tools.go",
            include_str!("../../modules/prometheus/tools.go"),
        ),
    ],
    takes: "2 to 4 minutes on 2 cores",
    // Targets stand in a file: no cloud's discovery, which is most of the code. Its web pages are not part of the module.
    tags: "remove_all_sd",
    stamp: Stamp::Variable("github.com/prometheus/common/version.Version"),
};

pub(super) const GATEKEEPER: Module = Module {
    name: "gatekeeper",
    requires: "github.com/open-policy-agent/gatekeeper/v3",
    files: [
        ("go.mod", include_str!("../../modules/gatekeeper/go.mod")),
        ("go.sum", include_str!("../../modules/gatekeeper/go.sum")),
        (
            "tools.go",
            include_str!("../../modules/gatekeeper/tools.go"),
        ),
    ],
    takes: "5 to 10 minutes on 2 cores",
    tags: "",
    stamp: Stamp::Variable("github.com/open-policy-agent/gatekeeper/v3/pkg/version.Version"),
};

pub(super) const KYVERNO: Module = Module {
    name: "kyverno",
    requires: "github.com/kyverno/kyverno",
    files: [
        ("go.mod", include_str!("../../modules/kyverno/go.mod")),
        ("go.sum", include_str!("../../modules/kyverno/go.sum")),
        ("tools.go", include_str!("../../modules/kyverno/tools.go")),
    ],
    takes: "5 to 10 minutes on 2 cores",
    tags: "",
    stamp: Stamp::Variable("github.com/kyverno/kyverno/pkg/version.BuildVersion"),
};

impl Module {
    fn go_mod(&self) -> &'static str {
        self.files
            .iter()
            .find(|(name, _)| *name == "go.mod")
            .map_or("", |(_, text)| text)
    }

    /// The version that go.mod requires, without `v`: the only place where it is written down.
    pub(super) fn version(&self) -> &'static str {
        self.go_mod()
            .lines()
            .map(|line| line.trim_start().trim_start_matches("require "))
            .find_map(|line| line.strip_prefix(self.requires)?.trim().strip_prefix('v'))
            .unwrap_or("unknown")
    }

    /// The oldest Go that can build it, such as `1.26.0`.
    pub(super) fn go(&self) -> &'static str {
        self.go_mod()
            .lines()
            .find_map(|line| line.strip_prefix("go "))
            .map_or("unknown", str::trim)
    }

    /// For messages and for the cache: `kubernetes-1.36.3`.
    pub(super) fn title(&self) -> String {
        format!("{}-{}", self.name, self.version())
    }

    /// Where its programs lie in a cache.
    pub(super) fn bin_dir(&self, cache: &Path) -> PathBuf {
        cache.join(self.title()).join("bin")
    }

    /// Value of `-ldflags`: no symbols (a third of the size), and the version.
    pub(super) fn ldflags(&self) -> String {
        match self.stamp {
            Stamp::Source => "-s -w".to_owned(),
            Stamp::Component => {
                let version = self.version();
                let mut parts = version.split('.');
                let major = parts.next().unwrap_or_default();
                let minor = parts.next().unwrap_or_default();
                let at = "-X k8s.io/component-base/version.";
                format!("-s -w {at}gitVersion=v{version} {at}gitMajor={major} {at}gitMinor={minor}")
            }
            Stamp::Variable(name) => format!("-s -w -X {name}=v{}", self.version()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_go_mod() {
        assert_eq!(KUBERNETES.title(), "kubernetes-1.36.3");
        assert_eq!(ETCD.title(), "etcd-3.6.16");
        assert_eq!(CONTAINERD.title(), "containerd-2.1.5");
        assert_eq!(COREDNS.title(), "coredns-1.15.0");
        assert_eq!(HELM.title(), "helm-4.3.1");
        assert_eq!(PROMETHEUS.title(), "prometheus-0.310.0");
        assert_eq!(GATEKEEPER.title(), "gatekeeper-3.23.1");
        assert_eq!(KYVERNO.title(), "kyverno-1.19.1");
        assert_eq!(KUBERNETES.go(), "1.26.0");
        assert_eq!(
            KUBERNETES.bin_dir(Path::new("/c")).join("kubectl"),
            Path::new("/c/kubernetes-1.36.3/bin/kubectl")
        );
    }

    #[test]
    fn kubernetes_is_stamped_with_its_version() {
        assert_eq!(
            KUBERNETES.ldflags(),
            "-s -w -X k8s.io/component-base/version.gitVersion=v1.36.3 -X k8s.io/component-base/version.gitMajor=1 -X \
             k8s.io/component-base/version.gitMinor=36"
        );
        assert_eq!(ETCD.ldflags(), "-s -w");
        assert_eq!(
            CONTAINERD.ldflags(),
            "-s -w -X github.com/containerd/containerd/v2/version.Version=v2.1.5"
        );
    }
}
