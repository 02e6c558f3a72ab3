//! A dialect small enough to see through, and a world of a few layers, for tests of the pipeline itself.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use serde_json::{Value, json};
use sluice_policy::dialect::{Derived, Frozen, LeafKind, Scope};
use sluice_policy::world::{Layer, Lookup};
use sluice_policy::*;
use std::sync::Arc;

pub static TOO_WIDE: Rule = Rule {
    id: "toy/too-wide",
    family: Family::Validation,
    code: Code::Forbidden,
    summary: "parallelism above 10",
    explain: "",
    source: "",
};
pub static FROZEN: Rule = Rule {
    id: "immutable/toy",
    family: Family::Immutability,
    code: Code::Forbidden,
    summary: "",
    explain: "",
    source: "",
};

static KIND: KindInfo = KindInfo {
    group: "toy.dev",
    version: "v1",
    kind: "Toy",
    plural: "toys",
    singular: "toy",
    scope: Scope::Namespaced,
    scale: Some(&["spec", "numberOfTaskManagers"]),
};

pub struct Toy;
pub static TOY: Toy = Toy;

impl Dialect for Toy {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }
    fn rules(&self) -> Vec<&'static Rule> {
        vec![&TOO_WIDE, &FROZEN]
    }
    fn section(&self) -> Option<&'static str> {
        Some("toy")
    }
    fn built_in(&self, _object: &Value) -> Value {
        json!({"spec": {"state": "STOPPED", "parallelism": 1, "logging": {"profile": "default", "loggers": {"": "INFO"}}}})
    }
    fn derived(&self, object: &Value) -> Vec<Derived> {
        let parallelism = object
            .pointer("/spec/parallelism")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        let slots = object
            .pointer("/spec/slots")
            .and_then(Value::as_u64)
            .unwrap_or(1)
            .max(1);
        vec![Derived {
            path: FieldPath::of("spec.numberOfTaskManagers"),
            value: json!(parallelism.div_ceil(slots)),
        }]
    }
    fn exclusive(&self) -> Vec<Vec<FieldPath>> {
        vec![vec![
            FieldPath::of("spec.targetName"),
            FieldPath::of("spec.targetId"),
        ]]
    }
    fn levers(&self) -> Vec<FieldPath> {
        vec![
            FieldPath::of("spec.state"),
            FieldPath::of("spec.numberOfTaskManagers"),
        ]
    }
    fn validate(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        if review
            .object
            .pointer("/spec/parallelism")
            .and_then(Value::as_u64)
            .is_some_and(|p| p > 10)
        {
            findings.refuse(
                &TOO_WIDE,
                FieldPath::of("spec.parallelism"),
                CauseReason::Invalid,
                "at most 10",
            );
        }
    }
    fn frozen(&self, old: &Value) -> Option<Frozen> {
        (old.pointer("/status/state") == Some(&json!("RUNNING"))).then(|| Frozen {
            rule: &FROZEN,
            why: "is RUNNING: only spec.state may change.".into(),
            way_out: "Stop it first.".into(),
            may_change: vec![
                FieldPath::of("spec.state"),
                FieldPath::of("spec.numberOfTaskManagers"),
            ],
            may_change_keys: Vec::new(),
            override_annotation: None,
        })
    }
    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        match path.last_key() {
            Some("memory") => LeafKind::Memory,
            Some("cpu") => LeafKind::Cpu,
            _ => LeafKind::Exact,
        }
    }
    fn workload(&self, object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        let count = object
            .pointer("/spec/numberOfTaskManagers")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        Ok(Workload {
            desired: if object.pointer("/spec/state") == Some(&json!("RUNNING")) {
                Desired::Running
            } else {
                Desired::Stopped
            },
            demand: MilliCpu(1000).times(count),
            allocated: object
                .pointer("/status/allocatedMilli")
                .and_then(Value::as_u64)
                .map(MilliCpu),
            settled: object
                .pointer("/status/observedGeneration")
                .is_some_and(|seen| Some(seen) == object.pointer("/metadata/generation")),
        })
    }
}

/// A world that only holds layers and modes.
#[derive(Default)]
pub struct Layers {
    pub defaults: Vec<(&'static str, Value)>,
    pub environments: Vec<(&'static str, Value)>,
    pub modes: Modes,
    pub unfilled: Option<&'static str>,
}

impl World for Layers {
    fn modes(&self, _: &str) -> Modes {
        self.modes
    }
    fn defaults(&self, _: &str) -> Vec<Layer> {
        layers(&self.defaults)
    }
    fn environments(&self, _: &str) -> Vec<Layer> {
        layers(&self.environments)
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
    fn unfilled(&self, _: &dyn Dialect) -> Option<String> {
        self.unfilled.map(str::to_owned)
    }
}

fn layers(layers: &[(&'static str, Value)]) -> Vec<Layer> {
    layers
        .iter()
        .map(|(source, spec)| Layer {
            source: (*source).into(),
            spec: Arc::new(json!({"toy": spec})),
        })
        .collect()
}

pub fn review<'a>(object: &'a Value, old: Option<&'a Value>) -> Review<'a> {
    Review {
        dialect: &TOY,
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        part: Part::Whole,
        namespace: "team-a",
        name: "t",
        object,
    }
}

/// The object as the mutating call would leave it; checks on the way that the patch leads there and that a second
/// call changes nothing.
pub fn stored(object: &Value, old: Option<&Value>, world: &dyn World) -> Value {
    let mutation = mutate(&review(object, old), world);
    assert_eq!(mutation.refusal, None);
    let made = mutation.object.into_owned();
    let mut replayed = object.clone();
    json_patch::patch(&mut replayed, &mutation.patch).unwrap();
    assert_eq!(replayed, made, "the patch leads to the object");
    let again = mutate(&review(&made, old), world);
    assert_eq!(again.patch, Vec::new(), "mutation is idempotent");
    made
}
