//! Verdicts for people and for programs. The JSON is relied on from outside; its fields are fixed by the CLI's contract.

use crate::exit::Failure;
use crate::input::Document;
use crate::offline::Verdict;
use crate::offline::manifest::Manifest;
use crate::report::{Case, Finding, Level};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};

/// One array, an element per object, nothing else.
pub(super) fn json(verdicts: &[Verdict], out: &mut impl Write) -> Result<(), Failure> {
    let all: Vec<Value> = verdicts.iter().map(element).collect();
    serde_json::to_writer_pretty(&mut *out, &all).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// Verdicts as findings in their files, in the order of the documents.
pub(super) fn cases(
    verdicts: &[Verdict],
    manifests: &[Manifest],
    documents: &[Document],
) -> Vec<Case> {
    let mut cases = Vec::new();
    for ((verdict, manifest), document) in verdicts.iter().zip(manifests).zip(documents) {
        let refused = verdict.refused.iter().map(|refused| Finding {
            level: Level::Error,
            rule: Some(refused.rule),
            message: refused.message.clone(),
            at: manifest.at,
        });
        let warnings = verdict.warnings.iter().map(|warning| Finding {
            level: Level::Warning,
            rule: None,
            message: warning.clone(),
            at: manifest.at,
        });
        cases.push(Case {
            suite: document.file.to_string(),
            name: format!(
                "{} {}",
                verdict.verb.word().to_ascii_lowercase(),
                verdict.id
            ),
            file: document.file.to_string(),
            findings: refused.chain(warnings).collect(),
        });
    }
    cases
}

fn element(verdict: &Verdict) -> Value {
    let refused = verdict.refused.as_ref();
    let causes: Vec<Value> = refused
        .iter()
        .flat_map(|refused| &refused.causes)
        .map(|cause| {
            json!({
                "field": cause.field.to_string(),
                "reason": cause.reason.word(),
                "message": cause.full_message(),
            })
        })
        .collect();
    json!({
        "apiVersion": verdict.api_version,
        "kind": verdict.id.kind,
        "namespace": verdict.id.namespace,
        "name": verdict.id.name,
        "operation": verdict.verb.word(),
        "allowed": verdict.is_admitted(),
        "rule": refused.map(|refused| refused.rule),
        "code": refused.map(|refused| refused.code.number()),
        "message": refused.map(|refused| refused.message.as_str()),
        "causes": causes,
        "warnings": verdict.warnings,
        "chargeMilli": verdict.charge.0,
        "patch": verdict.patch,
        "object": verdict.object,
    })
}

/// A line per object, then what is to be said about it.
pub(super) fn table(verdicts: &[Verdict]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let paint = Paint::new(&out);
    let rows: Vec<[String; 4]> = verdicts.iter().map(row).collect();
    let headings = ["VERDICT", "OPERATION", "OBJECT", "CPU"];
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let longest = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max();
            longest.unwrap_or_default().max(heading.len())
        })
        .collect();
    line(&mut out, &headings.map(str::to_owned), &widths, "")?;
    for (verdict, row) in verdicts.iter().zip(&rows) {
        line(&mut out, row, &widths, paint.of(verdict))?;
        if let Some(refused) = &verdict.refused {
            writeln!(out, "    {}", refused.message)?;
        }
        for warning in &verdict.warnings {
            writeln!(out, "    {}warning:{} {warning}", paint.yellow, paint.end)?;
        }
    }
    let refused = verdicts
        .iter()
        .filter(|verdict| !verdict.is_admitted())
        .count();
    writeln!(out, "{refused} of {} refused", verdicts.len())?;
    Ok(())
}

fn row(verdict: &Verdict) -> [String; 4] {
    let word = match (&verdict.refused, verdict.known) {
        (Some(_), _) => "refused",
        (None, true) => "admitted",
        (None, false) => "not judged",
    };
    [
        word.to_owned(),
        verdict.verb.word().to_ascii_lowercase(),
        verdict.id.to_string(),
        verdict.charge.to_string(),
    ]
}

fn line(
    out: &mut impl Write,
    cells: &[String; 4],
    widths: &[usize],
    color: &str,
) -> std::io::Result<()> {
    let mut text = String::new();
    for (position, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let padding = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
        if position == 0 && !color.is_empty() {
            text.push_str(&format_args!("{color}{cell}\x1b[0m{padding}").to_string());
        } else {
            text.push_str(cell);
            text.push_str(&padding);
        }
    }
    writeln!(out, "{}", text.trim_end())
}

/// Colours, on a terminal and where nobody objects (`NO_COLOR`).
struct Paint {
    red: &'static str,
    green: &'static str,
    yellow: &'static str,
    end: &'static str,
}

impl Paint {
    fn new(out: &impl IsTerminal) -> Self {
        let wanted =
            out.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if wanted {
            Self {
                red: "\x1b[31m",
                green: "\x1b[32m",
                yellow: "\x1b[33m",
                end: "\x1b[0m",
            }
        } else {
            Self {
                red: "",
                green: "",
                yellow: "",
                end: "",
            }
        }
    }

    fn of(&self, verdict: &Verdict) -> &'static str {
        match (&verdict.refused, verdict.known) {
            (Some(_), _) => self.red,
            (None, true) => self.green,
            (None, false) => "",
        }
    }
}
