use crate::dialect::own::testing::{causes, judged, with};
use crate::dialect::session_cluster::SessionCluster;
use rstest::rstest;
use serde_json::{Value, json};

fn found(kubernetes: Value) -> Vec<String> {
    let object = with(
        &json!({"spec": {"flinkVersion": "1.20"}}),
        "/spec/kubernetes",
        kubernetes,
    );
    causes(&judged(&SessionCluster, &object))
        .into_iter()
        .map(|cause| cause.replace("spec.kubernetes.", ""))
        .collect()
}

fn sidecar(extra: &Value) -> Value {
    let mut container = json!({"name": "log", "image": "x"});
    for (key, value) in extra.as_object().unwrap() {
        container[key] = value.clone();
    }
    json!({"taskManagerPodTemplate": {"spec": {"containers": [container]}}})
}

#[test]
fn everything_that_kubernetes_takes_is_admitted() {
    let kubernetes = json!({
        "labels": {"team": "a", "example.org/x": "y"},
        "pods": {
            "annotations": {"a": "anything goes here: {}"},
            "labels": {"a": ""},
            "nodeSelector": {"kubernetes.io/arch": "amd64"},
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}},
            "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}, {"operator": "Exists"}],
            "imagePullSecrets": [{"name": "pull"}],
            "securityContext": {"runAsUser": 9999},
            "volumeMounts": [{"name": "data", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/data", "subPath": "a/b"}},
                {"name": "other", "volume": {"name": "other", "secret": {"secretName": "s"}}, "volumeMount": {"mountPath": "/o"}}],
            "envVars": [{"name": "name", "value": "value"}, {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "A.B-c", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
        },
    });
    assert_eq!(found(kubernetes), [""; 0]);
    let templates = json!({
        "jobManagerPodTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "volumes": [{"name": "v", "emptyDir": {}}],
            "initContainers": [{"name": "fetch", "image": "x"}],
            "containers": [
                {"name": "flink-main-container", "volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "flink-config", "mountPath": "/c"}],
                    "resources": {"limits": {"nvidia.com/gpu": 1}}},
                {"name": "log", "image": "x", "env": [{"name": "POD_IP", "value": "of its own"}], "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": 1, "memory": "64Mi"}}},
            ],
        }},
    });
    assert_eq!(found(templates), [""; 0]);
}

#[rstest]
#[case(json!({"pods": {}, "jobManagerPodTemplate": {}}),
    "jobManagerPodTemplate: pods is set too, and the two exclude each other; move what pods says into the pod templates, or remove these")]
#[case(json!({"labels": {"-a": "x"}}),
    "labels.-a: is no key that Kubernetes takes; write a name of at most 63 letters, digits, '-', '_' or '.', or a DNS name, '/' and such a name")]
#[case(json!({"labels": {"a": "x y"}}),
    "labels.a: \"x y\" is no label value; write at most 63 letters, digits, '-', '_' or '.', beginning and ending with a letter or digit")]
#[case(json!({"pods": {"envVars": [{"value": "x"}]}}), "pods.envVars[0].name: an environment variable needs a name")]
#[case(json!({"pods": {"envVars": [{"name": "A=B"}]}}),
    "pods.envVars[0].name: \"A=B\" is no name of an environment variable; write letters, digits, '_', '-' or '.'")]
#[case(json!({"pods": {"envVars": [{"name": "A"}, {"name": "A"}]}}), "pods.envVars[1].name: A is set twice; keep one of them")]
#[case(json!({"pods": {"envVars": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "y"}}}]}}),
    "pods.envVars[0].valueFrom: value is set too; keep one of them")]
#[case(json!({"pods": {"envVars": [{"name": "A", "valueFrom": {}}]}}),
    "pods.envVars[0].valueFrom: needs exactly one source, such as secretKeyRef")]
#[case(json!({"pods": {"envVars": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}}),
    "pods.envVars[0].valueFrom.secretKeyRef.key: secretKeyRef needs it as a text")]
#[case(json!({"pods": {"envVars": [{"name": "POD_IP", "value": "10.0.0.1"}]}}),
    "pods.envVars[0].name: POD_IP is set by Sluice, to the pod's status.podIP; give yours another name")]
