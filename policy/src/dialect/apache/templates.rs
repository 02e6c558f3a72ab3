//! How the pod templates of what runs were merged. The operator takes note of a change of its own options and starts nothing anew for it
//! (`DiffType.IGNORE`), so pods stay merged in the way that stood in the spec when they were made.

use super::conf::{Opt, flatten};
use super::recorded::Recorded;
use crate::json;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Whether containers of two templates are merged by their names, and not by their positions.
pub(super) const BY_NAME: Opt =
    Opt::new("kubernetes.operator.pod-template.merge-arrays-by-name", &[]);

/// The configuration with the way to merge that the operator has recorded, in dotted keys; `None` if it says the same, or there is nothing
/// to be merged.
pub(super) fn as_deployed(object: &Value, recorded: impl FnOnce() -> Recorded) -> Option<Value> {
    let has_template = |path: &[&str]| json::present(object, path).is_some();
    let has_both = has_template(&["spec", "podTemplate"])
        && (has_template(&["spec", "taskManager", "podTemplate"])
            || has_template(&["spec", "jobManager", "podTemplate"]));
    if !has_both {
        return None;
    }
    let recorded = recorded();
    let mut own = dotted(object);
    let deployed = dotted(recorded.object()?).shift_remove(BY_NAME.key);
    if own.get(BY_NAME.key) == deployed.as_ref() {
        return None;
    }
    match deployed {
        Some(way) => _ = own.insert(BY_NAME.key.to_owned(), way),
        None => _ = own.shift_remove(BY_NAME.key),
    }
    Some(Value::Object(own))
}

fn dotted(object: &Value) -> Map<String, Value> {
    let mut flat = Map::new();
    if let Some(configuration) = json::present(object, &["spec", "flinkConfiguration"])
        && configuration.is_object()
    {
        flatten(configuration, Cow::Borrowed(""), &mut |key, value| {
            flat.insert(key.into_owned(), Value::String(value.into_owned()));
        });
    }
    flat
}
