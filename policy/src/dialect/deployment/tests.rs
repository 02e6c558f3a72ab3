use super::*;
use crate::dialect::own::testing::{causes, filled, judged, judged_in, normalised, with};
use crate::review::{Operation, Part, Review};
use crate::world::EmptyWorld;
use rstest::rstest;

fn short() -> Value {
    json!({"spec": {"template": {"spec": {
        "artifact": {"flinkVersion": "1.20", "jarUri": "s3://bucket/job.jar"},
        "flinkConfiguration": {"state.savepoints.dir": "s3://b/s", "state.checkpoints.dir": "s3://b/c"},
    }}}})
}

fn warned(pointer: &str, value: Value) -> Vec<String> {
    let findings = judged(&Deployment, &with(&short(), pointer, value));
    assert_eq!(causes(&findings), [""; 0]);
    findings.warnings
}

#[test]
fn a_short_manifest_comes_back_fully_specified() {
    assert_eq!(
        filled(&Deployment, &short()),
        json!({"spec": {
            "state": "CANCELLED",
            "upgradeStrategy": {"kind": "STATEFUL"},
            "restoreStrategy": {"kind": "LATEST_STATE", "allowNonRestoredState": false},
            "maxSavepointCreationAttempts": 4,
            "maxJobCreationAttempts": 4,
            "template": {"spec": {
                "artifact": {"kind": "JAR", "flinkVersion": "1.20", "jarUri": "s3://bucket/job.jar"},
                "parallelism": 1,
                "numberOfTaskManagers": 1,
                "resources": {
                    "jobmanager": {"cpu": 1, "memory": "1Gi"},
                    "taskmanager": {"cpu": 1, "memory": "2Gi"},
                },
                "flinkConfiguration": {
                    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
                    "state.savepoints.dir": "s3://b/s",
                    "state.checkpoints.dir": "s3://b/c",
                },
                "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}},
            }},
        }})
    );
    let findings = judged(&Deployment, &short());
    assert_eq!((causes(&findings), findings.warnings), (vec![], vec![]));
}

#[rstest]
#[case(json!(1), json!("1"), 1)]
#[case(json!(4), json!("1"), 4)]
#[case(json!(4), json!("3"), 2)]
#[case(json!("7"), json!(2), 4)]
fn task_managers_follow_from_parallelism_and_slots(
    #[case] parallelism: Value,
    #[case] slots: Value,
    #[case] expected: u64,
) {
    let object = with(&short(), "/spec/template/spec/parallelism", parallelism);
    let slots_at = "/spec/template/spec/flinkConfiguration/taskmanager.numberOfTaskSlots";
    let object = filled(&Deployment, &with(&object, slots_at, slots));
    assert_eq!(
        object.pointer("/spec/template/spec/numberOfTaskManagers"),
        Some(&json!(expected))
    );
}

#[rstest]
#[case("NONE", "STATELESS")]
#[case("none", "STATELESS")]
#[case("LATEST_SAVEPOINT", "STATEFUL")]
fn upgrades_are_stateless_where_nothing_is_restored(#[case] restore: &str, #[case] upgrade: &str) {
    let object = with(&short(), "/spec/restoreStrategy/kind", json!(restore));
    assert_eq!(
        filled(&Deployment, &object).pointer("/spec/upgradeStrategy/kind"),
        Some(&json!(upgrade))
    );
}

#[test]
fn words_aliases_and_versions_become_canonical() {
    let sent = json!({"spec": {
        "state": "canceled", "upgradeStrategy": {"kind": "stateless"}, "restoreStrategy": {"kind": "latest_savepoint"},
        "template": {"spec": {
            "artifact": {"kind": "jar", "flinkVersion": 1.11, "mainArgs": 7, "flinkImageTag": 1.2},
            "resources": {"jobManager": {"cpu": 1, "memory": "1g"}},
            "flinkConfiguration": {"taskmanager": {"numberOfTaskSlots": 1}},
        }},
    }});
    let (made, findings) = normalised(&Deployment, &sent, None);
    assert_eq!(
        made,
        json!({"spec": {
            "state": "CANCELLED", "upgradeStrategy": {"kind": "STATELESS"}, "restoreStrategy": {"kind": "LATEST_SAVEPOINT"},
            "template": {"spec": {
                "artifact": {"kind": "JAR", "flinkVersion": "1.11", "mainArgs": "7", "flinkImageTag": 1.2},
                "resources": {"jobmanager": {"cpu": 1, "memory": "1g"}},
                "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "1"},
            }},
        }})
    );
    assert!(findings.is_clean());
}

