//! What the API server does to an object around admission: identity, generation, status, and whom it asks about a scale.

use super::manifest::{Manifest, ObjectId};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use sluice_api::names::annotations;
use sluice_policy::Dialect;
use sluice_policy::dialect::ScaleDown;

/// What `status.replicas` of a Scale is made from: the `statusReplicasPath` of our own kinds' CRDs. Other kinds are not asked for it.
const RUNNING_REPLICAS: [&str; 2] = ["status", "numberOfTaskManagers"];

/// An object that exists already: with its namespace, and with a uid and a generation if the file has none.
pub fn stored(manifest: &Manifest) -> Value {
    let mut object = manifest.object.clone();
    if let Some(metadata) = metadata(&mut object) {
        place(metadata, &manifest.id);
        metadata
            .entry("uid")
            .or_insert_with(|| json!(uid(&manifest.id)));
        metadata.entry("generation").or_insert_with(|| json!(1));
    }
    object
}

/// Whether an API server has stored this object, so that it is to be taken as it is: other settings may have been in force then, and they
/// restart nobody. A manifest has none of these marks.
pub fn has_been_stored(object: &Value) -> bool {
    let is_there = |path: &[&str]| {
        let found = sluice_policy::json::present(object, path);
        found.is_some_and(|value| value.as_str() != Some(""))
    };
    ["uid", "resourceVersion", "creationTimestamp"]
        .iter()
        .any(|mark| is_there(&["metadata", mark]))
        || is_there(&["metadata", "annotations", annotations::DEFAULTS])
}

/// An object as the mutating call sees it: no uid on a create; identity and status of the stored object on an update.
pub fn received(manifest: &Manifest, old: Option<&Value>) -> Value {
    let mut object = manifest.object.clone();
    if let Some(map) = object.as_object_mut() {
        match old.map(|old| old.get("status")) {
            // The status is written through its own subresource.
            None => drop(map.shift_remove("status")),
            Some(Some(status)) => drop(map.entry("status").or_insert_with(|| status.clone())),
            Some(None) => {}
        }
    }
    if let Some(metadata) = metadata(&mut object) {
        for key in [
            "uid",
            "generation",
            "resourceVersion",
            "creationTimestamp",
            "deletionTimestamp",
        ] {
            match old.and_then(|old| old.get("metadata")?.get(key)) {
                Some(value) => drop(metadata.insert(key.to_owned(), value.clone())),
                None => drop(metadata.shift_remove(key)),
            }
        }
        place(metadata, &manifest.id);
    }
    object
}

/// The object as the validating call sees it: identity is final, the generation counts changes of anything but metadata
/// and status.
pub fn before_storing(mut object: Value, id: &ObjectId, old: Option<&Value>) -> Value {
    let generation = match old {
        None => 1,
        Some(old) => {
            let before = old
                .get("metadata")
                .and_then(|metadata| metadata.get("generation"))
                .and_then(Value::as_i64)
                .unwrap_or(1);
            before.saturating_add(i64::from(!is_of_one_generation(old, &object)))
        }
    };
    if let Some(metadata) = metadata(&mut object) {
        metadata.entry("uid").or_insert_with(|| json!(uid(id)));
        metadata.insert("generation".to_owned(), json!(generation));
    }
    object
}

/// Whether nobody is asked about this number through `/scale`, as the registration says: it is not more than there was, and the kind, in
/// the state that it is in, cannot cost more by it.
pub fn scales_unseen(dialect: &dyn Dialect, parent: &Value, replicas: i64) -> bool {
    let number = |path: &[&str]| sluice_policy::json::get(parent, path)?.as_i64();
    // A Scale leaves it out where it is 0.
    let had = dialect.kind().scale.and_then(number).unwrap_or_default();
    replicas <= had
        && match dialect.scale_down() {
            ScaleDown::Judged => false,
            ScaleDown::UnseenWhileItRuns => number(&RUNNING_REPLICAS).is_some_and(|runs| runs > 0),
            ScaleDown::Unseen => true,
        }
}

/// Whether two states of an object differ in metadata and status at most.
pub fn is_of_one_generation(one: &Value, other: &Value) -> bool {
    rest(one) == rest(other)
}

/// Everything that the generation counts.
fn rest(object: &Value) -> Vec<(&String, &Value)> {
    let ignored = |key: &str| ["metadata", "status", "apiVersion", "kind"].contains(&key);
    let mut rest: Vec<_> = object
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| !ignored(key))
        .collect();
    rest.sort_by_key(|(key, _)| *key);
    rest
}

fn place(metadata: &mut Map<String, Value>, id: &ObjectId) {
    metadata.insert("name".to_owned(), json!(id.name));
    match &id.namespace {
        Some(namespace) => drop(metadata.insert("namespace".to_owned(), json!(namespace))),
        None => drop(metadata.shift_remove("namespace")),
    }
}

/// The object's metadata; a manifest that was read has some.
fn metadata(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("metadata")?.as_object_mut()
}

/// A uid that is always the same for the same object, so that outputs can be compared.
fn uid(id: &ObjectId) -> String {
    let mut sum = Sha256::new();
    for part in [
        &id.group,
        &id.kind,
        id.namespace.as_ref().unwrap_or(&String::new()),
        &id.name,
    ] {
        sum.update(part.as_bytes());
        sum.update([0]);
    }
    let hex: String = sum
        .finalize()
        .iter()
        .take(16)
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default().to_owned();
    // Version 8: made by a rule of one's own (RFC 9562).
    format!(
        "{}-{}-8{}-8{}-{}",
        part(0, 8),
        part(8, 12),
        part(13, 16),
        part(17, 20),
        part(20, 32)
    )
}
