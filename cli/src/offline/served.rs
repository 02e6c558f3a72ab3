//! Whether an API server would know a kind at all. A kind that is misspelt, or in a version that nobody serves, never reaches the gate,
//! so that without this it would pass for one that the gate has nothing to say about.

use crate::input::Document;
use crate::rules::distance;
use crate::yaml::Node;
use sluice_policy::dialect::{dialect_for, dialects};
use std::sync::LazyLock;

/// The kinds of our own group, also those that are never judged.
static OWN: LazyLock<Vec<String>> = LazyLock::new(|| {
    let crds = sluice_api::crds();
    crds.into_iter().map(|crd| crd.spec.names.kind).collect()
});

/// Refuses what no API server serves, as far as that is known: kinds of our own group, and versions of kinds that are judged. Other
/// people's groups may have more kinds than those.
///
/// # Errors
/// Names file, place, field and what to write instead.
pub(super) fn check(document: &Document, api_version: &str, kind: &str) -> Result<(), String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let fault = |field: &str, message: String| {
        let at = document.root.get(field).map(|node: &Node| node.at);
        Err(document.fault(at.unwrap_or_default(), message))
    };
    let served = match dialect_for(group, kind) {
        Some(dialect) => dialect.kind().version,
        None if group != sluice_api::GROUP => return Ok(()),
        None if OWN.iter().any(|known| known == kind) => sluice_api::VERSION,
        None => return fault("kind", unknown(group, kind)),
    };
    if version == served {
        return Ok(());
    }
    fault(
        "apiVersion",
        format!(
            "apiVersion {api_version} of {kind} is not known to this version of Sluice; write apiVersion: {group}/{served}"
        ),
    )
}

fn unknown(group: &str, kind: &str) -> String {
    let way_out = elsewhere(kind)
        .or_else(|| nearest(kind))
        .unwrap_or_else(|| {
            let known = OWN.join(", ");
            format!("its kinds are {known}")
        });
    format!("kind {kind} is none of {group}; {way_out}")
}

/// The right kind in the wrong group.
fn elsewhere(kind: &str) -> Option<String> {
    let known = dialects()
        .iter()
        .map(|dialect| dialect.kind())
        .find(|known| known.kind == kind)?;
    Some(format!(
        "write apiVersion: {}/{}",
        known.group, known.version
    ))
}

fn nearest(kind: &str) -> Option<String> {
    let (distance, nearest) = OWN
        .iter()
        .map(|known| (distance(kind, known), known))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= nearest.len() / 3).then(|| format!("did you mean {nearest}?"))
}
