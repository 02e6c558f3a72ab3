use super::*;
use crate::charge::Desired;
use crate::dialect::own::testing::{With, causes, filled, judged, judged_in, with};
use crate::quantity::MilliCpu;
use crate::world::EmptyWorld;
use rstest::rstest;

fn short() -> Value {
    json!({"spec": {"sessionClusterName": "c", "job": {"entryClass": "com.example.flink.Job", "args": []}}})
}

#[test]
fn a_short_manifest_comes_back_fully_specified_and_costs_nothing() {
    let made = filled(&SessionJob, &short());
    assert_eq!(
        made,
        json!({"spec": {
            "sessionClusterName": "c",
            "job": {"entryClass": "com.example.flink.Job", "args": []},
            "state": "RUNNING",
            "restoreStrategy": {"kind": "LATEST_STATE", "allowNonRestoredState": false},
            "upgradeStrategy": {"kind": "STATEFUL"},
        }})
    );
    let findings = judged(&SessionJob, &short());
    assert_eq!((causes(&findings), findings.warnings), (vec![], vec![]));
    let workload = SessionJob.workload(&made, &EmptyWorld).unwrap();
    assert_eq!(workload.desired, Desired::Running);
    assert_eq!(workload.charge(), MilliCpu::ZERO);
}

#[test]
fn arguments_may_be_numbers() {
    let object = with(&short(), "/spec/job/args", json!(["--n", 3, true]));
    assert_eq!(
        filled(&SessionJob, &object).pointer("/spec/job/args"),
        Some(&json!(["--n", "3", "true"]))
    );
}

#[rstest]
#[case("/spec/job", json!({}), "spec.job.entryClass: names the main class in the session cluster's jars; write it, or job.jarUri [session-job/jar]")]
#[case("/spec/job", json!(null), "spec.job.entryClass: names the main class in the session cluster's jars; write it, or job.jarUri [session-job/jar]")]
#[case("/spec/job/jarUri", json!("gopher://a/b"), "spec.job.jarUri: \"gopher://a/b\" has scheme gopher, which cannot be fetched; the schemes are http, https, s3, s3a, s3p [session-job/jar]")]
#[case("/spec/job/parallelism", json!("all"), "spec.job.parallelism: must be a whole number, not a text (\"all\") [session-job/field]")]
#[case("/spec/job/args", json!("--x"), "spec.job.args: must be a list, not a text (\"--x\") [session-job/field]")]
#[case("/spec/state", json!("STOPPED"), "spec.state: must be RUNNING, CANCELLED or SUSPENDED, not \"STOPPED\" [session-job/field]")]
fn a_bad_value_is_refused_with_field_and_remedy(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    assert_eq!(
        causes(&judged(&SessionJob, &with(&short(), pointer, value))),
        [expected]
    );
}

#[rstest]
#[case("local:///opt/flink/usrlib/a.jar")]
#[case("/opt/flink/usrlib/a.jar")]
#[case("FILE:/a.jar")]
fn a_jar_in_an_image_is_warned_of(#[case] jar: &str) {
    let findings = judged(&SessionJob, &with(&short(), "/spec/job/jarUri", json!(jar)));
    assert_eq!(causes(&findings), Vec::<String>::new());
    let [warning] = &findings.warnings[..] else {
        panic!("{:?}", findings.warnings)
    };
    assert!(
        warning.starts_with("spec.job.jarUri: is a path in an image"),
        "{warning}"
    );
}

#[test]
fn a_jar_that_names_no_file_is_not_advised_to_be_in_an_image() {
    let findings = judged(
        &SessionJob,
        &with(&short(), "/spec/job/jarUri", json!("a.jar")),
    );
    assert_eq!(
        causes(&findings),
        [
            "spec.job.jarUri: \"a.jar\" has no scheme; write a URI such as https://repo.example/job.jar or s3://bucket/job.jar [session-job/jar]"
        ]
    );
}

