//! Small readers of raw JSON. Objects of other people's kinds are never round-tripped through typed structs.

use serde_json::{Map, Value};

/// Up to this many keys a map is looked through from its first to its last; that takes less time than to hash the key.
const FEW: usize = 12;

/// The value under a key, like [`Map::get`]. A decision looks up hundreds of keys, most of them in small maps.
pub fn member<'v>(map: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    if map.len() > FEW {
        return map.get(key);
    }
    map.iter()
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value)
}

/// The value under a key, if this is a map that has it.
pub fn child<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    member(value.as_object()?, key)
}

/// The value at a path of plain keys.
pub fn get<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    keys.iter().try_fold(value, |value, key| child(value, key))
}

/// The text at a path of plain keys; `None` if absent or not a text.
pub fn text<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v str> {
    get(value, keys)?.as_str()
}

/// Like [`get`], but a `null` counts as absent, as Kubernetes treats it.
pub fn present<'v>(value: &'v Value, keys: &[&str]) -> Option<&'v Value> {
    get(value, keys).filter(|value| !value.is_null())
}

/// A scalar as Flink's configuration would read it: text as it is, numbers and booleans by their spelling.
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// What a value is, for messages: `a number`, `a list`.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

/// The longest value that a message shows whole, in bytes of JSON.
const SHOWN: usize = 120;

/// A value as a message shows it: compact JSON, cut at 120 bytes.
pub fn shown(value: &Value) -> String {
    cut(value.to_string())
}

/// A text as a message shows it, likewise. It is cut before it is quoted: control characters become six times as long.
pub fn quoted(text: &str) -> String {
    let end = text.floor_char_boundary(SHOWN);
    let beginning = shown(&Value::from(&text[..end]));
    if end == text.len() || beginning.ends_with("...") {
        return beginning;
    }
    cut(beginning + "...")
}

fn cut(mut text: String) -> String {
    if text.len() > SHOWN {
        text.truncate(text.floor_char_boundary(SHOWN - 3));
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(quoted("a\"b"), r#""a\"b""#);
        let smiles = "\u{1F600}".repeat(40);
        for text in [
            "x".repeat(119),
            smiles,
            "\u{1}".repeat(500),
            "y".repeat(117) + "...",
        ] {
            for text in [
                text.clone(),
                format!("a{text}"),
                format!("ab{text}"),
                format!("abc{text}"),
            ] {
                let shown = quoted(&text);
                assert!(shown.len() <= SHOWN, "{shown}");
                assert!(shown.ends_with("..."), "{shown}");
            }
        }
        assert_eq!(quoted(&"x".repeat(118)).len(), 120);
        assert!(quoted(&"x".repeat(118)).ends_with('"'));
    }

    #[test]
    fn members_are_found_in_small_maps_and_in_large_ones() {
        for size in [0, 1, FEW, FEW + 1, 5 * FEW] {
            let map: Map<String, Value> = (0..size).map(|n| (format!("k{n}"), json!(n))).collect();
            for n in 0..size {
                assert_eq!(member(&map, &format!("k{n}")), Some(&json!(n)));
            }
            assert_eq!(member(&map, "other"), None);
        }
        assert_eq!(child(&json!([1]), "0"), None);
    }
}
