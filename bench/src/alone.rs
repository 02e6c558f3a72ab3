//! The webhook alone over TLS: Sluice's and the do-nothing one, each held to the first core, loaded in turns from the second.

use crate::order::order;
use crate::plane::{Plane, TASKSET};
use crate::reviews::{Create, Run};
use crate::stage::{build_noop, leaf};
use crate::stats::{Better, LEGEND, Ratio, Spread, percentile};
use crate::table::Table;
use crate::target::{Connection, Target};
use crate::usage;
use anyhow::Context as _;
use base64::Engine as _;
use clap::Args;
use hyper::body::Bytes;
use sluice_cluster::{Process, ProcessSpec, free_loopback_port};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds; all sides take their turn in each.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Reviews a round, side and call over connections that stay open.
    #[arg(long, default_value_t = 4000)]
    reviews: usize,
    /// Reviews a round, side and call on a connection each.
    #[arg(long, default_value_t = 400)]
    connects: usize,
    /// Reviews at once: on a connection each, or on a stream each of one connection.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Size of the object in bytes of JSON.
    #[arg(long, default_value_t = 1536)]
    bytes: usize,
    /// Record where Sluice's CPU goes meanwhile, with perf(1), into this file, instead of measuring.
    #[arg(long)]
    profile: Option<PathBuf>,
}

/// How long a profile is recorded.
const PROFILED_FOR: &str = "15";

/// The core of who is measured, and that of who asks.
const CORES: [usize; 2] = [0, 1];

/// How connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One HTTP/2 connection with a stream for each that asks: what the API server does with a webhook's address.
    Streams,
    /// An HTTP/1.1 connection for each that asks.
    KeptAlive,
    /// An HTTP/1.1 connection for each review.
    New,
}

struct Judge {
    title: &'static str,
    target: Target,
    pid: u32,
}

/// Starts both, loads them, prints the table.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let plane = Plane::set(1).await?;
    let measured = on(options, &plane).await;
    plane.strike().await;
    measured
}

async fn on(options: &Options, plane: &Plane) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let webhook = plane.webhook(Some(CORES[0])).await?;
    let (noop, noop_target) = noop(folder.path()).await?;
    pin_ourselves()?;
    let judges = [
        Judge {
            title: "do-nothing (Go)",
            target: noop_target,
            pid: noop.pid(),
        },
        Judge {
            title: "Sluice",
            target: plane.target(&webhook).await?,
            pid: webhook.process.pid(),
        },
    ];
    let measured = match &options.profile {
        None => measure(options, &judges).await,
        Some(file) => profile(options, &judges[1], file).await,
    };
    webhook.process.stop(Duration::from_secs(5)).await;
    noop.stop(Duration::from_secs(2)).await;
    measured
}

