//! `flinkConfiguration` as Flink reads it: dotted keys with texts. Nested maps, which Flink's newer configuration files
//! have, are flattened; lists are moved to their dotted key and refused there.

use super::at::At;
use super::normalise::{Edit, Plan, text};
use crate::flink::LONGEST_BEGINNING;
use crate::json;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// No option of Flink has that many parts, or a name that begins with as much; deeper maps are left and refused.
const DEEPEST: usize = 32;

/// Plans the edits that flatten the configuration `map` at `at`. Two spellings of one key follow decision 3.
pub(crate) fn flatten(
    map: &Map<String, Value>,
    at: &At<'_>,
    old: Option<&Value>,
    plan: &mut Plan<'_>,
) {
    let mut moved: Vec<(String, &Value)> = Vec::new();
    for (key, value) in map {
        match value {
            Value::Object(inner) => {
                let mut leaves = Vec::new();
                if collect(inner, key, 1, &mut leaves) {
                    moved.extend(leaves);
                    plan.edits.push(Edit::Remove(at.key(key).path()));
                }
            }
            _ => text(value, &at.key(key), plan),
        }
    }
    let mut chosen: Vec<Option<(&str, &Value)>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (key, value) in &moved {
        let slot = places.get(key.as_str()).copied();
        let there = match slot.and_then(|slot| *chosen.get(slot)?) {
            Some((_, value)) => Some(value),
            None => map
                .get(key)
                .filter(|value| !value.is_null() && !value.is_object()),
        };
        let old = old.and_then(|old| old.get(key));
        if prevails(key, value, there, old, at, plan) {
            if let Some(beaten) = slot.and_then(|slot| chosen.get_mut(slot)) {
                *beaten = None;
            }
            places.insert(key, chosen.len());
            chosen.push(Some((key, value)));
        }
    }
    for (key, value) in chosen.into_iter().flatten() {
        let value = json::scalar_text(value).map_or_else(|| value.clone(), Value::from);
        plan.edits.push(Edit::Set(at.key(key).path(), value));
    }
}

/// Whether a value from a nested map takes its key's place.
fn prevails(
    key: &str,
    value: &Value,
    there: Option<&Value>,
    old: Option<&Value>,
    at: &At<'_>,
    plan: &mut Plan<'_>,
) -> bool {
    let Some(there) = there else {
        return true;
    };
    let same = |a: &Value, b: &Value| {
        a == b || json::scalar_text(a).is_some_and(|a| json::scalar_text(b) == Some(a))
    };
    if same(value, there) || old.is_some_and(|old| same(old, value)) {
        return false;
    }
    if old.is_some_and(|old| same(old, there)) {
        return true;
    }
    plan.disagree(at.key(key).path(), there, "the nested map", value);
    false
}

/// The leaves below a nested map by dotted key; `false` if it is nested too deeply, or under too long a key.
fn collect<'v>(
    map: &'v Map<String, Value>,
    prefix: &str,
    depth: usize,
    leaves: &mut Vec<(String, &'v Value)>,
) -> bool {
    if depth > DEEPEST || prefix.len() > LONGEST_BEGINNING {
        return false;
    }
    map.iter().all(|(key, value)| {
        let key = format!("{prefix}.{key}");
        match value {
            Value::Null => true,
            Value::Object(inner) => collect(inner, &key, depth + 1, leaves),
            _ => {
                leaves.push((key, value));
                true
            }
        }
    })
}
