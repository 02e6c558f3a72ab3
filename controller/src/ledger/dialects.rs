//! Which resources hold workloads and what their objects cost, as the dialects say.

use std::sync::Arc;

use sluice_policy::dialect::{Class, dialect_for_resource};
use sluice_policy::{MilliCpu, World, dialects};

use super::{ChargeOf, Resource};

/// Every resource that may hold workloads.
pub fn resources() -> Vec<Resource> {
    let mut all: Vec<Resource> = dialects()
        .iter()
        .filter(|dialect| dialect.class() == Class::Workload)
        .map(|dialect| {
            let kind = dialect.kind();
            Resource {
                group: kind.group.to_owned(),
                version: kind.version.to_owned(),
                plural: kind.plural.to_owned(),
            }
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

/// What the dialects charge. `world` must tell the same as the webhook's: where a charge depends on another object, both sides
/// must see it alike.
///
/// An object that cannot be read costs nothing here: admission lets none in, and nothing can run from it.
pub fn charge(world: Arc<dyn World + Send + Sync>) -> ChargeOf {
    Arc::new(move |resource, object| {
        dialect_for_resource(&resource.group, &resource.plural).map_or(MilliCpu::ZERO, |dialect| {
            sluice_policy::admit::charge(dialect, object, world.as_ref())
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sluice_policy::world::EmptyWorld;

    use super::*;

    #[test]
    fn workloads_of_every_dialect_are_followed_and_configuration_is_not() {
        let keys: Vec<_> = resources().iter().map(Resource::key).collect();
        for key in [
            "sessionclusters.sluice.dev",
            "deployments.sluice.dev",
            "flinkdeployments.flink.apache.org",
        ] {
            assert!(keys.contains(&key.to_owned()), "{key} is not in {keys:?}");
        }
        assert!(
            keys.iter()
                .all(|key| !key.contains("defaults") && !key.contains("quota")),
            "{keys:?}"
        );
    }

    #[test]
    fn an_object_is_charged_by_its_dialect_and_nonsense_costs_nothing() {
        let charge = charge(Arc::new(EmptyWorld));
        let resource = resources()
            .into_iter()
            .find(|resource| resource.key() == "sessionclusters.sluice.dev")
            .unwrap();
        let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "a", "namespace": "n"},
            "spec": {"state": "RUNNING", "numberOfTaskManagers": 3,
                "resources": {"jobmanager": {"cpu": 1}, "taskmanager": {"cpu": "500m"}}}});
        assert_eq!(charge(&resource, &object), MilliCpu(2500));
        for nonsense in [
            json!(null),
            json!({"spec": 7}),
            json!({"spec": {"state": "RUNNING", "numberOfTaskManagers": "many"}}),
        ] {
            let _ = charge(&resource, &nonsense);
        }
    }
}
