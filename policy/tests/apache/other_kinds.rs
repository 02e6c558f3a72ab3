//! Session jobs, snapshots and Confluent's applications.

use crate::support::*;
use rstest::rstest;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::*;

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
}

/// The environment of an application may be created beside it, and its settings go over the application's.
#[test]
fn an_application_whose_environment_is_not_known_is_refused_only_for_what_that_could_not_mend() {
    let object = merged(
        &application(),
        &json!({"apiVersion": "platform.confluent.io/v1beta1", "kind": "FlinkApplication", "spec": {"serviceAccount": null, "flinkEnvironment": "prod", "job": {"upgradeMode": "savepoint"}}}),
    );
    for world in [&Known::default() as &dyn World, &EmptyWorld] {
        let judgement = created(&object, world);
        assert_eq!(judgement.refusal, None);
        let warned = |piece: &str| {
            let found = judgement
                .warnings
                .iter()
                .any(|warning| warning.contains(piece));
            assert!(found, "{piece} is not in {:?}", judgement.warnings);
        };
        warned("FlinkEnvironment prod is not known here; judged without it");
        warned("unless prod says otherwise, spec.serviceAccount: name the service account");
        for rule in [
            "flink/service-account",
            "flink/checkpoint-directory",
            "flink/savepoint-directory",
        ] {
            warned(&format!("[{rule}]"));
        }
    }
    for (spec, rule, field) in [
        (
            json!({"job": {"parallelism": "4"}}),
            "flink/shape",
            "spec.job.parallelism",
        ),
        (
            json!({"flinkConfiguration": {"kubernetes.cluster-id": "x"}}),
            "flink/forbidden-configuration",
            "spec.flinkConfiguration[kubernetes.cluster-id]",
        ),
        (
            json!({"logConfiguration": {"log.txt": "x"}}),
            "flink/log-configuration",
            "spec.logConfiguration[log.txt]",
        ),
    ] {
        let mut object = merged(&object, &json!({ "spec": spec }));
        let refusal = created(&object, &Known::default()).refusal.unwrap();
        assert_eq!(refusal.causes.len(), 1, "{}", refusal.message);
        assert_eq!(
            (
                refusal.causes[0].rule.id,
                refusal.causes[0].field.to_string().as_str()
            ),
            (rule, field)
        );
        merge(&mut object, &json!({"spec": {"flinkEnvironment": null}}));
        let causes = created(&object, &Known::default())
            .refusal
            .unwrap()
            .causes
            .len();
        assert!(causes > 1, "without a name nothing is to be waited for");
    }
}
