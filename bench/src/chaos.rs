//! `chaos`: the run of `sluice-chaos` at length, one seed after the other. What is done and checked is in that crate.

use crate::table::Table;
use anyhow::{bail, ensure};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sluice_chaos::answers::{Answer, Effect};
use sluice_chaos::{Report, Rest, Settings};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
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
    /// How many of them at once, each with a control plane of its own
    #[arg(long, default_value = "1")]
    at_once: NonZeroUsize,
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
    let mut running = FuturesUnordered::new();
    let mut seeds = options.seed..;
    loop {
        let at_most = end.map(|end| end.saturating_sub(began.elapsed()));
        let is_over = reports.iter().any(|report| !report.is_clean())
            || match at_most {
                Some(left) => left.is_zero(),
                None => (reports.len() + running.len()) as u64 >= options.runs,
            };
        if !is_over
            && running.len() < options.at_once.get()
            && let Some(seed) = seeds.next()
        {
            let settings = options.settings(&sluice, seed, at_most);
            running.push(async move { sluice_chaos::run(&settings).await });
            continue;
        }
        let Some(done) = running.next().await else {
            break;
        };
        let report = done?;
        println!("{report}");
        reports.push(report);
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

impl Options {
    fn settings(&self, sluice: &Path, seed: u64, at_most: Option<Duration>) -> Settings {
        let sabotage = self.sabotage.iter();
        Settings {
            sluice: sluice.to_owned(),
            seed,
            operations: self.operations,
            clients: self.clients,
            at_most,
            assets: None,
            env: sabotage
                .map(|word| (sluice_policy::sabotage::VARIABLE.to_owned(), word.clone()))
                .collect(),
            rest: match self.sabotage {
                Some(_) => Rest::Never,
                None => Rest::Always,
            },
            keep: self.keep.clone(),
            command: format!(
                "cargo run --release -p sluice-bench -- chaos --operations {} --clients {} --seed {seed}",
                self.operations, self.clients
            ),
        }
    }
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

/// What all runs come to, as it stands in `docs/benchmarks.md`.
fn total(reports: &[Report]) {
    let mut table = Table::new(["", "in all", "least in a run", "most in a run"]);
    let mut counted = |what: &str, of: &dyn Fn(&Report) -> u64| {
        let each = || reports.iter().map(of);
        table.row([
            what.to_owned(),
            each().sum::<u64>().to_string(),
            each().min().unwrap_or_default().to_string(),
            each().max().unwrap_or_default().to_string(),
        ]);
    };
    counted("operations", &|report| report.operations);
    let increases = "increases through admission where limits are enforced";
    counted(increases, &|report| report.verdict.increases);
    counted("increases elsewhere", &|report| report.verdict.lenient);
    for (what, status) in [
        ("refused by a quota for good (403)", 403),
        ("refused by a quota for now, four times (429)", 429),
    ] {
        counted(what, &|report| {
            report.answered(|answer| {
                matches!(answer, Answer::Refused { code, rule } if *code == status && rule.starts_with("quota/"))
            })
        });
    }
    for effect in [Effect::Rise, Effect::Same, Effect::Lower] {
        let what = format!("no webhook answered what {effect}");
        counted(&what, &|report| {
            report.unheard.get(&effect).copied().unwrap_or_default()
        });
    }
    counted("API server or etcd in trouble, or no answer", &|report| {
        report.answered(|answer| matches!(answer, Answer::ApiServer(_) | Answer::Silence))
    });
    counted("refused by the sibling", &|report| {
        report.answered(|answer| *answer == Answer::Sibling)
    });
    counted("refused by Sluice for another reason", &|report| {
        report.answered(
            |answer| matches!(answer, Answer::Refused { rule, .. } if !rule.starts_with("quota/")),
        )
    });
    counted("done", &|report| {
        report.answered(|answer| *answer == Answer::Done)
    });
    counted("nothing to do", &|report| {
        report.answered(|answer| *answer == Answer::Nothing)
    });
    counted("conflict, exists or gone", &|report| {
        report.answered(|answer| *answer == Answer::Conflict)
    });
    counted("anything else", &|report| {
        report.answered(|answer| matches!(answer, Answer::Other(_)))
    });
    counted("faults", &|report| report.faults.values().sum());
    counted("processes that ended by themselves", &|report| {
        report.ended.values().sum()
    });
    counted("changes checked", &|report| report.verdict.changes);
    counted("sums compared with a limit", &|report| report.verdict.sums);
    counted("set aside", &|report| report.verdict.set_aside);
    counted("violations", &|report| report.violations().len() as u64);
    let mut measured = |what: &str, of: &dyn Fn(&Report) -> f64| {
        let each = || reports.iter().map(of);
        let least = each().min_by(f64::total_cmp).unwrap_or_default();
        let most = each().max_by(f64::total_cmp).unwrap_or_default();
        table.row([
            what.to_owned(),
            String::new(),
            format!("{least:.0}"),
            format!("{most:.0}"),
        ]);
    };
    measured("longest hold, s", &|report| {
        let fates = report.holds.values().map(|fate| fate.longest);
        fates.max_by(f64::total_cmp).unwrap_or_default()
    });
    measured("minutes", &|report| report.took.as_secs_f64() / 60.0);
    measured("at rest after, s", &|report| {
        report.rest.map_or(f64::INFINITY, |rest| rest.as_secs_f64())
    });
    table.print();
    println!();

    let mut faults: BTreeMap<&str, u64> = BTreeMap::new();
    for (fault, times) in reports.iter().flat_map(|report| &report.faults) {
        *faults.entry(fault).or_default() += times;
    }
    let mut table = Table::new(["fault", "times in all"]);
    for (fault, times) in faults {
        table.row([fault.to_owned(), times.to_string()]);
    }
    table.print();
}
