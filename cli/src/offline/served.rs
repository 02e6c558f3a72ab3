//! Whether an API server would know a kind at all. A kind that is misspelt, or in a version or a group that nobody serves, never reaches
//! the gate, so that without this it would pass for one that the gate has nothing to say about. Only what is surely wrong is refused:
//! other people may serve what they like. Which kinds there are is in [`super::kinds`].

use super::kinds::{self, Served, Who};
use crate::convert;
use crate::input::Document;
use crate::yaml::{Content, Node};

/// Refuses what no API server serves, as far as that is known.
///
/// # Errors
/// Names file, place, field and what to write instead.
pub(super) fn check(document: &Document, api_version: &str, kind: &str) -> Result<(), String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let fault = if is_list(group, kind) {
        Some(("items", list(document, kind)))
    } else if convert::is_convertible(api_version, kind) {
        Some(("apiVersion", unconverted(kind)))
    } else if let Some(served) = kinds::served(group, kind) {
        version_fault(&served, version).map(|fault| ("apiVersion", fault))
    } else if kinds::is_group(group) {
        kind_fault(group, kind).map(|fault| ("kind", fault))
    } else {
        group_fault(group, api_version, kind).map(|fault| ("apiVersion", fault))
    };
    let Some((field, message)) = fault else {
        return Ok(());
    };
    let at = document.root.get(field).map(|node: &Node| node.at);
    Err(document.fault(at.unwrap_or(document.root.at), message))
}

/// Whether this is a list; those that hold objects are taken apart before they get here.
fn is_list(group: &str, kind: &str) -> bool {
    kind.strip_suffix("List").is_some_and(|item| {
        (group.is_empty() && item.is_empty()) || kinds::served(group, item).is_some()
    })
}

fn list(document: &Document, kind: &str) -> String {
    match document.root.get("items") {
        None => format!("{kind} has no items; one without objects has items: []"),
        Some(Node {
            content: Content::List(_),
            ..
        }) => format!("this {kind} is part of another list; give its items by themselves"),
        Some(items) => {
            let what = items.type_name();
            format!("items of {kind} is {what}, not a list; one without objects has items: []")
        }
    }
}

fn unconverted(kind: &str) -> String {
    let or_else = if kind == "Deployment" {
        "; that of Kubernetes is of apiVersion: apps/v1"
    } else {
        ""
    };
    format!(
        "kind {kind} of apiVersion v1 is Ververica Platform's, and no API server knows it; turn it into Sluice's with `sluice \
         convert`{or_else}"
    )
}

fn version_fault(served: &Served, version: &str) -> Option<String> {
    if served.who == Who::Operator || served.version == version {
        return None;
    }
    let (group, kind) = (served.group, served.kind);
    Some(format!(
        "apiVersion {group}/{version} of {kind} is not known to this version of Sluice; write apiVersion: {group}/{}",
        served.version
    ))
}

/// A kind that a known group does not have.
fn kind_fault(group: &str, kind: &str) -> Option<String> {
    let did_you_mean = || kinds::nearest(group, kind).map(|kind| format!("did you mean {kind}?"));
    let way_out = if group == sluice_api::GROUP {
        let known = || {
            let all = sluice_api::crds().into_iter();
            let names: Vec<String> = all.map(|crd| crd.spec.names.kind).collect();
            Some(format!("its kinds are {}", names.join(", ")))
        };
        kinds::elsewhere(kind).or_else(did_you_mean).or_else(known)
    } else {
        // Confluent has more kinds than are known here, some under names that others have too.
        let is_foreign = group == kinds::APACHE || kinds::served(kinds::APACHE, kind).is_some();
        did_you_mean().or_else(|| kinds::elsewhere(kind).filter(|_| is_foreign))
    };
    way_out.map(|way_out| format!("kind {kind} is none of {group}; {way_out}"))
}

/// A kind of a group that is not known.
fn group_fault(group: &str, api_version: &str, kind: &str) -> Option<String> {
    if let Some(served) = kinds::misspelt_group(group, kind) {
        return Some(format!(
            "apiVersion {api_version} of {kind} is not known; did you mean {}/{}?",
            served.group, served.version
        ));
    }
    // Groups without a dot are Kubernetes' own: the API server takes no definitions of kinds for them.
    let is_its_own = kind == "Deployment" && ["apps", "extensions"].contains(&group);
    if group.contains('.') || is_its_own {
        return None;
    }
    let way_out = kinds::elsewhere(kind)?;
    Some(format!(
        "apiVersion {api_version} has no kind {kind}; {way_out}"
    ))
}
