//! Filling in: decides for every field that has a default whether it is given, kept, or filled in anew.

mod derive;
mod environment;
mod keep;
mod outdated;

use super::leaves::{each_leaf, given};
use super::owned::Owned;
use super::record::{ANNOTATION, Record};
use super::settings::Settings;
use super::spelling::{Spellings, other_names};
use super::{BUILT_IN, DERIVED};
use crate::dialect::{Derived, Dialect, Frozen};
use crate::draft::Draft;
use crate::immutability::{Change, spec_changes};
use crate::path::FieldPath;
use crate::world::Layer;
use outdated::Outdated;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The layers for one kind, the first that has a value wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layers {
    /// Settings that win over what the user wrote; the kind's part is [`Dialect::section_of`] them.
    pub environments: Vec<Layer>,
    /// Defaults of admins, likewise.
    pub defaults: Vec<Layer>,
    /// Built-in defaults, shaped like the object.
    pub built_in: Value,
    /// Whether the change is one of levers that only lowers: everything else then stays as it is stored. What Environments name is not set,
    /// what is not there is not filled in, and nothing is taken out.
    pub only_levers: bool,
    /// Values of `defaults` that the rules refuse for this object: they are not filled in.
    pub unwelcome: Vec<(FieldPath, Value)>,
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
    let Some((old, frozen)) = old.and_then(|old| Some((old, dialect.frozen(old)?))) else {
        return fill_in_front_of(None, draft, dialect, old, layers);
    };
    // Looked at first, since few say so and records are read for it.
    let stored = frozen
        .is_overridden(draft.object())
        .then(|| Record::of(old))
        .filter(|stored| is_made_anew(dialect, &frozen, old, stored, draft.object()));
    if let Some(stored) = &stored {
        let mut anew = draft.clone();
        let filled = fill_in_front_of(None, &mut anew, dialect, Some(old), layers);
        // What the user left out may have come back as it was, and then nothing is made anew.
        if is_made_anew(dialect, &frozen, old, stored, anew.object()) {
            *draft = anew;
            return filled;
        }
    }
    fill_in_front_of(Some(frozen), draft, dialect, Some(old), layers)
}

fn fill_in_front_of(
    frozen: Option<Frozen>,
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
    let spellings = &Spellings::of(dialect.spelled());
    let settings = Settings::of(dialect, spellings, sent);
    let mut imposed = BTreeMap::new();
    let may_change_spec = old.is_none_or(|old| old.get("spec") != sent.get("spec"));
    if may_change_spec {
        for layer in &layers.environments {
            settings.each(layer, &mut |path, value| {
                imposed.entry(path.clone()).or_insert(!is_blank(value));
            });
        }
    }
    let mut filler = Filler {
        exclusive: dialect.exclusive(),
        own: BTreeSet::new(),
        spellings,
        imposed,
        only_levers: layers.only_levers,
        frozen,
        stored: &stored,
        sent_record,
        record: Record::default(),
        filled: Vec::new(),
        derived_before: old.map(|old| dialect.derived(old)).unwrap_or_default(),
        kept_derived: BTreeSet::new(),
        followers: BTreeSet::new(),
        outdated: BTreeSet::new(),
        seen: BTreeSet::new(),
        sent,
        old,
        owned,
        draft,
    };
    filler.find_own();
    // What is built in may depend on what the object says, such as where a Deployment runs. It goes where its reason goes.
    let outdated = old.map_or_else(Outdated::default, |old| {
        Outdated::of(&dialect.built_in(old), &layers.built_in)
    });
    filler.keep_recorded(&settings, &outdated);
    let nothing = BTreeSet::new();
    filler.fill_in(&settings, layers, &layers.built_in, &nothing);
    filler.derive(dialect, &nothing);
    let changes_spec = old.is_none_or(|old| old.get("spec") != filler.draft.object().get("spec"));
    if changes_spec {
        let overridden = filler.override_with(&settings, layers);
        if !overridden.is_empty() {
            // What an Environment has just said may be a reason for other values, such as where a Deployment runs.
            let built_in = dialect.built_in(filler.draft.object());
            filler.fill_in(&settings, layers, &built_in, &overridden);
            // What follows from others follows from what stands in the end, or the rules would refuse what nobody wrote.
            filler.derive(dialect, &overridden);
        }
    }
    let is_said = |filled: &Filled| filled.source != BUILT_IN && filled.source != DERIVED;
    if !layers.only_levers && filler.filled.iter().any(is_said) {
        let built_in = dialect.built_in(filler.draft.object());
        filler.withdraw_outdated(&Outdated::of(&layers.built_in, &built_in));
        filler.withdraw_followers(dialect);
    }
    filler.write_record();
    filler.filled
}