#[case(json!({"jobManagerPodTemplate": {"spec": {"containers": [{"name": "flink-main-container", "env": [
    {"name": "POD_NAME", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}}}),
    "jobManagerPodTemplate.spec.containers[0].env[0].name: POD_NAME is set by Sluice, to the pod's metadata.name; give yours another name")]
#[case(json!({"pods": {"volumeMounts": [{"name": "flink-config", "volume": {"emptyDir": {}}}]}}),
    "pods.volumeMounts[0].name: flink-config is the volume of Flink's configuration; give yours another name")]
#[case(json!({"taskManagerPodTemplate": {"spec": {"volumes": [{"name": "flink-config", "secret": {"secretName": "s"}}]}}}),
    "taskManagerPodTemplate.spec.volumes[0].name: flink-config is the volume of Flink's configuration; give yours another name")]
#[case(json!({"pods": {"volumeMounts": [{"volume": {"emptyDir": {}}}]}}), "pods.volumeMounts[0].name: a volume needs a name")]
#[case(json!({"pods": {"volumeMounts": [{"name": "A", "volume": {"emptyDir": {}}}]}}),
    "pods.volumeMounts[0].name: \"A\" is no name for a volume; write at most 63 of a-z, 0-9 and '-', not first or last")]
#[case(json!({"pods": {"volumeMounts": [{"name": "a", "volume": {"emptyDir": {}}}, {"name": "a", "volume": {"emptyDir": {}}}]}}),
    "pods.volumeMounts[1].name: another volume has this name; give each its own")]
#[case(json!({"pods": {"volumeMounts": [{"name": "a", "volumeMount": {"mountPath": "/a"}}]}}),
    "pods.volumeMounts[0].volume: says where the data comes from, such as {\"secret\": {\"secretName\": \"x\"}} or {\"emptyDir\": {}}")]
#[case(json!({"pods": {"volumeMounts": [{"name": "a", "volume": {"emptyDir": {}, "secret": {}}}]}}),
    "pods.volumeMounts[0].volume: a volume has one source, not emptyDir and secret; keep one")]
#[case(json!({"pods": {"volumeMounts": [{"name": "a", "volume": {"emptyDir": {}}, "volumeMount": {}}]}}),
    "pods.volumeMounts[0].volumeMount.mountPath: says where the volume is mounted, such as /data")]
#[case(json!({"pods": {"volumeMounts": [{"name": "a", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/a:b"}}]}}),
    "pods.volumeMounts[0].volumeMount.mountPath: must not contain ':'")]
#[case(json!({"pods": {"volumeMounts": [{"name": "a", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/a", "subPath": "../b"}}]}}),
    "pods.volumeMounts[0].volumeMount.subPath: must be a relative path without \"..\"")]
#[case(json!({"pods": {"volumeMounts": [{"name": "a", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/a", "name": "b"}}]}}),
    "pods.volumeMounts[0].volumeMount.name: \"b\" is not the name of this volume, a; leave it out")]
#[case(json!({"pods": {"volumeMounts": [
    {"name": "a", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/a"}}, {"name": "b", "volume": {"emptyDir": {}}, "volumeMount": {"mountPath": "/a"}}]}}),
    "pods.volumeMounts[1].volumeMount.mountPath: /a is mounted twice; keep one of them")]
#[case(json!({"pods": {"tolerations": [{"operator": "Equal"}]}}), "pods.tolerations[0].key: is needed unless operator is Exists")]
#[case(json!({"pods": {"tolerations": [{"operator": "Exists", "value": "x"}]}}), "pods.tolerations[0].value: must be left out where operator is Exists")]
#[case(json!({"pods": {"tolerations": [{"operator": "Is"}]}}), "pods.tolerations[0].operator: must be Equal or Exists")]
#[case(json!({"pods": {"tolerations": [{"operator": "Exists", "effect": "No"}]}}),
    "pods.tolerations[0].effect: must be NoSchedule, PreferNoSchedule or NoExecute")]
#[case(json!({"pods": {"tolerations": [{"operator": "Exists", "tolerationSeconds": 1}]}}), "pods.tolerations[0].tolerationSeconds: needs effect NoExecute")]
#[case(json!({"pods": {"imagePullSecrets": [{}]}}), "pods.imagePullSecrets[0].name: needs the name of a Secret")]
#[case(json!({"taskManagerPodTemplate": {"spec": {"containers": [{"image": "x"}]}}}),
    "taskManagerPodTemplate.spec.containers[0].name: a container needs a name")]
