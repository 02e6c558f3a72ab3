use super::*;
use crate::dialect::own::testing::{causes, filled, judged, normalised, with};
use crate::review::Operation;
use crate::world::EmptyWorld;
use rstest::rstest;

fn short() -> Value {
    json!({"spec": {"flinkVersion": "1.20"}})
}

#[test]
fn a_short_manifest_comes_back_fully_specified() {
    assert_eq!(
        filled(&SessionCluster, &short()),
        json!({"spec": {
            "flinkVersion": "1.20",
            "state": "STOPPED",
            "numberOfTaskManagers": 1,
            "resources": {
                "jobmanager": {"cpu": 1, "memory": "1Gi"},
                "taskmanager": {"cpu": 1, "memory": "2Gi"},
            },
            "flinkConfiguration": {
                "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
            },
            "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO"}},
        }})
    );
    assert_eq!(causes(&judged(&SessionCluster, &short())), [""; 0]);
}

#[test]
fn every_spelling_becomes_canonical_and_stays_so() {
    let sent = json!({"spec": {
        "state": "running",
        "flinkVersion": 1.12,
        "flinkImageTag": 1,
        "numberOfTaskManagers": "3",
        "resources": {"jobManager": {"cpu": 1, "memory": "1g"}, "taskmanager": {"cpu": 2}, "taskManager": {"memory": "2g"}},
        "flinkConfiguration": {"taskmanager": {"numberOfTaskSlots": 2, "memory": {"managed.fraction": 0.5}}, "a.b": true, "gone": null},
        "logging": {"log4jLoggers": {"": "info", "org.x": false}},
        "kubernetes": {"labels": {"year": 2026}, "pods": {"envVars": [{"name": "A", "value": 1}]}},
    }});
    let (made, findings) = normalised(&SessionCluster, &sent, None);
    assert_eq!(
        made,
        json!({"spec": {
            "state": "RUNNING",
            "flinkVersion": "1.12",
            "flinkImageTag": "1",
            "numberOfTaskManagers": 3,
            "resources": {"taskmanager": {"cpu": 2, "memory": "2g"}, "jobmanager": {"cpu": 1, "memory": "1g"}},
            "flinkConfiguration": {
                "a.b": "true", "taskmanager.numberOfTaskSlots": "2", "taskmanager.memory.managed.fraction": "0.5",
            },
            "logging": {"log4jLoggers": {"": "INFO", "org.x": "OFF"}},
            "kubernetes": {"labels": {"year": "2026"}, "pods": {"envVars": [{"name": "A", "value": "1"}]}},
        }})
    );
    assert!(findings.is_clean());
    let (again, _) = normalised(&SessionCluster, &made, None);
    assert_eq!(again, made);
}

#[test]
fn two_spellings_with_two_values_are_refused_on_create() {
    let sent = json!({"spec": {
        "resources": {"jobmanager": {"cpu": 1, "memory": "1Gi"}, "jobManager": {"cpu": 2, "memory": "1024m"}},
        "flinkConfiguration": {"a.b": 1, "a": {"b": 2}},
    }});
    let (_, findings) = normalised(&SessionCluster, &sent, None);
    assert_eq!(
        causes(&findings),
        [
            "spec.resources.jobmanager.cpu: is 1, but spec.resources.jobManager.cpu, another spelling of it, is 2; \
             keep one of them [session-cluster/two-spellings]",
            "spec.flinkConfiguration[a.b]: is 1, but the nested map, another spelling of it, is 2; keep one of them \
             [session-cluster/two-spellings]",
        ]
    );
}

#[rstest]
#[case::the_alias_was_edited(json!(1), json!(2), json!(1), json!(2))]
#[case::the_canonical_was_edited(json!(3), json!(1), json!(1), json!(3))]
#[case::spelled_alike(json!(1), json!("1000m"), json!(7), json!(1))]
fn on_an_update_the_spelling_that_differs_from_the_stored_object_wins(
    #[case] canonical: Value,
    #[case] alias: Value,
    #[case] stored: Value,
    #[case] expected: Value,
) {
    let sent = json!({"spec": {"resources": {"jobmanager": {"cpu": canonical}, "jobManager": {"cpu": alias}}}});
    let old = json!({"spec": {"resources": {"jobmanager": {"cpu": stored}}}});
    let (made, findings) = normalised(&SessionCluster, &sent, Some(&old));
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!(
        made,
        json!({"spec": {"resources": {"jobmanager": {"cpu": expected}}}})
    );
}

