//! Each rule of Apache's kinds, from both sides of its bound, with message, code and field; and what is frozen.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod apache;

use apache::{
    Known, admits, application, created, merge, merged, record, refuses, refuses_in, review,
    session, session_job, updated,
};
use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{CauseReason, Findings, Operation, mutate};

fn with(spec: Value) -> Value {
    merged(&application(), &json!({ "spec": spec }))
}

fn configured(configuration: Value) -> Value {
    with(json!({ "flinkConfiguration": configuration }))
}

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
    for place in ["labels", "annotations"] {
        merge(
            &mut object,
            &json!({"metadata": {place: {"flink.apache.org/canary": "TRUE"}}}),
        );
        admits(&object);
        merge(&mut object, &json!({"metadata": {place: null}}));
    }
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
#[case(json!({"ingress": {"template": "host:port"}}), "flink/ingress", "spec.ingress.template", "the port port is no number")]
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
#[case::hexadecimal_numbers(json!({"flinkConfiguration": {"job.autoscaler.enabled": true, "job.autoscaler.scale-up.max-factor": "0x1p3"}}))]
#[case::cpu_that_no_cluster_has(json!({"taskManager": {"resources": {"requests": {"cpu": "1E"}}}}))]
#[case::cpu_that_cannot_be_computed(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "many"}}))]
#[case::texts_for_numbers_which_the_crd_refuses(json!({"job": {"parallelism": "2"}}))]
fn deliberate_differences(#[case] spec: Value) {
    assert!(created(&with(spec), &EmptyWorld).refusal.is_some());
}

/// An object as stored after the operator acted on it.
fn deployed(object: &Value) -> Value {
    let mut object = object.clone();
    let spec = object["spec"].clone();
    record(&mut object, &spec);
    merge(
        &mut object,
        &json!({"status": {"lifecycleState": "STABLE", "observedGeneration": 1, "jobManagerDeploymentStatus": "READY"}}),
    );
    object
}

#[rstest]
#[case(json!({"job": null}), "flink/cluster-type", "spec.job", "make another FlinkDeployment")]
#[case(json!({"mode": "standalone"}), "flink/deployment-mode", "spec.mode", "cannot become standalone")]
#[case(json!({"job": {"savepointRedeployNonce": 1}}), "flink/savepoint-redeploy", "spec.job.initialSavepointPath", "give its path")]
#[case(json!({"job": {"savepointRedeployNonce": 1, "initialSavepointPath": " "}}), "flink/savepoint-redeploy", "spec.job.initialSavepointPath", "give its path")]
fn changes_of_a_deployed_application(
    #[case] spec: Value,
    #[case] rule: &str,
    #[case] field: &str,
    #[case] piece: &str,
) {
    let old = deployed(&application());
    let new = merged(&old, &json!({ "spec": spec }));
    let refusal = updated(&old, &new, &EmptyWorld).refusal.unwrap();
    let cause = refusal
        .causes
        .iter()
        .find(|cause| cause.rule.id == rule)
        .unwrap();
    assert_eq!(
        (cause.field.to_string().as_str(), refusal.code.number()),
        (field, 403)
    );
    assert!(cause.message.contains(piece), "{}", cause.message);
    // Before the first deployment it may change.
    let fresh = merged(&application(), &json!({ "spec": spec }));
    assert!(
        updated(&application(), &fresh, &EmptyWorld)
            .refusal
            .is_none()
    );
}

#[test]
fn the_version_stays_after_a_last_state_suspend() {
    let configuration = json!({"state.checkpoints.dir": "c"});
    let old = deployed(&with(
        json!({"job": {"state": "suspended", "upgradeMode": "last-state"}, "flinkConfiguration": configuration}),
    ));
    let change =
        |spec: Value| updated(&old, &merged(&old, &json!({ "spec": spec })), &EmptyWorld).refusal;
    let refusal = change(json!({"flinkVersion": "v2_0", "job": {"state": "running"}})).unwrap();
    assert_eq!(
        (refusal.rule.id, refusal.code.number()),
        ("flink/version-after-suspend", 403)
    );
    assert!(
        refusal.message.contains("restore it with v1_20"),
        "{}",
        refusal.message
    );
    assert_eq!(
        change(
            json!({"flinkVersion": "v2_0", "job": {"state": "running", "upgradeMode": "stateless"}})
        ),
        None
    );
    assert_eq!(change(json!({"job": {"state": "running"}})), None);
}

