//! Whether an API server could read labels and annotations: it decodes them as texts and refuses the whole object where one is a number
//! or a boolean, as in `version: 1.20`. The gate never sees such an object, so that without this it would pass.

use crate::input::Document;
use crate::yaml::Node;
use sluice_policy::FieldPath;

/// Refuses labels and annotations that are no texts; null is an empty one to the API server. `are_modes`: the labels are a Namespace's,
/// where `off` can only mean the word.
///
/// # Errors
/// Names file, place, field and what to write instead.
pub(super) fn check(document: &Document, metadata: &Node, are_modes: bool) -> Result<(), String> {
    for field in ["labels", "annotations"] {
        let Some(map) = metadata.get(field).filter(|map| !map.is_null()) else {
            continue;
        };
        let path = FieldPath::of("metadata").key(field);
        let Some(entries) = map.entries() else {
            let what = map.type_name();
            return Err(
                document.fault(map.at, format_args!("{path} is {what}, not a map of texts"))
            );
        };
        for entry in entries {
            let value = &entry.value;
            let is_meant = are_modes && field == "labels" && value.spelling().is_some();
            if value.as_text().is_some() || value.is_null() || is_meant {
                continue;
            }
            let (key, what) = (path.key(&entry.key), value.type_name());
            let way_out = value.spelling().map_or_else(String::new, |spelling| {
                format!("; quote it: \"{spelling}\"")
            });
            return Err(document.fault(
                value.at,
                format_args!("{key} is {what}, not a text{way_out}"),
            ));
        }
    }
    Ok(())
}