#[rstest]
#[case::the_nested_was_edited(json!("1"), json!(2), json!("1"), json!("2"))]
#[case::the_dotted_was_edited(json!("3"), json!(1), json!("1"), json!("3"))]
fn nested_maps_follow_the_same_rule(
    #[case] dotted: Value,
    #[case] nested: Value,
    #[case] stored: Value,
    #[case] expected: Value,
) {
    let sent = json!({"spec": {"flinkConfiguration": {"a.b": dotted, "a": {"b": nested}}}});
    let old = json!({"spec": {"flinkConfiguration": {"a.b": stored}}});
    let (made, findings) = normalised(&SessionCluster, &sent, Some(&old));
    assert!(findings.is_clean(), "{findings:?}");
    assert_eq!(
        made,
        json!({"spec": {"flinkConfiguration": {"a.b": expected}}})
    );
}

#[rstest]
#[case("/spec", json!([]), "spec: must be a map, not a list [session-cluster/field]")]
#[case("/spec/state", json!("ON"), "spec.state: must be RUNNING or STOPPED, not \"ON\" [session-cluster/field]")]
#[case("/spec/state", json!("CANCELED"), "spec.state: must be RUNNING or STOPPED, not \"CANCELED\" [session-cluster/field]")]
#[case("/spec/flinkVersion", json!(1.2), "spec.flinkVersion: the number 1.2 is ambiguous, since YAML reads 1.2 and 1.20 alike; quote it: \"1.20\" [session-cluster/flink-version]")]
#[case("/spec/flinkImageTag", json!(1.2), "spec.flinkImageTag: must be a text, not a number (1.2); quote it, since YAML reads 1.20 as the number 1.2 [session-cluster/field]")]
#[case("/spec/numberOfTaskManagers", json!(-1), "spec.numberOfTaskManagers: must be a whole number from 0 to 100000, not -1 [session-cluster/field]")]
#[case("/spec/numberOfTaskManagers", json!(1.5), "spec.numberOfTaskManagers: must be a whole number from 0 to 100000, not 1.5 [session-cluster/field]")]
#[case("/spec/numberOfTaskManagers", json!(1e300), "spec.numberOfTaskManagers: must be a whole number from 0 to 100000, not 1e+300 [session-cluster/field]")]
#[case("/spec/numberOfTaskManagers", json!("many"), "spec.numberOfTaskManagers: must be a whole number, not a text (\"many\") [session-cluster/field]")]
#[case("/spec/resources/taskmanager/cpu", json!(0.09), "spec.resources.taskmanager.cpu: 0.09 is too little; write at least 0.1 CPU [session-cluster/cpu]")]
#[case("/spec/resources/jobmanager/cpu", json!("99m"), "spec.resources.jobmanager.cpu: \"99m\" is too little; write at least 0.1 CPU [session-cluster/cpu]")]
#[case("/spec/resources/jobmanager/cpu", json!(-1), "spec.resources.jobmanager.cpu: -1 must not be negative; write a number of CPUs such as 0.5, 2 or \"500m\" [session-cluster/field]")]
#[case("/spec/resources/jobmanager/cpu", json!({}), "spec.resources.jobmanager.cpu: {} must be a number of CPUs such as 0.5, 2 or \"500m\" [session-cluster/field]")]
#[case("/spec/resources/jobmanager/memory", json!("lots"), "spec.resources.jobmanager.memory: \"lots\" must be a size such as 1Gi, 1024Mi, 1g or 1024m [session-cluster/field]")]
#[case("/spec/resources/jobmanager/ephemeralStorage", json!(0), "spec.resources.jobmanager.ephemeralStorage: 0 must be more than nothing; write a size such as 1Gi or 1024m [session-cluster/field]")]
#[case("/spec/flinkConfiguration/a", json!([1]), "spec.flinkConfiguration.a: must be a text; write the items in one text, separated by semicolons, not a list [session-cluster/field]")]
#[case("/spec/flinkConfiguration/", json!("x"), "spec.flinkConfiguration[\"\"]: an option needs a key, such as taskmanager.numberOfTaskSlots [session-cluster/field]")]
#[case("/spec/logging/log4jLoggers/a", json!("LOUD"), "spec.logging.log4jLoggers.a: must be TRACE, DEBUG, INFO, WARN, ERROR, FATAL, OFF or ALL, not \"LOUD\" [session-cluster/field]")]
#[case("/spec/jars", json!([1]), "spec.jars[0]: must be a text (put it in quotes), not a number (1) [session-cluster/field]")]
#[case("/spec/jars", json!([null]), "spec.jars[0]: must be an entry with a value, not null [session-cluster/field]")]
#[case("/spec/flinkImageRegistry", json!("https://docker.io"), "spec.flinkImageRegistry: \"https://docker.io\" is no registry; write a host, with a port if it needs one, such as docker.io or registry.example:5000 [session-cluster/field]")]
#[case("/spec/flinkImageTag", json!("a b"), "spec.flinkImageTag: \"a b\" is no tag; write one such as 1.20-java17, or a digest (sha256:...) [session-cluster/field]")]
#[case("/spec/logConfiguration", json!({"a/b": ""}), "spec.logConfiguration[a/b]: is no name of a file; write letters, digits, '.', '_' or '-', such as log4j-console.properties [session-cluster/field]")]
#[case("/spec/jars", json!(["a.jar"]), "spec.jars[0]: \"a.jar\" has no scheme; write a URI such as https://repo.example/job.jar or s3://bucket/job.jar, or a path in the image such as /opt/flink/usrlib/job.jar [session-cluster/jar]")]
#[case("/spec/plugins", json!([{"jars": []}]), "spec.plugins[0].name: a plugin needs a name, that of its folder [session-cluster/field]")]
#[case("/spec/plugins", json!([{"name": "../x"}]), "spec.plugins[0].name: \"../x\" is no name of a folder [session-cluster/field]")]
#[case("/spec/plugins", json!([{"name": "a"}, {"name": "a"}]), "spec.plugins[1].name: another plugin has this name; put the jars of both under one [session-cluster/field]")]
#[case("/spec/resources/taskmanager/memory", json!("981Mi"), "spec.resources.taskmanager.memory: \"981Mi\" is too little: Flink needs at least 982Mi for a TaskManager with this configuration; write 982Mi or more [session-cluster/memory]")]
#[case("/spec/flinkConfiguration/security.ssl.rest.enabled", json!("True "), "spec.flinkConfiguration[security.ssl.rest.enabled]: Sluice asks Flink's REST API without TLS; leave security.ssl.rest.enabled out [session-cluster/configuration]")]
#[case("/spec/flinkConfiguration/security.ssl.enabled", json!(true), "spec.flinkConfiguration[security.ssl.enabled]: Sluice asks Flink's REST API without TLS; leave security.ssl.enabled out [session-cluster/configuration]")]
#[case("/spec/resources/jobmanager/memory", json!(100), "spec.resources.jobmanager.memory: 100 is too little: Flink needs at least 577Mi for a JobManager with this configuration; write 577Mi or more [session-cluster/memory]")]
fn a_bad_value_is_refused_with_field_and_remedy(
    #[case] pointer: &str,
    #[case] value: Value,
    #[case] expected: &str,
) {
    let sent = with(&short(), pointer, value);
    assert_eq!(causes(&judged(&SessionCluster, &sent)), [expected]);
}

