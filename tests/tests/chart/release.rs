//! What helm installs, upgrades, rolls back and leaves behind, in front of a real API server.

use super::stage::{SOON, SYSTEM, Stage, chart};
use serde_json::json;
use sluice_cluster::free_loopback_port;
use sluice_tests::eventually;
use std::path::{Path, PathBuf};
use std::process::Command;

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
            "podSecurityContext.runAsUser=null",
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

    somebody_else_makes_the_certificate(stage, &url, &ops);

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

/// From `tls.mode=self` to a CA that the running replicas do not have: they have lost the right to their Secret, and step aside. And back.
fn somebody_else_makes_the_certificate(stage: &Stage, url: &str, ops: &str) {
    let ready = || {
        let address = ops.strip_prefix("--metrics-listen=").unwrap();
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let ask = "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        std::io::Write::write_all(&mut stream, ask.as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(ready().starts_with("HTTP/1.1 200"), "{}", ready());
    let chart = chart();
    let theirs = stage.cluster.ca_cert();
    let upgrade = |more: &[&str]| {
        let mut arguments = vec!["upgrade", "sluice", chart.to_str().unwrap(), "-n", SYSTEM];
        arguments.extend([
            "--force-conflicts",
            "--set",
            url,
            "--set",
            "controller.placement=deployment",
        ]);
        arguments.extend(more);
        stage.helm.run(&arguments).ok();
    };
    let file = format!("tls.secret.caBundle={}", theirs.display());
    upgrade(&[
        "--set",
        "tls.mode=secret,tls.secret.name=mine",
        "--set-file",
        &file,
    ]);
    eventually(SOON, || {
        let said = ready();
        anyhow::ensure!(said.starts_with("HTTP/1.1 503"), "{said}");
        Ok(())
    })
    .unwrap();
    let said = stage.sluice(&["doctor", "--only", "certificate"]);
    assert!(
        said.code == 1
            && said
                .out
                .contains("with tls.mode=secret certificate and caBundle are yours to make"),
        "{}",
        said.out
    );
    upgrade(&["--set", "tls.mode=self"]);
    let said = stage.sluice(&["doctor", "--wait", "--timeout", "90"]);
    assert_eq!(said.code, 0, "{}", said.out);
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
