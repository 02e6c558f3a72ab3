//! Where each kind's settings stand in the two shapes of settings: an Environment has a section for every kind; a
//! DeploymentDefaults has Deployment's fields at the top, as Ververica Platform has them, and a section for the others.

use serde_json::Value;
use std::borrow::Cow;

/// Sections beside Deployment's fields.
pub(crate) const OTHERS: [&str; 5] = [
    "sessionCluster",
    "sessionJob",
    "flinkDeployment",
    "flinkSessionJob",
    "flinkApplication",
];

/// Only an Environment names namespaces.
pub(crate) const NAMESPACES: &str = "namespaces";

/// Deployment's part of either shape.
pub(crate) fn of_deployments(settings: &Value) -> Option<Cow<'_, Value>> {
    let map = settings.as_object()?;
    if map.contains_key(NAMESPACES) {
        return settings.get("deployment").map(Cow::Borrowed);
    }
    let own = map
        .iter()
        .filter(|(key, _)| !OTHERS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Some(Cow::Owned(Value::Object(own)))
}
