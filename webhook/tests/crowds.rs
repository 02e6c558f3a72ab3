//! Crowds of reviews, and everybody else meanwhile: who waits for the ledger keeps no room, who waits for room keeps no connection, and
//! objects are read a few at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // a test's own failures

#[path = "support/server.rs"]
mod server;
mod support;

use axum::body::Body;
use axum::http::Request;
use futures::future::{BoxFuture, join_all};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use server::{post, start_within, uid_of};
use sluice_policy::KindInfo;
use sluice_webhook::gate::StoredObjects;
use sluice_webhook::quota::{Answer, Ask, QuotaGate};
use sluice_webhook::review::Limits;
use sluice_webhook::review::room::Size;
use sluice_webhook::server::connection::Patience;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::{GivenObjects, complete, review, service_with, session_cluster};
use tokio::time::Instant;
use tower::ServiceExt;

/// A ledger that does not answer.
struct Silent;

impl QuotaGate for Silent {
    fn reserve<'a>(&'a self, _: Ask<'a>, _: Instant) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::pending())
    }
}

/// A review of a cluster in this state, with a text of this length in it.
fn with_text(state: &str, length: usize) -> Bytes {
    let mut object = complete(&session_cluster(state));
    object["metadata"]["annotations"] = json!({ "text": "x".repeat(length) });
    let old = session_cluster(state);
    let (operation, old) = if state == "RUNNING" {
        ("CREATE", Value::Null)
    } else {
        ("UPDATE", old)
    };
    Bytes::from(review("u-1", operation, object, old).to_string())
}

/// A ledger that admits everything, and knows every name.
struct Knowing;

impl QuotaGate for Knowing {
    fn reserve<'a>(&'a self, _: Ask<'a>, _: Instant) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::default()))
    }

    fn may_strand(&self, _: &'static KindInfo, _: &str, _: &str) -> bool {
        true
    }
}

/// An API server that takes its time, and notes how many ask at once.
#[derive(Default)]
struct Slow {
    asking: AtomicUsize,
    most: AtomicUsize,
}

impl StoredObjects for Slow {
    fn get<'a>(
        &'a self,
        _: &'static KindInfo,
        _: &'a str,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<Value>, String>> {
        Box::pin(async {
            let asking = self.asking.fetch_add(1, Ordering::Relaxed) + 1;
            self.most.fetch_max(asking, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.asking.fetch_sub(1, Ordering::Relaxed);
            Ok(Some(complete(&session_cluster("RUNNING"))))
        })
    }
}

/// A review of a scale to more.
fn scale_up() -> Bytes {
    let scale = |replicas| json!({"metadata": {"uid": "o-1"}, "spec": {"replicas": replicas}});
    let mut review = review("u-1", "UPDATE", scale(3), scale(2));
    review["request"]["subResource"] = json!("scale");
    Bytes::from(review.to_string())
}

async fn ask(router: axum::Router, body: Bytes) -> Value {
    ask_at("/validate?timeout=3s", router, body).await
}

async fn ask_at(path: &str, router: axum::Router, body: Bytes) -> Value {
    let request = Request::post(path).header("content-type", "application/json");
    let request = request.header("content-length", body.len());
    let response = router.oneshot(request.body(Body::from(body)).unwrap());
    let bytes = response.await.unwrap().into_body().collect().await.unwrap();
    serde_json::from_slice::<Value>(&bytes.to_bytes()).unwrap()["response"].take()
}