#[case(json!({"taskManagerPodTemplate": {"spec": {"containers": [{"name": "a"}]}}}),
    "taskManagerPodTemplate.spec.containers[0].image: a container needs an image; only flink-main-container has one of its own")]
#[case(json!({"taskManagerPodTemplate": {"spec": {"containers": [{"name": "a", "image": "x"}], "initContainers": [{"name": "a", "image": "x"}]}}}),
    "taskManagerPodTemplate.spec.initContainers[0].name: another container has this name; give each its own")]
#[case(sidecar(&json!({"resources": {"requests": {"cpu": "lots"}}})),
    "taskManagerPodTemplate.spec.containers[0].resources.requests.cpu: \"lots\" must be a number of CPUs such as 0.5, 2 or \"500m\"")]
#[case(sidecar(&json!({"resources": {"requests": {"memory": "1x"}}})),
    "taskManagerPodTemplate.spec.containers[0].resources.requests.memory: \"1x\" must be a size such as 1Gi, 1024Mi, 1g or 1024m")]
#[case(sidecar(&json!({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}})),
    "taskManagerPodTemplate.spec.containers[0].resources.requests.memory: is more than the limit; raise the limit or ask for less")]
#[case(sidecar(&json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]})),
    "taskManagerPodTemplate.spec.containers[0].volumeMounts[0].name: there is no volume v in the pod template; add it to spec.volumes")]
#[case(sidecar(&json!({"env": [{"name": ""}]})),
    "taskManagerPodTemplate.spec.containers[0].env[0].name: \"\" is no name of an environment variable; write letters, digits, '_', '-' or '.'")]
fn what_kubernetes_would_refuse_is_refused(#[case] kubernetes: Value, #[case] expected: &str) {
    assert_eq!(
        found(kubernetes),
        [format!("{expected} [session-cluster/pods]")]
    );
}

#[test]
fn nobody_names_a_container_as_sluice_names_its_own() {
    let template = json!({"spec": {"initContainers": [
        {"name": "sluice-copy-x", "image": "x", "restartPolicy": "Always"},
    ]}});
    assert_eq!(
        found(json!({"taskManagerPodTemplate": template})),
        [
            "taskManagerPodTemplate.spec.initContainers[0].name: sluice-copy-x is the name of a container of Sluice's own; choose \
             one that does not begin with sluice- [session-cluster/main-container]"
        ]
    );
}

#[rstest]
#[case(json!({"pods": {"securityContext": {"runAsUser": "root"}}}), "pods.securityContext: Kubernetes cannot read it: ")]
#[case(json!({"pods": {"affinity": {"nodeAffinity": 1}}}), "pods.affinity: Kubernetes cannot read it: ")]
#[case(json!({"jobManagerPodTemplate": {"spec": {"terminationGracePeriodSeconds": "x"}}}), "jobManagerPodTemplate: Kubernetes cannot read it: ")]
fn wrong_types_are_told_by_kubernetes_own_types(#[case] kubernetes: Value, #[case] expected: &str) {
    let found = found(kubernetes);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with(expected), "{found:?}");
}

#[rstest]
#[case("requests", "cpu")]
#[case("limits", "memory")]
fn cpu_and_memory_of_flinks_container_stand_in_resources(#[case] kind: &str, #[case] name: &str) {
    let container = json!({"name": "flink-main-container", "resources": {kind: {name: "1"}}});
    let kubernetes = json!({"jobManagerPodTemplate": {"spec": {"containers": [container]}}});
    assert_eq!(
        found(kubernetes),
        [format!(
            "jobManagerPodTemplate.spec.containers[0].resources.{kind}.{name}: {name} of Flink's container stands in \
             resources.jobmanager and resources.taskmanager; move it there [session-cluster/main-container]"
        )]
    );
    let kubernetes = json!({"jobManagerPodTemplate": {"spec": {"resources": {kind: {name: "1"}}}}});
    assert_eq!(
        found(kubernetes),
        [format!(
            "jobManagerPodTemplate.spec.resources.{kind}.{name}: {name} of Flink's container stands in \
             resources.jobmanager and resources.taskmanager; move it there [session-cluster/main-container]"
        )]
    );
}
