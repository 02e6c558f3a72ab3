//! Flink's configuration as a file of lines `key: value`, which is all that Flink before 2.0 reads, and what an entry says there beside
//! itself. The operator writes `key + ": " + value` for it as it stands (its `FlinkConfMountDecorator`; `GlobalConfiguration` of Flink 1.20).

use super::conf::{Conf, path};
use super::deployment;
use super::java::{self, MOST_PARTS};
use super::rules::LINES;
use super::version::FlinkVersion;
use crate::defaults::Imposed;
use crate::finding::{CAUSES, CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeSet;

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
///
/// Settings that name no version come to specs of any: only their keys are judged, which nobody needs to write so.
pub(crate) fn judge(
    review: &Review<'_>,
    namespace: &str,
    operator: Option<&Value>,
    effective: &Conf<'_>,
    imposed: &Imposed<'_>,
    findings: &mut Findings,
) {
    let Some(spec) = review.object.get("spec").filter(|spec| are_read(spec)) else {
        return;
    };
    // What was stored for a version that reads YAML was no fault there.
    let old = review.old();
    let old = old.filter(|old| old.get("spec").is_some_and(are_read));
    let spec_of_old = old.and_then(|old| old.get("spec"));
    let is_plain = effective.all().all(|(key, text)| is_one_line(key, text));
    if !is_plain {
        keys(spec, spec_of_old, imposed, findings);
    }
    if json::present(spec, &["flinkVersion"]).is_none() {
        return;
    }
    if !is_plain {
        texts(spec, spec_of_old, imposed, findings);
    }
    for (name, text) in beside(spec) {
        let field = FieldPath::of("spec.job").key(name);
        let before = spec_of_old.and_then(|old| json::get(old, &["job", name]));
        let is_alike = before.is_some_and(|before| Some(before) == json::get(spec, &["job", name]));
        if !is_alike && further(&text).nth(MOST_PARTS).is_some() {
            let message = format!(
                "has more than {MOST_PARTS} lines key: value, which Flink before 2.0 reads as options; have the job read such a text from a \
                 file"
            );
            imposed.refuse(&LINES, field, &message, findings);
        } else if name == ARGUMENTS {
            let stored = || {
                let old = old.filter(|_| is_alike)?;
                let conf = deployment::effective(old, namespace, operator);
                Some((old.get("spec")?, conf))
            };
            let options = contradicted(spec, &text, effective, stored);
            contradictions(review, &options, is_alike, imposed, findings);
        } else if let Some((option, _)) = further(&text).next().filter(|_| !is_alike) {
            let message = format!("{}; write it in one line", is_read_as(option));
            imposed.refuse(&LINES, field, &message, findings);
        }
    }
}

fn is_read_as(option: &str) -> String {
    format!(
        "Flink before 2.0 reads a line of it as the option {}",
        json::quoted(option)
    )
}

/// The configuration that a spec has of its own.
fn own(spec: &Value) -> Conf<'_> {
    let mut own = Conf::default();
    if let Some(configuration) = json::present(spec, &["flinkConfiguration"]) {
        own.add(configuration);
    }
    own
}

/// Refuses entries under other keys than it seems.
fn keys(spec: &Value, old: Option<&Value>, imposed: &Imposed<'_>, findings: &mut Findings) {
    let stored = old.map(own).unwrap_or_default();
    let own = own(spec);
    let others = own.all().filter(|(key, text)| {
        let is_alike = stored.text(key) == Some(*text);
        !is_one_line(key, "") && !is_alike
    });
    for (key, _) in others {
        let message = "Flink before 2.0 reads another key here; write it without blanks around it, #, a colon before a blank, and line breaks";
        imposed.refuse(&LINES, path(key), message, findings);
    }
}