fn cluster(version: &str) -> With {
    With(json!({"spec": {"flinkVersion": version}}))
}

#[test]
fn configuration_of_a_job_needs_flink_1_17() {
    let object = with(&short(), "/spec/flinkConfiguration/a", json!("b"));
    assert_eq!(
        causes(&judged_in(&SessionJob, &object, &cluster("1.16"))),
        [
            "spec.flinkConfiguration: configuration of a single job needs Flink 1.17, the session cluster has 1.16; set these \
             options on the session cluster, or use one with Flink 1.17 [session-job/job-configuration]"
        ]
    );
    assert_eq!(
        causes(&judged_in(&SessionJob, &object, &cluster("1.17"))),
        [""; 0]
    );
    assert_eq!(
        causes(&judged_in(&SessionJob, &object, &EmptyWorld)),
        [""; 0]
    );
    let empty = with(&short(), "/spec/flinkConfiguration", json!({}));
    assert_eq!(
        causes(&judged_in(&SessionJob, &empty, &cluster("1.16"))),
        [""; 0]
    );
}

#[test]
fn options_that_only_a_cluster_reads_warn() {
    let options = json!({"taskmanager.numberOfTaskSlots": 2, "pipeline.name": "x"});
    let object = with(&short(), "/spec/flinkConfiguration", options);
    assert_eq!(
        judged(&SessionJob, &object).warnings,
        [
            "spec.flinkConfiguration: only a session cluster reads taskmanager.numberOfTaskSlots; no effect here, set on the \
             session cluster"
        ]
    );
    // Somebody's defaults are not what this user has to see to.
    let filled_in = json!({"sluice.dev/defaults": "{\"/spec/flinkConfiguration/taskmanager.numberOfTaskSlots\":\"2\"}"});
    let object = with(&object, "/metadata", json!({ "annotations": filled_in }));
    assert_eq!(judged(&SessionJob, &object).warnings, [""; 0]);
}

#[test]
fn a_cluster_that_is_not_there_or_not_named_warns() {
    let nothing = crate::dialect::own::testing::Nothing;
    assert_eq!(
        judged_in(&SessionJob, &short(), &nothing).warnings,
        [
            "spec.sessionClusterName: there is no SessionCluster c in namespace team-a; nothing starts until there is"
        ]
    );
    for unnamed in [Value::Null, json!("")] {
        let unnamed = json!({"spec": {"sessionClusterName": unnamed, "flinkConfiguration": {}, "job": {"entryClass": "a.B"}}});
        let findings = judged_in(&SessionJob, &unnamed, &nothing);
        assert_eq!(
            (causes(&findings), findings.warnings),
            (vec![], vec!["spec.sessionClusterName: names no session cluster; nothing starts until one is named".to_owned()])
        );
    }
}

#[test]
fn a_change_of_a_deployments_job_by_hand_warns() {
    let owner = json!([{"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "name": "d", "uid": "u", "controller": true}]);
    let old = with(&short(), "/metadata", json!({"ownerReferences": owner}));
    let told = |old: &Value, object: &Value| {
        let mut findings = crate::finding::Findings::default();
        let review = crate::review::Review {
            dialect: &SessionJob,
            operation: crate::review::Operation::Update { old },
            part: crate::review::Part::Whole,
            namespace: "team-a",
            name: "d",
            object,
        };
        SessionJob.notices(&review, &EmptyWorld, &mut findings);
        findings.warnings
    };
    let edited = with(&old, "/spec/job/parallelism", json!(7));
    assert_eq!(
        told(&old, &edited),
        [
            "sessionjob \"d\" is made by Deployment d, which takes changes of its spec back; change the Deployment"
        ]
    );
    assert_eq!(
        told(&old, &with(&old, "/metadata/labels/a", json!("b"))),
        [""; 0]
    );
    let own = with(&edited, "/metadata", json!({}));
    assert_eq!(told(&short(), &own), [""; 0]);
}
