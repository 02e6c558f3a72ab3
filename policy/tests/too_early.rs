//! Who does not know everything yet: what is let go all the same.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use sluice_policy::review::scaled;
use sluice_policy::world::{EmptyWorld, Layer, Lookup};
use sluice_policy::*;
use std::sync::Arc;

/// A world that knows nothing yet.
struct Starting;

impl World for Starting {
    fn modes(&self, namespace: &str) -> Modes {
        EmptyWorld.modes(namespace)
    }
    fn defaults(&self, namespace: &str) -> Vec<Layer> {
        EmptyWorld.defaults(namespace)
    }
    fn environments(&self, namespace: &str) -> Vec<Layer> {
        EmptyWorld.environments(namespace)
    }
    fn lookup(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Unknown
    }
    fn lookup_uid(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Unknown
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
    fn unfilled(&self) -> Option<String> {
        Some("everything".to_owned())
    }
}

fn object(api: &str, kind: &str, spec: &Value) -> Value {
    json!({"apiVersion": api, "kind": kind, "metadata": {"name": "a", "namespace": "n"}, "spec": spec})
}

fn review<'a>(object: &'a Value, old: Option<&'a Value>, part: Part) -> Review<'a> {
    let (group, _) = object["apiVersion"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    Review {
        dialect: dialect_for(group, object["kind"].as_str().unwrap()).unwrap(),
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        part,
        namespace: "n",
        name: "a",
        object,
    }
}

#[test]
fn replicas_are_lowered_whatever_is_not_known_yet() {
    let flink = json!({
        "flinkVersion": "v1_20", "serviceAccount": "flink", "mode": "standalone",
        "jobManager": {"resource": {"memory": "2048m", "cpu": 1}},
        "taskManager": {"resource": {"memory": "2048m", "cpu": 1}, "replicas": 4},
        "job": {"jarURI": "local:///a.jar", "parallelism": 2, "upgradeMode": "stateless", "state": "running"},
    });
    let cluster = json!({"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 4});
    let deployment = json!({"state": "RUNNING", "template": {"spec": {"numberOfTaskManagers": 4}}});
    for stored in [
        object("flink.apache.org/v1beta1", "FlinkDeployment", &flink),
        object("cmf.confluent.io/v1", "FlinkApplication", &flink),
        object("sluice.dev/v1alpha1", "SessionCluster", &cluster),
        object("sluice.dev/v1alpha1", "Deployment", &deployment),
    ] {
        let judged = |replicas| {
            let dialect = review(&stored, None, Part::Scale).dialect;
            let new = scaled(dialect, &stored, replicas).unwrap();
            let judged = validate(
                &review(&new, Some(&stored), Part::Scale),
                &Starting,
            );
            judged.refusal.map(|refusal| refusal.rule.id)
        };
        let kind = &stored["kind"];
        assert_eq!(judged(2), None, "{kind}");
        assert_eq!(judged(0), None, "{kind}");
        assert_eq!(judged(5), Some("request/too-early"), "{kind}");
    }
}
