//! How much answers take until somebody takes them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test's own failures

mod support;

use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde_json::{Map, Value, json};
use sluice_webhook::review::Limits;
use support::{complete, review, service, session_cluster};
use tower::ServiceExt;

fn create(configuration: Value) -> String {
    let mut cluster = session_cluster("STOPPED");
    cluster["spec"]["flinkConfiguration"] = configuration;
    review("u-1", "CREATE", cluster, Value::Null).to_string()
}

async fn ask(router: &axum::Router, path: &str, body: &str) -> Response<Body> {
    let request =
        Request::post(format!("{path}?timeout=20s")).header("content-type", "application/json");
    let request = request.body(Body::from(body.to_owned())).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

async fn reply(response: Response<Body>) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice::<Value>(&bytes).unwrap()["response"].take()
}

#[tokio::test]
async fn answers_that_nobody_takes_hold_no_more_than_their_room() {
    let router = service(Limits::default()).0.router();
    let numbers: Map<String, Value> = (0..2_000)
        .map(|n| (format!("a{n}{}", "x".repeat(200)), json!(1)))
        .collect();
    let (long, small) = (create(json!(numbers)), create(json!({"a": "b"})));
    let mut untaken = Vec::new();
    let mut held = 0;
    for _ in 0..40 {
        let response = ask(&router, "/mutate", &long).await;
        let length = response.body().size_hint().exact().unwrap();
        held += length;
        untaken.push(response);
    }
    assert!(held < 20 << 20, "{held} bytes");
    let refused = reply(untaken.pop().unwrap()).await;
    assert_eq!(refused["uid"], "u-1");
    assert_eq!(refused["status"]["code"], 503, "{refused}");
    let message = refused["status"]["message"].as_str().unwrap();
    assert!(message.ends_with("[request/slow]"), "{message}");
    // Who is answered in a few words is answered all the while; and everybody, once others have taken theirs.
    assert_eq!(
        reply(ask(&router, "/mutate", &small).await).await["allowed"],
        true
    );
    for response in untaken {
        assert_eq!(reply(response).await["uid"], "u-1");
    }
    assert_eq!(
        reply(ask(&router, "/mutate", &long).await).await["allowed"],
        true
    );
}

#[tokio::test]
async fn long_texts_are_not_told_in_full() {
    let router = service(Limits::default()).0.router();
    let long = "k".repeat(1_000_000);
    for (pointer, held) in [
        ("/spec/flinkConfiguration", json!({ &long: [1] })),
        ("/spec/logging/log4jLoggers", json!({ &long: [1] })),
        ("/spec/logging/log4jLoggers", json!({ "a": long })),
        ("/spec", json!({ "state": long, "flinkVersion": long })),
        (
            "/spec",
            json!({ "kubernetes": { "pods": { "labels": { &long: 1 } } } }),
        ),
    ] {
        let mut object = complete(&session_cluster("STOPPED"));
        let place = object.pointer_mut(pointer).unwrap();
        let (place, held) = (place.as_object_mut().unwrap(), held.as_object().unwrap());
        place.extend(held.clone());
        let body = review("u-1", "CREATE", object, Value::Null).to_string();
        let refused = reply(ask(&router, "/validate", &body).await).await;
        let told = refused["status"].to_string();
        assert!(told.contains("kkk") && told.contains("..."), "{pointer}");
        assert!(told.len() < 8 << 10, "{pointer}: {} bytes", told.len());
    }
}
