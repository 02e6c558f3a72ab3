//! Spellings into canonical form: words, aliases, scalars in maps of texts, versions. Idempotent; what cannot be
//! brought into form is left for `check` to refuse. Nested configuration is flattened in `configuration`.

use super::at::At;
use super::configuration;
use super::shape::{Field, Shape, canonical_word};
use super::tables::LOG_LEVELS;
use super::version;
use crate::draft::Draft;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::quantity::{MilliCpu, flink_memory};
use crate::rule::Rule;
use serde_json::{Map, Value};

/// One change to make.
pub(crate) enum Edit {
    /// Put a value.
    Set(FieldPath, Value),
    /// Take a field away.
    Remove(FieldPath),
}

/// What goes, goes first, so that the many keys of a map go at once. What is set was read before and is not taken from what goes.
fn apply(edits: Vec<Edit>, draft: &mut Draft<'_>) {
    let mut going = Vec::new();
    let mut set = Vec::new();
    for edit in edits {
        match edit {
            Edit::Set(path, value) => set.push((path, value)),
            Edit::Remove(path) => going.push(path),
        }
    }
    draft.remove_all(&going);
    for (path, value) in set {
        draft.set(&path, value);
    }
}

/// Edits and refusals of one walk.
pub(crate) struct Plan<'f> {
    /// What to change.
    pub edits: Vec<Edit>,
    /// Two spellings disagree.
    pub spellings: &'static Rule,
    /// Where refusals go.
    pub findings: &'f mut Findings,
}

impl Plan<'_> {
    /// Adds the refusal of two spellings of one field with different values.
    pub(crate) fn disagree(&mut self, path: FieldPath, value: &Value, other: &str, theirs: &Value) {
        self.findings.refuse(
            self.spellings,
            path,
            CauseReason::Invalid,
            format!(
                "is {}, but {other}, another spelling of it, is {}; keep one of them",
                json::shown(value),
                json::shown(theirs)
            ),
        );
    }
}

/// Brings the spec at `base` into canonical form. `old` is the whole stored object on an update.
pub(crate) fn spec(
    draft: &mut Draft<'_>,
    base: &FieldPath,
    shape: &'static [Field],
    old: Option<&Value>,
    spellings: &'static Rule,
    findings: &mut Findings,
) {
    let old = old.and_then(|old| base.get(old));
    // Aliases first: what they bring is then canonicalised under its own name.
    for pass in [aliases as Walk, values as Walk] {
        let mut plan = Plan {
            edits: Vec::new(),
            spellings,
            findings: &mut *findings,
        };
        if let Some(Value::Object(map)) = base.get(draft.object()) {
            pass(map, shape, &At::Root(base), old, &mut plan);
        }
        apply(plan.edits, draft);
    }
}

type Walk = fn(&Map<String, Value>, &'static [Field], &At<'_>, Option<&Value>, &mut Plan<'_>);

/// Moves what stands under another spelling to the canonical name, key by key (decision 3).
fn aliases(
    map: &Map<String, Value>,
    fields: &'static [Field],
    at: &At<'_>,
    old: Option<&Value>,
    plan: &mut Plan<'_>,
) {
    for field in fields {
        // Looked up only for the few that have another spelling or an inside.
        let stored = || old.and_then(|old| stored(old, field));
        if let Some(alias) = field.alias
            && let Some(given) = json::member(map, alias)
        {
            let name = Spelling {
                canonical: at.key(field.name),
                alias: at.key(alias),
                shape: &field.shape,
            };
            let canonical = json::member(map, field.name).filter(|value| !value.is_null());
            if merge(given, canonical, &name, stored(), plan) {
                plan.edits.push(Edit::Remove(name.alias.path()));
            }
        }
        if let Shape::Fields(inner_fields) = &field.shape
            && let Some(Value::Object(inner)) = json::member(map, field.name)
        {
            aliases(inner, inner_fields, &at.key(field.name), stored(), plan);
        }
    }
}

/// The stored value of a field, under either spelling.
fn stored<'v>(old: &'v Value, field: &Field) -> Option<&'v Value> {
    json::child(old, field.name)
        .filter(|value| !value.is_null())
        .or_else(|| json::child(old, field.alias?))
}

/// The two places of a field with an alias.
struct Spelling<'s> {
    canonical: At<'s>,
    alias: At<'s>,
    shape: &'static Shape,
}

