//! Findings for other programs: JUnit for CI servers, SARIF for code scanning, workflow commands for GitHub. What was found is the
//! subcommands' to say ([`crate::check`], [`crate::testing`]).

use crate::exit::Failure;
use crate::input::STANDARD_INPUT;
use crate::yaml::Position;
use clap::ValueEnum;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use std::io::Write;

/// How `check` and `test` print what they found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A line each, and what is wrong with it.
    #[default]
    Table,
    /// One array, an element each.
    Json,
    /// JUnit XML, a test case each.
    Junit,
    /// SARIF 2.1.0.
    Sarif,
    /// GitHub's workflow commands.
    Github,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Something is refused, or not as expected.
    Error,
    /// An admission warning.
    Warning,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

/// One thing to tell.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub level: Level,
    /// The rule's id, where one is behind it.
    pub rule: Option<&'static str>,
    pub message: String,
    /// Where in the case's file.
    pub at: Position,
}

/// What was looked at: a manifest, a test.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// What it is part of: a file, a suite.
    pub suite: String,
    pub name: String,
    pub file: String,
    pub findings: Vec<Finding>,
}

/// JUnit: a test suite for each suite, a failure where there is an error.
pub(crate) fn junit(cases: &[Case], out: &mut impl Write) -> Result<(), Failure> {
    let mut report = Report::new("sluice");
    for case in cases {
        let errors: Vec<&Finding> = errors(case).collect();
        let mut status = match errors.first() {
            None => TestCaseStatus::success(),
            Some(_) => TestCaseStatus::non_success(NonSuccessKind::Failure),
        };
        if let Some(first) = errors.first() {
            let all: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
            status.set_message(xml(&first.message));
            status.set_type(first.rule.unwrap_or("sluice"));
            status.set_description(xml(&all.join("\n")));
        }
        let name = xml(&case.suite);
        let mut test = TestCase::new(xml(&case.name), status);
        test.set_classname(name.clone());
        let mut suites = report.test_suites.iter_mut();
        if let Some(suite) = suites.find(|suite| suite.name.as_str() == name) {
            suite.add_test_case(test);
        } else {
            let mut suite = TestSuite::new(name);
            suite.add_test_case(test);
            report.add_test_suite(suite);
        }
    }
    let text = report
        .to_string()
        .map_err(|error| anyhow::Error::new(error).context("writing JUnit"))?;
    writeln!(out, "{}", text.trim_end())?;
    Ok(())
}

/// Two characters that no XML may hold, not even escaped. The writer itself sees to the others, which are control characters.
fn xml(text: &str) -> String {
    text.replace(['\u{FFFE}', '\u{FFFF}'], "\u{FFFD}")
}

fn errors(case: &Case) -> impl Iterator<Item = &Finding> {
    let all = case.findings.iter();
    all.filter(|finding| finding.level == Level::Error)
}

/// SARIF 2.1.0: one run, a result for each finding.
pub(crate) fn sarif(cases: &[Case], out: &mut impl Write) -> Result<(), Failure> {
    let mut used: Vec<&str> = Vec::new();
    let mut results = Vec::new();
    for case in cases {
        for finding in &case.findings {
            let rule = finding.rule.unwrap_or(match finding.level {
                Level::Error => "test/expectation",
                Level::Warning => "admission/warning",
            });
            if !used.contains(&rule) {
                used.push(rule);
            }
            results.push(json!({
                "ruleId": rule,
                "level": finding.level.word(),
                "message": {"text": format!("{}: {}", case.name, finding.message)},
                "locations": [{"physicalLocation": {
                    "artifactLocation": {"uri": uri(&case.file)},
                    "region": {"startLine": finding.at.line.max(1), "startColumn": finding.at.column.max(1)},
                }}],
            }));
        }
    }
    let known = crate::rules::rules();
    let rules: Vec<Value> = used
        .iter()
        .map(|id| match known.iter().find(|rule| rule.id == *id) {
            Some(rule) => json!({
                "id": id,
                "shortDescription": {"text": rule.summary},
                "fullDescription": {"text": rule.explain},
            }),
            None => json!({"id": id}),
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "sluice", "version": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "results": results,
        }],
    });
    serde_json::to_writer_pretty(&mut *out, &log).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// A path as a reference to a URI. Standard input gets a name: code scanning turns the whole log down if one result has no file.
fn uri(file: &str) -> String {
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~')
        .remove(b'/');
    if file == STANDARD_INPUT {
        return "stdin".to_owned();
    }
    utf8_percent_encode(file, ESCAPED).to_string()
}

/// Workflow commands, which GitHub shows beside the lines.
pub(crate) fn github(cases: &[Case], out: &mut impl Write) -> Result<(), Failure> {
    for case in cases {
        for finding in &case.findings {
            writeln!(
                out,
                "::{} file={},line={},col={},title={}::{}",
                finding.level.word(),
                property(&case.file),
                finding.at.line.max(1),
                finding.at.column.max(1),
                property(&case.name),
                data(&finding.message)
            )?;
        }
    }
    Ok(())
}

/// As GitHub's own toolkit escapes.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_uri_of_sarif_is_one() {
        for (file, expected) in [
            ("apps/a-b_c.~1.yaml", "apps/a-b_c.~1.yaml"),
            ("/x/my app#1?.yaml", "/x/my%20app%231%3F.yaml"),
            ("a:b/100%é.yaml", "a%3Ab/100%25%C3%A9.yaml"),
            ("standard input", "stdin"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }

    fn refused(suite: &str, name: &str, message: &str) -> Case {
        Case {
            suite: suite.into(),
            name: name.into(),
            file: "x.yaml".into(),
            findings: vec![Finding {
                level: Level::Error,
                rule: None,
                message: message.into(),
                at: Position { line: 3, column: 1 },
            }],
        }
    }

    #[test]
    fn junit_is_xml_whatever_it_quotes() {
        let case = refused("s\u{FFFF}", "a\u{FFFE}", "\u{FFFF}b\u{1}");
        let mut out = Vec::new();
        junit(&[case.clone(), case], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let is_xml = |c: char| c == '\n' || (c >= ' ' && !['\u{FFFE}', '\u{FFFF}'].contains(&c));
        assert!(text.chars().all(is_xml), "{text}");
        for part in [
            "<testsuite name=\"s\u{FFFD}\" tests=\"2\"",
            "<testcase name=\"a\u{FFFD}\" classname=\"s\u{FFFD}\"",
            "<failure message=\"\u{FFFD}b\"",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn what_ends_a_workflow_command_is_escaped() {
        let case = refused("s", "a: b, c", "100%\nof it");
        let mut out = Vec::new();
        github(&[case], &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "::error file=x.yaml,line=3,col=1,title=a%3A b%2C c::100%25%0Aof it\n"
        );
    }
}
