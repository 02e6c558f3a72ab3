//! An object under change: every edit is applied at once and kept as one operation of a minimal JSON patch.
//!
//! Edits touch leaf paths only; a user's list or map is never replaced. The object is copied at the first edit, so
//! judging what needs no edit copies nothing.

use crate::json;
use crate::path::{FieldPath, Step};
use json_patch::{
    AddOperation, PatchOperation, RemoveOperation, ReplaceOperation,
    jsonptr::{PointerBuf, Token},
};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;

/// An object and the patch that leads from the object as sent to the object as it is now.
#[derive(Clone, Debug)]
pub struct Draft<'o> {
    object: Cow<'o, Value>,
    operations: Vec<PatchOperation>,
}

impl<'o> Draft<'o> {
    /// A draft without edits.
    pub fn new(object: &'o Value) -> Self {
        Self {
            object: Cow::Borrowed(object),
            operations: Vec::new(),
        }
    }

    /// The object with all edits so far.
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// The object as it is now, to be read while the draft changes on. Copied only if it was edited already.
    pub fn snapshot(&self) -> Cow<'o, Value> {
        self.object.clone()
    }

    /// Whether nothing was edited.
    pub fn is_untouched(&self) -> bool {
        self.operations.is_empty()
    }

    /// The edits, in order.
    pub fn operations(&self) -> &[PatchOperation] {
        &self.operations
    }

    /// The edited object and its patch.
    pub fn finish(self) -> (Cow<'o, Value>, Vec<PatchOperation>) {
        (self.object, self.operations)
    }

    /// Sets a field; parents that are missing (or `null`) are made as empty maps. Returns `false`, and changes
    /// nothing, if a parent is something that has no such field (a text, or a list without that position).
    /// Setting what is there already is no edit.
    pub fn set(&mut self, path: &FieldPath, value: Value) -> bool {
        let Some(missing) = first_missing(&self.object, path) else {
            return false;
        };
        let steps = path.steps();
        // Most edits set what is missing: nothing is there to be compared.
        let is_there = missing == steps.len() || value.is_null();
        if is_there && path.get(&self.object) == Some(&value) {
            return true;
        }
        for depth in missing + 1..steps.len() {
            let (made, _) = steps.split_at(depth);
            if !self.put(made, Value::Object(Map::new())) {
                return false;
            }
        }
        self.put(steps, value)
    }

    /// Removes a field; removing what is not there is no edit.
    pub fn remove(&mut self, path: &FieldPath) -> Option<Value> {
        path.get(&self.object)?;
        let (Step::Key(key), parents) = path.steps().split_last()? else {
            return None;
        };
        let parent = node(self.object.to_mut(), parents)?;
        let removed = parent.as_object_mut()?.shift_remove(key.as_str())?;
        self.operations
            .push(PatchOperation::Remove(RemoveOperation {
                path: pointer(path.steps()),
            }));
        Some(removed)
    }

    /// Removes fields. Those of one map that stand together go at once: each that goes by itself moves all that come after it.
    pub fn remove_all(&mut self, paths: &[FieldPath]) {
        for of_one_map in paths.chunk_by(|a, b| parents(a) == parents(b)) {
            match of_one_map {
                [path] => _ = self.remove(path),
                _ => self.remove_from_one_map(of_one_map),
            }
        }
    }

    fn remove_from_one_map(&mut self, paths: &[FieldPath]) {
        let mut going: HashMap<&str, &FieldPath> = paths
            .iter()
            .filter(|path| path.get(&self.object).is_some())
            .filter_map(|path| Some((path.last_key()?, path)))
            .collect();
        let Some(first) = going.values().next() else {
            return;
        };
        let Some(Value::Object(map)) = node(self.object.to_mut(), parents(first)) else {
            return;
        };
        let operations = &mut self.operations;
        map.retain(|key, _| match going.remove(key.as_str()) {
            None => true,
            Some(path) => {
                operations.push(PatchOperation::Remove(RemoveOperation {
                    path: pointer(path.steps()),
                }));
                false
            }
        });
    }

    fn put(&mut self, steps: &[Step], value: Value) -> bool {
        let Some((last, parents)) = steps.split_last() else {
            return false;
        };
        let Some(parent) = node(self.object.to_mut(), parents) else {
            return false;
        };
        let existed = match (last, parent) {
            (Step::Key(key), Value::Object(map)) => {
                map.insert(key.to_string(), value.clone()).is_some()
            }
            (Step::Index(index), Value::Array(items)) => match items.get_mut(*index) {
                Some(slot) => {
                    *slot = value.clone();
                    true
                }
                None => return false,
            },
            _ => return false,
        };
        let path = pointer(steps);
        self.operations.push(if existed {
            PatchOperation::Replace(ReplaceOperation { path, value })
        } else {
            PatchOperation::Add(AddOperation { path, value })
        });
        true
    }
}

