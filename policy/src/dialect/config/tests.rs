use super::*;
use crate::dialect::Dialect;
use crate::dialect::Scope;
use crate::dialect::own::testing::{Nothing, With, causes, judged, judged_in, normalised, with};
use rstest::rstest;
use serde_json::json;

static DEFAULTS: defaults::Defaults = defaults::Defaults(Scope::Namespaced);
static QUOTA: quota::Quota = quota::Quota(Scope::Namespaced);
static CLUSTER_QUOTA: quota::Quota = quota::Quota(Scope::Cluster);
static ENVIRONMENT: environment::Environment = environment::Environment;
static TARGET: deployment_target::DeploymentTarget = deployment_target::DeploymentTarget;

fn found(dialect: &'static dyn Dialect, spec: &Value) -> Vec<String> {
    causes(&judged(dialect, &json!({ "spec": spec })))
}

#[test]
fn partial_specs_are_defaults() {
    for spec in [
        json!({}),
        json!({"state": "running", "template": {"spec": {"parallelism": 2}}}),
        json!({"sessionCluster": {"numberOfTaskManagers": 3, "flinkVersion": 1.12}, "sessionJob": {"flinkConfiguration": {"a": {"b": 1}}}}),
        json!({"flinkDeployment": {"serviceAccount": "flink"}, "flinkSessionJob": {}, "flinkApplication": {"image": "x"}}),
        // What these need may stand elsewhere: high availability, a savepoint directory, memory.
        json!({"flinkDeployment": {"jobManager": {"replicas": 2}, "job": {"upgradeMode": "savepoint"}, "podTemplate": {"spec": {"anything": 1}},
            "taskManager": {"resources": {"requests": {"cpu": "500m"}, "claims": []}}, "ingress": {"labels": {"a": "b"}},
            "flinkConfiguration": {"kubernetes.operator.deployment.rollback.enabled": true}}}),
        json!({"flinkApplication": {"confluentsOwn": {"x": 1}}, "flinkSessionJob": {"deploymentName": "session", "job": {"parallelism": 2}}}),
    ] {
        assert_eq!(found(&DEFAULTS, &spec), [""; 0]);
    }
}

#[rstest]
#[case(json!({"templat": {}}), "spec.templat: unknown field; the fields here are state, deploymentTargetName, deploymentTargetId, sessionClusterName, \
    restoreStrategy, upgradeStrategy, maxSavepointCreationAttempts, maxJobCreationAttempts, restartNonce, template, sessionCluster, sessionJob, \
    flinkDeployment, flinkSessionJob, flinkApplication [deployment/field]")]
#[case(json!({"sessionClusters": {}}), "spec.sessionClusters: unknown field; the fields here are state, deploymentTargetName, deploymentTargetId, \
    sessionClusterName, restoreStrategy, upgradeStrategy, maxSavepointCreationAttempts, maxJobCreationAttempts, restartNonce, template, sessionCluster, \
    sessionJob, flinkDeployment, flinkSessionJob, flinkApplication [deployment/field]")]
#[case(json!({"sessioncluster": {}, "state": "RUNNING"}), "spec.sessioncluster: unknown field; write sessionCluster [deployment/field]")]
#[case(json!({"Template": {}, "sessionCluster": {}}), "spec.Template: unknown field; write template [deployment/field]")]
#[case(json!({"deployment": {"state": "RUNNING"}}), "spec.deployment: unknown field; only an Environment has this section. Here the fields of a \
    Deployment (state, template and the others) stand directly in the spec: move what is in it one level up [deployment/field]")]
