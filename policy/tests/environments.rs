//! "The Environment sets configuration options that take precedence over the configuration options specified in the Flink application"
//! (`confluent-flink-applications.txt`), for FlinkApplications and, where an Environment has a section for them, for Deployments and the
//! others; with the order of "Defaults" in the semantics: Environment > the object > `DeploymentDefaults` > `ClusterDeploymentDefaults` >
//! built in. On the real dialects.
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

fn environment(sections: Value) -> Value {
    let mut spec = json!({"namespaces": ["team-a"]});
    let (Value::Object(spec), Value::Object(sections)) = (&mut spec, sections) else {
        panic!("no objects");
    };
    spec.extend(sections);
    Value::Object(spec.clone())
}

/// The object as it would be stored; the mutating call once more changes nothing, and the validating call finds nothing to change.
fn stored(object: &Value, old: Option<&Value>, world: &Admins) -> Value {
    let (group, _) = object["apiVersion"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    let dialect = dialect_for(group, object["kind"].as_str().unwrap()).unwrap();
    let review = |object| Review {
        dialect,
        operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
        part: Part::Whole,
        namespace: "team-a",
        name: "a",
        object,
    };
    let mutation = mutate(&review(object), world);
    assert_eq!(mutation.refusal, None);
    let made = mutation.object.into_owned();
    assert_eq!(mutate(&review(&made), world).patch, Vec::new());
    let verdict = validate(&review(&made), world);
    assert_eq!(verdict.refusal, None, "{made:#}");
    made
}

fn application(api_version: &str) -> Value {
    json!({"apiVersion": api_version, "kind": "FlinkApplication", "metadata": {"name": "a", "namespace": "team-a"}, "spec": {
        "image": "confluentinc/cp-flink:1.19.1-cp2", "flinkVersion": "v1_19", "serviceAccount": "flink",
        "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "1", "pipeline.name": "mine"},
        "jobManager": {"resource": {"memory": "1024m", "cpu": 1}}, "taskManager": {"resource": {"memory": "1024m", "cpu": 1}},
        "job": {"jarURI": "local:///opt/flink/examples/streaming/StateMachineExample.jar", "state": "running", "parallelism": 1,
            "upgradeMode": "stateless"}}})
}

fn deployment() -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": "a", "namespace": "team-a"}, "spec": {
        "template": {"spec": {"artifact": {"flinkVersion": "1.20", "jarUri": "s3://b/a.jar"}, "parallelism": 2,
            "flinkConfiguration": {"state.savepoints.dir": "s3://b/mine", "state.checkpoints.dir": "s3://b/c", "pipeline.name": "mine"}}}}})
}

#[test]
fn the_environment_sets_configuration_options_that_take_precedence_over_those_of_the_flink_application()
 {
    for api_version in ["cmf.confluent.io/v1", "platform.confluent.io/v1beta1"] {
        let options =
            json!({"taskmanager.numberOfTaskSlots": "4", "state.backend.type": "rocksdb"});
        let world = Admins {
            environments: vec![environment(
                json!({"flinkApplication": {"flinkConfiguration": options}}),
            )],
            // What the Environment says nothing about: the application, then the defaults.
            defaults: vec![json!({"flinkApplication": {"flinkConfiguration": {
                "state.backend.type": "hashmap", "pipeline.name": "theirs", "pipeline.object-reuse": "true"}}})],
            ..Admins::default()
        };
        let made = stored(&application(api_version), None, &world);
        assert_eq!(
            made["spec"]["flinkConfiguration"],
            json!({"taskmanager.numberOfTaskSlots": "4", "pipeline.name": "mine", "state.backend.type": "rocksdb",
                "pipeline.object-reuse": "true"}),
            "{api_version}"
        );
        let mut rest = made.clone();
        rest["spec"]["flinkConfiguration"] =
            application(api_version)["spec"]["flinkConfiguration"].clone();
        assert_eq!(
            rest["spec"],
            application(api_version)["spec"],
            "nothing else"
        );
    }
}

