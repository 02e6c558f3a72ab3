//! Work that grows with the square of how many values a body has would hold a worker up for minutes. Times are compared within one run: eight
//! times as many may take four times as long each, which no square does, and no busy machine.
#![allow(clippy::unwrap_used, clippy::panic)] // a test's own failures

use serde_json::{Map, Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{Operation, Part, Review, dialect_for, mutate, validate};
use std::hint::black_box;
use std::time::{Duration, Instant};

const FEW: usize = 5_000;

fn cluster(spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "sluice.dev/v1", "kind": "SessionCluster", "metadata": {"name": "a", "namespace": "n"},
        "spec": {"deploymentTargetName": "t", "flinkVersion": "1.20", "numberOfTaskManagers": 1, "state": "RUNNING"},
    });
    let target = object.get_mut("spec").unwrap().as_object_mut().unwrap();
    target.extend(spec.as_object().unwrap().clone());
    object
}

fn map(count: usize, prefix: &str, value: &Value) -> Value {
    let key = |number| (format!("{prefix}{number:06}"), value.clone());
    Value::Object((0..count).map(key).collect::<Map<_, _>>())
}

fn review(object: &Value) -> Review<'_> {
    Review {
        dialect: dialect_for("sluice.dev", "SessionCluster").unwrap(),
        operation: Operation::Create,
        part: Part::Whole,
        namespace: "n",
        name: "a",
        object,
    }
}

/// The better of two.
fn judging(object: &Value) -> Duration {
    let once = || {
        let began = Instant::now();
        let made = mutate(&review(object), &EmptyWorld);
        drop(black_box(validate(&review(&made.object), &EmptyWorld)));
        began.elapsed()
    };
    once().min(once())
}

fn grows_with_their_number(what: &str, spec: impl Fn(usize) -> Value) {
    let few = judging(&cluster(&spec(FEW)));
    let many = judging(&cluster(&spec(8 * FEW)));
    println!("{what}: {FEW} in {few:?}, eight times as many in {many:?}");
    assert!(
        many < 32 * few,
        "{what}: {few:?}, and {many:?} for eight times as many"
    );
}

#[test]
fn nested_configuration() {
    grows_with_their_number(
        "nested configuration",
        |count| json!({"flinkConfiguration": {"a": map(count, "k", &json!(1))}}),
    );
}

#[test]
fn configuration_without_values() {
    grows_with_their_number(
        "configuration without values",
        |count| json!({"flinkConfiguration": map(count, "k", &Value::Null)}),
    );
}

#[test]
fn labels_that_are_warned_about() {
    grows_with_their_number(
        "labels",
        |count| json!({"kubernetes": {"labels": map(count, "sluice.dev/a", &json!("x"))}}),
    );
}