#[test]
fn tls_of_flinks_other_connections_is_no_concern_of_sluices() {
    let configuration = json!({"security.ssl.rest.enabled": false, "security.ssl.enabled": true, "security.ssl.internal.enabled": true});
    let sent = with(&short(), "/spec/flinkConfiguration", configuration);
    assert_eq!(causes(&judged(&SessionCluster, &sent)), [""; 0]);
}

#[rstest]
#[case("/spec/numberOfTaskManagers", json!(0))]
#[case("/spec/numberOfTaskManagers", json!(100_000))]
#[case("/spec/numberOfTaskManagers", json!(2.0))]
#[case("/spec/resources/taskmanager/cpu", json!("100m"))]
#[case("/spec/resources/taskmanager/cpu", json!(0.1))]
#[case("/spec/resources/taskmanager/ephemeralStorage", json!("256m"))]
#[case("/spec/state", Value::Null)]
fn the_other_side_of_each_bound_is_admitted(#[case] pointer: &str, #[case] value: Value) {
    let sent = with(&short(), pointer, value);
    assert_eq!(causes(&judged(&SessionCluster, &sent)), [""; 0]);
}

#[test]
fn what_shall_run_needs_a_version() {
    let bare = json!({"spec": {}});
    let findings = judged(&SessionCluster, &bare);
    assert_eq!(causes(&findings), [""; 0]);
    assert_eq!(
        findings.warnings,
        ["spec.flinkVersion: is needed before it can run, and no default names one"]
    );
    let running = with(&bare, "/spec/state", json!("RUNNING"));
    assert_eq!(
        causes(&judged(&SessionCluster, &running)),
        [
            "spec.flinkVersion: is needed to run, and no default names one; write it in quotes, such as \"1.20\" \
          [session-cluster/flink-version]"
        ]
    );
}

