//! What a request costs while more and more else exists: three control planes side by side, each with its own number of workloads
//! and a thousand quotas, asked in turns; so a busy machine slows all of them alike.

use crate::objects::{self, Kind};
use crate::plane::{Plane, Webhook};
use crate::reviews::{Create, Run};
use crate::stats::{Spread, percentile};
use crate::table::Table;
use crate::target::Connection;
use crate::usage;
use anyhow::ensure;
use clap::Args;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Workloads of each control plane (repeatable); the first is the yardstick.
    #[arg(long, default_values_t = [100, 10_000, 100_000])]
    workloads: Vec<usize>,
    /// Namespaces, each with one `CpuQuota`.
    #[arg(long, default_value_t = 1000)]
    quotas: usize,
    /// Rounds; all control planes take their turn in each.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Pairs of reviews a round that leave no hold.
    #[arg(long, default_value_t = 1000)]
    decisions: usize,
    /// Reviews a round that are charged to a quota.
    #[arg(long, default_value_t = 100)]
    commits: usize,
    /// Starts of a webhook on each control plane.
    #[arg(long, default_value_t = 5)]
    starts: usize,
}

/// Sets all of them up, measures, prints the tables.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut sides = Vec::new();
    let mut outcome = Ok(());
    for workloads in &options.workloads {
        match Side::set(*workloads, options.quotas).await {
            Ok(side) => sides.push(side),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if outcome.is_ok() {
        println!(
            "{} CpuQuotas on each control plane; set up in {:.0} s.",
            options.quotas,
            began.elapsed().as_secs_f64()
        );
        outcome = measure(options, &mut sides).await;
    }
    for side in sides {
        side.plane.strike().await;
    }
    outcome
}

struct Side {
    workloads: usize,
    plane: Plane,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    starts: Vec<f64>,
    resident_new: Vec<f64>,
    decisions: Asked,
    commits: Asked,
}

#[derive(Default)]
struct Asked {
    all: Vec<Duration>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
}

impl Side {
    async fn set(workloads: usize, quotas: usize) -> anyhow::Result<Self> {
        let plane = Plane::set(1).await?;
        plane.hush()?;
        let mut etcd = plane.etcd().await?;
        etcd.put((0..quotas).map(namespace)).await?;
        etcd.put((0..workloads).map(|number| workload(number, quotas)))
            .await?;
        etcd.put((0..quotas).map(quota)).await?;
        let resource = ApiResource {
            group: "sluice.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "sluice.dev/v1alpha1".to_owned(),
            kind: "CpuQuota".to_owned(),
            plural: "cpuquotas".to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(plane.client.clone(), &resource);
        // A status write each, and on a busy machine that is minutes.
        let began = Instant::now();
        loop {
            let stored = api.list(&ListParams::default()).await?;
            let counted = stored
                .iter()
                .filter(|quota| quota.data.pointer("/status/observedGeneration").is_some())
                .count();
            eprint!("\r{workloads} workloads: {counted} of {quotas} quotas are counted ");
            if counted >= quotas {
                eprintln!("after {:.0} s", began.elapsed().as_secs_f64());
                break;
            }
            ensure!(
                began.elapsed() < Duration::from_mins(10),
                "{counted} of {quotas} quotas were counted in ten minutes"
            );
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(Self {
            workloads,
            plane,
            figures: Figures::default(),
        })
    }
}

async fn measure(options: &Options, sides: &mut [Side]) -> anyhow::Result<()> {
    for _ in 0..options.starts {
        for side in &mut *sides {
            let webhook = side.plane.webhook(None).await?;
            let millis = webhook.ready_after.as_secs_f64() * 1e3;
            side.figures.starts.push(millis);
            let memory = usage::memory(webhook.process.pid())?;
            side.figures.resident_new.push(memory.resident);
            webhook.process.stop(Duration::from_secs(5)).await;
        }
    }
    let create = Create::of_size(1536)?;
    let mut asked = Vec::new();
    for side in &*sides {
        let webhook = side.plane.webhook(None).await?;
        let target = side.plane.target(&webhook).await?;
        asked.push((webhook, target));
    }
    let mut next = 0;
    for round in 0..=options.rounds {
        for (side, (webhook, target)) in sides.iter_mut().zip(&asked) {
            // A webhook cuts off who connects and says nothing for ten seconds, so nobody is connected before his turn.
            let connection = &mut target.connect().await?;
            let batch = Batch {
                create: &create,
                quotas: options.quotas,
                from: next,
            };
            let decisions = batch
                .decisions(webhook, connection, options.decisions)
                .await?;
            let commits = batch.commits(webhook, connection, options.commits).await?;
            if round > 0 {
                side.figures.decisions.add(decisions);
                side.figures.commits.add(commits);
            }
        }
        next += options.decisions.max(options.commits);
    }
    let memories = asked
        .iter()
        .map(|(webhook, _)| usage::memory(webhook.process.pid()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    for (webhook, _) in asked {
        webhook.process.stop(Duration::from_secs(5)).await;
    }
    print(options, sides, &memories);
    Ok(())
}

/// Reviews in namespaces that take turns.
struct Batch<'a> {
    create: &'a Create,
    quotas: usize,
    from: usize,
}

type Taken = (Vec<Duration>, Duration);

impl Batch<'_> {
    async fn decisions(
        &self,
        webhook: &Webhook,
        connection: &mut Connection,
        count: usize,
    ) -> anyhow::Result<Taken> {
        let mut reviews = Vec::with_capacity(count);
        for (namespace, name) in self.places(count) {
            reviews.push((
                self.create.mutate(&namespace, &name)?,
                self.create.validate(&namespace, &name, Run::Dry)?,
            ));
        }
        let before = usage::cpu(webhook.process.pid())?;
        let mut latencies = Vec::with_capacity(count);
        for (mutate, validate) in reviews {
            let took = connection.allowed("/mutate?timeout=5s", mutate).await?;
            latencies.push(took + connection.allowed("/validate?timeout=5s", validate).await?);
        }
        Ok((
            latencies,
            usage::cpu(webhook.process.pid())?.saturating_sub(before),
        ))
    }

    async fn commits(
        &self,
        webhook: &Webhook,
        connection: &mut Connection,
        count: usize,
    ) -> anyhow::Result<Taken> {
        let mut reviews = Vec::with_capacity(count);
        for (namespace, name) in self.places(count) {
            reviews.push(self.create.validate(&namespace, &name, Run::Real)?);
        }
        let before = usage::cpu(webhook.process.pid())?;
        let mut latencies = Vec::with_capacity(count);
        for review in reviews {
            latencies.push(connection.allowed("/validate?timeout=5s", review).await?);
        }
        Ok((
            latencies,
            usage::cpu(webhook.process.pid())?.saturating_sub(before),
        ))
    }

    fn places(&self, count: usize) -> impl Iterator<Item = (String, String)> {
        (self.from..self.from + count).map(|number| {
            (
                namespace_name(number % self.quotas),
                format!("new-{number}"),
            )
        })
    }
}

impl Asked {
    fn add(&mut self, (mut latencies, cpu): Taken) {
        let mut micros = |share| percentile(&mut latencies, share).as_secs_f64() * 1e6;
        self.p50.push(micros(0.5));
        self.p99.push(micros(0.99));
        #[allow(clippy::cast_precision_loss)] // counts are small
        let count = latencies.len().max(1) as f64;
        self.cpu.push(cpu.as_secs_f64() * 1e6 / count);
        self.all.append(&mut latencies);
    }

    fn micros(&self, share: f64) -> String {
        let taken = percentile(&mut self.all.clone(), share);
        format!("{:.0}", taken.as_secs_f64() * 1e6)
    }
}

/// Figures of the same rounds, divided.
fn ratio(figures: &[f64], yardstick: &[f64]) -> Spread {
    Spread::of(
        figures
            .iter()
            .zip(yardstick)
            .map(|(figure, base)| figure / base.max(f64::EPSILON)),
    )
}

fn median(figures: &[f64]) -> Spread {
    Spread::of(figures.iter().copied())
}

fn print(options: &Options, sides: &[Side], memories: &[usage::Memory]) {
    let (Some(first), Some(first_memory)) = (sides.first(), memories.first()) else {
        return;
    };
    println!(
        "Ratios are of the same round of the plane with {} workloads: median (min to max) of {} rounds.\n",
        first.workloads, options.rounds
    );
    for (title, requests, pick) in [
        (
            "decision: /mutate and dry-run /validate",
            options.decisions,
            (|figures| &figures.decisions) as fn(&Figures) -> &Asked,
        ),
        (
            "ledger commit: /validate with a hold",
            options.commits,
            |figures| &figures.commits,
        ),
    ] {
        let mut table = Table::new([
            "workloads",
            title,
            "p50, µs",
            "p99, µs",
            "p99.9, µs",
            "p50, ratio",
            "p99, ratio",
            "webhook CPU, µs",
            "CPU, ratio",
        ]);
        let base = pick(&first.figures);
        for side in sides {
            let asked = pick(&side.figures);
            table.row([
                side.workloads.to_string(),
                format!("{} times {requests}", options.rounds),
                asked.micros(0.5),
                asked.micros(0.99),
                asked.micros(0.999),
                ratio(&asked.p50, &base.p50).show(2),
                ratio(&asked.p99, &base.p99).show(2),
                median(&asked.cpu).show(0),
                ratio(&asked.cpu, &base.cpu).show(2),
            ]);
        }
        table.print();
        println!();
    }
    let mut table = Table::new([
        "workloads",
        "exec to ready, ms",
        "resident when ready, MiB",
        "resident after the requests, MiB",
        "of it anonymous",
        "peak",
        "resident, ratio",
    ]);
    for (side, memory) in sides.iter().zip(memories) {
        table.row([
            side.workloads.to_string(),
            median(&side.figures.starts).show(0),
            median(&side.figures.resident_new).show(1),
            format!("{:.1}", memory.resident),
            format!("{:.1}", memory.anonymous),
            format!("{:.1}", memory.peak),
            format!("{:.3}", memory.resident / first_memory.resident),
        ]);
    }
    table.print();
}

fn namespace_name(number: usize) -> String {
    format!("scale-{number:04}")
}

fn metadata(name: &str, namespace: Option<&str>, number: usize, generation: Option<u32>) -> Value {
    json!({
        "name": name, "namespace": namespace, "generation": generation,
        "uid": format!("00000000-0000-4000-8000-{number:012x}"), "creationTimestamp": "2026-11-01T08:00:00Z",
    })
}

fn namespace(number: usize) -> (String, Value) {
    let name = namespace_name(number);
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": metadata(&name, None, 1 << 32 | number, None),
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    });
    (format!("namespaces/{name}"), object)
}

fn quota(number: usize) -> (String, Value) {
    let namespace = namespace_name(number);
    let object = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
        "metadata": metadata("scale", Some(&namespace), 2 << 32 | number, Some(1)),
        "spec": {"hard": {"cpu": 1_000_000}},
    });
    (format!("sluice.dev/cpuquotas/{namespace}/scale"), object)
}

