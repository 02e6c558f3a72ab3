//! The pipeline: what is judged, in which order, and what is always let go.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod toy;

use serde_json::{Value, json};
use sluice_policy::admit::{Demand, Rise};
use sluice_policy::{
    MilliCpu, Mode, Modes, Operation, Part, Review, mutate, review::scaled, validate,
};
use toy::{Layers, TOY, review, stored};

fn running(count: u64) -> Value {
    let mut made = stored(
        &json!({"kind": "Toy", "metadata": {"name": "t", "generation": 1}, "spec": {"state": "RUNNING", "numberOfTaskManagers": count, "memory": "1Gi"}}),
        None,
        &Layers::default(),
    );
    made["status"] = json!({"state": "RUNNING", "allocatedMilli": count * 1000});
    made
}

fn changed(old: &Value, edits: &[(&str, Value)]) -> Value {
    let mut new = old.clone();
    for (pointer, value) in edits {
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        new.pointer_mut(parent).unwrap()[key] = value.clone();
    }
    stored(&new, Some(old), &Layers::default())
}

#[test]
fn every_frozen_field_is_named_with_its_old_and_new_value_at_once() {
    let old = running(2);
    let new = changed(
        &old,
        &[
            ("/spec/parallelism", json!(2)),
            ("/spec/logging/profile", json!("json")),
        ],
    );
    let refusal = validate(&review(&new, Some(&old)), &Layers::default())
        .refusal
        .unwrap();
    assert_eq!(
        refusal.message,
        "toy \"t\" is RUNNING: only spec.state may change. spec.parallelism 1 -> 2; spec.logging.profile \"default\" -> \"json\". \
         Stop it first. [immutable/toy]"
    );
    assert_eq!(refusal.code.number(), 403);
    let fields: Vec<String> = refusal
        .causes
        .iter()
        .map(|cause| cause.field.to_string())
        .collect();
    assert_eq!(fields, ["spec.parallelism", "spec.logging.profile"]);
}

#[test]
fn the_same_meaning_in_other_words_is_no_change() {
    let old = running(2);
    let new = changed(
        &old,
        &[
            ("/spec/memory", json!("1024Mi")),
            ("/spec/parallelism", json!(1.0)),
        ],
    );
    assert_eq!(
        validate(&review(&new, Some(&old)), &Layers::default()).refusal,
        None
    );
}

/// The API server found `1.0` and `1` different, and in the review they look alike.
#[test]
fn a_new_generation_of_an_equal_spec_starts_again_what_has_ended() {
    let mut ended = running(2);
    ended["status"] = json!({"state": "FINISHED", "allocatedMilli": 0, "observedGeneration": 1});
    let judged = |new: &Value| validate(&review(new, Some(&ended)), &Layers::default());
    let mut again = ended.clone();
    again["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(
        judged(&again),
        sluice_policy::Judgement::default(),
        "its generation is the same"
    );
    again["metadata"]["generation"] = json!(2);
    let start = Demand {
        from: MilliCpu(0),
        to: MilliCpu(2000),
        rise: Rise::Start,
    };
    assert_eq!(judged(&again).demand, Some(start));
    // Stored while nobody judged it, and as wrong as before: that is no reason to refuse it now.
    for object in [&mut ended, &mut again] {
        object["spec"]["parallelism"] = json!(11);
        object["spec"].as_object_mut().unwrap().remove("logging");
    }
    let judged = validate(&review(&again, Some(&ended)), &Layers::default());
    assert_eq!((judged.refusal, judged.demand), (None, Some(start)));
}

#[test]
fn the_mode_is_applied_to_the_verdict_and_the_raw_verdict_is_kept() {
    let old = running(2);
    let new = changed(&old, &[("/spec/parallelism", json!(2))]);
    let world = |mode| Layers {
        modes: Modes {
            immutability: mode,
            ..Modes::default()
        },
        ..Layers::default()
    };
    let warned = validate(&review(&new, Some(&old)), &world(Mode::Warn));
    assert_eq!(warned.refusal, None);
    assert!(
        warned.warnings[0].starts_with("would be refused: toy \"t\" is RUNNING"),
        "{:?}",
        warned.warnings
    );
    assert_eq!(warned.raw.map(|rule| rule.id), Some("immutable/toy"));
    let off = validate(&review(&new, Some(&old)), &world(Mode::Off));
    assert_eq!((off.refusal, off.warnings.len()), (None, 0));
}

