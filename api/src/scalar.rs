//! Values whose type users get wrong with good reason: `flinkVersion: 1.12` is a number to YAML.
//!
//! The schema cannot say `type: string` for them: server-side apply checks types before any webhook runs and would
//! answer 500. So the schema takes anything, admission turns it into text, and these types keep what is stored as it
//! is: one odd object written while the webhook was away must not break a watch over all of them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON object whose keys the schema does not know, in the order it was written.
pub type Object = serde_json::Map<String, Value>;

/// A scalar kept as it was written: text, number or boolean (a stored object may, wrongly, hold anything).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scalar(pub Value);

impl Scalar {
    /// The scalar as text: strings as they are, numbers and booleans as JSON spells them. `None` for lists, objects
    /// and null, which admission refuses.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match &self.0 {
            Value::String(text) => Some(Cow::Borrowed(text)),
            Value::Number(number) => Some(Cow::Owned(number.to_string())),
            Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self(Value::from(text))
    }
}

impl From<String> for Scalar {
    fn from(text: String) -> Self {
        Self(Value::from(text))
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Self(Value::from(number))
    }
}

impl From<f64> for Scalar {
    fn from(number: f64) -> Self {
        Self(Value::from(number))
    }
}

impl JsonSchema for Scalar {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("Scalar")
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_of_what_users_write() {
        for (written, text) in [
            (json!("1.12"), Some("1.12")),
            (json!(1.12), Some("1.12")),
            (json!(2), Some("2")),
            (json!(false), Some("false")),
            (json!(null), None),
            (json!([1]), None),
            (json!({"a": 1}), None),
        ] {
            let scalar: Scalar = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(scalar.text().as_deref(), text, "{written}");
            assert_eq!(
                serde_json::to_value(&scalar).unwrap(),
                written,
                "kept as written"
            );
        }
    }
}