#[test]
fn options_and_labels_that_have_no_effect_warn() {
    let object = with(
        &short(),
        "/spec/flinkConfiguration/jobmanager.memory.process.size",
        json!("1g"),
    );
    let object = with(
        &object,
        "/spec/kubernetes/labels/sluice.dev~1job",
        json!("x"),
    );
    let findings = judged(&SessionCluster, &object);
    assert!(findings.is_clean());
    assert_eq!(
        findings.warnings,
        [
            "spec.flinkConfiguration[jobmanager.memory.process.size]: has no effect, resources.jobmanager.memory decides",
            "spec.kubernetes.labels[sluice.dev/job]: has no effect, Sluice sets this label itself",
        ]
    );
}

#[test]
fn unknown_fields_warn_with_the_nearest_name() {
    let sent = json!({"spec": {"flinkVersion": "1.20", "numberOfTaskmanagers": 2, "resources": {"cpu": 1}}});
    let findings = judged(&SessionCluster, &sent);
    assert!(findings.is_clean());
    assert_eq!(
        findings.warnings,
        [
            "spec.numberOfTaskmanagers: unknown field, it has no effect; write numberOfTaskManagers",
            "spec.resources.cpu: unknown field, it has no effect; the fields here are jobmanager, taskmanager",
        ]
    );
}

fn cluster(state: &str, status: &Value) -> Value {
    json!({"metadata": {"generation": 2}, "spec": {"state": state, "numberOfTaskManagers": 5}, "status": status})
}

#[rstest]
#[case("STOPPED", json!({}), None)]
#[case("STOPPED", json!({"state": "STOPPED"}), None)]
#[case("STOPPED", json!({"state": "STOPPED", "allocatedMilli": 0}), None)]
#[case("STOPPED", json!({"state": "STOPPED", "allocatedMilli": 1}), Some("STOPPING"))]
#[case("STOPPED", json!({"state": "STOPPING"}), Some("STOPPING"))]
#[case("STOPPED", json!({"state": "FAILED"}), Some("FAILED"))]
#[case("STOPPED", json!({"state": 7, "allocatedMilli": "x"}), None)]
#[case("RUNNING", json!({}), Some("RUNNING"))]
#[case("RUNNING", json!({"state": "STOPPED"}), Some("RUNNING"))]
#[case("RUNNING", json!({"state": "STARTING"}), Some("STARTING"))]
fn frozen_until_stopped_with_nothing_left(
    #[case] state: &str,
    #[case] status: Value,
    #[case] expected: Option<&str>,
) {
    let frozen = SessionCluster.frozen(&cluster(state, &status));
    let why = expected.map(|state| {
        format!("is {state}: only spec.state and spec.numberOfTaskManagers may change.")
    });
    assert_eq!(frozen.as_ref().map(|frozen| frozen.why.clone()), why);
    if let Some(frozen) = frozen {
        let way_out = if state == "RUNNING" {
            "Set spec.state to STOPPED, wait until status.state is STOPPED, then apply again."
        } else {
            "Wait until status.state is STOPPED, then apply again."
        };
        assert_eq!(frozen.way_out, way_out);
        assert_eq!(frozen.rule.id, "immutable/session-cluster");
    }
}

