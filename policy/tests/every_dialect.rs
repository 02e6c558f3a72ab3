//! What holds for every kind, whatever stands in its objects: no panic, a message for every cause, mutation that
//! changes nothing the second time, patches that touch leaves only.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sluice_policy::dialect::{Class, dialects};
use sluice_policy::world::{EmptyWorld, Layer, Lookup};
use sluice_policy::*;
use std::sync::Arc;

/// Complete objects to start from; each is admitted as it stands.
fn bases() -> Vec<Value> {
    let mut bases = all_bases();
    // Kinds join the registry one by one.
    bases.retain(|base| {
        let group = base["apiVersion"]
            .as_str()
            .and_then(|version| version.split_once('/'))
            .map_or("", |(group, _)| group);
        dialect_for(group, base["kind"].as_str().unwrap_or_default()).is_some()
    });
    bases
}

fn all_bases() -> Vec<Value> {
    let flink = json!({
        "image": "flink:1.20", "flinkVersion": "v1_20", "serviceAccount": "flink", "mode": "native",
        "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2", "job.autoscaler": {"enabled": true}},
        "jobManager": {"resource": {"memory": "2048m", "cpu": 1}, "replicas": 1},
        "taskManager": {"resources": {"requests": {"memory": "2Gi", "cpu": "500m"}, "limits": {"cpu": "1"}}},
        "podTemplate": {"spec": {"containers": [{"name": "log", "image": "x", "resources": {"requests": {"cpu": "100m"}}}]}},
        "job": {"jarURI": "local:///a.jar", "parallelism": 2, "upgradeMode": "stateless", "state": "running", "args": ["a"]}
    });
    vec![
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "a", "namespace": "n"}, "spec": {
            "state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 2,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskManager": {"cpu": "500m", "memory": "2g"}},
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": 2, "state": {"savepoints.dir": "s3://b/s"}},
            "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}},
            "kubernetes": {"labels": {"a": "b"}, "pods": {"envVars": [{"name": "A", "value": "b"}]}},
            "jars": ["https://example.com/a.jar"]}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "n"}, "spec": {
            "state": "running", "upgradeStrategy": {"kind": "stateless"}, "restoreStrategy": {"kind": "latest_savepoint"},
            "template": {"spec": {
                "artifact": {"kind": "jar", "flinkVersion": 1.11, "jarUri": "https://example.com/a.jar", "mainArgs": "--x 1"},
                "parallelism": 3, "resources": {"jobManager": {"cpu": 1, "memory": "1g"}, "taskManager": {"cpu": 1.0, "memory": "2g"}},
                "flinkConfiguration": {"taskmanager.numberOfTaskSlots": 2}, "logging": {"log4jLoggers": {"": "INFO"}}}}}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob", "metadata": {"name": "a", "namespace": "n"}, "spec": {
            "sessionClusterName": "c", "job": {"entryClass": "a.B", "args": ["x"], "parallelism": 2, "state": "running", "upgradeMode": "stateless"},
            "flinkConfiguration": {}}}),
        json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": {"name": "a", "namespace": "n"}, "spec": flink}),
        json!({"apiVersion": "cmf.confluent.io/v1", "kind": "FlinkApplication", "metadata": {"name": "a", "namespace": "n"}, "spec": flink}),
        json!({"apiVersion": "platform.confluent.io/v1beta1", "kind": "FlinkApplication", "metadata": {"name": "a", "namespace": "n"}, "spec": flink}),
        json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkSessionJob", "metadata": {"name": "a", "namespace": "n"}, "spec": {
            "deploymentName": "c", "job": {"jarURI": "https://example.com/a.jar", "parallelism": 2, "upgradeMode": "stateless"}}}),
        json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkStateSnapshot", "metadata": {"name": "a", "namespace": "n"}, "spec": {
            "savepoint": {"path": "s3://b/s", "alreadyExists": true}}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "a", "namespace": "n"}, "spec": {"hard": {"cpu": "100"}, "onGrowth": "warn"}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterCpuQuota", "metadata": {"name": "a"}, "spec": {"hard": {"cpu": 1.5}, "namespaces": ["*"]}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentDefaults", "metadata": {"name": "a", "namespace": "n"}, "spec": {
            "template": {"spec": {"parallelism": 2}}, "sessionCluster": {"numberOfTaskManagers": 2}, "flinkDeployment": {"serviceAccount": "flink"}}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "ClusterDeploymentDefaults", "metadata": {"name": "a"}, "spec": {"maxJobCreationAttempts": 2}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "a"}, "spec": {"namespaces": ["n"], "deployment": {"maxJobCreationAttempts": 2}}}),
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentTarget", "metadata": {"name": "a", "namespace": "n"}, "spec": {"kubernetes": {"namespace": "jobs"}}}),
    ]
}

