//! What was built in for an object that says something else now.

use super::{Filled, Filler, KEPT};
use crate::defaults::BUILT_IN;
use crate::defaults::leaves::{each_leaf, given};
use crate::path::FieldPath;
use serde_json::Value;

/// Values that were built in and are not any more.
#[derive(Default)]
pub(super) struct Outdated(Vec<(FieldPath, Value)>);

impl Outdated {
    pub(super) fn of(before: &Value, now: &Value) -> Self {
        let mut outdated = Vec::new();
        if before != now {
            each_leaf(FieldPath::default(), before, &mut |path, value| {
                if path.get(now).is_none() {
                    outdated.push((path.clone(), value.clone()));
                }
            });
        }
        Self(outdated)
    }

    pub(super) fn has(&self, path: &FieldPath, value: &Value) -> bool {
        self.0
            .iter()
            .any(|(at, which)| at == path && which == value)
    }
}

impl Filler<'_, '_, '_> {
    /// Takes out what was built in for an object that says something else in the end.
    pub(super) fn withdraw_outdated(&mut self, outdated: &Outdated) {
        for (path, value) in &outdated.0 {
            let is_filled = self.record.holds(path, value)
                && given(self.draft.object(), path) == Some(value)
                && !self.owned.has(path);
            // Else it is an admin's, who happens to say the same.
            let is_built_in = |filled: &Filled| {
                filled.path != *path || [BUILT_IN, KEPT].contains(&filled.source.as_str())
            };
            if is_filled && !self.is_frozen(path) && self.filled.iter().all(is_built_in) {
                self.withdraw(path);
            }
        }
    }
}
