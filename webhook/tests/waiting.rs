//! What a request holds while it waits for the ledger, or for the parent of a scale, counted to the byte: hundreds may wait at once, for
//! seconds.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's own failures

mod support;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_policy::KindInfo;
use sluice_policy::world::EmptyWorld;
use sluice_webhook::events::Events;
use sluice_webhook::gate::{Endpoint, Gate, StoredObjects};
use sluice_webhook::metrics::Metrics;
use sluice_webhook::quota::{Answer, Ask, NoQuota, QuotaGate};
use sluice_webhook::review::values::STORED;
use sluice_webhook::review::{Parsed, request};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{GivenObjects, complete, review, session_cluster};
use tokio::sync::Mutex;
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is counted is the whole process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Notes how much memory is held when it is asked.
struct Weighing {
    region: Region<'static, System>,
    held: AtomicUsize,
}

impl Weighing {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            region: Region::new(ALLOCATOR),
            held: AtomicUsize::new(usize::MAX),
        })
    }

    fn weigh(&self) {
        let change = self.region.change();
        let held = change
            .bytes_allocated
            .saturating_sub(change.bytes_deallocated);
        self.held.store(held, Ordering::Relaxed);
    }
}

impl QuotaGate for Weighing {
    fn reserve<'a>(&'a self, _: Ask<'a>, _: Instant) -> BoxFuture<'a, Answer> {
        self.weigh();
        Box::pin(std::future::ready(Answer::default()))
    }
}

impl StoredObjects for Weighing {
    fn get<'a>(
        &'a self,
        _: &'static KindInfo,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, String>> {
        self.weigh();
        Box::pin(std::future::ready(Ok(None)))
    }
}

#[tokio::test]
async fn while_it_waits_for_its_parent_a_scale_holds_no_objects() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let scale =
        json!({"metadata": {"uid": "o-1"}, "spec": {"replicas": 3}, "values": vec![1; 40_000]});
    let mut body = review("u-1", "UPDATE", scale, json!({"spec": {"replicas": 2}}));
    body["request"]["subResource"] = json!("scale");
    let body = body.to_string();
    for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
        let stored = Weighing::new();
        let (events, _inbox) = Events::queue(Arc::new(Metrics::default()));
        let world = Arc::new(EmptyWorld);
        let gate = Gate::new(world, Arc::new(NoQuota), Arc::clone(&stored) as _, events);
        let parsed = request::parse(Some("application/json"), body.as_bytes());
        let Parsed::Request(mut request) = parsed else {
            panic!("{parsed:?}");
        };
        let due = Instant::now() + Duration::from_secs(3);
        gate.decide(endpoint, &mut request, due).await;
        let held = stored.held.load(Ordering::Relaxed);
        assert!(held < 100 << 10, "{endpoint:?}: {held} bytes");
    }
}

#[tokio::test]
async fn while_it_waits_for_the_ledger_a_request_holds_no_objects() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let mut object = complete(&session_cluster("RUNNING"));
    object["status"] = json!({ "values": vec![1; STORED - 1_000] });
    let body = review("u-1", "CREATE", object, Value::Null).to_string();
    let quota = Weighing::new();
    let (events, _inbox) = Events::queue(Arc::new(Metrics::default()));
    let gate = Gate::new(
        Arc::new(EmptyWorld),
        Arc::clone(&quota) as _,
        Arc::new(GivenObjects::default()),
        events,
    );
    let parsed = request::parse(Some("application/json"), body.as_bytes());
    let Parsed::Request(mut request) = parsed else {
        panic!("{parsed:?}");
    };
    let due = Instant::now() + Duration::from_secs(3);
    let decision = gate.decide(Endpoint::Validate, &mut request, due).await;
    assert!(decision.refusal.is_none(), "{:?}", decision.refusal);
    let held = quota.held.load(Ordering::Relaxed);
    assert!(held < 100 << 10, "{held} bytes");
}
