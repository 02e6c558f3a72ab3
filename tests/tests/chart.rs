//! The Helm chart by a real helm in front of a real API server: what it renders, installs, upgrades, rolls back and leaves behind.
//! There is no node: webhook and controller run here, with the rights of the service accounts that the chart made.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use serde_json::{Value, json};
use sluice_cluster::{
    Assets, Binary, Cluster, ClusterOptions, Process, ProcessSpec, free_loopback_port,
};
use sluice_tests::{eventually, sluice_binary};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const SYSTEM: &str = "sluice-system";
const SOON: Duration = Duration::from_secs(90);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart() -> PathBuf {
    repository().join("charts/sluice")
}

/// What a program came to.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    fn refused(self) -> String {
        assert_ne!(self.code, 0, "{}", self.out);
        self.err
    }
}

fn run(mut command: Command, input: &str) -> Said {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// helm with a home of its own; without a cluster unless there is a kubeconfig.
struct Helm {
    binary: PathBuf,
    home: tempfile::TempDir,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    fn new(assets: &Assets, kubeconfig: Option<PathBuf>) -> Self {
        Self {
            binary: assets.path(Binary::Helm),
            home: tempfile::tempdir().unwrap(),
            kubeconfig,
        }
    }

    fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("HELM_CACHE_HOME", self.home.path().join("cache"))
            .env("HELM_CONFIG_HOME", self.home.path().join("config"))
            .env("HELM_DATA_HOME", self.home.path().join("data"))
            .env(
                "KUBECONFIG",
                self.kubeconfig
                    .as_deref()
                    .unwrap_or(Path::new("/nonexistent")),
            );
        run(command, "")
    }

    /// What the chart renders with these values.
    fn template(&self, values: &[&str]) -> Said {
        let chart = chart();
        let mut arguments = vec!["template", "sluice", chart.to_str().unwrap(), "-n", SYSTEM];
        for value in values {
            arguments.extend(["--set", value]);
        }
        self.run(&arguments)
    }
}

fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
}

#[track_caller]
fn find<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    all.iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

async fn helm() -> Option<Assets> {
    Assets::for_tests(&[Binary::Helm]).await.unwrap()
}

#[tokio::test]
async fn install_yaml_is_what_the_chart_renders() {
    let Some(assets) = helm().await else { return };
    let helm = Helm::new(&assets, None);
    let chart = chart();
    let rendered = helm
        .run(&[
            "template",
            "sluice",
            chart.to_str().unwrap(),
            "-n",
            SYSTEM,
            "--set",
            "namespace.create=true",
            "--skip-tests",
        ])
        .ok();
    let expected = format!(
        "# Rendered by helm from charts/sluice with its default values: `kubectl apply --server-side -f install.yaml`. The test \
         `chart` keeps it so.\n{rendered}"
    );
    let path = repository().join("charts/install.yaml");
    if std::env::var_os("SLUICE_UPDATE_MANIFESTS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(
        stored == expected,
        "charts/install.yaml is stale; run this test with SLUICE_UPDATE_MANIFESTS=1"
    );
    // Nothing random: a GitOps tool that renders again sees no difference.
    assert_eq!(rendered, helm_again(&helm));
    let version: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(chart.join("Chart.yaml")).unwrap())
            .unwrap();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(version["appVersion"], env!("CARGO_PKG_VERSION"));
}

fn helm_again(helm: &Helm) -> String {
    let chart = chart();
    helm.run(&[
        "template",
        "sluice",
        chart.to_str().unwrap(),
        "-n",
        SYSTEM,
        "--set",
        "namespace.create=true",
        "--skip-tests",
    ])
    .ok()
}

