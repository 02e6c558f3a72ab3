//! What admins say and the rules refuse for an object: the very values are left out, the rest stays, and both calls come to the same.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod admins;

use admins::Admins;
use serde_json::{Value, json};
use sluice_policy::*;

fn deployment(spec: Value) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", "generation": 1}, "spec": spec,
    })
}

fn review<'a>(object: &'a Value, old: Option<&'a Value>) -> Review<'a> {
    Review {
        dialect: dialect_for("sluice.dev", "Deployment").unwrap(),
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        part: Part::Whole,
        namespace: "n",
        name: "d",
        object,
    }
}

/// Both calls: the object as it is stored, the warnings of the first, and the judgement of the second.
fn asked(object: &Value, old: Option<&Value>, world: &Admins) -> (Value, Vec<String>, Judgement) {
    let mutation = mutate(&review(object, old), world);
    assert_eq!(mutation.refusal, None);
    let warnings = mutation.warnings;
    let made = mutation.object.into_owned();
    let again = mutate(&review(&made, old), world);
    assert_eq!(again.patch, Vec::new(), "{made:#}");
    let judgement = validate(&review(&made, old), world);
    (made, warnings, judgement)
}

fn admitted(object: &Value, old: Option<&Value>, world: &Admins) -> (Value, Vec<String>) {
    let (made, warnings, judgement) = asked(object, old, world);
    assert_eq!(judgement.refusal, None);
    (made, warnings)
}

/// With a savepoint strategy that the user rules out, an admin's layer loses that and nothing else.
#[test]
fn only_the_value_that_the_rules_refuse_is_left_out() {
    let world = Admins {
        defaults: vec![json!({
            "state": "RUNNING",
            "upgradeStrategy": {"kind": "STATEFUL"},
            "template": {"spec": {"resources": {"taskmanager": {"cpu": 4, "memory": "8Gi"}}}},
        })],
        ..Admins::default()
    };
    let artifact = json!({"jarUri": "s3://b/a.jar", "flinkVersion": "1.20"});
    let template = json!({"spec": {"artifact": artifact}});
    let object = deployment(json!({"restoreStrategy": {"kind": "NONE"}, "template": template}));
    let (made, warnings) = admitted(&object, None, &world);
    let spec = &made["spec"];
    assert_eq!(spec["state"], "RUNNING");
    assert_eq!(spec["upgradeStrategy"]["kind"], "STATELESS");
    assert_eq!(
        spec["template"]["spec"]["resources"]["taskmanager"]["cpu"],
        4
    );
    assert_eq!(
        warnings,
        [
            "deployment \"d\": spec.upgradeStrategy.kind \"STATEFUL\" of DeploymentDefaults 0 was left out, as it would make it refused"
        ]
    );
}

#[test]
fn a_good_layer_does_not_go_with_a_bad_one() {
    let good = json!({"maxJobCreationAttempts": 9});
    let bad = json!({"upgradeStrategy": {"kind": "STATEFUL"}});
    for defaults in [vec![good.clone(), bad.clone()], vec![bad, good]] {
        let world = Admins {
            defaults,
            ..Admins::default()
        };
        let object = deployment(json!({"restoreStrategy": {"kind": "NONE"}}));
        let (made, warnings) = admitted(&object, None, &world);
        assert_eq!(made["spec"]["maxJobCreationAttempts"], 9);
        assert_eq!(made["spec"]["upgradeStrategy"]["kind"], "STATELESS");
        assert!(warnings[0].contains("upgradeStrategy"), "{warnings:?}");
    }
}

