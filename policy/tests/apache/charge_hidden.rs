//! What a manifest costs that says its CPU where few look.

use crate::support::*;
use serde_json::{Value, json};

#[test]
fn one_line_of_configuration_does_not_walk_round_a_quota() {
    assert_eq!(
        milli(
            application(),
            json!({"flinkConfiguration": {"taskmanager.cpu.cores": "8"}})
        ),
        1000 + 2 * 8000
    );
    let standalone = |configuration: Value| {
        milli(
            application(),
            json!({"mode": "standalone", "flinkConfiguration": configuration}),
        )
    };
    assert_eq!(
        standalone(json!({"taskmanager.cpu.cores": "8"})),
        1000 + 2 * 1500,
        "native only"
    );
    assert_eq!(
        standalone(json!({"kubernetes.internal.taskmanager.replicas": 10})),
        1000 + 10 * 1500
    );
    assert_eq!(
        standalone(json!({"pipeline.jobvertex-parallelism-overrides": "a:10,b:20"})),
        1000 + 10 * 1500
    );
    let native = |configuration: Value| {
        milli(
            application(),
            json!({ "flinkConfiguration": configuration }),
        )
    };
    assert_eq!(
        native(json!({"kubernetes.internal.taskmanager.replicas": 10})),
        1000 + 2 * 1500
    );
    assert_eq!(
        native(json!({"slotmanager.redundant-taskmanager-num": 3})),
        1000 + 5 * 1500
    );
    assert_eq!(
        native(json!({"slotmanager.number-of-slots.min": 20})),
        1000 + 10 * 1500
    );
    for (least, pods) in [(json!("14.9"), 10), (json!(2), 2), (json!(0), 2)] {
        let conf = json!({"slotmanager.min-total-resource.cpu": least});
        assert_eq!(native(conf.clone()), 1000 + pods * 1500);
    }
    let idle =
        |configuration: Value| milli(session(), json!({ "flinkConfiguration": configuration }));
    assert_eq!(
        idle(json!({"slotmanager.min-total-resource.cpu": 2})),
        1000 + 2 * 1500
    );
    assert_eq!(
        idle(
            json!({"slotmanager.number-of-slots.min": 4, "slotmanager.redundant-taskmanager-num": 1})
        ),
        1000 + 3 * 1500
    );
    let operator = Known {
        operator: Some(json!({"taskmanager.cpu.cores": 4})),
        ..Known::default()
    };
    assert_eq!(
        workload_in(&application(), &operator).charge().0,
        1000 + 2 * 4000
    );
}

/// The operator reads options that are maps in three spellings.
#[test]
fn overrides_count_as_a_text_a_nested_map_and_dotted_keys() {
    const KEY: &str = "pipeline.jobvertex-parallelism-overrides";
    let standalone = |configuration: Value| {
        milli(
            application(),
            json!({"mode": "standalone", "flinkConfiguration": configuration}),
        )
    };
    let dotted = format!("{KEY}.bc764cd8ddf7a0cff126f51c16239658");
    for configuration in [
        json!({ KEY: "a:10,b:20" }),
        json!({ KEY: {"a": 10, "b": "20"} }),
        json!({ dotted.clone(): 20 }),
        json!({ KEY: "a:20", dotted.clone(): 200 }),
    ] {
        assert_eq!(
            standalone(configuration.clone()),
            1000 + 10 * 1500,
            "{configuration}"
        );
    }
    refuses(
        &merged(
            &application(),
            &json!({"spec": {"mode": "standalone", "flinkConfiguration": {dotted.clone(): "many"}}}),
        ),
        "flink/cpu",
        &format!("spec.flinkConfiguration[{dotted}]"),
        422,
        "a whole number",
    );
}

