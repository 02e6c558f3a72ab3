//! The cluster's DNS server: an ordinary pod behind the Service `kube-dns`, and the objects that it needs.

use std::path::Path;

use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

use super::busybox;
use super::network::Network;
use crate::ClusterError;

/// Who owns the fields of the objects that are applied here.
const FIELD_MANAGER: &str = "sluice-node";

/// Plugins answer in an order of their own, not in that of the file: what refuses unknown names stands in a block apart,
/// else it would hide every Service.
const COREFILE: &str = "\
cluster.local:53 in-addr.arpa:53 {
  errors
  kubernetes cluster.local in-addr.arpa {
    ttl 5
  }
  cache 5
}
.:53 {
  ready
  template ANY ANY {
    rcode NXDOMAIN
  }
}
";

/// Which pods are the server's.
pub(super) const SELECTOR: &str = "k8s-app=kube-dns";

/// Applies everything.
pub(super) async fn apply(
    client: &Client,
    network: Network,
    program: &Path,
) -> Result<(), ClusterError> {
    let apply = PatchParams::apply(FIELD_MANAGER).force();
    for object in objects(network, program) {
        let object: DynamicObject = serde_json::from_value(object)
            .map_err(|error| ClusterError::Client(Box::new(error)))?;
        let types = object.types.clone().unwrap_or_default();
        let kind = GroupVersionKind::try_from(&types)
            .map_err(|error| ClusterError::Client(Box::new(error)))?;
        let resource = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = match object.namespace() {
            Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        api.patch(&object.name_any(), &apply, &Patch::Apply(&object))
            .await
            .map_err(|error| ClusterError::Client(Box::new(error)))?;
    }
    Ok(())
}

/// In the order in which they are applied. The program is mounted from the host: it needs nothing of an image.
fn objects(network: Network, program: &Path) -> Vec<Value> {
    let metadata = json!({"name": "coredns", "namespace": "kube-system"});
    let labels = json!({"k8s-app": "kube-dns"});
    vec![
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "coredns"},
            "rules": [
                {"apiGroups": [""], "resources": ["endpoints", "services", "pods", "namespaces"], "verbs": ["list", "watch"]},
                {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
            ],
        }),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "coredns"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "coredns"},
            "subjects": [{"kind": "ServiceAccount", "name": "coredns", "namespace": "kube-system"}],
        }),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"Corefile": COREFILE}}),
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
            "spec": {
                "clusterIP": network.dns().to_string(),
                "selector": labels,
                "ports": [
                    {"name": "dns", "port": 53, "protocol": "UDP"},
                    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
                ],
            },
        }),
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "strategy": {"type": "Recreate"},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": "coredns",
                        "dnsPolicy": "Default",
                        "enableServiceLinks": false,
                        "priorityClassName": "system-cluster-critical",
                        "terminationGracePeriodSeconds": 0,
                        "containers": [{
                            "name": "coredns",
                            "image": busybox::IMAGE,
                            "imagePullPolicy": "Never",
                            "command": ["/program/coredns", "-conf", "/configuration/Corefile"],
                            // Without a request its share of a busy machine is next to nothing, and names wait for it.
                            "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}},
                            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
                            "volumeMounts": [
                                {"name": "program", "mountPath": "/program/coredns", "readOnly": true},
                                {"name": "configuration", "mountPath": "/configuration"},
                            ],
                        }],
                        "volumes": [
                            {"name": "program", "hostPath": {"path": program, "type": "File"}},
                            {"name": "configuration", "configMap": {"name": "coredns"}},
                        ],
                    },
                },
            },
        }),
    ]
}