/// Before Flink 1.17 a single job has no configuration of its own. The user has written none: what was built in for a cluster of his
/// own goes when he moves.
#[test]
fn what_is_built_in_for_a_cluster_of_its_own_does_not_bar_the_way_to_a_session_cluster() {
    let world = Admins {
        version: Some("1.16"),
        ..Admins::default()
    };
    let manifest = deployment(json!({"template": {"spec": {"parallelism": 2}}}));
    let (own, _) = admitted(&manifest, None, &world);
    let configuration = |made: &Value| {
        made["spec"]["template"]["spec"]
            .get("flinkConfiguration")
            .cloned()
    };
    assert!(configuration(&own).is_some(), "{own:#}");
    for moved in [&own, &manifest] {
        let mut moved = moved.clone();
        moved["spec"]["sessionClusterName"] = json!("c");
        let (made, _) = admitted(&moved, Some(&own), &world);
        assert_eq!(configuration(&made), None);
    }
    // Nor does it where an admin chooses the session cluster.
    let chosen = json!({"sessionClusterName": "c"});
    for world in [
        Admins {
            environments: vec![json!({"namespaces": ["*"], "deployment": chosen})],
            version: Some("1.16"),
            ..Admins::default()
        },
        Admins {
            defaults: vec![chosen],
            version: Some("1.16"),
            ..Admins::default()
        },
    ] {
        let (made, warnings) = admitted(&manifest, None, &world);
        assert_eq!(made["spec"]["sessionClusterName"], "c", "{warnings:?}");
        assert_eq!(configuration(&made), None);
    }
    // What the user says himself stays, and is told.
    let mut told = own.clone();
    told["spec"]["sessionClusterName"] = json!("c");
    told["spec"]["template"]["spec"]["flinkConfiguration"]["a"] = json!("b");
    let (made, _, judgement) = asked(&told, Some(&own), &world);
    assert_eq!(configuration(&made), Some(json!({"a": "b"})));
    assert!(judgement.refusal.unwrap().message.contains("1.16"));
}

/// Taking a Deployment off its session cluster is no word about where else it runs.
#[test]
fn an_empty_session_cluster_rules_no_default_target_out() {
    let world = Admins {
        defaults: vec![json!({"deploymentTargetName": "t"})],
        ..Admins::default()
    };
    let (made, _) = admitted(&deployment(json!({"sessionClusterName": ""})), None, &world);
    assert_eq!(made["spec"]["deploymentTargetName"], "t");
}

/// Settings that were stored while nobody brought them into form are read in form: what they fill in is brought into form too, and the
/// record must tell what stands there.
#[test]
fn settings_are_read_in_form() {
    let stored = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentDefaults", "metadata": {"name": "d"},
        "spec": {
            "state": "running", "upgradeStrategy": {"kind": "stateful"},
            "template": {"spec": {"resources": {"jobManager": {"cpu": 2}}, "flinkConfiguration": {"a": {"b": 1}}}},
        },
    });
    let world = |spec: Value| Admins {
        defaults: vec![spec],
        ..Admins::default()
    };
    let read = dialect::config::settings("DeploymentDefaults", &stored);
    let artifact = json!({"jarUri": "s3://b/a.jar", "flinkVersion": "1.20"});
    let object = deployment(json!({"template": {"spec": {"artifact": artifact}}}));
    let (made, _) = admitted(&object, None, &world(read));
    let spec = &made["spec"];
    assert_eq!(spec["state"], "RUNNING");
    let template = &spec["template"]["spec"];
    assert_eq!(
        template["resources"],
        json!({"jobmanager": {"cpu": 2, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}})
    );
    assert_eq!(template["flinkConfiguration"]["a.b"], "1");
}

/// The rules speak of the user's parallelism, so the layer as a whole goes; without the other one the object would lack its program.
#[test]
fn a_layer_that_gives_what_is_needed_stays_where_another_is_unwelcome() {
    let artifact = json!({"jarUri": "s3://b/a.jar", "flinkVersion": "1.20"});
    let needed = json!({"template": {"spec": {"artifact": artifact}}});
    let unwelcome = json!({"template": {"spec": {"numberOfTaskManagers": 1}}});
    for defaults in [
        vec![unwelcome.clone(), needed.clone()],
        vec![needed, unwelcome],
    ] {
        let world = Admins {
            defaults,
            ..Admins::default()
        };
        let object =
            deployment(json!({"state": "RUNNING", "template": {"spec": {"parallelism": 4}}}));
        let (made, warnings) = admitted(&object, None, &world);
        let template = &made["spec"]["template"]["spec"];
        assert_eq!(template["numberOfTaskManagers"], 4, "{warnings:?}");
        assert_eq!(template["artifact"]["jarUri"], "s3://b/a.jar");
    }
}
