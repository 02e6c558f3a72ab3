//! The webhook in front of a real API server: registered, called, read with kubectl, and dead.
//! One test, so that the control plane is started once.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sluice_cluster::{Assets, AssetsCache, Binary, Cluster, ClusterOptions, free_loopback_port};
use sluice_webhook::registration::{Address, Registration, guard};
use sluice_webhook::{Config, Webhook};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(40);

/// What one kubectl call came to.
struct Said {
    code: i32,
    out: String,
    err: String,
}

struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    async fn run(&self, arguments: &[&str], stdin: &str) -> Said {
        let mut child = tokio::process::Command::new(&self.binary)
            .args(["--namespace", "team-a"])
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Must succeed; answers with what it printed on both channels.
    async fn ok(&self, arguments: &[&str], stdin: &str) -> String {
        let said = self.run(arguments, stdin).await;
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
        format!("{}{}", said.err, said.out)
    }

    /// Must fail; answers with standard error.
    async fn refused(&self, arguments: &[&str], stdin: &str) -> String {
        let said = self.run(arguments, stdin).await;
        assert_ne!(said.code, 0, "{arguments:?}: {}", said.out);
        said.err
    }

    async fn get(&self, what: &str) -> Value {
        serde_json::from_str(&self.ok(&["get", what, "-o", "json"], "").await).unwrap()
    }
}

async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut attempt: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + SOON;
    let mut every = tokio::time::interval(Duration::from_millis(50));
    loop {
        every.tick().await;
        if let Some(found) = attempt().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {SOON:?}"
        );
    }
}

