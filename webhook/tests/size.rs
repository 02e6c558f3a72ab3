//! What was admitted once can be changed and suspended.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test's own failures

mod support;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use sluice_webhook::review::Limits;
use support::{complete, review, service, session_cluster};
use tower::ServiceExt;

/// A cluster with so many labels, as the API server shows it to a webhook.
fn cluster(state: &str, leaves: usize) -> Value {
    let mut cluster = complete(&session_cluster(state));
    let all = |prefix: &str, value: Value| -> Map<String, Value> {
        let leaves = (0..leaves).map(|n| (format!("{prefix}l{n}"), value.clone()));
        leaves.collect()
    };
    cluster["metadata"]["annotations"] = all("", json!("a")).into();
    cluster["metadata"]["managedFields"] = json!([{
        "manager": "kubectl", "operation": "Update",
        "fieldsV1": {"f:metadata": {"f:annotations": all("f:", json!({}))}},
    }]);
    cluster
}

async fn refused(operation: &str, object: Value, old: Value) -> Option<Value> {
    let body = review("u-1", operation, object, old).to_string();
    let request = Request::post("/validate?timeout=20s").header("content-type", "application/json");
    let router = service(Limits::default()).0.router();
    let response = router.oneshot(request.body(Body::from(body)).unwrap());
    let bytes = response.await.unwrap().into_body().collect().await.unwrap();
    let mut reply = serde_json::from_slice::<Value>(&bytes.to_bytes()).unwrap();
    let status = reply["response"]["status"].take();
    (!status.is_null()).then_some(status)
}

#[tokio::test]
async fn what_was_admitted_can_be_suspended() {
    let mut admitted = Vec::new();
    for leaves in [1_000, 5_000, 8_300, 9_500, 12_000, 16_000, 20_000] {
        let running = cluster("RUNNING", leaves);
        if let Some(status) = refused("CREATE", running.clone(), Value::Null).await {
            assert_eq!(status["code"], 413, "{status}");
            let message = status["message"].as_str().unwrap();
            assert!(
                message.contains("and 20000 may be stored")
                    && message.contains("make the object smaller")
                    && message.ends_with("[request/too-large]"),
                "{message}"
            );
            continue;
        }
        // Whoever does it is one manager more.
        let mut stopped = cluster("STOPPED", leaves);
        let managed = stopped["metadata"]["managedFields"].as_array_mut().unwrap();
        managed.push(json!({"manager": "kubectl-patch", "fieldsV1": {"f:spec": {"f:state": {}}}}));
        let refusal = refused("UPDATE", stopped, running).await;
        assert_eq!(refusal, None, "{leaves}");
        admitted.push(leaves);
    }
    assert_eq!(admitted, [1_000, 5_000, 8_300, 9_500]);
}

#[tokio::test]
async fn nothing_grows_until_it_cannot_be_changed_and_what_is_large_already_can_be_suspended() {
    let (small, large) = (cluster("STOPPED", 1_000), cluster("STOPPED", 11_000));
    let status = refused("UPDATE", large.clone(), small).await.unwrap();
    assert_eq!(status["code"], 413, "{status}");
    let running = cluster("RUNNING", 11_000);
    assert_eq!(refused("UPDATE", large, running).await, None);
}