#[tokio::test(start_paused = true)]
async fn starts_that_wait_for_a_silent_ledger_keep_no_room() {
    // So many, and so long, that they fill the room for beginnings; and the room for all that comes after.
    for (starts, length) in [(100, 300 << 10), (700, 33 << 10), (8, 4_900_000)] {
        let (service, _) = service_with(
            Limits::default(),
            Arc::new(Silent),
            Arc::new(GivenObjects::default()),
        );
        let router = service.router();
        let start = with_text("RUNNING", length);
        let crowd = (0..starts).map(|_| ask(router.clone(), start.clone()));
        let crowd = tokio::spawn(join_all(crowd));
        tokio::time::sleep(Duration::from_millis(10)).await;
        for length in [0, length] {
            let began = Instant::now();
            let reply = ask(router.clone(), with_text("STOPPED", length)).await;
            assert_eq!(reply["allowed"], true, "beside {starts}: {reply}");
            assert_eq!(began.elapsed(), Duration::ZERO, "beside {starts}");
        }
        for reply in crowd.await.unwrap() {
            let message = reply["status"]["message"].as_str().unwrap();
            assert!(message.contains("could not be judged in time"), "{message}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn objects_are_read_a_few_at_a_time() {
    let slow = Arc::new(Slow::default());
    let (service, _) = service_with(
        Limits::default(),
        Arc::new(Knowing),
        Arc::clone(&slow) as Arc<dyn StoredObjects>,
    );
    let router = service.router();
    let began = Instant::now();
    let create = with_text("RUNNING", 0);
    let crowd = (0..600).map(|number| {
        let body = if number % 2 == 0 {
            scale_up()
        } else {
            create.clone()
        };
        ask(router.clone(), body)
    });
    let crowd = tokio::spawn(join_all(crowd));
    tokio::time::sleep(Duration::from_millis(50)).await;
    // Only a warning could come of it.
    let asked = Instant::now();
    let reply = ask_at("/mutate?timeout=3s", router.clone(), scale_up()).await;
    assert_eq!(reply["allowed"], true, "{reply}");
    assert_eq!(asked.elapsed(), Duration::ZERO);
    let replies = crowd.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3));
    assert_eq!(slow.most.load(Ordering::Relaxed), 16);
    let of = |rule: &str| {
        let told = |reply: &&Value| {
            reply["status"]["message"]
                .as_str()
                .is_some_and(|told| told.contains(rule))
        };
        replies.iter().filter(told).count()
    };
    let admitted = replies
        .iter()
        .filter(|reply| reply["allowed"] == true)
        .count();
    let (slow, taken) = (of("[request/slow]"), of("[request/name-taken]"));
    assert_eq!(admitted + slow + taken, 600);
    // Creates wait for half a second, scales for as long as they have.
    assert!(admitted > 300 && taken > 0, "{admitted} {taken} {slow}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_bodies_that_wait_for_room_stop_no_other_on_their_connection() {
    let limits = Limits {
        room: Size {
            rest: 0,
            ..Size::default()
        },
        ..Limits::default()
    };
    let running = start_within(limits, Patience::default()).await;
    let stream = running.connect(&["h2"]).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let long = with_text("STOPPED", 3 << 20);
    let crowd = (0..16).map(|_| {
        let mut client = client.clone();
        let request = Request::post("https://127.0.0.1/validate?timeout=20s")
            .header("content-type", "application/json")
            .body(Full::new(long.clone()))
            .unwrap();
        tokio::spawn(async move { client.send_request(request).await })
    });
    let crowd: Vec<_> = crowd.collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    for _ in 0..20 {
        let small = client.clone().send_request(post("small")).await;
        assert_eq!(uid_of(small.unwrap()).await, "small");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(crowd.iter().all(|one| !one.is_finished()), "nobody waited");
    for one in crowd {
        one.abort();
    }
}

/// A head with a header whose buffer is seen to go, and a body of which nothing ever comes.
fn stalled(buffer: Arc<()>) -> Request<Body> {
    struct Buffer(Vec<u8>, #[allow(dead_code)] Arc<()>);
    impl AsRef<[u8]> for Buffer {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let long = Bytes::from_owner(Buffer(vec![b'x'; 8 << 10], buffer));
    let head = Request::post("/validate?timeout=30s").header("content-length", "100");
    let value = axum::http::HeaderValue::from_maybe_shared(long.clone()).unwrap();
    let json = Bytes::from_static(b"application/json");
    let json = axum::http::HeaderValue::from_maybe_shared(json).unwrap();
    let never = futures::stream::pending::<Result<Bytes, std::convert::Infallible>>();
    head.header("x-long", value)
        .header("content-type", json)
        .body(Body::from_stream(never))
        .unwrap()
}

/// Found by tracing the code: six connections full of such requests took all of the memory.
#[tokio::test(start_paused = true)]
async fn a_head_is_gone_while_its_body_is_waited_for() {
    let (service, _) = service_with(
        Limits::default(),
        Arc::new(Silent),
        Arc::new(GivenObjects::default()),
    );
    let buffer = Arc::new(());
    let waiting = tokio::spawn(service.router().oneshot(stalled(Arc::clone(&buffer))));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!waiting.is_finished());
    assert_eq!(Arc::strong_count(&buffer), 1, "the head is kept");
}

/// Found by tracing the code: nothing bounded them all together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_stand_still_make_room_for_others() {
    let limits = Limits {
        room: Size {
            turns: 8,
            ..Size::default()
        },
        ..Limits::default()
    };
    let running = start_within(limits, Patience::default()).await;
    let stream = running.connect(&["h2"]).await.unwrap();
    let (crowd, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let (answered, mut answers) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..40 {
        let (mut crowd, answered) = (crowd.clone(), answered.clone());
        let never = futures::stream::pending::<Result<_, std::convert::Infallible>>();
        let body = http_body_util::StreamBody::new(never);
        let request = Request::post("https://127.0.0.1/validate?timeout=30s")
            .header("content-type", "application/json")
            .header("content-length", "1000")
            .body(http_body_util::combinators::BoxBody::<Bytes, _>::new(body))
            .unwrap();
        tokio::spawn(async move {
            let response = crowd.send_request(request).await.unwrap();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            answered.send(bytes).unwrap();
        });
    }
    // Eight stand still for as long as nobody needs their turns.
    for _ in 0..32 {
        let answer = tokio::time::timeout(server::SOON, answers.recv()).await;
        let answer = answer.expect("they keep their turns").unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let message = answer["response"]["status"]["message"].as_str().unwrap();
        assert!(message.ends_with("[request/slow]"), "{message}");
    }
    let other = tokio::time::timeout(Duration::from_secs(5), running.answers(None)).await;
    assert!(other.expect("in time"), "nobody else is served");
}
