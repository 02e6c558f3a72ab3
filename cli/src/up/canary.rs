//! Whether the gate really stands: two dry-run creates through the API server, one that must be completed and one that
//! must be refused. A registration that is stored is not yet one that the API server has seen.

use anyhow::anyhow;
use kube::Client;
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use super::install::{api_in, eventually};
use crate::exit::Failure;

/// Waits until both answers are the webhooks', in a namespace that is there.
pub(super) async fn wait(client: &Client, namespace: &str) -> Result<(), Failure> {
    let clusters = api_in(client, namespace, "sessionclusters", "SessionCluster");
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    // Stopped, so that no quota has a say, however full it is.
    let short = canary(&json!({"state": "STOPPED", "flinkVersion": "1.20"}))?;
    // YAML's reading of 1.10 and 1.20 alike, refused whatever the namespace's modes are.
    let ambiguous = canary(&json!({"state": "STOPPED", "flinkVersion": 1.1}))?;
    eventually("admission answers", async || {
        let stored = clusters
            .create(&dry_run, &short)
            .await
            .map_err(|error| format!("a short object: {error}"))?;
        if stored
            .data
            .pointer("/spec/numberOfTaskManagers")
            .and_then(Value::as_i64)
            .is_none()
        {
            return Err("a short object came back as short as it was".to_owned());
        }
        match clusters.create(&dry_run, &ambiguous).await {
            Err(kube::Error::Api(status))
                if status.code < 500 && status.message.contains("flinkVersion") =>
            {
                Ok(())
            }
            Err(error) => Err(format!("an object that must be refused: {error}")),
            Ok(_) => Err("an object that must be refused was admitted".to_owned()),
        }
    })
    .await
}

fn canary(spec: &Value) -> Result<DynamicObject, Failure> {
    let object = json!({
        "apiVersion": sluice_api::API_VERSION,
        "kind": "SessionCluster",
        "metadata": {"name": "sluice-up-canary"},
        "spec": spec,
    });
    serde_json::from_value(object).map_err(|error| Failure::Internal(anyhow!(error)))
}
