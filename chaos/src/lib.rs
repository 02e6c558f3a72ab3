//! Sluice under fire: thousands of seeded operations by many clients on a real control plane with three webhooks and two controllers,
//! while processes die and freeze, connections break, etcd is slow, watches stand still and a sibling webhook refuses. Then a checker
//! reads what happened from etcd's revisions and says whether every promise held.
//!
//! What happens is a pure function of the seed ([`plan`]); the interleaving is the machine's. What must hold is in [`check`] (history),
//! [`answers`] (what clients were told) and [`history::State::unrest`] (the end). `sluice-bench chaos` runs it at length,
//! `tests/tests/chaos.rs` briefly.

pub mod answers;
pub mod charge;
pub mod check;
pub mod client;
pub mod dice;
pub mod etcd;
pub mod faults;
pub mod history;
pub mod holds;
pub mod kept;
pub mod member;
pub mod news;
pub mod objects;
pub mod place;
pub mod plan;
pub mod player;
pub mod proxy;
pub mod report;
pub mod sibling;
pub mod stage;
pub mod sums;

use anyhow::Context as _;
use check::{Promise, Violation};
use client::{Book, User};
use etcd::Reader;
pub use report::Report;
use sluice_cluster::Assets;
use stage::Stage;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// From the last fault until nothing is held and every count is exact: a hold whose write never came is looked at after 90 s.
const REST_WITHIN: Duration = Duration::from_mins(5);
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// Whether a run waits for its end, when nothing is held and every count is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It does.
    Always,
    /// It does not: for builds that are broken on purpose, which need not come to rest.
    Never,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary under fire.
    pub sluice: PathBuf,
    /// The seed.
    pub seed: u64,
    /// How many operations.
    pub operations: u64,
    /// How many clients at once.
    pub clients: usize,
    /// End after so long, however many operations are left.
    pub at_most: Option<Duration>,
    /// Programs of the control plane, if somebody has them already.
    pub assets: Option<Assets>,
    /// Variables for webhooks and controllers.
    pub env: Vec<(String, String)>,
    /// Whether its end is waited for.
    pub rest: Rest,
    /// Where the history is kept; `None`: in a temporary folder, if a promise is broken.
    pub keep: Option<PathBuf>,
    /// The command that does this again, for whoever reads the report.
    pub command: String,
}

/// Runs it, checks it, takes everything down.
///
/// # Errors
/// The control plane does not come up or is not to be had back; a broken promise is no error, it is in the report.
pub async fn run(settings: &Settings) -> anyhow::Result<Report> {
    let stage = Stage::set(
        &settings.sluice,
        settings.seed,
        settings.assets.clone(),
        &settings.env,
    )
    .await
    .context("setting the stage")?;
    let stage = Arc::new(stage);
    let result = play(settings, &stage).await;
    if !result.as_ref().is_ok_and(Report::is_clean)
        && let Err(error) = keep_logs(&stage, settings)
    {
        eprintln!("chaos: the logs are lost: {error:#}");
    }
    if let Some(stage) = Arc::into_inner(stage) {
        stage.strike().await?;
    }
    result
}

/// Where a run leaves its files, beside those of other runs.
fn file_of(settings: &Settings, name: &str) -> anyhow::Result<PathBuf> {
    let folder = match &settings.keep {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("sluice-chaos-{}", std::process::id())),
    };
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let words = settings.env.iter().map(|(_, word)| format!("-{word}"));
    let broken: String = words.collect();
    Ok(folder.join(format!("{}{broken}{name}", settings.seed)))
}

fn keep_logs(stage: &Stage, settings: &Settings) -> anyhow::Result<()> {
    let to = file_of(settings, "-logs")?;
    let copied = std::process::Command::new("cp")
        .arg("-rT")
        .arg(stage::logs(&stage.cluster))
        .arg(&to)
        .status()?;
    anyhow::ensure!(copied.success(), "cp: {copied}");
    eprintln!("chaos: the logs are in {}", to.display());
    Ok(())
}

fn keep_history(
    settings: &Settings,
    report: &Report,
    tape: &etcd::Tape,
    book: &Book,
) -> anyhow::Result<()> {
    let to = file_of(settings, ".json")?;
    kept::keep(report, &tape.changes, &book.attempts(), &to)?;
    eprintln!(
        "chaos: to judge it again: sluice-bench chaos --judge {}",
        to.display()
    );
    Ok(())
}

fn not_at_rest(unrest: Vec<String>) -> impl Iterator<Item = Violation> {
    unrest.into_iter().map(|seen| Violation {
        promise: Promise::ExactAtRest,
        revision: None,
        operation: None,
        seen,
    })
}