/// A native JobManager makes its TaskManagers, and its command line goes over its configuration.
#[test]
fn arguments_of_the_jobmanager_do_not_walk_round_a_quota() {
    const KEY: &str = "kubernetes.jobmanager.entrypoint.args";
    let with = |mode: &str, arguments: &str| {
        milli(
            application(),
            json!({"mode": mode, "flinkConfiguration": {KEY: arguments}}),
        )
    };
    for (arguments, task_managers) in [
        ("-Dtaskmanager.cpu.cores=8", 2 * 8000),
        ("--flag x -D taskmanager.cpu.cores=8", 2 * 8000),
        ("'-Dtaskmanager'.cpu.cores=8", 2 * 8000),
        ("-Dparallelism.default=40", 20 * 1500),
        ("-Dtaskmanager.numberOfTaskSlots=1", 4 * 1500),
        (
            "-Dslotmanager.redundant-taskmanager-num=20 -Denv.java.opts=x",
            22 * 1500,
        ),
        ("--help me", 2 * 1500),
        ("-Dkubernetes.taskmanager.cpu.amount=8", 2 * 8000),
        ("-D taskmanager.cpu.cores 8", 2 * 8000),
        (
            "-Dparallelism.default=40 -Dslotmanager.redundant-taskmanager-num=10",
            30 * 1500,
        ),
        // To a shell, or to Flink's parser, these say nothing of slots.
        ("-Dtaskmanager.numberOfTaskSlots=100", 2 * 1500),
        (
            "-Denv.java.opts.all=\"-Da=b -Dtaskmanager.numberOfTaskSlots=100\"",
            2 * 1500,
        ),
    ] {
        assert_eq!(
            with("native", arguments),
            1000 + task_managers,
            "{arguments}"
        );
        assert_eq!(with("standalone", arguments), 1000 + 2 * 1500);
    }
    let replicas = json!({
        "mode": "native",
        "taskManager": {"replicas": 2},
        "flinkConfiguration": {KEY: "-Dtaskmanager.numberOfTaskSlots=1"},
    });
    assert_eq!(
        milli(application(), replicas),
        1000 + 4 * 1500,
        "the operator asks for two slots each"
    );
    let session = merged(
        &session(),
        &json!({"spec": {"flinkConfiguration": {KEY: "-Dtaskmanager.cpu.cores=8"}}}),
    );
    let world = Known {
        objects: vec![session],
        ..Known::default()
    };
    assert_eq!(workload_in(&session_job(), &world).charge().0, 2 * 8000);
    for arguments in [
        "-Dx=$Y",
        "`cat /x`",
        "-Dtask\\manager.x=1",
        "-D{a=1,b=2}",
        "-Dtaskmanager.cpu.cores=64 x -Dtaskmanager.cpu.cores=1",
        "-Dtaskmanager.cpu.cores=64 -Dtaskmanager.cpu.cores=1",
        "-Dtaskmanager.cpu.cores=64 # -Dtaskmanager.cpu.cores=1",
        "-Dx='a b'",
        "-D x=1",
        "--help me",
    ] {
        refuses(
            &configured(json!({ KEY: arguments })),
            "flink/cpu",
            &format!("spec.flinkConfiguration[{KEY}]"),
            422,
            "write everything else into spec.flinkConfiguration",
        );
    }
    admits(&configured(
        json!({ KEY: "-Dweb.timeout=1000  -Dx=s3://b/a%20b" }),
    ));
    // An admin's are not the user's to mend, and neither is what runs with its own for as long as it stays.
    let operator = Known {
        operator: Some(json!({ KEY: "-Dx=$Y -Dtaskmanager.numberOfTaskSlots=$SLOTS" })),
        ..Known::default()
    };
    assert_eq!(created(&application(), &operator).refusal, None);
    let old = configured(json!({ KEY: "-Dx=$Y" }));
    let new = merged(&old, &json!({"spec": {"job": {"parallelism": 6}}}));
    assert_eq!(updated(&old, &new, &Known::default()).refusal, None);
    let standalone = merged(&old, &json!({"spec": {"mode": "standalone"}}));
    let refusal = updated(&standalone, &new, &Known::default()).refusal;
    assert!(refusal.is_some(), "nobody has judged it there");
}