const SPEC: &str = "spec.template.spec";

#[rstest]
#[case("/spec/template/spec/parallelism", json!(0), "spec.template.spec.parallelism: must be a whole number from 1 to 32768, not 0 [deployment/field]")]
#[case("/spec/template/spec/parallelism", json!(32_769), "spec.template.spec.parallelism: must be a whole number from 1 to 32768, not 32769 [deployment/field]")]
#[case("/spec/maxJobCreationAttempts", json!(0), "spec.maxJobCreationAttempts: must be a whole number from 1 to 2147483647, not 0 [deployment/field]")]
#[case("/spec/restoreStrategy/allowNonRestoredState", json!("yes"), "spec.restoreStrategy.allowNonRestoredState: must be true or false, not a text (\"yes\") [deployment/field]")]
#[case("/spec/upgradeStrategy/kind", json!("ROLLING"), "spec.upgradeStrategy.kind: must be STATEFUL, STATELESS or NONE, not \"ROLLING\" [deployment/field]")]
#[case("/spec/template/spec/artifact/kind", json!("SQL"), "spec.template.spec.artifact.kind: must be JAR, not \"SQL\" [deployment/field]")]
#[case("/spec/template/spec/artifact/jarUri", json!("ftp://a/b.jar"), "spec.template.spec.artifact.jarUri: \"ftp://a/b.jar\" has scheme ftp, which cannot be fetched; the schemes are http, https, s3, s3a, s3p, local, file [deployment/jar]")]
#[case("/spec/template/spec/artifact/flinkVersion", json!(1.1), "spec.template.spec.artifact.flinkVersion: the number 1.1 is ambiguous, since YAML reads 1.1 and 1.10 alike; quote it: \"1.10\" [deployment/flink-version]")]
#[case("/spec/template/spec/resources/jobmanager/memory", json!("576Mi"), "spec.template.spec.resources.jobmanager.memory: \"576Mi\" is too little: Flink needs at least 577Mi for a JobManager with this configuration; write 577Mi or more [deployment/memory]")]
#[case("/spec/template/spec/resources/taskmanager/memory", json!("981m"), "spec.template.spec.resources.taskmanager.memory: \"981m\" is too little: Flink needs at least 982Mi for a TaskManager with this configuration; write 982Mi or more [deployment/memory]")]
#[case("/spec/template/spec/flinkConfiguration/taskmanager.numberOfTaskSlots", json!(0), "spec.template.spec.flinkConfiguration[taskmanager.numberOfTaskSlots]: \"0\" is no number of slots; write a whole number from 1 [deployment/configuration]")]
#[case("/spec/template/spec/flinkConfiguration/security.ssl.rest.enabled", json!(true), "spec.template.spec.flinkConfiguration[security.ssl.rest.enabled]: Sluice asks Flink's REST API without TLS; leave security.ssl.rest.enabled out [deployment/configuration]")]
#[case("/spec/template/spec/flinkConfiguration/taskmanager.memory.managed.size", json!("1Gi"), "spec.template.spec.flinkConfiguration[taskmanager.memory.managed.size]: \"1Gi\" is no size that Flink can read; Flink reads whole numbers with k, m, g or t; write 1024m [deployment/configuration]")]
#[case("/spec/template/spec/flinkConfiguration/taskmanager.memory.managed.fraction", json!("0.999999999"), "spec.template.spec.resources.taskmanager.memory: no amount of memory suffices for a TaskManager with these memory options in flinkConfiguration; remove them [deployment/memory]")]
#[case("/spec/template/spec/flinkConfiguration/jobmanager.memory.flink.size", json!("400m"), "spec.template.spec.resources.jobmanager.memory: \"8Gi\" is more than the memory options in flinkConfiguration can divide: jobmanager.memory.jvm-overhead.max is 1Gi; raise it or write less memory [deployment/memory]")]
fn a_bad_value_is_refused_with_field_and_remedy(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let mut object = with(&short(), pointer, value);
    if expected.contains("8Gi") {
        object = with(
            &object,
            "/spec/template/spec/resources/jobmanager/memory",
            json!("8Gi"),
        );
    }
    assert_eq!(causes(&judged(&Deployment, &object)), [expected]);
}

