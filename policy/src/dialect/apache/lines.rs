//! Flink's configuration as a file of lines `key: value`, which is all that Flink before 2.0 reads, and what an entry says there beside
//! itself. The operator writes `key + ": " + value` for it as it stands (its `FlinkConfMountDecorator`; `GlobalConfiguration` of Flink 1.20).

use super::conf::{Conf, path};
use super::deployment;
use super::java::{self, MOST_PARTS};
use super::rules::LINES;
use super::version::FlinkVersion;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use serde_json::Value;
use std::borrow::Cow;

/// What the operator writes the CPU of a TaskManager under, from the spec.
const OF_SPEC: [&str; 2] = [
    "kubernetes.taskmanager.cpu.amount",
    "kubernetes.taskmanager.cpu",
];

/// The pairs in a text: what follows `#` is a comment, the first `: ` divides key and value, blanks around them do not count, and lines
/// that are none of this are passed over.
pub(crate) fn read(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(['\n', '\r']).filter_map(|line| {
        let line = java::trim(line.split('#').next()?);
        let (key, value) = line.split_once(": ")?;
        let (key, value) = (java::trim(key), java::trim(value));
        (!key.is_empty() && !value.is_empty()).then_some((key, value))
    })
}

/// Whether the cluster of this spec reads lines; what an admin fills into specs of any version may come to one that does.
fn are_read(spec: &Value) -> bool {
    json::text(spec, &["flinkVersion"])
        .and_then(FlinkVersion::parse)
        .is_none_or(|version| version < FlinkVersion::YAML)
}

/// What the file says otherwise than the configuration, of the options that `matter`: in its own entries, then in fields of the spec that
/// the operator writes beside them. The last text of an option is the one that a field says. No more of them than [`judge`] lets in.
pub(crate) fn hidden(
    spec: &Value,
    conf: &Conf<'_>,
    matters: impl Fn(&str) -> bool,
) -> Vec<(String, String)> {
    let mut hidden = Vec::new();
    if !are_read(spec) {
        return hidden;
    }
    for (key, text) in conf.all().filter(|(key, text)| !is_one_line(key, text)) {
        let written = format!("{key}: {text}");
        let differ = read(&written).filter(|pair| *pair != (key, text) && matters(pair.0));
        hidden.extend(differ.take(MOST_PARTS - hidden.len()).map(owned));
    }
    for (_, text) in beside(spec) {
        let said = further(&text).filter(|pair| matters(pair.0));
        hidden.extend(said.take(MOST_PARTS - hidden.len()).map(owned));
    }
    hidden
}

fn owned((key, text): (&str, &str)) -> (String, String) {
    (key.to_owned(), text.to_owned())
}

/// Whether Flink reads exactly this entry.
fn is_one_line(key: &str, text: &str) -> bool {
    let is_plain =
        |part: &str| !part.contains(['#', '\n', '\r']) && java::trim(part).len() == part.len();
    is_plain(key) && is_plain(text) && !key.contains(": ")
}

/// The pairs in the lines below the first one.
fn further(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let below = text.find(['\n', '\r']).and_then(|end| text.get(end..));
    read(below.unwrap_or_default())
}

/// Fields of a job that become an entry of their own and have more lines than one.
fn beside(spec: &Value) -> Vec<(&'static str, Cow<'_, str>)> {
    let mut found = Vec::new();
    for name in ["entryClass", "initialSavepointPath"] {
        if let Some(text) = json::text(spec, &["job", name]).filter(|text| has_lines(text)) {
            found.push((name, Cow::Borrowed(text)));
        }
    }
    found.extend(arguments(spec).map(|list| (ARGUMENTS, Cow::Owned(list))));
    found
}

const ARGUMENTS: &str = "args";

fn has_lines(text: &str) -> bool {
    text.contains(['\n', '\r'])
}

/// A job's arguments, if they have more lines than one, as the list with semicolons that is written: one with a semicolon or a quote
/// in it stands between quotes, which are doubled in it.
fn arguments(spec: &Value) -> Option<String> {
    let list = json::get(spec, &["job", ARGUMENTS])?.as_array()?;
    let arguments = || list.iter().filter_map(Value::as_str);
    if !arguments().any(has_lines) {
        return None;
    }
    let quoted = |text: &str| {
        if text.contains([';', '"', '\'']) {
            format!("'{}'", text.replace('\'', "''"))
        } else {
            text.to_owned()
        }
    };
    Some(arguments().map(quoted).collect::<Vec<_>>().join(";"))
}