async fn play(settings: &Settings, stage: &Arc<Stage>) -> anyhow::Result<Report> {
    let reader = Reader::new(stage.etcd_port);
    let mut helpers = JoinSet::new();
    helpers.spawn(reader.clone().read());
    reader.caught_up(Duration::from_mins(1)).await?;
    helpers.spawn(player::play(
        stage.client.clone(),
        reader.clone(),
        settings.seed,
    ));

    let began = Instant::now();
    let book = Arc::new(Book::default());
    let counts = Arc::new(Mutex::new(faults::Counts::new()));
    let ended = Arc::new(Mutex::new(0));
    let plan = plan::faults(settings.seed, settings.operations);
    let injector = tokio::spawn(faults::inject(
        Arc::clone(stage),
        Arc::clone(&book),
        plan,
        Arc::clone(&counts),
    ));
    helpers.spawn(tend(
        Arc::clone(stage),
        Arc::clone(&ended),
        Arc::clone(&book),
        reader.clone(),
        settings.seed,
    ));
    let mut users = JoinSet::new();
    for _ in 0..settings.clients {
        let user = User {
            client: stage.client.clone(),
            reader: reader.clone(),
            book: Arc::clone(&book),
            seed: settings.seed,
            operations: settings.operations,
            until: settings.at_most.map(|time| began + time),
        };
        users.spawn(user.work());
    }
    while let Some(done) = users.join_next().await {
        done??;
    }
    let took = began.elapsed();
    let operations = book.next.load(Ordering::Relaxed).min(settings.operations);
    // Whoever stops early leaves the faults of later operations out.
    book.next.store(u64::MAX, Ordering::Relaxed);
    injector.await??;

    let mut report = Report {
        seed: settings.seed,
        command: settings.command.clone(),
        operations,
        took,
        ..Report::default()
    };
    let unrest = match settings.rest {
        Rest::Never => {
            reader.caught_up(Duration::from_secs(30)).await?;
            Vec::new()
        }
        Rest::Always => {
            let rest = Instant::now();
            let unrest = at_rest(&reader).await;
            report.rest = unrest.is_empty().then(|| rest.elapsed());
            unrest
        }
    };
    helpers.shutdown().await;

    let tape = reader.tape();
    if let Some(why) = &tape.unreadable {
        anyhow::bail!("etcd holds what cannot be read: {why}");
    }
    report.revision = tape.revision;
    report.holds = tape.holds.fates(&book.sent(), Instant::now());
    report.verdict = check::check(&tape.changes, &book.attempts(), plan::enforces);
    let mut tally = std::mem::take(&mut *book.tally());
    report.verdict.violations.append(&mut tally.violations);
    report.verdict.violations.extend(not_at_rest(unrest));
    if (settings.keep.is_some() || !report.is_clean())
        && let Err(error) = keep_history(settings, &report, &tape, &book)
    {
        eprintln!("chaos: the history is lost: {error:#}");
    }
    drop(tape);
    report.answers = tally.counts;
    report.unheard = tally.unheard;
    report.faults = std::mem::take(&mut *counts.lock().unwrap_or_else(PoisonError::into_inner));
    for (name, member) in ["webhook", "controller"]
        .into_iter()
        .zip([&stage.webhooks, &stage.controllers])
    {
        let times = member.iter().map(member::Member::ended).sum();
        report.ended.insert(name.to_owned(), times);
    }
    let times = *ended.lock().unwrap_or_else(PoisonError::into_inner);
    report.ended.insert("API server or etcd".to_owned(), times);
    Ok(report)
}

/// Starts again what ends by itself, and tells how it goes.
async fn tend(
    stage: Arc<Stage>,
    ended: Arc<Mutex<u64>>,
    book: Arc<Book>,
    reader: Reader,
    seed: u64,
) {
    let mut told = Instant::now();
    loop {
        let now = (Instant::now().into_std(), reader.revision());
        book.attempts().clock.push(now);
        sleep(Duration::from_millis(500)).await;
        match stage.tend().await {
            Ok(true) => *ended.lock().unwrap_or_else(PoisonError::into_inner) += 1,
            Ok(false) => {}
            Err(error) => eprintln!("chaos: {error:#}"),
        }
        let begun = book.next.load(Ordering::Relaxed);
        if told.elapsed() > PROGRESS && begun != u64::MAX {
            told = Instant::now();
            eprintln!(
                "chaos: seed {seed}: {begun} operations, etcd's revision {}",
                reader.revision()
            );
        }
    }
}

/// Waits until nothing is held and every count is exact; what is not, if it never comes to that.
async fn at_rest(reader: &Reader) -> Vec<String> {
    let deadline = Instant::now() + REST_WITHIN;
    loop {
        let unrest = match reader.caught_up(Duration::from_secs(30)).await {
            Ok(()) => reader.tape().state.unrest(),
            Err(error) => vec![format!("{error:#}")],
        };
        if unrest.is_empty() || Instant::now() > deadline {
            return unrest;
        }
        sleep(Duration::from_millis(250)).await;
    }
}
