//! Many starts at once against one quota, with webhook processes killed at random in between.

use crate::AlonePromise;
use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, Config};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sluice_tests::Gate;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub const PROMISES: &[AlonePromise] = &[(
    "wave::of_200_starts_against_room_for_50_exactly_50_are_admitted_though_webhooks_die",
    wave,
)];

const STARTS: usize = 200;
const ROOM: usize = 50;
const PATIENCE: Duration = Duration::from_secs(150);

fn wave() -> Result<()> {
    let rounds: usize = std::env::var("SLUICE_WAVE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(4);
    let gate = Gate::up(&["--replicas", "3"])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = client(&gate).await?;
        let quotas = api(&client, "CpuQuota");
        let quota = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default"},
            "spec": {"hard": {"cpu": ROOM}, "onGrowth": "Enforce"}});
        quotas.patch("default", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&quota)).await?;
        for round in 0..rounds {
            one_round(&gate, &client, &quotas, round).await.with_context(|| format!("round {round}"))?;
        }
        Ok(())
    })
}

async fn one_round(
    gate: &Gate,
    client: &Client,
    quotas: &Api<DynamicObject>,
    round: usize,
) -> Result<()> {
    at_rest(quotas, 0).await?;
    let sessions = api(client, "SessionCluster");
    let over = AtomicBool::new(false);
    let started = Instant::now();
    let starts = async {
        let verdicts = join_all((0..STARTS).map(|n| start(&sessions, round, n))).await;
        over.store(true, Ordering::Relaxed);
        verdicts
    };
    let (verdicts, killed) = tokio::join!(starts, killer(gate, &over, round));
    let verdicts = verdicts.into_iter().collect::<Result<Vec<bool>>>()?;
    let admitted = verdicts.iter().filter(|admitted| **admitted).count();
    let exists = sessions.list(&ListParams::default()).await?.items.len();
    println!(
        "round {round}: {admitted} of {STARTS} admitted, {exists} exist, {} webhooks killed, {:?}",
        killed?,
        started.elapsed()
    );
    ensure!(
        admitted == ROOM && exists == ROOM,
        "{admitted} admitted, {exists} exist, room for {ROOM}"
    );
    at_rest(quotas, ROOM as u64 * 1000).await?;
    sessions
        .delete_collection(&DeleteParams::default(), &ListParams::default())
        .await?;
    at_rest(quotas, 0).await
}

/// One start, sent again until it is decided: a webhook that dies in between is nobody's verdict.
async fn start(sessions: &Api<DynamicObject>, round: usize, n: usize) -> Result<bool> {
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": format!("s{round}-{n}")},
        "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 1,
            "resources": {"jobmanager": {"cpu": 0.5}, "taskmanager": {"cpu": "500m"}}}
    }))?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match sessions.create(&PostParams::default(), &object).await {
            Ok(_) => return Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => return Ok(true), // our own, whose answer was lost
            Err(kube::Error::Api(status)) if status.code == 403 => {
                ensure!(status.message.contains("[quota/cpu]"), "{}", status.message);
                return Ok(false);
            }
            Err(error) => {
                ensure!(Instant::now() < deadline, "undecided: {error}");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

async fn killer(gate: &Gate, over: &AtomicBool, round: usize) -> Result<usize> {
    let mut killed = 0;
    // A different moment each round, without chance: a failure can be played again.
    let pause = Duration::from_millis(120 + 70 * (round as u64 % 5));
    while !over.load(Ordering::Relaxed) && killed < 2 {
        tokio::time::sleep(pause).await;
        let webhooks = gate.children("webhook")?;
        if webhooks.len() < 2 {
            continue; // somebody must be there to answer
        }
        if let Some(victim) = webhooks.get(round % webhooks.len()) {
            gate.signal(*victim, Signal::SIGKILL)?;
            killed += 1;
        }
    }
    Ok(killed)
}

/// Waits until no hold is left and usage is what exists.
async fn at_rest(quotas: &Api<DynamicObject>, milli: u64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let quota = quotas.get("default").await?;
        let status = quota.data.get("status").cloned().unwrap_or(Value::Null);
        let observed =
            status.get("observedGeneration").and_then(Value::as_i64) == quota.metadata.generation;
        let pending = status
            .get("pending")
            .and_then(Value::as_array)
            .map_or(0, Vec::len);
        if observed
            && pending == 0
            && status.get("confirmedMilli").and_then(Value::as_u64) == Some(milli)
        {
            return Ok(());
        }
        ensure!(
            Instant::now() < deadline,
            "wanted {milli} and no hold: {status}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn client(gate: &Gate) -> Result<Client> {
    let kubeconfig = kube::config::Kubeconfig::read_from(gate.kubeconfig())?;
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &kube::config::KubeConfigOptions::default())
            .await?;
    // Resent here, every 300 ms: the client's own pauses double until they take minutes.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("sluice.dev", "v1alpha1", kind));
    Api::namespaced_with(client.clone(), "team-a", &resource)
}
