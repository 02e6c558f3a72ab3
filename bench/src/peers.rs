//! Sluice beside what people would use instead, on one API server and in one run: the same FlinkDeployments, created
//! through each side in turn. The policies are in [`policy`], how they get
//! into the cluster in [`gatekeeper`] and [`install`], that each judges as it
//! should in [`proof`], and what a sum over a copy lets through in [`crowd`].

mod crowd;
mod gatekeeper;
mod install;
pub mod policy;
mod proof;

use crate::admission::{Turn, cpu_of, turn_of};
use crate::objects;
use crate::stage::{Side, Stage};
use crate::stats::{Spread, percentile};
use crate::table::Table;
use crate::usage;
use anyhow::Context as _;
use clap::Args;
use hyper::body::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds for each number of connections; all sides take their turn in each.
    #[arg(long, default_value_t = 20)]
    rounds: usize,
    /// Creates a round and side. The last percentile needs some ten thousand over all rounds.
    #[arg(long, default_value_t = 500)]
    creates: usize,
    /// Connections at once (repeatable).
    #[arg(long, default_values_t = [8, 64])]
    connections: Vec<usize>,
}

/// Rules and defaults.
const RULES: [Side; 5] = [
    Side::None,
    Side::Noop,
    Side::Policies,
    Side::Gatekeeper,
    Side::Sluice,
];
/// The same and a limit on the sum of a namespace.
const QUOTAS: [Side; 3] = [Side::InTree, Side::GatekeeperQuota, Side::SluiceQuota];
/// Shares of the creates that are faster.
const PERCENTILES: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// All tables.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    // Long before anything is started: the build takes minutes, once.
    gatekeeper::build().await?;
    let mut stage = Stage::set().await?;
    let measured = all(options, &mut stage).await;
    stage.strike().await;
    measured
}

async fn all(options: &Options, stage: &mut Stage) -> anyhow::Result<()> {
    gatekeeper::start(stage).await?;
    install::policies(stage).await?;
    install::sluice(stage).await?;
    for side in RULES {
        proof::judges(stage, side).await?;
    }
    let body = Bytes::from(objects::to_create(1536).to_string());
    println!(
        "FlinkDeployments of {} bytes, CRD: {}. Gatekeeper {}. {} rounds of {} creates a side; the sides take turns on \
         one API server. Rates and ratios: median (min to max) of the rounds. Percentiles: of all creates. CPU: µs a \
         create, median. Memory: resident, the most that was seen after a round.\n",
        body.len(),
        stage.crd,
        sluice_cluster::Binary::Gatekeeper.version(),
        options.rounds,
        options.creates
    );
    println!("### Rules and defaults\n");
    compare(
        options,
        stage,
        &body,
        &RULES,
        (Side::Gatekeeper, Side::Sluice),
    )
    .await?;
    gatekeeper::limit(stage).await?;
    for side in QUOTAS {
        proof::judges(stage, side).await?;
    }
    println!("\n### A limit on the sum\n");
    let pair = (Side::GatekeeperQuota, Side::SluiceQuota);
    compare(options, stage, &body, &QUOTAS, pair).await?;
    println!("\n### A limit on the sum, and a crowd\n");
    crowd::run(stage, &body).await
}

/// Measures `sides` and says how the second of `pair` does against the first.
async fn compare(
    options: &Options,
    stage: &Stage,
    body: &Bytes,
    sides: &[Side],
    pair: (Side, Side),
) -> anyhow::Result<()> {
    let mut table = Table::new([
        "connections",
        "side",
        "creates/s",
        "of Gatekeeper's",
        "p50, ms",
        "p90, ms",
        "p99, ms",
        "p99.9, ms",
        "webhook CPU",
        "API server CPU",
        "webhook MiB",
        "refused",
    ]);
    let mut shares = Table::new(["connections", "p50", "p90", "p99", "p99.9, of all creates"]);
    for connections in &options.connections {
        let mut figures = rounds(options, stage, body, sides, pair.0, *connections).await?;
        for side in sides {
            let Some(figures) = figures.get_mut(side) else {
                continue;
            };
            let [p50, p90, p99, p999] = figures.percentiles();
            table.row([
                connections.to_string(),
                side.title().to_owned(),
                Spread::of(figures.rate.iter().copied()).show(0),
                Spread::of(figures.ratio.iter().copied()).show(2),
                format!("{p50:.1}"),
                format!("{p90:.1}"),
                format!("{p99:.1}"),
                format!("{p999:.1}"),
                cpu_of(&figures.cpu, side.judge().unwrap_or_default()),
                cpu_of(&figures.cpu, "kube-apiserver"),
                side.judge()
                    .map_or_else(|| "-".to_owned(), |_| format!("{:.0}", figures.memory)),
                figures.refused.to_string(),
            ]);
            if let Some(message) = &figures.message {
                println!("{}, for example: {message}", side.title());
            }
        }
        if let (Some(mut theirs), Some(mut ours)) =
            (figures.remove(&pair.0), figures.remove(&pair.1))
        {
            let [p50, p90, p99] = ours.shares_of(&theirs).map(|share| share.show(2));
            let (all, yardstick) = (ours.percentiles(), theirs.percentiles());
            let [.., tail] = all;
            let [.., their_tail] = yardstick;
            let tail = format!("{:.2}", tail / their_tail.max(f64::EPSILON));
            shares.row([connections.to_string(), p50, p90, p99, tail]);
        }
    }
    table.print();
    println!(
        "\n{}'s latency as a share of {}'s in the same round:\n",
        pair.1.title(),
        pair.0.title()
    );
    shares.print();
    Ok(())
}

