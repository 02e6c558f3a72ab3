//! Everybody at once on one quota: a thousand starts where half of them fit, and what further replicas bring to a hot quota.

use crate::load::{Burst, Load};
use crate::order::order;
use crate::plane::Plane;
use crate::spread;
use crate::stage::eventually;
use crate::stats::{Better, LEGEND, Ratio, Spread, percentile};
use crate::table::Table;
use crate::usage::cpu;
use anyhow::{Context as _, bail, ensure};
use clap::Args;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How much is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Starts at once.
    #[arg(long, default_value_t = 1000)]
    starts: usize,
    /// How many of them fit.
    #[arg(long, default_value_t = 500)]
    room: usize,
    /// Herds on each number of replicas.
    #[arg(long, default_value_t = 2)]
    herds: usize,
    /// Numbers of replicas (repeatable); the first is the yardstick.
    #[arg(long, default_values_t = [1, 2, 3])]
    replicas: Vec<usize>,
    /// Rounds of creates on a hot quota with room for all; all numbers of replicas take their turn in each.
    #[arg(long, default_value_t = 6)]
    rounds: usize,
    /// Creates a round.
    #[arg(long, default_value_t = 300)]
    creates: usize,
    /// Connections at once in these rounds.
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// CPU of one start, in whole CPUs: `objects::to_create` asks for a JobManager of 1 and two TaskManagers of 2.
const EACH: usize = 5;

/// A client that is told to come again waits for a second and does so at most this often, as kubectl does.
const AGAIN: usize = 10;

/// Where creates without end are counted; the herd has the next one.
const HOT: &str = "herd-hot";

/// Sets a control plane up for each number of replicas, measures, prints both tables.
pub async fn run(options: &Options) -> anyhow::Result<()> {
    let mut planes = Vec::new();
    let mut outcome = Ok(());
    for replicas in &options.replicas {
        match Plane::set(*replicas).await {
            Ok(plane) => planes.push((*replicas, plane)),
            Err(error) => {
                outcome = Err(error);
                break;
            }
        }
    }
    if outcome.is_ok() {
        outcome = measure(options, &planes).await;
    }
    for (_, plane) in planes {
        plane.strike().await;
    }
    outcome
}

async fn measure(options: &Options, planes: &[(usize, Plane)]) -> anyhow::Result<()> {
    for (replicas, plane) in planes {
        spread::over(plane, *replicas).await?;
        // Waits for the controller, and the API server has heard of the entries long before.
        make_quota(plane, HOT, 1_000_000).await?;
    }
    herds(options, planes).await?;
    println!();
    hot(options, planes).await
}

async fn herds(options: &Options, planes: &[(usize, Plane)]) -> anyhow::Result<()> {
    println!(
        "{} starts at once, each on a connection of its own, on a quota with room for {}. Who is told to come again (429, 503) does \
         so after a second, at most {AGAIN} times, as kubectl does. Each replica is asked about its share of the starts.\n",
        options.starts, options.room
    );
    let mut table = Table::new([
        "replicas",
        "admitted",
        "above the limit",
        "refused for good (403)",
        "gave up",
        "first answers that said: come again",
        "answers that said so in all",
        "last admitted after, s",
        "all answered after, s",
        "each webhook's share of their CPU",
    ]);
    for herd in 0..options.herds {
        for number in order(planes.len(), herd) {
            let Some((replicas, plane)) = planes.get(number) else {
                continue;
            };
            let namespace = format!("herd-{herd}");
            make_quota(plane, &namespace, options.room * EACH).await?;
            let before = webhooks(plane)?;
            let ended = stampede(plane, &namespace, options.starts, *replicas).await?;
            let after = webhooks(plane)?;
            let live = workloads(plane, &namespace)
                .list(&ListParams::default())
                .await?
                .items
                .len();
            ensure!(
                live == ended.admitted.len(),
                "{live} live, {} admitted",
                ended.admitted.len()
            );
            table.row([
                replicas.to_string(),
                ended.admitted.len().to_string(),
                live.saturating_sub(options.room).to_string(),
                ended.refused.to_string(),
                ended.gave_up.to_string(),
                ended.first_again.to_string(),
                ended.again.to_string(),
                seconds(ended.admitted.iter().max().copied().unwrap_or_default()),
                seconds(ended.took),
                shares(&used(&before, &after)),
            ]);
            if let Some(unexpected) = ended.unexpected {
                println!("{replicas} replicas, also answered: {unexpected}");
            }
            let nothing = DeleteParams::default();
            workloads(plane, &namespace)
                .delete_collection(&nothing, &ListParams::default())
                .await?;
        }
    }
    table.print();
    Ok(())
}