#[rstest]
#[case("spec.resources.taskmanager.cpu", LeafKind::Cpu)]
#[case("spec.resources.jobmanager.memory", LeafKind::Memory)]
#[case("spec.flinkVersion", LeafKind::Text)]
#[case("spec.flinkConfiguration.anything", LeafKind::Text)]
#[case("spec.state", LeafKind::Exact)]
#[case("spec.kubernetes.pods.labels", LeafKind::Text)]
#[case("spec.kubernetes.pods", LeafKind::Exact)]
#[case("spec.kubernetes.pods.affinity", LeafKind::Verbatim)]
#[case("spec.kubernetes.pods.affinity.x.y", LeafKind::Verbatim)]
#[case("spec.kubernetes.pods.tolerations", LeafKind::Verbatim)]
#[case("spec.kubernetes.jobManagerPodTemplate.spec", LeafKind::Verbatim)]
#[case("metadata.name", LeafKind::Exact)]
fn values_compare_by_meaning(#[case] path: &str, #[case] expected: LeafKind) {
    assert_eq!(SessionCluster.leaf_kind(&FieldPath::of(path)), expected);
}

fn notices(old: &Value, new: &Value) -> Vec<String> {
    let mut findings = Findings::default();
    let review = Review {
        dialect: &SessionCluster,
        operation: Operation::Update { old },
        part: crate::review::Part::Whole,
        namespace: "team-a",
        name: "analytics",
        object: new,
    };
    SessionCluster.notices(&review, &EmptyWorld, &mut findings);
    findings.warnings
}

#[rstest]
#[case(json!({"state": "RUNNING", "numberOfJobs": 3}), &["3 jobs will be terminated without a grace period"])]
#[case(json!({"state": "RUNNING", "numberOfJobs": 1}), &["1 job will be terminated without a grace period"])]
#[case(json!({"state": "RUNNING", "numberOfJobs": 0}), &[])]
#[case(json!({"state": "RUNNING"}), &["jobs on it, if there are any, will be terminated without a grace period"])]
#[case(json!({}), &[])]
fn stopping_tells_how_many_jobs_end(#[case] status: Value, #[case] expected: &[&str]) {
    let old = cluster("RUNNING", &status);
    let new = with(&old, "/spec/state", json!("STOPPED"));
    assert_eq!(notices(&old, &new), expected);
}

#[test]
fn scaling_a_running_cluster_down_tells_that_applications_may_restart() {
    let old = cluster("RUNNING", &json!({"state": "RUNNING"}));
    let scaled = |number: i64| with(&old, "/spec/numberOfTaskManagers", json!(number));
    assert_eq!(
        notices(&old, &scaled(4)),
        ["numberOfTaskManagers 5 -> 4: applications may restart"]
    );
    assert_eq!(notices(&old, &scaled(5)), [""; 0]);
    assert_eq!(notices(&old, &scaled(6)), [""; 0]);
    let stopped = cluster("STOPPED", &json!({}));
    let fewer = with(&stopped, "/spec/numberOfTaskManagers", json!(1));
    assert_eq!(notices(&stopped, &fewer), [""; 0]);
}

#[test]
fn the_charge_is_one_jobmanager_and_all_taskmanagers() {
    let object = json!({
        "metadata": {"generation": 3},
        "spec": {"state": "RUNNING", "numberOfTaskManagers": 5,
            "resources": {"jobmanager": {"cpu": 2}, "taskmanager": {"cpu": 16}}},
        "status": {"state": "RUNNING", "observedGeneration": 3, "allocatedMilli": 82_000},
    });
    let workload = SessionCluster.workload(&object, &EmptyWorld).unwrap();
    assert_eq!(
        workload,
        Workload {
            desired: Desired::Running,
            demand: MilliCpu(82_000),
            allocated: Some(MilliCpu(82_000)),
            settled: true,
        }
    );
    let behind = with(&object, "/metadata/generation", json!(4));
    assert!(
        !SessionCluster
            .workload(&behind, &EmptyWorld)
            .unwrap()
            .settled
    );
    let junk = with(&object, "/status", json!("junk"));
    let workload = SessionCluster.workload(&junk, &EmptyWorld).unwrap();
    assert_eq!((workload.allocated, workload.settled), (None, false));
    let bad = with(&object, "/spec/resources/taskmanager/cpu", json!("lots"));
    let errors = SessionCluster.workload(&bad, &EmptyWorld).unwrap_err();
    assert_eq!(
        errors[0].full_message(),
        "\"lots\" must be a number of CPUs such as 0.5, 2 or \"500m\" [session-cluster/field]"
    );
    assert_eq!(
        errors[0].field.to_string(),
        "spec.resources.taskmanager.cpu"
    );
}

