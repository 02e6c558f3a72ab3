//! CPU of Apache's kinds: the table of the operator's figures, its examples, and each source of a figure.

use crate::support::*;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;

#[test]
fn the_table_of_units() {
    let Some(table) = fixture("cpu-charge.json") else {
        return;
    };
    for unit in table["unit"].as_array().unwrap() {
        let id = unit["id"].as_str().unwrap();
        let standalone = unit["mode"] == "standalone";
        let mut object = if unit["type"] == "session" {
            session()
        } else {
            application()
        };
        let mut spec = json!({
            "mode": if standalone { "standalone" } else { "native" },
            "jobManager": {"resource": {"cpu": 0}},
            "taskManager": {"resource": {"cpu": 1}}
        });
        if let Some(slots) = unit.get("slots") {
            spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] = slots.clone();
        }
        if let Some(overrides) = unit.get("jobvertexParallelismOverrides") {
            spec["flinkConfiguration"]["pipeline.jobvertex-parallelism-overrides"] =
                overrides.clone();
        }
        if let Some(replicas) = unit.get("tmReplicas") {
            spec["taskManager"]["replicas"] = replicas.clone();
        }
        if let Some(parallelism) = unit.get("parallelism") {
            spec["job"]["parallelism"] = parallelism.clone();
        }
        if let Some(resource) = unit.get("resource") {
            merge(&mut spec["taskManager"]["resource"], resource);
        }
        if let Some(resources) = unit.get("resources") {
            spec["taskManager"]["resources"] = resources.clone();
        }
        if unit.get("jmCpu").is_some() {
            // What the operator counts are limits, of registered TaskManagers; its inputs are ours.
            spec["jobManager"] =
                json!({"replicas": unit["jmReplicas"], "resource": {"cpu": unit["jmCpu"]}});
            spec["taskManager"] =
                json!({"replicas": unit["tms"], "resource": {"cpu": unit["tmCpu"]}});
            spec["mode"] = json!("native");
            merge(&mut object, &json!({ "spec": spec }));
            let requests = unit["jmReplicas"].as_u64().unwrap() * as_milli(&unit["jmCpu"])
                + unit["tms"].as_u64().unwrap() * as_milli(&unit["tmCpu"]);
            assert_eq!(workload(&object).charge().0, requests, "{id}");
        } else if let Some(cpu) = unit.get("cpu") {
            spec["taskManager"]["replicas"] = json!(1);
            if unit.get("resources").is_some() && unit.get("resource").is_none() {
                spec["taskManager"]["resource"] = json!(null);
            }
            merge(&mut object, &json!({ "spec": spec }));
            let figure = workload(&object).charge().0;
            if cpu.is_null() {
                println!("{id}: no CPU is said, charged {figure}");
            } else {
                assert_eq!(figure, as_milli(cpu), "{id}");
            }
        } else if let Some(tms) = unit.get("tms").and_then(Value::as_u64) {
            merge(&mut object, &json!({ "spec": spec }));
            assert_eq!(workload(&object).charge().0, tms * 1000, "{id}: {object}");
        } else if let Some(parallelism) = unit.get("effectiveParallelism").and_then(Value::as_u64) {
            // One slot a TaskManager makes the parallelism visible.
            spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"] = json!("1");
            merge(&mut object, &json!({ "spec": spec }));
            assert_eq!(workload(&object).charge().0, parallelism * 1000, "{id}");
        } else {
            println!("{id}: speaks of the operator's metrics only");
        }
    }
}

#[test]
fn the_operators_examples_cost_what_it_says() {
    let Some(table) = fixture("cpu-charge.json") else {
        return;
    };
    let mut compared = 0;
    for entry in table["corpus"].as_array().unwrap() {
        let file = entry["file"].as_str().unwrap();
        let file = file.rsplit('/').next().unwrap();
        let Some(cpu) = entry["cost"]
            .get("cpuRequests")
            .filter(|cpu| !cpu.is_null())
        else {
            continue;
        };
        let known = std::panic::catch_unwind(|| fixture_text(&format!("examples/{file}")));
        let Ok(Some(text)) = known else {
            println!("skipped: {file} is not among the examples");
            continue;
        };
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let objects: Vec<&Value> = documents
            .iter()
            .filter(|document| document.is_object())
            .collect();
        let object = objects[usize::try_from(entry["doc"].as_u64().unwrap()).unwrap()];
        assert_eq!(workload(object).charge().0, as_milli(cpu), "{file}");
        compared += 1;
    }
    assert!(compared > 0 || std::env::var("SLUICE_REQUIRE_FIXTURES").is_err());
}

