//! Sluice's own kinds through the whole pipeline: the manifests of the source documents, and how charges move.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod admins;

use admins::Admins;
use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{MilliCpu, Operation, Part, Review, dialect_for, mutate, validate};
use std::path::PathBuf;

/// A manifest of the source documents; `None` where they are not beside the project and need not be.
fn seed(file: &str) -> Option<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/fixtures/seeds")
        .join(file);
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(serde_saphyr::from_str(&text).unwrap()),
        Err(error) => {
            let required = std::env::var("SLUICE_REQUIRE_FIXTURES").is_ok_and(|value| value == "1");
            assert!(!required, "{}: {error}", path.display());
            eprintln!("skipped: {} is absent", path.display());
            None
        }
    }
}

fn object(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "seed", "namespace": "team-a"}, "spec": spec,
    })
}

fn review<'a>(object: &'a Value, operation: Operation<'a>) -> Review<'a> {
    Review {
        dialect: dialect_for("sluice.dev", object["kind"].as_str().unwrap()).unwrap(),
        operation,
        part: Part::Whole,
        namespace: "team-a",
        name: "seed",
        object,
    }
}

/// Creates the object, asserts that it is admitted, and returns it as stored with the CPU that it asks for.
fn admitted(sent: &Value) -> (Value, MilliCpu) {
    let mutation = mutate(&review(sent, Operation::Create), &EmptyWorld);
    assert_eq!(mutation.refusal, None);
    let stored = mutation.object.into_owned();
    let judgement = validate(&review(&stored, Operation::Create), &EmptyWorld);
    assert_eq!(judgement.refusal, None);
    (
        stored,
        judgement.demand.map_or(MilliCpu::ZERO, |demand| demand.to),
    )
}

#[test]
fn the_session_cluster_of_ververica_platform_is_admitted() {
    let Some(seed) = seed("vvp-session-cluster.yaml") else {
        return;
    };
    let (stored, cpu) = admitted(&object("SessionCluster", &seed["spec"]));
    assert_eq!(cpu, MilliCpu(82_000));
    assert_eq!(stored["spec"]["flinkVersion"], json!("1.12"));
}

#[test]
fn the_deployment_of_ververica_platform_is_admitted() {
    let Some(seed) = seed("vvp-deployment.yaml") else {
        return;
    };
    let (stored, cpu) = admitted(&object("Deployment", &seed["spec"]));
    assert_eq!(cpu, MilliCpu(3_000));
    let spec = &stored["spec"];
    assert_eq!(spec["state"], json!("RUNNING"));
    assert_eq!(spec["restoreStrategy"]["kind"], json!("LATEST_SAVEPOINT"));
    assert_eq!(spec["upgradeStrategy"]["kind"], json!("STATELESS"));
    let template = &spec["template"]["spec"];
    assert_eq!(template["artifact"]["flinkVersion"], json!("1.11"));
    assert_eq!(
        template["resources"]["jobmanager"],
        json!({"cpu": 1, "memory": "1g"})
    );
    assert_eq!(
        template["flinkConfiguration"]["taskmanager.numberOfTaskSlots"],
        json!("1")
    );
}

#[test]
fn the_session_and_its_job_of_the_rest_documents_are_admitted() {
    let Some(session) = seed("rest-create-session.json") else {
        return;
    };
    let spec = json!({
        "state": "RUNNING", "flinkVersion": "1.17", "jars": session["jars"], "plugins": session["plugins"],
        "flinkConfiguration": session["flinkConfiguration"], "logConfiguration": session["logConfiguration"],
        "resources": {"jobmanager": session["jobManagerResource"], "taskmanager": session["taskManagerResource"]},
    });
    let (_, cpu) = admitted(&object("SessionCluster", &spec));
    assert_eq!(cpu, MilliCpu(1_000));
    let Some(job) = seed("rest-create-session-job.json") else {
        return;
    };
    let spec = json!({"flinkConfiguration": job["flinkConfiguration"], "job": job["job"]});
    let (_, cpu) = admitted(&object("SessionJob", &spec));
    assert_eq!(cpu, MilliCpu::ZERO);
}

