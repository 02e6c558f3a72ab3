//! `sluice quota simulate`: manifests in front of the live cluster's quotas, by the pipeline of the webhook; nothing is sent.
//!
//! Judging is here, what could not be seen is added in [`rest`], and [`print`](mod@print) shows what came of it.

mod print;
mod rest;

use super::Format;
use super::print::out;
use super::view::{self, Quota};
use crate::exit::{self, Failure, Outcome};
use crate::input::Document;
use crate::live::snapshot::Snapshot;
use crate::offline::manifest::{Manifest, ObjectId};
use crate::offline::{Gate, Verdict};
use crate::yaml::Node;
use rest::Rest;
use serde_json::Value;
use sluice_policy::{Dialect, MilliCpu, admit};
use std::collections::BTreeSet;

/// One manifest and what became of it.
struct Tried {
    verdict: Verdict,
    before: MilliCpu,
}

impl Tried {
    /// `None`: nobody has judged it.
    fn fits(&self) -> Option<bool> {
        self.verdict.known.then(|| self.verdict.is_admitted())
    }

    fn rise(&self) -> MilliCpu {
        self.verdict.charge.minus(self.before)
    }

    fn namespace(&self) -> &str {
        self.verdict.id.namespace.as_deref().unwrap_or_default()
    }
}

/// All of them, and the quotas as they were before.
struct Trial {
    tried: Vec<Tried>,
    quotas: Vec<Quota>,
}

/// Reads manifests.
///
/// # Errors
/// [`Failure::Input`] names file, place and field of what is no object.
pub(super) fn manifests(documents: &[Document], namespace: &str) -> Result<Vec<Manifest>, Failure> {
    documents
        .iter()
        .map(|document| Manifest::of(document, namespace).map_err(Failure::Input))
        .collect()
}

/// Every namespace that something of them lies in, and the one that was asked for.
pub(super) fn namespaces(manifests: &[Manifest], namespace: &str) -> BTreeSet<String> {
    let theirs = manifests
        .iter()
        .filter(|manifest| manifest.dialect.is_some())
        .filter_map(|manifest| manifest.id.namespace.clone());
    theirs.chain([namespace.to_owned()]).collect()
}

/// Judges the manifests one after the other, then says what all of them together would need.
pub(super) fn run(
    snapshot: &Snapshot,
    manifests: &[Manifest],
    namespace: &str,
    format: Format,
) -> Result<Outcome, Failure> {
    for told in manifests.iter().filter_map(not_judged) {
        crate::note(format_args!("{told}"));
    }
    let trial = Trial::of(snapshot, manifests, namespace)?;
    let text = print::trial(&trial, snapshot, format)?;
    let found = if trial.tried.iter().any(|tried| tried.fits() == Some(false)) {
        Outcome::Negative
    } else {
        Outcome::Fine
    };
    exit::told(found, out(&text))
}

/// What is said of a kind that no webhook hears of. Misspelt kinds and those of Ververica Platform are errors of the input before this.
fn not_judged(manifest: &Manifest) -> Option<String> {
    manifest.dialect.is_none().then(|| {
        format!(
            "{} is not judged: its kind ({}) never reaches the gate",
            manifest.id, manifest.api_version
        )
    })
}

impl Trial {
    fn of(snapshot: &Snapshot, manifests: &[Manifest], namespace: &str) -> Result<Self, Failure> {
        let mut gate = view::gate(snapshot, namespace)?;
        let mut stored: Vec<Document> = Vec::new();
        for document in snapshot.documents() {
            let id = gate.manifest(&document)?.id;
            if manifests.iter().any(|manifest| manifest.id == id) {
                stored.push(document);
            }
        }
        gate.stored(&stored)?;
        let quotas = view::of(snapshot, None)?;
        let mut rest = Rest::of(snapshot, &quotas, &gate)?;
        let mut tried = Vec::new();
        for manifest in manifests {
            let old = gate.world().get(&manifest.id).cloned();
            let before = match (&old, manifest.dialect) {
                (Some(object), Some(dialect)) => admit::charge(dialect, object, gate.world()),
                _ => MilliCpu::ZERO,
            };
            let mut verdict = gate.judge(manifest);
            if let Some(dialect) = manifest.dialect {
                let was_admitted = verdict.is_admitted();
                rest.settle(dialect, old.as_deref(), &mut verdict, &gate);
                if was_admitted && !verdict.is_admitted() {
                    take_back(&mut gate, &manifest.id, dialect, old.as_deref())?;
                }
            }
            tried.push(Tried { verdict, before });
        }
        Ok(Self { tried, quotas })
    }
}

/// Puts the gate back to before an object that it has admitted.
fn take_back(
    gate: &mut Gate,
    id: &ObjectId,
    dialect: &'static dyn Dialect,
    old: Option<&Value>,
) -> Result<(), Failure> {
    gate.delete(id, dialect);
    match old {
        Some(old) => gate.stored(&[Document {
            file: "the cluster".into(),
            root: Node::from(old),
        }]),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