#[tokio::test]
async fn values_are_described_and_a_typo_is_an_error_that_names_it() {
    let Some(assets) = helm().await else { return };
    let helm = Helm::new(&assets, None);
    for (value, named) in [
        ("replica=3", "additional properties 'replica' not allowed"),
        (
            "webhook.prot=1",
            "at '/webhook': additional properties 'prot' not allowed",
        ),
        (
            "monitoring.serviceMonitor.enable=true",
            "'enable' not allowed",
        ),
        (
            "controller.placement=apart",
            "at '/controller/placement': value must be one of 'sidecar', 'deployment'",
        ),
        ("replicas=0", "at '/replicas': minimum"),
        ("replicas=two", "at '/replicas': got string, want integer"),
        ("webhook.url=http://a", "at '/webhook/url'"),
        ("image.digest=sha256:12", "at '/image/digest'"),
        ("operatorConfig=a", "at '/operatorConfig'"),
        ("tls.mode=mine", "at '/tls/mode': value must be one of"),
        ("tls.mode=secret", "at '/tls/secret/name'"),
        ("tls.secret.caBundle=a", "at '/tls/secret/caBundle'"),
        ("tls.self.caDwell=1", "at '/tls/self'"),
        ("tls.clients.names={a}", "names is given without CAs"),
        (
            "tracing.otlpEndpoint=collector",
            "at '/tracing/otlpEndpoint'",
        ),
    ] {
        let said = helm.template(&[value]).refused();
        assert!(said.contains(named), "{value}: {said}");
    }
    // Every value has a description, and every description a value.
    let schema: Value =
        serde_json::from_str(&std::fs::read_to_string(chart().join("values.schema.json")).unwrap())
            .unwrap();
    let values: Value =
        serde_saphyr::from_str(&std::fs::read_to_string(chart().join("values.yaml")).unwrap())
            .unwrap();
    described("", &schema, &values);
}

fn described(path: &str, schema: &Value, values: &Value) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    assert_eq!(schema["additionalProperties"], json!(false), "{path}");
    for key in values.as_object().unwrap().keys() {
        assert!(
            properties.contains_key(key),
            "{path}.{key} is not in the schema"
        );
    }
    for (key, below) in properties {
        let path = format!("{path}.{key}");
        assert!(
            below["description"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{path} has no description"
        );
        let optional = [
            ".global",
            ".webhook.resources.claims",
            ".controller.resources.claims",
        ];
        if optional.contains(&path.as_str()) {
            continue;
        }
        let value = values.get(key);
        assert!(value.is_some(), "{path} is not in values.yaml");
        described(&path, below, value.unwrap());
    }
}