#[case(json!({"template": {"spec": {"Parallelism": 2}}}), "spec.template.spec.Parallelism: unknown field; write parallelism [deployment/field]")]
#[case(json!({"sessionCluster": {"state": "ON"}}), "spec.sessionCluster.state: must be RUNNING or STOPPED, not \"ON\" [session-cluster/field]")]
#[case(json!({"sessionCluster": []}), "spec.sessionCluster: must be a map, not a list; write any part of that kind's spec [config/field]")]
#[case(json!({"flinkDeployment": "x"}), "spec.flinkDeployment: must be a map, not a text; write any part of that kind's spec [config/field]")]
#[case(json!({"flinkDeployment": {"serviceAcount": "flink"}}), "spec.flinkDeployment.serviceAcount: unknown field; the fields here are image, \
    imagePullPolicy, serviceAccount, flinkVersion, mode, ingress, podTemplate, logConfiguration, jobManager, taskManager, job, restartNonce, \
    flinkConfiguration [flink/shape]")]
#[case(json!({"flinkDeployment": {"jobManager": {"Replicas": 1}}}), "spec.flinkDeployment.jobManager.Replicas: unknown field; write replicas [flink/shape]")]
#[case(json!({"flinkDeployment": {"jobManager": {"replicas": "one"}}}),
    "spec.flinkDeployment.jobManager.replicas: must be a whole number, not a text [flink/shape]")]
#[case(json!({"flinkDeployment": {"mode": "Native"}}),
    "spec.flinkDeployment.mode: \"Native\" is not known; write one of native, standalone [flink/shape]")]
#[case(json!({"flinkDeployment": {"taskManager": {"resource": {"memory": "lots"}}}}),
    "spec.flinkDeployment.taskManager.resource.memory: \"lots\" is no size; write a whole size such as \"2048m\" or \"2Gi\" [flink/memory]")]
#[case(json!({"flinkDeployment": {"flinkConfiguration": {"kubernetes": {"cluster-id": "x"}}}}),
    "spec.flinkDeployment.flinkConfiguration[kubernetes.cluster-id]: the operator sets this key itself; leave it out [flink/forbidden-configuration]")]
#[case(json!({"flinkSessionJob": {"job": {"state": "RUNNING"}}}),
    "spec.flinkSessionJob.job.state: \"RUNNING\" is not known; write one of running, suspended [flink/shape]")]
#[case(json!({"flinkSessionJob": {"image": "flink"}}), "spec.flinkSessionJob.image: unknown field; the fields here are deploymentName, job, \
    restartNonce, flinkConfiguration [flink/shape]")]
#[case(json!({"flinkApplication": {"flinkVersion": "1.19"}}), "spec.flinkApplication.flinkVersion: \"1.19\" is not known; write one of v1_13, \
    v1_14, v1_15, v1_16, v1_17, v1_18, v1_19, v1_20, v2_0, v2_1, v2_2, v2_3, v2_4 [flink/shape]")]
#[case(json!({"sessionCluster": {"resources": {"taskmanager": {"memory": "100m"}}}}),
    "spec.sessionCluster.resources.taskmanager.memory: \"100m\" is too little: Flink needs at least 982Mi for a TaskManager with this \
    configuration; write 982Mi or more [session-cluster/memory]")]
#[case(json!({"sessionJob": {"job": {"parallelism": 0}}}), "spec.sessionJob.job.parallelism: must be a whole number from 1 to 32768, not 0 [session-job/field]")]
#[case(json!({"upgradeStrategy": {"kind": "stateful"}, "restoreStrategy": {"kind": "none"}}),
    "spec.upgradeStrategy.kind: is STATEFUL, but restoreStrategy.kind NONE starts without the state that it saves; set restoreStrategy.kind to \
    LATEST_STATE or LATEST_SAVEPOINT, or upgradeStrategy.kind to STATELESS [deployment/stateful-without-restore]")]
#[case(json!({"namespaces": ["a"]}), "spec.namespaces: unknown field; defaults hold for their own namespace, or for all as ClusterDeploymentDefaults. \
    Settings for some namespaces are an Environment [config/field]")]
fn wrong_defaults_are_refused_when_they_are_written(#[case] spec: Value, #[case] expected: &str) {
    assert_eq!(found(&DEFAULTS, &spec), [expected]);
}

