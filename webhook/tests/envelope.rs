//! What bad input gets: always 200, always the uid as far as it can be found, always a message with field and remedy.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic
)] // a test's own failures

mod support;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_webhook::quota::{Answer, Ask, QuotaGate};
use sluice_webhook::review::Limits;
use std::sync::Arc;
use support::{GivenObjects, review, service, service_with, session_cluster};
use tokio::time::Instant;
use tower::ServiceExt;

const JSON: &str = "application/json";

async fn send_raw(path: &str, content_type: Option<&str>, body: Vec<u8>) -> Value {
    let limits = Limits {
        keep: 64 << 10,
        read: 128 << 10,
        ..Limits::default()
    };
    send_within(limits, path, content_type, body).await
}

async fn send_within(
    limits: Limits,
    path: &str,
    content_type: Option<&str>,
    body: Vec<u8>,
) -> Value {
    let mut request = Request::post(format!("{path}?timeout=5s"));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    let (service, _) = service(limits);
    let response = service
        .router()
        .oneshot(request.body(Body::from(body)).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], JSON);
    let reply: Value =
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(reply["apiVersion"], "admission.k8s.io/v1");
    assert_eq!(reply["kind"], "AdmissionReview");
    reply["response"].clone()
}

async fn send(path: &str, review: &Value) -> Value {
    send_raw(path, Some(JSON), review.to_string().into_bytes()).await
}

/// The whole refusal, both calls alike.
async fn refused(content_type: Option<&str>, body: impl Into<Vec<u8>>, expected: Value) {
    let body = body.into();
    for path in ["/mutate", "/validate"] {
        let reply = send_raw(path, content_type, body.clone()).await;
        assert_eq!(
            reply,
            expected,
            "{path} {}",
            String::from_utf8_lossy(&body[..body.len().min(200)])
        );
    }
}

fn refusal(uid: &str, field: &str, message: &str) -> Value {
    let shown = if field.is_empty() {
        message.to_owned()
    } else {
        format!("{field}: {message}")
    };
    json!({
        "uid": uid, "allowed": false,
        "status": {
            "status": "Failure", "code": 422, "reason": "Invalid",
            "message": format!("{shown} [request/malformed]"),
            "details": {"causes": [
                {"reason": "FieldValueInvalid", "message": format!("{message} [request/malformed]"), "field": field}
            ]},
        },
    })
}

#[tokio::test]
async fn bytes_that_are_no_review() {
    for (body, uid, message) in [
        ("", "", "the body is empty; send an AdmissionReview"),
        (" \n", "", "the body is empty; send an AdmissionReview"),
        (
            "hello",
            "",
            "the body is not JSON (expected value at line 1 column 1); send an AdmissionReview v1",
        ),
        (
            r#"{"request":{"uid":"u-1","object":{"spec":{"#,
            "u-1",
            "the body ends in the middle of its JSON (EOF while parsing an object at line 1 column 42); send it whole",
        ),
        (
            r#"{"request":{"uid":"u-1","object":NaN}}"#,
            "u-1",
            "the body is not JSON (expected value at line 1 column 34); send an AdmissionReview v1",
        ),
        (
            r#"{"request":{"uid":"u-1","object":{"cpu":1e999}}}"#,
            "u-1",
            "a number is too large for any field (number out of range at line 1 column 45); correct it in the manifest",
        ),
        (
            r#"{"request":{"uid":"u-1","object":{},"object":{}}}"#,
            "u-1",
            "a field of the review has the wrong type (duplicate field `object` at line 1 column 44); send an AdmissionReview v1",
        ),
        (
            r#"{"request":{"uid":"u-1","dryRun":"yes"}}"#,
            "u-1",
            "a field of the review has the wrong type (invalid type: string \"yes\", expected a boolean at line 1 column 38); send an AdmissionReview v1",
        ),
        (
            r#"{"request":{"uid":7}}"#,
            "",
            "a field of the review has the wrong type (invalid type: integer `7`, expected a string at line 1 column 19); send an AdmissionReview v1",
        ),
        (
            "7",
            "",
            "a field of the review has the wrong type (invalid type: integer `7`, expected an AdmissionReview at line 1 column 1); send an AdmissionReview v1",
        ),
    ] {
        refused(Some(JSON), body, refusal(uid, "", message)).await;
    }
}