#[tokio::test]
async fn values_do_what_they_say() {
    let Some(assets) = helm().await else { return };
    let helm = Helm::new(&assets, None);
    let plain = documents(&helm.template(&[]).ok());
    let deployment = find(&plain, "Deployment", "sluice");
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(deployment["spec"]["replicas"], 2);
    probed(&plain, &pod["containers"]);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    let containers = pod["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2, "webhook and sidecar controller");
    for container in containers {
        let security = &container["securityContext"];
        assert_eq!(security["readOnlyRootFilesystem"], true);
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert_eq!(security["allowPrivilegeEscalation"], false);
    }
    let constraints = pod["topologySpreadConstraints"].as_array().unwrap();
    assert!(
        constraints
            .iter()
            .all(|c| c["whenUnsatisfiable"] == "ScheduleAnyway")
    );
    assert_eq!(
        find(&plain, "PodDisruptionBudget", "sluice")["spec"]["maxUnavailable"],
        1
    );
    for crd in plain
        .iter()
        .filter(|object| object["kind"] == "CustomResourceDefinition")
    {
        assert_eq!(
            crd["metadata"]["annotations"]["helm.sh/resource-policy"],
            "keep"
        );
    }
    let validating = &find(&plain, "ValidatingWebhookConfiguration", "sluice")["webhooks"][0];
    assert_eq!(validating["failurePolicy"], "Fail");
    assert!(validating["clientConfig"].get("caBundle").is_none());
    assert_eq!(validating["clientConfig"]["service"]["namespace"], SYSTEM);
    assert_eq!(
        validating["namespaceSelector"]["matchExpressions"][0]["values"],
        json!(["kube-system", "kube-node-lease", SYSTEM])
    );

    let apart = documents(&helm.template(&["controller.placement=deployment"]).ok());
    let webhook = find(&apart, "Deployment", "sluice");
    probed_apart(&apart);
    assert_eq!(
        webhook["spec"]["template"]["spec"]["containers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    let controller = find(&apart, "Deployment", "sluice-controller");
    assert_eq!(
        controller["spec"]["template"]["spec"]["serviceAccountName"],
        "sluice-controller"
    );
    let may = |role: &str, resource: &str, verb: &str| {
        find(&apart, "ClusterRole", role)["rules"]
            .as_array()
            .unwrap()
            .iter()
            .any(|rule| {
                let has = |field: &str, word: &str| {
                    rule[field]
                        .as_array()
                        .is_some_and(|all| all.contains(&json!(word)))
                };
                has("resources", resource) && has("verbs", verb)
            })
    };
    assert!(may("sluice-controller", "pods", "delete") && !may("sluice", "pods", "delete"));
    assert!(may("sluice", "cpuquotas/status", "update"));
    assert!(!may("sluice", "deployments", "create") && !may("sluice", "configmaps", "list"));
    assert!(!may(
        "sluice-controller",
        "mutatingwebhookconfigurations",
        "patch"
    ));

    let digest = "0".repeat(64);
    let more = documents(
        &helm
            .template(&[
                "webhook.url=https://10.0.0.1:9443/",
                "webhook.failurePolicy=Ignore",
                "webhook.excludedNamespaces={legacy}",
                "crds.enabled=false",
                "commonLabels.team=platform",
                &format!("image.digest=sha256:{digest}"),
                "priorityClassName=system-cluster-critical",
                "operatorConfig=flink-operator/flink-operator-config",
                "webhook.extraArgs={--shutdown-grace=3}",
                "podDisruptionBudget.enabled=false",
            ])
            .ok(),
    );
    assert!(
        more.iter()
            .all(|object| object["kind"] != "CustomResourceDefinition")
    );
    assert!(
        more.iter()
            .all(|object| object["kind"] != "PodDisruptionBudget")
    );
    assert!(
        more.iter()
            .all(|object| object["metadata"]["labels"]["team"] == "platform")
    );
    let validating = &find(&more, "ValidatingWebhookConfiguration", "sluice")["webhooks"][0];
    assert_eq!(
        validating["clientConfig"],
        json!({"url": "https://10.0.0.1:9443/validate"})
    );
    assert_eq!(validating["failurePolicy"], "Ignore");
    assert_eq!(
        validating["namespaceSelector"]["matchExpressions"][0]["values"],
        json!(["kube-system", "kube-node-lease", SYSTEM, "legacy"])
    );
    let pod = &find(&more, "Deployment", "sluice")["spec"]["template"]["spec"];
    assert_eq!(pod["priorityClassName"], "system-cluster-critical");
    let webhook = &pod["containers"][0];
    assert_eq!(
        webhook["image"],
        format!("ghcr.io/sluice-dev/sluice@sha256:{digest}")
    );
    let args: Vec<&str> = webhook["args"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for arg in [
        "--url=https://10.0.0.1:9443/",
        "--operator-config=flink-operator/flink-operator-config",
        "--shutdown-grace=3",
    ] {
        assert!(args.contains(&arg), "{arg}: {args:?}");
    }
    let role = find(&more, "Role", "sluice-operator-config");
    assert_eq!(role["metadata"]["namespace"], "flink-operator");
    assert_eq!(
        role["rules"][0]["resourceNames"],
        json!(["flink-operator-config"])
    );
}

/// Beside a webhook: ports of its own, alive, and no say in whether the pod is ready.
fn probed(all: &[Value], containers: &Value) {
    let controller = &containers[1];
    assert_eq!(controller["name"], "controller");
    assert_eq!(
        controller["ports"],
        json!([{"name": "ctl-metrics", "containerPort": 8081}])
    );
    assert_eq!(
        controller["livenessProbe"]["httpGet"],
        json!({"path": "/healthz", "port": "ctl-metrics"})
    );
    assert!(controller.get("readinessProbe").is_none());
    let args = controller["args"].as_array().unwrap();
    assert!(args.contains(&json!("--metrics-listen=0.0.0.0:8081")));
    let ports = find(all, "Service", "sluice")["spec"]["ports"]
        .as_array()
        .unwrap();
    let names: Vec<_> = ports.iter().map(|port| &port["name"]).collect();
    assert_eq!(names, ["webhook", "metrics", "ctl-metrics"]);
}

fn probed_apart(all: &[Value]) {
    let controller = find(all, "Deployment", "sluice-controller");
    let container = &controller["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        container["readinessProbe"]["httpGet"],
        json!({"path": "/readyz", "port": "ctl-metrics"})
    );
    let service = find(all, "Service", "sluice-controller");
    assert_eq!(
        service["spec"]["selector"],
        controller["spec"]["selector"]["matchLabels"]
    );
    let ports = find(all, "Service", "sluice")["spec"]["ports"]
        .as_array()
        .unwrap();
    assert_eq!(ports.len(), 2);
}

#[tokio::test]
async fn the_certificate_comes_from_whom_the_values_say() {
    let Some(assets) = helm().await else { return };
    let helm = Helm::new(&assets, None);
    let render = |values: &[&str]| documents(&helm.template(values).ok());
    let webhook = |all: &[Value]| {
        find(all, "Deployment", "sluice")["spec"]["template"]["spec"]["containers"][0].clone()
    };
    let has = |container: &Value, arg: &str| {
        let args = container["args"].as_array().unwrap();
        args.contains(&json!(arg))
    };
    let registered = |all: &[Value]| find(all, "ValidatingWebhookConfiguration", "sluice").clone();

    let own = render(&[
        "tls.self.caDwellSeconds=60",
        "tls.self.caRetireSeconds=700000000",
    ]);
    assert!(has(&webhook(&own), "--ca-dwell=60"));
    assert!(has(&webhook(&own), "--ca-retire=700000000"));
    assert!(webhook(&own).get("volumeMounts").is_none());
    find(&own, "Secret", "sluice-ca");

    let ours = render(&["tls.mode=certManager"]);
    let leaf = find(&ours, "Certificate", "sluice");
    let names = json!([
        "sluice.sluice-system.svc",
        "sluice.sluice-system.svc.cluster.local"
    ]);
    assert_eq!(leaf["spec"]["dnsNames"], names);
    assert_eq!(leaf["spec"]["secretName"], "sluice-tls");
    let issuer = find(
        &ours,
        "Issuer",
        leaf["spec"]["issuerRef"]["name"].as_str().unwrap(),
    );
    let ca = find(&ours, "Certificate", "sluice-ca");
    assert_eq!(issuer["spec"]["ca"]["secretName"], ca["spec"]["secretName"]);
    let from = &registered(&ours)["metadata"]["annotations"]["cert-manager.io/inject-ca-from"];
    assert_eq!(from, "sluice-system/sluice");
    assert!(has(&webhook(&ours), "--tls-cert=/etc/sluice/tls/tls.crt"));
    assert_eq!(
        webhook(&ours)["volumeMounts"][0]["mountPath"],
        "/etc/sluice/tls"
    );
    assert!(ours.iter().all(|object| object["kind"] != "Secret"));

    let theirs = render(&[
        "tls.mode=certManager",
        "tls.certManager.issuerRef.name=company",
        "tls.certManager.issuerRef.kind=ClusterIssuer",
        "webhook.url=https://[fd00::1]:9443",
    ]);
    let leaf = find(&theirs, "Certificate", "sluice");
    assert_eq!(leaf["spec"]["ipAddresses"], json!(["fd00::1"]));
    assert_eq!(leaf["spec"]["issuerRef"]["kind"], "ClusterIssuer");
    assert!(theirs.iter().all(|object| object["kind"] != "Issuer"));

    let pem = "-----BEGIN CERTIFICATE-----";
    let given = render(&[
        "tls.mode=secret",
        "tls.secret.name=mine",
        &format!("tls.secret.caBundle={pem}"),
        "tls.clients.secret=clients",
        "tls.clients.names={kube-apiserver}",
    ]);
    let bundle = &registered(&given)["webhooks"][0]["clientConfig"]["caBundle"];
    assert_eq!(bundle, "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t");
    let volumes = &find(&given, "Deployment", "sluice")["spec"]["template"]["spec"]["volumes"];
    assert_eq!(volumes[0]["secret"]["secretName"], "mine");
    assert_eq!(volumes[1]["secret"]["secretName"], "clients");
    assert!(has(
        &webhook(&given),
        "--client-ca=/etc/sluice/clients/ca.crt"
    ));
    assert!(has(&webhook(&given), "--client-name=kube-apiserver"));
}

#[tokio::test]
async fn what_watches_is_switched_on_by_values() {
    let Some(assets) = helm().await else { return };
    let helm = Helm::new(&assets, None);
    let said = helm.template(&["controller.metricsPort=8080"]).refused();
    assert!(said.contains("give one of them another port"), "{said}");
    for placement in ["sidecar", "deployment"] {
        let all = documents(
            &helm
                .template(&[
                    &format!("controller.placement={placement}"),
                    "networkPolicy.enabled=true",
                    "monitoring.serviceMonitor.enabled=true",
                    "monitoring.dashboard.enabled=true",
                    "monitoring.dashboard.labels.folder=flink",
                ])
                .ok(),
        );
        let dashboard = find(&all, "ConfigMap", "sluice-dashboard");
        assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(dashboard["metadata"]["labels"]["folder"], "flink");
        let shipped: Value =
            serde_json::from_str(dashboard["data"]["sluice.json"].as_str().unwrap()).unwrap();
        let stored = std::fs::read_to_string(chart().join("files/dashboard.json")).unwrap();
        assert_eq!(shipped, serde_json::from_str::<Value>(&stored).unwrap());
        // Each port that is read is one of a Service that it selects, and the policy lets it through.
        let monitor = &find(&all, "ServiceMonitor", "sluice")["spec"];
        for endpoint in monitor["endpoints"].as_array().unwrap() {
            let port = &endpoint["port"];
            let has = |kind: &str, pointer: &str| {
                all.iter()
                    .filter(|object| object["kind"] == kind)
                    .filter_map(|object| object.pointer(pointer))
                    .any(|found| found.to_string().contains(&port.to_string()))
            };
            assert!(has("Service", "/spec/ports"), "{placement} {port}");
            assert!(has("NetworkPolicy", "/spec/ingress"), "{placement} {port}");
        }
    }
}

/// A control plane, kubectl, helm, and what runs in place of pods.
struct Stage {
    cluster: Cluster,
    helm: Helm,
    sluice: PathBuf,
    dir: tempfile::TempDir,
}

impl Stage {
    async fn set() -> Option<Self> {
        let needed = [Binary::ALL, &[Binary::Helm]].concat();
        let assets = Assets::for_tests(&needed).await.unwrap()?;
        let cluster = Cluster::start(ClusterOptions::new(assets.clone()))
            .await
            .unwrap();
        let helm = Helm::new(&assets, Some(cluster.kubeconfig()));
        Some(Self {
            cluster,
            helm,
            sluice: sluice_binary().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        })
    }

    fn kubectl(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = Command::new(self.cluster.kubectl());
        command
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments);
        run(command, input)
    }

    fn get(&self, what: &str) -> Value {
        serde_json::from_str(
            &self
                .kubectl(&["get", what, "-n", SYSTEM, "-o", "json"], "")
                .ok(),
        )
        .unwrap()
    }

    fn sluice(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.sluice);
        command
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments);
        run(command, "")
    }

    /// A process of Sluice as a pod would run it: with the service account's rights and no others.
    fn pod(&self, account: &str, arguments: &[&str]) -> Process {
        let token = self
            .kubectl(&["create", "token", account, "-n", SYSTEM], "")
            .ok();
        let kubeconfig = self.dir.path().join(format!("{}.kubeconfig", arguments[0]));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "pod",
            "clusters": [{"name": "pod", "cluster": {"server": self.cluster.server_url(), "certificate-authority": self.cluster.ca_cert()}}],
            "users": [{"name": "pod", "user": {"token": token.trim()}}],
            "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod", "namespace": SYSTEM}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let log = self.dir.path().join(format!("{}.log", arguments[0]));
        Process::spawn(
            ProcessSpec::new(arguments[0], &self.sluice, log)
                .args(arguments.iter().copied())
                .arg("--kubeconfig")
                .arg(&kubeconfig),
        )
        .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn installed_upgraded_rolled_back_and_gone() {
    let Some(stage) = Stage::set().await else {
        return;
    };
    everything_that_renders_is_valid(&stage);
    let bundle = installs_upgrades_and_rolls_back(&stage);
    assert!(!bundle.is_empty());
    uninstalls(&stage);
    stage.cluster.stop().await.unwrap();
}

/// Every combination as the API server itself reads it, strictly: an unknown or wrongly typed field is an error.
fn everything_that_renders_is_valid(stage: &Stage) {
    for namespace in [SYSTEM, "flink-operator"] {
        stage.kubectl(&["create", "namespace", namespace], "").ok();
    }
    for (group, plural, kind) in [
        ("monitoring.coreos.com", "servicemonitors", "ServiceMonitor"),
        ("monitoring.coreos.com", "prometheusrules", "PrometheusRule"),
        ("cert-manager.io", "certificates", "Certificate"),
        ("cert-manager.io", "issuers", "Issuer"),
    ] {
        let crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced",
                "names": {"plural": plural, "kind": kind, "singular": kind.to_lowercase(), "listKind": format!("{kind}List")},
                "versions": [{"name": "v1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}]},
        });
        stage.kubectl(&["apply", "-f", "-"], &crd.to_string()).ok();
        let name = format!("crd/{plural}.{group}");
        stage
            .kubectl(
                &[
                    "wait",
                    "--for=condition=Established",
                    "--timeout=60s",
                    &name,
                ],
                "",
            )
            .ok();
    }
    let combinations: [&[&str]; 8] = [
        &[],
        &[
            "crds.enabled=false",
            "controller.placement=deployment",
            "controller.replicas=2",
            "controller.ledgerOnly=true",
            "controller.allowLocalFetch=true",
        ],
        &[
            "namespace.create=true",
            "crds.confluent=true",
            "crds.keep=false",
        ],
        &[
            "crds.enabled=false",
            "webhook.url=https://10.0.0.1",
            "operatorConfig=flink-operator/flink-operator-config",
            "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "imagePullSecrets[0].name=pull",
        ],
        &[
            "crds.enabled=false",
            "networkPolicy.enabled=true",
            "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.a=b",
            "monitoring.serviceMonitor.enabled=true",
            "monitoring.serviceMonitor.labels.release=p",
            "monitoring.prometheusRule.enabled=true",
            "monitoring.dashboard.enabled=true",
            "podDisruptionBudget.maxUnavailable=50%",
        ],
        &[
            "crds.enabled=false",
            "tls.mode=certManager",
            "tls.clients.secret=clients",
            "tls.clients.names={kube-apiserver}",
            "tracing.otlpEndpoint=http://collector:4318",
        ],
        &[
            "crds.enabled=false",
            "tls.mode=secret",
            "tls.secret.name=mine",
            "tls.clients.configMap=clients",
            "controller.placement=deployment",
        ],
        &[
            "crds.enabled=false",
            "commonLabels.team=a",
            "podLabels.x=y",
            "podAnnotations.p=q",
            "nodeSelector.n=m",
            "tolerations[0].operator=Exists",
            "priorityClassName=system-cluster-critical",
            "spread=false",
            "flowControl.enabled=false",
            "serviceAccount.annotations.a=b",
            "webhook.extraEnv[0].name=A",
            "webhook.extraEnv[0].value=b",
            "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
            "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].key=k",
            "affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0].operator=Exists",
        ],
    ];
    for values in combinations {
        let began = std::time::Instant::now();
        let rendered = stage.helm.template(values).ok();
        // Objects of our own kinds are none among these, so one dry-run sees all of it.
        let said = stage.kubectl(
            &[
                "apply",
                "--server-side",
                "--dry-run=server",
                "--validate=strict",
                "-f",
                "-",
            ],
            &rendered,
        );
        assert_eq!(said.code, 0, "{values:?}: {}", said.err);
        assert!(
            !said.err.contains("unknown field"),
            "{values:?}: {}",
            said.err
        );
        eprintln!("{values:?} is valid, {:.1?}", began.elapsed());
    }
    // The check itself can fail.
    let wrong = stage
        .helm
        .template(&["crds.enabled=false"])
        .ok()
        .replace("terminationGracePeriodSeconds", "terminationGraceSeconds");
    let said = stage.kubectl(
        &[
            "apply",
            "--server-side",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
        ],
        &wrong,
    );
    assert!(said.refused().contains("terminationGraceSeconds"));
}

/// The chart as an earlier version had it: another number, a shorter time-out, no guard of the statuses.
fn earlier(dir: &Path) -> PathBuf {
    let old = dir.join("earlier");
    let copied = Command::new("cp")
        .arg("-r")
        .arg(chart())
        .arg(&old)
        .status()
        .unwrap();
    assert!(copied.success());
    let edit = |file: &str, from: &str, to: &str| {
        let path = old.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file}: {from}");
        std::fs::write(&path, text.replace(from, to)).unwrap();
    };
    edit("Chart.yaml", "version: 0.1.0", "version: 0.0.9");
    edit(
        "generated/registration.yaml",
        "timeoutSeconds: 3",
        "timeoutSeconds: 2",
    );
    edit(
        "generated/registration.yaml",
        "sluice-statuses",
        "sluice-statuses-before",
    );
    old
}

fn installs_upgrades_and_rolls_back(stage: &Stage) -> String {
    let before = stage.sluice(&["doctor", "--pre"]);
    assert!(
        before.out.contains("no Sluice is installed yet"),
        "{}",
        before.out
    );
    assert_eq!(before.code, 0, "{}", before.out);
    let missing = stage.sluice(&["doctor"]);
    assert_eq!(missing.code, 1);
    assert!(
        missing.out.contains("CustomResourceDefinition") && missing.out.contains("is not there"),
        "{}",
        missing.out
    );

    let port = free_loopback_port().unwrap();
    let url = format!("webhook.url=https://127.0.0.1:{port}");
    let old = earlier(stage.dir.path());
    let with = |command: &str, chart: &Path, more: &[&str]| {
        let mut arguments = vec![command, "sluice", chart.to_str().unwrap(), "-n", SYSTEM];
        for value in [url.as_str(), "controller.placement=deployment"]
            .iter()
            .chain(more)
        {
            arguments.extend(["--set", value]);
        }
        stage.helm.run(&arguments)
    };
    let notes = with("install", &old, &["replicas=1"]).ok();
    assert!(
        notes.contains("WARNING: replicas is 1 and webhook.failurePolicy is Fail"),
        "{notes}"
    );
    let listen = format!("--listen=127.0.0.1:{port}");
    let ops = format!(
        "--metrics-listen=127.0.0.1:{}",
        free_loopback_port().unwrap()
    );
    let at = format!("--url=https://127.0.0.1:{port}");
    let webhook = stage.pod("sluice", &["webhook", &listen, &ops, &at]);
    let controller = stage.pod("sluice-controller", &["controller"]);
    // Of the earlier version: this one misses its guard.
    let other = eventually(SOON, || {
        let said = stage.sluice(&["doctor"]);
        anyhow::ensure!(
            said.out.contains("sluice-statuses is not there"),
            "{}",
            said.out
        );
        Ok(said)
    })
    .unwrap();
    assert_eq!(other.code, 1);

    let current = chart();
    with(
        "upgrade",
        &current,
        &["replicas=3", "commonLabels.team=platform"],
    )
    .ok();
    let said = stage.sluice(&["doctor", "--wait", "--timeout", "90"]);
    assert_eq!(
        said.code,
        0,
        "{}{}\n{}\n{}",
        said.out,
        said.err,
        webhook.log_tail(),
        controller.log_tail()
    );
    for check in ["certificate", "controller", "quotas", "admission"] {
        assert!(
            said.out.contains(&format!("ok       {check}")),
            "{}",
            said.out
        );
    }
    let bundle = |kind: &str| {
        let stored = stage.get(&format!("{kind}/sluice"));
        stored["webhooks"][0]["clientConfig"]["caBundle"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let first = bundle("validatingwebhookconfiguration");
    let timeout = || {
        stage.get("validatingwebhookconfiguration/sluice")["webhooks"][0]["timeoutSeconds"].clone()
    };
    assert_eq!(timeout(), 3);
    assert_eq!(stage.get("deployment/sluice")["spec"]["replicas"], 3);
    let guards = stage
        .kubectl(&["get", "validatingadmissionpolicies", "-o", "name"], "")
        .ok();
    assert!(
        !guards.contains("before"),
        "the earlier guard is gone: {guards}"
    );
    // A quota is counted with the rights of the controller's own account.
    stage.kubectl(&["create", "namespace", "team-a"], "").ok();
    let quota = "{apiVersion: sluice.dev/v1alpha1, kind: CpuQuota, metadata: {name: default, namespace: team-a}, spec: {hard: {cpu: 3}}}";
    stage.kubectl(&["apply", "-f", "-"], quota).ok();
    let said = stage.sluice(&["doctor", "--wait", "--timeout", "60"]);
    assert_eq!(said.code, 0, "{}", said.out);
    let cluster = |name: &str| {
        format!(
            "{{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {{name: {name}, namespace: team-a}}, spec: {{state: RUNNING, flinkVersion: '1.20'}}}}"
        )
    };
    stage.kubectl(&["create", "-f", "-"], &cluster("a")).ok();
    let refused = stage
        .kubectl(&["create", "-f", "-"], &cluster("b"))
        .refused();
    assert!(refused.contains("[quota/cpu]"), "{refused}");
    let level = stage
        .kubectl(
            &[
                "get",
                "--raw",
                "/debug/api_priority_and_fairness/dump_priority_levels",
            ],
            "",
        )
        .ok();
    assert!(
        level.lines().any(|line| line.starts_with("sluice,")),
        "{level}"
    );

    // Back and forth, while the same processes serve on.
    stage
        .helm
        .run(&["rollback", "sluice", "1", "-n", SYSTEM])
        .ok();
    assert_eq!(timeout(), 2);
    assert_eq!(stage.get("deployment/sluice")["spec"]["replicas"], 1);
    assert_eq!(
        bundle("validatingwebhookconfiguration"),
        first,
        "the caBundle survives a rollback"
    );
    with("upgrade", &current, &[]).ok();
    assert_eq!(
        bundle("validatingwebhookconfiguration"),
        first,
        "and an upgrade"
    );
    assert_eq!(bundle("mutatingwebhookconfiguration"), first);
    let said = stage.sluice(&["doctor", "--wait", "--timeout", "60"]);
    assert_eq!(said.code, 0, "{}", said.out);

    // The webhook's own account cannot touch what Flink runs in.
    for (account, verb, what, may) in [
        ("sluice", "create", "deployments.apps", "no"),
        ("sluice", "delete", "pods", "no"),
        ("sluice", "get", "secrets", "no"),
        ("sluice", "get", "secrets/sluice-ca", "yes"),
        ("sluice-controller", "create", "deployments.apps", "yes"),
        ("sluice-controller", "get", "secrets/sluice-ca", "no"),
    ] {
        let user = format!("--as=system:serviceaccount:{SYSTEM}:{account}");
        let said = stage.kubectl(&["auth", "can-i", verb, what, "-n", SYSTEM, &user], "");
        assert_eq!(
            said.out.trim(),
            may,
            "{account} {verb} {what}: {}",
            said.err
        );
    }

    // Registered by the Service instead, where no pod runs: the first thing that is wrong is told.
    // Without a value helm would take those of the last release.
    stage
        .helm
        .run(&[
            "upgrade",
            "sluice",
            current.to_str().unwrap(),
            "-n",
            SYSTEM,
            "--reset-values",
        ])
        .ok();
    let said = stage.sluice(&["doctor"]);
    assert_eq!(said.code, 1);
    assert!(
        said.out
            .contains("no pod is ready behind Service sluice-system/sluice: there is no pod"),
        "{}",
        said.out
    );
    first
}

fn uninstalls(stage: &Stage) {
    stage.helm.run(&["uninstall", "sluice", "-n", SYSTEM]).ok();
    let kinds = stage
        .kubectl(&["api-resources", "--verbs=list", "-o", "name"], "")
        .ok();
    let kinds: Vec<&str> = kinds
        .lines()
        .filter(|kind| !kind.starts_with("events"))
        .collect();
    let found = stage
        .kubectl(&["get", &kinds.join(","), "-A", "-o", "name"], "")
        .ok();
    let left: Vec<&str> = found
        .lines()
        .filter(|name| name.contains("sluice"))
        .collect();
    // The API server itself has an APIService for each group of CRDs.
    let kept = [
        "customresourcedefinition.",
        "apiservice.",
        "namespace/sluice-system",
    ];
    let stays = |name: &&str| !kept.iter().any(|kept| name.starts_with(kept));
    let more: Vec<&&str> = left
        .iter()
        .filter(|name| stays(name) && !name.contains(".sluice.dev/"))
        .collect();
    assert!(more.is_empty(), "left behind: {more:?}");
    let crds = left
        .iter()
        .filter(|name| name.starts_with("customresourcedefinition"))
        .count();
    assert!(crds >= 11, "CRDs were asked to stay: {left:?}");
    let kept = stage
        .kubectl(&["get", "cpuquota", "-n", "team-a", "-o", "name"], "")
        .ok();
    assert_eq!(
        kept.trim(),
        "cpuquota.sluice.dev/default",
        "and so do their objects"
    );
    // A release of the same name takes them up again.
    let chart = chart();
    stage
        .helm
        .run(&["install", "sluice", chart.to_str().unwrap(), "-n", SYSTEM])
        .ok();
    stage.helm.run(&["uninstall", "sluice", "-n", SYSTEM]).ok();
}