/// A world in which layers of every section exist.
struct Full;

/// What its Environment sets of other people's kinds, and replaces whatever stands there.
const IMPOSED: [&str; 5] = [
    "/spec/mode",
    "/spec/job/upgradeMode",
    "/spec/jobManager/resource/cpu",
    "/spec/flinkConfiguration/a",
    "/spec/flinkConfiguration/job.autoscaler",
];

impl World for Full {
    fn modes(&self, _: &str) -> Modes {
        Modes::default()
    }
    fn defaults(&self, _: &str) -> Vec<Layer> {
        vec![Layer {
            source: "DeploymentDefaults n/a".into(),
            spec: Arc::new(json!({
                "maxJobCreationAttempts": 6, "template": {"spec": {"parallelism": 4, "flinkConfiguration": {"x.y": "1"}}},
                "sessionCluster": {"flinkConfiguration": {"x.y": "1"}, "deploymentTargetName": "t"},
                "sessionJob": {"flinkConfiguration": {"x.y": "1"}},
                "flinkDeployment": {"serviceAccount": "d", "flinkConfiguration": {"x.y": "1", "taskmanager": {"numberOfTaskSlots": 3}},
                    "jobManager": {"resources": {"requests": {"cpu": "2"}}}, "taskManager": {"resource": {"cpu": 2, "memory": "2g"}},
                    "job": {"parallelism": 3, "state": "running"}},
                "flinkSessionJob": {"flinkConfiguration": {"x.y": "1"}},
                "flinkApplication": {"flinkConfiguration": {"x.y": "1"}}
            })),
        }]
    }
    fn environments(&self, _: &str) -> Vec<Layer> {
        vec![Layer {
            source: "Environment e".into(),
            spec: Arc::new(json!({
                "namespaces": ["*"],
                "deployment": {"template": {"spec": {"flinkConfiguration": {"e": "1"}}}},
                "sessionCluster": {"flinkConfiguration": {"e": "1", "taskmanager.numberOfTaskSlots": "3"}},
                "flinkDeployment": {"flinkConfiguration": {"e": "1", "a": {"b": "2"}}, "mode": "standalone",
                    "jobManager": {"resource": {"cpu": 2}}},
                "flinkApplication": {"imagePullPolicy": "Always", "job": {"upgradeMode": "stateless"}, "flinkConfiguration": {"job.autoscaler.enabled": false}}
            })),
        }]
    }
    fn lookup(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Absent
    }
    fn lookup_uid(&self, _: &KindInfo, _: &str, _: &str) -> Lookup {
        Lookup::Absent
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
}

fn odd_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| json!(f)),
        prop::sample::select(vec![
            "",
            "RUNNING",
            "running",
            "stopped",
            "CANCELED",
            "1.20",
            "v1_20",
            "1.1",
            "NaN",
            "-1",
            "1e999",
            "0",
            "500m",
            "2 g",
            "1Gi",
            "-5Gi",
            "abc",
            "\u{0}",
            "\u{1F4A9}",
            "Ⅷ",
            "a.b/c~d",
            "last-state",
            "savepoint",
            "https://[::1]/a",
            "true",
            "0 0 0 * * ?",
            "99999999999999999999999999999999999999",
            "s3://x/y",
            "standalone",
            "STATEFUL",
            "NONE",
        ])
        .prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((odd_key(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn odd_key() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "cpu",
        "memory",
        "state",
        "kind",
        "name",
        "",
        "a.b",
        "a/b~c",
        "requests",
        "limits",
        "job.autoscaler.enabled",
        "parallelism",
        "numberOfTaskManagers",
        "jobManager",
        "jobmanager",
        "taskmanager.numberOfTaskSlots",
        "containers",
        "spec",
        "replicas",
    ])
    .prop_map(str::to_owned)
}

