//! Objects that were stored while no webhook looked: before Sluice was installed, or while it was bypassed.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod admins;

use admins::Admins;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{
    Demand, MilliCpu, Operation, Part, Review, Rise, World, dialect_for, mutate, validate,
};

/// Found by fuzzing: the number was brought into form by one step and taken back by another, because a running cluster is
/// frozen; the patch that did nothing made every update look incomplete, so that the cluster could not be scaled.
#[test]
fn a_running_cluster_with_a_spelling_of_its_own_can_be_scaled() {
    let stored = json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "SessionCluster",
        "metadata": {"name": "a", "namespace": "n", "generation": 1},
        "spec": {
            "state": "RUNNING",
            "flinkVersion": "1.20",
            "numberOfTaskManagers": 2,
            "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "taskmanager": {"cpu": 1, "memory": "2Gi"}},
            "flinkConfiguration": {
                "taskmanager.numberOfTaskSlots": 2,
                "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            },
            "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}},
        },
        "status": {"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 3000},
    });
    let mut scaled = stored.clone();
    *scaled.pointer_mut("/spec/numberOfTaskManagers").unwrap() = json!(3);
    let review = Review {
        dialect: dialect_for("sluice.dev", "SessionCluster").unwrap(),
        operation: Operation::Update { old: &stored },
        part: Part::Whole,
        namespace: "n",
        name: "a",
        object: &scaled,
    };
    for world in [&slots("sessionCluster", "2") as &dyn World, &EmptyWorld] {
        let mutation = mutate(&review, world);
        let made = mutation.object.into_owned();
        let again = mutate(&review.about(&made), world);
        assert_eq!(
            again.patch,
            Vec::new(),
            "the second time nothing is left to do"
        );
        let judgement = validate(&review.about(&made), world);
        assert_eq!(judgement.refusal, None);
        assert_eq!(made.pointer("/spec/numberOfTaskManagers"), Some(&json!(3)));
    }
}

/// Found by fuzzing: what is left out keeps its stored value, and that need not be in form.
#[test]
fn a_stored_value_that_is_kept_is_brought_into_form() {
    let stored = json!({
        "apiVersion": "sluice.dev/v1alpha1",
        "kind": "SessionCluster",
        "metadata": {"name": "a", "namespace": "n", "generation": 1, "annotations": {
            "sluice.dev/defaults": "{\"/spec/logging/log4jLoggers/\":\"INFO\"}",
        }},
        "spec": {"state": "STOPPED", "flinkVersion": "1.20", "logging": {"log4jLoggers": {"": -106}}},
        "status": {"state": "STOPPED", "observedGeneration": 1},
    });
    let mut sent = stored.clone();
    *sent.pointer_mut("/spec/logging/log4jLoggers").unwrap() = json!({});
    let review = update(&sent, &stored);
    let made = mutate(&review, &EmptyWorld).object.into_owned();
    assert_eq!(
        made.pointer("/spec/logging/log4jLoggers"),
        Some(&json!({"": "-106"}))
    );
    assert_eq!(mutate(&review.about(&made), &EmptyWorld).patch, Vec::new());
    // Found by fuzzing: to be brought into form is a change of the spec, so what an Environment sets comes with it, and not only at the
    // second call, which would have to say that the first had left it out.
    let (mut stored, mut sent) = (stored, made);
    stored["spec"] = sent["spec"].clone();
    stored["spec"]["logging"]["log4jLoggers"][""] = json!(-106);
    sent["spec"]["logging"]["log4jLoggers"] = json!({});
    let (review, environments) = (update(&sent, &stored), slots("sessionCluster", "2"));
    let made = mutate(&review, &environments).object.into_owned();
    assert_eq!(
        made.pointer("/spec/flinkConfiguration/taskmanager.numberOfTaskSlots"),
        Some(&json!("2"))
    );
    let again = mutate(&review.about(&made), &environments);
    assert_eq!(again.patch, Vec::new());
}