#[test]
fn suspending_works_however_wrong_the_rest_is() {
    let old = deployed(&with(json!({"serviceAccount": null})));
    let new = merged(&old, &json!({"spec": {"job": {"state": "suspended"}}}));
    assert_eq!(updated(&old, &new, &EmptyWorld).refusal, None);
}

#[rstest]
#[case("https://repo.example.org/job.jar", None)]
#[case("http://repo.example.org/job.jar", Some("by https only, not by http"))]
#[case("/job.jar", Some("has no scheme"))]
#[case("ht tp://x", Some("is no URI"))]
#[case("https://169.254.169.254/latest", Some("use a public host"))]
#[case("https://[::1]/x", Some("use a public host"))]
#[case("https://2130706433/x", Some("use a public host"))]
#[case("https://a_b/x", Some("names no host"))]
fn jars_of_session_jobs(#[case] uri: &str, #[case] refused: Option<&str>) {
    let object = merged(&session_job(), &json!({"spec": {"job": {"jarURI": uri}}}));
    match refused {
        None => admits(&object),
        Some(piece) => refuses(&object, "flink/jar-uri", "spec.job.jarURI", 403, piece),
    }
}

#[test]
fn the_operator_decides_which_schemes_it_fetches_and_the_job_does_not() {
    let mut object = merged(
        &session_job(),
        &json!({"spec": {"job": {"jarURI": "S3://bucket/job.jar"}}}),
    );
    let key = "kubernetes.operator.user.artifacts.allowed-schemes";
    let world = Known {
        operator: Some(json!({key: "https;s3"})),
        ..Known::default()
    };
    assert_eq!(created(&object, &world).refusal, None);
    merge(
        &mut object,
        &json!({"spec": {"flinkConfiguration": {key: "https;s3"}}}),
    );
    refuses(&object, "flink/jar-uri", "spec.job.jarURI", 403, "s3");
    merge(
        &mut object,
        &json!({"spec": {"job": {"jarURI": "https://127.0.0.1/x"}}}),
    );
    let open = Known {
        operator: Some(
            json!({"kubernetes.operator.user.artifacts.disallow-restricted-hosts": false}),
        ),
        ..Known::default()
    };
    assert_eq!(created(&object, &open).refusal, None);
}

#[test]
fn a_session_job_and_its_cluster() {
    let world = |cluster: Value| Known {
        objects: vec![cluster],
        ..Known::default()
    };
    let job = session_job();
    assert_eq!(created(&job, &world(session())).refusal, None);
    let absent = created(&job, &Known::default());
    assert_eq!(absent.refusal, None);
    assert!(
        absent.warnings[0].contains("there is no FlinkDeployment shared"),
        "{:?}",
        absent.warnings
    );
    let other = merged(&application(), &json!({"metadata": {"name": "shared"}}));
    refuses_in(
        &job,
        &world(other),
        "flink/session-job",
        "spec.deploymentName",
        403,
        "is an application",
    );
    let idle = merged(&job, &json!({"spec": {"job": {"parallelism": 0}}}));
    refuses_in(
        &idle,
        &world(session()),
        "flink/parallelism",
        "spec.job.parallelism",
        403,
        "at least 1",
    );
    assert_eq!(
        created(&idle, &Known::default()).refusal,
        None,
        "not judged without its cluster"
    );
    let stateful = merged(
        &job,
        &json!({"spec": {"job": {"upgradeMode": "last-state"}}}),
    );
    refuses_in(
        &stateful,
        &world(session()),
        "flink/checkpoint-directory",
        "spec.flinkConfiguration[execution.checkpointing.dir]",
        403,
        "last-state",
    );
    let cluster = merged(
        &session(),
        &json!({"spec": {"flinkConfiguration": {"state.checkpoints.dir": "c"}}}),
    );
    assert_eq!(
        created(&stateful, &world(cluster)).refusal,
        None,
        "the cluster's configuration counts"
    );
    let mutation_review = review(&stateful, Operation::Create);
    let warnings = mutate(&mutation_review, &EmptyWorld).warnings;
    assert!(warnings[0].contains("last-state"), "{warnings:?}");
    refuses(
        &merged(&job, &json!({"spec": {"job": null}})),
        "flink/session-job",
        "spec.job",
        403,
        "needs a job",
    );
    refuses(
        &merged(&job, &json!({"spec": {"deploymentName": null}})),
        "flink/session-job",
        "spec.deploymentName",
        403,
        "name the session",
    );
    let old = deployed(&job);
    let moved = merged(&old, &json!({"spec": {"deploymentName": "elsewhere"}}));
    let refusal = updated(&old, &moved, &EmptyWorld).refusal.unwrap();
    assert!(
        refusal
            .message
            .contains("submitted to shared and cannot move"),
        "{}",
        refusal.message
    );
}