/// Every place in an object, so that each can be spoilt.
fn places(value: &Value, path: &FieldPath, out: &mut Vec<FieldPath>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = path.key(key);
                places(value, &path, out);
                out.push(path);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                let path = path.index(index);
                places(value, &path, out);
                out.push(path);
            }
        }
        _ => {}
    }
}

fn spoilt(base: &Value, edits: &[(prop::sample::Index, Value)]) -> Value {
    let mut object = base.clone();
    for (place, value) in edits {
        let mut all = Vec::new();
        for part in ["spec", "metadata", "status"] {
            if let Some(value) = object.get(part) {
                places(value, &FieldPath::of(part), &mut all);
            }
        }
        all.push(FieldPath::of("status.state"));
        all.push(FieldPath::of("status.allocatedMilli"));
        all.push(FieldPath::of("spec.unknownField"));
        let path = all[place.index(all.len())].clone();
        if let Some(slot) = object.pointer_mut(&path.pointer()) {
            *slot = value.clone();
        } else {
            let mut draft = draft::Draft::new(&object);
            draft.set(&path, value.clone());
            object = draft.finish().0.into_owned();
        }
    }
    object
}

fn review<'a>(object: &'a Value, old: Option<&'a Value>) -> Review<'a> {
    let group = object["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'))
        .map_or("", |(group, _)| group);
    let dialect = dialect_for(group, object["kind"].as_str().unwrap_or_default());
    Review {
        dialect: dialect.unwrap_or_else(|| {
            panic!("no dialect for {} {}", object["apiVersion"], object["kind"])
        }),
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        part: Part::Whole,
        namespace: object["metadata"]["namespace"].as_str().unwrap_or_default(),
        name: object["metadata"]["name"].as_str().unwrap_or_default(),
        object,
    }
}

/// Judges as the two calls would and checks what holds for every object.
fn judged(object: &Value, old: Option<&Value>, world: &dyn World) -> (Value, Judgement) {
    let mutation = mutate(&review(object, old), world);
    let made = mutation.object.into_owned();
    let mut replayed = object.clone();
    json_patch::patch(&mut replayed, &mutation.patch).unwrap();
    assert_eq!(replayed, made, "the patch leads to the object");
    if mutation.refusal.is_none() {
        let again = mutate(&review(&made, old), world);
        assert_eq!(again.patch, Vec::new(), "mutation is idempotent on {made}");
    }
    let judgement = validate(&review(&made, old), world);
    if let Some(refusal) = &judgement.refusal {
        assert!(
            refusal.message.ends_with(&format!("[{}]", refusal.rule.id)),
            "{}",
            refusal.message
        );
        let known = rule::rules();
        for id in refusal
            .causes
            .iter()
            .map(|cause| cause.rule.id)
            .chain([refusal.rule.id])
        {
            assert!(
                known.iter().any(|rule| rule.id == id),
                "{id} is not listed by `sluice rules`"
            );
        }
        assert_ne!(
            refusal.rule.id, "defaults/incomplete",
            "{}",
            refusal.message
        );
        for cause in &refusal.causes {
            assert!(
                !cause.message.is_empty() && cause.field != FieldPath::default(),
                "{cause:?}"
            );
        }
    }
    for warning in judgement.warnings.iter().chain(&mutation.warnings) {
        assert!(warning.len() < 256 && !warning.contains('\n'), "{warning}");
    }
    (made, judgement)
}

#[test]
fn the_bases_are_admitted_and_every_dialect_has_one() {
    for base in bases() {
        let (_, judgement) = judged(&base, None, &EmptyWorld);
        assert_eq!(judgement.refusal, None, "{base}");
    }
    for dialect in dialects() {
        let kind = dialect.kind();
        let has = bases().iter().any(|base| {
            base["kind"] == kind.kind
                && base["apiVersion"]
                    .as_str()
                    .unwrap()
                    .starts_with(&format!("{}/", kind.group))
        });
        assert!(has, "no base object for {} {}", kind.group, kind.kind);
    }
}

#[test]
fn every_rule_tells_its_reason_and_where_it_comes_from() {
    for rule in rule::rules() {
        assert!(
            !rule.summary.is_empty() && !rule.explain.is_empty() && !rule.source.is_empty(),
            "{}",
            rule.id
        );
        assert!(rule.id.contains('/'), "{}", rule.id);
    }
}

#[test]
fn deep_nesting_and_megabytes_are_judged_like_anything_else() {
    let mut deep = json!("bottom");
    for _ in 0..120 {
        deep = json!({"a": [deep]});
    }
    let long = "x".repeat(2_000_000);
    for base in bases() {
        for odd in [
            deep.clone(),
            json!(long),
            json!({ &long: 1 }),
            json!(vec![0; 10_000]),
        ] {
            for key in [
                "flinkConfiguration",
                "kubernetes",
                "resources",
                "template",
                "podTemplate",
                "state",
            ] {
                let mut object = base.clone();
                object["spec"][key] = odd.clone();
                judged(&object, None, &EmptyWorld);
                judged(&object, Some(&base), &EmptyWorld);
            }
        }
    }
}

#[test]
fn objects_that_are_no_objects_are_judged() {
    for base in bases() {
        for part in ["spec", "metadata", "status"] {
            for odd in [
                json!(null),
                json!(1),
                json!("x"),
                json!([]),
                json!({}),
                json!(true),
            ] {
                let mut object = base.clone();
                object[part] = odd;
                let review = Review {
                    name: "a",
                    namespace: "n",
                    ..review(&object, None)
                };
                let made = mutate(&review, &EmptyWorld).object.into_owned();
                let _ = validate(
                    &Review {
                        object: &made,
                        ..review
                    },
                    &EmptyWorld,
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_is_judged_and_mutation_is_idempotent(
        base in prop::sample::select(bases()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), odd_value()), 0..4),
        changes in prop::collection::vec((any::<prop::sample::Index>(), odd_value()), 0..3),
        full in any::<bool>(),
    ) {
        let world: &dyn World = if full { &Full } else { &EmptyWorld };
        let object = spoilt(&base, &edits);
        let object = if object["metadata"].is_object() { object } else { base.clone() };
        let (stored, _) = judged(&object, None, world);
        let changed = spoilt(&stored, &changes);
        let changed = if changed["metadata"].is_object() { changed } else { stored.clone() };
        judged(&changed, Some(&stored), world);
    }

    #[test]
    fn patches_never_replace_a_list_or_map_of_the_users(
        base in prop::sample::select(bases()),
        edits in prop::collection::vec((any::<prop::sample::Index>(), odd_value()), 0..3),
    ) {
        let object = spoilt(&base, &edits);
        let review = review(&base, None);
        if review.dialect.class() == Class::Workload && review.dialect.kind().group != "sluice.dev" {
            let mutation = mutate(&Review { object: &object, ..review }, &Full);
            for operation in &mutation.patch {
                if let json_patch::PatchOperation::Replace(replace) = operation {
                    let before = object.pointer(replace.path.as_str());
                    let path = replace.path.as_str();
                    let imposed = IMPOSED.iter().any(|imposed| path.starts_with(imposed));
                    prop_assert!(imposed || before.is_none_or(|value| !value.is_object() && !value.is_array()), "{operation:?}");
                }
            }
        }
    }
}