/// Found by fuzzing: what was let go in spite of what is wrong with it was filled in by the second call only. Where that is more than
/// bringing it into form, what is wrong is said.
#[test]
fn what_is_let_go_hears_environments_at_the_first_call() {
    let two_spellings = json!({"taskmanager": {"memory": {"managed.fraction": 0.1}, "memory.managed": {"fraction": 0.2}}});
    let stored = running(
        "SessionJob",
        &json!({"state": "RUNNING", "sessionClusterName": "c", "job": {"jarUri": "s3://b/a.jar"}, "flinkConfiguration": two_spellings,
            "restoreStrategy": {"kind": "LATEST_STATE", "allowNonRestoredState": false}, "upgradeStrategy": {"kind": "STATEFUL"}}),
    );
    let mut same = stored.clone();
    same["spec"]["flinkConfiguration"]["taskmanager"]["host"] = Value::Null; // nothing but another text
    let mut stopped = same.clone();
    stopped["spec"]["state"] = json!("CANCELLED");
    let imposed = Admins {
        environments: vec![json!({"namespaces": ["*"], "sessionJob": {"job": {"parallelism": 3}}})],
        ..Admins::default()
    };
    for (sent, world, passes) in [
        (&same, &EmptyWorld as &dyn World, true),
        (&stopped, &EmptyWorld, true),
        (&same, &imposed, false),
        (&stopped, &imposed, true),
    ] {
        let mutation = mutate(&update(sent, &stored), world);
        let refused = mutation.refusal.map(|refusal| refusal.rule.id);
        assert_eq!(
            refused,
            (!passes).then_some("session-job/two-spellings"),
            "{sent}"
        );
        if passes {
            let made = mutation.object.into_owned();
            assert_eq!(mutate(&update(&made, &stored), world).patch, Vec::new());
            assert_eq!(validate(&update(&made, &stored), world).refusal, None);
        }
    }
}

/// Admins' Environment that sets the number of slots of a kind.
fn slots(section: &str, number: &str) -> Admins {
    let options = json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": number}});
    let settings = match section {
        "deployment" => json!({"template": {"spec": options}}),
        _ => options,
    };
    Admins {
        environments: vec![json!({"namespaces": ["*"], section: settings})],
        ..Admins::default()
    }
}

fn running(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": kind,
        "metadata": {"name": "a", "namespace": "n", "generation": 1}, "spec": spec,
        "status": {"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 5000},
    })
}

fn update<'a>(object: &'a Value, old: &'a Value) -> Review<'a> {
    Review {
        dialect: dialect_for("sluice.dev", old["kind"].as_str().unwrap()).unwrap(),
        operation: Operation::Update { old },
        part: Part::Whole,
        namespace: "n",
        name: "a",
        object,
    }
}

