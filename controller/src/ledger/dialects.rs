//! Which resources hold workloads, as the dialects say. What their objects cost: [`super::facts`].

use sluice_policy::dialect::Class;
use sluice_policy::dialects;

use super::Resource;

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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sluice_policy::MilliCpu;

    use crate::ledger::facts::Facts;

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
        let facts = Facts::of(&resources());
        let charge = |resource: &Resource, object: &Value| facts.charge(resource, object);
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