#[test]
fn snapshots() {
    let snapshot = |spec: Value| {
        json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkStateSnapshot",
        "metadata": {"name": "s", "namespace": "team-a"}, "spec": spec})
    };
    let reference = json!({"kind": "FlinkDeployment", "name": "orders"});
    let world = Known {
        objects: vec![application()],
        ..Known::default()
    };
    assert_eq!(
        created(
            &snapshot(json!({"savepoint": {}, "jobReference": reference})),
            &world
        )
        .refusal,
        None
    );
    let refuses_here = |spec: Value, field: &str, piece: &str| {
        refuses_in(&snapshot(spec), &world, "flink/snapshot", field, 403, piece);
    };
    refuses_here(
        json!({"savepoint": {}, "checkpoint": {}, "jobReference": reference}),
        "spec",
        "exactly one",
    );
    refuses_here(json!({ "jobReference": reference }), "spec", "exactly one");
    refuses_here(json!({"checkpoint": {}}), "spec.jobReference", "name the");
    refuses_here(
        json!({"checkpoint": {}, "jobReference": {"kind": "FlinkDeployment", "name": "gone"}}),
        "spec.jobReference.name",
        "gone",
    );
    refuses_here(
        json!({"checkpoint": {}, "jobReference": {"name": "orders"}}),
        "spec.jobReference.kind",
        "FlinkSessionJob",
    );
    assert_eq!(
        created(
            &snapshot(json!({"savepoint": {"path": "s3://b", "alreadyExists": true}})),
            &world
        )
        .refusal,
        None
    );
    let mut done = snapshot(
        json!({"savepoint": {}, "jobReference": {"kind": "FlinkDeployment", "name": "gone"}}),
    );
    merge(&mut done, &json!({"status": {"state": "COMPLETED"}}));
    assert_eq!(created(&done, &world).refusal, None);
}

fn change_session(spec: Value, base: Value) -> (Value, Value) {
    let old = deployed(&merged(&session(), &json!({ "spec": base })));
    let new = merged(&old, &json!({"spec": spec, "metadata": {"generation": 2}}));
    (old, new)
}

#[rstest]
#[case(json!({"image": "flink:new"}), "spec.image")]
#[case(json!({"flinkVersion": "v2_0"}), "spec.flinkVersion")]
#[case(json!({"taskManager": {"resource": {"cpu": 3}}}), "spec.taskManager.resource.cpu")]
#[case(json!({"flinkConfiguration": {"env.java.opts": "-X"}}), "spec.flinkConfiguration[env.java.opts]")]
#[case(json!({"taskManager": {"replicas": 4}}), "spec.taskManager.replicas")]
#[case(json!({"serviceAccount": "other"}), "spec.serviceAccount")]
fn a_deployed_session_cluster_is_frozen(#[case] spec: Value, #[case] field: &str) {
    let (old, new) = change_session(spec, json!({}));
    let refusal = updated(&old, &new, &EmptyWorld).refusal.unwrap();
    assert_eq!(
        (refusal.rule.id, refusal.code.number()),
        ("immutable/flink-session-cluster", 403)
    );
    assert_eq!(refusal.causes.len(), 1, "{}", refusal.message);
    assert_eq!(refusal.causes[0].field.to_string(), field);
    assert_eq!(refusal.causes[0].reason, CauseReason::Forbidden);
    assert!(
        refusal.message.contains("sluice.dev/allow-recreate"),
        "{}",
        refusal.message
    );
    // The way out works, with a warning.
    let mut annotated = new.clone();
    merge(
        &mut annotated,
        &json!({"metadata": {"annotations": {"sluice.dev/allow-recreate": "true"}}}),
    );
    let judgement = updated(&old, &annotated, &EmptyWorld);
    assert_eq!(judgement.refusal, None);
    assert!(
        judgement
            .warnings
            .iter()
            .any(|w| w.contains("deleted and recreated")),
        "{:?}",
        judgement.warnings
    );
    // And a failed cluster, or one that was never deployed, is not frozen.
    let mut failed = old.clone();
    merge(
        &mut failed,
        &json!({"status": {"lifecycleState": "FAILED"}}),
    );
    assert_eq!(updated(&failed, &new, &EmptyWorld).refusal, None);
    assert_eq!(
        updated(
            &session(),
            &merged(&session(), &json!({"spec": new["spec"]})),
            &EmptyWorld
        )
        .refusal,
        None
    );
}