/// Always let go: what a full judgement would refuse stops, and is filled in when it is started.
#[test]
fn what_was_stored_without_its_defaults_can_be_stopped() {
    let artifact = json!({"flinkVersion": "1.20", "jarUri": "s3://b/a.jar"});
    let too_few = json!({"state": "RUNNING", "template": {"spec": {"artifact": artifact, "parallelism": 4, "numberOfTaskManagers": 1}}});
    let enough = json!({"state": "RUNNING", "template": {"spec": {"artifact": artifact, "parallelism": 8, "numberOfTaskManagers": 3,
        "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "4"}}}});
    let contradicting = json!({"state": "RUNNING", "sessionClusterName": "c", "job": {"entryClass": "a.B"},
        "restoreStrategy": {"kind": "NONE"}, "upgradeStrategy": {"kind": "STATEFUL"}});
    let few_slots = slots("deployment", "1");
    for (kind, spec, world) in [
        ("Deployment", &too_few, &EmptyWorld as &dyn World),
        ("Deployment", &too_few, &few_slots),
        ("Deployment", &enough, &few_slots),
        ("SessionJob", &contradicting, &EmptyWorld),
    ] {
        let stored = running(kind, spec);
        let mut stopped = stored.clone();
        stopped["spec"]["state"] = json!("CANCELLED");
        let made = mutate(&update(&stopped, &stored), world)
            .object
            .into_owned();
        assert_eq!(made["spec"], stopped["spec"], "nothing but the state");
        let again = mutate(&update(&made, &stored), world);
        assert_eq!(again.patch, Vec::new());
        let judgement = validate(&update(&made, &stored), world);
        assert_eq!(judgement.refusal, None, "{kind}");
        // Whoever starts it again meets what was left out.
        let mut started = made.clone();
        started["spec"]["state"] = json!("RUNNING");
        let made = mutate(&update(&started, &made), world).object.into_owned();
        assert_eq!(
            made["spec"]["restoreStrategy"]["allowNonRestoredState"],
            json!(false)
        );
    }
}

/// What a layer of defaults once filled in, beside something that rules it out today, stays as it is when the object is only stopped.
#[test]
fn a_stop_takes_nothing_out_either() {
    let stored = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
        "metadata": {"name": "a", "namespace": "n", "generation": 1, "annotations": {
            "sluice.dev/defaults": "{\"/spec/deploymentTargetName\":\"t\"}",
        }},
        "spec": {
            "state": "RUNNING", "deploymentTargetName": "t", "deploymentTargetId": "u",
            "template": {"spec": {"artifact": {"flinkVersion": "1.20"}, "parallelism": 4, "numberOfTaskManagers": 1}},
        },
        "status": {"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 2000},
    });
    let mut stopped = stored.clone();
    stopped["spec"]["state"] = json!("CANCELLED");
    let made = mutate(&update(&stopped, &stored), &EmptyWorld)
        .object
        .into_owned();
    assert_eq!(made, stopped);
    assert_eq!(validate(&update(&made, &stored), &EmptyWorld).refusal, None);
}

fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(target.entry(key).or_insert(json!({})), value);
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}

/// Whatever was stored, and whatever is changed beside the levers: what one call fills in, the other misses nothing of.
#[test]
fn both_calls_agree_on_what_was_stored_unseen() {
    let template = |spec: Value| json!({"template": {"spec": spec}});
    let parts = [
        json!({}),
        json!({"sessionClusterName": ""}),
        json!({"sessionClusterName": "c"}),
        json!({"deploymentTargetName": "t"}),
        json!({"restoreStrategy": {"kind": "NONE"}}),
        json!({"upgradeStrategy": {"kind": "STATEFUL"}}),
        template(json!({"parallelism": 4})),
        template(json!({"numberOfTaskManagers": 2})),
        template(json!({"numberOfTaskManagers": null})),
        template(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "1"}})),
        template(json!({"flinkConfiguration": {"taskmanager": {"numberOfTaskSlots": 4}}})),
        template(json!({"resources": null})),
        template(json!({"resources": {"taskmanager": {"cpu": 2}}})),
    ];
    let levers = [
        json!({}),
        json!({"state": "CANCELLED"}),
        json!({"state": null}),
        template(json!({"numberOfTaskManagers": 1})),
        template(json!({"numberOfTaskManagers": null})),
    ];
    let bare = json!({"state": "RUNNING", "template": {"spec": {
        "artifact": {"flinkVersion": "1.20", "jarUri": "s3://b/a.jar"}, "parallelism": 8, "numberOfTaskManagers": 3}}});
    let records = [
        json!({}),
        json!({"/spec/template/spec/numberOfTaskManagers": 3, "/spec/state": "RUNNING", "/spec/deploymentTargetName": "t"}),
    ];
    let pairs = parts
        .iter()
        .step_by(2)
        .flat_map(|own| parts.iter().map(move |more| (own, more)));
    for (own, more) in pairs {
        for record in &records {
            let mut stored = running("Deployment", &bare);
            stored["metadata"]["annotations"] = json!({"sluice.dev/defaults": record.to_string()});
            merge(&mut stored["spec"], own);
            for lever in &levers {
                for world in [&EmptyWorld as &dyn World, &slots("deployment", "1")] {
                    let mut patched = stored.clone();
                    merge(&mut patched["spec"], more);
                    merge(&mut patched["spec"], lever);
                    let mut manifest = running("Deployment", &bare);
                    merge(&mut manifest["spec"], more);
                    merge(&mut manifest["spec"], lever);
                    for sent in [&patched, &manifest] {
                        let mutation = mutate(&update(sent, &stored), world);
                        if mutation.refusal.is_some() {
                            continue; // spellings that disagree
                        }
                        let mut made = mutation.object.into_owned();
                        let again = mutate(&update(&made, &stored), world).patch;
                        assert_eq!(again, Vec::new(), "{stored}\n{sent}\n{made}");
                        if made["spec"] != stored["spec"] {
                            made["metadata"]["generation"] = json!(2);
                        }
                        let refusal = validate(&update(&made, &stored), world).refusal;
                        let rule = refusal.map(|refusal| refusal.rule.id);
                        assert_ne!(
                            rule,
                            Some("defaults/incomplete"),
                            "{stored}\n{sent}\n{made}"
                        );
                    }
                }
            }
        }
    }
}

