//! Values that follow from others.

use super::{Filler, KEPT};
use crate::defaults::DERIVED;
use crate::defaults::leaves::given;
use crate::dialect::{Derived, Dialect};
use crate::path::FieldPath;
use std::collections::BTreeSet;

impl Filler<'_, '_, '_> {
    /// Values that follow from others, as long as nobody else has set them; `overridden`: what Environments have.
    pub(super) fn derive(&mut self, dialect: &dyn Dialect, overridden: &BTreeSet<FieldPath>) {
        for Derived { path, value } in dialect.derived(self.draft.object()) {
            let is_said = self.seen.contains(&path) && !self.kept_derived.contains(&path);
            if is_said || overridden.contains(&path) {
                continue;
            }
            let stored = self.old.and_then(|old| given(old, &path)).cloned();
            let recorded = stored
                .as_ref()
                .is_some_and(|stored| self.stored.holds(&path, stored));
            // It follows its inputs only if it did so before: a recorded value that is not what the stored inputs give
            // came from an admin's defaults.
            let inputs_changed = !self
                .derived_before
                .iter()
                .any(|old| old.path == path && old.value == value);
            let followed = self
                .derived_before
                .iter()
                .any(|old| old.path == path && stored.as_ref() == Some(&old.value));
            let follows = followed && inputs_changed && !self.is_frozen(&path);
            if followed || stored.is_none() {
                self.followers.insert(path.clone());
            }
            match given(self.sent, &path).cloned() {
                Some(sent) if self.was_filled(&path, &sent) => {
                    if recorded && follows {
                        self.put_recorded(&path, &value, DERIVED);
                    } else {
                        // What it followed meanwhile may have been set back.
                        self.put_recorded(&path, &sent, KEPT);
                    }
                }
                Some(_) => {}
                None if recorded && follows => self.put_recorded(&path, &value, DERIVED),
                None => match stored {
                    Some(stored) if recorded => self.put_recorded(&path, &stored, KEPT),
                    Some(stored) if self.stored.has(&path) || self.is_frozen(&path) => {
                        self.put(&path, &stored, KEPT);
                    }
                    None if self.only_levers => {}
                    _ => self.put_recorded(&path, &value, DERIVED),
                },
            }
        }
    }

    /// Takes out what followed from others, where in the end it does not any more.
    pub(super) fn withdraw_followers(&mut self, dialect: &dyn Dialect) {
        let derived = dialect.derived(self.draft.object());
        for path in std::mem::take(&mut self.followers) {
            let follows = derived.iter().any(|derived| derived.path == path);
            let value = given(self.draft.object(), &path);
            let is_filled = value.is_some_and(|value| self.record.holds(&path, value));
            if !follows && is_filled && !self.owned.has(&path) && !self.is_frozen(&path) {
                self.withdraw(&path);
            }
        }
    }
}
