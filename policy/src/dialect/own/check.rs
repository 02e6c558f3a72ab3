//! Checks of single values against their [`Shape`]: types, words, bounds, unknown fields. What several fields must be
//! to each other is judged by the kinds. Works on whole specs and on parts of them (defaults), so nothing is required.

use super::at::At;
use super::rules::OwnRules;
use super::shape::{Field, Shape, canonical_word};
use super::tables::LOG_LEVELS;
use super::version::{self, VersionFault};
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::quantity::{Bytes, CpuError, MilliCpu, flink_memory};
use crate::rule::Rule;
use serde_json::{Map, Value};

/// The least CPU of a JobManager or TaskManager.
pub(crate) const LEAST_CPU: MilliCpu = MilliCpu(100);

/// What becomes of fields that the kind does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A warning: the API server drops them from workloads anyway.
    Warn,
    /// A refusal: in defaults a misspelt field would silently never apply.
    Refuse,
}

/// Who judges and where it is told.
pub(crate) struct Judge<'j> {
    /// The kind's rules.
    pub rules: &'static OwnRules,
    /// What becomes of unknown fields.
    pub unknown: Unknown,
    /// Where findings go.
    pub findings: &'j mut Findings,
}

impl Judge<'_> {
    /// Adds a refusal.
    pub(crate) fn refuse(
        &mut self,
        rule: &'static Rule,
        at: &At<'_>,
        reason: CauseReason,
        message: impl Into<String>,
    ) {
        self.findings.refuse(rule, at.path(), reason, message);
    }

    fn wrong_type(&mut self, at: &At<'_>, wanted: &str, value: &Value) {
        let message = format!("must be {wanted}, not {}", describe(value));
        self.refuse(self.rules.field, at, CauseReason::TypeInvalid, message);
    }
}

/// A value in a message: its type, and the value itself where that is short and helps.
fn describe(value: &Value) -> String {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => json::type_name(value).to_owned(),
        scalar => format!("{} ({})", json::type_name(scalar), json::shown(scalar)),
    }
}

/// Judges a value by itself. `null` is no value, as for Kubernetes.
pub(crate) fn value(value: &Value, shape: &Shape, at: &At<'_>, judge: &mut Judge<'_>) {
    if value.is_null() {
        return;
    }
    match shape {
        Shape::Text | Shape::Spelled => {
            if !value.is_string() {
                judge.wrong_type(at, "a text (put it in quotes)", value);
            }
        }
        Shape::Tag => {
            if !value.is_string() {
                let message = format!(
                    "must be a text, not {}; quote it, since YAML reads 1.20 as the number 1.2",
                    describe(value)
                );
                judge.refuse(judge.rules.field, at, CauseReason::TypeInvalid, message);
            }
        }
        Shape::Word(words) => word(value, words, at, judge),
        Shape::Flag => {
            if !value.is_boolean() {
                judge.wrong_type(at, "true or false", value);
            }
        }
        Shape::Whole { least, most } => whole(value, *least, *most, at, judge),
        Shape::ProcessCpu => cpu(value, LEAST_CPU, at, judge),
        Shape::QuotaCpu => cpu(value, MilliCpu::ZERO, at, judge),
        Shape::Memory => {
            if let Err(message) = memory(value) {
                judge.refuse(judge.rules.field, at, CauseReason::Invalid, message);
            }
        }
        Shape::FlinkVersion => flink_version(value, at, judge),
        Shape::Texts | Shape::Configuration => texts(value, shape, at, judge),
        Shape::Levels => levels(value, at, judge),
        Shape::List(item) => list(value, item, at, judge),
        Shape::Fields(fields) => self::fields(value, fields, at, judge),
        Shape::Open => {
            if !value.is_object() {
                judge.wrong_type(at, "a map", value);
            }
        }
        Shape::OpenList => list(value, &Shape::Open, at, judge),
        Shape::Anything => {}
    }
}

/// The spec of an object, if it is a map; refuses an object without.
pub(crate) fn spec<'v>(object: &'v Value, at: &At<'_>, judge: &mut Judge<'_>) -> Option<&'v Value> {
    let Some(spec) = json::present(object, &["spec"]) else {
        judge.refuse(
            judge.rules.field,
            at,
            CauseReason::Required,
            "is missing; see `kubectl explain` for what to write",
        );
        return None;
    };
    self::object(spec, at, judge)?;
    Some(spec)
}

/// Judges a map with known fields.
pub(crate) fn fields(value: &Value, fields: &'static [Field], at: &At<'_>, judge: &mut Judge<'_>) {
    let Some(map) = object(value, at, judge) else {
        return;
    };
    for (key, entry) in map {
        let known = fields
            .iter()
            .find(|field| field.name == key || field.alias == Some(key));
        match known {
            Some(field) => self::value(entry, &field.shape, &at.key(key), judge),
            None if entry.is_null() => {}
            None => {
                let names: Vec<_> = fields.iter().map(|field| field.name).collect();
                unknown_field(key, &names, at, judge);
            }
        }
    }
}