#[rstest]
#[case("/spec/template/spec/parallelism", json!(32_768))]
#[case("/spec/template/spec/resources/jobmanager/memory", json!("577Mi"))]
#[case("/spec/template/spec/resources/taskmanager/memory", json!("982m"))]
#[case("/spec/restartNonce", json!(-5))]
#[case("/spec/state", json!("SUSPENDED"))]
fn the_other_side_of_each_bound_is_admitted(#[case] pointer: &str, #[case] value: Value) {
    assert_eq!(warned(pointer, value), [""; 0]);
}

#[test]
fn a_stateful_upgrade_of_a_job_that_starts_empty_is_refused() {
    let object = with(&short(), "/spec/restoreStrategy/kind", json!("NONE"));
    let object = with(&object, "/spec/upgradeStrategy/kind", json!("STATEFUL"));
    assert_eq!(
        causes(&judged(&Deployment, &object)),
        [
            "spec.upgradeStrategy.kind: is STATEFUL, but restoreStrategy.kind NONE starts without the state that it saves; \
             set restoreStrategy.kind to LATEST_STATE or LATEST_SAVEPOINT, or upgradeStrategy.kind to STATELESS \
             [deployment/stateful-without-restore]"
        ]
    );
    let object = with(&object, "/spec/upgradeStrategy/kind", json!("NONE"));
    assert_eq!(causes(&judged(&Deployment, &object)), [""; 0]);
}

fn crowded(scheduler: Value) -> Findings {
    let object = with(&short(), "/spec/template/spec/parallelism", json!(5));
    let object = with(
        &object,
        "/spec/template/spec/numberOfTaskManagers",
        json!(2),
    );
    let slots = "/spec/template/spec/flinkConfiguration/taskmanager.numberOfTaskSlots";
    let object = with(&object, slots, json!(2));
    let at = "/spec/template/spec/flinkConfiguration/jobmanager.scheduler";
    judged(&Deployment, &with(&object, at, scheduler))
}

#[test]
fn parallelism_above_slots_is_refused_by_default_and_only_warned_of_where_the_scheduler_makes_do() {
    assert_eq!(
        causes(&crowded(Value::Null)),
        [format!(
            "{SPEC}.parallelism: 5 needs more than the 4 slots of 2 TaskManagers with 2 each; set numberOfTaskManagers to 3 \
             or leave it out, or raise taskmanager.numberOfTaskSlots [deployment/slots]"
        )]
    );
    let findings = crowded(json!("adaptive"));
    assert_eq!(causes(&findings), [""; 0]);
    assert_eq!(
        findings.warnings,
        [format!(
            "{SPEC}.parallelism: 5 needs more than the 4 slots of 2 TaskManagers with 2 each; the adaptive scheduler runs it \
             with fewer"
        )]
    );
    let findings = crowded(json!("AdaptiveBatch"));
    assert_eq!(causes(&findings), [""; 0]);
    assert_eq!(
        findings.warnings,
        [format!(
            "{SPEC}.parallelism: 5 needs more than the 4 slots of 2 TaskManagers with 2 each; a batch job runs its tasks in \
             turns, and one that streams waits for slots"
        )]
    );
    let object = with(&short(), "/spec/template/spec/parallelism", json!(4));
    let object = with(
        &object,
        "/spec/template/spec/numberOfTaskManagers",
        json!(4),
    );
    assert_eq!(causes(&judged(&Deployment, &object)), [""; 0]);
}