#[test]
fn where_it_names_deployments_it_takes_precedence_over_them_and_over_every_default() {
    let named = environment(json!({"deployment": {
        "restoreStrategy": {"kind": "LATEST_SAVEPOINT"},
        "template": {"spec": {"flinkConfiguration": {"state.savepoints.dir": "s3://audited"}, "parallelism": 3}}}}));
    let second = environment(json!({"deployment": {
        "template": {"spec": {"flinkConfiguration": {"state.savepoints.dir": "s3://second", "a.b": "second"}}}}}));
    let world = Admins {
        environments: vec![named, second],
        defaults: vec![
            json!({"template": {"spec": {"parallelism": 7, "flinkConfiguration": {"a.b": "team", "c.d": "team"}}}, "maxJobCreationAttempts": 9}),
            json!({"template": {"spec": {"flinkConfiguration": {"c.d": "cluster", "e.f": "cluster"}}}}),
        ],
        ..Admins::default()
    };
    let made = stored(&deployment(), None, &world);
    let template = &made["spec"]["template"]["spec"];
    let option = |key: &str| {
        template["flinkConfiguration"][key]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        option("state.savepoints.dir"),
        "s3://audited",
        "Environment > object, the first Environment > the second"
    );
    assert_eq!(option("a.b"), "second", "Environment > DeploymentDefaults");
    assert_eq!(option("pipeline.name"), "mine", "object");
    assert_eq!(
        option("c.d"),
        "team",
        "DeploymentDefaults > ClusterDeploymentDefaults"
    );
    assert_eq!(
        option("e.f"),
        "cluster",
        "ClusterDeploymentDefaults > built in"
    );
    assert_eq!(template["parallelism"], 3);
    assert_eq!(
        template["numberOfTaskManagers"], 3,
        "what follows from others follows from what the Environment says"
    );
    assert_eq!(
        made["spec"]["restoreStrategy"]["kind"], "LATEST_SAVEPOINT",
        "Environment > built in"
    );
    assert_eq!(made["spec"]["maxJobCreationAttempts"], 9);
    assert_eq!(made["spec"]["maxSavepointCreationAttempts"], 4, "built in");
    // What it has set is no default: it stays where the Environment is, not where the record is.
    let record = made["metadata"]["annotations"]["sluice.dev/defaults"]
        .as_str()
        .unwrap();
    assert!(!record.contains("state.savepoints.dir"), "{record}");
}

#[test]
fn kinds_that_it_does_not_name_are_left_alone() {
    let options = json!({"flinkConfiguration": {"a.b": "c"}});
    let world = Admins {
        environments: vec![environment(
            json!({"sessionCluster": options, "flinkDeployment": options}),
        )],
        ..Admins::default()
    };
    let made = stored(&application("cmf.confluent.io/v1"), None, &world);
    assert_eq!(made, application("cmf.confluent.io/v1"));
    let alone = stored(&deployment(), None, &Admins::default());
    assert_eq!(stored(&deployment(), None, &world), alone);
}

#[test]
fn what_follows_from_what_it_sets_is_never_refused() {
    let world = Admins {
        environments: vec![environment(
            json!({"deployment": {"restoreStrategy": {"kind": "NONE"}}}),
        )],
        ..Admins::default()
    };
    let made = stored(&deployment(), None, &world);
    assert_eq!(made["spec"]["upgradeStrategy"]["kind"], "STATELESS");
    let both = json!({"restoreStrategy": {"kind": "LATEST_STATE"}, "upgradeStrategy": {"kind": "STATELESS"}});
    let world = Admins {
        environments: vec![environment(json!({ "deployment": both }))],
        ..Admins::default()
    };
    let made = stored(&deployment(), None, &world);
    assert_eq!(
        made["spec"]["upgradeStrategy"]["kind"], "STATELESS",
        "its own word stays"
    );
}

/// "What must hold for existing objects too belongs in an Environment, whose values are set at every change of the spec."
#[test]
fn its_values_are_set_at_every_change_of_the_spec_and_at_no_other() {
    let before = stored(&deployment(), None, &Admins::default());
    let world = Admins {
        environments: vec![environment(json!({"deployment": {
            "template": {"spec": {"flinkConfiguration": {"state.savepoints.dir": "s3://audited"}}}}}))],
        ..Admins::default()
    };
    let mut labelled = before.clone();
    labelled["metadata"]["labels"] = json!({"a": "b"});
    let after = stored(&labelled, Some(&before), &world);
    assert_eq!(
        after, labelled,
        "an admin's Environment restarts nobody's job by itself"
    );
    let mut changed = before.clone();
    changed["spec"]["template"]["spec"]["parallelism"] = json!(5);
    let after = stored(&changed, Some(&before), &world);
    let options = &after["spec"]["template"]["spec"]["flinkConfiguration"];
    assert_eq!(options["state.savepoints.dir"], "s3://audited");
    // Whoever writes something else meets it again.
    let mut evading = after.clone();
    evading["spec"]["template"]["spec"]["flinkConfiguration"]["state.savepoints.dir"] =
        json!("s3://b/mine");
    let again = stored(&evading, Some(&after), &world);
    assert_eq!(again["spec"], after["spec"]);
}

