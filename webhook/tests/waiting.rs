//! What a request holds while it waits for the ledger, counted to the byte: hundreds may wait for one quota at once, for seconds.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's own failures

mod support;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_webhook::events::Events;
use sluice_webhook::gate::{Endpoint, Gate};
use sluice_webhook::metrics::Metrics;
use sluice_webhook::quota::{Answer, Ask, QuotaGate};
use sluice_webhook::review::{Parsed, request};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{GivenObjects, complete, review, session_cluster};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Notes how much memory is held when it is asked.
struct Weighing {
    region: Region<'static, System>,
    held: AtomicUsize,
}

impl QuotaGate for Weighing {
    fn reserve<'a>(&'a self, _: Ask<'a>, _: Instant) -> BoxFuture<'a, Answer> {
        let change = self.region.change();
        let held = change
            .bytes_allocated
            .saturating_sub(change.bytes_deallocated);
        self.held.store(held, Ordering::Relaxed);
        Box::pin(std::future::ready(Answer::default()))
    }
}

#[tokio::test]
async fn while_it_waits_for_the_ledger_a_request_holds_no_objects() {
    let mut object = complete(&session_cluster("RUNNING"));
    object["status"] = json!({ "values": vec![1; 40_000] });
    let body = review("u-1", "CREATE", object, Value::Null).to_string();
    let quota = Arc::new(Weighing {
        region: Region::new(ALLOCATOR),
        held: AtomicUsize::new(usize::MAX),
    });
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