/// CPU of each webhook so far.
fn webhooks(plane: &Plane) -> anyhow::Result<Vec<Duration>> {
    let processes = plane.processes()?;
    let pids = processes
        .iter()
        .filter_map(|(name, pid)| name.starts_with("webhook-").then_some(*pid));
    pids.map(cpu).collect()
}

/// CPU that each used meanwhile, in seconds.
fn used(before: &[Duration], after: &[Duration]) -> Vec<f64> {
    let pairs = before.iter().zip(after);
    pairs
        .map(|(before, after)| after.saturating_sub(*before).as_secs_f64())
        .collect()
}

/// What share each has of what they all used, which tells who was asked: `0.34, 0.33, 0.33`.
fn shares(used: &[f64]) -> String {
    let all: f64 = used.iter().sum();
    let shares = used.iter().map(|used| used / all.max(f64::EPSILON));
    let shown: Vec<String> = shares.map(|share| format!("{share:.2}")).collect();
    shown.join(", ")
}

fn seconds(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64())
}

#[derive(Default)]
struct Ended {
    admitted: Vec<Duration>,
    refused: usize,
    gave_up: usize,
    first_again: usize,
    again: usize,
    unexpected: Option<String>,
    took: Duration,
}

async fn stampede(
    plane: &Plane,
    namespace: &str,
    starts: usize,
    replicas: usize,
) -> anyhow::Result<Ended> {
    let bodies = (0..replicas).map(spread::body);
    let path: Arc<str> = path(namespace).into();
    // Connected beforehand: it is the starts that come at once.
    let mut connected = Vec::with_capacity(starts);
    for _ in 0..starts {
        connected.push(plane.api_server.connect(1).await?);
    }
    let began = Instant::now();
    let mut herd = JoinSet::new();
    for (mut load, body) in connected.into_iter().zip(bodies.cycle()) {
        let path = Arc::clone(&path);
        herd.spawn(async move {
            let mut told_again = 0;
            loop {
                let burst = load.fire(&path, &body, 1).await?;
                let Some(answer) = burst.refused.into_iter().next() else {
                    return anyhow::Ok((told_again, began.elapsed(), None));
                };
                if !asks_to_come_again(&answer) || told_again >= AGAIN {
                    return Ok((told_again, began.elapsed(), Some(answer)));
                }
                told_again += 1;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    let mut ended = Ended::default();
    while let Some(one) = herd.join_next().await {
        let (again, after, refusal) = one??;
        ended.again += again;
        ended.first_again += usize::from(again > 0);
        match refusal {
            None => ended.admitted.push(after),
            Some(answer) if asks_to_come_again(&answer) => ended.gave_up += 1,
            Some(answer) if code(&answer) == Some(403) => ended.refused += 1,
            Some(answer) => ended.unexpected = Some(answer),
        }
    }
    ended.took = began.elapsed();
    Ok(ended)
}

fn code(answer: &str) -> Option<u64> {
    let status: Value = serde_json::from_str(answer).ok()?;
    status.get("code")?.as_u64()
}

fn asks_to_come_again(answer: &str) -> bool {
    matches!(code(answer), Some(429 | 503 | 504))
}

/// Of one number of replicas over the rounds.
#[derive(Default)]
struct Figures {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    /// CPU of each webhook, of all rounds.
    used: Vec<f64>,
}

/// Creates on one quota that has room for all of them.
async fn hot(options: &Options, planes: &[(usize, Plane)]) -> anyhow::Result<()> {
    let mut loads = Vec::new();
    for (replicas, plane) in planes {
        loads.push(connect(plane, options.connections, *replicas).await?);
    }
    let mut figures: Vec<Figures> = planes.iter().map(|_| Figures::default()).collect();
    for round in 0..=options.rounds {
        for number in order(planes.len(), round) {
            let (Some((_, plane)), Some(loads), Some(figures)) = (
                planes.get(number),
                loads.get_mut(number),
                figures.get_mut(number),
            ) else {
                continue;
            };
            let before = webhooks(plane)?;
            let mut burst = fire(loads, options.creates).await?;
            let used = used(&before, &webhooks(plane)?);
            if round > 0 {
                figures.rate.push(burst.rate());
                let mut millis =
                    |share| percentile(&mut burst.latencies, share).as_secs_f64() * 1e3;
                figures.p50.push(millis(0.5));
                figures.p99.push(millis(0.99));
                figures.used.resize(used.len(), 0.0);
                for (sum, used) in figures.used.iter_mut().zip(used) {
                    *sum += used;
                }
            }
            if let Some(refused) = burst.refused.first().filter(|_| burst.latencies.is_empty()) {
                bail!("nothing was created: {refused}");
            }
            workloads(plane, HOT)
                .delete_collection(&DeleteParams::default(), &ListParams::default())
                .await?;
        }
    }
    println!(
        "Creates on one quota with room for all, {} connections; a control plane for each number of replicas, all on this machine, \
         taking turns in a balanced order; each replica is asked about its share of the creates. Median (min to max) over {} rounds \
         of {} creates. {LEGEND}\n",
        options.connections, options.rounds, options.creates
    );
    let yardstick = planes.first().map_or(0, |(replicas, _)| *replicas);
    let of_yardstick = format!("of {yardstick} replica(s)");
    let mut table = Table::new([
        "replicas",
        "creates/s",
        &of_yardstick,
        "p50, ms",
        "p99, ms",
        "each webhook's share of their CPU",
    ]);
    let base = figures
        .first()
        .map_or_else(Vec::new, |figures| figures.rate.clone());
    for ((replicas, _), figures) in planes.iter().zip(figures) {
        table.row([
            replicas.to_string(),
            Spread::of(figures.rate.iter().copied()).show(0),
            Ratio::of(&figures.rate, &base).show(2, Better::More),
            Spread::of(figures.p50).show(0),
            Spread::of(figures.p99).show(0),
            shares(&figures.used),
        ]);
    }
    table.print();
    Ok(())
}

/// Connections in as many groups as there are replicas.
async fn connect(plane: &Plane, connections: usize, replicas: usize) -> anyhow::Result<Vec<Load>> {
    let mut groups = Vec::with_capacity(replicas);
    for group in 0..replicas {
        let size = part(connections, group, replicas).max(1);
        groups.push(plane.api_server.connect(size).await?);
    }
    Ok(groups)
}

/// So many creates, all groups at once, each with what its replica is asked about.
async fn fire(groups: &mut [Load], creates: usize) -> anyhow::Result<Burst> {
    let (path, count) = (path(HOT), groups.len());
    let bodies: Vec<_> = (0..count).map(spread::body).collect();
    let began = Instant::now();
    let shots = groups.iter_mut().zip(&bodies).enumerate();
    let shots =
        shots.map(|(group, (load, body))| load.fire(&path, body, part(creates, group, count)));
    let bursts = futures::future::try_join_all(shots).await?;
    let mut all = Burst {
        took: began.elapsed(),
        ..Burst::default()
    };
    for burst in bursts {
        all.latencies.extend(burst.latencies);
        all.refused.extend(burst.refused);
    }
    Ok(all)
}

/// One of so many parts of a number that are as alike as can be.
fn part(whole: usize, number: usize, parts: usize) -> usize {
    (whole + number) / parts.max(1)
}

fn path(namespace: &str) -> String {
    format!("/apis/flink.apache.org/v1beta1/namespaces/{namespace}/flinkdeployments")
}

fn workloads(plane: &Plane, namespace: &str) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "flink.apache.org".to_owned(),
        version: "v1beta1".to_owned(),
        api_version: "flink.apache.org/v1beta1".to_owned(),
        kind: "FlinkDeployment".to_owned(),
        plural: "flinkdeployments".to_owned(),
    };
    Api::namespaced_with(plane.client.clone(), namespace, &resource)
}

/// A namespace with a quota that has been counted.
async fn make_quota(plane: &Plane, namespace: &str, cpu: usize) -> anyhow::Result<()> {
    let made: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
    Api::all(plane.client.clone())
        .create(&PostParams::default(), &made)
        .await?;
    let resource = ApiResource {
        group: "sluice.dev".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "sluice.dev/v1alpha1".to_owned(),
        kind: "CpuQuota".to_owned(),
        plural: "cpuquotas".to_owned(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(plane.client.clone(), namespace, &resource);
    let quota: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
        "metadata": {"name": "herd"}, "spec": {"hard": {"cpu": cpu}},
    }))?;
    api.create(&PostParams::default(), &quota)
        .await
        .context("making the quota")?;
    eventually("the quota is counted", async || {
        let stored = api.get("herd").await?;
        let observed = stored.data.pointer("/status/observedGeneration");
        Ok(observed.is_some().then_some(()))
    })
    .await
}