/// One of several jobs of a session cluster is a Deployment all the same.
#[test]
fn a_deployment_on_a_session_cluster_follows_it_too() {
    let mut object = deployment();
    object["spec"]["sessionClusterName"] = json!("c");
    let world = Admins {
        environments: vec![environment(json!({"deployment": {
            "template": {"spec": {"flinkConfiguration": {"pipeline.name": "theirs"}}}}}))],
        ..Admins::default()
    };
    let made = stored(&object, None, &world);
    assert_eq!(
        made["spec"]["template"]["spec"]["flinkConfiguration"]["pipeline.name"],
        "theirs"
    );
}

/// An Environment is another way to write the very fields that quotas charge.
#[test]
fn what_it_sets_is_what_is_charged() {
    let cpu = json!({"template": {"spec": {"resources": {"taskmanager": {"cpu": 8}}}}});
    let world = Admins {
        environments: vec![environment(json!({ "deployment": cpu }))],
        ..Admins::default()
    };
    let made = stored(&deployment(), None, &world);
    let dialect = dialect_for("sluice.dev", "Deployment").unwrap();
    let workload = dialect.workload(&made, &world).unwrap();
    assert_eq!(workload.demand, MilliCpu(1000 + 2 * 8000));
}

/// Off the session cluster a job has pods that were never charged: that is a start, whatever `onGrowth` says.
#[test]
fn a_running_job_that_leaves_its_session_cluster_starts_and_does_not_merely_grow() {
    let world = Admins::default();
    let mut on = deployment();
    on["spec"]["sessionClusterName"] = json!("c");
    on["spec"]["state"] = json!("RUNNING");
    let mut on = stored(&on, None, &world);
    on["metadata"]["generation"] = json!(1);
    on["status"] = json!({"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 0});
    let mut off = on.clone();
    off["metadata"]["generation"] = json!(2);
    off["spec"]
        .as_object_mut()
        .unwrap()
        .remove("sessionClusterName");
    let off = stored(&off, Some(&on), &world);
    let verdict = validate(
        &Review {
            dialect: dialect_for("sluice.dev", "Deployment").unwrap(),
            operation: Operation::Update { old: &on },
            part: Part::Whole,
            namespace: "team-a",
            name: "a",
            object: &off,
        },
        &world,
    );
    let demand = verdict.demand.unwrap();
    assert_eq!(demand.rise, Rise::Start);
    assert_eq!((demand.from, demand.to), (MilliCpu(0), MilliCpu(3000)));
}

#[test]
fn a_deployment_that_an_environment_takes_from_its_session_cluster_gets_what_a_cluster_of_its_own_needs()
 {
    let world = Admins {
        environments: vec![environment(
            json!({"deployment": {"sessionClusterName": ""}}),
        )],
        ..Admins::default()
    };
    let mut object = deployment();
    object["spec"]["sessionClusterName"] = json!("shared");
    let made = stored(&object, None, &world);
    assert_eq!(made["spec"]["sessionClusterName"], "");
    assert_eq!(
        made["spec"]["template"]["spec"]["resources"]["jobmanager"],
        json!({"cpu": 1, "memory": "1Gi"})
    );
}

/// A patch sends along what was built in for the cluster of its own, which it would not need on the session cluster.
#[test]
fn a_deployment_that_an_environment_keeps_off_session_clusters_keeps_what_its_own_cluster_needs() {
    let world = Admins {
        environments: vec![environment(
            json!({"deployment": {"sessionClusterName": ""}}),
        )],
        ..Admins::default()
    };
    let before = stored(&deployment(), None, &world);
    for left_out in [None, Some("memory"), Some("cpu")] {
        let mut moved = before.clone();
        moved["spec"]["sessionClusterName"] = json!("shared");
        if let Some(key) = left_out {
            let resources = &mut moved["spec"]["template"]["spec"]["resources"]["jobmanager"];
            resources.as_object_mut().unwrap().remove(key);
        }
        let made = stored(&moved, Some(&before), &world);
        assert_eq!(made["spec"], before["spec"], "{left_out:?}");
        assert_eq!(
            made["metadata"]["annotations"],
            before["metadata"]["annotations"]
        );
        assert_eq!(stored(&made, Some(&before), &world), made);
    }
}

/// "Always let go": an Environment is set at every change of the spec, but a change that only stops is none of its business.
#[test]
fn no_environment_keeps_a_deployment_from_being_stopped_or_scaled_down() {
    let mut running = deployment();
    running["spec"]["state"] = json!("RUNNING");
    running["spec"]["template"]["spec"]["parallelism"] = json!(8);
    running["spec"]["template"]["spec"]["numberOfTaskManagers"] = json!(3);
    running["spec"]["template"]["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] =
        json!("4");
    let running = stored(&running, None, &Admins::default());
    let settings = json!({"template": {"spec": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "1"}}}});
    let world = Admins {
        environments: vec![environment(json!({ "deployment": settings }))],
        ..Admins::default()
    };
    let mut stopped = running.clone();
    stopped["spec"]["state"] = json!("cancelled");
    let after = stored(&stopped, Some(&running), &world);
    stopped["spec"]["state"] = json!("CANCELLED");
    assert_eq!(after["spec"], stopped["spec"]);
    let mut lowered = running.clone();
    lowered["spec"]["template"]["spec"]["numberOfTaskManagers"] = json!(2);
    let after = stored(&lowered, Some(&running), &world);
    assert_eq!(after["spec"], lowered["spec"]);
}

/// What has come to its end by itself costs nothing, and any new spec starts it again: that is no lowering, so it meets the Environment
/// in both calls alike.
#[test]
fn fewer_taskmanagers_of_what_has_finished_are_a_start() {
    let mut finished = deployment();
    finished["spec"]["state"] = json!("RUNNING");
    finished["spec"]["template"]["spec"]["numberOfTaskManagers"] = json!(3);
    let mut finished = stored(&finished, None, &Admins::default());
    finished["metadata"]["generation"] = json!(1);
    finished["status"] = json!({"state": "FINISHED", "observedGeneration": 1, "allocatedMilli": 0});
    let settings = json!({"template": {"spec": {"flinkConfiguration": {"a.b": "theirs"}}}});
    let world = Admins {
        environments: vec![environment(json!({ "deployment": settings }))],
        ..Admins::default()
    };
    let mut lowered = finished.clone();
    lowered["spec"]["template"]["spec"]["numberOfTaskManagers"] = json!(2);
    let review = |object| Review {
        dialect: dialect_for("sluice.dev", "Deployment").unwrap(),
        operation: Operation::Update { old: &finished },
        part: Part::Whole,
        namespace: "team-a",
        name: "a",
        object,
    };
    let mut made = mutate(&review(&lowered), &world).object.into_owned();
    assert_eq!(
        made["spec"]["template"]["spec"]["flinkConfiguration"]["a.b"],
        "theirs"
    );
    made["metadata"]["generation"] = json!(2);
    let verdict = validate(&review(&made), &world);
    assert_eq!(verdict.refusal, None);
    assert!(verdict.demand.is_some());
}

/// What an Environment makes of a change may look like a lower number of TaskManagers alone, once its own values are left out.
#[test]
fn what_follows_from_an_environment_is_no_lever_that_somebody_pulled() {
    let slots = |object: &mut Value, slots: &str| {
        object["spec"]["template"]["spec"]["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] =
            json!(slots);
    };
    let mut object = deployment();
    object["spec"]["template"]["spec"]["parallelism"] = json!(4);
    slots(&mut object, "1");
    let before = stored(&object, None, &Admins::default());
    let settings = json!({"template": {"spec": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "4"}}}});
    let world = Admins {
        environments: vec![environment(json!({ "deployment": settings }))],
        ..Admins::default()
    };
    let mut changed = before.clone();
    slots(&mut changed, "2");
    let after = stored(&changed, Some(&before), &world);
    let template = &after["spec"]["template"]["spec"];
    assert_eq!(
        template["flinkConfiguration"]["taskmanager.numberOfTaskSlots"],
        "4"
    );
    assert_eq!(template["numberOfTaskManagers"], 1);
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

/// Whatever stands, is changed and is imposed: the second mutation changes nothing, and the validating call misses nothing.
#[test]
fn both_calls_agree_whatever_is_changed_and_imposed() {
    let template = |spec: Value| json!({"template": {"spec": spec}});
    let parts = [
        json!({}),
        json!({"state": "CANCELLED"}),
        json!({"state": "RUNNING"}),
        json!({"sessionClusterName": ""}),
        json!({"sessionClusterName": "c"}),
        json!({"deploymentTargetName": "t"}),
        json!({"restoreStrategy": {"kind": "NONE"}}),
        template(json!({"parallelism": 4})),
        template(json!({"parallelism": 9})),
        template(json!({"numberOfTaskManagers": 2})),
        template(json!({"numberOfTaskManagers": null})),
        template(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "1"}})),
        template(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "4"}})),
        template(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": null}})),
        template(json!({"resources": {"taskmanager": {"cpu": 2}}})),
    ];
    let no_lever = |part: &&Value| {
        part.get("state").is_none() && !part.to_string().contains("numberOfTaskManagers")
    };
    let world = |imposed: &Value, default: &Value| Admins {
        environments: vec![environment(json!({ "deployment": imposed }))],
        defaults: vec![default.clone()],
        ..Admins::default()
    };
    let dialect = dialect_for("sluice.dev", "Deployment").unwrap();
    let agreed = |object: &Value, old: Option<&Value>, world: &Admins| {
        let review = |object| Review {
            dialect,
            operation: old.map_or(Operation::Create, |old| Operation::Update { old }),
            part: Part::Whole,
            namespace: "team-a",
            name: "a",
            object,
        };
        let mutation = mutate(&review(object), world);
        let made = mutation.object.into_owned();
        let again = mutate(&review(&made), world).patch;
        assert_eq!(again, Vec::new(), "{old:?}\n{object}\n{made}");
        let verdict = validate(&review(&made), world);
        let refused = verdict.refusal.map(|refusal| refusal.rule.id);
        assert_ne!(refused, Some("defaults/incomplete"));
        made
    };
    let default = json!({"deploymentTargetName": "d", "template": {"spec": {"parallelism": 2}}});
    for own in [0, 4, 7, 9].map(|n| &parts[n]) {
        for before in [0, 3, 12].map(|n| &parts[n]) {
            let mut object = deployment();
            object["spec"]["state"] = json!("RUNNING");
            merge(&mut object["spec"], own);
            let first = agreed(&object, None, &world(before, &default));
            for change in &parts {
                for imposed in parts.iter().filter(no_lever).step_by(2) {
                    let mut patched = first.clone();
                    merge(&mut patched["spec"], change);
                    agreed(&patched, Some(&first), &world(imposed, &json!({})));
                    // `kubectl apply` says again what an Environment has replaced.
                    merge(&mut patched["spec"], own);
                    merge(&mut patched["spec"], change);
                    agreed(&patched, Some(&first), &world(imposed, &default));
                    let mut manifest = object.clone();
                    merge(&mut manifest["spec"], change);
                    agreed(&manifest, Some(&first), &world(imposed, &default));
                }
            }
        }
    }
}

