//! Flink's configuration as a file of lines `key: value`, which is all that Flink before 2.0 reads, and what an entry says there beside
//! itself. The operator writes `key + ": " + value` for it as it stands (its `FlinkConfMountDecorator`; `GlobalConfiguration` of Flink 1.20).

use super::conf::{Conf, path};
use super::rules::LINES;
use super::version::FlinkVersion;
use super::{deployment, java};
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

/// What the file says otherwise than the configuration: in its own entries, then in fields of the spec that the operator writes beside them.
pub(crate) fn hidden(spec: &Value, conf: &Conf<'_>) -> Vec<(String, String)> {
    let mut hidden = Vec::new();
    if !are_read(spec) {
        return hidden;
    }
    for (key, text) in conf.all().filter(|(key, text)| !is_one_line(key, text)) {
        let written = format!("{key}: {text}");
        let differ = read(&written).filter(|pair| *pair != (key, text));
        hidden.extend(differ.map(owned));
    }
    for (_, text) in beside(spec) {
        hidden.extend(further(&text).map(owned));
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

/// Fields of a job that become an entry of their own and have more lines than one. Arguments become a list with semicolons; one with a
/// semicolon or a quote in it stands between quotes, which are doubled in it.
fn beside(spec: &Value) -> Vec<(FieldPath, Cow<'_, str>)> {
    let has_lines = |text: &str| text.contains(['\n', '\r']);
    let field = |name: &str| FieldPath::of("spec.job").key(name);
    let mut found = Vec::new();
    for name in ["entryClass", "initialSavepointPath"] {
        if let Some(text) = json::text(spec, &["job", name]).filter(|text| has_lines(text)) {
            found.push((field(name), Cow::Borrowed(text)));
        }
    }
    let arguments = json::get(spec, &["job", "args"]).and_then(Value::as_array);
    let arguments = || arguments.into_iter().flatten().filter_map(Value::as_str);
    if arguments().any(has_lines) {
        let quoted = |text: &str| {
            if text.contains([';', '"', '\'']) {
                format!("'{}'", text.replace('\'', "''"))
            } else {
                text.to_owned()
            }
        };
        let list: Vec<String> = arguments().map(quoted).collect();
        found.push((field("args"), Cow::Owned(list.join(";"))));
    }
    found
}

/// Refuses entries that the file does not hold as they are written, by which options pass every rule unseen, and lines of other fields that
/// contradict it: there is no order in the file, so nobody can tell which of the two counts. What is stored alike may stay.
/// `effective`: all that the cluster's configuration says.
pub(crate) fn judge(
    review: &Review<'_>,
    namespace: &str,
    operator: Option<&Value>,
    effective: &Conf<'_>,
    findings: &mut Findings,
) {
    for faults in [entries, contradictions] {
        let of = |object: &Value, effective: &Conf<'_>| {
            let spec = object.get("spec").filter(|spec| are_read(spec));
            spec.map_or_else(Vec::new, |spec| faults(spec, effective))
        };
        let faults = of(review.object, effective);
        if faults.is_empty() {
            continue;
        }
        let before = review.old().map_or_else(Vec::new, |old| {
            of(old, &deployment::effective(old, namespace, operator))
        });
        for fault in faults.into_iter().filter(|fault| !before.contains(fault)) {
            findings.refuse(&LINES, fault.field, CauseReason::Invalid, fault.message);
        }
    }
}

/// What is wrong with a field, and by which texts.
#[derive(PartialEq)]
struct Fault {
    field: FieldPath,
    message: String,
    texts: Vec<String>,
}

/// Entries of the spec's own configuration that are more, or other, than they seem.
fn entries(spec: &Value, effective: &Conf<'_>) -> Vec<Fault> {
    if effective.all().all(|(key, text)| is_one_line(key, text)) {
        return Vec::new();
    }
    let mut own = Conf::default();
    if let Some(configuration) = json::present(spec, &["flinkConfiguration"]) {
        own.add(configuration);
    }
    let suspects = own.all().filter(|(key, text)| !is_one_line(key, text));
    suspects
        .filter_map(|(key, text)| {
            let message = if !is_one_line(key, "") {
                "Flink before 2.0 reads another key here; write it without blanks around it, #, a colon before a blank, and line breaks"
                    .to_owned()
            } else {
                let (option, _) = further(text).next()?;
                format!(
                    "Flink before 2.0 reads a line of it as the option {}; write the value in one line, and that option under a key of its own",
                    json::quoted(option)
                )
            };
            Some(Fault {
                field: path(key),
                message,
                texts: vec![text.to_owned()],
            })
        })
        .collect()
}

/// Lines of other fields that say something else than the configuration, the spec, or one another.
fn contradictions(spec: &Value, effective: &Conf<'_>) -> Vec<Fault> {
    let fields = beside(spec);
    let said: Vec<(&FieldPath, &str, &str)> = fields
        .iter()
        .flat_map(|(field, text)| further(text).map(move |(key, text)| (field, key, text)))
        .collect();
    let cpu_of_spec = || {
        let role = spec.get("taskManager")?;
        json::present(role, &["resources"]).or_else(|| json::present(role, &["resource", "cpu"]))
    };
    said.iter()
        .filter_map(|(field, key, text)| {
            let other = said
                .iter()
                .find(|other| other.0 != *field && other.1 == *key && other.2 != *text)
                .map(|other| other.2.to_owned())
                .or_else(|| Some(effective.text(key).filter(|other| other != text)?.to_owned()))
                .or_else(|| Some(cpu_of_spec().filter(|_| OF_SPEC.contains(key))?.to_string()))?;
            Some(Fault {
                field: (*field).clone(),
                message: format!(
                    "Flink before 2.0 reads a line of it as the option {}, which is also set elsewhere; leave that line out, or have the \
                     job read such a text from a file",
                    json::quoted(key)
                ),
                texts: vec![(*text).to_owned(), other],
            })
        })
        .collect()
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
        assert_eq!(hidden(&spec, &Conf::default()), pairs);
        let newer = json!({"flinkVersion": "v2_0", "job": {"args": ["a\nb: 1"]}});
        assert_eq!(hidden(&newer, &Conf::default()), []);
    }
}
