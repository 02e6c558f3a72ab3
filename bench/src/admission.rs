//! Creates a second through the API server: Sluice's pair against the do-nothing pair and nothing at all, and Sluice's
//! quota against the in-tree one. The sides alternate in short rounds; what counts is their ratio within a round.

use crate::load::{Burst, Load};
use crate::objects;
use crate::order::order;
use crate::stage::{Side, Stage};
use crate::stats::{Better, LEGEND, Ratio, Spread, percentile};
use crate::table::Table;
use crate::usage;
use anyhow::bail;
use clap::Args;
use hyper::body::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Rounds for each number of connections; all sides take their turn in each.
    #[arg(long, default_value_t = 12)]
    rounds: usize,
    /// Creates a round and side. The API server collects its garbage every few hundred: with fewer a round holds one collection or none.
    #[arg(long, default_value_t = 1500)]
    creates: usize,
    /// Connections at once (repeatable).
    #[arg(long, default_values_t = [8, 64])]
    connections: Vec<usize>,
}

/// Both webhooks against a pair that does nothing.
pub async fn admission(options: &Options) -> anyhow::Result<()> {
    compare(options, &[Side::None, Side::Noop, Side::Sluice], Side::Noop).await
}

/// A quota charged on every create against the in-tree one. Beside them: no admission at all, which tells what the
/// in-tree one costs, and the in-tree one behind a single webhook, which tells what calling one alone costs.
pub async fn quota(options: &Options) -> anyhow::Result<()> {
    let sides = [
        Side::None,
        Side::InTree,
        Side::InTreeOne,
        Side::InTreeNoop,
        Side::SluiceQuota,
    ];
    compare(options, &sides, Side::InTree).await
}

async fn compare(options: &Options, sides: &[Side], yardstick: Side) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let measured = measure(options, sides, yardstick, &stage).await;
    stage.strike().await;
    measured
}

async fn measure(
    options: &Options,
    sides: &[Side],
    yardstick: Side,
    stage: &Stage,
) -> anyhow::Result<()> {
    let body = Bytes::from(objects::to_create(1536).to_string());
    println!(
        "FlinkDeployments of {} bytes, CRD: {}. Median (min to max) over {} rounds of {} creates; the sides take turns \
         on one API server, in a balanced order. {LEGEND} The yardstick: {}.\n",
        body.len(),
        stage.crd,
        options.rounds,
        options.creates,
        yardstick.title()
    );
    let mut table = Table::new([
        "connections",
        "side",
        "creates/s",
        "of the yardstick",
        "p50, ms",
        "p99, ms",
        "webhook CPU, µs a create",
        "API server",
        "etcd",
        "controller",
        "refused",
    ]);
    for connections in &options.connections {
        let mut load = stage.api_server.connect(*connections).await?;
        let mut figures: BTreeMap<Side, Figures> = BTreeMap::new();
        for round in 0..=options.rounds {
            let mut taken = BTreeMap::new();
            for side in order(sides.len(), round) {
                let Some(side) = sides.get(side) else {
                    continue;
                };
                taken.insert(
                    *side,
                    turn_of(*side, stage, &mut load, &body, options.creates).await?,
                );
            }
            stage.sweep(sides).await?;
            if round == 0 {
                continue; // warms up connections, caches and the API server's compiled expressions
            }
            for (side, turn) in taken {
                figures.entry(side).or_default().add(turn);
            }
        }
        let base = figures
            .get(&yardstick)
            .map_or_else(Vec::new, |figures| figures.rate.clone());
        for side in sides {
            let Some(figures) = figures.remove(side) else {
                continue;
            };
            table.row([
                connections.to_string(),
                side.title().to_owned(),
                Spread::of(figures.rate.iter().copied()).show(0),
                Ratio::of(&figures.rate, &base).show(3, Better::More),
                Spread::of(figures.p50).show(1),
                Spread::of(figures.p99).show(1),
                cpu_of(&figures.cpu, side.judge().unwrap_or_default()),
                cpu_of(&figures.cpu, "kube-apiserver"),
                cpu_of(&figures.cpu, "etcd"),
                cpu_of(&figures.cpu, "controller"),
                figures.refused.to_string(),
            ]);
            if let Some(message) = figures.message {
                println!("{}, for example: {message}", side.title());
            }
        }
    }
    table.print();
    Ok(())
}

/// What came of one side's turn in a round.
pub struct Turn {
    /// The creates.
    pub burst: Burst,
    /// CPU time a create of every process, by its name, in µs, until the last answer.
    pub cpu_micros: BTreeMap<String, f64>,
}

/// The median for the table: where the processor's time goes is asked, not how it spreads.
pub fn cpu_of(figures: &BTreeMap<String, Vec<f64>>, process: &str) -> String {
    figures.get(process).map_or_else(
        || "-".to_owned(),
        |figures| format!("{:.0}", Spread::of(figures.iter().copied()).median),
    )
}

/// Has a side take its turn, once what came before it is done with: so many creates of one body in its namespace.
pub async fn turn_of(
    side: Side,
    stage: &Stage,
    load: &mut Load,
    body: &Bytes,
    creates: usize,
) -> anyhow::Result<Turn> {
    stage.settle().await?;
    let processes = stage.processes()?;
    let used = || -> anyhow::Result<BTreeMap<&String, Duration>> {
        let used = |(name, pid): (_, &u32)| Ok((name, usage::cpu(*pid)?));
        processes.iter().map(used).collect()
    };
    let before = used()?;
    let path = format!(
        "/apis/flink.apache.org/v1beta1/namespaces/{}/flinkdeployments",
        side.namespace()
    );
    let burst = load.fire(&path, body, creates).await?;
    let after = used()?;
    if burst.latencies.is_empty() {
        bail!(
            "{}: nothing was created: {}",
            side.title(),
            burst.refused.first().map_or("", String::as_str)
        );
    }
    #[allow(clippy::cast_precision_loss)] // counts are small
    let cpu_micros = before
        .into_iter()
        .zip(after.into_values())
        .map(|((name, before), after)| {
            let micros = after.saturating_sub(before).as_secs_f64() * 1e6;
            (name.clone(), micros / creates as f64)
        })
        .collect();
    Ok(Turn { burst, cpu_micros })
}

#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: BTreeMap<String, Vec<f64>>,
    refused: usize,
    message: Option<String>,
}

impl Figures {
    fn add(&mut self, mut turn: Turn) {
        self.rate.push(turn.burst.rate());
        let mut millis = |share| percentile(&mut turn.burst.latencies, share).as_secs_f64() * 1e3;
        self.p50.push(millis(0.5));
        self.p99.push(millis(0.99));
        for (process, micros) in turn.cpu_micros {
            self.cpu.entry(process).or_default().push(micros);
        }
        self.refused += turn.burst.refused.len();
        self.message = self.message.take().or(turn.burst.refused.pop());
    }
}