/// On a session cluster nothing follows from its parallelism, so nothing of what followed before stays behind.
#[test]
fn the_number_of_taskmanagers_follows_again_after_a_time_on_a_session_cluster() {
    let world = Admins::default();
    let own = stored(&deployment(), None, &world);
    let number = |object: &Value| {
        object["spec"]["template"]["spec"]
            .get("numberOfTaskManagers")
            .cloned()
    };
    assert_eq!(number(&own), Some(json!(2)));
    // A patch sends what is stored along; `kubectl replace` sends the manifest alone.
    for is_patch in [true, false] {
        for parallelism in [8, 1] {
            let sent = |stored: &Value, edit: &dyn Fn(&mut Value)| {
                let mut sent = if is_patch {
                    stored.clone()
                } else {
                    deployment()
                };
                edit(&mut sent["spec"]);
                sent
            };
            let moved = sent(&own, &|spec| spec["sessionClusterName"] = json!("c"));
            let moved = stored(&moved, Some(&own), &world);
            assert_eq!(number(&moved), None);
            let wider = sent(&moved, &|spec| {
                spec["sessionClusterName"] = json!("c");
                spec["template"]["spec"]["parallelism"] = json!(parallelism);
            });
            let wider = stored(&wider, Some(&moved), &world);
            let back = sent(&wider, &|spec| {
                spec.as_object_mut().unwrap().remove("sessionClusterName");
                spec["template"]["spec"]["parallelism"] = json!(parallelism);
            });
            let back = stored(&back, Some(&wider), &world);
            assert_eq!(number(&back), Some(json!(parallelism)));
        }
    }
    // Whoever has said a number himself keeps it.
    let mut said = own.clone();
    said["spec"]["template"]["spec"]["numberOfTaskManagers"] = json!(5);
    let said = stored(&said, Some(&own), &world);
    let mut moved = said.clone();
    moved["spec"]["sessionClusterName"] = json!("c");
    assert_eq!(number(&stored(&moved, Some(&said), &world)), Some(json!(5)));
    // And so does what an admin has said.
    let admins = Admins {
        defaults: vec![json!({"template": {"spec": {"numberOfTaskManagers": 7}}})],
        ..Admins::default()
    };
    let filled = stored(&deployment(), None, &admins);
    let mut moved = filled.clone();
    moved["spec"]["sessionClusterName"] = json!("c");
    assert_eq!(
        number(&stored(&moved, Some(&filled), &admins)),
        Some(json!(7))
    );
}

