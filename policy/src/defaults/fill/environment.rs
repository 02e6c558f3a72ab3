//! What Environments set, over everything but what is frozen.

use super::{Filler, KEPT, Layers};
use crate::defaults::leaves::given;
use crate::defaults::settings::Settings;
use crate::defaults::spelling::other_names;
use crate::flink::LONGEST_BEGINNING;
use crate::path::FieldPath;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Calls `visit` for every leaf, and for a map that has a beginning in front of it in which there is no `room` for an option's name.
fn each_option(
    path: &mut FieldPath,
    room: usize,
    value: &Value,
    visit: &mut dyn FnMut(&FieldPath, &Value),
) {
    match value {
        Value::Object(map) if room > 0 => {
            for (key, value) in map {
                path.push(key);
                each_option(path, room.saturating_sub(key.len() + 1), value, visit);
                path.pop();
            }
        }
        Value::Null => {}
        leaf => visit(path, leaf),
    }
}

/// Adds what a map has not.
fn add_missing(to: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (to.get_mut(key), value) {
            (None, value) => {
                to.insert(key.clone(), value.clone());
            }
            (Some(Value::Object(to)), Value::Object(from)) => add_missing(to, from),
            (Some(_), _) => {}
        }
    }
}

impl Filler<'_, '_, '_> {
    /// Environments win over everything but what is frozen, which keeps what it runs with, and what upstream lets nobody change now.
    pub(super) fn override_with(
        &mut self,
        settings: &Settings<'_>,
        layers: &Layers,
    ) -> BTreeSet<FieldPath> {
        let mut seen = BTreeSet::new();
        let held = self
            .old
            .map(|old| settings.dialect.held(old))
            .unwrap_or_default();
        for layer in &layers.environments {
            settings.each(layer, &mut |path, value| {
                if !seen.insert(path.clone()) {
                    return;
                }
                let stored = self.old.and_then(|old| self.spellings.leaf(old, path));
                let now = self.spellings.leaf(self.draft.object(), path);
                if now == stored && held.iter().any(|held| path.is_within(held)) {
                    return;
                }
                let is_so = |place: &FieldPath| given(self.draft.object(), place) == Some(value);
                if layers.only_levers && self.places(path).iter().all(is_so) {
                    return; // what an Environment has made of a change is not taken back when it is judged
                }
                let (value, source, places) = if layers.only_levers || self.is_frozen(path) {
                    let Some(stored) = stored else { return };
                    (stored, KEPT, self.kept_places(path))
                } else {
                    (value, layer.source.as_str(), self.places(path))
                };
                for place in places {
                    self.flatten(&place);
                    self.put(&place, value, source);
                    self.note_if_filled_before(place, value);
                }
            });
        }
        if !layers.only_levers {
            self.withdraw_excluded();
        }
        seen
    }

    /// Makes room for a value where the user has nested other keys: `a: {b: 1}` says `a.b: 1`, which stays beside `a: x`.
    fn flatten(&mut self, place: &FieldPath) {
        if !self.spellings.cover(place) {
            return;
        }
        let Some(nested @ Value::Object(_)) = given(self.draft.object(), place).cloned() else {
            return;
        };
        self.draft.remove(place);
        let beginning = place.last_key().map_or(0, str::len);
        let room = LONGEST_BEGINNING.saturating_sub(beginning);
        // One name may be spelled in thousands of ways, so what belongs below it is put there once.
        let mut maps: BTreeMap<FieldPath, Map<String, Value>> = BTreeMap::new();
        each_option(&mut place.clone(), room, &nested, &mut |path, value| {
            let dotted = self.spellings.dotted(path);
            if let Value::Object(below) = value {
                add_missing(maps.entry(dotted.into_owned()).or_default(), below);
            } else if self.prevails(&dotted, path, value) {
                self.give(&dotted, value);
            }
        });
        for (dotted, below) in maps {
            self.merge(&dotted, below);
        }
    }

    /// Gives a key a value in all its spellings, or a list, which may be long where these are many, in one of them.
    fn give(&mut self, dotted: &FieldPath, value: &Value) {
        let mut places = self.places(dotted);
        if value.is_array() {
            for place in places.iter().skip(1) {
                self.draft.remove(place);
            }
            places.truncate(1);
        }
        for place in places {
            self.draft.set(&place, value.clone());
            self.note_if_filled_before(place, value);
        }
    }

    /// What had been filled in before is a default again where it now stands, whoever put it there: so it will be to the validating call,
    /// which finds the value in place.
    fn note_if_filled_before(&mut self, place: FieldPath, value: &Value) {
        if self.was_filled(&place, value) {
            self.record.note(place, value);
        }
    }

    /// Puts a map, whose leaves' names are too long to be options', under its dotted name. What stands there stands behind it in a stored
    /// map, and so wins.
    fn merge(&mut self, dotted: &FieldPath, below: Map<String, Value>) {
        let merged = match given(self.draft.object(), dotted) {
            None => below,
            Some(Value::Object(there)) => {
                let mut merged = there.clone();
                add_missing(&mut merged, &below);
                merged
            }
            Some(_) => return,
        };
        self.draft.set(dotted, Value::Object(merged));
    }

    /// Whether a value from a nested map takes its key's place: a dotted one beside it that equals the stored one is what was once made of
    /// the map, and `kubectl apply` sends it along with the map that its user has edited (decision 3).
    fn prevails(&self, dotted: &FieldPath, nested: &FieldPath, value: &Value) -> bool {
        let Some(there) = self.spellings.leaf(self.draft.object(), dotted) else {
            return true;
        };
        let is_stored = |path, value| self.old.and_then(|old| given(old, path)) == Some(value);
        is_stored(dotted, there) && !is_stored(nested, value)
    }

    /// No default stands beside a field that an Environment has set and that rules it out.
    fn withdraw_excluded(&mut self) {
        let excluded: Vec<FieldPath> = self
            .record
            .paths()
            .filter(|path| !self.imposed.contains_key(*path) && !self.is_frozen(path))
            .filter(|path| {
                self.excludes(path, |member| self.is_imposed_within(member))
                    || other_names(path).any(|name| self.is_imposed_within(&name))
            })
            .cloned()
            .collect();
        for path in excluded {
            self.withdraw(&path); // and with it goes its record, which is true no more
        }
    }
}
