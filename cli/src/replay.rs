//! `sluice replay`: what settings would have made of requests that were recorded, as AdmissionReviews or as an API server's audit
//! log, both in JSON lines. What a line says is in [`record`], what is made of it in [`player`]; the gate is that of `sluice check`.

mod player;
mod record;

use crate::exit::{self, Failure, Outcome};
use crate::input::{self, Folders};
use crate::offline::Gate;
use crate::offline::world::Knowledge;
use crate::table;
use clap::{Args, ValueEnum};
use player::{Found, Player, Refused};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Arguments of `sluice replay`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice replay -f audit.log --policy policy/\n  sluice replay -f reviews.jsonl --policy policy/ --inventory \
                        before.yaml -o json"
)]
pub struct ReplayArgs {
    /// Recorded requests in JSON lines, in their order: files, or - for standard input. May be repeated.
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Defaults, environments, quotas, targets, namespaces with their mode labels.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    policy: Vec<PathBuf>,
    /// What existed before the first request: its running CPU counts.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    inventory: Vec<PathBuf>,
    /// How to print what would have been refused.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line a rule and namespace.
    #[default]
    Table,
    /// One object: the counts, and an element for each request that would have been refused.
    Json,
}

/// Replays everything, then prints.
///
/// # Errors
/// [`Failure::Input`] for a line that is none of the two.
pub fn run(args: &ReplayArgs) -> Result<Outcome, Failure> {
    input::standard_input_once([&args.files, &args.policy, &args.inventory])?;
    let mut gate = Gate::new("default", "sluice-replay", Knowledge::Partial);
    gate.settings(&input::read(&args.policy, Folders::Flat)?)?;
    gate.exists(&input::read(&args.inventory, Folders::Flat)?)?;
    let mut player = Player::new(gate);
    for path in &args.files {
        replay(path, &mut player)?;
    }
    let found = player.found;
    let outcome = if found.refused.is_empty() {
        Outcome::Fine
    } else {
        Outcome::Negative
    };
    let mut out = std::io::stdout().lock();
    let printed = match args.output {
        Format::Table => summary(&found, &mut out),
        Format::Json => everything(&found, &mut out),
    };
    exit::told(outcome, printed)
}

fn everything(found: &Found, out: &mut impl Write) -> Result<(), Failure> {
    let refused = found.refused.iter().map(|refused| {
        json!({"at": refused.at, "kind": refused.id.kind, "namespace": refused.id.namespace, "name": refused.id.name,
            "user": refused.user, "rule": refused.rule, "message": refused.message})
    });
    let all = json!({"judged": found.judged, "passedOver": found.passed_over, "refused": refused.collect::<Vec<_>>()});
    serde_json::to_writer_pretty(&mut *out, &all).map_err(std::io::Error::from)?;
    writeln!(out)?;
    Ok(())
}

/// Line by line: a log of a week is larger than memory.
fn replay(path: &Path, player: &mut Player) -> Result<(), Failure> {
    let name = if path.as_os_str() == "-" {
        input::STANDARD_INPUT.to_owned()
    } else {
        path.display().to_string()
    };
    let fault = |error: std::io::Error| Failure::Input(format!("{name}: {error}"));
    let lines: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(std::fs::File::open(path).map_err(fault)?))
    };
    let mut seen = false;
    for (number, line) in lines.lines().enumerate() {
        let line = line.map_err(fault)?;
        if line.trim().is_empty() {
            continue;
        }
        seen = true;
        let place = format!("{name}: line {}", number + 1);
        let records =
            record::read(&line).map_err(|why| Failure::Input(format!("{place}: {why}")))?;
        if records.is_empty() {
            player.found.passed_over += 1;
        }
        for record in records {
            player.play(&place, record)?;
        }
    }
    if seen {
        Ok(())
    } else {
        Err(Failure::Input(format!(
            "{name}: there is no request in it; is this the right file?"
        )))
    }
}

fn summary(found: &Found, out: &mut impl Write) -> Result<(), Failure> {
    let mut groups: BTreeMap<(&str, &str), Vec<&Refused>> = BTreeMap::new();
    for refused in &found.refused {
        let namespace = refused.id.namespace.as_deref().unwrap_or("-");
        groups
            .entry((refused.rule, namespace))
            .or_default()
            .push(refused);
    }
    let rows: Vec<Vec<String>> = groups
        .iter()
        .map(|((rule, namespace), refused)| {
            let first = refused
                .first()
                .map(|first| format!("{} {}", first.id.kind, first.id.name));
            vec![
                (*rule).to_owned(),
                (*namespace).to_owned(),
                refused.len().to_string(),
                first.unwrap_or_default(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table::write(out, &["RULE", "NAMESPACE", "REFUSED", "FIRST"], &rows)?;
        for refused in groups.values().filter_map(|refused| refused.first()) {
            writeln!(
                out,
                "\n{}, {}:\n    {}",
                refused.at, refused.user, refused.message
            )?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "{} of {} would have been refused; {} passed over",
        found.refused.len(),
        found.judged,
        found.passed_over
    )?;
    Ok(())
}