/// The number stays as it was scaled to where the manifest leaves it out, so leaving it out is no advice.
#[test]
fn a_deployment_that_was_scaled_is_told_the_number_that_it_needs_now() {
    let of = |parallelism: u32, task_managers: u32| {
        let object = with(
            &short(),
            "/spec/template/spec/parallelism",
            json!(parallelism),
        );
        let number = "/spec/template/spec/numberOfTaskManagers";
        filled(&Deployment, &with(&object, number, json!(task_managers)))
    };
    let told = |stored: &Value| {
        let object = of(8, 6);
        let review = Review {
            dialect: &Deployment,
            operation: Operation::Update { old: stored },
            part: Part::Whole,
            namespace: "team-a",
            name: "analytics",
            object: &object,
        };
        let mut findings = Findings::default();
        Deployment.validate(&review, &EmptyWorld, &mut findings);
        causes(&findings)
    };
    let cause = |way_out: &str| {
        format!(
            "{SPEC}.parallelism: 8 needs more than the 6 slots of 6 TaskManagers with 1 each; {way_out}set numberOfTaskManagers \
             to 8, or raise taskmanager.numberOfTaskSlots [deployment/slots]"
        )
    };
    assert_eq!(told(&of(4, 6)), [cause("")], "as the user wrote it");
    let mut scaled = of(4, 6);
    scaled["metadata"]["annotations"]["sluice.dev/defaults"] =
        json!(r#"{"/spec/template/spec/numberOfTaskManagers":4}"#);
    assert_eq!(told(&scaled), [cause("it was scaled to 6; ")]);
}

#[test]
fn state_without_directories_is_warned_of() {
    assert_eq!(
        warned("/spec/template/spec/flinkConfiguration", json!({})),
        [
            "spec.template.spec.flinkConfiguration: state.savepoints.dir is not set; suspending and stateful upgrades have \
             nowhere to write savepoints",
            "spec.template.spec.flinkConfiguration: state.checkpoints.dir is not set; after a failure only savepoints can \
             be restored",
        ]
    );
    let newer = json!({"execution.checkpointing.dir": "s3://c", "execution.checkpointing.savepoint-dir": "s3://s"});
    assert_eq!(
        warned("/spec/template/spec/flinkConfiguration", newer),
        [""; 0]
    );
    let object = with(&short(), "/spec/restoreStrategy/kind", json!("NONE"));
    let object = with(&object, "/spec/template/spec/flinkConfiguration", json!({}));
    assert_eq!(judged(&Deployment, &object).warnings, [""; 0]);
}

#[test]
fn what_shall_run_needs_a_jar_and_a_version_and_what_shall_not_is_told() {
    let bare = json!({"spec": {"restoreStrategy": {"kind": "NONE"}}});
    let findings = judged(&Deployment, &bare);
    assert_eq!(causes(&findings), [""; 0]);
    assert_eq!(
        findings.warnings,
        [
            "spec.template.spec.artifact.flinkVersion: is needed before it can run, and no default names one",
            "spec.template.spec.artifact.jarUri: is needed before it can run",
        ]
    );
    let running = with(&bare, "/spec/state", json!("RUNNING"));
    assert_eq!(
        causes(&judged(&Deployment, &running)),
        [
            "spec.template.spec.artifact.flinkVersion: is needed to run, and no default names one; write it in quotes, such \
             as \"1.20\" [deployment/flink-version]",
            "spec.template.spec.artifact.jarUri: is needed to run; write where the jar is, such as s3://bucket/job.jar or \
             local:///opt/flink/usrlib/job.jar [deployment/jar]",
        ]
    );
}

#[test]
fn a_target_is_named_once() {
    let object = with(&short(), "/spec/deploymentTargetName", json!("a"));
    let object = with(&object, "/spec/deploymentTargetId", json!("b"));
    assert_eq!(
        causes(&judged(&Deployment, &object)),
        [
            "spec.deploymentTargetId: deploymentTargetName is set too; keep one of them [deployment/deployment-target]"
        ]
    );
    let object = with(&short(), "/spec/sessionClusterName", json!("c"));
    let object = with(&object, "/spec/deploymentTargetName", json!("a"));
    assert_eq!(
        causes(&judged(&Deployment, &object)),
        [
            "spec.deploymentTargetName: sessionClusterName is set too, and the job runs where that cluster runs; keep one \
             of them [deployment/deployment-target]"
        ]
    );
}

#[test]
fn a_job_on_a_session_cluster_has_no_cluster_of_its_own() {
    let object = json!({"spec": {
        "state": "RUNNING", "sessionClusterName": "c",
        "template": {"spec": {"artifact": {"entryClass": "a.B"}, "parallelism": 64}},
    }});
    let made = filled(&Deployment, &object);
    assert_eq!(
        made.pointer("/spec/template/spec"),
        Some(&json!({"artifact": {"entryClass": "a.B", "kind": "JAR"}, "parallelism": 64}))
    );
    let findings = judged(&Deployment, &object);
    assert_eq!((causes(&findings), findings.warnings), (vec![], vec![]));
    let workload = Deployment.workload(&made, &EmptyWorld).unwrap();
    assert_eq!(
        (workload.desired, workload.demand),
        (Desired::Running, MilliCpu::ZERO)
    );
    let object = with(
        &object,
        "/spec/template/spec/resources/taskmanager/cpu",
        json!(4),
    );
    assert_eq!(
        judged(&Deployment, &object).warnings,
        ["spec.template.spec.resources: has no effect, the session cluster decides"]
    );
}

/// Its pods would be counted by nobody.
#[test]
fn an_empty_name_of_a_session_cluster_is_none_and_costs_what_it_runs() {
    let object = with(&short(), "/spec/sessionClusterName", json!(""));
    let made = filled(&Deployment, &object);
    assert_eq!(
        made.pointer("/spec/template/spec/numberOfTaskManagers"),
        Some(&json!(1))
    );
    let workload = Deployment.workload(&made, &EmptyWorld).unwrap();
    assert_eq!(workload.demand, MilliCpu(2000));
}

#[test]
fn what_a_session_cluster_decides_has_no_effect_and_is_told_to_whoever_wrote_it() {
    let object = json!({"spec": {
        "state": "RUNNING", "sessionClusterName": "c",
        "template": {"spec": {
            "artifact": {"jarUri": "local:///opt/flink/usrlib/a.jar", "flinkVersion": "1.20", "flinkImageTag": "1.20-scala"},
            "numberOfTaskManagers": 2, "kubernetes": {"labels": {"a": "b"}},
        }},
    }});
    let no_effect = |field: &str| {
        format!("spec.template.spec.{field}: has no effect, the session cluster decides")
    };
    let findings = judged(&Deployment, &object);
    assert_eq!(causes(&findings), [""; 0]);
    assert_eq!(
        findings.warnings,
        [
            no_effect("artifact.flinkVersion"),
            no_effect("artifact.flinkImageTag"),
            no_effect("numberOfTaskManagers"),
            no_effect("kubernetes"),
            "spec.template.spec.artifact.jarUri: is a path in an image, and a session cluster is handed its jobs' jars; write \
             an http, https or s3 URI, or put the jar into spec.jars of the session cluster and name only entryClass here"
                .to_owned(),
        ]
    );
    // Somebody's defaults are not what this user has to see to.
    let record = json!({
        "/spec/template/spec/artifact/flinkVersion": "1.20",
        "/spec/template/spec/artifact/flinkImageTag": "1.20-scala",
        "/spec/template/spec/numberOfTaskManagers": 2,
    });
    let annotations = json!({"annotations": {"sluice.dev/defaults": record.to_string()}});
    let object = with(&object, "/metadata", annotations);
    assert_eq!(judged(&Deployment, &object).warnings.len(), 2);
}

#[test]
fn references_that_lead_nowhere_warn() {
    let world = crate::dialect::own::testing::Nothing;
    for (pointer, expected) in [
        (
            "/spec/deploymentTargetName",
            "spec.deploymentTargetName: there is no DeploymentTarget x in namespace team-a; nothing starts until there is",
        ),
        (
            "/spec/deploymentTargetId",
            "spec.deploymentTargetId: there is no DeploymentTarget x in namespace team-a; nothing starts until there is",
        ),
    ] {
        let findings = judged_in(&Deployment, &with(&short(), pointer, json!("x")), &world);
        assert_eq!(
            (causes(&findings), findings.warnings),
            (vec![], vec![expected.to_owned()])
        );
    }
    let object = with(&short(), "/spec/deploymentTargetName", json!("default"));
    assert_eq!(judged_in(&Deployment, &object, &world).warnings, [""; 0]);
}

#[rstest]
#[case("RUNNING", json!({}), Desired::Running, None, false)]
#[case("RUNNING", json!({"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 7000}), Desired::Running, Some(7000), true)]
#[case("RUNNING", json!({"state": "RUNNING", "observedGeneration": 1}), Desired::Running, None, true)]
#[case("RUNNING", json!({"state": "FINISHED", "observedGeneration": 1}), Desired::Running, Some(0), true)]
#[case("RUNNING", json!({"state": "TRANSITIONING", "observedGeneration": 1, "allocatedMilli": 7000}), Desired::Running, Some(7000), false)]
#[case("RUNNING", json!({"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": 7000, "operation": {"kind": "Upgrade"}}), Desired::Running, Some(7000), false)]
#[case("SUSPENDED", json!({"state": "SUSPENDED", "observedGeneration": 1}), Desired::Suspended, Some(0), true)]
#[case("CANCELLED", json!({"state": "FAILED", "observedGeneration": 1, "allocatedMilli": 7000}), Desired::Stopped, Some(7000), true)]
#[case("RUNNING", json!({"state": "FAILED", "observedGeneration": 1, "allocatedMilli": 0}), Desired::Running, Some(0), true)]
#[case("CANCELLED", json!({"state": 1, "observedGeneration": "x", "allocatedMilli": -5}), Desired::Stopped, None, false)]
fn the_workload_is_read_from_spec_and_status(
    #[case] state: &str,
    #[case] status: Value,
    #[case] desired: Desired,
    #[case] allocated: Option<u64>,
    #[case] settled: bool,
) {
    let object = json!({
        "metadata": {"generation": 1},
        "spec": {"state": state, "template": {"spec": {"parallelism": 6, "resources": {"taskmanager": {"cpu": 2}},
            "flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"}}}},
        "status": status,
    });
    assert_eq!(
        Deployment.workload(&object, &EmptyWorld),
        Ok(Workload {
            desired,
            demand: MilliCpu(7000),
            allocated: allocated.map(MilliCpu),
            settled,
        })
    );
}