/// Tells of a field that a map does not have, and which it has.
pub(crate) fn unknown_field(key: &str, names: &[&str], at: &At<'_>, judge: &mut Judge<'_>) {
    let near = names.iter().find(|name| name.eq_ignore_ascii_case(key));
    let advice = match near {
        Some(name) => format!("write {name}"),
        None => format!("the fields here are {}", names.join(", ")),
    };
    match judge.unknown {
        Unknown::Warn => judge.findings.warn(format!(
            "{}: unknown field, it has no effect; {advice}",
            at.key(key).path()
        )),
        Unknown::Refuse => {
            let message = format!("unknown field; {advice}");
            judge.refuse(
                judge.rules.field,
                &at.key(key),
                CauseReason::NotSupported,
                message,
            );
        }
    }
}

fn object<'v>(
    value: &'v Value,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) -> Option<&'v Map<String, Value>> {
    let map = value.as_object();
    if map.is_none() {
        judge.wrong_type(at, "a map", value);
    }
    map
}

fn word(value: &Value, words: &'static [&'static str], at: &At<'_>, judge: &mut Judge<'_>) {
    let known = value
        .as_str()
        .is_some_and(|word| canonical_word(words, word).is_some());
    if !known {
        let message = format!("must be {}, not {}", either(words), json::shown(value));
        judge.refuse(judge.rules.field, at, CauseReason::NotSupported, message);
    }
}

/// `RUNNING, CANCELLED or SUSPENDED`.
pub(crate) fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn whole(value: &Value, least: i64, most: i64, at: &At<'_>, judge: &mut Judge<'_>) {
    let Some(number) = value.as_number() else {
        judge.wrong_type(at, "a whole number", value);
        return;
    };
    let within = number
        .as_i64()
        .is_some_and(|number| (least..=most).contains(&number));
    if !within {
        let message = format!("must be a whole number from {least} to {most}, not {number}");
        judge.refuse(judge.rules.field, at, CauseReason::Invalid, message);
    }
}

fn cpu(value: &Value, least: MilliCpu, at: &At<'_>, judge: &mut Judge<'_>) {
    match MilliCpu::parse(value) {
        Ok(cpu) if cpu < least => {
            let message = format!(
                "{} is too little; write at least {least} CPU",
                json::shown(value)
            );
            judge.refuse(judge.rules.cpu, at, CauseReason::Invalid, message);
        }
        Ok(_) => {}
        Err(error) => {
            let reason = match (error, value) {
                (CpuError::NotACpu, Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
                    CauseReason::TypeInvalid
                }
                _ => CauseReason::Invalid,
            };
            let message = format!("{} {error}", json::shown(value));
            judge.refuse(judge.rules.field, at, reason, message);
        }
    }
}

/// Reads a size, text or number of bytes; the error says what to write.
pub(crate) fn memory(value: &Value) -> Result<Bytes, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => {
            return Err(format!(
                "must be a size such as 1Gi or 1024m, not {}",
                json::type_name(other)
            ));
        }
    };
    match flink_memory(&text) {
        Ok(Bytes(0)) => Err(format!(
            "{} must be more than nothing; write a size such as 1Gi or 1024m",
            json::shown(value)
        )),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(format!("{} {error}", json::shown(value))),
    }
}

fn flink_version(value: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    match version::judge(value) {
        Ok(_) => {}
        Err(VersionFault::Unreadable(message) | VersionFault::Unsupported(message)) => {
            judge.refuse(judge.rules.version, at, CauseReason::Invalid, message);
        }
        Err(VersionFault::Unknown(message)) => {
            judge.findings.warn(format!("{}: {message}", at.path()));
        }
    }
}

fn texts(value: &Value, shape: &Shape, at: &At<'_>, judge: &mut Judge<'_>) {
    let Some(map) = object(value, at, judge) else {
        return;
    };
    for (key, entry) in map {
        let wanted = match (entry, shape) {
            (Value::String(_) | Value::Null, _) => continue,
            (Value::Array(_), Shape::Configuration) => {
                "a text; write the items in one text, separated by semicolons"
            }
            (Value::Object(_), Shape::Configuration) => {
                "a text; the maps are nested too deeply, write dotted keys"
            }
            _ => "a text (put it in quotes)",
        };
        judge.wrong_type(&at.key(key), wanted, entry);
    }
    if matches!(shape, Shape::Configuration) && map.contains_key("") {
        let message = "an option needs a key, such as taskmanager.numberOfTaskSlots";
        judge.refuse(
            judge.rules.field,
            &at.key(""),
            CauseReason::Invalid,
            message,
        );
    }
}

fn levels(value: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let Some(map) = object(value, at, judge) else {
        return;
    };
    for (logger, level) in map {
        if !level.is_null() {
            word(level, LOG_LEVELS, &at.key(logger), judge);
        }
    }
}

fn list(value: &Value, item: &'static Shape, at: &At<'_>, judge: &mut Judge<'_>) {
    let Some(items) = value.as_array() else {
        judge.wrong_type(at, "a list", value);
        return;
    };
    for (index, entry) in items.iter().enumerate() {
        if entry.is_null() {
            judge.wrong_type(&at.index(index), "an entry with a value", entry);
        }
        self::value(entry, item, &at.index(index), judge);
    }
}
