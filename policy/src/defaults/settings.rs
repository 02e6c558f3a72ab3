//! What layers say about one kind of objects, leaf by leaf.

use super::leaves::{each_leaf, given};
use super::spelling::Spellings;
use crate::dialect::Dialect;
use crate::path::FieldPath;
use crate::world::Layer;
use serde_json::Value;

/// How the layers' parts for the kind are read.
pub(super) struct Settings<'s> {
    pub(super) dialect: &'s dyn Dialect,
    spellings: &'s Spellings,
    /// A map that the user has left out and that nothing is filled into.
    absent: Option<FieldPath>,
}

impl<'s> Settings<'s> {
    /// For an object as sent.
    pub(super) fn of(dialect: &'s dyn Dialect, spellings: &'s Spellings, sent: &Value) -> Self {
        Self {
            dialect,
            spellings,
            absent: dialect.optional().filter(|map| given(sent, map).is_none()),
        }
    }

    /// The leaves of a layer's part, as paths of the object.
    pub(super) fn each(&self, layer: &Layer, visit: &mut dyn FnMut(&FieldPath, &Value)) {
        if let Some(section) = self.dialect.section_of(&layer.spec) {
            each_leaf(FieldPath::of("spec"), &section, &mut |path, value| {
                if !self.leaves_out(path) {
                    visit(&self.spellings.dotted(path), value);
                }
            });
        }
    }

    /// Whether nothing is filled in there.
    pub(super) fn leaves_out(&self, path: &FieldPath) -> bool {
        self.absent.as_ref().is_some_and(|map| path.is_within(map))
    }
}
