//! What is made from whole specs, as golden files, and what must hold for all of them.

use proptest::prelude::*;
use serde_json::{Value, json};
use sluice_api::{SessionCluster, SessionClusterSpec};
use sluice_policy::dialect::session_cluster::SessionCluster as Dialect;
use sluice_policy::immutability::spec_changes;

use super::*;

#[allow(clippy::needless_pass_by_value)] // `json!` at the call reads best by value
fn cluster(spec: Value) -> SessionCluster {
    serde_json::from_value(json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
        "metadata": {"name": "analytics", "namespace": "team-a", "uid": "6f0c0d5e-0000-4000-8000-000000000001"},
        "spec": spec,
    }))
    .unwrap()
}

fn settings() -> BuildSettings {
    BuildSettings {
        sluice_image: "ghcr.io/sluice-dev/sluice:0.1.0".into(),
    }
}

fn built(spec: Value, namespace: &str) -> Result<Vec<Built>, BuildError> {
    let cluster = cluster(spec);
    let number = cluster.spec.number_of_task_managers.unwrap_or(1);
    let number = u32::try_from(number).unwrap();
    build(
        &FlinkCluster::of_session_cluster(&cluster, namespace, number)?,
        &settings(),
    )
}

fn objects(spec: Value) -> Vec<Value> {
    let built = built(spec, "team-a").unwrap();
    built.into_iter().map(|built| built.object).collect()
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

#[test]
fn ververica_platforms_example() {
    insta::assert_yaml_snapshot!(objects(json!({
        "state": "RUNNING", "deploymentTargetName": "default", "flinkVersion": "1.12",
        "flinkImageRegistry": "registry.ververica.com", "flinkImageRepository": "flink",
        "flinkImageTag": "1.12.0-stream1-scala_2.12", "numberOfTaskManagers": 5,
        "resources": {"jobmanager": {"cpu": 2, "memory": "1Gi"}, "taskmanager": {"cpu": 16, "memory": "32Gi"}},
        "flinkConfiguration": {"execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION"},
        "logging": {"loggingProfile": "default", "log4jLoggers": {"": "INFO", "org.apache.flink.streaming.examples": "DEBUG"}},
    })));
}

#[test]
fn jars_plugins_high_availability_and_pod_options() {
    insta::assert_yaml_snapshot!(objects(json!({
        "flinkVersion": "2.0", "flinkImageTag": format!("sha256:{}", "0a".repeat(32)), "numberOfTaskManagers": 1,
        "resources": {
            "jobmanager": {"cpu": "0.5", "memory": "1024m", "ephemeralStorage": "256m"},
            "taskmanager": {"cpu": "500m", "memory": "1000000000", "ephemeralStorage": "1g"},
        },
        "flinkConfiguration": {
            "high-availability.type": "kubernetes", "high-availability.storageDir": "s3://b/ha",
            "odd": "*x: 'y' # \"z\"\n", "taskmanager.numberOfTaskSlots": "2",
            "jobmanager.memory.process.size": "9g", "kubernetes.taskmanager.cpu.limit-factor": "2.5",
            "env.java.opts.all": "-Dmine=1",
        },
        "jars": ["s3://bucket/flink-job.jar", "local:///opt/flink/opt/a b.jar", "https://repo.example/x.jar"],
        "plugins": [{"name": "s3", "jars": ["/opt/flink/opt/flink-s3-fs-hadoop-2.0.0.jar"]}, {"name": "empty"}],
        "kubernetes": {
            "labels": {"team": "data", "sluice.dev/owner-uid": "mine", "app.kubernetes.io/name": "mine"},
            "pods": {
                "annotations": {"a": "b"}, "labels": {"l": "m"}, "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "flink", "operator": "Exists"}], "imagePullSecrets": [{"name": "pull"}],
                "securityContext": {"runAsUser": 1000},
                "volumeMounts": [{"name": "v", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/v"}}],
                "envVars": [{"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "s3", "key": "id"}}}, {"name": "POD_IP", "value": "mine"}],
            },
        },
    })));
}

/// A container that says it is Sluice's own is charged as the user's, and so it must run as the user's.
#[test]
fn only_its_own_init_containers_get_flinks_resources() {
    let objects = objects(json!({
        "flinkVersion": "1.20",
        "jars": ["s3://bucket/a.jar"],
        "kubernetes": {"taskManagerPodTemplate": {"spec": {"initContainers": [
            {"name": "sluice-copy-x", "image": "x", "restartPolicy": "Always"},
            {"name": "sluice-fetch-0", "restartPolicy": "Always"},
        ]}}},
    }));
    let workloads = of_kind(&objects, "Deployment");
    let containers = &workloads[1]["spec"]["template"]["spec"]["initContainers"];
    let named = |name: &str| {
        let all = containers.as_array().unwrap();
        all.iter()
            .find(|container| container["name"] == name)
            .unwrap()
    };
    assert_eq!(named("sluice-copy-x").get("resources"), None);
    let own = named("sluice-fetch-0");
    assert_eq!(own["resources"]["limits"]["memory"], "2Gi");
    assert_eq!(
        own.get("restartPolicy"),
        None,
        "it ends, and costs nothing then"
    );
}

/// Credentials and authorities that Flink's container has are those to fetch its jars with.
#[test]
fn what_fetches_has_the_environment_and_the_files_of_flinks_container() {
    let objects = objects(json!({
        "flinkVersion": "1.20",
        "jars": ["s3://bucket/a.jar"],
        "kubernetes": {"taskManagerPodTemplate": {"spec": {
            "volumes": [{"name": "ca", "secret": {"secretName": "ca"}}, {"name": "scratch", "emptyDir": {}}],
            "containers": [{
                "name": "flink-main-container", "envFrom": [{"secretRef": {"name": "s3"}}],
                "env": [{"name": "SSL_CERT_FILE", "value": "/etc/ca/ca.crt"}],
                "volumeMounts": [{"name": "ca", "mountPath": "/etc/ca"}, {"name": "scratch", "mountPath": "/usr"}],
            }],
        }}},
    }));
    let workloads = of_kind(&objects, "Deployment");
    let fetch = &workloads[1]["spec"]["template"]["spec"]["initContainers"][0];
    assert_eq!(fetch["name"], "sluice-fetch-0");
    assert_eq!(fetch["envFrom"], json!([{"secretRef": {"name": "s3"}}]));
    let env = fetch["env"].as_array().unwrap();
    assert!(env.iter().any(|entry| entry["name"] == "SSL_CERT_FILE"));
    assert_eq!(
        fetch["volumeMounts"],
        json!([
            {"name": "sluice-artifacts", "mountPath": "/sluice-artifacts"},
            {"name": "ca", "mountPath": "/etc/ca"},
        ])
    );
}

/// From 1.18 on Sluice always says the newer name, beside which Flink does not look at the older one.
#[test]
fn java_options_count_by_either_name() {
    for (name, version) in [
        ("env.java.opts", "1.20"),
        ("env.java.opts.all", "1.20"),
        ("env.java.opts", "2.0"),
    ] {
        let objects =
            objects(json!({"flinkVersion": version, "flinkConfiguration": {name: "-Dmine=1"}}));
        let file = &of_kind(&objects, "ConfigMap")[0]["data"]["config.yaml"];
        let says_both =
            |line: &str| line.contains("env.java.opts.all") && line.contains("-Dmine=1");
        let mut lines = file.as_str().unwrap().lines();
        assert!(lines.any(says_both), "{name} {version}");
    }
}

#[test]
fn pod_templates_are_merged_by_name() {
    let objects = objects(json!({
        "flinkVersion": "1.20",
        "kubernetes": {"taskManagerPodTemplate": {
            "metadata": {"labels": {"l": "m", "sluice.dev/component": "mine"}},
            "spec": {
                "terminationGracePeriodSeconds": 5, "unknownToUs": {"kept": true},
                "initContainers": [{"name": "mine", "image": "x"}],
                "containers": [
                    {"name": "log", "image": "y"},
                    {"name": "flink-main-container", "image": "z", "env": [{"name": "A", "value": "$(POD_IP)"}],
                        "resources": {"limits": {"nvidia.com/gpu": 1}}, "volumeMounts": [{"name": "flink-config", "mountPath": "/c"}]},
                ],
            },
        }},
    }));
    let workloads = of_kind(&objects, "Deployment");
    let [jobmanager, taskmanager] = workloads.as_slice() else {
        panic!("{workloads:?}");
    };
    assert!(
        jobmanager["spec"]["template"]["spec"]
            .get("unknownToUs")
            .is_none()
    );
    let template = &taskmanager["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["l"], "m");
    assert_eq!(
        template["metadata"]["labels"]["sluice.dev/component"],
        "taskmanager"
    );
    let spec = &template["spec"];
    assert_eq!(spec["terminationGracePeriodSeconds"], 5);
    assert_eq!(spec["unknownToUs"]["kept"], true);
    assert_eq!(
        spec["initContainers"][0],
        json!({"name": "mine", "image": "x"})
    );
    let [main, log] = spec["containers"].as_array().unwrap().as_slice() else {
        panic!("{spec}");
    };
    assert_eq!(log["name"], "log");
    assert_eq!(
        main["image"], "docker.io/library/flink:1.20",
        "the system's own wins"
    );
    assert_eq!(main["resources"]["limits"]["nvidia.com/gpu"], 1);
    assert_eq!(main["resources"]["limits"]["memory"], "2Gi");
    let names: Vec<_> = main["env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["POD_IP", "POD_NAME", "FLINK_CONF_DIR", "A"],
        "what users refer to comes before"
    );
    assert_eq!(main["volumeMounts"].as_array().unwrap().len(), 2);
}

#[test]
fn another_namespace_has_no_owner_reference_and_the_labels_all_the_same() {
    let here = built(json!({"flinkVersion": "1.20"}), "team-a").unwrap();
    let there = built(json!({"flinkVersion": "1.20"}), "flink-pods").unwrap();
    assert_ne!(here[0].input, there[0].input);
    for (here, there) in here.iter().zip(&there) {
        assert_eq!(
            here.object["metadata"]["ownerReferences"][0]["name"],
            "analytics"
        );
        assert_eq!(there.object["metadata"].get("ownerReferences"), None);
        assert_eq!(there.object["metadata"]["namespace"], "flink-pods");
        assert_eq!(
            there.object["metadata"]["labels"]["sluice.dev/owner-namespace"],
            "team-a"
        );
    }
}

#[test]
fn the_number_of_task_managers_makes_no_other_object() {
    let with = |number: u32| {
        let built = built(
            json!({"flinkVersion": "1.20", "numberOfTaskManagers": number}),
            "team-a",
        )
        .unwrap();
        built
            .iter()
            .map(|built| (built.input.clone(), built.built.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(with(1), with(7));
}

/// Puts a value at a path of keys, maps above it made; not below what is no map.
fn put(spec: &mut Value, path: &str, value: Value) -> bool {
    let mut slot = spec;
    for key in path.split('/') {
        if slot.is_null() {
            *slot = json!({});
        }
        let Some(map) = slot.as_object_mut() else {
            return false;
        };
        slot = map.entry(key).or_insert(Value::Null);
    }
    *slot = value;
    true
}

/// Without what Kubernetes reads as nothing.
fn without_nothing(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(_, value)| !value.is_null() && *value != json!([]))
            .map(|(key, value)| (key, without_nothing(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(without_nothing).collect(),
        other => other,
    }
}

/// What admission takes for no change restarts nothing, and makes no other pods: fields that are null or empty in every way, of clusters that
/// say nothing of pods, say it in `pods`, or in templates.
#[test]
fn what_is_no_change_to_admission_is_none_to_pods() {
    const PLACES: &str = "logging logging/log4jLoggers logConfiguration kubernetes kubernetes/labels kubernetes/pods \
        kubernetes/pods/annotations kubernetes/pods/labels kubernetes/pods/nodeSelector kubernetes/pods/affinity \
        kubernetes/pods/affinity/podAffinity kubernetes/pods/tolerations kubernetes/pods/imagePullSecrets \
        kubernetes/pods/securityContext kubernetes/pods/securityContext/seLinuxOptions kubernetes/pods/volumeMounts \
        kubernetes/pods/envVars kubernetes/jobManagerPodTemplate kubernetes/jobManagerPodTemplate/metadata \
        kubernetes/jobManagerPodTemplate/metadata/labels kubernetes/taskManagerPodTemplate \
        kubernetes/taskManagerPodTemplate/spec kubernetes/taskManagerPodTemplate/spec/securityContext";
    let stored = [
        json!({}),
        json!({"pods": {"nodeSelector": {"a": "b"}, "affinity": {"nodeAffinity": {}}, "securityContext": {"runAsUser": 1}}}),
        json!({"jobManagerPodTemplate": {"spec": {"securityContext": {}}}}),
    ];
    // The hash of the text may be another; what Kubernetes reads is the same.
    let made = |spec: &Value| -> Vec<(Input, Value)> {
        let built = built(spec.clone(), "team-a").unwrap().into_iter();
        built
            .map(|mut built| {
                built.object["metadata"]["annotations"].take();
                (built.input, without_nothing(built.object))
            })
            .collect()
    };
    let (mut same, mut changed) = (0, Vec::new());
    for (kubernetes, place) in stored
        .iter()
        .flat_map(|spec| PLACES.split_whitespace().map(move |place| (spec, place)))
    {
        let old = json!({"flinkVersion": "1.20", "kubernetes": kubernetes});
        for nothing in [json!(null), json!({}), json!([])] {
            let mut new = old.clone();
            let is_put = put(&mut new, place, nothing);
            if !is_put || serde_json::from_value::<SessionClusterSpec>(new.clone()).is_err() {
                continue; // the API server would not store it
            }
            let whole = |spec: &Value| json!({ "spec": spec });
            if spec_changes(&Dialect, &whole(&old), &whole(&new)).is_empty() {
                for ((before, old_object), (after, new_object)) in made(&old).iter().zip(made(&new))
                {
                    assert!(before.is(Some(after.text())), "{old}\n{new}");
                    assert_eq!(*old_object, new_object);
                }
                same += 1;
            } else {
                changed.push(place);
            }
        }
    }
    assert!(same > 60, "{same}");
    for field in [
        "pods/securityContext",
        "pods/affinity",
        "jobManagerPodTemplate",
    ] {
        let place = format!("kubernetes/{field}");
        assert!(changed.contains(&place.as_str()), "{changed:?}");
    }
}

/// `labels: {}` was another input than none.
#[test]
fn what_an_earlier_release_has_made_is_not_restarted() {
    let input = |kubernetes: Value| {
        let spec = json!({"flinkVersion": "1.20", "kubernetes": kubernetes});
        built(spec, "team-a").unwrap().swap_remove(0).input
    };
    let earlier = "1f1cd9ea321deeee";
    assert!(input(json!({"labels": {}})).is(Some(earlier)));
    assert!(!input(json!({})).is(Some(earlier)));
}

#[test]
fn another_version_of_sluice_makes_other_objects_from_the_same_input() {
    let of = |image: &str| {
        let cluster = cluster(json!({"flinkVersion": "1.20", "jars": ["https://h/a.jar"]}));
        let flink = FlinkCluster::of_session_cluster(&cluster, "team-a", 1).unwrap();
        let built = build(
            &flink,
            &BuildSettings {
                sluice_image: image.into(),
            },
        )
        .unwrap();
        let last = built.last().unwrap();
        (last.input.clone(), last.built.clone())
    };
    let (old, new) = (of("sluice:1"), of("sluice:2"));
    assert_eq!(old.0, new.0);
    assert_ne!(old.1, new.1);
}

#[test]
fn what_cannot_be_made_is_named() {
    let refused = |spec| built(spec, "team-a").unwrap_err().to_string();
    assert_eq!(
        refused(json!({})),
        "spec.flinkVersion: is needed to run; write it in quotes, such as \"1.20\""
    );
    assert_eq!(
        refused(json!({"flinkVersion": "v1"})),
        "spec.flinkVersion: \"v1\" is no version of Flink; write major and minor, such as \"1.20\""
    );
    assert_eq!(
        refused(json!({"flinkVersion": "1.20", "resources": {"taskmanager": {"memory": "lots"}}})),
        "spec.resources.taskmanager.memory: must be a size such as 1Gi, 1024Mi, 1g or 1024m"
    );
    assert_eq!(
        refused(json!({"flinkVersion": "1.20", "plugins": [{"name": "../x", "jars": ["/a.jar"]}]})),
        "spec.plugins[0].name: \"../x\" is no name of a folder"
    );
    assert_eq!(
        refused(json!({"flinkVersion": "1.18", "flinkConfiguration": {"a": "b\nrest.port: 1"}})),
        "spec.flinkConfiguration[\"a\"]: Flink 1.18 reads its configuration line by line and takes '#' for a comment; write it \
         without line breaks and '#', or use Flink 1.19 or later"
    );
    for key in ["security.ssl.rest.enabled", "security.ssl.enabled"] {
        assert_eq!(
            refused(json!({"flinkVersion": "1.20", "flinkConfiguration": {key: "true"}})),
            format!(
                "spec.flinkConfiguration[\"{key}\"]: Sluice asks Flink's REST API without TLS; leave {key} out"
            )
        );
    }
}

#[test]
fn a_version_has_one_configuration_file_of_its_own_kind() {
    for (version, name, memory) in [
        ("1.8", "flink-conf.yaml", "jobmanager.heap.size: 768m"),
        (
            "1.10",
            "flink-conf.yaml",
            "taskmanager.memory.process.size: 2147483648b",
        ),
        (
            "1.18.1",
            "flink-conf.yaml",
            "jobmanager.memory.process.size: 1073741824b",
        ),
        (
            "1.19",
            "config.yaml",
            "jobmanager.memory.process.size: \"1073741824b\"",
        ),
        (
            "2.2",
            "config.yaml",
            "taskmanager.memory.process.size: \"2147483648b\"",
        ),
    ] {
        let objects = objects(
            json!({"flinkVersion": version, "logConfiguration": {"config.yaml": "mine", "flink-conf.yaml": "mine"}}),
        );
        let data = &of_kind(&objects, "ConfigMap")[0]["data"];
        let files: Vec<_> = data
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| key.contains("conf"))
            .collect();
        assert_eq!(files, [name], "{version}");
        let text = data[name].as_str().unwrap();
        assert!(text.contains(memory), "{version}: {text}");
        assert_eq!(
            text.contains("--add-opens"),
            version != "1.8" && version != "1.10",
            "{version}"
        );
    }
}

fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().next_back())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

proptest! {
    /// Names fit, labels are labels, and what is Sluice's cannot be taken away, whatever stands in a spec that was stored
    /// past admission.
    #[test]
    fn whatever_is_made_has_names_and_labels_that_kubernetes_takes(
        name in "[a-z]([a-z0-9-]{0,43}[a-z0-9])?",
        labels in proptest::collection::btree_map("(sluice.dev/|app.kubernetes.io/|x/)?[a-z-]{1,12}", "[a-z]{0,10}", 0..4),
        configuration in proptest::collection::btree_map(".{0,12}", ".{0,20}", 0..6),
        loggers in proptest::collection::btree_map(".{0,12}", ".{0,8}", 0..4),
        jars in proptest::collection::vec("(/|s3://b/|local:///)[a-z$`'\" ]{1,10}", 0..3),
    ) {
        let mut cluster = cluster(json!({"flinkVersion": "1.20", "jars": jars, "flinkConfiguration": configuration,
            "logging": {"log4jLoggers": loggers}, "kubernetes": {"labels": labels, "pods": {"labels": labels}}}));
        cluster.metadata.name = Some(name.clone());
        let flink = FlinkCluster::of_session_cluster(&cluster, "team-a", 3).unwrap();
        for built in build(&flink, &settings()).unwrap() {
            prop_assert!(built.name.len() <= 63, "{}", built.name);
            for place in ["/metadata/labels", "/spec/template/metadata/labels", "/spec/selector/matchLabels"] {
                for (key, value) in built.object.pointer(place).and_then(Value::as_object).into_iter().flatten() {
                    prop_assert!(value.as_str().is_some_and(is_label_value), "{key}: {value}");
                }
            }
            let labels = &built.object["metadata"]["labels"];
            prop_assert_eq!(&labels["sluice.dev/owner-name"], &json!(name));
            prop_assert_eq!(&labels["app.kubernetes.io/managed-by"], "sluice");
        }
    }
}
