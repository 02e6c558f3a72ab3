//! What holds for any JSON whatever, and for any size.

use crate::support::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "2048m",
            "1e99",
            "* * * ? * 2-6",
            "https://[::1%x]:x",
            "true",
            "suspended",
            "v1_20",
            "standalone",
            "-1Gi",
            "[a,'b"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z.]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Places where odd values are put.
const PLACES: &[&str] = &[
    "/spec",
    "/spec/job",
    "/spec/job/parallelism",
    "/spec/job/jarURI",
    "/spec/job/state",
    "/spec/flinkConfiguration",
    "/spec/ingress",
    "/spec/ingress/template",
    "/spec/taskManager",
    "/spec/taskManager/replicas",
    "/spec/taskManager/resource/memory",
    "/spec/taskManager/resource/cpu",
    "/spec/taskManager/resources/requests/cpu",
    "/spec/podTemplate",
    "/spec/podTemplate/spec/containers",
    "/spec/jobManager/podTemplate/spec/initContainers",
    "/spec/flinkConfiguration/taskmanager.numberOfTaskSlots",
    "/spec/flinkConfiguration/job.autoscaler.excluded.periods",
    "/spec/flinkConfiguration/job.autoscaler.enabled",
    "/spec/logConfiguration",
    "/spec/deploymentName",
    "/spec/mode",
    "/status",
    "/status/reconciliationStatus/lastReconciledSpec",
    "/metadata/labels",
    "/metadata",
];

fn put(object: &mut Value, pointer: &str, value: Value) {
    let path = sluice_policy::FieldPath::from_pointer(pointer);
    let mut draft = sluice_policy::draft::Draft::new(object);
    draft.set(&path, value);
    let made = draft.finish().0.into_owned();
    *object = made;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Nothing that can be written makes any of the dialects' functions panic, and every cause has a message.
    #[test]
    fn any_json_is_judged(edits in prop::collection::vec((prop::sample::select(PLACES), any_json()), 1..4), kind in 0..4_usize) {
        let snapshot = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkStateSnapshot", "metadata": {"name": "s"}, "spec": {"savepoint": {}}});
        let base = [application(), session(), session_job(), snapshot][kind].clone();
        let mut object = base.clone();
        for (place, value) in edits {
            put(&mut object, place, value);
        }
        let world = Known { objects: vec![object.clone(), base.clone()], operator: Some(object["spec"].clone()), any_name: true };
        let dialect = dialect_of(&base);
        for (object, other) in [(&object, &base), (&base, &object)] {
            for operation in [Operation::Create, Operation::Update { old: other }] {
                let review = sluice_policy::Review { object, ..review(&base, operation) };
                let mut findings = Findings::default();
                dialect.validate(&review, &world, &mut findings);
                dialect.notices(&review, &world, &mut findings);
                prop_assert!(findings.causes.iter().all(|cause| !cause.message.is_empty()));
                let _ = mutate(&review, &world);
                let _ = sluice_policy::validate(&review, &world);
            }
            let _ = (dialect.workload(object, &world), dialect.frozen(object), dialect.facts(object), dialect.comparable(object), dialect.is_exempt(object));
        }
    }

    /// More parallelism, replicas or CPU never costs less.
    #[test]
    fn the_charge_is_monotonic(parallelism in 0_i64..1_000, more in 0_i64..1_000, cpu in 0_u32..64, faster in 0_u32..64, slots in 1_i32..9, standalone: bool, autoscaled: bool) {
        let at = |parallelism: i64, cpu: u32, replicas: Option<i64>| {
            let object = with(json!({
                "mode": if standalone { "standalone" } else { "native" },
                "job": {"parallelism": parallelism},
                "taskManager": {"resource": {"cpu": f64::from(cpu) / 8.0 + 0.125}, "replicas": replicas},
                "flinkConfiguration": {"taskmanager.numberOfTaskSlots": slots, "job.autoscaler.enabled": autoscaled, "job.autoscaler.quota.cpu": 40}
            }));
            dialect_of(&object).workload(&object, &EmptyWorld).unwrap().charge()
        };
        prop_assert!(at(parallelism, cpu, None) <= at(parallelism + more, cpu, None));
        prop_assert!(at(parallelism, cpu, Some(parallelism + 1)) <= at(parallelism, cpu, Some(parallelism + more + 1)));
        if !autoscaled {
            prop_assert!(at(parallelism, cpu, None) <= at(parallelism, cpu + faster, None));
        }
    }
}
