//! The spec that the operator last acted on: a JSON text in `status.reconciliationStatus.lastReconciledSpec`.

use crate::json;
use crate::values;
use serde_json::Value;

/// What is recorded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Recorded {
    /// Nothing yet: the operator has not deployed it.
    Nothing,
    /// `{"spec": ...}`: shaped like an object, so that the readers of objects read it too.
    Object(Value),
    /// Something that cannot be read, or would become more than is read.
    Unreadable,
}

impl Recorded {
    /// Reads the record of an object.
    pub(crate) fn of(object: &Value) -> Self {
        Self::read(object, "lastReconciledSpec")
    }

    /// Reads the record of the last spec that ran well, to which the operator may roll back.
    pub(crate) fn stable(object: &Value) -> Self {
        Self::read(object, "lastStableSpec")
    }

    fn read(object: &Value, key: &str) -> Self {
        let Some(text) = json::present(object, &["status", "reconciliationStatus", key]) else {
            return Recorded::Nothing;
        };
        let Some(Value::Object(mut wrapper)) = text.as_str().and_then(values::read) else {
            return Recorded::Unreadable;
        };
        if wrapper
            .get("resource_metadata")
            .is_some_and(|meta| !meta.is_null())
        {
            match wrapper.remove("spec") {
                Some(spec @ Value::Object(_)) => {
                    Recorded::Object(serde_json::json!({ "spec": spec }))
                }
                _ => Recorded::Unreadable,
            }
        } else {
            // The form before resource_metadata: the spec itself.
            wrapper.remove("resource_metadata");
            let spec = match wrapper.remove("spec") {
                Some(spec @ Value::Object(_)) => spec,
                _ => Value::Object(wrapper),
            };
            Recorded::Object(serde_json::json!({ "spec": spec }))
        }
    }

    /// The recorded spec in an object, if it can be read.
    pub(crate) fn object(&self) -> Option<&Value> {
        match self {
            Recorded::Object(object) => Some(object),
            Recorded::Nothing | Recorded::Unreadable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(record: &Value) -> Value {
        json!({"status": {"reconciliationStatus": {"lastReconciledSpec": record}}})
    }

    #[test]
    fn both_forms_are_read_and_the_rest_is_told_apart() {
        let spec = json!({"job": {"state": "running"}});
        for record in [
            json!({"spec": spec, "resource_metadata": {"firstDeployment": false}}),
            json!({"job": {"state": "running"}, "apiVersion": "v1beta1"}),
        ] {
            let read = Recorded::of(&with(&json!(record.to_string())));
            assert_eq!(
                json::text(read.object().unwrap(), &["spec", "job", "state"]),
                Some("running")
            );
        }
        assert_eq!(Recorded::of(&json!({})), Recorded::Nothing);
        assert_eq!(Recorded::of(&with(&json!(null))), Recorded::Nothing);
        assert_eq!(Recorded::of(&with(&json!("{"))), Recorded::Unreadable);
        assert_eq!(Recorded::of(&with(&json!(3))), Recorded::Unreadable);
        let very_many = format!(r#"{{"job":[{}0]}}"#, "[0],".repeat(700_000));
        assert!(
            Recorded::of(&with(&json!(very_many))) == Recorded::Unreadable,
            "made into millions of values"
        );
    }
}