/// Refuses entries that the file does not hold as they are written, by which options pass every rule unseen, and arguments of a job of which
/// a line contradicts one: there is no order in the file, so nobody can tell which of the two counts. What is stored alike may stay.
/// `effective`: all that the cluster's configuration says.
pub(crate) fn judge(
    review: &Review<'_>,
    namespace: &str,
    operator: Option<&Value>,
    effective: &Conf<'_>,
    findings: &mut Findings,
) {
    let Some(spec) = review.object.get("spec").filter(|spec| are_read(spec)) else {
        return;
    };
    // What was stored for a version that reads YAML was no fault there.
    let old = review.old().and_then(|old| old.get("spec"));
    let old = old.filter(|old| are_read(old));
    if !effective.all().all(|(key, text)| is_one_line(key, text)) {
        entries(&own(spec), &old.map(own).unwrap_or_default(), findings);
    }
    for (name, text) in beside(spec) {
        let before = old.and_then(|old| json::get(old, &["job", name]));
        let is_alike = before.is_some_and(|before| Some(before) == json::get(spec, &["job", name]));
        if !is_alike && further(&text).nth(MOST_PARTS).is_some() {
            findings.refuse(
                &LINES,
                FieldPath::of("spec.job").key(name),
                CauseReason::Invalid,
                format!(
                    "has more than {MOST_PARTS} lines key: value, which Flink before 2.0 reads as options; have the job read such a text \
                     from a file"
                ),
            );
            continue;
        }
        let option = if name == ARGUMENTS {
            let stored = || {
                let old = review.old().filter(|_| is_alike)?;
                Some((
                    old.get("spec")?,
                    deployment::effective(old, namespace, operator),
                ))
            };
            contradiction(spec, &text, effective, stored)
        } else {
            further(&text)
                .next()
                .filter(|_| !is_alike)
                .map(|(option, _)| option)
        };
        if let Some(option) = option {
            findings.refuse(
                &LINES,
                FieldPath::of("spec.job").key(name),
                CauseReason::Invalid,
                format!("Flink before 2.0 reads a line of it as the option {}; {}", json::quoted(option), if name == ARGUMENTS {
                    "it is also set elsewhere, so leave that line out, or have the job read such a text from a file"
                } else {
                    "write it in one line"
                }),
            );
        }
    }
}

/// The configuration that a spec has of its own.
fn own(spec: &Value) -> Conf<'_> {
    let mut own = Conf::default();
    if let Some(configuration) = json::present(spec, &["flinkConfiguration"]) {
        own.add(configuration);
    }
    own
}

/// Refuses entries that are more, or other, than they seem.
fn entries(own: &Conf<'_>, stored: &Conf<'_>, findings: &mut Findings) {
    for (key, text) in own.all() {
        if is_one_line(key, text) || stored.text(key) == Some(text) {
            continue;
        }
        let message = if !is_one_line(key, "") {
            "Flink before 2.0 reads another key here; write it without blanks around it, #, a colon before a blank, and line breaks".to_owned()
        } else if let Some((option, _)) = further(text).next() {
            format!(
                "Flink before 2.0 reads a line of it as the option {}; write the value in one line, and that option under a key of its own",
                json::quoted(option)
            )
        } else {
            continue;
        };
        findings.refuse(&LINES, path(key), CauseReason::Invalid, message);
    }
}

/// The first option in the lines of a job's arguments that the configuration, or the spec, says otherwise, and not already did where the
/// same arguments are `stored`.
fn contradiction<'t, 'o>(
    spec: &Value,
    arguments: &'t str,
    effective: &Conf<'_>,
    stored: impl FnOnce() -> Option<(&'o Value, Conf<'o>)>,
) -> Option<&'t str> {
    fn other<'c>(spec: &Value, conf: &'c Conf<'_>, key: &str) -> Option<&'c str> {
        let of_spec = OF_SPEC.contains(&key) && says_cpu(spec);
        conf.text(key).or(of_spec.then_some(""))
    }
    let contradicts = |(key, text): &(&str, &str)| {
        other(spec, effective, key).is_some_and(|other| other != *text)
    };
    let mut found = further(arguments)
        .filter(contradicts)
        .map(|(key, _)| key)
        .peekable();
    found.peek()?;
    let Some((old, before)) = stored() else {
        return found.next();
    };
    found.find(|key| other(old, &before, key) != other(spec, effective, key))
}

/// Whether a spec says the CPU of its TaskManagers.
fn says_cpu(spec: &Value) -> bool {
    let says = |keys: &[&str]| json::present(spec, keys).is_some();
    says(&["taskManager", "resources"]) || says(&["taskManager", "resource", "cpu"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As `GlobalConfiguration.loadLegacyYAMLResource` of Flink 1.20 does.
    #[test]
    fn lines_are_read_as_flink_reads_them() {
        let text = "# none\na: 1\nb : 2 # two\r\n\tc: d: e\rno colon\nf:g\nh: \n: i\nj: #k\n";
        let pairs: Vec<_> = read(text).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "2"), ("c", "d: e")]);
    }

    #[test]
    fn arguments_are_written_as_one_list() {
        let spec = json!({"flinkVersion": "v1_20", "job": {"args": ["a\nb: 1", "c'\nd: 2'\ne: 3\n", 4, "f"], "entryClass": "x"}});
        let pairs = [("b", "1;'c''"), ("d", "2''"), ("e", "3")].map(owned);
        assert_eq!(hidden(&spec, &Conf::default(), |_| true), pairs);
        let newer = json!({"flinkVersion": "v2_0", "job": {"args": ["a\nb: 1"]}});
        assert_eq!(hidden(&newer, &Conf::default(), |_| true), []);
    }
}
