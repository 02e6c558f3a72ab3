//! Names: anything that Ververica Platform or REST allow becomes a DNS label; the original goes into an annotation.

use super::{Faults, Wishes};
use crate::offline::names;
use crate::yaml::Node;
use sha2::{Digest, Sha256};
use sluice_api::names::{MAX_NAME_CHARS, annotations};

const UNNAMED: &str = "metadata.name is empty; give the object a name with --name NAME";

/// Puts name and namespace into an object's metadata.
///
/// The name is that of the arguments, else the object's own, else `fallback`. If the object was called something else, or
/// the name had to be changed to become a label, the annotation `sluice.dev/display-name` tells the original.
pub(super) fn place(
    node: &mut Node,
    wishes: &Wishes<'_>,
    fallback: Option<&str>,
    faults: &mut Faults<'_>,
) {
    let root_at = node.at;
    let Some(metadata) = metadata(node, faults) else {
        return;
    };
    let at = metadata.get("name").map_or(root_at, |name| name.at);
    let own = own(metadata);
    match wishes.name.or(own.as_deref()).or(fallback) {
        None if metadata.get("generateName").is_some() => {}
        None => faults.add(at, UNNAMED),
        Some(wanted) => match label(wanted) {
            Some(label) => {
                let original = own.as_deref().unwrap_or(wanted);
                if original != label {
                    annotate(metadata, original);
                }
                metadata.set("name", Node::text(label));
            }
            None => faults.add(
                at,
                format_args!("metadata.name: no DNS label can be made of \"{wanted}\"; give the object a name with --name NAME"),
            ),
        },
    }
    if wishes.namespace.is_none() && metadata.get("namespace").is_some_and(Node::is_null) {
        metadata.take("namespace");
    }
    namespace(metadata, wishes, faults);
}

/// Leaves an object that needs no conversion its name, which by its own kind's rules may be one that no label is (`etl.prod`): under another
/// it would be another object. Only what the arguments ask for is put in.
pub(super) fn keep(node: &mut Node, wishes: &Wishes<'_>, faults: &mut Faults<'_>) {
    if wishes.name.is_some() {
        place(node, wishes, None, faults);
        return;
    }
    let root_at = node.at;
    let Some(metadata) = metadata(node, faults) else {
        return;
    };
    if own(metadata).is_none() && metadata.get("generateName").is_none() {
        let at = metadata.get("name").map_or(root_at, |name| name.at);
        faults.add(at, UNNAMED);
    }
    namespace(metadata, wishes, faults);
}

/// Puts the object into the namespace of the arguments, else leaves it in its own: another one would be other people's.
fn namespace(metadata: &mut Node, wishes: &Wishes<'_>, faults: &mut Faults<'_>) {
    if let Some(namespace) = wishes.namespace {
        metadata.set("namespace", Node::text(namespace));
        return;
    }
    let own = metadata.get("namespace").filter(|own| !own.is_null());
    if let Some(own) = own
        && let Some(fault) = own.spelling().and_then(names::namespace_fault)
    {
        faults.add(
            own.at,
            format_args!(
                "metadata.namespace: {fault}, or give the namespace with --namespace NAMESPACE"
            ),
        );
    }
}

/// The object's metadata, made if there is none.
fn metadata<'n>(node: &'n mut Node, faults: &mut Faults<'_>) -> Option<&'n mut Node> {
    if node.get("metadata").is_none_or(Node::is_null) {
        node.set("metadata", Node::map());
    }
    let metadata = node.get_mut("metadata")?;
    if metadata.entries().is_none() {
        faults.add(
            metadata.at,
            format_args!("metadata is {}, not a map", metadata.type_name()),
        );
        return None;
    }
    Some(metadata)
}

/// What the object is called.
fn own(metadata: &Node) -> Option<String> {
    let name = metadata.get("name").and_then(Node::spelling)?.trim();
    (!name.is_empty() && name != "~").then(|| name.to_owned())
}

fn annotate(metadata: &mut Node, original: &str) {
    if metadata
        .get("annotations")
        .is_none_or(|all| all.entries().is_none())
    {
        metadata.set("annotations", Node::map());
    }
    if let Some(all) = metadata.get_mut("annotations")
        && all.get(annotations::DISPLAY_NAME).is_none()
    {
        all.set(annotations::DISPLAY_NAME, Node::text(original));
    }
}

/// A DNS label (DNS-1035, at most 45 characters) made of any name: lower case, one `-` for whatever a label cannot have.
/// `None` if nothing is left. Two long names stay two: what is cut off goes into a checksum.
pub(super) fn label(name: &str) -> Option<String> {
    let mut label = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            label.push(c.to_ascii_lowercase());
        } else if c == '-' || !label.ends_with('-') {
            label.push('-');
        }
    }
    let mut label = label.trim_matches('-').to_owned();
    if label.is_empty() {
        return None;
    }
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert_str(0, "flink-");
    }
    if label.len() > MAX_NAME_CHARS {
        let sum = Sha256::digest(name.as_bytes());
        let sum = sum
            .iter()
            .take(3)
            .fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        let sum = format!("{sum:06x}");
        label.truncate(MAX_NAME_CHARS - sum.len() - 1);
        label = format!("{}-{sum}", label.trim_end_matches('-'));
    }
    Some(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_labels() {
        for (name, expected) in [
            (
                "TopSpeedWindowing Example",
                Some("topspeedwindowing-example"),
            ),
            ("Example Flink Session", Some("example-flink-session")),
            ("a--b", Some("a--b")),
            ("  A  b_c ", Some("a-b-c")),
            ("2nd try", Some("flink-2nd-try")),
            ("Größe", Some("gr-e")),
            ("作业", None),
            ("---", None),
        ] {
            assert_eq!(label(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn long_names_stay_apart() {
        let (one, other) = (
            label(&format!("{} one", "x".repeat(60))),
            label(&format!("{} two", "x".repeat(60))),
        );
        assert_ne!(one, other);
        assert_eq!(one.map(|label| label.len()), Some(45));
    }

    proptest! {
        #[test]
        fn a_label_is_a_label_and_stays_what_it_is(name in "\\PC{0,80}") {
            if let Some(made) = label(&name) {
                prop_assert!(made.len() <= 45);
                prop_assert!(made.starts_with(|c: char| c.is_ascii_lowercase()));
                prop_assert!(!made.ends_with('-'));
                prop_assert!(made.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'));
                prop_assert_eq!(label(&made), Some(made));
            }
        }
    }
}
