//! Filling in: decides for every field that has a default whether it is given, kept, or filled in anew.

use super::leaves::{each_leaf, given};
use super::owned::Owned;
use super::record::{ANNOTATION, Record};
use super::{BUILT_IN, DERIVED};
use crate::dialect::{Derived, Dialect, Frozen};
use crate::draft::Draft;
use crate::path::FieldPath;
use crate::world::Layer;
use serde_json::Value;
use std::collections::BTreeSet;

/// The layers for one kind, the first that has a value wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers {
    /// Settings that win over what the user wrote; the kind's part is [`Dialect::section_of`] them.
    pub environments: Vec<Layer>,
    /// Defaults of admins, likewise.
    pub defaults: Vec<Layer>,
    /// Built-in defaults, shaped like the object.
    pub built_in: Value,
}

/// A value that was set, and why; for `sluice render --diff`.
#[derive(Clone, Debug, PartialEq)]
pub struct Filled {
    /// Which field.
    pub path: FieldPath,
    /// Its value.
    pub value: Value,
    /// `DeploymentDefaults team-a/default`, `built in`, `derived`, `kept`.
    pub source: String,
}

/// Where a value that was kept from the stored object comes from.
const KEPT: &str = "kept";

/// Fills defaults into the draft and writes the record. `old` is the stored object on an update.
///
/// Idempotent: filling the result again changes nothing.
pub fn fill(
    draft: &mut Draft<'_>,
    dialect: &dyn Dialect,
    old: Option<&Value>,
    layers: &Layers,
) -> Vec<Filled> {
    let sent = draft.snapshot();
    let sent = sent.as_ref();
    let owned = if old.is_some() {
        Owned::on_update(sent)
    } else {
        Owned::on_create(sent)
    };
    let stored = old.map(Record::of).unwrap_or_default();
    let other;
    let sent_record = match old {
        Some(old) if Record::is_same_in(old, sent) => &stored,
        _ => {
            other = Record::of(sent);
            &other
        }
    };
    let mut filler = Filler {
        exclusive: dialect.exclusive(),
        frozen: old.and_then(|old| dialect.frozen(old)),
        stored: &stored,
        sent_record,
        record: Record::default(),
        filled: Vec::new(),
        seen: BTreeSet::new(),
        sent,
        old,
        owned,
        draft,
    };
    filler.keep_recorded(dialect);
    for layer in &layers.defaults {
        each_setting(dialect, layer, &mut |path, value| {
            filler.default(path, value, &layer.source);
        });
    }
    each_leaf(
        FieldPath::default(),
        &layers.built_in,
        &mut |path, value| {
            filler.default(path, value, BUILT_IN);
        },
    );
    filler.derive(dialect, &BTreeSet::new());
    let changes_spec = old.is_none_or(|old| old.get("spec") != filler.draft.object().get("spec"));
    if changes_spec {
        let overridden = filler.override_with(dialect, &layers.environments);
        if !overridden.is_empty() {
            // What is built in may depend on what an Environment has just said, such as where a Deployment runs.
            let built_in = dialect.built_in(filler.draft.object());
            each_leaf(FieldPath::default(), &built_in, &mut |path, value| {
                filler.default(path, value, BUILT_IN);
            });
            // What follows from others follows from what stands in the end, or the rules would refuse what nobody wrote.
            filler.derive(dialect, &overridden);
        }
    }
    filler.write_record();
    filler.filled
}

/// The leaves of a layer's part for the kind, as paths of the object.
fn each_setting(dialect: &dyn Dialect, layer: &Layer, visit: &mut dyn FnMut(&FieldPath, &Value)) {
    if let Some(section) = dialect.section_of(&layer.spec) {
        each_leaf(FieldPath::of("spec"), &section, visit);
    }
}

struct Filler<'d, 'o, 's> {
    draft: &'d mut Draft<'o>,
    /// The object as sent and normalised.
    sent: &'s Value,
    old: Option<&'s Value>,
    owned: Owned<'s>,
    stored: &'s Record,
    sent_record: &'s Record,
    record: Record,
    frozen: Option<Frozen>,
    exclusive: Vec<Vec<FieldPath>>,
    filled: Vec<Filled>,
    seen: BTreeSet<FieldPath>,
}