/// They come last on a TaskManager's command line, and Flink asks for TaskManagers until the slots that they offer are enough.
#[test]
fn arguments_of_taskmanagers_that_offer_fewer_slots_do_not_walk_round_a_quota() {
    const KEY: &str = "kubernetes.taskmanager.entrypoint.args";
    let wide = |configuration: Value| {
        let spec = json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "100"}, "job": {"parallelism": 100}});
        let spec = merged(&spec, &json!({ "flinkConfiguration": configuration }));
        milli(application(), spec)
    };
    for (arguments, task_managers) in [
        ("-Dtaskmanager.numberOfTaskSlots=1", 100),
        ("-D taskmanager.numberOfTaskSlots=25 --x", 4),
        ("-Dtaskmanager.numberOfTaskSlots=0", 100),
        ("-Dtaskmanager.numberOfTaskSlots=1000", 1),
        ("-Dtaskmanager.cpu.cores=64", 1),
    ] {
        assert_eq!(
            wide(json!({ KEY: arguments })),
            1000 + task_managers * 1500,
            "{arguments}"
        );
        let standalone = json!({"mode": "standalone", "flinkConfiguration": {KEY: arguments}});
        assert_eq!(milli(application(), standalone), 1000 + 2 * 1500);
    }
    assert_eq!(
        wide(
            json!({"kubernetes.jobmanager.entrypoint.args": format!("-D{KEY}=-Dtaskmanager.numberOfTaskSlots=1")})
        ),
        1000 + 100 * 1500
    );
    let unsaid = json!({"taskManager": {"resource": {"cpu": null}}, "flinkConfiguration": {KEY: "-Dtaskmanager.numberOfTaskSlots=1"}});
    assert_eq!(
        milli(application(), unsaid),
        1000 + 4 * 2000,
        "a core for each slot that the JobManager counts"
    );
    let cluster = merged(
        &session(),
        &json!({"spec": {"flinkConfiguration": {KEY: "-Dtaskmanager.numberOfTaskSlots=1"}}}),
    );
    let world = Known {
        objects: vec![cluster],
        ..Known::default()
    };
    assert_eq!(workload_in(&session_job(), &world).charge().0, 4 * 1500);
    let object = configured(json!({ KEY: "-Dtaskmanager.numberOfTaskSlots=$X" }));
    refuses(
        &object,
        "flink/cpu",
        &format!("spec.flinkConfiguration[{KEY}]"),
        422,
        "write everything else into spec.flinkConfiguration",
    );
    let wider = merged(&object, &json!({"spec": {"job": {"parallelism": 6}}}));
    assert_eq!(
        updated(&object, &wider, &Known::default()).refusal,
        None,
        "stored alike"
    );
}

#[test]
fn flink_before_1_17_makes_its_taskmanagers_by_the_older_key() {
    let amount = |version: &str, mode: &str, configuration: Value| {
        milli(
            application(),
            json!({"flinkVersion": version, "mode": mode, "taskManager": {"resource": {"cpu": null}}, "flinkConfiguration": configuration}),
        )
    };
    let both =
        json!({"kubernetes.taskmanager.cpu.amount": "0.1", "kubernetes.taskmanager.cpu": "8"});
    assert_eq!(amount("v1_16", "native", both.clone()), 1000 + 2 * 8000);
    assert_eq!(amount("v1_17", "native", both.clone()), 1000 + 2 * 100);
    assert_eq!(amount("v1_16", "standalone", both), 1000 + 2 * 100);
    let one = json!({"kubernetes.taskmanager.cpu.amount": "8"});
    assert_eq!(
        amount("v1_16", "native", one),
        1000 + 2 * 2000,
        "a core a slot"
    );
}

