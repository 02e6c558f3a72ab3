//! What came of a trial, for people and for programs.

use super::super::Format;
use super::super::print::{identity, name, structured};
use super::super::view::Quota;
use super::{Trial, Tried};
use crate::exit::Failure;
use crate::live::snapshot::Snapshot;
use crate::table;
use serde_json::{Value, json};
use sluice_policy::MilliCpu;
use std::io::Write;

/// A quota with all of them in it.
struct Then<'a> {
    quota: &'a Quota,
    hard: MilliCpu,
    used: MilliCpu,
    after: MilliCpu,
}

impl<'a> Then<'a> {
    /// `None` if it counts none of them.
    fn of(quota: &'a Quota, tried: &[Tried]) -> Option<Self> {
        let mut counted = tried
            .iter()
            .filter(|tried| tried.fits().is_some() && quota.scope.contains(tried.namespace()))
            .peekable();
        counted.peek()?;
        let account = quota.account.as_ref().ok()?;
        let used = account.book.usage();
        Some(Self {
            quota,
            hard: account.hard,
            used,
            after: counted.fold(used, |sum, tried| sum.plus(tried.rise())),
        })
    }

    fn missing(&self) -> MilliCpu {
        self.after.minus(self.hard)
    }
}

/// All of it in one of the formats.
pub(super) fn trial(trial: &Trial, snapshot: &Snapshot, format: Format) -> Result<String, Failure> {
    let then: Vec<Then<'_>> = trial
        .quotas
        .iter()
        .filter_map(|quota| Then::of(quota, &trial.tried))
        .collect();
    if matches!(format, Format::Json | Format::Yaml) {
        return Ok(structured(&document(&trial.tried, &then, snapshot), format));
    }
    let mut text = Vec::new();
    verdicts(&mut text, &trial.tried)?;
    writeln!(text)?;
    quotas(&mut text, &trial.tried, &then, &snapshot.unseen_quotas())?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn verdicts(text: &mut Vec<u8>, tried: &[Tried]) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = tried
        .iter()
        .map(|tried| {
            let (word, before, then) = match tried.fits() {
                Some(true) => (
                    "fits",
                    tried.before.to_string(),
                    tried.verdict.charge.to_string(),
                ),
                Some(false) => (
                    "refused",
                    tried.before.to_string(),
                    tried.verdict.charge.to_string(),
                ),
                None => ("not judged", "-".to_owned(), "-".to_owned()),
            };
            vec![word.to_owned(), tried.verdict.id.to_string(), before, then]
        })
        .collect();
    table::write(text, &["VERDICT", "OBJECT", "CPU NOW", "CPU THEN"], &rows)?;
    for Tried { verdict, .. } in tried {
        if let Some(refused) = &verdict.refused {
            writeln!(text, "{}: {}", verdict.id, refused.message)?;
        }
        for warning in &verdict.warnings {
            writeln!(text, "{}: warning: {warning}", verdict.id)?;
        }
    }
    Ok(())
}

fn quotas(
    text: &mut Vec<u8>,
    tried: &[Tried],
    then: &[Then<'_>],
    unseen: &[&str],
) -> std::io::Result<()> {
    let rows: Vec<Vec<String>> = then
        .iter()
        .map(|then| {
            vec![
                name(&then.quota.key),
                then.hard.to_string(),
                then.used.to_string(),
                then.after.to_string(),
                then.missing().to_string(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        let headings = ["QUOTA", "LIMIT", "IN USE", "WITH ALL OF THESE", "MISSING"];
        return table::write(text, &headings, &rows);
    }
    if tried.iter().all(|tried| tried.fits().is_none()) {
        writeln!(text, "Nothing was judged: whether it fits is not known.")
    } else if unseen.is_empty() {
        writeln!(text, "No quota counts any of these.")
    } else {
        writeln!(
            text,
            "No quota that you may see counts any of these. Others may: you may not list {}",
            unseen.join(", ")
        )
    }
}

fn document(tried: &[Tried], then: &[Then<'_>], snapshot: &Snapshot) -> Value {
    let objects: Vec<Value> = tried
        .iter()
        .map(|tried| {
            let verdict = &tried.verdict;
            let refused = verdict.refused.as_ref();
            json!({
                "kind": verdict.id.kind, "namespace": verdict.id.namespace, "name": verdict.id.name,
                "operation": verdict.verb.word(), "fits": tried.fits(),
                "chargeBeforeMilli": tried.before.0, "chargeMilli": verdict.charge.0,
                "rule": refused.map(|refused| refused.rule),
                "message": refused.map(|refused| refused.message.as_str()),
                "warnings": verdict.warnings,
            })
        })
        .collect();
    let quotas: Vec<Value> = then
        .iter()
        .map(|then| {
            let mut element = identity(&then.quota.key);
            if let Some(map) = element.as_object_mut() {
                map.insert("hardMilli".to_owned(), json!(then.hard.0));
                map.insert("usedMilli".to_owned(), json!(then.used.0));
                map.insert("thenMilli".to_owned(), json!(then.after.0));
                map.insert("missingMilli".to_owned(), json!(then.missing().0));
            }
            element
        })
        .collect();
    let unseen: Vec<&str> = snapshot
        .unseen
        .iter()
        .map(|unseen| unseen.resource.as_str())
        .collect();
    json!({"objects": objects, "quotas": quotas, "unseen": unseen})
}
