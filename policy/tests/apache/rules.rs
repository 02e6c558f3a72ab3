//! Each rule of a FlinkDeployment from both sides of its bound, with message, code and field.

use crate::support::*;
use rstest::rstest;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;

#[test]
fn the_bases_are_admitted() {
    for object in [application(), session(), session_job()] {
        admits(&object);
    }
}

#[rstest]
#[case(json!({"job": {"state": "RUNNING"}}), "spec.job.state", "running, suspended")]
#[case(json!({"job": {"upgradeMode": "latest"}}), "spec.job.upgradeMode", "savepoint, last-state, stateless")]
#[case(json!({"job": {"parallelism": "2"}}), "spec.job.parallelism", "a whole number, not a text")]
#[case(json!({"job": {"parallelism": 1.5}}), "spec.job.parallelism", "a whole number")]
#[case(json!({"job": {"args": ["a", 1]}}), "spec.job.args[1]", "quote it")]
#[case(json!({"job": []}), "spec.job", "a map, not a list")]
#[case(json!({"flinkVersion": "v9_9"}), "spec.flinkVersion", "v1_20")]
#[case(json!({"flinkVersion": 1.2}), "spec.flinkVersion", "one of")]
#[case(json!({"mode": "Native"}), "spec.mode", "native, standalone")]
#[case(json!({"flinkConfiguration": "a: b"}), "spec.flinkConfiguration", "a map")]
#[case(json!({"jobManager": {"resource": {"cpu": "1"}}}), "spec.jobManager.resource.cpu", "without quotes")]
#[case(json!({"taskManager": {"resources": {"requests": {"cpu": true}}}}), "spec.taskManager.resources.requests.cpu", "a quantity")]
#[case(json!({"logConfiguration": {"logback-console.xml": 1}}), "spec.logConfiguration[logback-console.xml]", "a text")]
#[case(json!({"serviceAccount": 7}), "spec.serviceAccount", "a text")]
fn types_and_words_are_refused_with_the_field(
    #[case] spec: Value,
    #[case] field: &str,
    #[case] piece: &str,
) {
    refuses(&with(spec), "flink/shape", field, 422, piece);
}

#[test]
fn a_spec_is_required_and_a_canary_needs_none() {
    let mut object = application();
    object["spec"] = Value::Null;
    refuses(&object, "flink/shape", "spec", 422, "required");
    let marked = |place: &str| {
        merged(
            &object,
            &json!({"metadata": {place: {"flink.apache.org/canary": "TRUE"}}}),
        )
    };
    admits(&marked("labels"));
    // The operator deploys what bears the annotation.
    refuses(
        &marked("annotations"),
        "flink/shape",
        "spec",
        422,
        "required",
    );
}

#[test]
fn unknown_fields_are_no_reason_to_refuse() {
    admits(&with(
        json!({"x": 1, "job": {"x": []}, "jobManager": {"x": {}}, "taskManager": {"resource": {"x": 1}}}),
    ));
}

#[rstest]
#[case("a", true)]
#[case(&"a".repeat(45), true)]
#[case(&"a".repeat(46), false)]
#[case("a-1", true)]
#[case("1a", false)]
#[case("a-", false)]
#[case("A", false)]
#[case("a.b", false)]
fn names(#[case] name: &str, #[case] fits: bool) {
    let object = merged(&application(), &json!({"metadata": {"name": name}}));
    if fits {
        admits(&object);
    } else {
        refuses(&object, "flink/name", "metadata.name", 403, "at most 45");
    }
}

#[test]
fn a_generated_name_counts_with_what_is_added() {
    let mut object = application();
    for (prefix, fits) in [
        ("orders-", true),
        (&*"a".repeat(40), true),
        (&*"a".repeat(41), false),
    ] {
        object["metadata"] = json!({"generateName": prefix, "namespace": "n"});
        assert_eq!(
            created(&object, &EmptyWorld).refusal.is_none(),
            fits,
            "{prefix}"
        );
    }
}

#[rstest]
#[case("v1_14", false)]
#[case("v1_15", true)]
#[case("v2_4", true)]
fn versions(#[case] version: &str, #[case] supported: bool) {
    let object = with(json!({ "flinkVersion": version }));
    if supported {
        admits(&object);
    } else {
        refuses(&object, "flink/version", "spec.flinkVersion", 403, "v1_15");
    }
}