/// The operator writes the spec's figure over the configuration's.
#[test]
fn what_the_spec_hides_need_not_be_readable() {
    let hidden = json!({"kubernetes.taskmanager.cpu.amount": "500m", "kubernetes.jobmanager.cpu.amount": "1 or so"});
    assert_eq!(
        milli(application(), json!({"flinkConfiguration": hidden.clone()})),
        4000
    );
    admits(&configured(hidden.clone()));
    let operator = Known {
        operator: Some(hidden),
        ..Known::default()
    };
    assert_eq!(workload_in(&application(), &operator).charge().0, 4000);
}

/// Native Flink lets a TaskManager's external resource overwrite its CPU, as both have a name of Kubernetes' own.
#[test]
fn cpu_as_an_external_resource_does_not_walk_round_a_quota() {
    let asks = |names: Value, key: &str, amount: &str| {
        json!({"external-resources": names, "external-resource.more.amount": amount,
        "external-resource.more.kubernetes.config-key": key})
    };
    for (configuration, task_manager) in [
        (asks(json!("more"), "cpu", "64"), 64_000),
        (asks(json!("gpu; more"), " cpu ", "64"), 64_000),
        (asks(json!(["gpu", "more"]), "cpu", "64"), 64_000),
        (asks(json!("[gpu, \"mor\\x65\"]"), "cpu", "64"), 64_000),
        (asks(json!("- more"), "cpu", "64"), 64_000),
        (
            json!({"external-resources": "more", "external-resource": {"more": {"amount": 64, "kubernetes": {"config-key": "cpu"}}}}),
            64_000,
        ),
        (asks(json!("more"), "cpu", "1"), 1500),
        (asks(json!("more"), "cpu", "-1"), 1500),
        (asks(json!("more"), "nvidia.com/gpu", "64"), 1500),
        (asks(json!("gpu"), "cpu", "64"), 1500),
        (asks(json!("none"), "cpu", "64"), 1500),
        (asks(json!("nomore"), "cpu", "a few"), 1500),
    ] {
        for (mode, expected) in [("native", task_manager), ("standalone", 1500)] {
            let spec = json!({"mode": mode, "flinkConfiguration": configuration});
            assert_eq!(
                milli(application(), spec),
                1000 + 2 * expected,
                "{configuration}"
            );
        }
    }
    let cluster = merged(
        &session(),
        &json!({"spec": {"flinkConfiguration": asks(json!("more"), "cpu", "64")}}),
    );
    let world = Known {
        objects: vec![cluster],
        ..Known::default()
    };
    assert_eq!(workload_in(&session_job(), &world).charge().0, 2 * 64_000);
    let arguments = json!({"flinkConfiguration": {"kubernetes.jobmanager.entrypoint.args":
        "-Dexternal-resources=more -Dexternal-resource.more.amount=64 -Dexternal-resource.more.kubernetes.config-key=cpu"}});
    assert_eq!(milli(application(), arguments), 1000 + 2 * 64_000);
    // As many are kept as before: Flink does not count them by it.
    let mut kept = asks(json!("more"), "cpu", "64");
    merge(
        &mut kept,
        &json!({"slotmanager.min-total-resource.cpu": 15}),
    );
    assert_eq!(
        milli(application(), json!({"flinkConfiguration": kept})),
        1000 + 10 * 64_000
    );
    for amount in ["500m", "", " 64", "1e30", "99999999999999999999"] {
        refuses(
            &configured(asks(json!("more"), "cpu", amount)),
            "flink/cpu",
            "spec.flinkConfiguration[external-resource.more.amount]",
            422,
            "a whole number such as 4",
        );
    }
    refuses(
        &configured(asks(json!("more"), "cpu", "9999999999999")),
        "flink/cpu",
        "spec.flinkConfiguration[external-resource.more.amount]",
        422,
        "is larger than any cluster",
    );
}