/// What runs on two TaskManagers of so much CPU, and holds 7 CPU as its status tells.
fn sized(kind: &str, cpu: &Value) -> Value {
    let resources = json!({
        "jobmanager": {"cpu": 1, "memory": "2Gi"}, "taskmanager": {"cpu": cpu, "memory": "2Gi"},
    });
    let cluster = json!({"numberOfTaskManagers": 2, "resources": resources});
    let mut spec = if kind == "Deployment" {
        let artifact = json!({"flinkVersion": "1.20", "jarUri": "s3://b/a.jar"});
        let mut template = json!({"artifact": artifact, "parallelism": 2});
        merge(&mut template, &cluster);
        json!({"template": {"spec": template}})
    } else {
        let mut spec = json!({"flinkVersion": "1.20"});
        merge(&mut spec, &cluster);
        spec
    };
    spec["state"] = json!("RUNNING");
    let mut object = running(kind, &spec);
    object["metadata"]["generation"] = json!(2);
    object["status"]["allocatedMilli"] = json!(7000);
    object
}

/// Found by tracing the code: the quota gave away what ran on beside a typo.
#[test]
fn what_runs_beside_a_spec_that_cannot_be_read_costs_what_its_pods_hold() {
    for kind in ["SessionCluster", "Deployment"] {
        let dialect = dialect_for("sluice.dev", kind).unwrap();
        let charge = |object: &Value| sluice_policy::admit::charge(dialect, object, &EmptyWorld);
        let mut stored = sized(kind, &json!("2 cores"));
        assert!(dialect.workload(&stored, &EmptyWorld).is_err(), "{kind}");
        assert_eq!(charge(&stored), MilliCpu(7000), "{kind}");
        stored["status"]["allocatedMilli"] = Value::Null;
        assert_eq!(charge(&stored), MilliCpu::ZERO, "{kind}");
    }
}

/// Found by tracing the code: to correct a typo beside what runs was a start, which a full quota refused.
#[test]
fn to_correct_what_could_not_be_read_asks_for_nothing_but_what_grows() {
    let stored = sized("Deployment", &json!("2 cores"));
    let judged = |cpu: Value| {
        let sent = sized("Deployment", &cpu);
        let mutation = mutate(&update(&sent, &stored), &EmptyWorld);
        let mut made = mutation.object.into_owned();
        made["metadata"]["generation"] = json!(3);
        validate(&update(&made, &stored), &EmptyWorld)
    };
    for cpu in [json!(3), json!(1)] {
        let judgement = judged(cpu);
        assert_eq!((judgement.refusal, judgement.demand), (None, None));
    }
    let growth = Demand {
        from: MilliCpu(7000),
        to: MilliCpu(9000),
        rise: Rise::Growth,
    };
    assert_eq!(judged(json!(4)).demand, Some(growth));
    let judgement = judged(json!("3 cores"));
    let field = judgement.refusal.unwrap().causes[0].field.to_string();
    assert_eq!(field, "spec.template.spec.resources.taskmanager.cpu");
    assert_eq!(judgement.demand, None);
}

/// However little of it can be read, before or afterwards, what runs can be stopped.
#[test]
fn what_cannot_be_read_can_be_stopped() {
    for (kind, stop) in [("SessionCluster", "STOPPED"), ("Deployment", "CANCELLED")] {
        let stored = sized(kind, &json!("2 cores"));
        let mut stopped = stored.clone();
        stopped["spec"]["state"] = json!(stop);
        stopped["metadata"]["generation"] = json!(3);
        let mutation = mutate(&update(&stopped, &stored), &EmptyWorld);
        assert_eq!(mutation.refusal, None, "{kind}");
        let judgement = validate(&update(&mutation.object, &stored), &EmptyWorld);
        assert_eq!(
            (judgement.refusal, judgement.demand),
            (None, None),
            "{kind}"
        );
    }
}
