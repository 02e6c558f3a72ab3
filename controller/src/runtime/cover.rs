//! Whether a stored object says all that the one to be applied says. The API server adds defaults, others add labels: what
//! is more does not count.

use serde_json::Value;

/// Whether everything in `wanted` stands in `stored`. Lists must have their entries in the same order and number, as the
/// API server keeps them; spellings of a quantity that it changes make this `false`, never `true`.
pub fn covers(stored: &Value, wanted: &Value) -> bool {
    match (stored, wanted) {
        (Value::Object(stored), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| match stored.get(key) {
                Some(stored) => covers(stored, wanted),
                None => is_empty(wanted),
            })
        }
        (Value::Array(stored), Value::Array(wanted)) => {
            stored.len() == wanted.len()
                && stored
                    .iter()
                    .zip(wanted)
                    .all(|(stored, wanted)| covers(stored, wanted))
        }
        (stored, wanted) => stored == wanted,
    }
}

/// What the API server leaves out when it stores it.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_u64() == Some(0),
        Value::Bool(flag) => !flag,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn more_is_fine_and_other_is_not() {
        let stored = json!({"a": {"b": 1, "added": 2}, "list": [{"name": "x", "more": 1}]});
        assert!(covers(
            &stored,
            &json!({"a": {"b": 1}, "list": [{"name": "x"}], "none": {}})
        ));
        assert!(!covers(&stored, &json!({"a": {"b": 2}})));
        assert!(!covers(&stored, &json!({"list": []})));
        assert!(!covers(&stored, &json!({"c": 1})));
    }
}
