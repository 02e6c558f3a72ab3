//! What a request costs while more and more else exists: three control planes side by side, each with its own number of workloads
//! and a thousand quotas, asked in turns; so a busy machine slows all of them alike. The webhooks are started several times, since what
//! one process happens to hold, and where it lies, is no property of its size.

use crate::objects::{self, Kind};
use crate::order::order;
use crate::plane::{Plane, Webhook};
use crate::reviews::{Create, Run};
use crate::stats::{Better, LEGEND, Pooled, Ratio, Spread, percentile};
use crate::table::Table;
use crate::target::{Connection, Target};
use crate::usage;
use anyhow::ensure;
use clap::Args;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{
    ApiResource, DynamicObject, ListParams, ObjectMeta, Patch, PatchParams, PostParams,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
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
    /// Starts of a webhook on each control plane.
    #[arg(long, default_value_t = 5)]
    starts: usize,
    /// Rounds after each start; all control planes take their turn in each, and three of them come in every order within six.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Pairs of reviews a round that leave no hold: so many that ask no API server, and so many that read a quota.
    #[arg(long, default_value_t = 1000)]
    decisions: usize,
    /// Reviews a round that are charged to a quota.
    #[arg(long, default_value_t = 200)]
    commits: usize,
}

/// A ConfigMap that no webhook is asked about.
const UNJUDGED: &str = "scale-unjudged";

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
    /// After the requests.
    memories: Vec<usage::Memory>,
    judgements: Asked,
    decisions: Asked,
    commits: Asked,
    /// By the API server alone, beside decisions.
    reads: Asked,
    /// Likewise, beside commits.
    writes: Asked,
}

#[derive(Default)]
struct Asked {
    all: Pooled,
    p50: Vec<f64>,
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
        let yardstick = ConfigMap {
            metadata: ObjectMeta {
                name: Some(UNJUDGED.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        };
        Api::namespaced(plane.client.clone(), "default")
            .create(&PostParams::default(), &yardstick)
            .await?;
        Ok(Self {
            workloads,
            plane,
            figures: Figures::default(),
        })
    }
}

/// What the API server by itself takes, right after each request that waits for it: that request can be no flatter.
struct Beside(Api<ConfigMap>);

impl Beside {
    fn of(plane: &Plane) -> Self {
        Self(Api::namespaced(plane.client.clone(), "default"))
    }

    async fn read(&self) -> anyhow::Result<Duration> {
        let asked = Instant::now();
        self.0.get(UNJUDGED).await?;
        Ok(asked.elapsed())
    }

