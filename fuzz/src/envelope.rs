//! Bytes are what an API server, or somebody else, sends to the webhook: read, decided by both endpoints, answered.

use futures::future::BoxFuture;
use serde_json::Value;
use sluice_policy::KindInfo;
use sluice_policy::world::EmptyWorld;
use sluice_webhook::events::Events;
use sluice_webhook::gate::{Endpoint, Gate, StoredObjects};
use sluice_webhook::metrics::Metrics;
use sluice_webhook::quota::NoQuota;
use sluice_webhook::review::{Parsed, Reply, request};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// Nothing is stored: whatever is asked for is gone.
struct NoObjects;

impl StoredObjects for NoObjects {
    fn get<'a>(
        &'a self,
        _: &'static KindInfo,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
}

/// One body. A leading `!` makes it anything but JSON by its content type.
pub fn fuzz(data: &[u8]) {
    let (content_type, body) = match data.split_first() {
        Some((b'!', rest)) => (None, rest),
        _ => (Some("application/json"), data),
    };
    match request::parse(content_type, body) {
        Parsed::Refused { uid, refusal } => {
            assert!(
                refusal.message.ends_with(&format!("[{}]", refusal.rule.id)),
                "{}",
                refusal.message
            );
            if let Some(sent) = sent_uid(body) {
                assert_eq!(uid, sent, "the uid is echoed: {}", refusal.message);
            }
            answered(&Reply {
                uid: &uid,
                refusal: Some(&refusal),
                ..Reply::default()
            });
        }
        Parsed::Request(mut request) => {
            let (events, _inbox) = Events::queue(Arc::new(Metrics::default()));
            let gate = Gate::new(
                Arc::new(EmptyWorld),
                Arc::new(NoQuota),
                Arc::new(NoObjects),
                events,
            );
            for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
                let due = Instant::now() + Duration::from_secs(5);
                let decision = RUNTIME
                    .with(|runtime| runtime.block_on(gate.decide(endpoint, &mut request, due)));
                answered(&Reply {
                    uid: &request.uid,
                    refusal: decision.refusal.as_ref(),
                    patch: &decision.patch,
                    warnings: &decision.warnings,
                    ..Reply::default()
                });
            }
        }
    }
}

/// The uid that a complete review carries, where it carries one only.
fn sent_uid(body: &[u8]) -> Option<String> {
    let review: Value = serde_json::from_slice(body).ok()?;
    let uid = review.get("request")?.get("uid")?.as_str()?;
    let plain = !uid.is_empty()
        && uid.len() <= 64
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let once = |key: &str| {
        body.windows(key.len())
            .filter(|window| *window == key.as_bytes())
            .count()
            == 1
    };
    (plain && once("uid") && once("request") && !body.contains(&b'\\')).then(|| uid.to_owned())
}

fn answered(reply: &Reply<'_>) {
    let answer: Value = serde_json::from_slice(&reply.encode()).expect("an answer is JSON");
    assert_eq!(answer["response"]["uid"], reply.uid);
    let allowed = answer["response"]["allowed"]
        .as_bool()
        .expect("an answer says yes or no");
    if !allowed {
        let status = &answer["response"]["status"];
        let code = status["code"].as_u64().expect("a refusal has a code");
        assert!(
            (400..500).contains(&code) || code == 503,
            "{code}: what a user can write is no fault of the server"
        );
        assert!(
            status["reason"]
                .as_str()
                .is_some_and(|reason| !reason.is_empty())
        );
        assert!(
            status["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
        assert!(answer["response"]["patch"].is_null());
    }
}
