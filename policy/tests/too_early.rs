//! Who does not know everything yet: what is let go all the same, and what each kind is judged by.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};
use sluice_policy::review::scaled;
use sluice_policy::world::{EmptyWorld, Layer, Lookup, Source};
use sluice_policy::*;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A world that knows nothing yet, and writes down what it is asked for.
struct Starting {
    asked: RefCell<BTreeSet<String>>,
    found: Lookup,
}

impl Starting {
    fn new(found: Lookup) -> Self {
        Self {
            asked: RefCell::default(),
            found,
        }
    }

    fn ask(&self, what: String) {
        self.asked.borrow_mut().insert(what);
    }
}

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
    fn lookup(&self, kind: &KindInfo, _: &str, _: &str) -> Lookup {
        self.ask(format!("{}.{}", kind.plural, kind.group));
        self.found.clone()
    }
    fn lookup_uid(&self, kind: &KindInfo, namespace: &str, uid: &str) -> Lookup {
        self.lookup(kind, namespace, uid)
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
    fn unfilled(&self, _: &dyn Dialect) -> Option<String> {
        Some("everything".to_owned())
    }
    fn operator_configuration(&self) -> Option<Arc<Value>> {
        self.ask("the operator's configuration".to_owned());
        None
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
                &Starting::new(Lookup::Unknown),
            );
            judged.refusal.map(|refusal| refusal.rule.id)
        };
        let kind = &stored["kind"];
        assert_eq!(judged(2), None, "{kind}");
        assert_eq!(judged(0), None, "{kind}");
        assert_eq!(judged(5), Some("request/too-early"), "{kind}");
    }
}

/// Objects whose judgement looks at everything that their kind ever looks at.
fn objects() -> Vec<Value> {
    let (own, apache) = ("sluice.dev/v1alpha1", "flink.apache.org/v1beta1");
    let job = |kind| json!({"savepoint": {}, "jobReference": {"kind": kind, "name": "j"}, "backoffLimit": 1});
    let settings = json!({"namespaces": ["*"], "hard": {"cpu": 1}, "template": {"spec": {}}});
    vec![
        object(own, "SessionCluster", &json!({"deploymentTargetName": "t"})),
        object(own, "SessionCluster", &json!({"deploymentTargetId": "t"})),
        object(
            own,
            "Deployment",
            &json!({"deploymentTargetName": "t", "sessionClusterName": "c"}),
        ),
        object(own, "SessionJob", &json!({"sessionClusterName": "c"})),
        object(
            own,
            "DeploymentTarget",
            &json!({"kubernetes": {"namespace": "jobs"}}),
        ),
        object(own, "DeploymentDefaults", &settings),
        object(own, "ClusterDeploymentDefaults", &settings),
        object(own, "Environment", &settings),
        object(own, "CpuQuota", &settings),
        object(own, "ClusterCpuQuota", &settings),
        object(apache, "FlinkDeployment", &json!({"job": {}})),
        object(
            apache,
            "FlinkSessionJob",
            &json!({"deploymentName": "c", "job": {}}),
        ),
        object(apache, "FlinkStateSnapshot", &job("FlinkDeployment")),
        object(apache, "FlinkStateSnapshot", &job("FlinkSessionJob")),
        object("cmf.confluent.io/v1", "FlinkApplication", &json!({})),
        object(
            "platform.confluent.io/v1beta1",
            "FlinkApplication",
            &json!({"flinkEnvironment": "e"}),
        ),
    ]
}

#[test]
fn a_kind_is_judged_by_what_it_says_and_by_nothing_else() {
    for dialect in dialects() {
        let kind = dialect.kind();
        let declared: BTreeSet<String> = dialect
            .sources()
            .iter()
            .map(|source| match source {
                Source::Objects(kind) => format!("{}.{}", kind.plural, kind.group),
                Source::OperatorConfiguration => "the operator's configuration".to_owned(),
            })
            .collect();
        let mut asked = BTreeSet::new();
        let mut judged = 0;
        for object in &objects() {
            let review = review(object, None, Part::Whole);
            if review.dialect.kind() != kind {
                continue;
            }
            judged += 1;
            for found in [Lookup::Absent, Lookup::Found(Arc::new(json!({})))] {
                let world = Starting::new(found);
                dialect.validate(&review, &world, &mut Findings::default());
                let _ = dialect.workload(object, &world);
                dialect.notices(&review, &world, &mut Findings::default());
                asked.extend(world.asked.into_inner());
            }
        }
        assert!(judged > 0, "{}: no object of it here", kind.kind);
        assert_eq!(asked, declared, "{} ({})", kind.kind, kind.group);
    }
}
