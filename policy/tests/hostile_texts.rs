//! Texts within an object that would become very many values, counted: what one decision makes of a body of some megabytes.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's own failures

mod admins;

use admins::Admins;
use serde_json::{Map, Value, json};
use sluice_policy::{Operation, Part, Review, dialect_for, mutate, validate};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// All that a decision allocates, given back in between or not. A body may have 3 MiB.
const MOST: usize = 24 << 20;

fn deployment(annotations: &Value, status: &Value) -> Value {
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": "a", "namespace": "n", "annotations": annotations},
        "spec": {"flinkVersion": "v1_20", "serviceAccount": "flink",
            "jobManager": {"resource": {"cpu": 1, "memory": "1g"}}, "taskManager": {"resource": {"cpu": 1, "memory": "1g"}}},
        "status": {"reconciliationStatus": status},
    })
}

fn configured(key: &str, text: &str) -> Value {
    let mut object = deployment(&json!({}), &json!({}));
    let spec = object
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .unwrap();
    spec.insert(
        "flinkConfiguration".to_owned(),
        json!({"job.autoscaler.enabled": "true", key: text}),
    );
    object
}

fn allocated(object: &Value) -> usize {
    let name = object.pointer("/metadata/name").and_then(Value::as_str);
    let review = Review {
        dialect: dialect_for("flink.apache.org", "FlinkDeployment").unwrap(),
        operation: Operation::Create,
        part: Part::Whole,
        namespace: "n",
        name: name.unwrap(),
        object,
    };
    let options = json!({"high-availability.type": "kubernetes"});
    let world = Admins {
        environments: vec![json!({"flinkDeployment": {"flinkConfiguration": options}})],
        ..Admins::default()
    };
    let region = Region::new(ALLOCATOR);
    let made = mutate(&review, &world).object;
    let complete = Review {
        object: &made,
        ..review
    };
    drop(black_box(validate(&complete, &world)));
    region.change().bytes_allocated
}

/// An option that an Environment sets, and that has the beginning of many others' names here: a very long one.
fn below_a_long_key() -> Value {
    let many: Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let mut object = deployment(&json!({}), &json!({}));
    let spec = object
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .unwrap();
    let nested = json!({"high-availability.type": { "x".repeat(20_000): many }});
    spec.insert("flinkConfiguration".to_owned(), nested);
    object
}

/// The same below a name that is spelled in many ways.
fn below_spellings() -> Value {
    let spelled = |parts: usize| vec!["a"; parts].join(".");
    let many: Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!(1))).collect();
    let mut nested: Map<String, Value> = Map::new();
    for first in 1..16 {
        let mut below: Map<String, Value> = Map::new();
        for second in 1..16 {
            let others = match (first, second) {
                (1, 1) => Value::Object(many.clone()),
                _ => json!({ format!("of-{first}-{second}"): 1 }),
            };
            below.insert(
                spelled(second),
                json!({ spelled(117 - first - second): others }),
            );
        }
        nested.insert(spelled(first), Value::Object(below));
    }
    let mut object = deployment(&json!({}), &json!({}));
    let spec = object
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .unwrap();
    let nested = json!({ "high-availability.type": nested });
    spec.insert("flinkConfiguration".to_owned(), nested);
    object
}

/// A text that is longer in a message than in its JSON.
fn memory(text: &str) -> Value {
    let mut object = deployment(&json!({}), &json!({}));
    *object
        .pointer_mut("/spec/taskManager/resource/memory")
        .unwrap() = json!(text);
    object
}

/// A template in which the name stands, and the name.
fn ingress(template: &str, name: &str) -> Value {
    let mut object = deployment(&json!({}), &json!({}));
    *object.pointer_mut("/metadata/name").unwrap() = json!(name);
    let spec = object
        .get_mut("spec")
        .and_then(Value::as_object_mut)
        .unwrap();
    spec.insert("ingress".to_owned(), json!({"template": template}));
    object
}

/// The only test of this process, since all that the process does is counted.
#[test]
fn a_text_within_an_object_is_not_made_into_a_hundred_times_its_length() {
    let lists = |length: usize| format!(r#"{{"spec":[{}0]}}"#, "[0],".repeat(length / 4));
    let long = lists(3_000_000);
    let stored = lists(250_000);
    for (what, object) in [
        (
            "last applied",
            deployment(
                &json!({"kubectl.kubernetes.io/last-applied-configuration": long}),
                &json!({}),
            ),
        ),
        (
            "last applied, as long as it may be stored",
            deployment(
                &json!({"kubectl.kubernetes.io/last-applied-configuration": stored}),
                &json!({}),
            ),
        ),
        (
            "the record of defaults",
            deployment(
                &json!({"sluice.dev/defaults": format!(r#"{{"/spec/x":{stored}}}"#)}),
                &json!({}),
            ),
        ),
        (
            "what the operator has recorded",
            deployment(
                &json!({}),
                &json!({"lastReconciledSpec": long, "lastStableSpec": long}),
            ),
        ),
        (
            "excluded periods",
            configured("job.autoscaler.excluded.periods", &";x".repeat(1_500_000)),
        ),
        (
            "one excluded period",
            configured("job.autoscaler.excluded.periods", &"1-".repeat(1_500_000)),
        ),
        (
            "parallelisms",
            configured(
                "pipeline.jobvertex-parallelism-overrides",
                &"a:1,".repeat(750_000),
            ),
        ),
        ("many options below a long key", below_a_long_key()),
        (
            "many options below many spellings of a key",
            below_spellings(),
        ),
        (
            "many names in a template",
            ingress(
                &format!("[{}]", "{{name}}".repeat(350_000)),
                &"n".repeat(253),
            ),
        ),
        (
            "long names in a template",
            ingress(&"{{name}}".repeat(500), &"n".repeat(1_000_000)),
        ),
        ("a memory", memory(&"\u{7f}".repeat(2_900_000))),
    ] {
        let allocated = allocated(&object);
        println!("{what}: {allocated} bytes");
        assert!(allocated < MOST, "{what}: {allocated} bytes");
    }
}
