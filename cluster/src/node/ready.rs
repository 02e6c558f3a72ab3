//! When a node counts as ready: the kubelet says so, and names are resolved.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::ListParams;

use super::config::NODE_NAME;
use super::dns;

/// Why the node is not ready yet, if it is not. In a data folder that is used again the store holds what an earlier
/// kubelet reported last, so only what was reported since `began` counts.
pub(super) async fn not_yet(client: &kube::Client, began: i64) -> Option<String> {
    let node: Node = match Api::all(client.clone()).get_opt(NODE_NAME).await {
        Ok(Some(node)) => node,
        Ok(None) => return Some("the kubelet has not registered the node yet".into()),
        Err(error) => return Some(error.to_string()),
    };
    let conditions = node.status.and_then(|status| status.conditions);
    let ready = conditions
        .unwrap_or_default()
        .into_iter()
        .find(|condition| {
            let reported = condition.last_heartbeat_time.as_ref();
            condition.type_ == "Ready" && reported.is_some_and(|time| time.0.as_second() >= began)
        });
    match ready {
        Some(ready) if ready.status == "True" => {}
        Some(ready) => return Some(ready.message.unwrap_or_default()),
        None => return Some("the kubelet has not reported the node's state yet".into()),
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), "kube-system");
    let ours = ListParams::default().labels(dns::SELECTOR);
    match pods.list(&ours).await {
        Ok(pods) if pods.iter().any(|pod| answers(pod, began)) => None,
        Ok(_) => Some("the node is ready, its DNS server is not".into()),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether a pod is ready with containers that were started since `began`.
fn answers(pod: &Pod, began: i64) -> bool {
    let Some(status) = &pod.status else {
        return false;
    };
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let mut containers = status.container_statuses.iter().flatten();
    ready
        && containers.all(|container| {
            let running = container
                .state
                .as_ref()
                .and_then(|state| state.running.as_ref());
            running
                .and_then(|running| running.started_at.as_ref())
                .is_some_and(|time| time.0.as_second() >= began)
        })
}

/// Seconds of Unix time.
pub(super) fn now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|time| i64::try_from(time.as_secs()).ok())
        .unwrap_or_default()
}
