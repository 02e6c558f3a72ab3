//! Which fields the user has said himself: those in kubectl's last-applied-configuration and, on an update, those in
//! any managedFields entry (fields that a webhook set have no owner).
//!
//! On a create managedFields list everything that was sent, a restored backup's defaults included, so they tell
//! nothing there.

use crate::json;
use crate::path::{FieldPath, Step};
use crate::values;
use serde_json::Value;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// So many keys are compared in less time than one is made in.
const FEW: usize = 16;

/// Answers whether a field is the user's own.
#[derive(Debug)]
pub struct Owned<'o> {
    last_applied: Option<Value>,
    managed: Vec<&'o Value>,
}

impl<'o> Owned<'o> {
    /// Reads the claims of a new object.
    pub fn on_create(object: &'o Value) -> Self {
        Self {
            last_applied: last_applied(object),
            managed: Vec::new(),
        }
    }

    /// Reads the claims of a changed object.
    pub fn on_update(object: &'o Value) -> Self {
        let managed = json::get(object, &["metadata", "managedFields"])
            .and_then(Value::as_array)
            .map(|entries| {
                entries
                    .iter()
                    .filter(|entry| json::text(entry, &["subresource"]).is_none_or(str::is_empty))
                    .filter_map(|entry| entry.get("fieldsV1"))
                    .collect()
            })
            .unwrap_or_default();
        Self {
            last_applied: last_applied(object),
            managed,
        }
    }

    /// Whether the field stands in a claim.
    pub fn has(&self, path: &FieldPath) -> bool {
        self.last_applied
            .as_ref()
            .is_some_and(|applied| path.get(applied).is_some_and(|value| !value.is_null()))
            || self.managed.iter().any(|fields| claims(fields, path))
    }
}

fn last_applied(object: &Value) -> Option<Value> {
    let text = json::text(object, &["metadata", "annotations", LAST_APPLIED])?;
    if text.len() > super::record::LONGEST {
        return None; // no API server will store it
    }
    values::read(text)
}

/// Walks a fieldsV1 set: `{"f:spec": {"f:parallelism": {}}}`. An empty map claims the field itself and nothing below
/// it: whoever owns a map without its keys made the map, not what stands in it now.
fn claims(fields: &Value, path: &FieldPath) -> bool {
    let mut at = fields;
    for step in path.steps() {
        let Step::Key(key) = step else { return false };
        let Value::Object(claimed) = at else {
            return false;
        };
        let next = if claimed.len() <= FEW {
            // Looked through, so that no key has to be made.
            let mut all = claimed.iter();
            all.find(|(name, _)| name.strip_prefix("f:") == Some(key))
                .map(|(_, next)| next)
        } else {
            claimed.get(&format!("f:{key}"))
        };
        match next {
            Some(next) => at = next,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn of_a_last_applied_text_that_would_become_very_many_values_nothing_is_made() {
        let applied = |lists: usize| {
            let lists = "[0],".repeat(lists);
            let text = format!(r#"{{"spec":{{"state":"RUNNING"}},"x":[{lists}0]}}"#);
            let object = json!({"metadata": {"annotations": {LAST_APPLIED: text}}});
            Owned::on_create(&object).has(&FieldPath::of("spec.state"))
        };
        assert!(applied(1_000));
        assert!(!applied(60_000), "what an API server would store");
        let object = json!({"metadata": {"annotations": {LAST_APPLIED: format!(
            r#"{{"spec":{{"state":"RUNNING"}},"x":"{}"}}"#, "x".repeat(300_000)
        )}}});
        assert!(!Owned::on_create(&object).has(&FieldPath::of("spec.state")));
    }

    #[test]
    fn claims_are_read_from_both_places() {
        let object = json!({"metadata": {
        "annotations": {LAST_APPLIED: "{\"spec\":{\"state\":\"RUNNING\",\"gone\":null}}"},
        "managedFields": [
            {"manager": "a", "operation": "Apply", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:parallelism": {}}}}}},
            {"manager": "b", "operation": "Update", "subresource": "status", "fieldsV1": {"f:status": {"f:state": {}}}},
        ]}});
        let owned = Owned::on_update(&object);
        assert!(owned.has(&FieldPath::of("spec.state")));
        assert!(!owned.has(&FieldPath::of("spec.gone")));
        assert!(owned.has(&FieldPath::of("spec.template.spec.parallelism")));
        assert!(!owned.has(&FieldPath::of("spec.template.spec.numberOfTaskManagers")));
        assert!(!owned.has(&FieldPath::of("status.state")));
        let parent =
            json!({"metadata": {"managedFields": [{"fieldsV1": {"f:spec": {"f:logging": {}}}}]}});
        assert!(!Owned::on_update(&parent).has(&FieldPath::of("spec.logging.profile")));
        assert!(!Owned::on_create(&object).has(&FieldPath::of("spec.template.spec.parallelism")));
    }
}