/// The stored object with a manifest applied over it, as a merge patch does: what the manifest does not name stays.
fn applied(stored: &Value, manifest: &Value) -> Value {
    match (stored, manifest) {
        (Value::Object(stored), Value::Object(manifest)) => {
            let mut merged = stored.clone();
            for (key, value) in manifest {
                let below = stored.get(key).unwrap_or(&Value::Null);
                merged.insert(key.clone(), applied(below, value));
            }
            Value::Object(merged)
        }
        (_, manifest) => manifest.clone(),
    }
}

fn spelled_in_every_way() -> [Value; 2] {
    let resources = json!({"jobManager": {"cpu": 1, "memory": "1g"}, "taskmanager": {"cpu": "500m"}, "taskManager": {"memory": "2g"}});
    let configuration =
        json!({"taskmanager": {"numberOfTaskSlots": 2}, "state.savepoints.dir": "s3://b/s"});
    [
        object(
            "SessionCluster",
            &json!({"state": "running", "flinkVersion": 1.12, "resources": resources, "flinkConfiguration": configuration,
                "logging": {"log4jLoggers": {"org.x": false}}}),
        ),
        object(
            "Deployment",
            &json!({"state": "canceled", "restoreStrategy": {"kind": "none"}, "template": {"spec": {
                "artifact": {"flinkVersion": 1.11, "jarUri": "s3://b/a.jar"}, "parallelism": 4, "resources": resources,
                "flinkConfiguration": configuration}}}),
        ),
    ]
}

#[test]
fn applying_the_first_manifest_again_changes_nothing_however_it_is_spelled() {
    for manifest in spelled_in_every_way() {
        let (stored, _) = admitted(&manifest);
        for sent in [applied(&stored, &manifest), manifest] {
            let update = Operation::Update { old: &stored };
            let mutation = mutate(&review(&sent, update), &EmptyWorld);
            assert_eq!(mutation.refusal, None);
            assert_eq!(mutation.object["spec"], stored["spec"]);
        }
    }
}

#[test]
fn editing_another_spelling_in_the_manifest_takes_effect() {
    let [_, manifest] = spelled_in_every_way();
    let (stored, _) = admitted(&manifest);
    let mut edited = manifest;
    let template = &mut edited["spec"]["template"]["spec"];
    template["resources"]["jobManager"]["cpu"] = json!(3);
    template["flinkConfiguration"]["taskmanager"]["numberOfTaskSlots"] = json!(1);
    let sent = applied(&stored, &edited);
    let update = Operation::Update { old: &stored };
    let mutation = mutate(&review(&sent, update), &EmptyWorld);
    assert_eq!(mutation.refusal, None);
    let template = &mutation.object["spec"]["template"]["spec"];
    assert_eq!(template["resources"]["jobmanager"]["cpu"], json!(3));
    let slots = &template["flinkConfiguration"]["taskmanager.numberOfTaskSlots"];
    assert_eq!(slots, &json!("1"));
    assert_eq!(
        template["numberOfTaskManagers"],
        json!(4),
        "it follows the slots"
    );
}