#[rstest]
#[case(json!({"flinkConfiguration": {"kubernetes.operator.savepoint.format.type": "NATIVE"}}))]
#[case(json!({"flinkConfiguration": {"job": {"autoscaler": {"enabled": true}}}}))]
#[case(json!({"flinkConfiguration": {"parallelism.default": 3}}))]
#[case(json!({"flinkConfiguration": {"taskmanager.numberOfTaskSlots": null, "taskmanager": {"numberOfTaskSlots": 2}}}))]
#[case(json!({"taskManager": {"resource": {"memory": "2Gi", "cpu": 1.50}}}))]
#[case(json!({"restartNonce": 2}))]
fn what_costs_no_jobs_may_change(#[case] spec: Value) {
    let (old, new) = change_session(spec, json!({}));
    assert_eq!(updated(&old, &new, &EmptyWorld).refusal, None);
}

#[test]
fn replicas_and_the_nonce_warn_of_lost_jobs() {
    let warnings = |spec: Value, base: Value| {
        let (old, new) = change_session(spec, base);
        assert_eq!(updated(&old, &new, &EmptyWorld).refusal, None);
        mutate(&review(&new, Operation::Update { old: &old }), &EmptyWorld).warnings
    };
    let standalone = json!({"mode": "standalone", "taskManager": {"replicas": 2}});
    let replicas = warnings(json!({"taskManager": {"replicas": 3}}), standalone);
    assert!(replicas[0].contains("up to 1.16 recreate"), "{replicas:?}");
    let nonce = warnings(json!({"restartNonce": 2}), json!({"restartNonce": 1}));
    assert!(nonce[0].contains("jobs are lost"), "{nonce:?}");
    assert!(
        warnings(json!({"restartNonce": null}), json!({"restartNonce": 1})).is_empty(),
        "the operator ignores that"
    );
}

