//! The leaves of a tree of settings: every scalar and list with its path. Maps are walked, empty ones are nothing.

use crate::path::FieldPath;
use serde_json::Value;

/// Calls `visit` for every leaf, in order, with its path below `root`.
pub(crate) fn each_leaf(root: FieldPath, tree: &Value, visit: &mut dyn FnMut(&FieldPath, &Value)) {
    let mut path = root;
    walk(&mut path, tree, visit);
}

/// One path is carried along and handed out by reference, as most leaves turn out to be given already.
fn walk(path: &mut FieldPath, value: &Value, visit: &mut dyn FnMut(&FieldPath, &Value)) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key);
                walk(path, value, visit);
                path.pop();
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