#[test]
fn who_does_not_know_everything_yet_admits_only_what_lowers() {
    let world = Layers {
        unfilled: Some("environments.sluice.dev (not listed yet)"),
        ..Layers::default()
    };
    let old = running(2);
    let refusal = validate(&review(&old, None), &world).refusal.unwrap();
    assert_eq!(
        refusal.message,
        "toy \"t\": the webhook does not know yet all that this is judged by: it waits for environments.sluice.dev (not listed yet). \
         Send it again; if this lasts, the webhook's log and `sluice doctor` tell more. [request/too-early]"
    );
    assert_eq!((refusal.code.number(), refusal.retry_after), (503, Some(1)));
    let fewer = changed(&old, &[("/spec/numberOfTaskManagers", json!(1))]);
    assert_eq!(validate(&review(&fewer, Some(&old)), &world).refusal, None);
    // What is built in would stand where an admin's default belongs, and nobody could tell afterwards.
    let told = |object: &Value, old| {
        mutate(&review(object, old), &world)
            .refusal
            .map(|refusal| refusal.rule.id)
    };
    assert_eq!(told(&old, None), Some("request/too-early"));
    assert_eq!(told(&fewer, Some(&old)), None);
    let mut scaled_up = old.clone();
    scaled_up["spec"]["numberOfTaskManagers"] = json!(3);
    let scale = Review {
        part: Part::Scale,
        ..review(&scaled_up, Some(&old))
    };
    assert_eq!(
        validate(&scale, &world).raw.map(|rule| rule.id),
        Some("request/too-early")
    );
}

#[test]
fn starts_and_growth_ask_for_cpu_and_nothing_else_does() {
    let old = running(2);
    let grown = changed(&old, &[("/spec/numberOfTaskManagers", json!(5))]);
    let demand =
        |new: &Value, old: Option<&Value>| validate(&review(new, old), &Layers::default()).demand;
    assert_eq!(
        demand(&grown, Some(&old)),
        Some(Demand {
            from: MilliCpu(2000),
            to: MilliCpu(5000),
            rise: Rise::Growth
        })
    );
    assert_eq!(
        demand(
            &changed(&old, &[("/spec/numberOfTaskManagers", json!(1))]),
            Some(&old)
        ),
        None
    );
    assert_eq!(
        demand(
            &changed(&old, &[("/spec/state", json!("STOPPED"))]),
            Some(&old)
        ),
        None
    );
    let mut fresh = running(3);
    fresh.as_object_mut().unwrap().remove("status");
    assert_eq!(
        demand(&fresh, None),
        Some(Demand {
            from: MilliCpu(0),
            to: MilliCpu(3000),
            rise: Rise::Start
        })
    );
    let stopped = stored(
        &json!({"spec": {"numberOfTaskManagers": 1_000_000}}),
        None,
        &Layers::default(),
    );
    assert_eq!(
        demand(&stopped, None),
        None,
        "what does not ask to run is never charged, however large"
    );
}

#[test]
fn what_only_lowers_is_let_go_whatever_else_is_wrong() {
    let mut old = running(4);
    old["spec"]["parallelism"] = json!(99); // stored before the rule existed
    let mut lower = old.clone();
    lower["spec"]["numberOfTaskManagers"] = json!(1);
    assert_eq!(
        validate(&review(&lower, Some(&old)), &Layers::default()).refusal,
        None
    );
    let mut stop = old.clone();
    stop["spec"]["state"] = json!("STOPPED");
    assert_eq!(
        validate(&review(&stop, Some(&old)), &Layers::default()).refusal,
        None
    );
    let mut sneaky = stop.clone();
    sneaky["spec"]["logging"]["profile"] = json!("json");
    assert!(
        validate(&review(&sneaky, Some(&old)), &Layers::default())
            .refusal
            .is_some()
    );
}

#[test]
fn metadata_and_deletion_are_never_refused() {
    let mut old = running(4);
    old["spec"]["parallelism"] = json!(99);
    let mut labelled = old.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    assert_eq!(
        validate(&review(&labelled, Some(&old)), &Layers::default()).refusal,
        None
    );
    let mut leaving = old.clone();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    leaving["spec"]["parallelism"] = json!(98);
    let judged = validate(&review(&leaving, Some(&old)), &Layers::default());
    assert_eq!((judged.refusal, judged.demand), (None, None));
}

#[test]
fn a_scale_is_judged_as_an_update_of_its_parent_without_a_mutation() {
    let old = running(2);
    let new = scaled(&TOY, &old, 6).unwrap();
    assert_eq!(new["metadata"]["generation"], 2);
    let review = Review {
        dialect: &TOY,
        operation: Operation::Update { old: &old },
        part: Part::Scale,
        namespace: "team-a",
        name: "t",
        object: &new,
    };
    let judged = validate(&review, &Layers::default());
    assert_eq!(judged.refusal, None);
    assert_eq!(judged.demand.unwrap().to, MilliCpu(6000));
}
