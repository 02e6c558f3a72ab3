//! What is acted upon: kinds, namespaces, quotas and the objects' names.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Namespaces of a run: `chaos-0` and so on.
pub const NAMESPACES: u64 = 4;
/// Names per kind and namespace: few, so that the same name comes again and again, and about two thirds of what the limits let run.
pub const NAMES: u64 = 6;
/// The only namespace whose mode is ever edited. What it holds counts in a ClusterCpuQuota, but only what enforcing namespaces
/// hold is checked against the limit there.
pub const LENIENT: &str = "chaos-3";

/// The ClusterCpuQuota over some namespaces, two at first.
pub const PAIR: &str = "pair";

/// A kind of workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// `sluice.dev/v1alpha1` SessionCluster.
    SessionCluster,
    /// `sluice.dev/v1alpha1` Deployment.
    Deployment,
    /// `flink.apache.org/v1beta1` FlinkDeployment.
    FlinkDeployment,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 3] = [
        Kind::SessionCluster,
        Kind::Deployment,
        Kind::FlinkDeployment,
    ];

    /// Group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Kind::SessionCluster | Kind::Deployment => "sluice.dev/v1alpha1",
            Kind::FlinkDeployment => "flink.apache.org/v1beta1",
        }
    }

    /// The group alone.
    pub fn group(self) -> &'static str {
        match self {
            Kind::SessionCluster | Kind::Deployment => "sluice.dev",
            Kind::FlinkDeployment => "flink.apache.org",
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::SessionCluster => "SessionCluster",
            Kind::Deployment => "Deployment",
            Kind::FlinkDeployment => "FlinkDeployment",
        }
    }

    /// Its resource.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::SessionCluster => "sessionclusters",
            Kind::Deployment => "deployments",
            Kind::FlinkDeployment => "flinkdeployments",
        }
    }
}

/// A workload's place: many objects may stand there, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.name(), self.namespace, self.name)
    }
}

impl Place {
    /// URL path of its collection.
    pub fn collection(&self) -> String {
        format!(
            "/apis/{}/namespaces/{}/{}",
            self.kind.api_version(),
            self.namespace,
            self.kind.plural()
        )
    }

    /// URL path of the object.
    pub fn path(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }
}

/// A quota.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Quota {
    /// A CpuQuota `default` of this namespace.
    Of(String),
    /// A ClusterCpuQuota.
    Cluster(String),
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quota::Of(namespace) => write!(f, "CpuQuota {namespace}/default"),
            Quota::Cluster(name) => write!(f, "ClusterCpuQuota {name}"),
        }
    }
}

impl Quota {
    /// URL path of the object.
    pub fn path(&self) -> String {
        match self {
            Quota::Of(namespace) => {
                format!("/apis/sluice.dev/v1alpha1/namespaces/{namespace}/cpuquotas/default")
            }
            Quota::Cluster(name) => format!("/apis/sluice.dev/v1alpha1/clustercpuquotas/{name}"),
        }
    }

    /// All quotas of a run with their first limits in CPU and whom they count: one per namespace, one over all, one over two.
    pub fn all() -> Vec<(Quota, u64, Vec<String>)> {
        let mut all: Vec<_> = (0..NAMESPACES)
            .map(|index| {
                let namespace = format!("chaos-{index}");
                (Quota::Of(namespace.clone()), 40, vec![namespace])
            })
            .collect();
        all.push((
            Quota::Cluster("everybody".to_owned()),
            150,
            vec!["*".to_owned()],
        ));
        let pair = vec!["chaos-0".to_owned(), "chaos-1".to_owned()];
        all.push((Quota::Cluster(PAIR.to_owned()), 75, pair));
        all
    }
}
