//! `sluice convert`: manifests of Ververica Platform and bodies of the session REST API to Sluice's kinds.
//!
//! Works on the tree that the reader made, so that order and spelling stay as they are. Which fields have a counterpart is
//! asked of the CRDs' own schemas ([`counterpart`]); [`vvp`] and [`rest`] know the two sources, [`name`] makes DNS labels.

mod counterpart;
mod name;
mod rest;
mod vvp;

use crate::exit::{Failure, Outcome};
use crate::input::{self, Document, Folders};
use crate::offline::names;
use crate::yaml::{Node, Position, write};
use clap::Args;
use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `sluice convert`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice convert -f vvp/ --namespace team-a | kubectl apply -f -\n  sluice convert -f \
                        session.json --name analytics\n  sluice convert -f job.json --session analytics"
)]
pub struct ConvertArgs {
    /// Manifests or request bodies, YAML or JSON: files, folders, or - for standard input. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Read folders with all folders in them.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// The object's name, for a single object; needed where the manifest has none.
    #[arg(long)]
    name: Option<String>,
    /// The namespace of every object.
    #[arg(long, value_parser = names::namespace)]
    namespace: Option<String>,
    /// The session of session jobs, which REST has in its URL.
    #[arg(long)]
    session: Option<String>,
}

/// What the arguments say about each object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes<'a> {
    /// Its name.
    pub name: Option<&'a str>,
    /// Its namespace.
    pub namespace: Option<&'a str>,
    /// The session of session jobs.
    pub session: Option<&'a str>,
}

/// What could not be converted, and why; every line names file, place and field.
struct Faults<'d> {
    document: &'d Document,
    lines: Vec<String>,
    notes: Vec<String>,
}

impl Faults<'_> {
    fn add(&mut self, at: Position, message: impl std::fmt::Display) {
        self.lines.push(self.document.fault(at, message));
    }
}

/// Converts everything and prints it, or prints nothing and tells everything that is in the way.
pub fn run(args: &ConvertArgs) -> Result<Outcome, Failure> {
    let folders = Folders::with_flag(args.recursive);
    input::standard_input_once([&args.files])?;
    let documents = input::read(&args.files, folders)?;
    if let (Some(_), [_, second, ..]) = (&args.name, documents.as_slice()) {
        let message = format!(
            "--name is for a single object, but there are {}; convert them one by one",
            documents.len()
        );
        return Err(Failure::Input(second.fault(second.root.at, message)));
    }
    let wishes = Wishes {
        name: args.name.as_deref(),
        namespace: args.namespace.as_deref(),
        session: args.session.as_deref(),
    };
    let converted = convert_all(&documents, &wishes)
        .map_err(|lines| Failure::Input(lines.join("\nsluice: ")))?;
    for note in &converted.notes {
        crate::note(format_args!("{note}"));
    }
    std::io::stdout()
        .lock()
        .write_all(converted.yaml.as_bytes())?;
    Ok(Outcome::Fine)
}

/// Documents as Sluice's kinds.
#[derive(Clone, Debug)]
pub struct Converted {
    /// All of them, in YAML.
    pub yaml: String,
    /// What the user should know about them.
    pub notes: Vec<String>,
}

/// Converts documents; the error is every line of what is in the way.
pub fn convert_all(documents: &[Document], wishes: &Wishes<'_>) -> Result<Converted, Vec<String>> {
    let mut lines = Vec::new();
    let mut notes = Vec::new();
    let mut converted = Vec::new();
    for document in documents {
        let mut faults = Faults {
            document,
            lines: Vec::new(),
            notes: Vec::new(),
        };
        let node = convert(document, wishes, &mut faults);
        lines.append(&mut faults.lines);
        notes.append(&mut faults.notes);
        converted.extend(node.map(|node| (document, node)));
    }
    collisions(&converted, &mut lines);
    if lines.is_empty() {
        let yaml = write::write_all(converted.iter().map(|(_, node)| node));
        Ok(Converted { yaml, notes })
    } else {
        Err(lines)
    }
}

fn convert(document: &Document, wishes: &Wishes<'_>, faults: &mut Faults<'_>) -> Option<Node> {
    let root = &document.root;
    let (Some(version), Some(kind)) = (root.get("apiVersion"), root.get("kind")) else {
        if let Some(missing) = ["apiVersion", "kind"]
            .into_iter()
            .find(|key| root.get(key).is_none())
            && (root.get("apiVersion").is_some()
                || root.get("kind").is_some()
                || root.get("spec").is_some())
        {
            faults.add(
                root.at,
                format_args!("{missing} is missing; a manifest has both apiVersion and kind"),
            );
            return None;
        }
        return rest::convert(root, wishes, faults);
    };
    let (version, kind) = (
        version.spelling().unwrap_or_default(),
        kind.spelling().unwrap_or_default(),
    );
    match version.split_once('/').map(|(group, _)| group) {
        None if is_convertible(version, kind) => Some(vvp::convert(root, kind, wishes, faults)),
        Some("sluice.dev" | "flink.apache.org" | "cmf.confluent.io" | "platform.confluent.io") => {
            // Nothing is left to convert.
            let mut node = root.clone();
            name::keep(&mut node, wishes, faults);
            Some(node)
        }
        _ => {
            let known = vvp::KINDS.join(", ");
            faults.add(
                root.at,
                format_args!(
                    "kind {kind} of apiVersion {version} has no counterpart in Sluice; apiVersion v1 with kind {known} has, \
                     and so have the bodies of create-session and create-session-job"
                ),
            );
            None
        }
    }
}

/// Whether a kind is Ververica Platform's.
pub(crate) fn is_convertible(api_version: &str, kind: &str) -> bool {
    api_version == "v1" && vvp::KINDS.contains(&kind)
}

/// Two names may become one; then the second would overwrite the first.
fn collisions(converted: &[(&Document, Node)], lines: &mut Vec<String>) {
    let mut seen: HashMap<(String, String, String), &Document> = HashMap::new();
    for (document, node) in converted {
        let field = |path: &[&str]| {
            path.iter()
                .try_fold(node, |node, key| node.get(key))
                .and_then(Node::spelling)
                .unwrap_or_default()
                .to_owned()
        };
        let (kind, namespace, name) = (
            field(&["kind"]),
            field(&["metadata", "namespace"]),
            field(&["metadata", "name"]),
        );
        let message = format!(
            "a second {kind} would be called \"{name}\"; convert it alone with another --name"
        );
        if let Some(first) = seen.insert((kind, namespace, name), document) {
            let message = format!(
                "{message} (the first is in {}: {})",
                first.file, first.root.at
            );
            lines.push(document.fault(document.root.at, message));
        }
    }
}