/// Merges the value under the alias into the canonical place. Returns whether the alias may go.
fn merge(
    given: &Value,
    canonical: Option<&Value>,
    name: &Spelling<'_>,
    stored: Option<&Value>,
    plan: &mut Plan<'_>,
) -> bool {
    let Some(canonical) = canonical else {
        if !given.is_null() {
            plan.edits
                .push(Edit::Set(name.canonical.path(), given.clone()));
        }
        return true;
    };
    if let (Value::Object(given), Value::Object(there), Shape::Fields(fields)) =
        (given, canonical, name.shape)
    {
        let mut all = true;
        for (key, value) in given {
            let inner = Spelling {
                canonical: name.canonical.key(key),
                alias: name.alias.key(key),
                shape: fields
                    .iter()
                    .find(|field| field.name == key)
                    .map_or(&Shape::Open, |field| &field.shape),
            };
            let there = there.get(key).filter(|value| !value.is_null());
            let stored = stored.and_then(|stored| stored.get(key));
            all &= merge(value, there, &inner, stored, plan);
        }
        return all;
    }
    if given.is_null() || same(given, canonical, name.shape) {
        return true;
    }
    let is_stored = |value| stored.is_some_and(|stored| same(stored, value, name.shape));
    if is_stored(given) {
        true
    } else if is_stored(canonical) {
        plan.edits
            .push(Edit::Set(name.canonical.path(), given.clone()));
        true
    } else {
        plan.disagree(
            name.canonical.path(),
            canonical,
            &name.alias.path().to_string(),
            given,
        );
        false
    }
}

/// Whether two spellings of a value mean the same.
fn same(a: &Value, b: &Value, shape: &Shape) -> bool {
    if a == b {
        return true;
    }
    match shape {
        Shape::ProcessCpu | Shape::QuotaCpu => {
            matches!((MilliCpu::parse(a), MilliCpu::parse(b)), (Ok(a), Ok(b)) if a == b)
        }
        Shape::Memory => match (json::scalar_text(a), json::scalar_text(b)) {
            (Some(a), Some(b)) => {
                matches!((flink_memory(&a), flink_memory(&b)), (Ok(a), Ok(b)) if a == b)
            }
            _ => false,
        },
        _ => json::scalar_text(a).is_some_and(|a| json::scalar_text(b) == Some(a)),
    }
}

/// Canonicalises values, given that aliases are gone.
fn values(
    map: &Map<String, Value>,
    fields: &'static [Field],
    at: &At<'_>,
    old: Option<&Value>,
    plan: &mut Plan<'_>,
) {
    for field in fields {
        if let Some(value) = json::member(map, field.name) {
            let old = old.and_then(|old| stored(old, field));
            one(value, &field.shape, &at.key(field.name), old, plan);
        }
    }
}

fn one(
    value: &Value,
    shape: &'static Shape,
    at: &At<'_>,
    old: Option<&Value>,
    plan: &mut Plan<'_>,
) {
    match (shape, value) {
        (Shape::Fields(fields), Value::Object(map)) => values(map, fields, at, old, plan),
        (Shape::List(item), Value::Array(items)) => {
            for (index, entry) in items.iter().enumerate() {
                one(entry, item, &at.index(index), None, plan);
            }
        }
        (Shape::Texts, Value::Object(map)) => {
            for (key, entry) in map {
                text(entry, &at.key(key), plan);
            }
        }
        (Shape::Configuration, Value::Object(map)) => configuration::flatten(map, at, old, plan),
        (Shape::Levels, Value::Object(map)) => {
            for (logger, level) in map {
                log_level(level, &at.key(logger), plan);
            }
        }
        (Shape::Spelled, _) => text(value, at, plan),
        _ => {
            if let Some(canonical) = scalar(value, shape) {
                plan.edits.push(Edit::Set(at.path(), canonical));
            }
        }
    }
}

/// The canonical spelling of a scalar, if it has another one now.
fn scalar(value: &Value, shape: &Shape) -> Option<Value> {
    match (shape, value) {
        (Shape::Word(words), Value::String(word)) => canonical_word(words, word)
            .filter(|canonical| canonical != word)
            .map(Value::from),
        (Shape::FlinkVersion, Value::Number(number)) => {
            version::unambiguous(number).map(Value::from)
        }
        (Shape::Tag, Value::Number(number)) => {
            (!number.is_f64()).then(|| Value::from(number.to_string()))
        }
        (Shape::Whole { .. }, Value::String(digits)) => whole(digits),
        (Shape::Whole { .. }, Value::Number(number)) if number.is_f64() => {
            whole(number.to_string().strip_suffix(".0")?)
        }
        _ => None,
    }
}

/// A whole number written as text: `"2"`.
fn whole(digits: &str) -> Option<Value> {
    digits.trim().parse::<i64>().ok().map(Value::from)
}

/// A scalar in a map of texts becomes text; a key without a value goes.
pub(crate) fn text(value: &Value, at: &At<'_>, plan: &mut Plan<'_>) {
    match value {
        Value::Null => plan.edits.push(Edit::Remove(at.path())),
        Value::Number(_) | Value::Bool(_) => {
            if let Some(text) = json::scalar_text(value) {
                plan.edits.push(Edit::Set(at.path(), Value::from(text)));
            }
        }
        Value::String(_) | Value::Array(_) | Value::Object(_) => {}
    }
}

/// A log level: a word in any case, and OFF, which YAML reads as false.
fn log_level(value: &Value, at: &At<'_>, plan: &mut Plan<'_>) {
    match value {
        Value::String(word) => {
            if let Some(canonical) = canonical_word(LOG_LEVELS, word).filter(|level| level != word)
            {
                plan.edits.push(Edit::Set(at.path(), canonical.into()));
            }
        }
        Value::Bool(false) => plan.edits.push(Edit::Set(at.path(), "OFF".into())),
        _ => text(value, at, plan),
    }
}
