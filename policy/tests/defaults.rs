//! The promises of "Defaults" in the semantics, on a dialect small enough to see through.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod toy;

use serde_json::{Value, json};
use sluice_policy::{Mode, Modes, mutate, validate};
use toy::{Layers, review, stored};

fn toy(spec: Value) -> Value {
    json!({"apiVersion": "toy.dev/v1", "kind": "Toy", "metadata": {"name": "t", "namespace": "team-a"}, "spec": spec})
}

fn defaults(namespace: Value, cluster: Value) -> Layers {
    Layers {
        defaults: vec![
            ("DeploymentDefaults team-a/default", namespace),
            ("ClusterDeploymentDefaults default", cluster),
        ],
        ..Layers::default()
    }
}

fn record(object: &Value) -> Value {
    object["metadata"]["annotations"]["sluice.dev/defaults"]
        .as_str()
        .map_or(Value::Null, |text| serde_json::from_str(text).unwrap())
}

#[test]
fn the_first_layer_that_has_a_value_wins_and_maps_merge_key_by_key() {
    let world = defaults(
        json!({"parallelism": 2, "logging": {"loggers": {"a": "DEBUG"}}, "jars": ["n"]}),
        json!({"parallelism": 3, "slots": 2, "logging": {"profile": "json", "loggers": {"": "WARN"}}, "jars": ["c", "d"]}),
    );
    let made = stored(
        &toy(json!({"logging": {"loggers": {"a": "TRACE"}}})),
        None,
        &world,
    );
    assert_eq!(
        made["spec"],
        json!({"logging": {"loggers": {"a": "TRACE", "": "WARN"}, "profile": "json"}, "parallelism": 2, "jars": ["n"],
               "slots": 2, "state": "STOPPED", "numberOfTaskManagers": 1})
    );
}

#[test]
fn what_was_filled_in_is_recorded_with_its_value_and_nothing_else_is() {
    let made = stored(
        &toy(json!({"parallelism": 4, "logging": {"profile": "default"}})),
        None,
        &Layers::default(),
    );
    assert_eq!(
        record(&made),
        json!({"/spec/logging/loggers/": "INFO", "/spec/numberOfTaskManagers": 4, "/spec/state": "STOPPED"})
    );
}

#[test]
fn an_admin_who_edits_defaults_restarts_nobodys_job() {
    let manifest = toy(json!({}));
    let before = stored(
        &manifest,
        None,
        &defaults(json!({"parallelism": 2}), json!({})),
    );
    // kubectl replace: the manifest alone, without the annotation
    let after = stored(
        &manifest,
        Some(&before),
        &defaults(json!({"parallelism": 5}), json!({"slots": 2})),
    );
    assert_eq!(after["spec"]["parallelism"], 2);
    assert_eq!(after["spec"]["numberOfTaskManagers"], 2);
    // a default that is new today reaches nobody who exists
    assert_eq!(after["spec"].get("slots"), None);
    assert_eq!(after, before);
    let third = stored(&manifest, Some(&after), &Layers::default());
    assert_eq!(third, after, "and stays when the defaults are gone");
}

#[test]
fn a_field_of_the_users_own_that_is_left_out_gets_todays_default() {
    let before = stored(&toy(json!({"parallelism": 7})), None, &Layers::default());
    let after = stored(
        &toy(json!({})),
        Some(&before),
        &defaults(json!({"parallelism": 3}), json!({})),
    );
    assert_eq!(after["spec"]["parallelism"], 3);
    assert_eq!(record(&after)["/spec/parallelism"], 3);
}

#[test]
fn a_derived_default_follows_its_inputs_while_it_is_the_recorded_one() {
    let before = stored(&toy(json!({"parallelism": 2})), None, &Layers::default());
    assert_eq!(before["spec"]["numberOfTaskManagers"], 2);
    // a merge patch sends everything that is stored
    let mut patched = before.clone();
    patched["spec"]["parallelism"] = json!(4);
    let after = stored(&patched, Some(&before), &Layers::default());
    assert_eq!(after["spec"]["numberOfTaskManagers"], 4);
    // kubectl replace sends only the manifest
    let replaced = stored(
        &toy(json!({"parallelism": 6})),
        Some(&after),
        &Layers::default(),
    );
    assert_eq!(replaced["spec"]["numberOfTaskManagers"], 6);
    assert_eq!(record(&replaced)["/spec/numberOfTaskManagers"], 6);
}