async fn create(client: &Client, resource: &ApiResource, object: Value) {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

fn resource<K: kube::Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

async fn install(client: &Client, registration: &Registration) {
    use k8s_openapi::api::admissionregistration::v1 as admission;
    use k8s_openapi::api::core::v1::Namespace;
    for namespace in ["team-a", "sluice-system"] {
        let object =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        create(client, &resource::<Namespace>(), object).await;
    }
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in sluice_api::crds() {
        crds.create(&PostParams::default(), &crd).await.unwrap();
    }
    for crd in sluice_api::crds() {
        let name = crd.metadata.name.unwrap();
        eventually(&name, || async {
            let status = crds.get(&name).await.ok()?.status?;
            status
                .conditions?
                .iter()
                .any(|condition| condition.type_ == "Established" && condition.status == "True")
                .then_some(())
        })
        .await;
    }
    let mutating = serde_json::to_value(registration.mutating()).unwrap();
    let validating = serde_json::to_value(registration.validating()).unwrap();
    create(
        client,
        &resource::<admission::MutatingWebhookConfiguration>(),
        mutating,
    )
    .await;
    create(
        client,
        &resource::<admission::ValidatingWebhookConfiguration>(),
        validating,
    )
    .await;
    let policy = serde_json::to_value(guard::policy()).unwrap();
    create(
        client,
        &resource::<admission::ValidatingAdmissionPolicy>(),
        policy,
    )
    .await;
    let binding = serde_json::to_value(guard::binding()).unwrap();
    create(
        client,
        &resource::<admission::ValidatingAdmissionPolicyBinding>(),
        binding,
    )
    .await;
}

struct Running {
    ops: SocketAddr,
    stop: CancellationToken,
    hurry: CancellationToken,
    task: JoinHandle<Result<(), sluice_webhook::Error>>,
}

async fn start(kubeconfig: &Path, port: u16) -> Running {
    let mut config = Config::new(Address::Url(format!("https://127.0.0.1:{port}")));
    config.listen = SocketAddr::from(([127, 0, 0, 1], port));
    config.metrics_listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.kubeconfig = Some(kubeconfig.to_owned());
    let webhook = Webhook::bind(config).await.unwrap();
    let ops = webhook.ops_address().unwrap();
    let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
    let task = tokio::spawn(webhook.serve(stop.clone(), hurry.clone()));
    Running {
        ops,
        stop,
        hurry,
        task,
    }
}

/// A plain GET; status and body.
async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    use tokio::io::AsyncReadExt;
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

fn cluster_manifest(name: &str, state: &str, more: &str) -> String {
    format!(
        "apiVersion: sluice.dev/v1alpha1\nkind: SessionCluster\nmetadata: {{name: {name}}}\nspec:\n  state: {state}\n  flinkVersion: '1.20'\n  numberOfTaskManagers: 3\n{more}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_in_front_of_a_real_api_server() {
    let assets = Assets::obtain(&AssetsCache::Default, Binary::ALL)
        .await
        .unwrap();
    let cluster = Cluster::start(ClusterOptions::new(assets)).await.unwrap();
    let client = cluster.client().await.unwrap();
    let kubectl = Kubectl {
        binary: cluster.kubectl(),
        kubeconfig: cluster.kubeconfig(),
    };
    let port = free_loopback_port().unwrap();
    let registration = Registration {
        address: Address::Url(format!("https://127.0.0.1:{port}")),
        excluded_namespaces: vec!["sluice-system".to_owned()],
    };
    install(&client, &registration).await;

    let webhook = start(&cluster.kubeconfig(), port).await;
    eventually("ready", || async {
        (http_get(webhook.ops, "/readyz").await.0 == 200).then_some(())
    })
    .await;
    only_the_bundle_is_ours(&kubectl).await;
    // The API server takes up the bundle a moment later.
    let probe = cluster_manifest("probe", "STOPPED", "");
    eventually("called", || async {
        let said = kubectl
            .run(&["create", "--dry-run=server", "-f", "-"], &probe)
            .await;
        (said.code == 0).then_some(())
    })
    .await;

    manifests_are_completed_and_repeated_without_a_trace(&kubectl).await;
    what_is_wrong_is_refused_with_rule_and_remedy(&kubectl).await;
    a_running_cluster_is_frozen(&kubectl).await;
    quotas_refuse_with_exact_figures(&kubectl).await;
    quotas_hold_what_is_admitted(&kubectl).await;
    growth_past_a_quota_is_what_the_quota_says(&kubectl).await;
    crds_that_appear_later_are_picked_up(&client, webhook.ops).await;
    namespace_labels_are_guarded(&kubectl).await;
    metrics_count_what_happened(webhook.ops).await;

    webhook.stop.cancel();
    eventually("unready", || async {
        let (status, body) = http_get(webhook.ops, "/readyz").await;
        (status == 503 && body == "stopping\n").then_some(())
    })
    .await;
    kubectl
        .ok(&["create", "--dry-run=server", "-f", "-"], &probe)
        .await; // unready, but still answering
    webhook.hurry.cancel();
    tokio::time::timeout(SOON, webhook.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    with_every_webhook_dead_people_can_let_go(&kubectl).await;
    cluster.stop().await.unwrap();
}

async fn only_the_bundle_is_ours(kubectl: &Kubectl) {
    for kind in [
        "mutatingwebhookconfiguration/sluice",
        "validatingwebhookconfiguration/sluice",
    ] {
        let said = kubectl
            .ok(&["get", kind, "-o", "json", "--show-managed-fields"], "")
            .await;
        let stored: Value = serde_json::from_str(&said).unwrap();
        let entries = stored["metadata"]["managedFields"].as_array().unwrap();
        let ours = entries
            .iter()
            .find(|entry| entry["manager"] == "sluice-certs")
            .unwrap();
        assert_eq!(ours["operation"], "Apply");
        let name = stored["webhooks"][0]["name"].as_str().unwrap();
        assert_eq!(
            ours["fieldsV1"],
            json!({"f:webhooks": {format!("k:{{\"name\":\"{name}\"}}"): {
                ".": {}, "f:name": {}, "f:clientConfig": {"f:caBundle": {}}}}}),
            "{kind}"
        );
    }
}

async fn manifests_are_completed_and_repeated_without_a_trace(kubectl: &Kubectl) {
    let manifest = cluster_manifest("short", "stopped", "");
    assert!(
        kubectl
            .ok(&["apply", "-f", "-"], &manifest)
            .await
            .contains("sessioncluster.sluice.dev/short created")
    );
    let stored = kubectl.get("sessioncluster/short").await;
    assert_eq!(stored["spec"]["state"], "STOPPED", "normalised");
    assert!(
        stored["spec"]["resources"]["taskmanager"]["cpu"].is_number(),
        "{stored}"
    );
    assert!(
        stored["metadata"]["annotations"]["sluice.dev/defaults"].is_string(),
        "{stored}"
    );
    let version = |object: &Value| {
        (
            object["metadata"]["resourceVersion"].clone(),
            object["metadata"]["generation"].clone(),
        )
    };
    kubectl.ok(&["apply", "-f", "-"], &manifest).await;
    assert_eq!(
        version(&kubectl.get("sessioncluster/short").await),
        version(&stored),
        "applied again"
    );
    kubectl
        .ok(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &manifest,
        )
        .await;
    let once = kubectl.get("sessioncluster/short").await;
    assert_eq!(once["spec"], stored["spec"]);
    kubectl
        .ok(&["apply", "--server-side", "-f", "-"], &manifest)
        .await;
    assert_eq!(
        version(&kubectl.get("sessioncluster/short").await),
        version(&once),
        "server-side applied again"
    );
}

async fn what_is_wrong_is_refused_with_rule_and_remedy(kubectl: &Kubectl) {
    let wrong = cluster_manifest("wrong", "SLEEPING", "");
    let said = kubectl.refused(&["create", "-f", "-"], &wrong).await;
    assert!(
        said.contains("wrong") && said.contains("spec.state"),
        "{said}"
    );
    let small = cluster_manifest(
        "wrong",
        "STOPPED",
        "  resources: {taskmanager: {cpu: 0.01, memory: 2Gi}}\n",
    );
    let said = kubectl.refused(&["create", "-f", "-"], &small).await;
    assert_eq!(
        said,
        "Error from server (Forbidden): error when creating \"STDIN\": admission webhook \"validate.sluice.dev\" denied the \
         request: sessioncluster \"wrong\": spec.resources.taskmanager.cpu: 0.01 is too little; write at least 0.1 CPU. \
         [session-cluster/cpu]\n"
    );
}

async fn a_running_cluster_is_frozen(kubectl: &Kubectl) {
    kubectl
        .ok(
            &["create", "-f", "-"],
            &cluster_manifest("frozen", "RUNNING", ""),
        )
        .await;
    let patch = r#"{"spec":{"flinkVersion":"1.19","logging":{"loggingProfile":"other"}}}"#;
    let said = kubectl
        .refused(
            &[
                "patch",
                "sessioncluster/frozen",
                "--type=merge",
                "-p",
                patch,
            ],
            "",
        )
        .await;
    assert!(said.contains("admission webhook \"validate.sluice.dev\" denied the request: sessioncluster \"frozen\""), "{said}");
    assert!(
        said.contains("spec.flinkVersion \"1.20\" -> \"1.19\""),
        "{said}"
    );
    assert!(
        said.contains("spec.logging.loggingProfile"),
        "all fields at once: {said}"
    );
    assert!(
        said.trim_end().ends_with("[immutable/session-cluster]"),
        "{said}"
    );
    // One patch that stops and edits a frozen field does not pass unseen.
    let both = r#"{"spec":{"state":"STOPPED","flinkVersion":"1.19"}}"#;
    let said = kubectl
        .refused(
            &["patch", "sessioncluster/frozen", "--type=merge", "-p", both],
            "",
        )
        .await;
    assert!(said.contains("[immutable/session-cluster]"), "{said}");
    kubectl
        .ok(&["scale", "sessioncluster/frozen", "--replicas=5"], "")
        .await;
    assert_eq!(
        kubectl.get("sessioncluster/frozen").await["spec"]["numberOfTaskManagers"],
        5
    );
    let said = kubectl
        .ok(&["scale", "sessioncluster/frozen", "--replicas=4"], "")
        .await;
    assert!(
        said.contains("Warning:") && said.contains("may restart"),
        "scaling down warns: {said}"
    );
}

/// 82 CPU.
fn large(state: &str) -> String {
    cluster_manifest(
        "analytics",
        state,
        "  resources: {taskmanager: {cpu: 27}}\n",
    )
}

/// `"Kind" "Reason" "note"` of each Event.
async fn events(kubectl: &Kubectl) -> Vec<String> {
    let list = kubectl.get("events.events.k8s.io").await;
    let items = list["items"].as_array().unwrap();
    items
        .iter()
        .map(|event| {
            let kind = &event["regarding"]["kind"];
            format!("{kind} {} {}", event["reason"], event["note"])
        })
        .collect()
}

async fn held(kubectl: &Kubectl) -> Vec<Value> {
    let quota = kubectl.get("cpuquota/default").await;
    let pending = quota["status"]["pending"].as_array();
    pending.cloned().unwrap_or_default()
}

/// The controller does not run here, so the test counts for it.
async fn count(kubectl: &Kubectl, status: &str) {
    let patch = format!("{{\"status\":{status}}}");
    let arguments = [
        "patch",
        "cpuquota/default",
        "--subresource=status",
        "--type=merge",
        "-p",
        &patch,
    ];
    kubectl.ok(&arguments, "").await;
}

async fn quotas_refuse_with_exact_figures(kubectl: &Kubectl) {
    let quota = "{apiVersion: sluice.dev/v1alpha1, kind: CpuQuota, metadata: {name: default}, spec: {hard: {cpu: 100}}}";
    kubectl.ok(&["create", "-f", "-"], quota).await;
    let counted = r#"{"chargeFn":1,"observedGeneration":1,"confirmedMilli":40000}"#;
    count(kubectl, counted).await;
    let refusal = "admission webhook \"validate.sluice.dev\" denied the request: CpuQuota \"team-a/default\": starting \
                   sessioncluster \"analytics\" needs 82 CPU; 60 of 100 are free (40 in use, 0 reserved). Stop a workload or \
                   ask for 22 more CPU. [quota/cpu]";
    // The watch may bring the quota a moment later; until then nothing covers the namespace.
    eventually("the quota is known", || async {
        let create = ["create", "--dry-run=server", "-f", "-"];
        let said = kubectl.run(&create, &large("RUNNING")).await;
        (said.code != 0 && said.err.contains("(Forbidden)"))
            .then(|| assert!(said.err.contains(refusal), "{}", said.err))
    })
    .await;
    let none: Vec<String> = Vec::new();
    assert_eq!(events(kubectl).await, none, "a dry-run leaves no trace");
    let said = kubectl
        .refused(&["create", "-f", "-"], &large("RUNNING"))
        .await;
    assert!(said.contains(refusal), "{said}");
    let told = eventually("the Event", || async {
        let told = events(kubectl).await;
        (!told.is_empty()).then_some(told)
    })
    .await;
    let start = "\"CpuQuota\" \"QuotaExceeded\" \"CpuQuota \\\"team-a/default\\\": starting";
    assert!(told.len() == 1 && told[0].starts_with(start), "{told:?}");
    assert!(held(kubectl).await.is_empty(), "nothing is held for it");
}

async fn quotas_hold_what_is_admitted(kubectl: &Kubectl) {
    // Never refused, however large.
    kubectl.ok(&["create", "-f", "-"], &large("STOPPED")).await;
    let fits = cluster_manifest("fits", "RUNNING", "");
    kubectl
        .ok(&["create", "--dry-run=server", "-f", "-"], &fits)
        .await;
    assert!(held(kubectl).await.is_empty(), "a dry-run holds nothing");
    kubectl.ok(&["create", "-f", "-"], &fits).await;
    let pending = held(kubectl).await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    assert_eq!(
        (&pending[0]["from"], &pending[0]["to"]),
        (&json!(0), &json!(4000))
    );
    let uid = &kubectl.get("sessioncluster/fits").await["metadata"]["uid"];
    assert_eq!(&pending[0]["uid"], uid);
}

async fn growth_past_a_quota_is_what_the_quota_says(kubectl: &Kubectl) {
    // onGrowth: Warn is what an absent field means.
    let said = kubectl
        .ok(&["scale", "sessioncluster/fits", "--replicas=99"], "")
        .await;
    let warning =
        "Warning: CpuQuota \"team-a/default\": sessioncluster \"fits\" was admitted past the quota";
    assert!(said.contains(warning), "{said}");
    assert_eq!(held(kubectl).await.len(), 2);
    let enforce = r#"{"spec":{"onGrowth":"Enforce"}}"#;
    kubectl
        .ok(
            &["patch", "cpuquota/default", "--type=merge", "-p", enforce],
            "",
        )
        .await;
    count(kubectl, r#"{"observedGeneration":2}"#).await;
    let said = kubectl
        .refused(&["scale", "sessioncluster/fits", "--replicas=200"], "")
        .await;
    let refusal = "growing sessioncluster \"fits\" needs 101 more CPU";
    assert!(said.contains(refusal), "{said}");
    eventually("the Event on the workload", || async {
        let told = events(kubectl).await;
        let start = "\"SessionCluster\" \"GrowthRefused\"";
        told.iter()
            .any(|event| event.starts_with(start))
            .then_some(())
    })
    .await;
    kubectl
        .ok(&["scale", "sessioncluster/fits", "--replicas=1"], "")
        .await;
    let all = [
        "delete",
        "cpuquota/default",
        "sessioncluster/fits",
        "sessioncluster/analytics",
    ];
    kubectl.ok(&all, "").await;
}

/// The CRD of a kind that dialects look up, installed long after the start.
async fn crds_that_appear_later_are_picked_up(client: &Client, ops: SocketAddr) {
    let synced = "sluice_cache_synced{resource=\"flinkenvironments\"}";
    let (_, before) = http_get(ops, "/metrics").await;
    assert!(before.contains(&format!("{synced} 0")), "{before}");
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "flinkenvironments.platform.confluent.io"},
        "spec": {
            "group": "platform.confluent.io", "scope": "Namespaced",
            "names": {"plural": "flinkenvironments", "singular": "flinkenvironment", "kind": "FlinkEnvironment"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}],
        },
    });
    crds.patch(
        "flinkenvironments.platform.confluent.io",
        &PatchParams::apply("test"),
        &Patch::Apply(crd),
    )
    .await
    .unwrap();
    eventually("the new CRD's cache", || async {
        http_get(ops, "/metrics")
            .await
            .1
            .contains(&format!("{synced} 1"))
            .then_some(())
    })
    .await;
}