#[test]
fn each_kind_takes_its_own_part_of_the_settings() {
    let world = Admins {
        defaults: vec![json!({
            "maxJobCreationAttempts": 9, "template": {"spec": {"parallelism": 3}},
            "sessionCluster": {"numberOfTaskManagers": 7},
        })],
        environments: vec![json!({
            "namespaces": ["team-a"], "deployment": {"template": {"spec": {"flinkConfiguration": {"a": "env"}}}},
            "sessionCluster": {"flinkConfiguration": {"b": "env"}},
        })],
        ..Admins::default()
    };
    let made = |kind: &str| {
        let sent = object(kind, &json!({}));
        let mutation = mutate(&review(&sent, Operation::Create), &world);
        assert_eq!(mutation.refusal, None);
        mutation.object["spec"].clone()
    };
    let deployment = made("Deployment");
    assert_eq!(deployment["maxJobCreationAttempts"], json!(9));
    let template = &deployment["template"]["spec"];
    assert_eq!(template["numberOfTaskManagers"], json!(3));
    assert_eq!(template["flinkConfiguration"]["a"], json!("env"));
    assert_eq!(deployment.get("sessionCluster"), None);
    assert_eq!(deployment.get("namespaces"), None);
    let cluster = made("SessionCluster");
    assert_eq!(cluster["numberOfTaskManagers"], json!(7));
    assert_eq!(cluster["flinkConfiguration"]["b"], json!("env"));
    assert_eq!(cluster.get("template"), None);
}

#[test]
fn a_default_that_the_rules_would_refuse_for_this_object_is_left_out() {
    let world = Admins {
        defaults: vec![
            json!({"upgradeStrategy": {"kind": "STATEFUL"}, "deploymentTargetName": "t"}),
        ],
        ..Admins::default()
    };
    let spec = json!({"restoreStrategy": {"kind": "NONE"}, "deploymentTargetId": "u"});
    let sent = object("Deployment", &spec);
    let mutation = mutate(&review(&sent, Operation::Create), &world);
    let spec = &mutation.object["spec"];
    assert_eq!(spec["upgradeStrategy"]["kind"], json!("STATELESS"));
    assert_eq!(spec.get("deploymentTargetName"), None);
    let judgement = validate(&review(&mutation.object, Operation::Create), &world);
    assert_eq!(judgement.refusal, None);
}

/// What is built in takes the place of the value that was unwelcome, and then the rest of the layer is welcome.
#[test]
fn of_a_layer_that_the_rules_would_refuse_the_rest_still_applies() {
    let configuration = json!({"taskmanager.memory.network.max": "1g"});
    let world = Admins {
        defaults: vec![json!({
            "upgradeStrategy": {"kind": "STATEFUL"},
            "template": {"spec": {"flinkConfiguration": configuration}},
        })],
        ..Admins::default()
    };
    let sent = object("Deployment", &json!({"restoreStrategy": {"kind": "NONE"}}));
    let mutation = mutate(&review(&sent, Operation::Create), &world);
    let spec = &mutation.object["spec"];
    assert_eq!(spec["upgradeStrategy"]["kind"], json!("STATELESS"));
    assert_eq!(
        spec["template"]["spec"]["flinkConfiguration"]["taskmanager.memory.network.max"],
        json!("1g")
    );
    assert!(mutation.warnings[0].contains("was left out"));
    let again = mutate(&review(&mutation.object, Operation::Create), &world);
    assert_eq!(again.patch, Vec::new());
    let judgement = validate(&review(&mutation.object, Operation::Create), &world);
    assert_eq!(judgement.refusal, None);
}

fn cluster(jobmanager: u64, taskmanager: u64, sidecar: u64, task_managers: u64) -> Value {
    let milli = |cpu: u64| format!("{}m", cpu.max(100));
    object(
        "SessionCluster",
        &json!({
            "state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": task_managers,
            "resources": {"jobmanager": {"cpu": milli(jobmanager)}, "taskmanager": {"cpu": milli(taskmanager)}},
            "kubernetes": {"taskManagerPodTemplate": {"spec": {"containers": [
                {"name": "log", "image": "x", "resources": {"requests": {"cpu": format!("{sidecar}m")}}},
            ]}}},
        }),
    )
}

