//! What Sluice sets in Flink's pods by itself. Merged with what somebody else says under the same name, it would make a pod that Kubernetes
//! refuses, long after the object was accepted, or the other's word would not be heard.

use super::{refuse, text};
use crate::dialect::own::at::At;
use crate::dialect::own::check::Judge;
use crate::finding::CauseReason;
use crate::json;
use serde_json::Value;

/// Volumes, and what they hold.
const VOLUMES: [(&str, &str); 2] = [
    ("flink-config", "Flink's configuration"),
    ("sluice-artifacts", "jars and plugins"),
];

/// Variables of Flink's container, and the field of the pod that each has its value from, if from one.
const VARIABLES: [(&str, Option<&str>); 3] = [
    ("POD_IP", Some("status.podIP")),
    ("POD_NAME", Some("metadata.name")),
    ("FLINK_CONF_DIR", None),
];

/// Judges the name of a volume.
pub(super) fn volume(name: &str, at: &At<'_>, judge: &mut Judge<'_>) {
    if let Some((_, holds)) = VOLUMES.iter().find(|(own, _)| *own == name) {
        let message =
            format!("{name} is the volume in which Sluice brings {holds}; give yours another name");
        refuse(&at.key("name"), CauseReason::Forbidden, message, judge);
    }
}

/// Judges variables of Flink's container. The same as Sluice says is no harm.
pub(super) fn variables(variables: &[Value], at: &At<'_>, judge: &mut Judge<'_>) {
    for (index, variable) in variables.iter().enumerate() {
        let name = text(variable, "name").unwrap_or_default();
        let Some((_, field)) = VARIABLES.iter().find(|(own, _)| *own == name) else {
            continue;
        };
        let theirs = json::text(variable, &["valueFrom", "fieldRef", "fieldPath"]);
        let message = match field {
            Some(_) if theirs == *field => continue,
            Some(field) => {
                format!("{name} is set by Sluice, to the pod's {field}; give yours another name")
            }
            None => format!(
                "{name} is set by Sluice, to where it writes flinkConfiguration; set options there"
            ),
        };
        refuse(
            &at.index(index).key("name"),
            CauseReason::Forbidden,
            message,
            judge,
        );
    }
}
