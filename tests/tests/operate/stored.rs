//! What the API server holds is broken: CRDs, registrations, caBundles, guards.

use super::{SOON, Stage};
use serde_json::{Value, json};
use sluice_tests::{Kubectl, eventually};

const CONFIGURATIONS: [&str; 2] = [
    "mutatingwebhookconfiguration/sluice",
    "validatingwebhookconfiguration/sluice",
];

/// An object as somebody else would create it.
fn fresh(kubectl: &Kubectl, what: &str) -> Value {
    let mut stored = kubectl.get(what).unwrap();
    stored["metadata"] = json!({"name": stored["metadata"]["name"]});
    stored
}

fn delete(kubectl: &Kubectl, what: &str) {
    kubectl.run(&["delete", what]).unwrap().admitted().unwrap();
}

fn create(kubectl: &Kubectl, object: &Value) {
    kubectl
        .create(&object.to_string())
        .unwrap()
        .admitted()
        .unwrap();
}

pub fn crds(stage: &Stage, kubectl: &Kubectl) {
    let crd = "crd/savepoints.sluice.dev";
    delete(kubectl, crd);
    stage.complains(
        "CustomResourceDefinition savepoints.sluice.dev is not there",
        "sluice manifests --only crds",
    );
    let crds = stage.sluice("manifests --only crds").out;
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    kubectl.run_with(&apply, &crds).unwrap().admitted().unwrap();
    stage.recovers();
    let patch = json!([{"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/description", "value": "older"}]).to_string();
    kubectl
        .run(&["patch", crd, "--type=json", "-p", &patch])
        .unwrap()
        .admitted()
        .unwrap();
    stage.complains(
        "savepoints.sluice.dev is of another version of Sluice",
        "sluice manifests --only crds",
    );
    kubectl.run_with(&apply, &crds).unwrap().admitted().unwrap();
    stage.recovers();
}

pub fn registrations(stage: &Stage, kubectl: &Kubectl) {
    for configuration in CONFIGURATIONS {
        let stored = fresh(kubectl, configuration);
        delete(kubectl, configuration);
        stage.complains(
            "WebhookConfiguration sluice is not there: the API server does not ask Sluice",
            "helm upgrade",
        );
        let mut narrowed = stored.clone();
        narrowed["webhooks"][0]["rules"]
            .as_array_mut()
            .unwrap()
            .pop();
        create(kubectl, &narrowed);
        stage.complains(
            "is not what this version of Sluice registers",
            "helm upgrade",
        );
        delete(kubectl, configuration);
        create(kubectl, &stored);
        stage.recovers();
    }
}

/// Another CA, then none, while the webhook may not write it: where it may, it mends that within a second.
pub fn bundles(stage: &Stage, kubectl: &Kubectl) {
    let binding = "clusterrolebinding/sluice";
    let bound = fresh(kubectl, binding);
    delete(kubectl, binding);
    let other = json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": stranger(stage)}]);
    let none = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    // The one that is looked at last is broken first.
    for (configuration, kind) in CONFIGURATIONS.into_iter().zip(["Mutating", "Validating"]) {
        let named = format!("{kind}WebhookConfiguration sluice");
        for (patch, what) in [
            (&other, "does not accept what is served"),
            (&none, "has no caBundle: the API server trusts nobody"),
        ] {
            // Perhaps the API server has not heard yet that the webhook may not.
            let said = eventually(SOON, || {
                kubectl
                    .run(&[
                        "patch",
                        configuration,
                        "--type=json",
                        "-p",
                        &patch.to_string(),
                    ])?
                    .admitted()?;
                let said = stage.sluice("doctor --only certificate");
                anyhow::ensure!(said.code == 1, "{}", said.out);
                Ok(said)
            })
            .unwrap();
            assert!(
                said.out.contains(what)
                    && said.out.contains(&named)
                    && said.out.contains("the webhook writes the caBundle itself"),
                "{}",
                said.out
            );
        }
    }
    another_makes_it(stage, kubectl, &none);
    create(kubectl, &bound);
    stage.recovers();
}

/// Where the webhook does not write the caBundle, whoever does is named: by what the chart leaves with the other values of `tls.mode`.
fn another_makes_it(stage: &Stage, kubectl: &Kubectl, none: &Value) {
    let configuration = CONFIGURATIONS[1];
    let patch = [
        "patch",
        configuration,
        "--type=json",
        "-p",
        &none.to_string(),
    ];
    let remedy = || {
        kubectl.run(&patch).unwrap(); // it may be gone already
        let said = stage.sluice("doctor --only certificate");
        assert_eq!(said.code, 1, "{}", said.out);
        said.out
    };
    let system = kubectl.in_namespace("sluice-system");
    let container = json!({"name": "webhook", "image": "sluice", "args": ["webhook", "--tls-cert=/etc/sluice/tls/tls.crt"]});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "sluice"},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container]}}},
    });
    create(&system, &deployment);
    let said = remedy();
    assert!(
        said.contains("--set-file tls.secret.caBundle=ca.pem") && !said.contains("at once"),
        "{said}"
    );
    let annotate = |text: &str| {
        let annotate = ["annotate", configuration, text];
        kubectl.run(&annotate).unwrap().admitted().unwrap();
    };
    annotate("cert-manager.io/inject-ca-from=sluice-system/sluice");
    let said = remedy();
    assert!(
        said.contains("kubectl -n sluice-system describe certificate sluice")
            && !said.contains("at once"),
        "{said}"
    );
    annotate("cert-manager.io/inject-ca-from-");
    delete(&system, "deployment/sluice");
}