#[test]
fn cpu_comes_from_the_first_place_that_says_it() {
    // 1 JobManager of 1, 2 TaskManagers.
    let base = 1000;
    assert_eq!(milli(application(), json!({})), base + 2 * 1500);
    let resources = |resources: Value| {
        milli(
            application(),
            json!({"taskManager": {"resources": resources}}),
        )
    };
    assert_eq!(
        resources(json!({"requests": {"cpu": "250m"}, "limits": {"cpu": 4}})),
        base + 2 * 250
    );
    assert_eq!(resources(json!({"limits": {"cpu": 4}})), base + 2 * 4000);
    assert_eq!(
        resources(json!({})),
        base + 2 * 1500,
        "an empty block hides nothing"
    );
    assert_eq!(
        resources(json!({"requests": {"memory": "2Gi"}})),
        base + 2 * 2000,
        "a block with memory alone hides resource.cpu, so there is a core a slot"
    );
    let unsaid = |configuration: Value| {
        milli(
            application(),
            json!({"taskManager": {"resource": {"cpu": null}}, "flinkConfiguration": configuration}),
        )
    };
    assert_eq!(unsaid(json!({})), base + 2 * 2000, "a core a slot");
    assert_eq!(
        unsaid(json!({"kubernetes.taskmanager.cpu": "0.5"})),
        base + 2 * 500
    );
    assert_eq!(
        unsaid(
            json!({"kubernetes.taskmanager.cpu": "0.5", "kubernetes": {"taskmanager.cpu.amount": 0.75}})
        ),
        base + 2 * 750
    );
    assert_eq!(
        milli(
            application(),
            json!({"jobManager": {"resource": {"cpu": null}}, "flinkConfiguration": {"kubernetes.jobmanager.cpu.amount": 3}})
        ),
        3000 + 2 * 1500
    );
    assert_eq!(
        milli(application(), json!({"jobManager": null})),
        base + 2 * 1500
    );
}

#[test]
fn numbers_of_pods() {
    assert_eq!(
        milli(application(), json!({"job": {"parallelism": 5}})),
        1000 + 3 * 1500
    );
    assert_eq!(
        milli(application(), json!({"taskManager": {"replicas": 7}})),
        1000 + 7 * 1500
    );
    assert_eq!(
        milli(application(), json!({"jobManager": {"replicas": 3}})),
        3000 + 2 * 1500
    );
    assert_eq!(
        milli(session(), json!({})),
        1000,
        "its jobs pay for the TaskManagers"
    );
    assert_eq!(milli(session(), json!({"mode": "standalone"})), 1000 + 1500);
    assert_eq!(
        milli(
            session(),
            json!({"mode": "standalone", "taskManager": {"replicas": 4}})
        ),
        1000 + 4 * 1500
    );
    assert_eq!(
        milli(session(), json!({"taskManager": {"replicas": 4}})),
        1000,
        "no effect in native mode"
    );
    for absurd in [json!(i64::MAX), json!(u64::MAX), json!(1e15)] {
        let charge = milli(application(), json!({"job": {"parallelism": absurd}}));
        assert!(charge > 1_000_000_000, "{charge}");
    }
    assert_eq!(
        milli(application(), json!({"job": {"parallelism": -5}})),
        1000
    );
}

