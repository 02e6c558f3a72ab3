//! The leaves of a tree of settings: every scalar and list with its path. Maps are walked, empty ones are nothing.

use crate::path::FieldPath;
use serde_json::Value;

/// Calls `visit` for every leaf, in order.
pub(super) fn each_leaf<'v>(tree: &'v Value, visit: &mut dyn FnMut(FieldPath, &'v Value)) {
    walk(FieldPath::default(), tree, visit);
}

fn walk<'v>(path: FieldPath, value: &'v Value, visit: &mut dyn FnMut(FieldPath, &'v Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                walk(path.key(key), value, visit);
            }
        }
        Value::Null => {}
        leaf => visit(path, leaf),
    }
}

/// The value at a path, where `null` counts as left out.
pub(super) fn given<'v>(object: &'v Value, path: &FieldPath) -> Option<&'v Value> {
    path.get(object).filter(|value| !value.is_null())
}
