//! `sluice render`: what the mutating webhook makes of manifests, as YAML or as a list of what it sets and from where.
//!
//! The patch is applied to the tree of the file, so that what the gate leaves alone stays as it was spelled.

use crate::exit::{self, Failure, Outcome};
use crate::input::{self, Document, Folders};
use crate::offline::Gate;
use crate::offline::manifest::Manifest;
use crate::offline::world::Knowledge;
use crate::yaml::{Content, Node, write};
use clap::Args;
use json_patch::PatchOperation;
use serde_json::Value;
use sluice_policy::admit::{self, Mutation};
use sluice_policy::review::Part;
use sluice_policy::{FieldPath, Operation, Review};
use std::io::Write;
use std::path::PathBuf;

/// Arguments of `sluice render`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the gate would change nothing, 1 it would, 2 bad input.\n\nExamples:\n  sluice render -f \
                        app.yaml --policy policy/\n  sluice render -f app.yaml --policy policy/ --diff"
)]
pub struct RenderArgs {
    /// Manifests: files, folders, or - for standard input. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Defaults, environments, and namespaces with their mode labels.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    /// Print what is set, and from where, instead of the objects.
    #[arg(long)]
    diff: bool,
    /// Namespace of manifests that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Read folders with all folders in them.
    #[arg(short = 'R', long)]
    recursive: bool,
}

/// Renders everything, then prints.
pub fn run(args: &RenderArgs) -> Result<Outcome, Failure> {
    let folders = Folders::with_flag(args.recursive);
    input::standard_input_once([&args.files, &args.policy])?;
    let documents = input::read(&args.files, folders)?;
    let mut gate = Gate::new(&args.namespace, "sluice-render", Knowledge::Partial);
    gate.settings(&input::read(&args.policy, folders)?)?;
    let mut outcome = Outcome::Fine;
    let mut out = String::new();
    let mut rendered = Vec::new();
    for document in &documents {
        let manifest = gate.manifest(document)?;
        let mut root = document.root.clone();
        if let Some(mutation) = mutate(&gate, &manifest) {
            if let Some(refusal) = &mutation.refusal {
                return Err(Failure::Input(
                    document.fault(manifest.at, &refusal.message),
                ));
            }
            for warning in &mutation.warnings {
                crate::note(format_args!("{warning}"));
            }
            if !mutation.patch.is_empty() {
                outcome = Outcome::Negative;
                out.push_str(&diff(document, &manifest, &mutation));
                for operation in &mutation.patch {
                    apply(&mut root, operation);
                }
            }
        } else {
            crate::note(format_args!(
                "{} stays as it is: its kind never reaches the gate",
                manifest.id
            ));
        }
        rendered.push(root);
    }
    if !args.diff {
        out = write::write_all(&rendered);
    }
    let printed = std::io::stdout().lock().write_all(out.as_bytes());
    exit::told(outcome, printed.map_err(Failure::from))
}

fn mutate<'m>(gate: &Gate, manifest: &'m Manifest) -> Option<Mutation<'m>> {
    let review = Review {
        dialect: manifest.dialect?,
        operation: Operation::Create,
        part: Part::Whole,
        namespace: manifest.id.namespace.as_deref().unwrap_or_default(),
        name: &manifest.id.name,
        object: &manifest.object,
    };
    Some(admit::mutate(&review, gate.world()))
}

/// One line per field, `+` set, `-` taken away, `~` changed, and where the value comes from.
fn diff(document: &Document, manifest: &Manifest, mutation: &Mutation<'_>) -> String {
    let mut lines = vec![format!("{} ({})", manifest.id, document.file)];
    for (position, operation) in mutation.patch.iter().enumerate() {
        let pointer = operation.path().as_str();
        let path = FieldPath::from_pointer(pointer);
        let shown = path.to_string();
        let filled = mutation
            .filled
            .iter()
            .find(|filled| filled.path.pointer() == pointer);
        let source = filled.map_or("normalised", |filled| filled.source.as_str());
        let later = || {
            mutation
                .patch
                .iter()
                .skip(position + 1)
                .map(|operation| operation.path().as_str())
        };
        let line = match operation {
            _ if path.last_key() == Some(sluice_api::names::annotations::DEFAULTS) => continue,
            // A map that is made for what is set in it next.
            PatchOperation::Add(add)
                if add.value == Value::Object(serde_json::Map::new())
                    && later().any(|other| {
                        other
                            .strip_prefix(pointer)
                            .is_some_and(|rest| rest.starts_with('/'))
                    }) =>
            {
                continue;
            }
            PatchOperation::Add(add) => format!("+ {shown}: {}  ({source})", add.value),
            PatchOperation::Replace(replace) => {
                let before = manifest
                    .object
                    .pointer(pointer)
                    .map(Value::to_string)
                    .unwrap_or_default();
                format!("~ {shown}: {before} -> {}  ({source})", replace.value)
            }
            PatchOperation::Remove(_) => format!("- {shown}  ({source})"),
            other => format!("  {other}"),
        };
        lines.push(format!("  {line}"));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Applies one operation of the gate's patches (add, replace, remove) to the tree.
fn apply(root: &mut Node, operation: &PatchOperation) {
    let pointer = operation.path().as_str();
    let Some((parent, token)) = pointer.rsplit_once('/') else {
        return;
    };
    let key = unescaped(token);
    let parent = parent.split('/').skip(1).try_fold(root, |node, token| {
        let key = unescaped(token);
        match &mut node.content {
            Content::List(items) => items.get_mut(key.parse::<usize>().ok()?),
            Content::Map(entries) => {
                let entry = entries.iter_mut().find(|entry| entry.key == key)?;
                Some(&mut entry.value)
            }
            Content::Text(_) | Content::Word { .. } => None,
        }
    });
    let Some(parent) = parent else {
        return;
    };
    let value = match operation {
        PatchOperation::Add(add) => Some(Node::from(&add.value)),
        PatchOperation::Replace(replace) => Some(Node::from(&replace.value)),
        _ => None,
    };
    match (&mut parent.content, value) {
        (Content::List(items), Some(value)) => {
            if let Some(place) = key
                .parse::<usize>()
                .ok()
                .and_then(|index| items.get_mut(index))
            {
                *place = value;
            }
        }
        (_, Some(value)) => parent.set(&key, value),
        (_, None) => drop(parent.take(&key)),
    }
}

fn unescaped(token: &str) -> String {
    token.replace("~1", "/").replace("~0", "~")
}