    async fn write(&self) -> anyhow::Result<Duration> {
        let asked = Instant::now();
        let patch = Patch::Merge(json!({"data": {"written": format!("{asked:?}")}}));
        self.0
            .patch(UNJUDGED, &PatchParams::default(), &patch)
            .await?;
        Ok(asked.elapsed())
    }
}

async fn measure(options: &Options, sides: &mut [Side]) -> anyhow::Result<()> {
    let create = Create::of_size(1536)?;
    let mut next = Next::default();
    for start in 0..options.starts {
        let mut webhooks = BTreeMap::new();
        for number in order(sides.len(), start) {
            let Some(side) = sides.get_mut(number) else {
                continue;
            };
            let webhook = side.plane.webhook(None).await?;
            let millis = webhook.ready_after.as_secs_f64() * 1e3;
            side.figures.starts.push(millis);
            let memory = usage::memory(webhook.process.pid())?;
            side.figures.resident_new.push(memory.resident);
            let target = side.plane.target(&webhook).await?;
            webhooks.insert(number, (webhook, target));
        }
        ask(options, sides, &webhooks, &create, &mut next).await?;
        eprintln!("start {} of {} is measured", start + 1, options.starts);
        for (side, (webhook, _)) in sides.iter_mut().zip(webhooks.values()) {
            let memory = usage::memory(webhook.process.pid())?;
            side.figures.memories.push(memory);
        }
        for (webhook, _) in webhooks.into_values() {
            webhook.process.stop(Duration::from_secs(5)).await;
        }
    }
    print(options, sides);
    Ok(())
}

/// Which requests are next: no object is asked about twice, and all namespaces take their turn.
#[derive(Default)]
struct Next {
    decision: usize,
    commit: usize,
}

/// The rounds after one start, and one before them that warms up.
async fn ask(
    options: &Options,
    sides: &mut [Side],
    webhooks: &BTreeMap<usize, (Webhook, Target)>,
    create: &Create,
    next: &mut Next,
) -> anyhow::Result<()> {
    let quotas = options.quotas;
    for round in 0..=options.rounds {
        for number in order(sides.len(), round) {
            let (Some(side), Some((webhook, target))) =
                (sides.get_mut(number), webhooks.get(&number))
            else {
                continue;
            };
            // A webhook cuts off who connects and says nothing for ten seconds, so nobody is connected before his turn.
            let connection = &mut target.connect().await?;
            let batch = |from| Batch {
                create,
                quotas,
                from,
            };
            let beside = Beside::of(&side.plane);
            let (decisions, reads) = batch(next.decision)
                .decisions(webhook, connection, &beside, options.decisions)
                .await?;
            let (commits, writes) = batch(next.commit)
                .commits(webhook, connection, &beside, options.commits)
                .await?;
            if round > 0 {
                side.figures.decisions.add(decisions);
                side.figures.commits.add(commits);
                side.figures.reads.add((reads, Duration::ZERO));
                side.figures.writes.add((writes, Duration::ZERO));
            }
        }
        // What is charged nothing asks no API server, so all of them may stand still, and two cores are enough.
        let _still: Vec<_> = sides
            .iter()
            .map(|side| side.plane.hold_still())
            .collect::<Result<_, _>>()?;
        for number in order(sides.len(), round) {
            let (Some(side), Some((webhook, target))) =
                (sides.get_mut(number), webhooks.get(&number))
            else {
                continue;
            };
            let batch = Batch {
                create,
                quotas,
                from: next.decision,
            };
            let connection = &mut target.connect().await?;
            let judgements = batch
                .judgements(webhook, connection, options.decisions)
                .await?;
            if round > 0 {
                side.figures.judgements.add(judgements);
            }
        }
        next.decision += options.decisions;
        next.commit += options.commits;
    }
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
    async fn judgements(
        &self,
        webhook: &Webhook,
        connection: &mut Connection,
        count: usize,
    ) -> anyhow::Result<Taken> {
        let mut reviews = Vec::with_capacity(count);
        for (namespace, name) in self.places(count) {
            reviews.push(self.create.update(&namespace, &name)?);
        }
        let before = usage::cpu(webhook.process.pid())?;
        let mut latencies = Vec::with_capacity(count);
        for review in reviews {
            let took = connection
                .allowed("/mutate?timeout=5s", review.clone())
                .await?;
            latencies.push(took + connection.allowed("/validate?timeout=5s", review).await?);
        }
        Ok((
            latencies,
            usage::cpu(webhook.process.pid())?.saturating_sub(before),
        ))
    }

    async fn decisions(
        &self,
        webhook: &Webhook,
        connection: &mut Connection,
        beside: &Beside,
        count: usize,
    ) -> anyhow::Result<(Taken, Vec<Duration>)> {
        let mut reviews = Vec::with_capacity(count);
        for (namespace, name) in self.places(count) {
            reviews.push((
                self.create.mutate(&namespace, &name)?,
                self.create.validate(&namespace, &name, Run::Dry)?,
            ));
        }
        let before = usage::cpu(webhook.process.pid())?;
        let mut latencies = Vec::with_capacity(count);
        let mut alone = Vec::with_capacity(count);
        for (mutate, validate) in reviews {
            let took = connection.allowed("/mutate?timeout=5s", mutate).await?;
            latencies.push(took + connection.allowed("/validate?timeout=5s", validate).await?);
            alone.push(beside.read().await?);
        }
        let cpu = usage::cpu(webhook.process.pid())?.saturating_sub(before);
        Ok(((latencies, cpu), alone))
    }

    async fn commits(
        &self,
        webhook: &Webhook,
        connection: &mut Connection,
        beside: &Beside,
        count: usize,
    ) -> anyhow::Result<(Taken, Vec<Duration>)> {
        let mut reviews = Vec::with_capacity(count);
        for (namespace, name) in self.places(count) {
            reviews.push(self.create.validate(&namespace, &name, Run::Real)?);
        }
        let before = usage::cpu(webhook.process.pid())?;
        let mut latencies = Vec::with_capacity(count);
        let mut alone = Vec::with_capacity(count);
        for review in reviews {
            latencies.push(connection.allowed("/validate?timeout=5s", review).await?);
            alone.push(beside.write().await?);
        }
        let cpu = usage::cpu(webhook.process.pid())?.saturating_sub(before);
        Ok(((latencies, cpu), alone))
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
        let p50 = percentile(&mut latencies, 0.5);
        self.p50.push(p50.as_secs_f64() * 1e6);
        #[allow(clippy::cast_precision_loss)] // counts are small
        let count = latencies.len().max(1) as f64;
        self.cpu.push(cpu.as_secs_f64() * 1e6 / count);
        self.all.add(latencies);
    }

    fn micros(&self, share: f64) -> String {
        format!("{:.0}", self.all.percentile(share).as_secs_f64() * 1e6)
    }
}

fn print(options: &Options, sides: &[Side]) {
    let Some(first) = sides.first() else {
        return;
    };
    println!(
        "{} starts of a webhook on each plane, {} rounds after each, the planes taking turns in a balanced order; for what is judged alone all API \
         servers are held still. Percentiles: of all \
         requests. CPU and memory: median (min to max) of the rounds and the starts. The yardstick: the plane with {} workloads. \
         {LEGEND} The p99's ratio is that of all requests of both; its interval comes from drawing rounds.\n",
        options.starts, options.rounds, first.workloads
    );
    for (title, pick) in [
        (
            "judged alone: /mutate and /validate of a change that is charged nothing",
            (|figures| &figures.judgements) as fn(&Figures) -> &Asked,
        ),
        (
            "with a read of the quota: /mutate and dry-run /validate of a start",
            |figures| &figures.decisions,
        ),
        ("ledger commits: /validate with a hold", |figures| {
            &figures.commits
        }),
        (
            "reads of a ConfigMap, beside decisions that read",
            |figures| &figures.reads,
        ),
        ("writes of a ConfigMap, beside commits", |figures| {
            &figures.writes
        }),
    ] {
        times(sides, title, pick);
    }
    memories(sides, first);
}

/// How long requests of a sort took; what the webhook used for them, where it was asked.
fn times(sides: &[Side], title: &str, pick: fn(&Figures) -> &Asked) {
    let Some(base) = sides.first().map(|side| pick(&side.figures)) else {
        return;
    };
    let mut head = vec![
        "workloads",
        title,
        "p50, µs",
        "p99, µs",
        "p99.9, µs",
        "p50, ratio",
        "p99, ratio",
    ];
    let is_the_webhooks = base.cpu.iter().any(|cpu| *cpu > 0.0);
    if is_the_webhooks {
        head.extend(["webhook CPU, µs", "CPU, ratio"]);
    }
    let mut table = Table::new(head);
    for side in sides {
        let asked = pick(&side.figures);
        let mut row = vec![
            side.workloads.to_string(),
            asked.all.count().to_string(),
            asked.micros(0.5),
            asked.micros(0.99),
            asked.micros(0.999),
            Ratio::of(&asked.p50, &base.p50).show(2, Better::Less),
            asked.all.ratio(&base.all, 0.99),
        ];
        if is_the_webhooks {
            row.extend([
                spread(&asked.cpu).show(0),
                Ratio::of(&asked.cpu, &base.cpu).show(2, Better::Less),
            ]);
        }
        table.row(row);
    }
    table.print();
    println!();
}

fn memories(sides: &[Side], first: &Side) {
    let mut table = Table::new([
        "workloads",
        "exec to ready, ms",
        "resident when ready, MiB",
        "resident after the requests, MiB",
        "of it anonymous",
        "peak",
        "resident, ratio",
    ]);
    for side in sides {
        let of = |side: &Side, figure: fn(&usage::Memory) -> f64| -> Vec<f64> {
            side.figures.memories.iter().map(figure).collect()
        };
        let resident = of(side, |memory| memory.resident);
        let base = of(first, |memory| memory.resident);
        table.row([
            side.workloads.to_string(),
            spread(&side.figures.starts).show(0),
            spread(&side.figures.resident_new).show(1),
            spread(&resident).show(1),
            spread(&of(side, |memory| memory.anonymous)).show(1),
            spread(&of(side, |memory| memory.peak)).show(1),
            Ratio::of(&resident, &base).show(2, Better::Less),
        ]);
    }
    table.print();
}

fn spread(figures: &[f64]) -> Spread {
    Spread::of(figures.iter().copied())
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