#[tokio::test]
async fn reviews_that_are_not_ours() {
    let mut other = review("u-1", "CREATE", session_cluster("STOPPED"), Value::Null);
    other["apiVersion"] = json!("admission.k8s.io/v1beta1");
    let message = "is \"admission.k8s.io/v1beta1\"; only admission.k8s.io/v1 is understood, so list v1 in admissionReviewVersions";
    refused(
        Some(JSON),
        other.to_string(),
        refusal("u-1", "apiVersion", message),
    )
    .await;
    other["kind"] = json!("ConversionReview");
    refused(
        Some(JSON),
        other.to_string(),
        refusal(
            "u-1",
            "kind",
            "is \"ConversionReview\"; send an AdmissionReview",
        ),
    )
    .await;

    let mut nameless = review("u-1", "CREATE", session_cluster("STOPPED"), Value::Null);
    nameless["request"].as_object_mut().unwrap().remove("uid");
    let message = "is missing; without it the API server cannot tell which call is answered";
    refused(
        Some(JSON),
        nameless.to_string(),
        refusal("", "request.uid", message),
    )
    .await;
    nameless.as_object_mut().unwrap().remove("request");
    let message = "is missing; a review without a request asks nothing";
    refused(
        Some(JSON),
        nameless.to_string(),
        refusal("", "request", message),
    )
    .await;
}

#[tokio::test]
async fn other_content_types() {
    let body = review("u-1", "CREATE", session_cluster("STOPPED"), Value::Null).to_string();
    let message =
        "the Content-Type is \"application/yaml\"; send the AdmissionReview as application/json";
    refused(
        Some("application/yaml"),
        body.clone(),
        refusal("u-1", "", message),
    )
    .await;
    let message = "the Content-Type is missing; send the AdmissionReview as application/json";
    refused(None, body.clone(), refusal("u-1", "", message)).await;
    let reply = send_raw(
        "/mutate",
        Some("Application/JSON; charset=utf-8"),
        body.into_bytes(),
    )
    .await;
    assert_eq!(reply["allowed"], true, "{reply}");
}

#[tokio::test]
async fn objects_that_are_missing() {
    let field = "request.object";
    let body = review("u-1", "CREATE", Value::Null, Value::Null).to_string();
    for path in ["/mutate", "/validate"] {
        let reply = send_raw(path, Some(JSON), body.clone().into_bytes()).await;
        assert_eq!(
            reply["status"]["message"],
            format!("{field}: is missing; a CREATE carries the object [request/malformed]")
        );
        assert_eq!(reply["status"]["details"]["kind"], "SessionCluster");
        assert_eq!(reply["status"]["details"]["name"], "analytics");
    }
    let reply = send(
        "/validate",
        &review("u-1", "UPDATE", session_cluster("STOPPED"), Value::Null),
    )
    .await;
    assert_eq!(
        reply["status"]["message"],
        "request.oldObject: is missing; an UPDATE carries the stored object [request/malformed]"
    );
}

#[tokio::test]
async fn deep_nesting_is_refused_with_the_depth() {
    let deep = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u-1","object":{}{}}}}}"#,
        r#"{"a":"#.repeat(5000),
        "1".to_owned() + &"}".repeat(5000)
    );
    let reply = send_raw("/validate", Some(JSON), deep.into_bytes()).await;
    assert_eq!(reply["uid"], "u-1");
    let message = reply["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "the object is nested deeper than 120 levels (recursion limit exceeded at line 1"
        ),
        "{message}"
    );
    assert!(
        message.ends_with("; flatten it [request/malformed]"),
        "{message}"
    );
    let shallow = (0..110).fold(json!(1), |inner, _| json!({"a": inner}));
    let reply = send("/mutate", &review("u-1", "CREATE", shallow, Value::Null)).await;
    assert_eq!(reply["uid"], "u-1");
    assert_ne!(reply["status"]["details"]["causes"][0]["message"], message);
}

#[tokio::test]
async fn megabytes_get_413_and_the_uid() {
    let mut large = review("u-1", "CREATE", session_cluster("STOPPED"), Value::Null);
    large["request"]["object"]["spec"]["x"] = json!("x".repeat(100 << 10));
    for path in ["/mutate", "/validate"] {
        let reply = send(path, &large).await;
        assert_eq!(reply["uid"], "u-1");
        assert_eq!(reply["status"]["code"], 413);
        assert_eq!(reply["status"]["reason"], "RequestEntityTooLarge");
        let message = reply["status"]["message"].as_str().unwrap();
        assert!(message.contains("make the object smaller"), "{message}");
        assert!(message.ends_with("[request/too-large]"), "{message}");
    }
}

#[tokio::test]
async fn many_values_get_413_and_the_uid_however_short_they_are_and_texts_are_one_each() {
    let with = |configuration: Value| {
        let mut cluster = session_cluster("STOPPED");
        cluster["spec"]["flinkConfiguration"] = configuration;
        review("u-1", "CREATE", cluster, Value::Null).to_string()
    };
    let many = with(json!({"a": vec![1; 100_000]}));
    // The uid before the object, and behind it.
    let behind = many.replacen("\"uid\":\"u-1\",", "", 1);
    let behind = format!("{},\"uid\":\"u-1\"}}}}", behind.strip_suffix("}}").unwrap());
    for body in [many, behind] {
        for path in ["/mutate", "/validate"] {
            let bytes = body.clone().into_bytes();
            let reply = send_within(Limits::default(), path, Some(JSON), bytes).await;
            assert_eq!(reply["uid"], "u-1");
            assert_eq!(reply["status"]["code"], 413, "{reply}");
            assert_eq!(reply["status"]["reason"], "RequestEntityTooLarge");
            let message = reply["status"]["message"].as_str().unwrap();
            assert!(
                message.starts_with("the review holds 1000")
                    && message.contains("values (list entries and fields), and 50000 are read; make the object smaller")
                    && message.ends_with("[request/too-large]"),
                "{message}"
            );
        }
    }
    let texts = with(json!({"log4j": "a,b,[{\\\",".repeat(100_000)}));
    let reply = send_within(Limits::default(), "/mutate", Some(JSON), texts.into_bytes()).await;
    assert_eq!(reply["allowed"], true, "{reply}");
}

