//! What is recorded: it stays as it is stored, unless the user says otherwise.

use super::outdated::Outdated;
use super::{Filler, KEPT, is_blank};
use crate::defaults::leaves::{each_leaf, given};
use crate::defaults::settings::Settings;
use crate::defaults::spelling::other_names;
use crate::path::FieldPath;
use serde_json::Value;
use std::collections::BTreeSet;

impl Filler<'_, '_, '_> {
    /// What is recorded stays as it is stored, whatever the defaults say today, and stays recorded while nobody else
    /// has claimed it.
    pub(super) fn keep_recorded(&mut self, settings: &Settings<'_>, outdated: &Outdated) {
        let followers = |object: &Value| -> BTreeSet<FieldPath> {
            let derived = settings.dialect.derived(object).into_iter();
            derived.map(|derived| derived.path).collect()
        };
        let following = followers(self.sent);
        let (stored, sent) = (self.stored, self.sent_record);
        let only_sent = sent.paths().filter(|path| !stored.has(path));
        let kept = |path: &&FieldPath| path.is_below("spec") && !settings.leaves_out(path);
        let (follow, others): (Vec<_>, Vec<_>) = stored
            .paths()
            .chain(only_sent)
            .filter(kept)
            .partition(|path| following.contains(*path));
        for path in others {
            self.keep(path, outdated);
        }
        // What would follow from the object as it was sent, and does not with what has just been kept, is kept like everything else.
        let following = followers(self.draft.object());
        for path in follow.into_iter().filter(|path| !following.contains(*path)) {
            self.keep(path, outdated);
        }
    }

    fn keep(&mut self, path: &FieldPath, outdated: &Outdated) {
        let stored = self.stored;
        let sent = given(self.sent, path);
        let is_a_default = sent.is_none_or(|value| self.was_filled(path, value));
        let value = sent.or_else(|| self.old.and_then(|old| given(old, path)));
        let is_outdated = || value.is_some_and(|value| outdated.has(path, value));
        let before = self
            .derived_before
            .iter()
            .find(|before| before.path == *path);
        // What the stored object's user had said himself followed nothing, though it was what would have followed.
        let followed =
            stored.has(path) && before.is_some_and(|before| value == Some(&before.value));
        let is_derived_before = before.is_some();
        if is_a_default
            && !self.only_levers
            && !self.is_frozen(path)
            && (followed || is_outdated() || self.is_said_otherwise(path))
        {
            self.withdraw(path);
            if is_outdated() {
                self.outdated.insert(path.clone());
            }
            if followed {
                // Nothing takes its place but what follows in the end.
                self.kept_derived.insert(path.clone());
                self.seen.insert(path.clone());
            }
            return;
        }
        if let Some(value) = sent {
            if self.was_filled(path, value) {
                self.record.note(path.clone(), value);
            }
        } else if let Some(value) = self
            .old
            .and_then(|old| given(old, path))
            // A map in a leaf's place came into the store unseen and says other things: in a configuration, other options.
            .filter(|value| stored.has(path) && !value.is_object())
        {
            if self.put(path, value, KEPT) && stored.holds(path, value) {
                self.record.note(path.clone(), value);
            }
        } else {
            return;
        }
        if is_derived_before {
            self.kept_derived.insert(path.clone());
        }
        self.seen.insert(self.spellings.dotted(path).into_owned());
    }

    /// Whether the user says himself, in another form, what had been filled in: with another spelling of the key, with another name of
    /// the option, or with another field of an exclusive group.
    fn is_said_otherwise(&self, path: &FieldPath) -> bool {
        let is_own = |path: &FieldPath, value: &Value| !self.was_filled(path, value);
        let respelled = || {
            let places = self
                .spellings
                .places(self.sent, &self.spellings.dotted(path));
            places.iter().any(|place| {
                place != path && given(self.sent, place).is_some_and(|value| is_own(place, value))
            })
        };
        let renamed = || {
            other_names(path).any(|name| {
                !self.imposed.contains_key(&name)
                    && self
                        .spellings
                        .leaf(self.sent, &name)
                        .is_some_and(|value| !is_blank(value) && is_own(&name, value))
            })
        };
        (self.spellings.cover(path) && respelled())
            || self.excludes(path, |member| self.own.contains(member))
            || renamed()
    }

    /// Once for all: the record may have thousands of entries, and a member as many leaves.
    pub(super) fn find_own(&mut self) {
        let mut recorded = self.stored.paths().chain(self.sent_record.paths());
        if recorded.next().is_none() {
            return; // nobody asks
        }
        let is_own = |member: &&FieldPath| {
            let mut own = false;
            if let Some(value) = given(self.sent, member) {
                each_leaf((*member).clone(), value, &mut |path, value| {
                    own = own
                        || !is_blank(value)
                            && !self.imposed.contains_key(path)
                            && !self.was_filled(path, value);
                });
            }
            own
        };
        let members = self.exclusive.iter().flatten();
        self.own = members.filter(is_own).cloned().collect();
    }
}
