//! `chaos`: the run of `sluice-chaos` at length, one seed after the other. What is done and checked is in that crate.

use anyhow::{bail, ensure};
use sluice_chaos::answers::Answer;
use sluice_chaos::{Report, Rest, Settings};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long, and which.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Operations of a run
    #[arg(long, default_value_t = 10_000)]
    operations: u64,
    /// Seed of the first run; the next run has the next one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin no further operation after so many minutes, and run after run until then [default: one run]
    #[arg(long)]
    minutes: Option<u64>,
    /// How many runs
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Clients at once
    #[arg(long, default_value_t = 12)]
    clients: usize,
    /// The binary under fire [default: a release build of this repository]
    #[arg(long)]
    sluice: Option<PathBuf>,
    /// Break the ledger so (drop-holds, old-snapshot, last-write-wins; debug builds only), and fail if the checker sees nothing
    #[arg(long, requires = "sluice")]
    sabotage: Option<String>,
    /// Keep each run's history in this folder, not only those of accused runs in a temporary one
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Run nothing: judge histories again that were kept
    #[arg(long, num_args = 1.., value_name = "FILE", conflicts_with_all = ["sabotage", "minutes", "keep"])]
    judge: Vec<PathBuf>,
}

/// Runs until enough has been done or a promise is seen broken.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    if !options.judge.is_empty() {
        return judge(&options.judge);
    }
    let sluice = match &options.sluice {
        Some(sluice) => std::path::absolute(sluice)?,
        None => crate::stage::build_sluice()?,
    };
    let began = Instant::now();
    let end = options
        .minutes
        .map(|minutes| Duration::from_secs(minutes * 60));
    let mut reports: Vec<Report> = Vec::new();
    for number in 0.. {
        let at_most = end.map(|end| end.saturating_sub(began.elapsed()));
        let is_over = match at_most {
            Some(left) => left.is_zero(),
            None => number >= options.runs,
        };
        if is_over {
            break;
        }
        let seed = options.seed.wrapping_add(number);
        let sabotage = options.sabotage.iter();
        let settings = Settings {
            sluice: sluice.clone(),
            seed,
            operations: options.operations,
            clients: options.clients,
            at_most,
            assets: None,
            env: sabotage
                .map(|word| (sluice_policy::sabotage::VARIABLE.to_owned(), word.clone()))
                .collect(),
            rest: match options.sabotage {
                Some(_) => Rest::Never,
                None => Rest::Always,
            },
            keep: options.keep.clone(),
            command: format!(
                "cargo run --release -p sluice-bench -- chaos --operations {} --clients {} --seed {seed}",
                options.operations, options.clients
            ),
        };
        let report = sluice_chaos::run(&settings).await?;
        println!("{report}");
        let clean = report.is_clean();
        reports.push(report);
        if !clean {
            break;
        }
    }
    total(&reports);
    let broken = reports.iter().any(|report| !report.is_clean());
    if let Some(word) = &options.sabotage {
        ensure!(
            broken,
            "the ledger is broken ({word}) and the checker saw nothing"
        );
        return Ok(());
    }
    if broken {
        bail!("a promise was broken");
    }
    Ok(())
}

fn judge(histories: &[PathBuf]) -> anyhow::Result<()> {
    let mut broken = 0;
    for history in histories {
        let judged = sluice_chaos::kept::judge(history)?;
        let verdict = &judged.verdict;
        println!(
            "{}: {} changes checked, {} increases ({} elsewhere), {} sums, {} set aside.",
            history.display(),
            verdict.changes,
            verdict.increases,
            verdict.lenient,
            verdict.sums,
            verdict.set_aside,
        );
        for one in &verdict.violations {
            println!("{one}");
        }
        for one in &judged.accusations {
            println!("{one} (told by the run; a history does not show answers)");
        }
        broken += verdict.violations.len() + judged.accusations.len();
    }
    ensure!(broken == 0, "promises were broken: {broken}");
    Ok(())
}

fn total(reports: &[Report]) {
    let sum = |of: fn(&Report) -> u64| reports.iter().map(of).sum::<u64>();
    println!(
        "Together: {} runs, {} operations ({} done, {} refused by Sluice, {} refused by the sibling, {} met a component that was away), \
         {} faults, {} changes checked, {} increases, {} sums, {} set aside, {} violations.",
        reports.len(),
        sum(|report| report.operations),
        sum(|report| report.answered(|answer| *answer == Answer::Done)),
        sum(|report| report.answered(|answer| matches!(answer, Answer::Refused { .. }))),
        sum(|report| report.answered(|answer| *answer == Answer::Sibling)),
        sum(|report| report.answered(Answer::is_trouble)),
        sum(|report| report.faults.values().sum()),
        sum(|report| report.verdict.changes),
        sum(|report| report.verdict.increases),
        sum(|report| report.verdict.sums),
        sum(|report| report.verdict.set_aside),
        sum(|report| report.violations().len() as u64),
    );
}
