//! Whether an API server could read labels and annotations: it decodes them as texts and refuses the whole object where one is a number
//! or a boolean, as in `version: 1.20`, and where a key or a label's value breaks Kubernetes' syntax. The gate never sees such an object, so
//! that without this it would pass.

use super::names;
use crate::input::Document;
use crate::yaml::{Entry, Node};
use sluice_policy::FieldPath;

/// Refuses labels and annotations that are no texts, or not written as Kubernetes wants them; null is an empty one to the API server.
/// `are_modes`: the labels are a Namespace's, where `off` can only mean the word.
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
        let fault = |at, message: String| Err(document.fault(at, message));
        for entry in entries {
            let text = text(document, &path, entry, are_modes && field == "labels")?;
            if let Some(why) = key_fault(field, &entry.key) {
                return fault(entry.at, format!("{path}: {why}"));
            }
            let value = text.filter(|_| field == "labels");
            if let Some(why) = value.and_then(names::value_fault) {
                return fault(entry.value.at, format!("{}: {why}", path.key(&entry.key)));
            }
        }
    }
    Ok(())
}

/// The API server looks at the keys of annotations in lower case only.
fn key_fault(field: &str, key: &str) -> Option<String> {
    if field == "annotations" && names::key_fault(&key.to_ascii_lowercase()).is_none() {
        return None;
    }
    names::key_fault(key)
}

/// The text of a label or an annotation, which may be null.
fn text<'e>(
    document: &Document,
    path: &FieldPath,
    entry: &'e Entry,
    is_mode: bool,
) -> Result<Option<&'e str>, String> {
    let value = &entry.value;
    if value.is_null() {
        return Ok(None);
    }
    let text = if is_mode {
        value.spelling()
    } else {
        value.as_text()
    };
    if text.is_some() {
        return Ok(text);
    }
    let (key, what) = (path.key(&entry.key), value.type_name());
    let way_out = value.spelling().map_or_else(String::new, |spelling| {
        format!("; quote it: \"{spelling}\"")
    });
    Err(document.fault(
        value.at,
        format_args!("{key} is {what}, not a text{way_out}"),
    ))
}
