//! A request as policy reads it: which kind, which operation, the object, the stored object.

use crate::dialect::Dialect;
use crate::draft::Draft;
use crate::path::FieldPath;
use serde_json::Value;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation<'a> {
    /// A new object.
    Create,
    /// A change; `old` is the object as stored.
    Update {
        /// The stored object.
        old: &'a Value,
    },
}

/// Which part of an object a request writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// The object itself.
    #[default]
    Whole,
    /// Its replica count, through `/scale`. No mutation has run, so none is demanded.
    Scale,
}

/// One request. Scale requests are turned into an update of their parent before they come here ([`scaled`]).
#[derive(Clone, Copy)]
pub struct Review<'a> {
    /// The kind's dialect.
    pub dialect: &'static dyn Dialect,
    /// What is asked.
    pub operation: Operation<'a>,
    /// Which part is written.
    pub part: Part,
    /// The namespace; empty for cluster-scoped kinds.
    pub namespace: &'a str,
    /// The name; in mutating admission it may be empty (generateName).
    pub name: &'a str,
    /// The object as sent (mutating) or as it would be stored (validating).
    pub object: &'a Value,
}

impl<'a> Review<'a> {
    /// The stored object, on an update.
    pub fn old(&self) -> Option<&'a Value> {
        match self.operation {
            Operation::Create => None,
            Operation::Update { old } => Some(old),
        }
    }

    /// The same request about another state of the object (after mutation).
    #[must_use]
    pub fn about(&self, object: &'a Value) -> Self {
        Self { object, ..*self }
    }

    /// For messages: `sessioncluster "analytics"`.
    pub fn subject(&self) -> String {
        let name = if self.name.is_empty() {
            crate::json::text(self.object, &["metadata", "generateName"]).unwrap_or("(unnamed)")
        } else {
            self.name
        };
        format!("{} \"{name}\"", self.dialect.kind().singular)
    }
}

/// Whether the object is on its way out: it asks for nothing and may always change.
pub fn is_being_deleted(object: &Value) -> bool {
    crate::json::present(object, &["metadata", "deletionTimestamp"]).is_some()
}

/// The parent of a `/scale` request as it would be stored: `replicas` at the dialect's scale path, the generation
/// one higher. `None` if the kind has no scale.
pub fn scaled(dialect: &dyn Dialect, parent: &Value, replicas: i64) -> Option<Value> {
    let path = dialect.kind().scale?;
    let path = path
        .iter()
        .fold(FieldPath::default(), |path, key| path.key(key));
    let mut draft = Draft::new(parent);
    if !draft.set(&path, Value::from(replicas)) {
        return None;
    }
    if !draft.is_untouched() {
        draft.set(
            &FieldPath::of("metadata.generation"),
            next_generation(parent),
        );
    }
    Some(draft.finish().0.into_owned())
}

/// The generation that the API server gives an object when its spec changes.
pub(crate) fn next_generation(stored: &Value) -> Value {
    let generation = crate::json::get(stored, &["metadata", "generation"])
        .and_then(Value::as_i64)
        .unwrap_or(0);
    Value::from(generation.saturating_add(1))
}