#[test]
fn after_kubectl_scale_the_value_is_kept_and_no_longer_a_default() {
    let mut scaled = stored(&toy(json!({"parallelism": 2})), None, &Layers::default());
    scaled["spec"]["numberOfTaskManagers"] = json!(9);
    let after = stored(
        &toy(json!({"parallelism": 3})),
        Some(&scaled),
        &Layers::default(),
    );
    assert_eq!(after["spec"]["numberOfTaskManagers"], 9);
    assert_eq!(record(&after).get("/spec/numberOfTaskManagers"), None);
}

#[test]
fn a_derived_value_that_came_from_an_admin_stays_when_the_admins_default_goes() {
    let manifest = toy(json!({"parallelism": 2}));
    let before = stored(
        &manifest,
        None,
        &defaults(json!({"numberOfTaskManagers": 7}), json!({})),
    );
    assert_eq!(before["spec"]["numberOfTaskManagers"], 7);
    let after = stored(&manifest, Some(&before), &Layers::default());
    assert_eq!(after["spec"]["numberOfTaskManagers"], 7);
}

#[test]
fn a_field_that_the_user_claims_leaves_the_record() {
    let before = stored(&toy(json!({})), None, &Layers::default());
    let mut applied = before.clone();
    applied["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        json!("{\"spec\":{\"parallelism\":1}}");
    applied["spec"]["note"] = json!("x");
    let after = stored(&applied, Some(&before), &Layers::default());
    assert_eq!(record(&after).get("/spec/parallelism"), None);
    assert_eq!(record(&after)["/spec/state"], "STOPPED");

    let mut server_side = before.clone();
    server_side["metadata"]["managedFields"] = json!([{"manager": "me", "operation": "Apply", "fieldsV1": {"f:spec": {"f:parallelism": {}, "f:note": {}}}}]);
    server_side["spec"]["note"] = json!("x");
    let after = stored(&server_side, Some(&before), &Layers::default());
    assert_eq!(record(&after).get("/spec/parallelism"), None);
}

#[test]
fn a_restored_backup_keeps_its_record_where_it_is_true() {
    let mut backup = stored(&toy(json!({"parallelism": 3})), None, &Layers::default());
    backup["spec"]["state"] = json!("RUNNING"); // edited since
    let restored = stored(&backup, None, &Layers::default());
    assert_eq!(record(&restored)["/spec/numberOfTaskManagers"], 3);
    assert_eq!(record(&restored).get("/spec/state"), None);
}

#[test]
fn an_environment_wins_over_the_user_and_is_not_recorded_as_a_default() {
    let world = Layers {
        environments: vec![
            ("Environment prod", json!({"parallelism": 4})),
            ("Environment zzz", json!({"parallelism": 5})),
        ],
        ..Layers::default()
    };
    let made = stored(&toy(json!({"parallelism": 9})), None, &world);
    assert_eq!(made["spec"]["parallelism"], 4);
    assert_eq!(record(&made).get("/spec/parallelism"), None);
    let again = stored(&toy(json!({"parallelism": 9})), Some(&made), &world);
    assert_eq!(again, made, "a second apply of the same file is a no-op");
}

#[test]
fn an_environment_that_says_what_had_been_filled_in_leaves_one_record_in_both_calls() {
    let made = stored(
        &toy(json!({})),
        None,
        &defaults(json!({"parallelism": 4}), json!({})),
    );
    let world = Layers {
        environments: vec![("Environment prod", json!({"parallelism": 4}))],
        ..Layers::default()
    };
    let mut changed = made.clone();
    changed["spec"]["parallelism"] = json!(9);
    changed["spec"]["jars"] = json!(["new"]); // else nothing would change, and the Environment would be left alone
    // `stored` runs the mutation on its own outcome again and judges it, as the API server does.
    let after = stored(&changed, Some(&made), &world);
    assert_eq!(after["spec"]["parallelism"], 4);
    assert_eq!(record(&after)["/spec/parallelism"], 4);
}

#[test]
fn neither_defaults_nor_environments_alter_a_frozen_field() {
    let mut running = stored(
        &toy(json!({"parallelism": 3, "state": "RUNNING"})),
        None,
        &Layers::default(),
    );
    running["status"] = json!({"state": "RUNNING"});
    let world = Layers {
        defaults: vec![(
            "DeploymentDefaults team-a/default",
            json!({"parallelism": 8, "slots": 4}),
        )],
        environments: vec![("Environment prod", json!({"parallelism": 6, "flag": true}))],
        ..Layers::default()
    };
    let mut scaled = running.clone();
    scaled["spec"]["numberOfTaskManagers"] = json!(5);
    scaled["spec"]
        .as_object_mut()
        .unwrap()
        .remove("parallelism");
    let after = stored(&scaled, Some(&running), &world);
    assert_eq!(after["spec"]["parallelism"], 3);
    assert_eq!(
        after["spec"].get("slots"),
        None,
        "a default that is new does not reach what runs"
    );
    assert_eq!(after["spec"]["numberOfTaskManagers"], 5);
}

#[test]
fn no_default_makes_an_object_that_the_rules_would_refuse() {
    let world = defaults(json!({"parallelism": 50}), json!({"slots": 2}));
    let object = toy(json!({}));
    let mutation = mutate(&review(&object, None), &world);
    assert_eq!(mutation.object["spec"]["parallelism"], 1);
    assert_eq!(mutation.object["spec"]["slots"], 2);
    assert_eq!(
        mutation.warnings,
        [
            "toy \"t\": spec.parallelism 50 of DeploymentDefaults team-a/default was left out, as it would make it refused"
        ]
    );
    // what the user wrote himself is refused as he wrote it
    let object = toy(json!({"parallelism": 50}));
    let made = stored(&object, None, &world);
    let refusal = validate(&review(&made, None), &world).refusal.unwrap();
    assert_eq!(
        refusal.message,
        "toy \"t\": spec.parallelism: at most 10. [toy/too-wide]"
    );
}

#[test]
fn of_an_exclusive_group_the_users_choice_rules_out_the_default() {
    let world = defaults(json!({"targetName": "prod"}), json!({}));
    let made = stored(&toy(json!({"targetId": "u1"})), None, &world);
    assert_eq!(made["spec"].get("targetName"), None);
    assert_eq!(
        stored(&toy(json!({})), None, &world)["spec"]["targetName"],
        "prod"
    );
}

#[test]
fn modes_warn_and_off_fill_in_nothing() {
    for (mode, warnings) in [(Mode::Warn, 1), (Mode::Off, 0)] {
        let world = Layers {
            modes: Modes {
                defaults: mode,
                ..Modes::default()
            },
            ..Layers::default()
        };
        let object = toy(json!({"parallelism": 2}));
        let mutation = mutate(&review(&object, None), &world);
        assert!(mutation.patch.is_empty());
        assert_eq!(mutation.warnings.len(), warnings);
        assert_eq!(validate(&review(&object, None), &world).refusal, None);
    }
}

#[test]
fn an_object_that_missed_its_mutation_is_sent_back() {
    let refusal = validate(
        &review(&toy(json!({"state": "RUNNING"})), None),
        &Layers::default(),
    )
    .refusal
    .unwrap();
    assert_eq!(refusal.code.number(), 503);
    assert_eq!(refusal.retry_after, Some(1));
    assert!(refusal.message.starts_with(
        "toy \"t\": defaults were not filled in (spec.parallelism, spec.logging.profile, spec.logging.loggers[\"\"], spec.numberOfTaskManagers); nothing is wrong"
    ), "{}", refusal.message);
}

#[test]
fn null_is_left_out_and_a_wrong_type_is_left_alone() {
    let made = stored(
        &toy(json!({"parallelism": null, "logging": "loud"})),
        None,
        &Layers::default(),
    );
    assert_eq!(made["spec"]["parallelism"], 1);
    assert_eq!(made["spec"]["logging"], "loud");
}

/// The mutating call finds a field absent and the validating call finds it filled in; both must write the same record.
#[test]
fn a_claim_on_a_field_that_was_left_out_does_not_split_the_two_calls() {
    let before = stored(&toy(json!({})), None, &Layers::default());
    let mut replaced = toy(json!({"note": "x"}));
    replaced["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] =
        json!("{\"spec\":{\"parallelism\":1}}");
    replaced["metadata"]["managedFields"] = json!([{"manager": "kubectl-create", "operation": "Update",
        "fieldsV1": {"f:spec": {".": {}, "f:logging": {}, "f:state": {}}}}]);
    let after = stored(&replaced, Some(&before), &Layers::default());
    assert_eq!(after["spec"]["parallelism"], 1);
    assert_eq!(record(&after).get("/spec/parallelism"), None);
    assert_eq!(record(&after).get("/spec/state"), None);
    assert_eq!(
        record(&after)["/spec/logging/profile"],
        "default",
        "who made the map has not set its keys"
    );
    assert_eq!(
        validate(&review(&after, Some(&before)), &Layers::default()).refusal,
        None
    );
}

#[test]
fn what_comes_out_as_it_is_stored_loses_no_default_for_being_wrong() {
    // Stored while nobody judged: a parallelism that is refused today, which the Environment would mend at a change.
    let world = Layers {
        environments: vec![("Environment prod", json!({"parallelism": 4}))],
        ..defaults(json!({"jars": ["a"]}), json!({}))
    };
    let mut before = stored(&toy(json!({"jars": ["a"]})), None, &Layers::default());
    before["spec"]["parallelism"] = json!(99);
    let mut sent = before.clone();
    sent["spec"]["jars"] = Value::Null;
    // `stored` asserts that a second run finds nothing to do.
    let after = stored(&sent, Some(&before), &world);
    assert_eq!(after["spec"], before["spec"]);
}

/// `kubectl apply` of a manifest that an Environment overrides sends the user's own words again each time.
#[test]
fn what_follows_from_what_an_environment_sets_again_stays_as_it_is() {
    let world = Layers {
        environments: vec![("Environment prod", json!({"parallelism": 4}))],
        ..Layers::default()
    };
    let before = stored(&toy(json!({"parallelism": 9})), None, &world);
    assert_eq!(before["spec"]["numberOfTaskManagers"], 4);
    let mut applied = before.clone();
    applied["spec"]["parallelism"] = json!(9);
    applied["spec"]["note"] = json!("x");
    let after = stored(&applied, Some(&before), &world);
    assert_eq!(after["spec"]["parallelism"], 4);
    assert_eq!(after["spec"]["numberOfTaskManagers"], 4);
    assert_eq!(record(&after), record(&before));
}

#[test]
fn who_only_stops_keeps_what_runs_and_its_record_whatever_environments_say() {
    let made = stored(
        &toy(json!({"state": "RUNNING"})),
        None,
        &defaults(json!({"parallelism": 4}), json!({})),
    );
    let world = Layers {
        environments: vec![("Environment prod", json!({"parallelism": 6, "slots": 3}))],
        ..Layers::default()
    };
    for words in [
        json!({"state": "STOPPED"}),
        json!({"state": "STOPPED", "parallelism": 9}),
        json!({"numberOfTaskManagers": 2}),
    ] {
        let mut sent = made.clone();
        let spec = sent["spec"].as_object_mut().unwrap();
        spec.extend(words.as_object().unwrap().clone());
        let after = stored(&sent, Some(&made), &world);
        assert_eq!(after["spec"]["parallelism"], 4, "{words}");
        assert_eq!(after["spec"].get("slots"), None, "{words}");
        assert_eq!(record(&after)["/spec/parallelism"], 4, "{words}");
        assert_eq!(
            validate(&review(&after, Some(&made)), &world).refusal,
            None,
            "{words}"
        );
    }
    // Who does anything beside that meets them.
    let mut sent = made.clone();
    sent["spec"]["state"] = json!("STOPPED");
    sent["spec"]["note"] = json!("x");
    assert_eq!(stored(&sent, Some(&made), &world)["spec"]["parallelism"], 6);
}
