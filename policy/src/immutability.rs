//! What changed between two objects, and the refusal of a change to a frozen one.
//!
//! Which objects are frozen and what may still change is the dialect's to say ([`Dialect::frozen`]).

pub mod parts;

use crate::dialect::{Dialect, Frozen, LeafKind};
use crate::draft::Draft;
use crate::finding::{CAUSES, Cause, CauseReason, Findings, LISTED, Refusal};
use crate::json;
use crate::path::{FieldPath, Step};
use crate::quantity::{MilliCpu, flink_memory};
use crate::review::Review;
use serde_json::{Map, Value};

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Which field.
    pub path: FieldPath,
    /// Its stored value, if it had one.
    pub old: Option<Value>,
    /// Its new value, if it has one.
    pub new: Option<Value>,
}

impl Change {
    /// `spec.flinkVersion "1.19" -> "1.20"`; what is missing is written `(none)`.
    pub fn describe(&self) -> String {
        let side = |value: &Option<Value>| {
            value
                .as_ref()
                .map_or_else(|| "(none)".to_owned(), json::shown)
        };
        format!("{} {} -> {}", self.path, side(&self.old), side(&self.new))
    }
}

/// Every field of `spec` whose meaning differs, in the order of the stored object, new fields last.
pub fn spec_changes(dialect: &dyn Dialect, old: &Value, new: &Value) -> Vec<Change> {
    if old.get("spec") == new.get("spec") {
        return Vec::new();
    }
    let (old, new) = (dialect.comparable(old), dialect.comparable(new));
    let mut changes = Vec::new();
    compare(
        dialect,
        (&FieldPath::of("spec"), LONGEST_PATH),
        old.get("spec"),
        new.get("spec"),
        &mut changes,
    );
    changes
}

/// How long the path of a change may become, in bytes of keys, each with what it takes to keep it. Every change has a path of its own,
/// and under a long one there may be thousands; beyond it a map changes as a whole. Fields with a meaning of their own have less than half.
const LONGEST_PATH: usize = 1024;

fn compare(
    dialect: &dyn Dialect,
    (path, room): (&FieldPath, usize),
    old: Option<&Value>,
    new: Option<&Value>,
    changes: &mut Vec<Change>,
) {
    let is_said = |value: &&Value| is_said(dialect, path, value);
    let (old, new) = (old.filter(is_said), new.filter(is_said));
    let below = |key: &str| {
        (
            path.key(key),
            room.saturating_sub(key.len() + size_of::<Step>()),
        )
    };
    match (old, new) {
        (None, None) => {}
        (Some(a), Some(b)) if a == b => {}
        (old, new) if room == 0 => changes.push(Change {
            path: path.clone(),
            old: old.cloned(),
            new: new.cloned(),
        }),
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for (key, value) in a {
                let new = b.get(key);
                // Most fields are the same; no path is made for those.
                if new != Some(value) {
                    let (path, room) = below(key);
                    compare(dialect, (&path, room), Some(value), new, changes);
                }
            }
            for (key, value) in b.iter().filter(|(key, _)| !a.contains_key(*key)) {
                let (path, room) = below(key);
                compare(dialect, (&path, room), None, Some(value), changes);
            }
        }
        (Some(Value::Object(map)), None) | (None, Some(Value::Object(map))) => {
            let before = changes.len();
            for (key, value) in map {
                let (path, room) = below(key);
                let sides = if old.is_some() {
                    (Some(value), None)
                } else {
                    (None, Some(value))
                };
                compare(dialect, (&path, room), sides.0, sides.1, changes);
            }
            // Of a map that says something by being there.
            if changes.len() == before && dialect.leaf_kind(path) == LeafKind::Verbatim {
                changes.push(Change {
                    path: path.clone(),
                    old: old.cloned(),
                    new: new.cloned(),
                });
            }
        }
        (Some(a), Some(b)) if same_meaning(dialect.leaf_kind(path), a, b) => {}
        (old, new) => changes.push(Change {
            path: path.clone(),
            old: old.cloned(),
            new: new.cloned(),
        }),
    }
}

/// Takes out of a map, which stands at `path`, what means the same as nothing.
pub fn strip_nothing(dialect: &dyn Dialect, path: &FieldPath, map: &mut Map<String, Value>) {
    map.retain(|key, value| {
        let path = path.key(key);
        if let Value::Object(map) = value {
            strip_nothing(dialect, &path, map);
        }
        is_said(dialect, &path, value)
    });
}