fn flink_deployment(configuration: Value) -> Value {
    json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkDeployment", "metadata": {"name": "a", "namespace": "team-a"}, "spec": {
        "flinkVersion": "v1_20", "serviceAccount": "flink", "flinkConfiguration": configuration,
        "jobManager": {"resource": {"cpu": 1, "memory": "1g"}}, "taskManager": {"resource": {"cpu": 1, "memory": "1g"}}}})
}

fn options(options: Value) -> Admins {
    Admins {
        environments: vec![environment(
            json!({"flinkDeployment": {"flinkConfiguration": options}}),
        )],
        ..Admins::default()
    }
}

/// Maps in which these parts of a name are spelled in every way, a leaf in the first that is deepest.
fn every_spelling(parts: &[&str], value: &mut Value) -> Value {
    let maps = (1..parts.len()).map(|length| {
        let (name, rest) = parts.split_at(length);
        (name.join("."), every_spelling(rest, value))
    });
    let mut maps: serde_json::Map<_, _> = maps.collect();
    if let ([last], false) = (parts, value.is_null()) {
        maps.insert((*last).to_owned(), value.take());
    }
    Value::Object(maps)
}

#[test]
fn it_takes_precedence_over_an_option_that_is_hidden_among_other_spellings_of_its_name() {
    let key = "fs.azure.account.key.team.blob.core.windows.net";
    let parts: Vec<&str> = key.split('.').collect();
    let among = every_spelling(&parts[1..], &mut json!("among"));
    let hidden = parts[2..].join(".");
    let object = flink_deployment(json!({"fs": among, "fs.azure": {&hidden: "mine"}}));
    let made = stored(&object, None, &options(json!({key: "theirs"})));
    let configuration = &made["spec"]["flinkConfiguration"];
    assert_eq!(configuration["fs.azure"][&hidden], "theirs");
    assert!(!configuration.to_string().contains("among"));
}

#[test]
fn what_is_nested_below_its_option_under_a_very_long_name_is_kept() {
    let long = "L".repeat(300);
    let dotted = format!("a.{long}");
    let object = flink_deployment(json!({
        "a": {&long: {"k": "1", "j": "1", "x": {"p": "1"}}}, &dotted: {"j": "2", "i": "2", "x": {"q": "2"}}}));
    let made = stored(&object, None, &options(json!({"a": "theirs"})));
    assert_eq!(
        made["spec"]["flinkConfiguration"],
        json!({"a": "theirs", &dotted: {"k": "1", "j": "2", "i": "2", "x": {"p": "1", "q": "2"}}})
    );
}