proptest! {
    #[test]
    fn more_of_anything_never_costs_less(
        before in (100_u64..100_000, 100_u64..100_000, 0_u64..10_000, 0_u64..1_000),
        more in (0_u64..1_000, 0_u64..1_000, 0_u64..1_000, 0_u64..10),
    ) {
        let (_, less) = admitted(&cluster(before.0, before.1, before.2, before.3));
        let (_, greater) = admitted(&cluster(before.0 + more.0, before.1 + more.1, before.2 + more.2, before.3 + more.3));
        prop_assert!(less <= greater);
        prop_assert_eq!(less, MilliCpu(before.0 + (before.1 + before.2) * before.3));
    }

    #[test]
    fn what_was_admitted_is_a_no_op_when_it_is_sent_again(task_managers in 0_u64..100, cpu in 100_u64..10_000) {
        let sent = cluster(cpu, cpu, 0, task_managers);
        let (stored, _) = admitted(&sent);
        let again = mutate(&review(&stored, Operation::Update { old: &stored }), &EmptyWorld);
        prop_assert_eq!(again.patch, Vec::new());
        let manifest = mutate(&review(&sent, Operation::Update { old: &stored }), &EmptyWorld);
        prop_assert_eq!(&manifest.object["spec"], &stored["spec"]);
    }
}

#[test]
fn every_frozen_field_is_refused_at_once_and_the_levers_are_not() {
    let sent = object(
        "SessionCluster",
        &json!({
            "state": "RUNNING", "flinkVersion": "1.19", "resources": {"taskmanager": {"cpu": 2, "memory": "2Gi"}},
        }),
    );
    let (stored, _) = admitted(&sent);
    let mut new = stored.clone();
    new["spec"]["flinkVersion"] = json!("1.20");
    new["spec"]["resources"]["taskmanager"] = json!({"cpu": 4, "memory": "2048Mi"});
    new["spec"]["numberOfTaskManagers"] = json!(3);
    let update = Operation::Update { old: &stored };
    let made = mutate(&review(&new, update), &EmptyWorld).object;
    let judgement = validate(&review(&made, update), &EmptyWorld);
    assert_eq!(
        judgement.refusal.unwrap().message,
        "sessioncluster \"seed\" is RUNNING: only spec.state and spec.numberOfTaskManagers may change. \
         spec.flinkVersion \"1.19\" -> \"1.20\"; spec.resources.taskmanager.cpu 2 -> 4. \
         Set spec.state to STOPPED, wait until status.state is STOPPED, then apply again. [immutable/session-cluster]"
    );
    let mut levers = stored.clone();
    levers["spec"]["state"] = json!("STOPPED");
    levers["spec"]["numberOfTaskManagers"] = json!(0);
    let mutation = mutate(&review(&levers, update), &EmptyWorld);
    let judgement = validate(&review(&mutation.object, update), &EmptyWorld);
    assert_eq!(judgement.refusal, None);
}

/// Both calls come to one object, so whoever writes an unreadable parallelism and leaves out his own number is told of the parallelism, and
/// not to send it again.
#[test]
fn an_unreadable_parallelism_is_what_is_refused_where_a_number_comes_from_an_admin() {
    let world = Admins {
        defaults: vec![json!({"template": {"spec": {"numberOfTaskManagers": 2}}})],
        ..Admins::default()
    };
    let spec = |parallelism: Value, number: Value| {
        object(
            "Deployment",
            &json!({"deploymentTargetName": "default", "template": {"spec": {
                "artifact": {"kind": "jar", "flinkVersion": "1.20", "jarUri": "https://example.org/a.jar"},
                "parallelism": parallelism, "numberOfTaskManagers": number,
                "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"}}}}),
        )
    };
    let first = spec(json!(3), json!(2));
    let old = mutate(&review(&first, Operation::Create), &world)
        .object
        .into_owned();
    let changed = spec(json!("1e999"), Value::Null);
    let update = || Operation::Update { old: &old };
    let made = mutate(&review(&changed, update()), &world)
        .object
        .into_owned();
    let refusal = validate(&review(&made, update()), &world).refusal.unwrap();
    assert!(
        refusal.message.contains("spec.template.spec.parallelism"),
        "{}",
        refusal.message
    );
}