#[test]
fn environments_judge_other_peoples_sections_alike() {
    assert_eq!(
        found(
            &ENVIRONMENT,
            &json!({"namespaces": ["*"], "flinkDeployment": {"restartNonce": "x"}})
        ),
        ["spec.flinkDeployment.restartNonce: must be a whole number, not a text [flink/shape]"]
    );
}

#[test]
fn settings_are_brought_into_canonical_form() {
    let spec = json!({
        "state": "canceled", "template": {"spec": {"resources": {"jobManager": {"cpu": 1}}}},
        "sessionCluster": {"flinkConfiguration": {"a": {"b": 1}}}, "flinkDeployment": {"flinkConfiguration": {"a": {"b": 1}}},
    });
    let (made, _) = normalised(&DEFAULTS, &json!({ "spec": spec }), None);
    assert_eq!(
        made,
        json!({"spec": {
            "state": "CANCELLED", "template": {"spec": {"resources": {"jobmanager": {"cpu": 1}}}},
            "sessionCluster": {"flinkConfiguration": {"a.b": "1"}}, "flinkDeployment": {"flinkConfiguration": {"a": {"b": 1}}},
        }})
    );
    let spec = json!({"namespaces": ["a"], "deployment": {"restoreStrategy": {"kind": "none"}}});
    let (made, _) = normalised(&ENVIRONMENT, &json!({ "spec": spec }), None);
    assert_eq!(
        made.pointer("/spec/deployment/restoreStrategy/kind"),
        Some(&json!("NONE"))
    );
}

#[test]
fn deployments_have_the_top_of_defaults_and_a_section_of_environments() {
    let defaults =
        json!({"maxJobCreationAttempts": 2, "sessionCluster": {"numberOfTaskManagers": 2}});
    assert_eq!(
        sections::of_deployments(&defaults).as_deref(),
        Some(&json!({"maxJobCreationAttempts": 2}))
    );
    let environment =
        json!({"namespaces": ["a"], "deployment": {"maxJobCreationAttempts": 3}, "sessionJob": {}});
    assert_eq!(
        sections::of_deployments(&environment).as_deref(),
        Some(&json!({"maxJobCreationAttempts": 3}))
    );
    let without = json!({"namespaces": ["a"], "sessionJob": {}});
    assert_eq!(sections::of_deployments(&without), None);
}

#[rstest]
#[case(json!({}), "spec.namespaces: names the namespaces, at least one; ['*'] means all [config/field]")]
#[case(json!({"namespaces": []}), "spec.namespaces: names the namespaces, at least one; ['*'] means all [config/field]")]
#[case(json!({"namespaces": "a"}), "spec.namespaces: must be a list, not a text (\"a\") [config/field]")]
#[case(json!({"namespaces": ["*", "a"]}), "spec.namespaces[0]: '*' means all and stands alone; remove it or the others [config/field]")]
#[case(json!({"namespaces": ["a", "a"]}), "spec.namespaces[1]: a stands here twice; keep one [config/field]")]
#[case(json!({"namespaces": ["A"]}), "spec.namespaces[0]: \"A\" is no name of a namespace; write a-z, 0-9 and '-', or '*' alone for all [config/field]")]
#[case(json!({"namespaces": [1]}), "spec.namespaces[0]: must be a text (put it in quotes), not a number (1) [config/field]")]
#[case(json!({"namespaces": ["a"], "Deployment": {}}), "spec.Deployment: unknown field; write deployment [config/field]")]
#[case(json!({"namespaces": ["a"], "deployment": {"x": 1}}), "spec.deployment.x: unknown field; the fields here are state, deploymentTargetName, \
    deploymentTargetId, sessionClusterName, restoreStrategy, upgradeStrategy, maxSavepointCreationAttempts, maxJobCreationAttempts, restartNonce, \
    template [deployment/field]")]