#[test]
fn confluents_applications() {
    let application = |version: &str, spec: Value| {
        let mut object = application();
        merge(
            &mut object,
            &json!({"apiVersion": version, "kind": "FlinkApplication", "spec": spec}),
        );
        object
    };
    let ours = application("cmf.confluent.io/v1", json!({}));
    admits(&ours);
    let warnings = mutate(&review(&ours, Operation::Create), &EmptyWorld).warnings;
    assert!(
        warnings[0].contains("nothing runs FlinkApplications"),
        "{warnings:?}"
    );
    refuses(
        &application("cmf.confluent.io/v1", json!({"job": {"parallelism": 0}})),
        "flink/parallelism",
        "spec.job.parallelism",
        403,
        "at least 1",
    );
    let platform = |spec: Value| application("platform.confluent.io/v1beta1", spec);
    refuses(
        &platform(json!({"serviceAccount": null})),
        "flink/service-account",
        "spec.serviceAccount",
        403,
        "service account",
    );
    let environment = json!({"apiVersion": "platform.confluent.io/v1beta1", "kind": "FlinkEnvironment", "metadata": {"name": "prod", "namespace": "team-a"},
        "spec": {"kubernetesNamespace": "jobs", "flinkApplicationDefaults": {"spec": {"serviceAccount": "flink", "flinkConfiguration": {"state.checkpoints.dir": "c"}}}}});
    let world = Known {
        objects: vec![environment],
        ..Known::default()
    };
    let object = platform(
        json!({"serviceAccount": null, "flinkEnvironment": "prod", "job": {"upgradeMode": "last-state"}}),
    );
    assert_eq!(
        created(&object, &world).refusal,
        None,
        "the environment's settings count"
    );
    let unknown = created(&object, &Known::default());
    assert!(
        unknown.warnings[0].contains("FlinkEnvironment prod is not known"),
        "{:?}",
        unknown.warnings
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "2048m",
            "1e99",
            "* * * ? * 2-6",
            "https://[::1%x]:x",
            "true",
            "suspended",
            "v1_20",
            "standalone",
            "-1Gi",
            "[a,'b"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("[a-z.]{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Places where odd values are put.
const PLACES: &[&str] = &[
    "/spec",
    "/spec/job",
    "/spec/job/parallelism",
    "/spec/job/jarURI",
    "/spec/job/state",
    "/spec/flinkConfiguration",
    "/spec/ingress",
    "/spec/ingress/template",
    "/spec/taskManager",
    "/spec/taskManager/replicas",
    "/spec/taskManager/resource/memory",
    "/spec/taskManager/resource/cpu",
    "/spec/taskManager/resources/requests/cpu",
    "/spec/podTemplate",
    "/spec/podTemplate/spec/containers",
    "/spec/jobManager/podTemplate/spec/initContainers",
    "/spec/flinkConfiguration/taskmanager.numberOfTaskSlots",
    "/spec/flinkConfiguration/job.autoscaler.excluded.periods",
    "/spec/flinkConfiguration/job.autoscaler.enabled",
    "/spec/logConfiguration",
    "/spec/deploymentName",
    "/spec/mode",
    "/status",
    "/status/reconciliationStatus/lastReconciledSpec",
    "/metadata/labels",
    "/metadata",
];

fn put(object: &mut Value, pointer: &str, value: Value) {
    let path = sluice_policy::FieldPath::from_pointer(pointer);
    let mut draft = sluice_policy::draft::Draft::new(object);
    draft.set(&path, value);
    let made = draft.finish().0.into_owned();
    *object = made;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Nothing that can be written makes any of the dialects' functions panic, and every cause has a message.
    #[test]
    fn any_json_is_judged(edits in prop::collection::vec((prop::sample::select(PLACES), any_json()), 1..4), kind in 0..4_usize) {
        let snapshot = json!({"apiVersion": "flink.apache.org/v1beta1", "kind": "FlinkStateSnapshot", "metadata": {"name": "s"}, "spec": {"savepoint": {}}});
        let base = [application(), session(), session_job(), snapshot][kind].clone();
        let mut object = base.clone();
        for (place, value) in edits {
            put(&mut object, place, value);
        }
        let world = Known { objects: vec![object.clone(), base.clone()], operator: Some(object["spec"].clone()), any_name: true };
        let dialect = apache::dialect_of(&base);
        for (object, other) in [(&object, &base), (&base, &object)] {
            for operation in [Operation::Create, Operation::Update { old: other }] {
                let review = sluice_policy::Review { object, ..review(&base, operation) };
                let mut findings = Findings::default();
                dialect.validate(&review, &world, &mut findings);
                dialect.notices(&review, &world, &mut findings);
                prop_assert!(findings.causes.iter().all(|cause| !cause.message.is_empty()));
                let _ = mutate(&review, &world);
                let _ = sluice_policy::validate(&review, &world);
            }
            let _ = (dialect.workload(object, &world), dialect.frozen(object), dialect.facts(object), dialect.comparable(object), dialect.is_exempt(object));
        }
    }

    /// More parallelism, replicas or CPU never costs less.
    #[test]
    fn the_charge_is_monotonic(parallelism in 0_i64..1_000, more in 0_i64..1_000, cpu in 0_u32..64, faster in 0_u32..64, slots in 1_i32..9, standalone: bool, autoscaled: bool) {
        let at = |parallelism: i64, cpu: u32, replicas: Option<i64>| {
            let object = with(json!({
                "mode": if standalone { "standalone" } else { "native" },
                "job": {"parallelism": parallelism},
                "taskManager": {"resource": {"cpu": f64::from(cpu) / 8.0 + 0.125}, "replicas": replicas},
                "flinkConfiguration": {"taskmanager.numberOfTaskSlots": slots, "job.autoscaler.enabled": autoscaled, "job.autoscaler.quota.cpu": 40}
            }));
            apache::dialect_of(&object).workload(&object, &EmptyWorld).unwrap().charge()
        };
        prop_assert!(at(parallelism, cpu, None) <= at(parallelism + more, cpu, None));
        prop_assert!(at(parallelism, cpu, Some(parallelism + 1)) <= at(parallelism, cpu, Some(parallelism + more + 1)));
        if !autoscaled {
            prop_assert!(at(parallelism, cpu, None) <= at(parallelism, cpu + faster, None));
        }
    }
}
