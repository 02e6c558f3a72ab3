//! `--operator-config NAMESPACE/NAME`: where the Apache operator keeps its own configuration.

use sluice_controller::ledger::operator::Place;
use sluice_webhook::world::kinds::Single;
use std::str::FromStr;

/// The ConfigMap, as it is given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorConfig {
    /// The operator's namespace.
    pub namespace: String,
    /// The ConfigMap's name.
    pub name: String,
}

impl FromStr for OperatorConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name = |part: &str| {
            !part.is_empty()
                && part.len() <= 253
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        };
        match text.split_once('/') {
            Some((namespace, name)) if is_name(namespace) && is_name(name) => Ok(Self {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(
                "give NAMESPACE/NAME, with the operator's chart flink-operator/flink-operator-config"
                    .to_owned(),
            ),
        }
    }
}

impl std::fmt::Display for OperatorConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl From<&OperatorConfig> for Single {
    fn from(place: &OperatorConfig) -> Self {
        Self {
            namespace: place.namespace.as_str().into(),
            name: place.name.as_str().into(),
        }
    }
}

impl From<&OperatorConfig> for Place {
    fn from(place: &OperatorConfig) -> Self {
        Self {
            namespace: place.namespace.clone(),
            name: place.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_parts_are_names() {
        let place: OperatorConfig = "flink-operator/flink-operator-config".parse().unwrap();
        assert_eq!(place.to_string(), "flink-operator/flink-operator-config");
        for wrong in ["", "a", "a/", "/b", "a/b/c", "A/b", "a/b&c"] {
            assert!(wrong.parse::<OperatorConfig>().is_err(), "{wrong}");
        }
    }
}