#[test]
fn what_is_being_deleted_asks_for_nothing_and_holds_what_its_pods_hold() {
    let object = |task_managers: Value, status: Value| {
        json!({
            "metadata": {"generation": 4, "deletionTimestamp": "2026-11-21T10:00:00Z"},
            "spec": {"state": "RUNNING", "numberOfTaskManagers": task_managers},
            "status": status,
        })
    };
    let charge = |object: &Value| {
        SessionCluster
            .workload(object, &EmptyWorld)
            .map(|workload| workload.charge())
    };
    let running = json!({"state": "RUNNING", "observedGeneration": 3, "allocatedMilli": 82_000});
    // Whoever grows it now, or makes it unreadable, changes nothing about what it costs.
    for task_managers in [json!(5), json!(90_000), json!("x")] {
        assert_eq!(
            charge(&object(task_managers.clone(), running.clone())),
            Ok(MilliCpu(82_000)),
            "{task_managers}"
        );
        let never_started = object(task_managers, Value::Null);
        assert_eq!(charge(&never_started), Ok(MilliCpu::ZERO));
    }
}

#[test]
fn a_create_without_a_spec_is_not_told_about_a_field_of_it() {
    let warnings = |spec: Value| {
        let object = json!({"metadata": {"name": "a"}, "spec": spec});
        let mut findings = Findings::default();
        let review = Review {
            dialect: &SessionCluster,
            operation: Operation::Create,
            part: crate::review::Part::Whole,
            namespace: "team-a",
            name: "a",
            object: &object,
        };
        SessionCluster.notices(&review, &EmptyWorld, &mut findings);
        findings.warnings
    };
    for spec in [Value::Null, json!("hi"), json!([1])] {
        assert_eq!(warnings(spec), [""; 0]);
    }
    assert_eq!(warnings(json!({})).len(), 1);
}

#[test]
fn what_was_stored_unjudged_and_would_be_refused_today_can_still_be_stopped() {
    use crate::review::Part;
    use crate::{mutate, validate};
    fn update<'a>(old: &'a Value, object: &'a Value) -> Review<'a> {
        Review {
            dialect: &SessionCluster,
            operation: Operation::Update { old },
            part: Part::Whole,
            namespace: "team-a",
            name: "a",
            object,
        }
    }
    // The one is refused by the validating call, the other by the mutating one already.
    for (version, other) in [(json!("what"), json!("that")), (json!(1.2), json!(1.1))] {
        let old = json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
            "metadata": {"name": "a", "namespace": "team-a", "generation": 1},
            "spec": {"state": "RUNNING", "flinkVersion": version, "numberOfTaskManagers": 2, "resources": {"taskManager": {"cpu": 3}}},
        });
        let grown = with(&old, "/spec/numberOfTaskManagers", json!(3));
        let changed = with(&old, "/spec/flinkVersion", other);
        let stopped = with(&old, "/spec/state", json!("stopped"));
        let mutation = mutate(&update(&old, &stopped), &EmptyWorld);
        assert_eq!(mutation.refusal, None);
        assert_eq!(mutation.object["spec"]["state"], json!("STOPPED"));
        assert_eq!(
            validate(&update(&old, &mutation.object), &EmptyWorld).refusal,
            None
        );
        // It does not grow, nor change in any other way.
        for object in [&grown, &changed] {
            let mutation = mutate(&update(&old, object), &EmptyWorld);
            let refused = mutation
                .refusal
                .or_else(|| validate(&update(&old, &mutation.object), &EmptyWorld).refusal);
            assert_eq!(refused.unwrap().rule.id, "session-cluster/flink-version");
        }
    }
}

#[test]
fn a_logging_profile_that_does_not_exist_is_told_and_lets_it_pass() {
    let object = with(
        &filled(&SessionCluster, &short()),
        "/spec/logging/loggingProfile",
        json!("team"),
    );
    let findings = judged(&SessionCluster, &object);
    assert_eq!(causes(&findings), [""; 0]);
    let told = findings.warnings;
    assert!(
        told.contains(
            &"spec.logging.loggingProfile: there is no profile \"team\", so \"default\" is used, which logs to the console; for files \
              of your own write logConfiguration"
                .to_owned()
        ),
        "{told:?}"
    );
}