#[tokio::test]
async fn kinds_we_do_not_know_pass_with_a_word() {
    let mut unknown = review("u-1", "CREATE", json!({"anything": 1}), Value::Null);
    unknown["request"]["kind"] = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    unknown["request"]["resource"] =
        json!({"group": "apps", "version": "v1", "resource": "deployments"});
    for path in ["/mutate", "/validate"] {
        assert_eq!(
            send(path, &unknown).await,
            json!({"uid": "u-1", "allowed": true, "warnings": [
                "Sluice knows no Deployment.apps and admits it unseen; take it out of the webhook's rules"
            ]})
        );
    }
}

#[tokio::test]
async fn deletions_and_other_subresources_pass_in_silence() {
    let deletion = review("u-1", "DELETE", Value::Null, session_cluster("RUNNING"));
    let mut status = review(
        "u-1",
        "UPDATE",
        session_cluster("RUNNING"),
        session_cluster("RUNNING"),
    );
    status["request"]["subResource"] = json!("status");
    for body in [deletion, status] {
        for path in ["/mutate", "/validate"] {
            assert_eq!(
                send(path, &body).await,
                json!({"uid": "u-1", "allowed": true})
            );
        }
    }
}

#[tokio::test]
async fn every_type_in_every_place_is_answered() {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1.5e300),
        json!(u64::MAX),
        json!(""),
        json!("\u{0}ü\u{1F980}"),
        json!([]),
        json!([[{}]]),
        json!({}),
        json!({"": {"": null}}),
    ];
    let base = session_cluster("RUNNING");
    for pointer in [
        "",
        "/metadata",
        "/metadata/name",
        "/spec",
        "/spec/state",
        "/spec/flinkVersion",
        "/spec/numberOfTaskManagers",
        "/spec/resources",
    ] {
        for value in &odd {
            let mut object = base.clone();
            object["spec"]["resources"] = json!({});
            *object.pointer_mut(pointer).unwrap() = value.clone();
            for (operation, old) in [("CREATE", Value::Null), ("UPDATE", base.clone())] {
                for path in ["/mutate", "/validate"] {
                    let reply =
                        send(path, &review("u-1", operation, object.clone(), old.clone())).await;
                    assert_eq!(reply["uid"], "u-1");
                    if reply["allowed"] == false {
                        let code = reply["status"]["code"].as_u64().unwrap();
                        assert!(
                            (403..=503).contains(&code) && code != 500,
                            "{pointer} {value}: {reply}"
                        );
                        let message = reply["status"]["message"].as_str().unwrap();
                        assert!(message.ends_with(']'), "the rule's id ends it: {message}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn other_methods_and_paths_are_http_errors() {
    for (method, path, status) in [
        ("GET", "/mutate", 405),
        ("POST", "/", 404),
        ("POST", "/mutate/x", 404),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let response = service(Limits::default())
            .0
            .router()
            .oneshot(request)
            .await
            .unwrap();
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
    }
}

/// A ledger that does not answer.
struct Silent;

impl QuotaGate for Silent {
    fn reserve<'a>(&'a self, _: Ask<'a>, _: Instant) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_judged_in_time_is_named() {
    let object = sluice_policy::mutate(
        &sluice_policy::Review {
            dialect: sluice_policy::dialect_for("sluice.dev", "SessionCluster").unwrap(),
            operation: sluice_policy::Operation::Create,
            part: sluice_policy::Part::Whole,
            namespace: "team-a",
            name: "analytics",
            object: &session_cluster("RUNNING"),
        },
        &EmptyWorld,
    )
    .object
    .into_owned();
    let body = review("u-1", "CREATE", object, Value::Null).to_string();
    let (service, _) = service_with(
        Limits::default(),
        Arc::new(Silent),
        Arc::new(GivenObjects::default()),
    );
    let request = Request::post("/validate?timeout=1s").header("content-type", JSON);
    let response = service
        .router()
        .oneshot(request.body(Body::from(body)).unwrap())
        .await
        .unwrap();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let reply: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(
        reply["response"]["status"]["message"],
        "sessioncluster \"team-a/analytics\": could not be judged in time; send the request again [request/slow]"
    );
    assert_eq!(reply["response"]["status"]["code"], 503);
}
