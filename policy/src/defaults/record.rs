//! The record of what was filled in: the annotation `sluice.dev/defaults`, a JSON map of RFC 6901 pointer to value.
//!
//! Values whose JSON is longer than 64 bytes are kept as their SHA-256, since all annotations of an object together
//! may have 256 KiB. An entry holds only while it equals the value; whoever changes the value makes it his own.

use crate::json;
use crate::path::FieldPath;
use crate::values;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

/// The annotation's key.
pub const ANNOTATION: &str = "sluice.dev/defaults";

const LONGEST_PLAIN: usize = 64;
/// What an API server lets all annotations of an object have together, in bytes: a longer text is nobody's.
pub(super) const LONGEST: usize = 256 * 1024;
const HASH_KEY: &str = "sha256";

/// What was filled in, by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record(BTreeMap<FieldPath, Value>);

impl Record {
    /// Reads an object's record. One that cannot be read, or that no API server would store, is as good as none: all values are then the
    /// user's own.
    pub fn of(object: &Value) -> Self {
        json::text(object, &["metadata", "annotations", ANNOTATION])
            .filter(|text| text.len() <= LONGEST)
            .and_then(values::read::<BTreeMap<Pointer, Value>>)
            .map(|map| {
                Self(
                    map.into_iter()
                        .map(|(pointer, kept)| (pointer.0, kept))
                        .collect(),
                )
            })
            .unwrap_or_default()
    }

    /// Whether two objects carry the same record, so that it need be read only once.
    pub fn is_same_in(a: &Value, b: &Value) -> bool {
        let text = |object| json::text(object, &["metadata", "annotations", ANNOTATION]);
        text(a) == text(b)
    }

    /// Notes that a value was filled in.
    pub fn note(&mut self, path: FieldPath, value: &Value) {
        self.0.insert(path, kept(value));
    }

    /// Whether the path is recorded, with whatever value.
    pub fn has(&self, path: &FieldPath) -> bool {
        self.0.contains_key(path)
    }

    /// Whether the path is recorded with this very value.
    pub fn holds(&self, path: &FieldPath, value: &Value) -> bool {
        self.0
            .get(path)
            .is_some_and(|recorded| tells(recorded, value))
    }

    /// All recorded paths.
    pub fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.0.keys()
    }

    /// Keeps only the entries that equal the object's values.
    pub fn retain_true(&mut self, object: &Value) {
        self.0
            .retain(|path, recorded| path.get(object).is_some_and(|value| tells(recorded, value)));
    }

    /// Drops the entries that somebody claims.
    pub fn retain_unclaimed(&mut self, is_claimed: impl Fn(&FieldPath) -> bool) {
        self.0.retain(|path, _| !is_claimed(path));
    }

    /// The annotation's text, sorted; `None` if nothing is recorded.
    pub fn text(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        serde_json::to_string(self).ok()
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(path, kept)| (path.pointer(), kept)))
    }
}

/// A key of the annotation's map, read without a text in between.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Pointer(FieldPath);

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Pointer;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 6901 pointer")
            }

            fn visit_str<E>(self, text: &str) -> Result<Pointer, E> {
                Ok(Pointer(FieldPath::from_pointer(text)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Whether a recorded entry stands for this value.
fn tells(recorded: &Value, value: &Value) -> bool {
    if is_surely_short(value) {
        recorded == value
    } else {
        *recorded == kept(value)
    }
}

/// Whether a value's JSON is short enough to be kept plain, as far as that can be seen without writing it.
fn is_surely_short(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        // A character may take six bytes as an escape, and there are the quotes.
        Value::String(text) => text.len() <= (LONGEST_PLAIN - 2) / 6,
        Value::Array(_) | Value::Object(_) => false,
    }
}

fn kept(value: &Value) -> Value {
    if is_surely_short(value) {
        return value.clone();
    }
    let text = value.to_string();
    if text.len() <= LONGEST_PLAIN {
        return value.clone();
    }
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    serde_json::json!({ HASH_KEY: hex })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_values_are_kept_as_their_hash() {
        let path = FieldPath::of("spec.note");
        let long = json!("x".repeat(100));
        let mut record = Record::default();
        record.note(path.clone(), &long);
        assert!(record.text().unwrap().contains("sha256"));
        let object = json!({"metadata": {"annotations": {ANNOTATION: record.text().unwrap()}}});
        let read = Record::of(&object);
        assert!(read.holds(&path, &long));
        assert!(!read.holds(&path, &json!("y".repeat(100))));
    }

    #[test]
    fn a_record_that_cannot_be_read_is_none() {
        for text in ["", "[]", "{", "null"] {
            let object = json!({"metadata": {"annotations": {ANNOTATION: text}}});
            assert_eq!(Record::of(&object), Record::default());
        }
        assert_eq!(
            Record::of(&json!({"metadata": {"annotations": {ANNOTATION: 1}}})),
            Record::default()
        );
    }
}
