//! What Sluice sets in Flink's pods by itself. Merged with another source under the same name it makes a pod that Kubernetes refuses, long after
//! the object was accepted. Where Kubernetes would take it Sluice's word holds.

use super::{refuse, text};
use crate::dialect::own::at::At;
use crate::dialect::own::check::Judge;
use crate::finding::CauseReason;
use serde_json::Value;

/// The volume of Flink's configuration, and its source.
const VOLUME: (&str, &str) = ("flink-config", "configMap");
/// Variables of Flink's container that have their value from a field of the pod, and from which.
const VARIABLES: [(&str, &str); 2] = [("POD_IP", "status.podIP"), ("POD_NAME", "metadata.name")];

/// Judges a volume of this name.
pub(super) fn volume(name: &str, volume: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let (own, source) = VOLUME;
    let mut keys = volume.as_object().into_iter().flatten();
    let has_other = keys.any(|(key, value)| key != "name" && key != source && !value.is_null());
    if name == own && has_other {
        let message =
            format!("{own} is the volume of Flink's configuration; give yours another name");
        refuse(&at.key("name"), CauseReason::Forbidden, message, judge);
    }
}

/// Judges variables of Flink's container.
pub(super) fn variables(variables: &[Value], at: &At<'_>, judge: &mut Judge<'_>) {
    for (index, variable) in variables.iter().enumerate() {
        let name = text(variable, "name").unwrap_or_default();
        let Some((_, field)) = VARIABLES.iter().find(|(own, _)| *own == name) else {
            continue;
        };
        let value = variable.get("value");
        let has_value = value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""));
        let sources = variable.get("valueFrom").and_then(Value::as_object);
        let mut sources = sources.into_iter().flatten();
        if has_value || sources.any(|(key, source)| key != "fieldRef" && !source.is_null()) {
            let message =
                format!("{name} is set by Sluice, to the pod's {field}; give yours another name");
            refuse(
                &at.index(index).key("name"),
                CauseReason::Forbidden,
                message,
                judge,
            );
        }
    }
}