async fn namespace_labels_are_guarded(kubectl: &Kubectl) {
    let rbac = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: namespace-editor}
rules:
- {apiGroups: [''], resources: [namespaces], verbs: [get, patch, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: namespace-editor}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: namespace-editor}
subjects: [{kind: User, name: ann}]
";
    kubectl.ok(&["apply", "-f", "-"], rbac).await;
    let guarded = [
        "label",
        "namespace",
        "team-a",
        "--overwrite",
        "--as=ann",
        "sluice.dev/quota=off",
    ];
    let said = eventually("the guard", || async {
        let said = kubectl.run(&guarded, "").await;
        (said.code != 0 && said.err.contains("modes/guarded")).then_some(said.err)
    })
    .await;
    assert!(
        said.contains("needs the verb \"set\" on modes.sluice.dev"),
        "{said}"
    );
    kubectl
        .ok(
            &["label", "namespace", "team-a", "--as=ann", "owner=ann"],
            "",
        )
        .await;
    // An administrator may, and the mode takes effect.
    kubectl
        .ok(
            &[
                "label",
                "namespace",
                "team-a",
                "--overwrite",
                "sluice.dev/immutability=warn",
            ],
            "",
        )
        .await;
    let patch = [
        "patch",
        "sessioncluster/frozen",
        "--type=merge",
        "--dry-run=server",
        "-p",
        r#"{"spec":{"flinkVersion":"1.19"}}"#,
    ];
    eventually("the mode", || async {
        let said = kubectl.run(&patch, "").await;
        (said.code == 0
            && said
                .err
                .contains("Warning: would be refused: sessioncluster \"frozen\""))
        .then_some(())
    })
    .await;
    kubectl
        .ok(
            &["label", "namespace", "team-a", "sluice.dev/immutability-"],
            "",
        )
        .await;
}

