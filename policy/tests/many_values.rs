//! Work that grows with the square of how many values a body has would hold a worker up for minutes. Times are compared within one run: eight
//! times as many may take four times as long each, which no square does, and no busy machine.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)] // a test's own failures

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
    let (group, _) = object["apiVersion"]
        .as_str()
        .and_then(|version| version.split_once('/'))
        .unwrap();
    Review {
        dialect: dialect_for(group, object["kind"].as_str().unwrap()).unwrap(),
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
    grows(what, |count| cluster(&spec(count)));
}

fn grows(what: &str, object: impl Fn(usize) -> Value) {
    let few = judging(&object(FEW));
    let many = judging(&object(8 * FEW));
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

/// A FlinkDeployment whose annotation says that these keys of its configuration had been filled in.
fn recorded(keys: impl Iterator<Item = String>, configuration: &Value) -> Value {
    let entry = |key| (format!("/spec/flinkConfiguration/{key}"), json!("x"));
    let record: Map<_, _> = keys.map(entry).collect();
    json!({
        "apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment",
        "metadata": {"name": "a", "namespace": "n", "annotations": {"sluice.dev/defaults": Value::from(record).to_string()}},
        "spec": {"flinkVersion": "v1_20", "serviceAccount": "flink", "flinkConfiguration": configuration,
            "jobManager": {"resource": {"cpu": 1, "memory": "1g"}}, "taskManager": {"resource": {"cpu": 1, "memory": "1g"}}},
    })
}

/// Each of them may end the name of a map in which the rest is said.
#[test]
fn dots_of_a_recorded_key() {
    let configuration = json!({"a": 1, "b": 2});
    grows("dots", |count| {
        recorded(std::iter::once(".".repeat(count)), &configuration)
    });
}

/// Maps in which a beginning of so many parts is spelled in every way: twice as many for each part more.
fn every_spelling(parts: usize) -> Value {
    let of = |length| {
        (
            ["a"].repeat(length).join("."),
            every_spelling(parts - length),
        )
    };
    Value::Object((1..=parts).map(of).collect())
}

/// As many keys, and as many ways in which each of them might be said.
#[test]
fn spellings_of_recorded_keys() {
    grows("spellings", |count| {
        let parts = if count == FEW { 9 } else { 12 };
        let beginning = ["a"].repeat(parts).join(".");
        let keys = (0..count / 20).map(|number| format!("{beginning}.{number}"));
        recorded(keys, &every_spelling(parts))
    });
}

#[test]
fn labels_that_are_warned_about() {
    grows_with_their_number(
        "labels",
        |count| json!({"kubernetes": {"labels": map(count, "sluice.dev/a", &json!("x"))}}),
    );
}
