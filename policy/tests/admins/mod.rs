//! A world of which tests say what admins have set.

use serde_json::{Value, json};
use sluice_policy::world::{Layer, Lookup};
use sluice_policy::{KindInfo, Modes, World};
use std::sync::Arc;

/// What admins say, of each list the first that has a value wins: specs as the caches hand them out for one namespace.
#[derive(Default)]
pub struct Admins {
    /// From `Environment 0` on.
    pub environments: Vec<Value>,
    /// From `DeploymentDefaults 0` on.
    pub defaults: Vec<Value>,
    /// The Flink version of whatever is looked up; without it nothing is known.
    pub version: Option<&'static str>,
}

fn layers(kind: &str, specs: &[Value]) -> Vec<Layer> {
    let layer = |(number, spec): (usize, &Value)| Layer {
        source: format!("{kind} {number}"),
        spec: Arc::new(spec.clone()),
    };
    specs.iter().enumerate().map(layer).collect()
}

impl World for Admins {
    fn modes(&self, _: &str) -> Modes {
        Modes::default()
    }
    fn defaults(&self, _: &str) -> Vec<Layer> {
        layers("DeploymentDefaults", &self.defaults)
    }
    fn environments(&self, _: &str) -> Vec<Layer> {
        layers("Environment", &self.environments)
    }
    fn lookup(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        self.version.map_or(Lookup::Unknown, |version| {
            Lookup::Found(Arc::new(json!({"spec": {"flinkVersion": version}})))
        })
    }
    fn lookup_uid(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Unknown
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
}
