//! `sluice quota simulate`: manifests in front of the live cluster's quotas, by the pipeline of the webhook; nothing is sent.

use super::Format;
use super::print::{identity, name, out, structured};
use super::view::{self, Quota};
use crate::exit::{self, Failure, Outcome};
use crate::input::{self, Document, Folders};
use crate::live::snapshot::Snapshot;
use crate::offline::Verdict;
use crate::table;
use serde_json::{Value, json};
use sluice_policy::{MilliCpu, admit};
use std::io::Write;
use std::path::PathBuf;

/// One manifest and what became of it.
struct Tried {
    verdict: Verdict,
    before: MilliCpu,
}

impl Tried {
    fn rise(&self) -> MilliCpu {
        self.verdict.charge.minus(self.before)
    }

    fn namespace(&self) -> &str {
        self.verdict.id.namespace.as_deref().unwrap_or_default()
    }
}

/// A quota with all of them in it.
struct Then<'a> {
    quota: &'a Quota,
    hard: MilliCpu,
    used: MilliCpu,
    after: MilliCpu,
}

impl Then<'_> {
    fn missing(&self) -> MilliCpu {
        self.after.minus(self.hard)
    }
}

/// Judges the manifests one after the other, then says what all of them together would need.
pub(super) fn run(
    snapshot: &Snapshot,
    files: &[PathBuf],
    recursive: bool,
    namespace: &str,
    format: Format,
) -> Result<Outcome, Failure> {
    let folders = Folders::with_flag(recursive);
    let documents = input::read(files, folders)?;
    let mut gate = view::gate(snapshot, namespace)?;
    let manifests = documents
        .iter()
        .map(|document| gate.manifest(document))
        .collect::<Result<Vec<_>, _>>()?;
    let mut stored: Vec<Document> = Vec::new();
    for document in snapshot.documents() {
        let id = gate.manifest(&document)?.id;
        if manifests.iter().any(|manifest| manifest.id == id) {
            stored.push(document);
        }
    }
    gate.stored(&stored)?;
    let mut tried = Vec::new();
    for manifest in &manifests {
        let before = match (gate.world().get(&manifest.id), manifest.dialect) {
            (Some(object), Some(dialect)) => admit::charge(dialect, object, gate.world()),
            _ => MilliCpu::ZERO,
        };
        let verdict = gate.judge(manifest);
        tried.push(Tried { verdict, before });
    }
    let quotas = view::of(snapshot, None)?;
    let then: Vec<Then<'_>> = quotas
        .iter()
        .filter_map(|quota| then(quota, &tried))
        .collect();
    let text = if matches!(format, Format::Json | Format::Yaml) {
        structured(&document(&tried, &then), format)
    } else {
        tables(&tried, &then)?
    };
    let fits = tried.iter().all(|tried| tried.verdict.is_admitted());
    let found = if fits {
        Outcome::Fine
    } else {
        Outcome::Negative
    };
    exit::told(found, out(&text))
}

/// A quota that counts one of them.
fn then<'a>(quota: &'a Quota, tried: &[Tried]) -> Option<Then<'a>> {
    let mut counted = tried
        .iter()
        .filter(|tried| quota.scope.contains(tried.namespace()))
        .peekable();
    counted.peek()?;
    let account = quota.account.as_ref().ok()?;
    let used = account.book.usage();
    Some(Then {
        quota,
        hard: account.hard,
        used,
        after: counted.fold(used, |sum, tried| sum.plus(tried.rise())),
    })
}

fn tables(tried: &[Tried], then: &[Then<'_>]) -> Result<String, Failure> {
    let mut text = Vec::new();
    let rows: Vec<Vec<String>> = tried
        .iter()
        .map(|tried| {
            let verdict = &tried.verdict;
            let word = if verdict.is_admitted() {
                "fits"
            } else {
                "refused"
            };
            vec![
                word.to_owned(),
                verdict.id.to_string(),
                tried.before.to_string(),
                verdict.charge.to_string(),
            ]
        })
        .collect();
    table::write(
        &mut text,
        &["VERDICT", "OBJECT", "CPU NOW", "CPU THEN"],
        &rows,
    )?;
    for tried in tried {
        if let Some(refused) = &tried.verdict.refused {
            writeln!(text, "{}: {}", tried.verdict.id, refused.message)?;
        }
        for warning in &tried.verdict.warnings {
            writeln!(text, "{}: warning: {warning}", tried.verdict.id)?;
        }
    }
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
    writeln!(text)?;
    if rows.is_empty() {
        writeln!(text, "No quota counts any of these.")?;
    } else {
        table::write(
            &mut text,
            &["QUOTA", "LIMIT", "IN USE", "WITH ALL OF THESE", "MISSING"],
            &rows,
        )?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn document(tried: &[Tried], then: &[Then<'_>]) -> Value {
    let objects: Vec<Value> = tried
        .iter()
        .map(|tried| {
            let verdict = &tried.verdict;
            let refused = verdict.refused.as_ref();
            json!({
                "kind": verdict.id.kind, "namespace": verdict.id.namespace, "name": verdict.id.name,
                "operation": verdict.verb.word(), "fits": verdict.is_admitted(),
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
    json!({"objects": objects, "quotas": quotas})
}
