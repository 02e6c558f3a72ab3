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
use crate::order::order;
use crate::stage::{Side, Stage};
use crate::stats::{Better, LEGEND, Pooled, Ratio, Spread, percentile};
use crate::table::Table;
use crate::usage;
use anyhow::Context as _;
use clap::Args;
use hyper::body::Bytes;
use std::collections::BTreeMap;

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

/// Sides that are compared, and to whom Sluice is held.
struct Contest {
    sides: &'static [Side],
    ours: Side,
    /// Whose place it would take: rates and latencies are held to it.
    peer: Side,
    /// What costs least of what does something alike: rates are held to it.
    least: Side,
    /// The heads of the two columns.
    columns: [&'static str; 2],
}

/// Rules and defaults.
const RULES: Contest = Contest {
    sides: &[
        Side::None,
        Side::Noop,
        Side::Policies,
        Side::Gatekeeper,
        Side::Sluice,
    ],
    ours: Side::Sluice,
    peer: Side::Gatekeeper,
    least: Side::Noop,
    columns: ["of Gatekeeper's", "of the do-nothing pair's"],
};
/// The same and a limit on the sum of a namespace.
const QUOTAS: Contest = Contest {
    sides: &[Side::InTree, Side::GatekeeperQuota, Side::SluiceQuota],
    ours: Side::SluiceQuota,
    peer: Side::GatekeeperQuota,
    least: Side::InTree,
    columns: ["of Gatekeeper's", "of the in-tree quota's"],
};
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
    for side in RULES.sides {
        proof::judges(stage, *side).await?;
    }
    let body = Bytes::from(objects::to_create(1536).to_string());
    println!(
        "FlinkDeployments of {} bytes, CRD: {}. Gatekeeper {}. {} rounds of {} creates a side; the sides take turns on \
         one API server, in a balanced order. Rates: median (min to max) of the rounds. {LEGEND} Percentiles: of all \
         creates. CPU: µs a create, median. Memory: resident, the most that was seen after a round.\n",
        body.len(),
        stage.crd,
        sluice_cluster::Binary::Gatekeeper.version(),
        options.rounds,
        options.creates
    );
    println!("### Rules and defaults\n");
    compare(options, stage, &body, &RULES).await?;
    gatekeeper::limit(stage).await?;
    for side in QUOTAS.sides {
        proof::judges(stage, *side).await?;
    }
    println!("\n### A limit on the sum\n");
    compare(options, stage, &body, &QUOTAS).await?;
    println!("\n### A limit on the sum, and a crowd\n");
    crowd::run(stage, &body).await
}

/// Measures the sides and says how ours does.
async fn compare(
    options: &Options,
    stage: &Stage,
    body: &Bytes,
    contest: &Contest,
) -> anyhow::Result<()> {
    let [of_peer, of_least] = contest.columns;
    let mut table = Table::new([
        "connections",
        "side",
        "creates/s",
        of_peer,
        of_least,
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
        let figures = rounds(options, stage, body, contest.sides, *connections).await?;
        let rates = |side| figures.get(&side).map_or(&[][..], |figures| &figures.rate);
        for side in contest.sides {
            let Some(figures) = figures.get(side) else {
                continue;
            };
            let [p50, p90, p99, p999] = figures.percentiles();
            table.row([
                connections.to_string(),
                side.title().to_owned(),
                Spread::of(figures.rate.iter().copied()).show(0),
                Ratio::of(&figures.rate, rates(contest.peer)).show(2, Better::More),
                Ratio::of(&figures.rate, rates(contest.least)).show(2, Better::More),
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
        if let (Some(theirs), Some(ours)) = (figures.get(&contest.peer), figures.get(&contest.ours))
        {
            let [p50, p90, p99] = ours
                .shares_of(theirs)
                .map(|share| share.show(2, Better::Less));
            let tail = ours.latencies.ratio(&theirs.latencies, 0.999);
            shares.row([connections.to_string(), p50, p90, p99, tail]);
        }
    }
    table.print();
    println!(
        "\n{}'s latency as a share of {}'s in the same round:\n",
        contest.ours.title(),
        contest.peer.title()
    );
    shares.print();
    Ok(())
}

async fn rounds(
    options: &Options,
    stage: &Stage,
    body: &Bytes,
    sides: &[Side],
    connections: usize,
) -> anyhow::Result<BTreeMap<Side, Figures>> {
    let mut load = stage.api_server.connect(connections).await?;
    let mut figures: BTreeMap<Side, Figures> = BTreeMap::new();
    for round in 0..=options.rounds {
        let mut taken = BTreeMap::new();
        for side in order(sides.len(), round) {
            let Some(side) = sides.get(side) else {
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
        for (side, (turn, memory)) in taken {
            figures.entry(side).or_default().add(turn, memory);
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
    latencies: Pooled,
    cpu: BTreeMap<String, Vec<f64>>,
    memory: f64,
    refused: usize,
    message: Option<String>,
}

impl Figures {
    fn add(&mut self, mut turn: Turn, memory: f64) {
        self.rate.push(turn.burst.rate());
        for (process, micros) in turn.cpu_micros {
            self.cpu.entry(process).or_default().push(micros);
        }
        self.memory = self.memory.max(memory);
        self.refused += turn.burst.refused.len();
        self.message = self.message.take().or(turn.burst.refused.pop());
        self.latencies.add(turn.burst.latencies);
    }

    /// Of all creates, in ms.
    fn percentiles(&self) -> [f64; 4] {
        PERCENTILES.map(|share| self.latencies.percentile(share).as_secs_f64() * 1e3)
    }

    /// The first three percentiles of each round as shares of the other side's in the same round.
    fn shares_of(&self, other: &Self) -> [Ratio; 3] {
        [0.5, 0.9, 0.99].map(|share| {
            let of = |figures: &Self| -> Vec<f64> {
                let rounds = figures.latencies.rounds().iter();
                rounds
                    .map(|latencies| percentile(&mut latencies.clone(), share).as_secs_f64())
                    .collect()
            };
            Ratio::of(&of(self), &of(other))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Burst;
    use std::time::Duration;

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
            ours.add(turn(&our), 1.0);
            theirs.add(turn(&their), 2.0);
        }
        let [p50, ..] = ours.shares_of(&theirs);
        assert_eq!(p50.show(2, Better::Less), "0.60 [0.50 to 0.70], 2 of 2");
        let [.., tail] = ours.percentiles();
        assert_eq!(format!("{tail:.1}"), "28.0");
        assert_eq!(
            ours.latencies.ratio(&theirs.latencies, 0.5),
            "0.70 [0.50 to 0.70]"
        );
    }
}