async fn rounds(
    options: &Options,
    stage: &Stage,
    body: &Bytes,
    sides: &[Side],
    yardstick: Side,
    connections: usize,
) -> anyhow::Result<BTreeMap<Side, Figures>> {
    let mut load = stage.api_server.connect(connections).await?;
    let mut figures: BTreeMap<Side, Figures> = BTreeMap::new();
    for round in 0..=options.rounds {
        let mut taken = BTreeMap::new();
        for turn in 0..sides.len() {
            // Each round begins with another side.
            let Some(side) = sides.iter().cycle().nth(round + turn) else {
                continue;
            };
            let turn = turn_of(*side, stage, &mut load, body, options.creates).await?;
            taken.insert(*side, (turn, memory(stage, *side)?));
        }
        stage.sweep(sides).await?;
        if round == 0 {
            continue; // warms up connections, caches and compiled expressions
        }
        eprintln!(
            "{connections} connections: round {round} of {}",
            options.rounds
        );
        let base = taken
            .get(&yardstick)
            .map_or(0.0, |(turn, _)| turn.burst.rate());
        for (side, (turn, memory)) in taken {
            figures.entry(side).or_default().add(turn, memory, base);
        }
    }
    Ok(figures)
}

/// Resident MiB of the process that judges; 0 without one.
fn memory(stage: &Stage, side: Side) -> anyhow::Result<f64> {
    let Some(judge) = side.judge() else {
        return Ok(0.0);
    };
    let processes = stage.processes()?;
    let pid = processes
        .get(judge)
        .with_context(|| format!("{judge} is not running"))?;
    Ok(usage::memory(*pid)?.resident)
}

/// Of one side over the rounds.
#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    ratio: Vec<f64>,
    /// Latencies, a list a round.
    latencies: Vec<Vec<Duration>>,
    cpu: BTreeMap<String, Vec<f64>>,
    memory: f64,
    refused: usize,
    message: Option<String>,
}

impl Figures {
    fn add(&mut self, mut turn: Turn, memory: f64, base: f64) {
        let rate = turn.burst.rate();
        self.rate.push(rate);
        self.ratio.push(rate / base.max(f64::EPSILON));
        for (process, micros) in turn.cpu_micros {
            self.cpu.entry(process).or_default().push(micros);
        }
        self.memory = self.memory.max(memory);
        self.refused += turn.burst.refused.len();
        self.message = self.message.take().or(turn.burst.refused.pop());
        self.latencies.push(turn.burst.latencies);
    }

    /// Of all creates, in ms.
    fn percentiles(&mut self) -> [f64; 4] {
        let mut all = self.latencies.concat();
        PERCENTILES.map(|share| percentile(&mut all, share).as_secs_f64() * 1e3)
    }

    /// The first three percentiles of each round as shares of the other side's in the same round.
    fn shares_of(&mut self, other: &Self) -> [Spread; 3] {
        [0.5, 0.9, 0.99].map(|share| {
            let rounds = self.latencies.iter().zip(&other.latencies);
            Spread::of(rounds.map(|(ours, theirs)| {
                let of = |latencies: &[Duration]| {
                    percentile(&mut latencies.to_vec(), share).as_secs_f64()
                };
                of(ours) / of(theirs).max(f64::EPSILON)
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Burst;

    #[test]
    fn shares_are_taken_within_a_round() {
        let turn = |millis: &[u64]| Turn {
            burst: Burst {
                latencies: millis.iter().copied().map(Duration::from_millis).collect(),
                took: Duration::from_secs(1),
                refused: Vec::new(),
            },
            cpu_micros: BTreeMap::new(),
        };
        let (mut ours, mut theirs) = (Figures::default(), Figures::default());
        for (our, their) in [([1, 1, 1], [2, 2, 2]), ([28, 28, 28], [40, 40, 40])] {
            ours.add(turn(&our), 1.0, 3.0);
            theirs.add(turn(&their), 2.0, 3.0);
        }
        let [p50, ..] = ours.shares_of(&theirs);
        assert_eq!(p50.show(2), "0.60 (0.50 to 0.70)");
        let [.., tail] = ours.percentiles();
        assert_eq!(format!("{tail:.1}"), "28.0");
        assert_eq!(Spread::of(ours.ratio).show(1), "1.0 (1.0 to 1.0)");
    }
}
