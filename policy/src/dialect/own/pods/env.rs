//! Environment variables.

use super::{refuse, text};
use crate::dialect::own::at::At;
use crate::dialect::own::check::Judge;
use crate::finding::CauseReason;
use crate::json;
use serde_json::Value;
use std::collections::HashSet;

/// Where a value may come from, and what each needs.
const SOURCES: [(&str, &[&str]); 4] = [
    ("secretKeyRef", &["name", "key"]),
    ("configMapKeyRef", &["name", "key"]),
    ("fieldRef", &["fieldPath"]),
    ("resourceFieldRef", &["resource"]),
];

/// Judges a list of environment variables.
pub(super) fn judge(variables: &[Value], at: &At<'_>, judge: &mut Judge<'_>) {
    let mut names = HashSet::new();
    for (index, variable) in variables.iter().enumerate() {
        let at = at.index(index);
        let place = at.key("name");
        match text(variable, "name") {
            None if variable.get("name").is_none_or(Value::is_null) => refuse(
                &place,
                CauseReason::Required,
                "an environment variable needs a name",
                judge,
            ),
            Some(name) if !is_name(name) => {
                let message = format!(
                    "{} is no name of an environment variable; write letters, digits, '_', '-' or '.'",
                    json::shown(&Value::from(name))
                );
                refuse(&place, CauseReason::Invalid, message, judge);
            }
            Some(name) if !names.insert(name) => refuse(
                &place,
                CauseReason::Invalid,
                format!("{name} is set twice; keep one of them"),
                judge,
            ),
            // A name that is no text is told by the check of the field.
            Some(_) | None => {}
        }
        source(variable, &at, judge);
    }
}

/// Printable ASCII without '=', as Kubernetes has it since 1.32.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| (b' '..=b'~').contains(&b) && b != b'=')
}

fn source(variable: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let given = |key: &str| variable.get(key).filter(|value| !value.is_null());
    let Some(from) = given("valueFrom") else {
        return;
    };
    let place = at.key("valueFrom");
    if given("value").is_some_and(|value| value.as_str() != Some("")) {
        refuse(
            &place,
            CauseReason::Forbidden,
            "value is set too; keep one of them",
            judge,
        );
    }
    let Some(from) = from.as_object() else {
        return; // told by the check of the field
    };
    let sources: Vec<_> = from
        .iter()
        .filter(|(_, source)| !source.is_null())
        .collect();
    let [(key, source)] = sources.as_slice() else {
        refuse(
            &place,
            CauseReason::Invalid,
            "needs exactly one source, such as secretKeyRef",
            judge,
        );
        return;
    };
    let needs = SOURCES
        .iter()
        .find(|(name, _)| name == key)
        .map_or(&[] as &[&str], |(_, needs)| *needs);
    for need in needs {
        if text(source, need).is_none_or(str::is_empty) {
            refuse(
                &place.key(key).key(need),
                CauseReason::Required,
                format!("{key} needs it as a text"),
                judge,
            );
        }
    }
}