async fn metrics_count_what_happened(ops: SocketAddr) {
    let (status, text) = http_get(ops, "/metrics").await;
    assert_eq!(status, 200);
    for part in [
        "sluice_admission_requests_total{endpoint=\"mutate\",kind=\"SessionCluster\",operation=\"CREATE\",verdict=\"allowed\",rule=\"\",answer=\"allowed\"}",
        "kind=\"SessionCluster\",operation=\"UPDATE\",verdict=\"denied\",rule=\"immutable/session-cluster\",answer=\"denied\"}",
        "kind=\"SessionCluster\",operation=\"UPDATE\",verdict=\"denied\",rule=\"immutable/session-cluster\",answer=\"allowed\"}",
        "operation=\"SCALE\"",
        "sluice_cache_synced{resource=\"namespaces\"} 1",
        "sluice_certificate_not_after_timestamp_seconds{role=\"leaf\"}",
        "sluice_ready 1",
        "sluice_ledger_writes_total 2",
        "sluice_events_total{outcome=\"written\"}",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

async fn with_every_webhook_dead_people_can_let_go(kubectl: &Kubectl) {
    let said = kubectl
        .refused(
            &["create", "-f", "-"],
            &cluster_manifest("late", "RUNNING", ""),
        )
        .await;
    assert!(
        said.contains("failed calling webhook \"validate.sluice.dev\""),
        "nothing is made unjudged: {said}"
    );
    let said = kubectl
        .refused(&["scale", "sessioncluster/frozen", "--replicas=9"], "")
        .await;
    assert!(said.contains("failed calling webhook"), "{said}");
    kubectl
        .ok(&["label", "sessioncluster/frozen", "owner=ann"], "")
        .await;
    kubectl
        .ok(&["annotate", "sessioncluster/frozen", "note=x"], "")
        .await;
    kubectl
        .ok(&["scale", "sessioncluster/frozen", "--replicas=2"], "")
        .await;
    let lower = r#"{"spec":{"numberOfTaskManagers":1}}"#;
    kubectl
        .ok(
            &[
                "patch",
                "sessioncluster/frozen",
                "--type=merge",
                "-p",
                lower,
            ],
            "",
        )
        .await;
    let stop = r#"{"spec":{"state":"STOPPED"}}"#;
    kubectl
        .ok(
            &["patch", "sessioncluster/frozen", "--type=merge", "-p", stop],
            "",
        )
        .await;
    let stored = kubectl.get("sessioncluster/frozen").await;
    assert_eq!(stored["spec"]["state"], "STOPPED");
    assert_eq!(stored["spec"]["numberOfTaskManagers"], 1);
    kubectl
        .ok(
            &[
                "delete",
                "sessioncluster/frozen",
                "sessioncluster/short",
                "--wait=false",
            ],
            "",
        )
        .await;
    let start = r#"{"spec":{"state":"RUNNING"}}"#;
    let said = kubectl
        .run(
            &[
                "patch",
                "sessioncluster/frozen",
                "--type=merge",
                "-p",
                start,
            ],
            "",
        )
        .await;
    assert_ne!(said.code, 0, "gone, or not judged: {}", said.out);
}
