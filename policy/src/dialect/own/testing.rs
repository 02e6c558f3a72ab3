//! Helpers of tests: one dialect by itself, without layers, quota and world.

use crate::dialect::Dialect;
use crate::draft::Draft;
use crate::finding::Findings;
use crate::review::{Operation, Review};
use crate::world::{EmptyWorld, Lookup, World};
use serde_json::Value;
use std::sync::Arc;

/// The object in canonical form, and what was found on the way.
pub(crate) fn normalised(
    dialect: &'static dyn Dialect,
    object: &Value,
    old: Option<&Value>,
) -> (Value, Findings) {
    let mut findings = Findings::default();
    let mut draft = Draft::new(object);
    dialect.normalise(&mut draft, old, &mut findings);
    let (made, patch) = draft.finish();
    let mut replayed = object.clone();
    json_patch::patch(&mut replayed, &patch).unwrap();
    assert_eq!(&replayed, made.as_ref(), "the patch leads to the object");
    (made.into_owned(), findings)
}

/// The object in canonical form with the built-in and derived defaults.
pub(crate) fn filled(dialect: &'static dyn Dialect, object: &Value) -> Value {
    let (mut object, _) = normalised(dialect, object, None);
    let defaults = dialect.built_in(&object);
    fill(&mut object, &defaults);
    let derived = dialect.derived(&object);
    let mut draft = Draft::new(&object);
    for default in derived {
        if default.path.get(draft.object()).is_none_or(Value::is_null) {
            draft.set(&default.path, default.value);
        }
    }
    draft.finish().0.into_owned()
}

fn fill(object: &mut Value, defaults: &Value) {
    let Value::Object(defaults) = defaults else {
        return;
    };
    if object.is_null() {
        *object = Value::Object(serde_json::Map::new());
    }
    let Value::Object(map) = object else {
        return;
    };
    for (key, default) in defaults {
        let entry = map.entry(key.clone()).or_insert(Value::Null);
        if default.is_object() {
            fill(entry, default);
        } else if entry.is_null() {
            *entry = default.clone();
        }
    }
}

/// What the mutating and the validating call together find of a create: causes as `field: message [rule]`.
pub(crate) fn judged(dialect: &'static dyn Dialect, object: &Value) -> Findings {
    judged_in(dialect, object, &EmptyWorld)
}

/// The same in a world.
pub(crate) fn judged_in(
    dialect: &'static dyn Dialect,
    object: &Value,
    world: &dyn World,
) -> Findings {
    let (_, mut findings) = normalised(dialect, object, None);
    let object = filled(dialect, object);
    let review = Review {
        dialect,
        operation: Operation::Create,
        part: crate::review::Part::Whole,
        namespace: "team-a",
        name: "analytics",
        object: &object,
    };
    dialect.validate(&review, world, &mut findings);
    findings
}

/// Causes as people read them.
pub(crate) fn causes(findings: &Findings) -> Vec<String> {
    findings
        .causes
        .iter()
        .map(|cause| format!("{}: {}", cause.field, cause.full_message()))
        .collect()
}

/// A value with one field set to another.
pub(crate) fn with(object: &Value, pointer: &str, value: Value) -> Value {
    let mut draft = Draft::new(object);
    assert!(draft.set(&crate::path::FieldPath::from_pointer(pointer), value));
    draft.finish().0.into_owned()
}

/// A world of full caches in which nothing else exists.
pub(crate) struct Nothing;

/// A world in which every lookup finds this object.
pub(crate) struct With(pub(crate) Value);

macro_rules! lonely_world {
    ($name:ty, $self:ident, $found:expr) => {
        impl World for $name {
            fn modes(&self, _: &str) -> crate::mode::Modes {
                crate::mode::Modes::default()
            }
            fn defaults(&self, _: &str) -> Vec<crate::world::Layer> {
                Vec::new()
            }
            fn environments(&self, _: &str) -> Vec<crate::world::Layer> {
                Vec::new()
            }
            fn lookup(&$self, _: &crate::dialect::KindInfo, _: &str, _: &str) -> Lookup {
                $found
            }
            fn lookup_uid(&$self, _: &crate::dialect::KindInfo, _: &str, _: &str) -> Lookup {
                $found
            }
            fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
                Some(Arc::new(serde_json::json!({"sluice.dev/accept-from": "team-b.team-c"})))
            }
        }
    };
}

lonely_world!(Nothing, self, Lookup::Absent);
lonely_world!(With, self, Lookup::Found(Arc::new(self.0.clone())));