#[test]
fn required_fields_say_what_to_write() {
    for (field, rule, piece) in [
        ("flinkVersion", "flink/version", "v2_4"),
        ("serviceAccount", "flink/service-account", "flink"),
    ] {
        refuses(
            &with(json!({ field: null })),
            rule,
            &format!("spec.{field}"),
            403,
            piece,
        );
    }
}

#[test]
fn everything_wrong_is_told_at_once() {
    let object = with(
        json!({"serviceAccount": null, "flinkVersion": null, "job": {"parallelism": 0},
        "flinkConfiguration": {"kubernetes.namespace": "x", "kubernetes.cluster-id": "y"}}),
    );
    let refusal = created(&object, &EmptyWorld).refusal.unwrap();
    assert_eq!(refusal.causes.len(), 5, "{}", refusal.message);
}

#[rstest]
#[case(json!({"kubernetes": {"namespace": "team-a"}}), "flink/forbidden-configuration", "kubernetes.namespace", "leave it out")]
#[case(json!({"kubernetes.operator.deployment.rollback.enabled": true}), "flink/rollback-needs-ha",
    "kubernetes.operator.deployment.rollback.enabled", "high-availability.type")]
#[case(json!({"kubernetes.operator.cluster.health-check.enabled": true, "kubernetes.operator.reconciler.jm-deployment-recovery.enabled": false}),
    "flink/health-check-needs-recovery", "kubernetes.operator.cluster.health-check.enabled", "to be true")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.utilization.target": "1.1"}), "flink/autoscaler",
    "job.autoscaler.utilization.target", "from 0 to 1")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.utilization.max": "0.6"}), "flink/autoscaler",
    "job.autoscaler.utilization.max", "from 0.7 to 1")]
#[case(json!({"job.autoscaler.enabled": true, "kubernetes.operator.job.autoscaler.utilization.min": "0.8"}), "flink/autoscaler",
    "kubernetes.operator.job.autoscaler.utilization.min", "from 0 to 0.7")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.scale-up.max-factor": "-0.1"}), "flink/autoscaler",
    "job.autoscaler.scale-up.max-factor", "at least 0")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.memory.tuning.enabled": true, "job.autoscaler.memory.tuning.overhead": "2"}),
    "flink/autoscaler", "job.autoscaler.memory.tuning.overhead", "from 0 to 1")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.excluded.periods": "12:00-10:00"}), "flink/autoscaler-excluded-periods",
    "job.autoscaler.excluded.periods", "9:30-11:00")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.metrics.window": "59 s"}), "flink/autoscaler-metrics-window",
    "job.autoscaler.metrics.window", "twice as long")]
fn configuration_out_of_bounds(
    #[case] configuration: Value,
    #[case] rule: &str,
    #[case] key: &str,
    #[case] piece: &str,
) {
    refuses(
        &configured(configuration),
        rule,
        &format!("spec.flinkConfiguration[{key}]"),
        403,
        piece,
    );
}

#[rstest]
#[case(json!({"kubernetes.operator.deployment.rollback.enabled": true, "high-availability": "zookeeper"}))]
#[case(json!({"kubernetes.operator.cluster.health-check.enabled": true}))]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.utilization.target": "1.0"}))]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.utilization.target": 0.5, "job.autoscaler.utilization.max": 0.6}))]
#[case(json!({"job.autoscaler.enabled": false, "job.autoscaler.utilization.target": "7"}))]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.memory.tuning.overhead": "2"}))]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.metrics.window": "60 s"}))]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.metrics.window": "30 s", "kubernetes.operator.reconcile.interval": "15 s"}))]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.excluded.periods": ["9:30-11:00", "* * * ? * 2-6 && 14:00-16:00"]}))]
fn configuration_within_bounds(#[case] configuration: Value) {
    admits(&configured(configuration));
}

#[rstest]
#[case(json!({"job.autoscaler.enabled": "yes"}), "job.autoscaler.enabled", "true or false")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.utilization.target": "abc"}), "job.autoscaler.utilization.target", "a number")]
#[case(json!({"job.autoscaler.enabled": true, "job.autoscaler.metrics.window": "PT5M"}), "job.autoscaler.metrics.window", "a length of time")]
#[case(json!({"kubernetes.operator.deployment.rollback.enabled": "on"}), "kubernetes.operator.deployment.rollback.enabled", "true or false")]
#[case(json!({"kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age": "long"}),
    "kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age", "a length of time")]