#[test]
fn sidecars_and_init_containers_count_for_each_pod() {
    let container =
        |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
    let with = |template: Value| milli(application(), json!({"podTemplate": {"spec": template}}));
    let plain = 1000 + 2 * 1500;
    assert_eq!(
        with(
            json!({"containers": [container("flink-main-container", "9"), container("log", "100m")]})
        ),
        plain + 300
    );
    assert_eq!(
        with(json!({"containers": [{"name": "log", "resources": {"limits": {"cpu": 1}}}]})),
        plain + 3000
    );
    assert_eq!(
        with(json!({"initContainers": [container("fetch", "500m")]})),
        plain,
        "less than what runs later"
    );
    assert_eq!(
        with(json!({"initContainers": [container("fetch", "2")]})),
        2000 * 3,
        "more than what runs later"
    );
    let mut restarted = container("proxy", "200m");
    restarted["restartPolicy"] = json!("Always");
    assert_eq!(
        with(json!({"initContainers": [restarted.clone()]})),
        plain + 3 * 200
    );
    assert_eq!(
        with(json!({"initContainers": [restarted, container("fetch", "2")]})),
        3 * 2200,
        "an init container starts beside those that keep running"
    );
    let role = |spec: Value| milli(application(), spec);
    let template = json!({"podTemplate": {"spec": {"containers": [container("log", "100m")]}}});
    assert_eq!(role(json!({ "jobManager": template })), plain + 100);
    assert_eq!(role(json!({ "taskManager": template })), plain + 200);
    // Merged by position, so the role's container replaces the common one; by name there are two.
    let both = |by_name: bool| {
        role(json!({
            "podTemplate": {"spec": {"containers": [container("a", "100m")]}},
            "taskManager": {"podTemplate": {"spec": {"containers": [container("b", "300m")]}}},
            "flinkConfiguration": {"kubernetes.operator.pod-template.merge-arrays-by-name": by_name}
        }))
    };
    assert_eq!(both(false), plain + 100 + 2 * 300);
    assert_eq!(both(true), plain + 100 + 2 * 400);
}

#[test]
fn what_a_pod_asks_for_as_a_whole_counts_where_it_is_more() {
    let asks = |section: &str, cpu: &str| json!({"podTemplate": {"spec": {"resources": {section: {"cpu": cpu}}}}});
    let plain = 1000 + 2 * 1500;
    let charge = |spec: Value| milli(application(), spec);
    assert_eq!(
        charge(asks("requests", "500m")),
        plain,
        "less than its containers"
    );
    assert_eq!(charge(asks("requests", "32")), 3 * 32_000);
    // Kubernetes takes a pod's limit for its request only where no container asks for CPU, and Flink's always does.
    assert_eq!(charge(asks("limits", "32")), plain);
    let mut both = asks("requests", "2");
    both["taskManager"] = asks("requests", "8");
    assert_eq!(charge(both), 2000 + 2 * 8000, "the role's own comes first");
    assert_eq!(charge(json!({ "taskManager": asks("limits", "8") })), plain);
    let limit = json!({"podTemplate": {"spec": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "32"}}}}});
    assert_eq!(charge(limit), 3 * 2000);
}

#[test]
fn what_a_pods_runtime_takes_counts_for_every_pod() {
    let takes = |cpu: &str| json!({"podTemplate": {"spec": {"runtimeClassName": "kata", "overhead": {"cpu": cpu, "memory": "1Gi"}}}});
    let plain = 1000 + 2 * 1500;
    assert_eq!(milli(application(), takes("2")), plain + 3 * 2000);
    let mut both = takes("250m");
    both["taskManager"] = takes("1");
    assert_eq!(
        milli(application(), both),
        plain + 250 + 2 * 1000,
        "the role's own comes first"
    );
    let mut beside_whole = takes("250m");
    beside_whole["podTemplate"]["spec"]["resources"] = json!({"requests": {"cpu": "8"}});
    assert_eq!(milli(application(), beside_whole), 3 * 8250);
    refuses(
        &with(takes("some")),
        "flink/cpu",
        "spec.podTemplate.spec.overhead.cpu",
        422,
        "a number of CPUs",
    );
    let cluster = merged(&session(), &json!({"spec": takes("2")}));
    let world = Known {
        objects: vec![cluster],
        ..Known::default()
    };
    assert_eq!(workload_in(&session_job(), &world).charge().0, 2 * 3500);
}

