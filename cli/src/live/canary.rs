//! What admission really answers: two dry-run creates through the API server, one that must be completed and one that must be
//! refused. A registration that is stored is not yet one that the API server has seen.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};

/// What came of the dry-runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The gate stands: one was completed, the other refused by a rule.
    Gate,
    /// Both were admitted as they were: nobody is asked.
    Open,
    /// Anything else; what was said.
    Trouble(String),
}

/// Asks once, in a namespace that is there and judged.
pub async fn ask(client: &Client, namespace: &str) -> Answer {
    let resource = ApiResource {
        group: sluice_api::GROUP.to_owned(),
        version: sluice_api::VERSION.to_owned(),
        api_version: sluice_api::API_VERSION.to_owned(),
        kind: "SessionCluster".to_owned(),
        plural: "sessionclusters".to_owned(),
    };
    let clusters: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let canary = |spec: Value| {
        let mut object = DynamicObject::new("sluice-canary", &resource);
        object.data = json!({"spec": spec});
        object
    };
    // Stopped, so that no quota has a say, however full it is.
    let short = canary(json!({"state": "STOPPED", "flinkVersion": "1.20"}));
    let completed = match clusters.create(&dry_run, &short).await {
        Ok(stored) => stored.data.pointer("/spec/numberOfTaskManagers").is_some(),
        Err(error) => {
            return Answer::Trouble(format!("a short, stopped SessionCluster: {}", said(&error)));
        }
    };
    // YAML's reading of 1.10 and 1.20 alike, refused whatever the namespace's modes are.
    let ambiguous = canary(json!({"state": "STOPPED", "flinkVersion": 1.1}));
    match (completed, clusters.create(&dry_run, &ambiguous).await) {
        (true, Err(kube::Error::Api(status)))
            if status.code < 500 && status.message.contains("flinkVersion") =>
        {
            Answer::Gate
        }
        (_, Err(error)) if !completed => Answer::Trouble(format!(
            "a short object came back as short as it was, and one that must be refused got: {}",
            said(&error)
        )),
        (_, Err(error)) => {
            Answer::Trouble(format!("an object that must be refused: {}", said(&error)))
        }
        (true, Ok(_)) => Answer::Trouble("an object that must be refused was admitted".to_owned()),
        (false, Ok(_)) => Answer::Open,
    }
}

fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}