fn what_the_operator_cannot_read(
    #[case] configuration: Value,
    #[case] key: &str,
    #[case] piece: &str,
) {
    refuses(
        &configured(configuration),
        "flink/configuration-value",
        &format!("spec.flinkConfiguration[{key}]"),
        422,
        piece,
    );
}

#[test]
fn state_directories() {
    let checkpoints = "spec.flinkConfiguration[execution.checkpointing.dir]";
    let savepoints = "spec.flinkConfiguration[execution.checkpointing.savepoint-dir]";
    let job = |mode: &str, configuration: Value| {
        with(json!({"job": {"upgradeMode": mode}, "flinkConfiguration": configuration}))
    };
    for mode in ["savepoint", "last-state"] {
        refuses(
            &job(mode, json!({})),
            "flink/checkpoint-directory",
            checkpoints,
            403,
            mode,
        );
        refuses(
            &job(mode, json!({"execution.checkpointing.dir": " "})),
            "flink/checkpoint-directory",
            checkpoints,
            403,
            mode,
        );
    }
    refuses(
        &job("savepoint", json!({"state.checkpoints.dir": "c"})),
        "flink/savepoint-directory",
        savepoints,
        403,
        "savepoint",
    );
    for configuration in [
        json!({"state.checkpoints.dir": "c", "state.savepoints.dir": "s"}),
        json!({"state": {"checkpoints": {"dir": "c"}, "savepoints.dir": "s"}}),
        json!({"execution.checkpointing": {"dir": "c", "savepoint-dir": "s"}}),
    ] {
        admits(&job("savepoint", configuration));
    }
    admits(&job("last-state", json!({"state.checkpoints.dir": "c"})));
    for (spec, who) in [
        (
            json!({"job": {"savepointTriggerNonce": 0}}),
            "savepointTriggerNonce",
        ),
        (
            json!({"flinkConfiguration": {"kubernetes.operator.periodic.savepoint.interval": "1h"}}),
            "periodic",
        ),
        (
            json!({"flinkConfiguration": {"kubernetes.operator.job.upgrade.last-state.max.allowed.checkpoint.age": "1h"}}),
            "checkpoint.age",
        ),
    ] {
        refuses(
            &with(spec),
            "flink/savepoint-directory",
            savepoints,
            403,
            who,
        );
    }
}

#[test]
fn the_operators_own_defaults_count() {
    let object = with(json!({"job": {"upgradeMode": "last-state"}}));
    let on = |operator: Value| {
        let world = Known {
            operator: Some(operator),
            ..Known::default()
        };
        created(&object, &world).refusal.is_none()
    };
    assert!(on(json!({"state.checkpoints.dir": "c"})));
    assert!(on(
        json!({"kubernetes.operator.default-configuration.namespace.team-a.state.checkpoints.dir": "c"})
    ));
    assert!(!on(
        json!({"kubernetes.operator.default-configuration.namespace.team-b.state.checkpoints.dir": "c"})
    ));
    assert!(on(
        json!({"kubernetes.operator.default-configuration.flink-version.v1_19+.state.checkpoints.dir": "c"})
    ));
    assert!(!on(
        json!({"kubernetes.operator.default-configuration.flink-version.v1_19.state.checkpoints.dir": "c"})
    ));
}