/// What freezes the object, unless the user changes a frozen field himself and says that the object shall be made anew for it. A default
/// that he does not repeat is no change.
pub(super) fn frozen(
    dialect: &dyn Dialect,
    old: &Value,
    stored: &Record,
    sent: &Value,
) -> Option<Frozen> {
    let frozen = dialect.frozen(old)?;
    (!is_made_anew(dialect, &frozen, old, stored, sent)).then_some(frozen)
}

fn is_made_anew(
    dialect: &dyn Dialect,
    frozen: &Frozen,
    old: &Value,
    stored: &Record,
    sent: &Value,
) -> bool {
    let is_users = |change: &Change| change.new.is_some() || !stored.has(&change.path);
    frozen.is_overridden(sent)
        && spec_changes(dialect, old, sent)
            .iter()
            .any(|change| !frozen.lets(&change.path) && is_users(change))
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
    /// Those of them that the user says something in himself.
    own: BTreeSet<FieldPath>,
    spellings: &'s Spellings,
    /// What Environments are about to set, and whether they say anything there.
    imposed: BTreeMap<FieldPath, bool>,
    only_levers: bool,
    filled: Vec<Filled>,
    /// What followed from others in the stored object.
    derived_before: Vec<Derived>,
    /// What follows from others, but not as the object was sent: an Environment may yet make it follow again.
    kept_derived: BTreeSet<FieldPath>,
    /// What follows from others, or did so before, and nobody else has set.
    followers: BTreeSet<FieldPath>,
    /// What was built in, and is not for what the user says now: an Environment may yet say otherwise.
    outdated: BTreeSet<FieldPath>,
    /// In dotted spelling.
    seen: BTreeSet<FieldPath>,
}

