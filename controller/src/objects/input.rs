//! What objects were made from, as a hash: whether what runs is still what is wanted.

use serde_json::{Value, json};
use sluice_policy::FieldPath;
use sluice_policy::dialect::session_cluster::SessionCluster;
use sluice_policy::immutability::strip_nothing;

use super::application::Application;
use super::cluster::{FlinkCluster, RoleResources};
use super::hash;

/// Hash of everything that pods are made from, but not of their number nor of this version of Sluice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What admission takes for no change is none here: what it lets through restarts nothing.
    hash: String,
    /// As earlier releases of Sluice had it, to which `labels: {}` was another input than none: what they have made is not restarted.
    earlier: String,
}

impl Input {
    /// Of a cluster.
    pub fn of(cluster: &FlinkCluster<'_>) -> Self {
        let kubernetes = serde_json::to_value(cluster.kubernetes).unwrap_or_default();
        let logging = serde_json::to_value(cluster.logging).unwrap_or_default();
        // The fields mean the same in all kinds that have them.
        let said = |field: &str, value: &Value| {
            let mut all = serde_json::Map::from_iter([(field.to_owned(), value.clone())]);
            strip_nothing(&SessionCluster, &FieldPath::of("spec"), &mut all);
            all.remove(field).unwrap_or_default()
        };
        Self {
            hash: hash_of(
                cluster,
                &said("logging", &logging),
                &said("kubernetes", &kubernetes),
            ),
            earlier: hash_of(cluster, &logging, &kubernetes),
        }
    }

    /// Of what is made of no spec.
    pub fn fixed(word: &str) -> Self {
        Self {
            hash: word.to_owned(),
            earlier: word.to_owned(),
        }
    }

    /// As it is written onto what is made.
    pub fn text(&self) -> &str {
        &self.hash
    }

    /// Whether what has this written on it, by this release or an earlier one, was made from the same.
    pub fn is(&self, written: Option<&str>) -> bool {
        written.is_some_and(|written| written == self.hash || written == self.earlier)
    }
}

fn hash_of(cluster: &FlinkCluster<'_>, logging: &Value, kubernetes: &Value) -> String {
    let resources = |of: RoleResources| {
        json!([
            of.cpu.0,
            of.memory.0,
            of.ephemeral_storage.map(|bytes| bytes.0)
        ])
    };
    let plugins = serde_json::to_value(cluster.plugins).unwrap_or_default();
    let mut input = json!([
        cluster.namespace,
        cluster.version.to_string(),
        cluster.image,
        resources(cluster.jobmanager),
        resources(cluster.taskmanager),
        cluster.configuration,
        logging,
        cluster.log_files,
        cluster.jars,
        plugins,
        kubernetes,
    ]);
    // The hash of a session cluster is what it was before there were applications: what runs is not restarted.
    if let Some(all) = input.as_array_mut() {
        all.extend(cluster.application.as_ref().map(Application::input));
        // Nor what an earlier release has started without it.
        all.extend(cluster.start_id.as_deref().map(Value::from));
    }
    hash(&input)
}
