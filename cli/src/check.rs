//! `sluice check`: the verdict of the gate on manifests, without a cluster.
//!
//! Arguments and order are here; how verdicts are printed is in [`report`], the gate itself in [`crate::offline`].

mod report;

use crate::exit::{self, Failure, Outcome};
use crate::input::{self, Folders};
use crate::offline::world::Knowledge;
use crate::offline::{Gate, Verdict};
use crate::report::{self as reports, Format};
use clap::Args;
use std::path::PathBuf;

/// Arguments of `sluice check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice check -f app.yaml\n  sluice check -f app.yaml --policy policy/ --inventory \
                        cluster.yaml\n  kubectl get fsc -A -o yaml > old.yaml; sluice check -f new.yaml --old old.yaml -o json"
)]
pub struct CheckArgs {
    /// Manifests to judge, in this order: files, folders, or - for standard input. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Objects as they are stored now: a manifest of the same kind, namespace and name is judged as an update of it.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    old: Vec<PathBuf>,
    /// Defaults, environments, quotas, targets, namespaces with their mode labels, and the Apache operator's ConfigMap
    /// flink-operator-config.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    /// What exists already: its running CPU counts, and references resolve against it.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    inventory: Vec<PathBuf>,
    /// Who asks, as the API server would name the user.
    #[arg(long = "as", value_name = "USER", default_value = "sluice-check")]
    user: String,
    /// Namespace of manifests that name none.
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// Read folders with all folders in them.
    #[arg(short = 'R', long)]
    recursive: bool,
    /// How to print the verdicts.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Judges everything, then prints.
pub fn run(args: &CheckArgs) -> Result<Outcome, Failure> {
    let folders = Folders::with_flag(args.recursive);
    input::standard_input_once([&args.files, &args.old, &args.policy, &args.inventory])?;
    let documents = input::read(&args.files, folders)?;
    let knowledge = if args.inventory.is_empty() {
        Knowledge::Partial
    } else {
        Knowledge::Full
    };
    let mut gate = Gate::new(&args.namespace, &args.user, knowledge);
    gate.settings(&input::read(&args.policy, folders)?)?;
    gate.exists(&input::read(&args.inventory, folders)?)?;
    gate.stored(&input::read(&args.old, folders)?)?;
    // Everything is read before anything is judged, so that a bad file is told before half a report.
    let manifests = documents
        .iter()
        .map(|document| gate.manifest(document))
        .collect::<Result<Vec<_>, _>>()?;
    if manifests.is_empty() {
        // `kubectl get` finds nothing, and that is not wrong; but it may be the wrong namespace.
        crate::note(format_args!(
            "nothing is judged: there are only lists without objects"
        ));
    }
    let mut verdicts = Vec::with_capacity(manifests.len());
    for manifest in &manifests {
        if manifest.dialect.is_none() {
            let id = &manifest.id;
            crate::note(format_args!(
                "{id} is not judged: its kind never reaches the gate"
            ));
        } else if gate.exists_unasked(&manifest.id) {
            crate::note(format_args!(
                "{} exists in the inventory; it is judged as a create. To judge the update, give its file with --old",
                manifest.id
            ));
        }
        verdicts.push(gate.judge(manifest));
    }
    let found = if verdicts.iter().all(Verdict::is_admitted) {
        Outcome::Fine
    } else {
        Outcome::Negative
    };
    let cases = || report::cases(&verdicts, &manifests, &documents);
    let mut out = std::io::stdout().lock();
    let printed = match args.output {
        Format::Json => report::json(&verdicts, &mut out),
        Format::Table => report::table(&verdicts),
        Format::Junit => reports::junit(&cases(), &mut out),
        Format::Sarif => reports::sarif(&cases(), &mut out),
        Format::Github => reports::github(&cases(), &mut out),
    };
    exit::told(found, printed)
}