impl Filler<'_, '_, '_> {
    /// The layers of defaults, an admin's before what is built in; what Environments have set stays.
    fn fill_in(
        &mut self,
        settings: &Settings<'_>,
        layers: &Layers,
        built_in: &Value,
        overridden: &BTreeSet<FieldPath>,
    ) {
        for layer in &layers.defaults {
            settings.each(layer, &mut |path, value| {
                let is_this = |(at, which): &(FieldPath, Value)| {
                    *self.spellings.dotted(at) == *path && which == value
                };
                if !overridden.contains(path) && !layers.unwelcome.iter().any(is_this) {
                    self.default(path, value, &layer.source);
                }
            });
        }
        each_leaf(FieldPath::default(), built_in, &mut |path, value| {
            if !overridden.contains(path) {
                self.default(path, value, BUILT_IN);
            }
        });
    }

    /// Takes a default out again, with the maps that it leaves empty.
    fn withdraw(&mut self, path: &FieldPath) {
        let mut at = path.clone();
        while self.draft.remove(&at).is_some() {
            at = at.parent();
            let is_empty = |map: &Value| map.as_object().is_some_and(serde_json::Map::is_empty);
            if at.steps().len() < 2 || !at.get(self.draft.object()).is_some_and(is_empty) {
                break;
            }
        }
        self.filled.retain(|filled| filled.path != *path);
    }

    /// Whether a value that was sent is one that was filled in before and that nobody has claimed.
    fn was_filled(&self, path: &FieldPath, value: &Value) -> bool {
        let stored_holds = self.stored.holds(path, value)
            && self.old.and_then(|old| given(old, path)) == Some(value);
        (stored_holds || self.sent_record.holds(path, value)) && !self.owned.has(path)
    }

    /// One leaf of one layer of defaults.
    fn default(&mut self, path: &FieldPath, value: &Value, source: &str) {
        let is_back = source == BUILT_IN && self.outdated.contains(path);
        if self.spellings.given(self.sent, path).is_some() && !is_back
            || self.seen.contains(path)
            || self.rules_out(path, source)
        {
            return;
        }
        // Defaults are applied once: at creation, or when something is left out that was there before. What is new in
        // them today reaches nobody who exists, or his next apply would restart him. Built-in values are no news.
        let stored = self.old.and_then(|old| self.spellings.given(old, path));
        let is_no_news = source == BUILT_IN && !self.only_levers;
        if self.old.is_some() && stored.is_none() && !is_no_news {
            return;
        }
        self.seen.insert(path.clone());
        if self.is_frozen(path) {
            // What runs keeps what it has; a default never alters a frozen field.
            if let Some(stored) = stored {
                for place in self.kept_places(path) {
                    self.put(&place, stored, KEPT);
                }
            }
            return;
        }
        for place in self.places(path) {
            if self.put(&place, value, source) {
                self.record.note(place, value);
            }
        }
    }

    /// Where a value for the field belongs: to each spelling of it that is there, else to its own path.
    fn places(&self, path: &FieldPath) -> Vec<FieldPath> {
        self.places_or(path, None)
    }

    /// Where the stored value of the field belongs: likewise, but else to where it is stored.
    fn kept_places(&self, path: &FieldPath) -> Vec<FieldPath> {
        self.places_or(path, self.old)
    }

    fn places_or(&self, path: &FieldPath, old: Option<&Value>) -> Vec<FieldPath> {
        if self.spellings.cover(path) {
            for object in std::iter::once(self.draft.object()).chain(old) {
                let places = self.spellings.places(object, path);
                if !places.is_empty() {
                    return places;
                }
            }
        }
        vec![path.clone()]
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

    /// Whether another field of an exclusive group, or another name of the option, is given, or about to be. A layer that says an option
    /// under several names means each of them, for the versions of Flink that know it.
    fn rules_out(&self, path: &FieldPath, source: &str) -> bool {
        self.excludes(path, |member| {
            given(self.draft.object(), member).is_some_and(|value| !is_blank(value))
                || self.is_imposed_within(member)
        }) || other_names(path).any(|name| {
            let given = self.spellings.leaf(self.draft.object(), &name);
            given.is_some_and(|value| !is_blank(value) && !self.has_just_said(source, &name))
                || self.is_imposed_within(&name)
        })
    }

    fn has_just_said(&self, source: &str, path: &FieldPath) -> bool {
        self.filled
            .iter()
            .any(|filled| filled.source == source && *self.spellings.dotted(&filled.path) == *path)
    }

    /// Whether another member of an exclusive group that the path belongs to is as asked.
    fn excludes(&self, path: &FieldPath, is_so: impl Fn(&FieldPath) -> bool) -> bool {
        self.exclusive.iter().any(|group| {
            group.iter().any(|member| path.is_within(member))
                && group
                    .iter()
                    .any(|member| !path.is_within(member) && is_so(member))
        })
    }

    fn is_imposed_within(&self, field: &FieldPath) -> bool {
        self.imposed
            .iter()
            .any(|(path, says)| *says && path.is_within(field))
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

/// An empty text, as good as nothing: it takes a Deployment off its session cluster, say, and rules no target out.
fn is_blank(value: &Value) -> bool {
    value.as_str() == Some("")
}
