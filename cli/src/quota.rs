//! `sluice quota`: limits, what is in use, who holds it; and whether something more would fit.
//!
//! Figures come from the quotas' ledgers, holders from the live objects by the very charge functions of policy. [`view`] gathers,
//! [`print`](mod@print) shows, [`simulate`] tries manifests.

mod print;
mod simulate;
mod view;

use crate::exit::{Failure, Outcome};
use crate::input::{self, Folders};
use crate::live::snapshot::{self, Snapshot, Within};
use crate::live::{self, ClusterArgs};
use crate::operator::OperatorConfig;
use clap::{Args, Subcommand, ValueEnum};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Between two looks with `--watch`.
const PACE: Duration = Duration::from_secs(2);

/// Arguments of `sluice quota`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = false,
    after_help = "Examples:\n  sluice quota\n  sluice quota -n team-a -o wide\n  sluice quota -A -w\n  sluice quota simulate -f \
                  analytics.yaml -n team-a"
)]
pub struct QuotaArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Namespace; without it that of the context.
    #[arg(short, long, value_name = "NAMESPACE", global = true)]
    namespace: Option<String>,
    /// Quotas of all namespaces.
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Look again every two seconds, and print whenever something has changed.
    #[arg(short, long)]
    watch: bool,
    /// How to print it.
    #[arg(short, long, value_enum, default_value_t, global = true)]
    output: Format,
    /// ConfigMap with the Apache operator's own configuration, NAMESPACE/NAME, if Sluice was told of it.
    #[arg(long, value_name = "NAMESPACE/NAME", global = true)]
    operator_config: Option<OperatorConfig>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Would these manifests fit, and if not, how much is missing? Nothing is created; exit code 1 if not.
    Simulate {
        /// Manifests: files, folders, or - for standard input. May be repeated.
        #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
        files: Vec<PathBuf>,
        /// Read folders with all folders in them.
        #[arg(short = 'R', long)]
        recursive: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Quotas, and who holds CPU of each.
    #[default]
    Table,
    /// The same with what growth means, and what is set aside for requests in flight.
    Wide,
    /// For programs; CPU in thousandths.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Shows quotas, or tries manifests.
///
/// # Errors
/// [`Failure::Input`] for manifests that cannot be read, [`Failure::Unreachable`] if the API server does not answer or refuses.
pub fn run(args: &QuotaArgs) -> Result<Outcome, Failure> {
    live::block_on(async {
        let live = live::connect(&args.cluster).await?;
        let namespace = args.namespace.as_deref().unwrap_or(&live.namespace);
        let operator = args.operator_config.as_ref();
        if let Some(What::Simulate { files, recursive }) = &args.what {
            let documents = input::read(files, Folders::with_flag(*recursive))?;
            let manifests = simulate::manifests(&documents, namespace)?;
            // A ClusterCpuQuota counts what runs in other namespaces.
            let concerned = simulate::namespaces(&manifests, namespace);
            let within = Within::AllOrThese(&concerned);
            let snapshot = snapshot::take(&live.client, within, operator).await?;
            tell_unseen(&snapshot);
            if let Some(told) = narrowed(&snapshot, &concerned) {
                crate::note(format_args!("{told}"));
            }
            return simulate::run(&snapshot, &manifests, namespace, args.output);
        }
        let only = (!args.all_namespaces).then_some(namespace);
        let within = only.map_or(Within::All, Within::One);
        let mut shown = None;
        loop {
            let snapshot = snapshot::take(&live.client, within, operator).await?;
            if shown.is_none() {
                tell_unseen(&snapshot);
            }
            let quotas = view::of(&snapshot, only)?;
            let text = print::view(&quotas, only, &snapshot.unseen_quotas(), args.output)?;
            if shown.as_ref() != Some(&text) {
                print::out(&text)?;
                shown = Some(text);
            }
            if !args.watch {
                return Ok(Outcome::Fine);
            }
            tokio::time::sleep(PACE).await;
        }
    })
}

fn tell_unseen(snapshot: &Snapshot) {
    for unseen in &snapshot.unseen {
        crate::note(format_args!("left out: {}", unseen.said));
    }
}

/// What is said where all namespaces were wanted and some were looked at.
fn narrowed(snapshot: &Snapshot, these: &BTreeSet<String>) -> Option<String> {
    if snapshot.narrowed.is_empty() {
        return None;
    }
    let these: Vec<&str> = these.iter().map(String::as_str).collect();
    Some(format!(
        "you may not list {} in all namespaces: of these only what is in {} was read. What others hold of a quota is taken from the \
         quota's status",
        snapshot.narrowed.join(", "),
        these.join(", ")
    ))
}