impl Filler<'_, '_, '_> {
    /// What is recorded stays as it is stored, whatever the defaults say today, and stays recorded while nobody else
    /// has claimed it.
    fn keep_recorded(&mut self, dialect: &dyn Dialect) {
        let derived = dialect.derived(self.sent);
        let (stored, sent) = (self.stored, self.sent_record);
        let only_sent = sent.paths().filter(|path| !stored.has(path));
        for path in stored.paths().chain(only_sent) {
            if !path.is_below("spec") || derived.iter().any(|derived| derived.path == *path) {
                continue;
            }
            if let Some(value) = given(self.sent, path) {
                if self.was_filled(path, value) {
                    self.record.note(path.clone(), value);
                }
            } else if let Some(value) = self
                .old
                .and_then(|old| given(old, path))
                .filter(|_| stored.has(path))
            {
                if self.put(path, value, KEPT) && stored.holds(path, value) {
                    self.record.note(path.clone(), value);
                }
            } else {
                continue;
            }
            self.seen.insert(path.clone());
        }
    }

    /// Whether a value that was sent is one that was filled in before and that nobody has claimed.
    fn was_filled(&self, path: &FieldPath, value: &Value) -> bool {
        let stored_holds = self.stored.holds(path, value)
            && self.old.and_then(|old| given(old, path)) == Some(value);
        (stored_holds || self.sent_record.holds(path, value)) && !self.owned.has(path)
    }

    /// One leaf of one layer of defaults.
    fn default(&mut self, path: &FieldPath, value: &Value, source: &str) {
        if given(self.sent, path).is_some() || self.seen.contains(path) || self.rules_out(path) {
            return;
        }
        // Defaults are applied once: at creation, or when something is left out that was there before. What is new in
        // them today reaches nobody who exists, or his next apply would restart him. Built-in values are no news.
        let stored = self.old.and_then(|old| given(old, path));
        if self.old.is_some() && stored.is_none() && source != BUILT_IN {
            return;
        }
        self.seen.insert(path.clone());
        if self.is_frozen(path) {
            // What runs keeps what it has; a default never alters a frozen field.
            if let Some(stored) = stored {
                self.put(path, stored, KEPT);
            }
            return;
        }
        if self.put(path, value, source) {
            self.record.note(path.clone(), value);
        }
    }

    /// Values that follow from others, as long as nobody else has set them; `overridden`: what Environments have.
    fn derive(&mut self, dialect: &dyn Dialect, overridden: &BTreeSet<FieldPath>) {
        let before: Vec<Derived> = self.old.map(|old| dialect.derived(old)).unwrap_or_default();
        for Derived { path, value } in dialect.derived(self.draft.object()) {
            if self.seen.contains(&path) || overridden.contains(&path) {
                continue;
            }
            let stored = self.old.and_then(|old| given(old, &path)).cloned();
            let recorded = stored
                .as_ref()
                .is_some_and(|stored| self.stored.holds(&path, stored));
            // It follows its inputs only if it did so before: a recorded value that is not what the stored inputs give
            // came from an admin's defaults.
            let inputs_changed = !before
                .iter()
                .any(|old| old.path == path && old.value == value);
            let followed = before
                .iter()
                .any(|old| old.path == path && stored.as_ref() == Some(&old.value));
            let follows = followed && inputs_changed && !self.is_frozen(&path);
            match given(self.sent, &path).cloned() {
                Some(sent) if self.was_filled(&path, &sent) => {
                    if recorded && follows {
                        self.put_recorded(&path, &value, DERIVED);
                    } else {
                        self.record.note(path, &sent);
                    }
                }
                Some(_) => {}
                None if recorded && follows => self.put_recorded(&path, &value, DERIVED),
                None => match stored {
                    Some(stored) if recorded => self.put_recorded(&path, &stored, KEPT),
                    Some(stored) if self.stored.has(&path) || self.is_frozen(&path) => {
                        self.put(&path, &stored, KEPT);
                    }
                    _ => self.put_recorded(&path, &value, DERIVED),
                },
            }
        }
    }

    /// Environments win over everything but what is frozen, which keeps what it runs with.
    fn override_with(
        &mut self,
        dialect: &dyn Dialect,
        environments: &[Layer],
    ) -> BTreeSet<FieldPath> {
        let mut seen = BTreeSet::new();
        for layer in environments {
            each_setting(dialect, layer, &mut |path, value| {
                if !seen.insert(path.clone()) {
                    return;
                }
                if self.is_frozen(path) {
                    if let Some(stored) = self.old.and_then(|old| given(old, path)) {
                        self.put(path, stored, KEPT);
                    }
                } else {
                    self.put(path, value, &layer.source);
                    // Where the Environment says what had been filled in before, it is a default again, as it will be
                    // to the validating call, which finds the value in place.
                    if self.was_filled(path, value) {
                        self.record.note(path.clone(), value);
                    }
                }
            });
        }
        seen
    }

    fn write_record(&mut self) {
        let mut record = std::mem::take(&mut self.record);
        record.retain_true(self.draft.object());
        // What somebody claims is not recorded, wherever its value came from; else the validating call, which finds the
        // value in place, would come to another record than the mutating one.
        record.retain_unclaimed(|path| self.owned.has(path));
        let annotation = FieldPath::of("metadata.annotations").key(ANNOTATION);
        match record.text() {
            Some(text) => {
                self.draft.set(&annotation, Value::String(text));
            }
            None => {
                self.draft.remove(&annotation);
            }
        }
    }

    fn is_frozen(&self, path: &FieldPath) -> bool {
        self.frozen
            .as_ref()
            .is_some_and(|frozen| !frozen.lets(path))
    }

    /// Whether the user gave another field of an exclusive group.
    fn rules_out(&self, path: &FieldPath) -> bool {
        self.exclusive.iter().any(|group| {
            group.iter().any(|member| path.is_within(member))
                && group.iter().any(|member| {
                    !path.is_within(member) && given(self.draft.object(), member).is_some()
                })
        })
    }

    fn put_recorded(&mut self, path: &FieldPath, value: &Value, source: &str) {
        if self.put(path, value, source) {
            self.record.note(path.clone(), value);
        }
    }

    fn put(&mut self, path: &FieldPath, value: &Value, source: &str) -> bool {
        if given(self.draft.object(), path) == Some(value) {
            return true;
        }
        let done = self.draft.set(path, value.clone());
        if done {
            self.filled.retain(|filled| filled.path != *path);
            self.filled.push(Filled {
                path: path.clone(),
                value: value.clone(),
                source: source.to_owned(),
            });
        }
        done
    }
}
