//! A request as policy reads it: which kind, which operation, the object, the stored object.

use crate::dialect::Dialect;
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

/// One request. Scale requests are turned into an update of their parent before they come here.
#[derive(Clone, Copy)]
pub struct Review<'a> {
    /// The kind's dialect.
    pub dialect: &'static dyn Dialect,
    /// What is asked.
    pub operation: Operation<'a>,
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