#[test]
fn a_session_job_pays_for_the_taskmanagers_of_its_native_cluster() {
    let mut cluster = session();
    let job = session_job();
    let on = |cluster: &Value, job: &Value| {
        let world = Known {
            objects: vec![cluster.clone()],
            ..Known::default()
        };
        workload_in(job, &world).charge().0
    };
    assert_eq!(on(&cluster, &job), 2 * 1500);
    merge(
        &mut cluster,
        &json!({"spec": {"podTemplate": {"spec": {"containers": [{"name": "log", "resources": {"requests": {"cpu": 1}}}]}}}}),
    );
    assert_eq!(
        on(&cluster, &job),
        2 * 2500,
        "sidecars of the cluster's template"
    );
    merge(
        &mut cluster,
        &json!({"spec": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": 4}}}),
    );
    assert_eq!(on(&cluster, &job), 2500);
    merge(&mut cluster, &json!({"spec": {"mode": "standalone"}}));
    assert_eq!(on(&cluster, &job), 0, "the cluster has paid");
    assert_eq!(
        workload_in(&job, &EmptyWorld).charge().0,
        4 * 1000,
        "unknown: one slot and one core each"
    );
    // A job is submitted to TaskManagers that its cluster describes; what it writes about them itself is not read by anybody.
    merge(&mut cluster, &json!({"spec": {"mode": "native"}}));
    let own = merged(
        &job,
        &json!({"spec": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": 1000, "taskmanager.cpu.cores": 0.001}}}),
    );
    assert_eq!(on(&cluster, &own), 2500);
    assert_eq!(workload_in(&own, &EmptyWorld).charge().0, 4 * 1000);
    // How many it asks for and how far its autoscaler goes are its own.
    let own = merged(
        &job,
        &json!({"spec": {"job": {"parallelism": null}, "flinkConfiguration": {"parallelism.default": 8}}}),
    );
    assert_eq!(on(&cluster, &own), 2 * 2500);
    let own = merged(
        &job,
        &json!({"spec": {"flinkConfiguration": {"job.autoscaler.enabled": true, "job.autoscaler.quota.cpu": 15}}}),
    );
    assert_eq!(on(&cluster, &own), 11 * 2500);
    for (configuration, pods) in [
        (json!({"taskmanager.numberOfTaskSlots": 40}), 110),
        (json!({"kubernetes.taskmanager.cpu.amount": "0.5"}), 31),
        // The newer key, which the operator sets by the cluster's spec, goes before the older one.
        (json!({"kubernetes.taskmanager.cpu": "1000"}), 11),
    ] {
        let own = merged(
            &own,
            &json!({"spec": {"flinkConfiguration": configuration}}),
        );
        assert_eq!(on(&cluster, &own), pods * 2500, "the autoscaler goes by it");
    }
    // Wherever the widths of single vertices are written.
    let wide = json!({"spec": {"flinkConfiguration": {"pipeline.jobvertex-parallelism-overrides": "a:40"}}});
    assert_eq!(on(&cluster, &merged(&job, &wide)), 10 * 2500);
    assert_eq!(on(&merged(&cluster, &wide), &job), 10 * 2500);
    let wide = json!({"spec": {"flinkConfiguration": {"pipeline.jobvertex-parallelism-overrides": {"a": 40}}}});
    assert_eq!(on(&cluster, &merged(&job, &wide)), 10 * 2500);
    let arguments = json!({"spec": {"flinkConfiguration": {"kubernetes.jobmanager.entrypoint.args": "-Dparallelism.default=16"}}});
    let unsaid = json!({"spec": {"job": {"parallelism": null}}});
    assert_eq!(
        on(&merged(&cluster, &arguments), &merged(&job, &unsaid)),
        4 * 2500
    );
}

/// The operator logs such a value and changes nothing; what a job runs with, runs on.
#[test]
fn no_word_of_its_cluster_makes_a_session_job_cost_nothing() {
    let job = deployed(&session_job());
    let suspended = merged(&job, &json!({"spec": {"job": {"state": "suspended"}}}));
    for (configuration, field) in [
        (
            json!({"job.autoscaler.enabled": "true", "job.autoscaler.quota.cpu": "5000m"}),
            "job.autoscaler.quota.cpu",
        ),
        (
            json!({"pipeline.jobvertex-parallelism-overrides": "a"}),
            "pipeline.jobvertex-parallelism-overrides",
        ),
        (
            json!({"parallelism.default": "many"}),
            "parallelism.default",
        ),
    ] {
        let cluster = deployed(&session());
        let edited = merged(
            &cluster,
            &json!({"spec": {"flinkConfiguration": configuration}}),
        );
        let refusal = updated(&cluster, &edited, &EmptyWorld).refusal.unwrap();
        assert_eq!(refusal.rule.id, "flink/cpu", "{}", refusal.message);
        assert!(refusal.message.contains(field), "{}", refusal.message);
        assert!(!refusal.message.contains("500m"), "{}", refusal.message);
        // It was stored while nobody judged it.
        let world = Known {
            objects: vec![edited],
            ..Known::default()
        };
        assert_eq!(workload_in(&job, &world).charge().0, 2 * 1500, "{field}");
        assert_eq!(updated(&job, &suspended, &world).refusal, None, "{field}");
    }
    // What the job says itself is its own.
    for world in [
        &EmptyWorld as &dyn sluice_policy::World,
        &Known {
            objects: vec![session()],
            ..Known::default()
        },
    ] {
        let own = json!({"spec": {"flinkConfiguration": {"job.autoscaler.enabled": "true", "job.autoscaler.quota.cpu": "5000m"}}});
        let refusal = created(&merged(&session_job(), &own), world)
            .refusal
            .unwrap();
        assert_eq!(refusal.rule.id, "flink/cpu");
        assert!(
            refusal.message.contains("without a unit"),
            "{}",
            refusal.message
        );
    }
}

#[test]
fn what_has_a_charge_that_cannot_be_read_can_be_suspended_and_nothing_else() {
    let unreadable =
        json!({"spec": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "many"}}});
    let stored = merged(&deployed(&application()), &unreadable);
    let judged = |spec: Value| {
        let sent = merged(&stored, &json!({ "spec": spec }));
        updated(&stored, &sent, &EmptyWorld)
            .refusal
            .map(|refusal| refusal.rule.id)
    };
    assert_eq!(judged(json!({"job": {"state": "suspended"}})), None);
    assert_eq!(
        judged(json!({"job": {"state": "suspended", "parallelism": 9}})),
        Some("flink/cpu")
    );
    assert_eq!(judged(json!({"image": "flink:1.20.1"})), Some("flink/cpu"));
}

#[test]
fn figures_that_cannot_be_read_name_their_field() {
    for (spec, field) in [
        (
            json!({"jobManager": {"resource": {"cpu": 1e300}}}),
            "spec.jobManager.resource.cpu",
        ),
        (
            json!({"taskManager": {"resources": {"requests": {"cpu": "two"}}}}),
            "spec.taskManager.resources.requests.cpu",
        ),
        (
            json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "many"}}),
            "spec.flinkConfiguration[taskmanager.numberOfTaskSlots]",
        ),
        (
            json!({"flinkConfiguration": {"taskmanager.cpu.cores": "NaN"}}),
            "spec.flinkConfiguration[taskmanager.cpu.cores]",
        ),
        (
            json!({"podTemplate": {"spec": {"containers": [{"name": "x"}, {"name": "y", "resources": {"requests": {"cpu": "a lot"}}}]}}}),
            "spec.podTemplate.spec.containers[1].resources.requests.cpu",
        ),
    ] {
        let object = merged(&application(), &json!({ "spec": spec }));
        let causes = dialect_of(&object)
            .workload(&object, &EmptyWorld)
            .unwrap_err();
        assert_eq!(causes[0].field.to_string(), field);
        assert_eq!(causes[0].rule.id, "flink/cpu");
    }
}

#[test]
fn confluents_kinds() {
    let spec = application()["spec"].clone();
    let of = |version: &str| {
        workload(
            &json!({"apiVersion": version, "kind": "FlinkApplication", "metadata": {"name": "a", "namespace": "n"}, "spec": spec}),
        )
    };
    assert_eq!(
        of("cmf.confluent.io/v1").charge().0,
        4000,
        "charged as itself"
    );
    assert_eq!(
        of("platform.confluent.io/v1beta1").charge().0,
        0,
        "CMF's FlinkDeployment is charged"
    );
}
