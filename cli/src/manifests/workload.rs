//! What runs: webhook and controller in one pod, the Service that the API server asks, and what keeps some of it up.

use super::{Installation, NAME, SERVICE_PORT, labels};
use serde_json::{Value, json};

const WEBHOOK_PORT: u16 = 10250;
const METRICS_PORT: u16 = 8080;
/// The webhook's grace and drain after SIGTERM, and some.
const TERMINATION_SECONDS: u16 = 30;

/// Service, Deployment and PodDisruptionBudget.
pub(super) fn objects(installation: &Installation<'_>) -> Vec<Value> {
    let Installation {
        namespace,
        replicas,
        ..
    } = installation;
    let selector = json!({"app.kubernetes.io/name": NAME});
    let metadata = json!({"name": NAME, "namespace": namespace, "labels": labels()});
    let spread = |key: &str| {
        json!({
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": selector},
        })
    };
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {
                "selector": selector,
                "ports": [{"name": "webhook", "port": SERVICE_PORT, "targetPort": "webhook"}],
            },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": selector},
                "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                "template": {
                    "metadata": {"labels": labels()},
                    "spec": {
                        "serviceAccountName": NAME,
                        "terminationGracePeriodSeconds": TERMINATION_SECONDS,
                        "securityContext": {
                            "runAsNonRoot": true,
                            "runAsUser": 65532,
                            "runAsGroup": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        "topologySpreadConstraints": [spread("topology.kubernetes.io/zone"), spread("kubernetes.io/hostname")],
                        "containers": containers(installation),
                    },
                },
            },
        }),
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata,
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": selector}},
        }),
    ]
}

/// The webhook and the controller beside it.
fn containers(installation: &Installation<'_>) -> [Value; 2] {
    let Installation {
        image,
        namespace,
        operator,
        ..
    } = installation;
    let args = |first: Vec<String>| -> Value {
        let operator = operator.map(|place| format!("--operator-config={place}"));
        first.into_iter().chain(operator).collect()
    };
    let container = |name: &str, args: Value, more: Value| {
        let mut container = json!({
            "name": name,
            "image": image,
            "args": args,
            "env": [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
            "resources": {"requests": {"cpu": "50m", "memory": "48Mi"}, "limits": {"memory": "256Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
        });
        if let (Some(container), Value::Object(more)) = (container.as_object_mut(), more) {
            container.extend(more);
        }
        container
    };
    let probe =
        |path: &str| json!({"httpGet": {"path": path, "port": "metrics"}, "periodSeconds": 5});
    let webhook = container(
        "webhook",
        args(vec![
            "webhook".to_owned(),
            format!("--namespace={namespace}"),
            format!("--service={NAME}"),
        ]),
        json!({
            "ports": [{"name": "webhook", "containerPort": WEBHOOK_PORT}, {"name": "metrics", "containerPort": METRICS_PORT}],
            "readinessProbe": probe("/readyz"),
            "livenessProbe": probe("/healthz"),
        }),
    );
    let controller = container(
        "controller",
        args(vec![
            "controller".to_owned(),
            format!("--namespace={namespace}"),
            format!("--sluice-image={image}"),
        ]),
        json!({}),
    );
    [webhook, controller]
}
