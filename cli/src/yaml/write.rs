//! From trees to YAML that every reader reads alike: block style, and quotes around whatever any version of YAML could
//! take for something else than text.

use super::{Content, Entry, Node};
use std::fmt::Write;

/// One document, ending in a line break, without `---`.
pub fn write(node: &Node) -> String {
    let mut out = String::new();
    match &node.content {
        Content::Map(entries) if !entries.is_empty() => map(&mut out, entries, 0),
        Content::List(items) if !items.is_empty() => list(&mut out, items, 0),
        _ => {
            scalar(&mut out, node, 0);
            out.push('\n');
        }
    }
    out
}

/// Several documents with `---` between them.
pub fn write_all<'n>(nodes: impl IntoIterator<Item = &'n Node>) -> String {
    nodes
        .into_iter()
        .map(write)
        .collect::<Vec<_>>()
        .join("---\n")
}

/// In characters, with quotes and escapes: readers refuse a longer key before a `:` unless a `?` announces it (YAML 1.2,
/// 7.4.2).
const LONGEST_SIMPLE_KEY: usize = 1024;

fn map(out: &mut String, entries: &[Entry], indent: usize) {
    for (position, entry) in entries.iter().enumerate() {
        // The first key of a map in a list stands behind the dash.
        if position > 0 || out.is_empty() || out.ends_with('\n') {
            pad(out, indent);
        }
        let key = text(&entry.key);
        let long = key.chars().count() > LONGEST_SIMPLE_KEY;
        if long {
            out.push_str("? ");
            out.push_str(&key);
            out.push('\n');
            pad(out, indent);
        } else {
            out.push_str(&key);
        }
        out.push(':');
        match &entry.value.content {
            Content::Map(below) if !below.is_empty() => {
                out.push('\n');
                map(out, below, indent + 2);
            }
            Content::List(below) if !below.is_empty() => {
                out.push('\n');
                list(out, below, indent + if long { 2 } else { 0 });
            }
            _ => {
                out.push(' ');
                scalar(out, &entry.value, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn list(out: &mut String, items: &[Node], indent: usize) {
    for (position, item) in items.iter().enumerate() {
        if position > 0 || out.is_empty() || out.ends_with('\n') {
            pad(out, indent);
        }
        out.push_str("- ");
        match &item.content {
            Content::Map(below) if !below.is_empty() => map(out, below, indent + 2),
            Content::List(below) if !below.is_empty() => list(out, below, indent + 2),
            _ => {
                scalar(out, item, indent + 2);
                out.push('\n');
            }
        }
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

fn scalar(out: &mut String, node: &Node, indent: usize) {
    match &node.content {
        Content::List(_) => out.push_str("[]"),
        Content::Map(_) => out.push_str("{}"),
        Content::Word { spelling, .. } if spelling.is_empty() => out.push_str("null"),
        Content::Word { spelling, .. } => out.push_str(spelling),
        Content::Text(value) if is_block(value) => block(out, value, indent),
        Content::Text(value) => out.push_str(&text(value)),
    }
}

/// A text on one line, quoted unless it is plainly a text.
fn text(value: &str) -> String {
    if is_plain(value) {
        value.to_owned()
    } else {
        quoted(value)
    }
}

fn is_plain(value: &str) -> bool {
    let good_start = value.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_'));
    let good = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(
                c,
                '_' | '-'
                    | '.'
                    | '/'
                    | ':'
                    | '+'
                    | '='
                    | ' '
                    | ','
                    | '$'
                    | '('
                    | ')'
                    | '@'
                    | ';'
                    | '%'
            )
    };
    good_start
        && value.len() <= 400
        && value.chars().all(good)
        && !value.contains(": ")
        && !value.ends_with([':', ' '])
        // `y`, `off`, `null` and so on, in any case and any version of YAML.
        && !(value.len() <= 5 && RESERVED.iter().any(|word| value.eq_ignore_ascii_case(word)))
}

const RESERVED: [&str; 12] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "inf", "nan",
];

fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Control characters, separators, marks, surrogate look-alikes: readers differ about them.
            c if (c as u32) > 0xffff && !c.is_alphanumeric() && c.is_control() => {
                let _ = write!(out, "\\U{:08x}", c as u32);
            }
            c if c.is_control()
                || matches!(
                    c,
                    '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                ) =>
            {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Whether a text of several lines can stand as it is, which people can read better.
fn is_block(value: &str) -> bool {
    value.trim_end_matches('\n').contains('\n')
        && !value.ends_with("\n\n")
        && !value.starts_with([' ', '\n', '\t'])
        && value.chars().all(|c| {
            c == '\n'
                || (!c.is_control()
                    && !matches!(
                        c,
                        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
                    ))
        })
        && value.split('\n').all(|line| !line.ends_with(' '))
}

fn block(out: &mut String, value: &str, indent: usize) {
    out.push_str(if value.ends_with('\n') { "|" } else { "|-" });
    for line in value.strip_suffix('\n').unwrap_or(value).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            pad(out, indent);
            out.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::read::read;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn reads_well() {
        let node = Node::from(&json!({
            "apiVersion": "sluice.dev/v1alpha1",
            "metadata": {"name": "a", "labels": {}},
            "spec": {
                "flinkVersion": "1.10", "cpu": 0.5, "on": "yes", "empty": null, "none": [],
                "jars": ["s3://bucket/flink-job.jar", {"a": 1, "b": [[1], {"c": "2001-01-01"}]}],
                "log4jLoggers": {"": "INFO"},
                "lines": "one: 1\n\n  two # no comment\n",
            }
        }));
        insta::assert_snapshot!(write(&node), @r#"
        apiVersion: sluice.dev/v1alpha1
        metadata:
          name: a
          labels: {}
        spec:
          flinkVersion: "1.10"
          cpu: 0.5
          "on": "yes"
          empty: null
          none: []
          jars:
          - s3://bucket/flink-job.jar
          - a: 1
            b:
            - - 1
            - c: "2001-01-01"
          log4jLoggers:
            "": INFO
          lines: |
            one: 1

              two # no comment
        "#);
    }

    #[test]
    fn keys_longer_than_a_simple_one_are_announced() {
        let key = "k".repeat(LONGEST_SIMPLE_KEY - 2);
        let longer = format!("{key}\n");
        let value = json!([{
            &key: 1,
            &longer: {"a": 1, &longer: [[1], {&longer: "one\ntwo\n"}]},
            "next": [],
        }]);
        let written = write(&Node::from(&value));
        assert_eq!(written.matches("? ").count(), 3, "{written}");
        let read = read(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(read.first().map(Node::to_json), Some(value));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            "\\PC*".prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ \n\t:#'\"a|>%@`&*!?{}\\[\\],-]{0,12}".prop_map(Value::from),
            "(y|no|On|~|null|1e3|0x1|[0-9.:eE_+-]{1,6}|<<|---|[.]{3})".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(
                    "(\\PC{0,6}|<<|y|1.0|[ :#\n-]{1,4}|[a\"\u{2028}]{1020,1030})",
                    inner,
                    0..5
                )
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_json()) {
            let written = write(&Node::from(&value));
            let read = read(&written).map_err(|error| TestCaseError::fail(format!("{error}\n{written}")))?;
            let back = read.first().map_or(Value::Null, Node::to_json);
            prop_assert_eq!(back, value, "{}", written);
        }
    }
}