async fn noop(folder: &std::path::Path) -> anyhow::Result<(Process, Target)> {
    let binary = build_noop(folder)?;
    let (authority, certificate, key) = leaf(folder)?;
    let port = free_loopback_port()?;
    let spec = ProcessSpec::new("noop-webhook", TASKSET, folder.join("noop.log"))
        .args(["-c".to_owned(), CORES[0].to_string()])
        .arg(binary)
        .args(["--listen".to_owned(), format!("127.0.0.1:{port}")])
        .arg("--cert")
        .arg(certificate)
        .arg("--key")
        .arg(key);
    let process = Process::spawn(spec)?;
    let pem = base64::engine::general_purpose::STANDARD.decode(authority)?;
    let target = Target::new(port, &pem)?;
    let began = Instant::now();
    while target.connect().await.is_err() {
        anyhow::ensure!(
            began.elapsed() < Duration::from_secs(20),
            "the do-nothing webhook does not answer: {}",
            process.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((process, target))
}

fn pin_ourselves() -> anyhow::Result<()> {
    let done = std::process::Command::new(TASKSET)
        .args(["-a", "-c", "-p", &CORES[1].to_string()])
        .arg(std::process::id().to_string())
        .output()
        .context("taskset")?;
    anyhow::ensure!(
        done.status.success(),
        "this needs two cores: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

fn calls(options: &Options) -> anyhow::Result<[(&'static str, Bytes); 2]> {
    let create = Create::of_size(options.bytes)?;
    Ok([
        ("/mutate?timeout=5s", create.mutate("bench", "alone")?),
        (
            "/validate?timeout=5s",
            create.validate("bench", "alone", Run::Dry)?,
        ),
    ])
}

/// Loads one webhook for as long as perf records it.
async fn profile(options: &Options, judge: &Judge, file: &Path) -> anyhow::Result<()> {
    let calls = calls(options)?;
    let mut perf = tokio::process::Command::new("perf")
        .args([
            "record",
            "-e",
            "cpu-clock",
            "-F",
            "499",
            "--call-graph",
            "dwarf",
            "-o",
        ])
        .arg(file)
        .args(["-p", &judge.pid.to_string(), "--", "sleep", PROFILED_FOR])
        .kill_on_drop(true)
        .spawn()
        .context("perf, of Debian's package linux-perf")?;
    let status = loop {
        for (path, review) in &calls {
            burst(
                judge,
                Way::KeptAlive,
                path,
                review,
                1000,
                options.connections,
            )
            .await?;
        }
        if let Some(status) = perf.try_wait()? {
            break status;
        }
    };
    anyhow::ensure!(status.success(), "perf record: {status}");
    println!("recorded: {}", file.display());
    Ok(())
}

async fn measure(options: &Options, judges: &[Judge]) -> anyhow::Result<()> {
    let calls = calls(options)?;
    println!(
        "Creates of a FlinkDeployment, {} and {} bytes of review; the webhook on one core, the load ({} reviews at once) on \
         the other. Median (min to max) over {} rounds, the sides taking turns in a balanced order. {LEGEND}\n",
        calls[0].1.len(),
        calls[1].1.len(),
        options.connections,
        options.rounds
    );
    let mut table = Table::new([
        "connections",
        "call",
        "webhook",
        "reviews/s",
        "of do-nothing",
        "p50, ms",
        "p99, ms",
        "p99.9, ms",
        "CPU, µs a review",
    ]);
    for (way, name, count) in [
        (Way::Streams, "one, HTTP/2", options.reviews),
        (Way::KeptAlive, "kept alive", options.reviews),
        (Way::New, "new for each", options.connects),
    ] {
        for (path, review) in &calls {
            let mut figures: Vec<Figures> = judges.iter().map(|_| Figures::default()).collect();
            for round in 0..=options.rounds {
                for side in order(judges.len(), round) {
                    let (Some(judge), Some(figures)) = (judges.get(side), figures.get_mut(side))
                    else {
                        continue;
                    };
                    let taken = burst(judge, way, path, review, count, options.connections).await?;
                    if round > 0 {
                        figures.add(taken);
                    }
                }
            }
            // The do-nothing one.
            let base = figures
                .first()
                .map_or_else(Vec::new, |figures| figures.rate.clone());
            for (judge, mut figures) in judges.iter().zip(figures) {
                let tail = percentile(&mut figures.all, 0.999).as_secs_f64() * 1e3;
                table.row([
                    name.to_owned(),
                    path.split('?').next().unwrap_or_default().to_owned(),
                    judge.title.to_owned(),
                    Spread::of(figures.rate.iter().copied()).show(0),
                    Ratio::of(&figures.rate, &base).show(2, Better::More),
                    Spread::of(figures.p50).show(2),
                    Spread::of(figures.p99).show(2),
                    format!("{tail:.2}"),
                    Spread::of(figures.cpu).show(0),
                ]);
            }
        }
    }
    table.print();
    Ok(())
}

struct Taken {
    rate: f64,
    latencies: Vec<Duration>,
    cpu: f64,
}

#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    all: Vec<Duration>,
}

impl Figures {
    fn add(&mut self, mut taken: Taken) {
        self.rate.push(taken.rate);
        let mut millis = |share| percentile(&mut taken.latencies, share).as_secs_f64() * 1e3;
        self.p50.push(millis(0.5));
        self.p99.push(millis(0.99));
        self.cpu.push(taken.cpu);
        self.all.append(&mut taken.latencies);
    }
}

/// So many reviews from so many askers, each its next as soon as it has an answer.
async fn burst(
    judge: &Judge,
    way: Way,
    path: &'static str,
    review: &Bytes,
    count: usize,
    connections: usize,
) -> anyhow::Result<Taken> {
    let mut open: Vec<Option<Connection>> = Vec::with_capacity(connections);
    match way {
        Way::Streams => {
            let streams = judge.target.streams(connections).await?;
            open.extend(streams.into_iter().map(Some));
        }
        Way::KeptAlive => {
            for _ in 0..connections {
                open.push(Some(judge.target.connect().await?));
            }
        }
        Way::New => open.resize_with(connections, || None),
    }
    let taken = Rc::new(Cell::new(0));
    let before = usage::cpu(judge.pid)?;
    let began = Instant::now();
    let askers = open.into_iter().map(|kept| {
        let taken = Rc::clone(&taken);
        async move {
            let mut kept = kept;
            let mut latencies = Vec::new();
            while taken.get() < count {
                taken.set(taken.get() + 1);
                let asked = Instant::now();
                if let Some(connection) = &mut kept {
                    connection.allowed(path, review.clone()).await?;
                } else {
                    let mut connection = judge.target.connect().await?;
                    connection.allowed(path, review.clone()).await?;
                }
                latencies.push(asked.elapsed());
            }
            anyhow::Ok(latencies)
        }
    });
    let latencies = futures::future::try_join_all(askers).await?.concat();
    let took = began.elapsed();
    let cpu = usage::cpu(judge.pid)?.saturating_sub(before);
    #[allow(clippy::cast_precision_loss)] // counts are small
    let count = latencies.len() as f64;
    Ok(Taken {
        rate: count / took.as_secs_f64().max(f64::EPSILON),
        cpu: cpu.as_secs_f64() * 1e6 / count,
        latencies,
    })
}
