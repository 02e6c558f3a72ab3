//! What is watched, and how little of each object is kept.

use super::quotas::{CLUSTER_CPU_QUOTAS, CPU_QUOTAS, QuotaKind};
use serde_json::{Value, json};
use sluice_policy::dialect::{Class, config, operator};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{Dialect, MilliCpu};
use std::sync::Arc;

/// Plural of CRDs.
pub const CRDS: &str = "customresourcedefinitions";
/// Plural of namespaces.
pub const NAMESPACES: &str = "namespaces";
/// Plural of `DeploymentDefaults`.
pub const DEFAULTS: &str = "deploymentdefaults";
/// Plural of `ClusterDeploymentDefaults`.
pub const CLUSTER_DEFAULTS: &str = "clusterdeploymentdefaults";
/// Plural of `Environment`.
pub const ENVIRONMENTS: &str = "environments";

/// Plural of ConfigMaps.
pub const CONFIG_MAPS: &str = "configmaps";

/// One object by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Single {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// One watched resource.
#[derive(Clone)]
pub struct Watched {
    /// API group; empty for the core.
    pub group: &'static str,
    /// API version.
    pub version: &'static str,
    /// Plural.
    pub plural: &'static str,
    /// What is kept.
    pub keep: Keep,
    /// The only object that is watched; `None`: all.
    pub only: Option<Single>,
}

impl Watched {
    /// Whether it belongs to somebody else, whose mistakes may keep it from being read: a kind of theirs is read by way of their
    /// conversion webhook.
    pub fn is_foreign(&self) -> bool {
        match self.keep {
            Keep::Operator => true,
            Keep::Whole | Keep::Facts(_) | Keep::Charge(_) => self.group != sluice_api::GROUP,
            Keep::Labels | Keep::Presence | Keep::Settings(_) | Keep::Quota(_) => false,
        }
    }
}

/// What is kept of an object.
#[derive(Clone, Copy)]
pub enum Keep {
    /// Its labels.
    Labels,
    /// Its spec, in form: admins' settings of this kind, of which a kind with a section of its own takes its part.
    Settings(&'static str),
    /// An object that holds nothing but `spec`: other people's settings that a dialect looks up whole.
    Whole,
    /// What its dialect says.
    Facts(&'static dyn Dialect),
    /// Nothing but its charge: a workload that nobody looks up.
    Charge(&'static dyn Dialect),
    /// The Apache operator's configuration.
    Operator,
    /// All that the ledger needs of a quota.
    Quota(QuotaKind),
    /// Nothing but that it exists.
    Presence,
}

impl Keep {
    /// The part of an object that is kept; `None`: the object is not known afterwards.
    pub fn part(self, object: &Value) -> Option<Value> {
        match self {
            Keep::Labels => Some(
                object
                    .pointer("/metadata/labels")
                    .cloned()
                    .unwrap_or_else(|| json!({})),
            ),
            Keep::Settings(kind) => Some(config::settings(kind, object)),
            Keep::Whole => Some(json!({ "spec": object.get("spec") })),
            Keep::Facts(dialect) => dialect.facts(object),
            Keep::Operator => match operator::configuration(object) {
                Ok(configuration) => Some(configuration),
                Err(why) => {
                    tracing::warn!(
                        why,
                        "the Apache operator's configuration cannot be read; Flink's own defaults count"
                    );
                    None
                }
            },
            Keep::Presence | Keep::Quota(_) | Keep::Charge(_) => Some(Value::Null),
        }
    }

    /// What an object costs, by itself: what its charge would look up elsewhere is taken for absent. Good enough to tell
    /// whether it has fallen.
    pub fn charge(self, object: &Value) -> MilliCpu {
        match self {
            Keep::Facts(dialect) | Keep::Charge(dialect) => {
                sluice_policy::admit::charge(dialect, object, &EmptyWorld)
            }
            _ => MilliCpu::ZERO,
        }
    }

    /// Whether the API server is asked for metadata only.
    pub fn metadata_only(self) -> bool {
        matches!(self, Keep::Labels | Keep::Presence)
    }

    /// Whether the kept parts are small and seldom looked up, so that they are stored as text and read then.
    pub fn packed(self) -> bool {
        matches!(self, Keep::Facts(_))
    }

    /// Whether objects are as many as workloads are, and looked up by nothing but their name.
    pub fn small(self) -> bool {
        match self {
            Keep::Charge(_) => true,
            Keep::Facts(dialect) => dialect.class() == Class::Workload,
            _ => false,
        }
    }

    /// Whether readiness waits for it, at first.
    pub fn matters(self) -> bool {
        !matches!(self, Keep::Presence | Keep::Charge(_))
    }
}

/// Everything that is watched for these dialects. `operator`: the Apache operator's ConfigMap.
pub fn watched(dialects: &[&'static dyn Dialect], operator: Option<&Single>) -> Vec<Watched> {
    let own = |plural, keep| Watched {
        group: sluice_api::GROUP,
        version: sluice_api::VERSION,
        plural,
        keep,
        only: None,
    };
    let mut all = vec![
        Watched {
            group: "apiextensions.k8s.io",
            version: "v1",
            plural: CRDS,
            keep: Keep::Presence,
            only: None,
        },
        Watched {
            group: "",
            version: "v1",
            plural: NAMESPACES,
            keep: Keep::Labels,
            only: None,
        },
        own(DEFAULTS, Keep::Settings("DeploymentDefaults")),
        own(
            CLUSTER_DEFAULTS,
            Keep::Settings("ClusterDeploymentDefaults"),
        ),
        own(ENVIRONMENTS, Keep::Settings("Environment")),
        own(CPU_QUOTAS, Keep::Quota(QuotaKind::Namespaced)),
        own(CLUSTER_CPU_QUOTAS, Keep::Quota(QuotaKind::Cluster)),
        // Confluent's environments: looked up by its applications, never judged.
        Watched {
            group: "platform.confluent.io",
            version: "v1beta1",
            plural: "flinkenvironments",
            keep: Keep::Whole,
            only: None,
        },
    ];
    all.extend(operator.map(|single| Watched {
        group: "",
        version: "v1",
        plural: CONFIG_MAPS,
        keep: Keep::Operator,
        only: Some(single.clone()),
    }));
    for dialect in dialects {
        let kind = dialect.kind();
        let known = all
            .iter()
            .any(|w| w.group == kind.group && w.plural == kind.plural);
        // A dialect whose objects are looked up has facts about any object, even an empty one.
        let keep = if dialect.facts(&json!({})).is_some() {
            Keep::Facts(*dialect)
        } else if dialect.class() == Class::Workload {
            Keep::Charge(*dialect)
        } else {
            continue;
        };
        if !known {
            all.push(Watched {
                group: kind.group,
                version: kind.version,
                plural: kind.plural,
                keep,
                only: None,
            });
        }
    }
    all
}
