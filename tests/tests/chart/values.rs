//! What the chart renders, value by value.

use super::stage::{Helm, SYSTEM, chart, documents, find, helm, repository};
use serde_json::{Value, json};

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
    let six = documents(&helm.template(&["listenAddress=[::]"]).ok());
    let six = &find(&six, "Deployment", "sluice")["spec"]["template"]["spec"]["containers"];
    for (container, flag) in [
        (0, "--listen=[::]:10250"),
        (0, "--metrics-listen=[::]:8080"),
        (1, "--metrics-listen=[::]:8081"),
    ] {
        let args = six[container]["args"].as_array().unwrap();
        assert!(args.contains(&json!(flag)), "{args:?}");
    }
    helm.template(&["listenAddress=everywhere"]).refused();
    // Where jars lie: that it can be written to is seen on a node (tests/node/submission.rs).
    assert_eq!(containers[1]["volumeMounts"][0]["mountPath"], "/tmp");
    let further = documents(
        &helm
            .template(&[
                "extraVolumes[0].name=ca",
                "extraVolumes[0].configMap.name=our-ca",
                "controller.extraVolumeMounts[0].name=ca",
                "controller.extraVolumeMounts[0].mountPath=/ca",
                "webhook.extraVolumeMounts[0].name=ca",
                "webhook.extraVolumeMounts[0].mountPath=/ca",
            ])
            .ok(),
    );
    let given = &find(&further, "Deployment", "sluice")["spec"]["template"]["spec"];
    let volumes = given["volumes"].as_array().unwrap();
    assert_eq!(volumes.last().unwrap()["configMap"]["name"], "our-ca");
    for container in given["containers"].as_array().unwrap() {
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert_eq!(mounts.last().unwrap()["mountPath"], "/ca");
    }
    let constraints = pod["topologySpreadConstraints"].as_array().unwrap();
    assert!(
        constraints
            .iter()
            .all(|c| c["whenUnsatisfiable"] == "ScheduleAnyway")
    );
    let budget = &find(&plain, "PodDisruptionBudget", "sluice")["spec"];
    assert_eq!(budget["maxUnavailable"], 1);
    assert_eq!(
        budget["unhealthyPodEvictionPolicy"], "AlwaysAllow",
        "pods that are not ready would hold up every drain"
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

    let has = |all: &[Value], role: &str| {
        all.iter()
            .any(|object| object["kind"] == "ClusterRole" && object["metadata"]["name"] == role)
    };
    let both = ["sluice-aggregate-to-edit", "sluice-aggregate-to-view"];
    assert!(both.iter().all(|role| !has(&apart, role)) && has(&apart, "sluice"));
    let open = documents(&helm.template(&["rbac.aggregateClusterRoles=true"]).ok());
    assert!(both.iter().all(|role| has(&open, role)));

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
    assert_eq!(
        args.last(),
        Some(&"--shutdown-grace=3"),
        "the last one counts, so what users give comes last"
    );
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

/// A key that stands twice in a map is no YAML: some readers refuse it, others take the first or the last.
#[tokio::test]
async fn labels_from_two_values_stand_once() {
    let Some(assets) = helm().await else { return };
    let helm = Helm::new(&assets, None);
    let rendered = helm.template(&[
        "commonLabels.team=platform",
        "commonLabels.stage=live",
        "podLabels.team=flink",
        "monitoring.dashboard.enabled=true",
        "monitoring.dashboard.labels.grafana_dashboard=yes",
        "monitoring.dashboard.labels.stage=shown",
    ]);
    let all = documents(&rendered.ok());
    let webhook = find(&all, "Deployment", "sluice");
    assert_eq!(webhook["metadata"]["labels"]["team"], "platform");
    let pod = &webhook["spec"]["template"]["metadata"]["labels"];
    assert_eq!(
        (&pod["team"], &pod["stage"]),
        (&json!("flink"), &json!("live"))
    );
    let shown = &find(&all, "ConfigMap", "sluice-dashboard")["metadata"]["labels"];
    assert_eq!(
        (&shown["grafana_dashboard"], &shown["stage"], &shown["team"]),
        (&json!("yes"), &json!("shown"), &json!("platform"))
    );
    // By these the chart's own objects are found.
    for value in ["commonLabels", "podLabels"] {
        let said = helm
            .template(&[&format!("{value}.app\\.kubernetes\\.io/name=mine")])
            .refused();
        assert!(
            said.contains("label app.kubernetes.io/name is the chart's own"),
            "{said}"
        );
    }
}

/// Where the cluster itself gives each namespace its users, a pod that names one is not made.
#[tokio::test]
async fn a_field_of_the_security_context_can_be_taken_out() {
    let Some(assets) = helm().await else { return };
    let helm = Helm::new(&assets, None);
    let rendered = helm.template(&[
        "podSecurityContext.runAsUser=null",
        "podSecurityContext.fsGroup=7",
        "controller.placement=deployment",
    ]);
    let all = documents(&rendered.ok());
    let pods = [
        &find(&all, "Deployment", "sluice")["spec"]["template"]["spec"],
        &find(&all, "Deployment", "sluice-controller")["spec"]["template"]["spec"],
        &find(&all, "Pod", "sluice-test")["spec"],
    ];
    for pod in pods {
        assert_eq!(
            pod["securityContext"],
            json!({"runAsNonRoot": true, "runAsGroup": 65532, "fsGroup": 7, "seccompProfile": {"type": "RuntimeDefault"}})
        );
    }
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
    // Whoever does not make certificates reads no Secret and writes no registration.
    let may = |all: &[Value]| {
        let rules: Vec<&Value> = all
            .iter()
            .filter(|object| object["kind"] == "Role" || object["kind"] == "ClusterRole")
            .flat_map(|role| role["rules"].as_array().unwrap())
            .collect();
        let has = |resource: &str, verb: &str| {
            rules.iter().any(|rule| {
                let lists = |field: &str, word: &str| {
                    rule[field].as_array().unwrap().contains(&json!(word))
                };
                lists("resources", resource) && lists("verbs", verb)
            })
        };
        (
            has("secrets", "get"),
            has("mutatingwebhookconfigurations", "patch"),
            has("mutatingwebhookconfigurations", "watch"),
        )
    };

    let own = render(&[
        "tls.self.caDwellSeconds=60",
        "tls.self.caRetireSeconds=700000000",
    ]);
    assert_eq!(may(&own), (true, true, true));
    assert!(has(&webhook(&own), "--ca-dwell=60"));
    assert!(has(&webhook(&own), "--ca-retire=700000000"));
    assert!(webhook(&own).get("volumeMounts").is_none());
    find(&own, "Secret", "sluice-ca");

    let ours = render(&["tls.mode=certManager"]);
    assert_eq!(may(&ours), (false, false, true));
    let apart = render(&["tls.mode=certManager", "controller.placement=deployment"]);
    assert_eq!(may(&apart), (false, false, true));
    assert!(
        apart
            .iter()
            .all(|object| object["kind"] != "Role" || object["metadata"]["name"] != "sluice"),
        "the webhook alone needs nothing in its own namespace"
    );
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
    assert_eq!(may(&given), (false, false, true));
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
    for (values, named) in [
        (
            &["controller.metricsPort=8080"][..],
            "controller.metricsPort and webhook.metricsPort are the same",
        ),
        (
            &["controller.metricsPort=10250"],
            "controller.metricsPort and webhook.port are the same",
        ),
        (
            &["webhook.metricsPort=10250"],
            "webhook.port and webhook.metricsPort are the same",
        ),
    ] {
        let said = helm.template(values).refused();
        assert!(
            said.contains(named) && said.contains("give one of them another port"),
            "{said}"
        );
    }
    // A pod of its own has ports of its own.
    helm.template(&[
        "controller.placement=deployment",
        "controller.metricsPort=8080",
    ])
    .ok();
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
