//! Numbers with long fractions come out of the mutation as they were written. A parser that is quick and one bit off here and
//! there (serde_json without `float_roundtrip`) would store another number than the user's wherever a value is moved or becomes text.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::Value;
use sluice_policy::world::EmptyWorld;
use sluice_policy::{Operation, Part, Review, dialect_for, mutate};

/// What is stored of a session cluster that is sent with this text for its numbers.
fn stored(number: &str) -> Value {
    let sent = format!(
        r#"{{"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
            "metadata": {{"name": "a", "namespace": "team-a"}},
            "spec": {{"flinkVersion": "1.20", "resources": {{"taskManager": {{"cpu": {number}}}}},
                      "flinkConfiguration": {{"taskmanager.memory.managed.fraction": {number}}}}}}}"#
    );
    let sent: Value = serde_json::from_str(&sent).unwrap();
    let mutation = mutate(
        &Review {
            dialect: dialect_for("sluice.dev", "SessionCluster").unwrap(),
            operation: Operation::Create,
            part: Part::Whole,
            namespace: "team-a",
            name: "a",
            object: &sent,
        },
        &EmptyWorld,
    );
    assert_eq!(mutation.refusal, None);
    // As the API server has it: the patch is bytes on the wire and is applied to the object that was sent.
    let patch = serde_json::to_vec(&mutation.patch).unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let mut stored = sent.clone();
    json_patch::patch(&mut stored, &patch).unwrap();
    assert_eq!(stored, *mutation.object);
    stored
}

fn comes_back(number: f64) {
    let text = format!("{number:?}");
    let spec = &stored(&text)["spec"];
    assert_eq!(
        spec["resources"]["taskmanager"]["cpu"].to_string(),
        text,
        "moved from its alias"
    );
    assert_eq!(
        spec["flinkConfiguration"]["taskmanager.memory.managed.fraction"],
        Value::from(text),
        "become text"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_long_fraction_is_stored_to_its_last_digit(number in 0.1f64..1000.0) {
        comes_back(number);
    }
}