/// Whether a value, which stands at `path`, means more than none.
fn is_said(dialect: &dyn Dialect, path: &FieldPath, value: &Value) -> bool {
    match value {
        Value::Object(map) if map.is_empty() => dialect.leaf_kind(path) == LeafKind::Verbatim,
        value => !is_empty(value),
    }
}

/// `null`, `{}` and `[]` mean the same as no field at all, but for `{}` by [`LeafKind::Verbatim`].
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn same_meaning(kind: LeafKind, a: &Value, b: &Value) -> bool {
    let same = |read: &dyn Fn(&Value) -> Option<u64>| matches!((read(a), read(b)), (Some(a), Some(b)) if a == b);
    match kind {
        LeafKind::Exact | LeafKind::Verbatim => same_number(a, b),
        LeafKind::Text => {
            matches!((json::scalar_text(a), json::scalar_text(b)), (Some(a), Some(b)) if a == b)
        }
        LeafKind::Cpu => same(&|value| MilliCpu::parse(value).ok().map(|cpu| cpu.0)),
        LeafKind::Memory => same(&|value| {
            json::scalar_text(value)
                .and_then(|text| flink_memory(&text).ok())
                .map(|b| b.0)
        }),
    }
}

/// `1` and `1.0` are one number to JSON's users, not to its parser.
fn same_number(a: &Value, b: &Value) -> bool {
    matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if a.to_bits() == b.to_bits())
}

/// Judges a change of a frozen object: nothing if it is not frozen or only what may change does.
///
/// The spec that counts is the one after normalisation, so a stored object that was never normalised is brought into
/// form before it is held against the new one.
pub fn judge(review: &Review<'_>, findings: &mut Findings) -> Option<Refusal> {
    let old = review.old()?;
    let frozen = review.dialect.frozen(old)?;
    let offending = |changes: Vec<Change>| -> Vec<Change> {
        changes
            .into_iter()
            .filter(|change| !frozen.lets(&change.path))
            .collect()
    };
    if offending(spec_changes(review.dialect, old, review.object)).is_empty() {
        return None;
    }
    let mut draft = Draft::new(old);
    review
        .dialect
        .normalise(&mut draft, None, &mut Findings::default());
    let changes = offending(spec_changes(review.dialect, draft.object(), review.object));
    if changes.is_empty() {
        return None;
    }
    if let Some((_, warning)) = frozen.override_annotation
        && frozen.is_overridden(review.object)
    {
        findings.warn(format!("{} {}", review.subject(), warning));
        return None;
    }
    Some(refusal(review, &frozen, &changes))
}

fn refusal(review: &Review<'_>, frozen: &Frozen, changes: &[Change]) -> Refusal {
    let mut listed = changes
        .iter()
        .take(LISTED)
        .map(Change::describe)
        .collect::<Vec<_>>()
        .join("; ");
    if changes.len() > LISTED {
        listed.extend(["; and ", &(changes.len() - LISTED).to_string(), " more"]);
    }
    Refusal {
        rule: frozen.rule,
        code: frozen.rule.code,
        message: format!(
            "{} {} {listed}. {} [{}]",
            review.subject(),
            frozen.why,
            frozen.way_out,
            frozen.rule.id
        ),
        causes: changes
            .iter()
            .take(CAUSES)
            .map(|change| Cause {
                rule: frozen.rule,
                field: change.path.clone(),
                reason: CauseReason::Forbidden,
                message: format!(
                    "{}: frozen while it runs. {}",
                    change.describe(),
                    frozen.way_out
                ),
            })
            .collect(),
        retry_after: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect_for;
    use serde_json::json;

    #[test]
    fn a_long_key_is_not_repeated_for_every_change_below_it() {
        let dialect = dialect_for("flink.apache.org", "FlinkDeployment").unwrap();
        let many: serde_json::Map<_, _> = (0..1000).map(|n| (format!("k{n}"), json!(n))).collect();
        let made = |length: usize| {
            let new = json!({"spec": {"podTemplate": { "x".repeat(length): many }}});
            let changes = spec_changes(dialect, &json!({"spec": {}}), &new);
            changes
                .iter()
                .map(|change| change.path.to_string().len())
                .sum::<usize>()
        };
        assert!(made(100) > 1000 * 100, "each by itself");
        assert!(made(100_000) < 200_000, "{}", made(100_000));
    }
}