#[rstest]
#[case(json!({"job": {"parallelism": 0}}), "flink/parallelism", "spec.job.parallelism", "at least 1")]
#[case(json!({"job": {"parallelism": null}}), "flink/parallelism", "spec.job.parallelism", "at least 1")]
#[case(json!({"taskManager": {"replicas": 0}}), "flink/taskmanager-replicas", "spec.taskManager.replicas", "suspended")]
#[case(json!({"jobManager": {"replicas": 0}}), "flink/jobmanager-replicas", "spec.jobManager.replicas", "at least 1")]
#[case(json!({"jobManager": {"replicas": 2}}), "flink/jobmanager-replicas", "spec.jobManager.replicas", "high-availability.storageDir")]
#[case(json!({"ingress": {}}), "flink/ingress", "spec.ingress.template", "{{name}}")]
#[case(json!({"ingress": {"template": "host:port"}}), "flink/ingress", "spec.ingress.template", "the port \"port\" is no number")]
#[case(json!({"ingress": {"template": "x".repeat(4097)}}), "flink/ingress", "spec.ingress.template", "4096 at most")]
#[case(json!({"logConfiguration": {"log4j.properties": "x"}}), "flink/log-configuration", "spec.logConfiguration[log4j.properties]", "log4j-console.properties")]
#[case(json!({"taskManager": {"resource": {"memory": "1.5Gi"}}}), "flink/memory", "spec.taskManager.resource.memory", "2Gi")]
#[case(json!({"taskManager": {"resource": {"memory": null}}}), "flink/memory", "spec.taskManager.resources.requests.memory", "taskmanager.memory.process.size")]
#[case(json!({"jobManager": {"resource": {"ephemeralStorage": "big"}}}), "flink/resources", "spec.jobManager.resource.ephemeralStorage", "2Gi")]
#[case(json!({"jobManager": {"resources": {"requests": {"cpu": 0}}}}), "flink/resources", "spec.jobManager.resources.requests.cpu", "more than 0")]
#[case(json!({"jobManager": {"resources": {"limits": {"memory": "0"}}}}), "flink/resources", "spec.jobManager.resources.limits.memory", "more than nothing")]
#[case(json!({"jobManager": {"resources": {"limits": {"x/y": "-1"}}}}), "flink/resources", "spec.jobManager.resources.limits[x/y]", "negative")]
#[case(json!({"jobManager": {"resources": {"requests": {"cpu": "1001m"}, "limits": {"cpu": 1}}}}), "flink/resources", "spec.jobManager.resources.requests.cpu", "above the limit")]
#[case(json!({"jobManager": {"resources": {"requests": {"memory": "2049m"}, "limits": {"memory": "2Gi"}}}}), "flink/resources", "spec.jobManager.resources.requests.memory", "above the limit")]
fn the_spec(#[case] spec: Value, #[case] rule: &str, #[case] field: &str, #[case] piece: &str) {
    refuses(&with(spec), rule, field, 403, piece);
}

#[rstest]
#[case(json!({"job": {"parallelism": 0}, "taskManager": {"replicas": 1}}))]
#[case(json!({"jobManager": {"replicas": 2}, "flinkConfiguration": {"high-availability.type": "kubernetes"}}))]
#[case(json!({"ingress": {"template": "{{name}}.{{namespace}}.example.org:8443/x"}}))]
#[case(json!({"logConfiguration": {"log4j-console.properties": "x", "logback-console.xml": "y"}}))]
#[case(json!({"taskManager": null, "flinkConfiguration": {"taskmanager.memory.process.size": "982m"}}))]
#[case(json!({"jobManager": null, "flinkConfiguration": {"jobmanager.memory.process.size": "577m"}}))]
#[case(json!({"jobManager": {"resources": {"requests": {"cpu": "1000m", "memory": "2048m"}, "limits": {"cpu": 1, "memory": "2Gi"}}}}))]
#[case(json!({"serviceAccount": ""}))]
fn the_spec_within_bounds(#[case] spec: Value) {
    admits(&with(spec));
}

#[test]
fn one_mebibyte_less_is_not_enough() {
    for (role, key, least) in [
        ("jobManager", "jobmanager", 577),
        ("taskManager", "taskmanager", 982),
    ] {
        let with_memory = |mebi: u32| {
            with(
                json!({role: null, "flinkConfiguration": {format!("{key}.memory.process.size"): format!("{mebi}m")}}),
            )
        };
        admits(&with_memory(least));
        refuses(
            &with_memory(least - 1),
            "flink/memory",
            &format!("spec.{role}.resources.requests.memory"),
            403,
            "memory is not given",
        );
    }
}

/// Where we knowingly refuse what the operator's validator lets through.
#[rstest]
#[case::digits_of_other_scripts(json!({"taskManager": {"resource": {"memory": "٣g"}}}))]
#[case::a_lone_point_which_is_read_as_nothing(json!({"taskManager": {"resource": {"memory": "."}}}))]
#[case::hexadecimal_numbers(json!({"flinkConfiguration": {"job.autoscaler.enabled": true, "job.autoscaler.scale-up.max-factor": "0x1p3"}}))]
#[case::cpu_that_no_cluster_has(json!({"taskManager": {"resources": {"requests": {"cpu": "1E"}}}}))]
#[case::cpu_that_cannot_be_computed(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "many"}}))]
#[case::texts_for_numbers_which_the_crd_refuses(json!({"job": {"parallelism": "2"}}))]
fn deliberate_differences(#[case] spec: Value) {
    assert!(created(&with(spec), &EmptyWorld).refusal.is_some());
}