/// The depth of the first step whose value is missing or `null` on the way to `path`; `None` if the way is barred.
fn first_missing(object: &Value, path: &FieldPath) -> Option<usize> {
    let mut value = object;
    for (depth, step) in path.steps().iter().enumerate() {
        let next = match (step, value) {
            (Step::Key(key), Value::Object(map)) => json::member(map, key),
            (Step::Index(index), Value::Array(list)) => Some(list.get(*index)?),
            _ => return None,
        };
        match next {
            None | Some(Value::Null) => return Some(depth),
            Some(next) => value = next,
        }
    }
    Some(path.steps().len())
}

fn parents(path: &FieldPath) -> &[Step] {
    path.steps()
        .split_last()
        .map_or(&[], |(_, parents)| parents)
}

fn node<'v>(object: &'v mut Value, steps: &[Step]) -> Option<&'v mut Value> {
    steps.iter().try_fold(object, |value, step| match step {
        Step::Key(key) => value.get_mut(key.as_str()),
        Step::Index(index) => value.get_mut(*index),
    })
}

fn pointer(steps: &[Step]) -> PointerBuf {
    PointerBuf::from_tokens(steps.iter().map(|step| match step {
        Step::Key(key) => Token::new(key.as_str()),
        Step::Index(index) => Token::from(*index),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_patch_leads_from_the_object_sent_to_the_object_made() {
        let sent =
            json!({"spec": {"resources": {"jobManager": {"cpu": 1}}, "jars": ["a"], "gone": null}});
        let mut draft = Draft::new(&sent);
        assert!(draft.set(
            &FieldPath::of("spec.logging.loggingProfile"),
            json!("default")
        ));
        assert!(draft.set(&FieldPath::of("spec.gone.inner"), json!(1)));
        assert!(draft.set(&FieldPath::of("spec.jars").index(0), json!("b")));
        assert_eq!(
            draft.remove(&FieldPath::of("spec.resources.jobManager")),
            Some(json!({"cpu": 1}))
        );
        assert!(
            !draft.set(&FieldPath::of("spec.jars").index(7), json!("c")),
            "a list is not extended"
        );
        assert!(
            !draft.set(&FieldPath::of("spec.jars.name"), json!("c")),
            "a list has no keys"
        );
        let (made, patch) = draft.finish();
        let mut replayed = sent.clone();
        json_patch::patch(&mut replayed, &patch).unwrap();
        assert_eq!(&replayed, made.as_ref());
    }

    #[test]
    fn many_fields_go_at_once_and_each_is_an_operation() {
        let sent = json!({"spec": {"a": 1, "b": 2, "c": 3, "d": {"e": 4}}, "list": [1]});
        let mut draft = Draft::new(&sent);
        let paths = [
            "spec.a",
            "spec.c",
            "spec.a",
            "spec.none",
            "spec.d.e",
            "none.x",
            "none.y",
        ];
        let mut paths: Vec<FieldPath> = paths.map(FieldPath::of).into();
        paths.extend([0, 1].map(|index| FieldPath::of("list").index(index)));
        draft.remove_all(&paths);
        assert_eq!(draft.operations().len(), 3);
        let (made, patch) = draft.finish();
        assert_eq!(
            made.as_ref(),
            &json!({"spec": {"b": 2, "d": {}}, "list": [1]})
        );
        let mut replayed = sent.clone();
        json_patch::patch(&mut replayed, &patch).unwrap();
        assert_eq!(&replayed, made.as_ref());
    }

    #[test]
    fn setting_what_is_there_is_no_edit() {
        let sent = json!({"spec": {"state": "RUNNING"}});
        let mut draft = Draft::new(&sent);
        assert!(draft.set(&FieldPath::of("spec.state"), json!("RUNNING")));
        assert_eq!(draft.remove(&FieldPath::of("spec.other")), None);
        assert!(draft.is_untouched());
    }
}
