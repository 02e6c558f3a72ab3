//! A create whose name is taken takes no hold; whatever keeps that from being told, the ledger is asked as always.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's own failures

mod support;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use sluice_policy::KindInfo;
use sluice_policy::world::EmptyWorld;
use sluice_webhook::events::Events;
use sluice_webhook::gate::{Decision, Endpoint, Gate, StoredObjects};
use sluice_webhook::metrics::Metrics;
use sluice_webhook::quota::{Answer, Ask, QuotaGate};
use sluice_webhook::review::{Parsed, request};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{GivenObjects, review, session_cluster};
use tokio::time::Instant;

/// Admits everything and counts how often it was asked.
struct Counting {
    asked: AtomicUsize,
    knows_the_name: bool,
}

impl QuotaGate for Counting {
    fn reserve<'a>(&'a self, _ask: Ask<'a>, _deadline: Instant) -> BoxFuture<'a, Answer> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(std::future::ready(Answer::default()))
    }

    fn may_strand(&self, _: &'static KindInfo, _: &str, _: &str) -> bool {
        self.knows_the_name
    }
}

/// An API server that does not answer.
struct Silent;

impl StoredObjects for Silent {
    fn get<'a>(
        &'a self,
        _: &'static KindInfo,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, String>> {
        Box::pin(std::future::pending())
    }
}

fn holding(object: Option<Value>) -> Arc<GivenObjects> {
    Arc::new(GivenObjects(std::sync::Mutex::new(object)))
}

/// The decision about a review, and how often the ledger was asked.
async fn decide(
    stored: Arc<dyn StoredObjects>,
    knows_the_name: bool,
    review: Value,
) -> (Decision, usize) {
    let quota = Arc::new(Counting {
        asked: AtomicUsize::new(0),
        knows_the_name,
    });
    let (events, _inbox) = Events::queue(Arc::new(Metrics::default()));
    let gate = Gate::new(
        Arc::new(EmptyWorld),
        Arc::clone(&quota) as _,
        stored,
        events,
    );
    let body = review.to_string();
    let Parsed::Request(mut request) = request::parse(Some("application/json"), body.as_bytes())
    else {
        panic!("{review}");
    };
    let due = Instant::now() + Duration::from_secs(3);
    let decision = gate.decide(Endpoint::Validate, &mut request, due).await;
    (decision, quota.asked.load(Ordering::Relaxed))
}

/// The create of a complete object, as the mutating call leaves it.
fn create() -> Value {
    let short = session_cluster("RUNNING");
    let asked = sluice_policy::Review {
        dialect: sluice_policy::dialect_for("sluice.dev", "SessionCluster").unwrap(),
        operation: sluice_policy::Operation::Create,
        part: sluice_policy::Part::Whole,
        namespace: "team-a",
        name: "analytics",
        object: &short,
    };
    let object = sluice_policy::mutate(&asked, &EmptyWorld)
        .object
        .into_owned();
    review("u-1", "CREATE", object, Value::Null)
}

#[tokio::test]
async fn what_exists_is_refused_and_the_ledger_is_not_asked() {
    let (decision, asked) = decide(holding(Some(session_cluster("RUNNING"))), true, create()).await;
    let refusal = decision.refusal.unwrap();
    assert_eq!(
        (
            refusal.code.number(),
            refusal.code.reason(),
            refusal.message.as_str()
        ),
        (
            409,
            "AlreadyExists",
            "metadata.name: sessioncluster \"analytics\" already exists; change it (kubectl apply), or choose another name \
             [request/name-taken]"
        )
    );
    assert_eq!(asked, 0);
    let mut leaving = session_cluster("RUNNING");
    leaving
        .pointer_mut("/metadata")
        .and_then(Value::as_object_mut)
        .unwrap()
        .insert("deletionTimestamp".into(), json!("2026-01-01T00:00:00Z"));
    let (decision, _) = decide(holding(Some(leaving)), true, create()).await;
    assert!(
        decision
            .refusal
            .unwrap()
            .message
            .contains("is still being deleted; wait until it is gone")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_not_known_or_not_told_in_time_is_left_to_the_ledger() {
    let began = Instant::now();
    let cases: [(Arc<dyn StoredObjects>, bool); 3] = [
        (holding(None), true),
        (holding(Some(session_cluster("RUNNING"))), false),
        (Arc::new(Silent), true),
    ];
    for (stored, knows_the_name) in cases {
        let (decision, asked) = decide(stored, knows_the_name, create()).await;
        assert_eq!(decision.refusal, None);
        assert_eq!(asked, 1);
    }
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "the ledger keeps its time: {:?}",
        began.elapsed()
    );
    let mut dry_run = create();
    *dry_run.pointer_mut("/request/dryRun").unwrap() = json!(true);
    let stored = holding(Some(session_cluster("RUNNING")));
    let (decision, asked) = decide(stored, true, dry_run).await;
    assert_eq!((decision.refusal, asked), (None, 1));
}
