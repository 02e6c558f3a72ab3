//! An object under change: every edit is applied at once and kept as one operation of a minimal JSON patch.
//!
//! Edits touch leaf paths only; a user's list or map is never replaced. The object is copied at the first edit, so
//! judging what needs no edit copies nothing.

use crate::path::{FieldPath, Step};
use json_patch::{
    AddOperation, PatchOperation, RemoveOperation, ReplaceOperation, jsonptr::PointerBuf,
};
use serde_json::{Map, Value};
use std::borrow::Cow;

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
        if path.get(&self.object) == Some(&value) {
            return true;
        }
        let Some(missing) = first_missing(&self.object, path) else {
            return false;
        };
        let mut at = FieldPath::default();
        for (depth, step) in path.steps().iter().enumerate() {
            at = match step {
                Step::Key(key) => at.key(key),
                Step::Index(index) => at.index(*index),
            };
            let last = depth + 1 == path.steps().len();
            if last {
                return self.put(&at, value);
            }
            if depth >= missing && !self.put(&at, Value::Object(Map::new())) {
                return false;
            }
        }
        false
    }

    /// Removes a field; removing what is not there is no edit.
    pub fn remove(&mut self, path: &FieldPath) -> Option<Value> {
        path.get(&self.object)?;
        let key = path.last_key()?.to_owned();
        let parent = node(self.object.to_mut(), &path.parent())?;
        let removed = parent.as_object_mut()?.shift_remove(&key)?;
        self.operations
            .push(PatchOperation::Remove(RemoveOperation {
                path: pointer(path),
            }));
        Some(removed)
    }

    fn put(&mut self, path: &FieldPath, value: Value) -> bool {
        let existed = path.get(&self.object).is_some();
        let Some(parent) = node(self.object.to_mut(), &path.parent()) else {
            return false;
        };
        let placed = match path.steps().last() {
            Some(Step::Key(key)) => parent.as_object_mut().map(|map| {
                map.insert(key.clone(), value.clone());
            }),
            Some(Step::Index(index)) => parent.get_mut(*index).map(|slot| *slot = value.clone()),
            None => None,
        };
        if placed.is_none() {
            return false;
        }
        let path = pointer(path);
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
            (Step::Key(key), Value::Object(map)) => map.get(key.as_str()),
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

fn node<'v>(object: &'v mut Value, path: &FieldPath) -> Option<&'v mut Value> {
    path.steps()
        .iter()
        .try_fold(object, |value, step| match step {
            Step::Key(key) => value.get_mut(key.as_str()),
            Step::Index(index) => value.get_mut(*index),
        })
}

fn pointer(path: &FieldPath) -> PointerBuf {
    PointerBuf::from_tokens(path.steps().iter().map(|step| match step {
        Step::Key(key) => key.clone(),
        Step::Index(index) => index.to_string(),
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
    fn setting_what_is_there_is_no_edit() {
        let sent = json!({"spec": {"state": "RUNNING"}});
        let mut draft = Draft::new(&sent);
        assert!(draft.set(&FieldPath::of("spec.state"), json!("RUNNING")));
        assert_eq!(draft.remove(&FieldPath::of("spec.other")), None);
        assert!(draft.is_untouched());
    }
}