#[case(json!({"namespaces": ["a"], "sessionCluster": {"state": "STOPPED"}}), "spec.sessionCluster.state: an Environment wins over what users write, so \
    nobody could start, stop or scale any more; put it into DeploymentDefaults [config/environment-state]")]
fn wrong_environments_are_refused_when_they_are_written(
    #[case] spec: Value,
    #[case] expected: &str,
) {
    assert_eq!(found(&ENVIRONMENT, &spec), [expected]);
}

#[rstest]
#[case(json!({"namespaces": ["*"]}))]
#[case(json!({"namespaces": ["a", "b-1"], "deployment": {"template": {"spec": {"flinkConfiguration": {"a": "b"}}}}, "flinkApplication": {"image": "x"}}))]
fn environments(#[case] spec: Value) {
    assert_eq!(found(&ENVIRONMENT, &spec), [""; 0]);
}

#[rstest]
#[case(json!({}), "spec.hard.cpu: is the limit; write a number of CPUs such as 100 or \"2500m\" [config/field]")]
#[case(json!({"hard": {"cpu": -1}}), "spec.hard.cpu: -1 must not be negative; write a number of CPUs such as 0.5, 2 or \"500m\" [config/field]")]
#[case(json!({"hard": {"cpu": "many"}}), "spec.hard.cpu: \"many\" must be a number of CPUs such as 0.5, 2 or \"500m\" [config/field]")]
#[case(json!({"hard": {"cpu": [1]}}), "spec.hard.cpu: [1] must be a number of CPUs such as 0.5, 2 or \"500m\" [config/field]")]
#[case(json!({"hard": {"cpu": "1e30"}}), "spec.hard.cpu: \"1e30\" is larger than any cluster; write a number of CPUs such as 0.5, 2 or \"500m\" [config/field]")]
#[case(json!({"hard": {"cpu": 1, "memory": "1Gi"}}), "spec.hard.memory: unknown field; the fields here are cpu [config/field]")]
#[case(json!({"hard": {"cpu": 1}, "onGrowth": "Deny"}), "spec.onGrowth: must be Warn, Enforce or Ignore, not \"Deny\" [config/field]")]
#[case(json!({"hard": {"cpu": 1}, "namespaces": ["a"]}), "spec.namespaces: unknown field; the fields here are hard, onGrowth [config/field]")]
fn wrong_quotas_are_refused_when_they_are_written(#[case] spec: Value, #[case] expected: &str) {
    assert_eq!(found(&QUOTA, &spec), [expected]);
}

#[test]
fn quotas() {
    for cpu in [json!(0), json!(100), json!("2.5"), json!("500m")] {
        assert_eq!(
            found(
                &QUOTA,
                &json!({"hard": {"cpu": cpu}, "onGrowth": "enforce"})
            ),
            [""; 0]
        );
    }
    assert_eq!(
        found(&CLUSTER_QUOTA, &json!({"hard": {"cpu": 1}})),
        ["spec.namespaces: names the namespaces, at least one; ['*'] means all [config/field]"]
    );
    assert_eq!(
        found(
            &CLUSTER_QUOTA,
            &json!({"hard": {"cpu": 1}, "namespaces": ["*"]})
        ),
        [""; 0]
    );
    let (made, _) = normalised(&QUOTA, &json!({"spec": {"onGrowth": "ENFORCE"}}), None);
    assert_eq!(made, json!({"spec": {"onGrowth": "Enforce"}}));
}

#[test]
fn a_limit_below_usage_tells_that_nothing_is_stopped() {
    let quota = json!({"spec": {"hard": {"cpu": 10}}, "status": {"confirmedMilli": 12_500}});
    let findings = judged(&QUOTA, &quota);
    assert_eq!(
        (causes(&findings), findings.warnings),
        (vec![], vec!["12.5 CPU are in use, more than 10; nothing that runs is stopped, and nothing starts until usage falls".to_owned()])
    );
    let enough = with(&quota, "/spec/hard/cpu", json!(12.5));
    assert_eq!(judged(&QUOTA, &enough).warnings, [""; 0]);
}