/// It is not replaced while it runs, but by a larger one once it ends: that start was asked about when the spec was written.
#[test]
fn what_is_never_upgraded_costs_what_its_next_run_needs() {
    let object = |task_managers: u64| {
        json!({
            "metadata": {"generation": 2},
            "spec": {"state": "RUNNING", "upgradeStrategy": {"kind": "NONE"}, "template": {"spec": {"numberOfTaskManagers": task_managers}}},
            "status": {"state": "RUNNING", "observedGeneration": 2, "allocatedMilli": 3000},
        })
    };
    let charge = |object: &Value| Deployment.workload(object, &EmptyWorld).unwrap().charge();
    assert_eq!(charge(&object(10)), MilliCpu(11_000));
    assert_eq!(charge(&object(1)), MilliCpu(3000));
    let ended = with(&object(10), "/status/state", json!("FINISHED"));
    let ended = with(&ended, "/status/allocatedMilli", json!(0));
    assert_eq!(charge(&ended), MilliCpu::ZERO);
}

#[test]
fn a_create_without_state_tells_that_nothing_is_started() {
    let object = with(&short(), "/spec/state", json!("CANCELLED"));
    let record = json!("{\"/spec/state\":\"CANCELLED\"}");
    let filled_in = with(
        &object,
        "/metadata/annotations/sluice.dev~1defaults",
        record,
    );
    let notices = |object: &Value| {
        let mut findings = Findings::default();
        let review = Review {
            dialect: &Deployment,
            operation: Operation::Create,
            part: crate::review::Part::Whole,
            namespace: "team-a",
            name: "etl",
            object,
        };
        Deployment.notices(&review, &EmptyWorld, &mut findings);
        findings.warnings
    };
    assert_eq!(
        notices(&filled_in),
        [
            "spec.state is not given, so it is CANCELLED and nothing is started; set it to RUNNING to start deployment \"etl\""
        ]
    );
    assert_eq!(notices(&object), [""; 0]);
}

#[test]
fn what_is_being_deleted_asks_for_nothing_and_holds_what_its_pods_hold() {
    for (allocated, expected) in [(json!(7000), 7000), (Value::Null, 0)] {
        let object = json!({
            "metadata": {"generation": 2, "deletionTimestamp": "2026-11-21T10:00:00Z"},
            "spec": {"state": "RUNNING", "template": {"spec": {"numberOfTaskManagers": "x"}}},
            "status": {"state": "RUNNING", "observedGeneration": 1, "allocatedMilli": allocated},
        });
        let workload = Deployment.workload(&object, &EmptyWorld).unwrap();
        assert_eq!(workload.desired, Desired::Stopped);
        assert_eq!(workload.charge(), MilliCpu(expected));
    }
}
