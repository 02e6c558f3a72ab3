//! Does what the plan says goes wrong, and undoes it.

use crate::client::Book;
use crate::plan::{Fault, Link, Target, What};
use crate::proxy::Proxy;
use crate::stage::Stage;
use sluice_cluster::Component;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Between two deletions of the Lease: far less than the two seconds after which a controller looks at it again.
const RIVALRY: Duration = Duration::from_millis(200);

/// Faults by kind, and what ended by itself.
pub type Counts = BTreeMap<String, u64>;

/// Injects faults as operations begin, until `over` says so; returns when the last one is undone.
pub async fn inject(
    stage: Arc<Stage>,
    book: Arc<Book>,
    plan: Vec<Fault>,
    counts: Arc<Mutex<Counts>>,
) -> anyhow::Result<()> {
    let mut running = JoinSet::new();
    for fault in plan {
        while book.next.load(Ordering::Relaxed) < fault.at {
            sleep(Duration::from_millis(5)).await;
        }
        // The run was ended before its last operation.
        if book.next.load(Ordering::Relaxed) == u64::MAX {
            break;
        }
        let name = fault.what.to_string();
        *counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name)
            .or_default() += 1;
        let stage = Arc::clone(&stage);
        running.spawn(async move { act(&stage, fault.what).await });
        while let Some(done) = running.try_join_next() {
            done??;
        }
    }
    lift(running).await
}

/// Waits until every fault is undone.
async fn lift(mut running: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(done) = running.join_next().await {
        done??;
    }
    Ok(())
}

async fn act(stage: &Stage, what: What) -> anyhow::Result<()> {
    match what {
        What::Kill(target, down) => match member(stage, target) {
            Some(member) => member.kill(down).await?,
            None => kill(stage, target, down).await?,
        },
        What::Freeze(target, time) => match member(stage, target) {
            Some(member) => member.freeze(time).await,
            None => freeze(stage, target, time).await,
        },
        What::Reset(link) => ways(stage, link).iter().for_each(Proxy::reset),
        What::Slow(link, delay, time) => {
            let ways = ways(stage, link);
            for way in ways {
                way.delay(delay);
            }
            sleep(time).await;
            for way in ways {
                way.delay(Duration::ZERO);
            }
        }
        What::Stale(target, percent, time) => {
            if let Some(member) = member(stage, target) {
                member.way.still(percent, time);
                sleep(time).await;
            }
        }
        What::Rivals(time) => rivals(stage, time).await,
        What::Sibling(percent, longest, time) => {
            stage.sibling.mood(percent, longest);
            sleep(time).await;
            stage.sibling.mood(0, Duration::ZERO);
        }
    }
    Ok(())
}

fn member(stage: &Stage, target: Target) -> Option<&crate::member::Member> {
    match target {
        Target::Webhook(index) => stage.webhooks.get(index),
        Target::Controller(index) => stage.controllers.get(index),
        Target::ApiServer | Target::Etcd => None,
    }
}

fn ways(stage: &Stage, link: Link) -> &[Proxy] {
    match link {
        Link::Etcd => std::slice::from_ref(&stage.to_etcd),
        Link::Webhooks => &stage.to_webhooks,
    }
}

/// Each controller finds no Lease and takes it: both lead until this is over, and the one that led before sees only a part of what
/// happens, for the longer the more it misses.
async fn rivals(stage: &Stage, time: Duration) {
    let end = Instant::now() + time;
    for controller in &stage.controllers {
        controller.way.still(60, time);
    }
    while Instant::now() < end {
        stage.delete_lease().await;
        sleep(RIVALRY).await;
    }
}

fn component(stage: &Stage, target: Target) -> (Component, &tokio::sync::Mutex<()>) {
    let [etcd, api_server] = &stage.busy;
    match target {
        Target::Etcd => (Component::Etcd, etcd),
        _ => (Component::ApiServer, api_server),
    }
}

async fn kill(stage: &Stage, target: Target, down: Duration) -> anyhow::Result<()> {
    let (component, busy) = component(stage, target);
    let _held = busy.lock().await;
    // It may have ended by itself just before.
    let _ = stage.cluster.kill(component).await;
    sleep(down).await;
    Ok(stage.cluster.restart(component).await?)
}

async fn freeze(stage: &Stage, target: Target, time: Duration) {
    let (component, busy) = component(stage, target);
    let _held = busy.lock().await;
    if let Ok(process) = stage.cluster.process(component) {
        process.freeze();
        sleep(time).await;
        process.thaw();
    }
}