/// Somebody else's CA, as base64: the API server's own.
fn stranger(stage: &Stage) -> String {
    let text = std::fs::read_to_string(stage.gate.kubeconfig()).unwrap();
    let config: Value = serde_saphyr::from_str(&text).unwrap();
    let cluster = &config["clusters"][0]["cluster"];
    if let Some(data) = cluster["certificate-authority-data"].as_str() {
        return data.to_owned();
    }
    let pem = std::fs::read(cluster["certificate-authority"].as_str().unwrap()).unwrap();
    serde_json::to_value(k8s_openapi::ByteString(pem))
        .unwrap()
        .as_str()
        .unwrap()
        .to_owned()
}

pub fn guards(stage: &Stage, kubectl: &Kubectl) {
    let policy = "validatingadmissionpolicy/sluice-statuses";
    let binding = "validatingadmissionpolicybinding/sluice-statuses";
    for (guard, what) in [
        (policy, "ValidatingAdmissionPolicy sluice-statuses"),
        (binding, "ValidatingAdmissionPolicyBinding sluice-statuses"),
    ] {
        let stored = fresh(kubectl, guard);
        delete(kubectl, guard);
        stage.complains(&format!("{what} is not there"), "helm upgrade");
        create(kubectl, &stored);
    }
    let sound = fresh(kubectl, policy);
    let weak =
        json!([{"op": "replace", "path": "/spec/validations/0/expression", "value": "true"}])
            .to_string();
    kubectl
        .run(&["patch", policy, "--type=json", "-p", &weak])
        .unwrap()
        .admitted()
        .unwrap();
    stage.complains(
        "ValidatingAdmissionPolicy sluice-statuses is not what this version of Sluice has",
        "helm upgrade",
    );
    delete(kubectl, policy);
    create(kubectl, &sound);
    stage.recovers();
    // There, and without effect: it is asked about less, compares with something else, refuses nothing, or counts in a few namespaces.
    let labels = "validatingadmissionpolicy/sluice-namespace-labels";
    let weakened = [
        (
            policy,
            json!([{"op": "replace", "path": "/spec/matchConstraints/resourceRules/0/resources", "value": ["savepoints/status"]}]),
        ),
        (
            policy,
            json!([{"op": "replace", "path": "/spec/matchConstraints/namespaceSelector", "value": {"matchLabels": {"a": "b"}}}]),
        ),
        (
            labels,
            json!([{"op": "replace", "path": "/spec/variables/1/expression", "value": "object.metadata.?labels.orValue({})"}]),
        ),
        (
            binding,
            json!([{"op": "replace", "path": "/spec/validationActions", "value": ["Audit"]}]),
        ),
        (
            binding,
            json!([{"op": "add", "path": "/spec/matchResources", "value": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}]),
        ),
    ];
    for (guard, patch) in weakened {
        let sound = fresh(kubectl, guard);
        kubectl
            .run(&["patch", guard, "--type=json", "-p", &patch.to_string()])
            .unwrap()
            .admitted()
            .unwrap();
        let kind = sound["kind"].as_str().unwrap();
        let name = sound["metadata"]["name"].as_str().unwrap();
        stage.complains(
            &format!("{kind} {name} is not what this version of Sluice has"),
            "helm upgrade",
        );
        delete(kubectl, guard);
        create(kubectl, &sound);
        stage.recovers();
    }
}

pub fn backstop(stage: &Stage, kubectl: &Kubectl) {
    let exported = stage.sluice("export vap");
    assert_eq!(exported.code, 0, "{}", exported.err);
    let way_out = "sluice export vap | kubectl apply";
    // As the remedy says it.
    let remedy = || {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, exported.out.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        kubectl
            .run(&["apply", "--server-side", "--force-conflicts", "-f", path])
            .unwrap()
            .admitted()
            .unwrap();
    };
    remedy();
    let said = stage.sluice("doctor");
    assert_eq!(said.code, 0, "{}", said.out);
    assert!(
        said.out
            .contains("running session clusters stay frozen with no webhook"),
        "{}",
        said.out
    );

    let binding = "validatingadmissionpolicybinding/sluice-backstop-sessionclusters";
    delete(kubectl, binding);
    stage.complains(
        "of the backstop is missing: ValidatingAdmissionPolicyBinding sluice-backstop-sessionclusters",
        way_out,
    );
    // As an earlier version had it.
    let policy = "validatingadmissionpolicy/sluice-backstop-flinkdeployments";
    let weak = json!([{"op": "remove", "path": "/spec/matchConditions/0"}]).to_string();
    kubectl
        .run(&["patch", policy, "--type=json", "-p", &weak])
        .unwrap()
        .admitted()
        .unwrap();
    stage.complains(
        "of the backstop is not what this version of Sluice has: ValidatingAdmissionPolicy sluice-backstop-flinkdeployments",
        way_out,
    );
    remedy();
    // It looks as before and refuses nothing.
    let quiet = r#"{"spec":{"validationActions":["Audit"]}}"#;
    kubectl
        .run(&["patch", binding, "--type=merge", "-p", quiet])
        .unwrap()
        .admitted()
        .unwrap();
    stage.complains(
        "of the backstop is not what this version of Sluice has: ValidatingAdmissionPolicyBinding sluice-backstop-sessionclusters",
        way_out,
    );
    remedy();
    stage.recovers();
    for (kind, all) in [
        (
            "validatingadmissionpolicybinding",
            &[
                "sessionclusters",
                "sessionclusters-warn",
                "flinkdeployments",
                "flinkdeployments-warn",
            ][..],
        ),
        (
            "validatingadmissionpolicy",
            &["sessionclusters", "flinkdeployments"][..],
        ),
    ] {
        for name in all {
            delete(kubectl, &format!("{kind}/sluice-backstop-{name}"));
        }
    }
}
