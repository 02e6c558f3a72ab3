//! The CRDs on a real API server: it takes them, and they take and refuse what they should without any webhook.
//! One test, so that the control plane is started once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use sluice_cluster::{Assets, Binary, Cluster, ClusterOptions};

const NAMESPACE: &str = "team-a";

/// Creates every CRD anew and waits until each is served.
async fn install(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in sluice_api::crds()
        .into_iter()
        .chain(sluice_api::optional_crds())
    {
        let name = crd.metadata.name.clone().unwrap();
        // Created, not applied: conditions of an older version would look like success.
        api.create(&PostParams::default(), &crd)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let mut every = tokio::time::interval(Duration::from_millis(50));
        loop {
            every.tick().await;
            let status = api.get(&name).await.unwrap().status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            let is = |type_: &str| {
                conditions
                    .iter()
                    .any(|it| it.type_ == type_ && it.status == "True")
            };
            assert!(!is("NonStructuralSchema"), "{name}: {conditions:?}");
            if is("Established") {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{name} is not established: {conditions:?}"
            );
        }
    }
}

fn of(client: &Client, object: &Value) -> Api<DynamicObject> {
    let (group, version) = object["apiVersion"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    let gvk = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
    let plural = match gvk.kind.as_str() {
        kind @ ("DeploymentDefaults" | "ClusterDeploymentDefaults") => kind.to_lowercase(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let resource = ApiResource::from_gvk_with_plural(&gvk, &plural);
    match gvk.kind.as_str() {
        "ClusterDeploymentDefaults" | "Environment" => Api::all_with(client.clone(), &resource),
        _ => Api::namespaced_with(client.clone(), NAMESPACE, &resource),
    }
}

/// Server-side apply, with the API server's own strictness about unknown fields.
async fn apply(client: &Client, object: &Value) -> Result<Value, kube::Error> {
    let params = PatchParams {
        field_validation: Some(kube::api::ValidationDirective::Strict),
        ..PatchParams::apply("test").force()
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    let stored = of(client, object)
        .patch(name, &params, &Patch::Apply(object))
        .await?;
    Ok(serde_json::to_value(stored).unwrap())
}

/// Asserts that the object is refused with 422 and this text.
async fn refused(client: &Client, object: &Value, text: &str) {
    match apply(client, object).await {
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 422, "{status:?}");
            assert!(
                status.message.contains(text),
                "{text:?} is not in {:?}",
                status.message
            );
        }
        other => panic!("{object} was not refused: {other:?}"),
    }
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "every caller makes its spec in the call"
)]
fn own(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": sluice_api::API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// What YAML makes of values that people forget to quote. Server-side apply answers 500 where a type is wrong.
fn loosely_written() -> Value {
    json!({
        "state": "STOPPED",
        "flinkVersion": 1.12,
        "flinkImageTag": 1.2,
        "numberOfTaskManagers": 2,
        "resources": {
            "jobManager": {"cpu": 0.5, "memory": "1024m", "ephemeralStorage": 1_073_741_824},
            "taskmanager": {"cpu": "500m", "memory": 1_073_741_824},
        },
        "flinkConfiguration": {"taskmanager": {"numberOfTaskSlots": 1}, "a": [1, 2], "b": true},
        "logging": {"log4jLoggers": {"": "INFO", "org.example": false}},
        "kubernetes": {"labels": {"team": 1}, "pods": {"envVars": [{"name": "A", "value": 1}]}},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_takes_the_crds_and_they_judge_as_they_should() {
    let needed = [Binary::Etcd, Binary::KubeApiserver];
    let Some(assets) = Assets::for_tests(&needed).await.unwrap() else {
        return;
    };
    let cluster = Cluster::start(ClusterOptions::new(assets)).await.unwrap();
    let client = cluster.client().await.unwrap();
    install(&client).await;
    let namespace =
        serde_json::from_value::<Namespace>(json!({"metadata": {"name": NAMESPACE}})).unwrap();
    Api::all(client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();

    takes_what_people_write(&client).await;
    refuses_what_excludes_itself(&client).await;
    names_stay_short(&client).await;
    a_target_never_changes(&client).await;
    scale_sets_task_managers(&client).await;

    cluster.stop().await.unwrap();
}

async fn takes_what_people_write(client: &Client) {
    let written = loosely_written();
    let stored = apply(client, &own("SessionCluster", "loose", written.clone()))
        .await
        .unwrap();
    assert_eq!(
        stored["spec"], written,
        "nothing is pruned, changed or defaulted"
    );
    for object in [
        own(
            "SessionJob",
            "job",
            json!({"job": {"entryClass": "com.example.Job", "args": ["--port", 9000, true]}}),
        ),
        own(
            "Savepoint",
            "savepoint",
            json!({"deploymentName": "topspeed"}),
        ),
        own(
            "Job",
            "run",
            json!({"deploymentName": "topspeed", "template": {"spec": {"parallelism": 1}}}),
        ),
        own(
            "DeploymentDefaults",
            "default",
            json!({"state": "running", "sessionCluster": {"flinkVersion": 1.2}}),
        ),
        own(
            "ClusterDeploymentDefaults",
            "default",
            json!({"upgradeStrategy": {"kind": "stateless"}}),
        ),
        own(
            "Environment",
            "prod",
            json!({"namespaces": ["*"], "deployment": {"template": {"spec": {"parallelism": 1}}}}),
        ),
        json!({
            "apiVersion": "cmf.confluent.io/v1", "kind": "FlinkApplication", "metadata": {"name": "application"},
            "spec": {"flinkVersion": "v1_19", "jobManager": {"resource": {"cpu": 0.5}}, "somethingNew": {"a": 1}},
        }),
    ] {
        let stored = apply(client, &object)
            .await
            .unwrap_or_else(|error| panic!("{object}: {error}"));
        assert_eq!(stored["spec"], object["spec"]);
    }
}

async fn refuses_what_excludes_itself(client: &Client) {
    let both_targets = json!({"deploymentTargetName": "a", "deploymentTargetId": "b"});
    refused(
        client,
        &own("Deployment", "d", both_targets),
        "spec: Invalid value: deploymentTargetName and deploymentTargetId exclude each other",
    )
    .await;
    for template in ["jobManagerPodTemplate", "taskManagerPodTemplate"] {
        let kubernetes = json!({"kubernetes": {"pods": {}, template: {"spec": {}}}});
        let text = "spec.kubernetes: Invalid value: pods and the pod templates exclude each other";
        refused(client, &own("SessionCluster", "c", kubernetes), text).await;
    }
    let both_jobs = json!({"deploymentName": "a", "sessionJobName": "b"});
    refused(
        client,
        &own("Savepoint", "s", both_jobs),
        "deploymentName and sessionJobName exclude each other",
    )
    .await;
    let everything_and_more = json!({"namespaces": ["*", "team-a"]});
    refused(
        client,
        &own("Environment", "e", everything_and_more),
        "'*' means all namespaces and stands alone",
    )
    .await;
    refused(
        client,
        &own("Environment", "e", json!({"namespaces": []})),
        "spec.namespaces in body should have at least 1 items",
    )
    .await;
    refused(
        client,
        &own("SessionCluster", "c", json!({"state": "RUNING"})),
        "supported values: \"RUNNING\", \"STOPPED\"",
    )
    .await;
}

async fn names_stay_short(client: &Client) {
    let longest = "a".repeat(sluice_api::names::MAX_NAME_CHARS);
    for kind in ["SessionCluster", "SessionJob", "Deployment"] {
        apply(client, &own(kind, &longest, json!({})))
            .await
            .unwrap();
        for name in [format!("{longest}a"), "1a".into(), "a.b".into()] {
            let text = "metadata.name: Invalid value: must be a DNS label of at most 45 characters";
            refused(client, &own(kind, &name, json!({})), text).await;
        }
    }
}

async fn a_target_never_changes(client: &Client) {
    let target = |namespace: &str| {
        own(
            "DeploymentTarget",
            "default",
            json!({"kubernetes": {"namespace": namespace}}),
        )
    };
    apply(client, &target(NAMESPACE)).await.unwrap();
    let mut labelled = target(NAMESPACE);
    labelled["metadata"]["labels"] = json!({"a": "b"});
    apply(client, &labelled).await.unwrap();
    refused(
        client,
        &target("elsewhere"),
        "spec of a DeploymentTarget never changes",
    )
    .await;
}

async fn scale_sets_task_managers(client: &Client) {
    let deployment = own(
        "Deployment",
        "scaled",
        json!({"template": {"spec": {"numberOfTaskManagers": 2}}}),
    );
    apply(client, &deployment).await.unwrap();
    let cluster = own("SessionCluster", "loose", loosely_written());
    for (object, pointer) in [
        (&cluster, "/spec/numberOfTaskManagers"),
        (&deployment, "/spec/template/spec/numberOfTaskManagers"),
    ] {
        let api = of(client, object);
        let name = object["metadata"]["name"].as_str().unwrap();
        assert_eq!(
            api.get_scale(name).await.unwrap().spec.unwrap().replicas,
            Some(2)
        );
        let seven = Patch::Merge(json!({"spec": {"replicas": 7}}));
        api.patch_scale(name, &PatchParams::default(), &seven)
            .await
            .unwrap();
        let stored = serde_json::to_value(api.get(name).await.unwrap()).unwrap();
        assert_eq!(stored.pointer(pointer), Some(&json!(7)), "{name}");
    }
}