fn target(namespace: &str) -> Value {
    json!({"spec": {"kubernetes": {"namespace": namespace}}})
}

#[rstest]
#[case(json!({}), "spec.kubernetes.namespace: names the namespace that pods run in [config/field]")]
#[case(json!({"kubernetes": {"namespace": "A b"}}), "spec.kubernetes.namespace: \"A b\" is no name of a namespace [config/field]")]
#[case(json!({"kubernetes": {"namespace": 1}}), "spec.kubernetes.namespace: must be a text (put it in quotes), not a number (1) [config/field]")]
#[case(json!({"kubernetes": {"namespace": "a", "x": 1}}), "spec.kubernetes.x: unknown field; the fields here are namespace [config/field]")]
fn wrong_targets_are_refused_when_they_are_written(#[case] spec: Value, #[case] expected: &str) {
    assert_eq!(found(&TARGET, &spec), [expected]);
}

const NOT_ACCEPTED: &str = "spec.kubernetes.namespace: namespace jobs does not accept pods from team-a; add team-a to its label sluice.dev/accept-from \
          (several names are separated by a dot)";

#[test]
fn a_target_in_a_namespace_that_does_not_accept_it_warns() {
    let findings = judged_in(&TARGET, &target("jobs"), &Nothing);
    assert_eq!(
        (causes(&findings), findings.warnings),
        (vec![], vec![NOT_ACCEPTED.to_owned()])
    );
    assert_eq!(
        judged_in(&TARGET, &target("team-a"), &Nothing).warnings,
        [""; 0]
    );
    assert_eq!(
        judged(&TARGET, &target("jobs")).warnings,
        [""; 0],
        "nothing is known of that namespace"
    );
}

#[test]
fn nothing_starts_where_it_is_not_accepted() {
    let cluster =
        json!({"spec": {"flinkVersion": "1.20", "state": "RUNNING", "deploymentTargetName": "t"}});
    let dialect = &crate::dialect::session_cluster::SessionCluster;
    let world = With(target("jobs"));
    assert_eq!(
        causes(&judged_in(dialect, &cluster, &world)),
        [
            "spec.deploymentTargetName: namespace jobs does not accept pods from team-a; add team-a to its label sluice.dev/accept-from \
          (several names are separated by a dot) [config/target-not-accepted]"
        ]
    );
    let stopped = with(&cluster, "/spec/state", json!("STOPPED"));
    let findings = judged_in(dialect, &stopped, &world);
    assert_eq!(causes(&findings), [""; 0]);
    assert_eq!(
        findings.warnings,
        [
            "spec.deploymentTargetName: namespace jobs does not accept pods from team-a; add team-a to its label sluice.dev/accept-from (several names are separated by a dot)"
        ]
    );
    assert_eq!(
        causes(&judged_in(dialect, &cluster, &With(target("team-a")))),
        [""; 0]
    );
}

#[test]
fn a_target_never_changes() {
    let (old, new) = (target("a"), target("b"));
    let review = |object| crate::review::Review {
        dialect: &TARGET,
        operation: crate::review::Operation::Update { old: &old },
        part: crate::review::Part::Whole,
        namespace: "team-a",
        name: "t",
        object,
    };
    let mut findings = crate::finding::Findings::default();
    TARGET.validate(&review(&new), &crate::world::EmptyWorld, &mut findings);
    assert_eq!(
        causes(&findings),
        [
            "spec: never changes, as pods may run there; create another target and name that one [config/target-changed]"
        ]
    );
    let mut findings = crate::finding::Findings::default();
    TARGET.validate(&review(&old), &crate::world::EmptyWorld, &mut findings);
    assert!(findings.is_clean());
}
