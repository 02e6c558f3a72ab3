//! Names of own workloads: DNS-1035 labels with room for what is appended.

use super::rules::OwnRules;
use crate::finding::{CauseReason, Findings};
use crate::path::FieldPath;

/// The longest name that leaves room for what made objects append to it.
const LONGEST: usize = sluice_api::names::MAX_NAME_CHARS;

/// Judges the name. An empty one is judged by the API server, or made later from generateName.
pub(crate) fn judge(name: &str, rules: &'static OwnRules, findings: &mut Findings) {
    let Some(fault) = fault(name) else {
        return;
    };
    findings.refuse(
        rules.name,
        FieldPath::of("metadata.name"),
        CauseReason::Invalid,
        format!(
            "{fault}; write a-z, 0-9 and '-', a letter first, no '-' last, at most {LONGEST} characters"
        ),
    );
}

fn fault(name: &str) -> Option<String> {
    let length = name.chars().count();
    if length > LONGEST {
        return Some(format!(
            "is {length} characters long, but names of pods and services are made from it"
        ));
    }
    let first_is_bad = name.chars().next().is_some_and(|c| !c.is_ascii_lowercase());
    let odd = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'));
    match odd {
        Some(odd) => Some(format!("has {odd:?}, which names of services may not have")),
        None if first_is_bad => Some("does not start with a letter".to_owned()),
        None if name.ends_with('-') => Some("ends in '-'".to_owned()),
        None => None,
    }
}

/// RFC 1123 label, as namespaces, containers and volumes are named.
pub(crate) fn is_dns_label(name: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.len() <= 63
        && edge(name.chars().next())
        && edge(name.chars().next_back())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", None)]
    #[case("a", None)]
    #[case("a-1", None)]
    #[case(&"a".repeat(45), None)]
    #[case(&"a".repeat(46), Some("is 46 characters long, but names of pods and services are made from it"))]
    #[case("Ab", Some("has 'A', which names of services may not have"))]
    #[case("naïve", Some("has 'ï', which names of services may not have"))]
    #[case("a.b", Some("has '.', which names of services may not have"))]
    #[case("1a", Some("does not start with a letter"))]
    #[case("-a", Some("does not start with a letter"))]
    #[case("a-", Some("ends in '-'"))]
    fn names(#[case] name: &str, #[case] expected: Option<&str>) {
        assert_eq!(fault(name).as_deref(), expected);
    }
}