/// Three in five are FlinkDeployments, the others SessionClusters and Deployments.
fn workload(number: usize, namespaces: usize) -> (String, Value) {
    let kind = match number % 5 {
        0 => Kind::SessionCluster,
        1 => Kind::Deployment,
        _ => Kind::FlinkDeployment,
    };
    let namespace = namespace_name(number % namespaces);
    let name = format!("clickstream-{number}");
    let mut object = objects::of_size(kind, 0);
    if let Some(object) = object.as_object_mut() {
        let metadata = metadata(&name, Some(&namespace), 3 << 32 | number, Some(1));
        object.insert("metadata".to_owned(), metadata);
    }
    let key = format!("{}/{}/{namespace}/{name}", kind.group(), kind.plural());
    (key, object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_lie_where_the_api_server_looks_for_them() {
        let (key, object) = workload(7, 5);
        assert_eq!(
            key,
            "flink.apache.org/flinkdeployments/scale-0002/clickstream-7"
        );
        assert_eq!(object.pointer("/metadata/name").unwrap(), "clickstream-7");
        assert_eq!(object.pointer("/metadata/generation").unwrap(), 1);
        assert!(object.pointer("/spec/job").is_some());
        let (key, object) = namespace(12);
        assert_eq!(key, "namespaces/scale-0012");
        assert!(object.pointer("/metadata/namespace").unwrap().is_null());
    }
}
