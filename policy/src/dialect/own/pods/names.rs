//! Kubernetes' rules for names, label keys and label values.

use super::refuse;
use crate::dialect::own::at::At;
use crate::dialect::own::check::Judge;
use crate::dialect::own::name::is_dns_label;
use crate::finding::CauseReason;
use crate::json;
use serde_json::Value;
use sluice_api::names::labels::OWN_PREFIXES;

/// Judges a map of labels: keys and values.
pub(super) fn labels(labels: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    keys(labels, at, judge);
    for (key, value) in labels.as_object().into_iter().flatten() {
        if OWN_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
            judge.findings.warn(format!(
                "{}: has no effect, Sluice sets this label itself",
                at.key(key).path()
            ));
        }
        if let Some(text) = value.as_str()
            && !is_label_value(text)
        {
            let message = format!(
                "{} is no label value; write at most 63 letters, digits, '-', '_' or '.', beginning and ending with a \
                 letter or digit",
                json::shown(value)
            );
            refuse(&at.key(key), CauseReason::Invalid, message, judge);
        }
    }
}

/// Judges the keys of a map of labels or annotations.
pub(super) fn keys(map: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    for (key, _) in map.as_object().into_iter().flatten() {
        if !is_qualified_name(key) {
            refuse(
                &at.key(key),
                CauseReason::Invalid,
                "is no key that Kubernetes takes; write a name of at most 63 letters, digits, '-', '_' or '.', or a DNS \
                 name, '/' and such a name",
                judge,
            );
        }
    }
}

/// Judges the name of a container or volume. Returns it if it is fit.
pub(super) fn dns_label<'v>(
    owner: &'v Value,
    what: &str,
    at: &At<'_>,
    judge: &mut Judge<'_>,
) -> Option<&'v str> {
    let place = at.key("name");
    let Some(name) = owner.get("name").filter(|name| !name.is_null()) else {
        let message = format!("{what} needs a name");
        refuse(&place, CauseReason::Required, message, judge);
        return None;
    };
    let fit = name.as_str().filter(|name| is_dns_label(name));
    if fit.is_none() {
        let message = format!(
            "{} is no name for {what}; write at most 63 of a-z, 0-9 and '-', not first or last",
            json::shown(name)
        );
        refuse(&place, CauseReason::Invalid, message, judge);
    }
    fit
}

fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_plain_name(value)
}

fn is_plain_name(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.len() <= 63
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn is_qualified_name(key: &str) -> bool {
    match key.split_once('/') {
        None => is_plain_name(key),
        Some((prefix, name)) => {
            prefix.len() <= 253 && prefix.split('.').all(is_dns_label) && is_plain_name(name)
        }
    }
}