/// Refuses entries that are more than they seem.
fn texts(spec: &Value, old: Option<&Value>, imposed: &Imposed<'_>, findings: &mut Findings) {
    let stored = old.map(own).unwrap_or_default();
    let own = own(spec);
    let others = own.all().filter(|(key, text)| {
        let is_alike = stored.text(key) == Some(*text);
        is_one_line(key, "") && !is_alike
    });
    for (key, text) in others {
        if let Some((option, _)) = further(text).next() {
            let message = format!(
                "{}; write the value in one line, and that option under a key of its own",
                is_read_as(option)
            );
            imposed.refuse(&LINES, path(key), &message, findings);
        }
    }
}

/// What an option has elsewhere: in the configuration, or, as an empty text, in the spec.
fn elsewhere<'c>(spec: &Value, conf: &'c Conf<'_>, option: &str) -> Option<&'c str> {
    let of_spec = OF_SPEC.contains(&option) && cpu(spec).is_some();
    conf.text(option).or(of_spec.then_some(""))
}

/// The options in the lines of a job's arguments that the configuration, or the spec, says otherwise, and not already did where the
/// same arguments are `stored`.
fn contradicted<'t, 'o>(
    spec: &Value,
    arguments: &'t str,
    effective: &Conf<'_>,
    stored: impl FnOnce() -> Option<(&'o Value, Conf<'o>)>,
) -> BTreeSet<&'t str> {
    let contradicts = |(key, text): &(&str, &str)| {
        elsewhere(spec, effective, key).is_some_and(|other| other != *text)
    };
    let mut options: BTreeSet<_> = further(arguments)
        .filter(contradicts)
        .map(|(key, _)| key)
        .collect();
    if !options.is_empty()
        && let Some((old, before)) = stored()
    {
        options.retain(|key| elsewhere(old, &before, key) != elsewhere(spec, effective, key));
    }
    options
}

/// Refuses them, and what contradicts them as well: a default there can be left out. Whoever has stored the same arguments before an
/// Environment said otherwise has done nothing, and nothing that runs may be held for it.
fn contradictions(
    review: &Review<'_>,
    options: &BTreeSet<&str>,
    is_alike: bool,
    imposed: &Imposed<'_>,
    findings: &mut Findings,
) {
    let Some(spec) = review.object.get("spec").filter(|_| !options.is_empty()) else {
        return;
    };
    let own = own(spec);
    let mut refused = Vec::new();
    for option in options {
        let place = if own.has_key(option) {
            Some(path(option))
        } else {
            cpu(spec).filter(|_| OF_SPEC.contains(option))
        };
        let source = place.as_ref().and_then(|place| imposed.by(place));
        if is_alike && let (Some(source), Some(place)) = (source, &place) {
            findings.warn(format!(
                "{}: {source} sets {place}, and a line of spec.job.args says otherwise: nobody can tell which of the two counts [{}]",
                review.subject(),
                LINES.id
            ));
        } else {
            refused.push((option, place));
        }
        if refused.len() >= CAUSES {
            break;
        }
    }
    let Some((option, _)) = refused.first() else {
        return;
    };
    let field = FieldPath::of("spec.job").key(ARGUMENTS);
    let is_imposed = imposed.by(&field).is_some();
    let message = format!(
        "{}; it is also set elsewhere, so leave that line out, or have the job read such a text from a file",
        is_read_as(option)
    );
    imposed.refuse(&LINES, field, &message, findings);
    if !is_imposed {
        for place in refused.into_iter().filter_map(|(_, place)| place) {
            let message = "a line of spec.job.args says otherwise, and before Flink 2.0 nobody can tell which of the two counts";
            findings.refuse(&LINES, place, CauseReason::Invalid, message);
        }
    }
}

/// Where a spec says the CPU of its TaskManagers.
fn cpu(spec: &Value) -> Option<FieldPath> {
    const PLACES: [&[&str]; 4] = [
        &["taskManager", "resources", "requests", "cpu"],
        &["taskManager", "resources", "limits", "cpu"],
        &["taskManager", "resources"],
        &["taskManager", "resource", "cpu"],
    ];
    let said = PLACES
        .iter()
        .find(|keys| json::present(spec, keys).is_some())?;
    let start = FieldPath::of("spec");
    Some(said.iter().fold(start, |path, key| path.key(key)))
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
