//! `--context`: Sluice in a cluster that is there already. What is applied is what `sluice manifests` prints.
//!
//! The registration comes only when a pod of ours runs: from then on the API server asks, and where nobody can answer it
//! would refuse every Flink workload of the cluster.

use std::time::Duration;

use anyhow::anyhow;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config, ResourceExt};
use serde_json::Value;
use sluice_api::names::field_managers;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::install::{SYSTEM, crds, refused};
use super::{UpArgs, canary, greeting};
use crate::exit::Failure;
use crate::manifests::installation::{self, Choices};
use crate::manifests::{self, NAME};

/// How long the API server may take to answer at all.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(250);
/// Pods, where nobody asks for another number: one may go while a node is drained.
const REPLICAS: u16 = 2;
/// Where the answer of admission is tried, without creating anything: every cluster has it.
const TRIED_IN: &str = "default";

/// Installs, waits until it answers, and says what to do next.
pub(super) async fn install(args: &UpArgs, name: &str) -> Result<(), Failure> {
    let (client, server) = connect(name).await?;
    greeting::tell(&format!("installing Sluice into {server} (context {name})"));
    let image = args.sluice_image.as_deref().unwrap_or(manifests::IMAGE);
    let replicas = args.replicas.unwrap_or(REPLICAS);
    let parts = installation::read(&Choices {
        image,
        namespace: SYSTEM,
        replicas,
        operator: args.operator_config.as_ref(),
    })?;

    crds(&client, Vec::new()).await?;
    for object in &parts.workload {
        apply(&client, object).await?;
    }
    greeting::tell(&format!("waiting for a pod of {image}"));
    let within = Duration::from_secs(args.timeout);
    let deadline = Instant::now() + within;
    wait(deadline, async || running(&client).await)
        .await
        .map_err(|last| not_running(name, image, within, &last))?;
    for object in &parts.registration {
        apply(&client, object).await?;
    }
    wait(deadline, async || ready(&client).await)
        .await
        .map_err(|last| not_ready(name, within, &last))?;
    canary::wait(&client, TRIED_IN).await?;
    greeting::tell(&format!(
        "Sluice answers for every namespace of {server}. Next: kubectl --context {name} explain cpuquota.spec; a CpuQuota \
         and DeploymentDefaults in a namespace make it act there. What was applied: sluice manifests; to remove it: sluice \
         manifests --only gate | kubectl --context {name} delete -f -"
    ));
    Ok(())
}

/// A client for the context, and the server's address.
async fn connect(name: &str) -> Result<(Client, String), Failure> {
    let kubeconfig = Kubeconfig::read().map_err(|error| {
        Failure::Input(format!(
            "--context {name}: there is no kubeconfig to look it up in: {error}. Set KUBECONFIG to one"
        ))
    })?;
    let known: Vec<&str> = kubeconfig
        .contexts
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    if !known.contains(&name) {
        return Err(Failure::Input(format!(
            "--context {name}: the kubeconfig has no such context; it has {}",
            if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            }
        )));
    }
    let options = KubeConfigOptions {
        context: Some(name.to_owned()),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| Failure::Input(format!("--context {name}: {error}")))?;
    let server = config.cluster_url.to_string();
    let unreachable = |said: String| {
        Failure::Unreachable(anyhow!(
            "context {name}: {server} does not answer: {said}. kubectl --context {name} version should"
        ))
    };
    let client = Client::try_from(config).map_err(|error| unreachable(error.to_string()))?;
    match timeout(ANSWER_WITHIN, client.apiserver_version()).await {
        Ok(Ok(_)) => Ok((client, server)),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Err(_) => Err(unreachable(format!(
            "nothing came within {ANSWER_WITHIN:?}"
        ))),
    }
}

/// Applies an object that is ours, whoever has changed it. What others own of it stays, such as the `caBundle`.
async fn apply(client: &Client, object: &Value) -> Result<(), Failure> {
    let object: DynamicObject =
        serde_json::from_value(object.clone()).map_err(|error| Failure::Internal(error.into()))?;
    let types = object.types.clone().unwrap_or_default();
    let kind =
        GroupVersionKind::try_from(&types).map_err(|error| Failure::Internal(error.into()))?;
    let resource = ApiResource::from_gvk(&kind);
    let api: Api<DynamicObject> = match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = object.name_any();
    let params = PatchParams::apply(field_managers::CLI).force();
    match timeout(
        ANSWER_WITHIN,
        api.patch(&name, &params, &Patch::Apply(&object)),
    )
    .await
    {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refused(&types.kind, &name, &error)),
        Err(_) => Err(Failure::Unreachable(anyhow!(
            "installing {} {name}: no answer within {ANSWER_WITHIN:?}",
            types.kind
        ))),
    }
}

/// Asks until there is no objection; the last one is the error.
async fn wait(
    deadline: Instant,
    mut objection: impl AsyncFnMut() -> Option<String>,
) -> Result<(), String> {
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = String::from("nothing was asked yet");
    while Instant::now() < deadline {
        ticks.tick().await;
        match tokio::time::timeout_at(deadline, objection()).await {
            Ok(None) => return Ok(()),
            Ok(Some(objection)) => last = objection,
            Err(_) => {}
        }
    }
    Err(last)
}

/// Why no pod of ours runs with all its containers, if so.
async fn running(client: &Client) -> Option<String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), SYSTEM);
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/name={NAME}"));
    let pods = match pods.list(&ours).await {
        Ok(pods) => pods.items,
        Err(error) => return Some(error.to_string()),
    };
    if pods.is_empty() {
        let why = no_pod(client).await;
        return Some(why.unwrap_or_else(|| {
            "the cluster has made no pod of the Deployment: no controller manager seems to run"
                .to_owned()
        }));
    }
    if pods.iter().any(runs) {
        return None;
    }
    let newest = pods.iter().max_by_key(|pod| pod.creation_timestamp())?;
    Some(format!(
        "pod {}: {}",
        newest.name_any(),
        trouble(newest).unwrap_or_else(|| "it has only just been made".to_owned())
    ))
}

fn runs(pod: &Pod) -> bool {
    let containers = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let status = pod.status.as_ref();
    let running = status
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
        .filter(|container| {
            container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
        })
        .count();
    containers > 0 && running == containers
}

/// What the pod itself says about why it does not run.
pub(crate) fn trouble(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let waiting = status
        .container_statuses
        .iter()
        .flatten()
        .find_map(|container| {
            let state = container.state.as_ref()?;
            let words = |reason: &Option<String>, message: &Option<String>| {
                let reason = reason.clone().unwrap_or_default();
                message
                    .as_ref()
                    .map_or(reason.clone(), |message| format!("{reason}: {message}"))
            };
            if let Some(waiting) = &state.waiting {
                return Some(words(&waiting.reason, &waiting.message));
            }
            let ended = state.terminated.as_ref()?;
            Some(format!(
                "its container {} ended with {}",
                container.name, ended.exit_code
            ))
        });
    let scheduling = status.conditions.iter().flatten().find_map(|condition| {
        (condition.type_ == "PodScheduled" && condition.status == "False")
            .then(|| condition.message.clone())
            .flatten()
    });
    let unscheduled = pod
        .spec
        .as_ref()
        .is_some_and(|spec| spec.node_name.is_none())
        .then(|| "no scheduler has given it a node: does this cluster have nodes?".to_owned());
    waiting.or(scheduling).or(unscheduled)
}

/// Why the Deployment has no pod at all, as its newest warning says: a quota, a policy, a missing account.
async fn no_pod(client: &Client) -> Option<String> {
    let events: Api<Event> = Api::namespaced(client.clone(), SYSTEM);
    let events = events.list(&ListParams::default()).await.ok()?;
    events
        .items
        .into_iter()
        .filter(|event| event.reason.as_deref() == Some("FailedCreate"))
        .filter_map(|event| event.message)
        .next_back()
}

/// Why not every pod is ready, if so.
async fn ready(client: &Client) -> Option<String> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM);
    let deployment = match deployments.get(NAME).await {
        Ok(deployment) => deployment,
        Err(error) => return Some(error.to_string()),
    };
    let asked = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let (asked, status) = (asked.unwrap_or(1), deployment.status.unwrap_or_default());
    let (updated, ready) = (
        status.updated_replicas.unwrap_or(0),
        status.ready_replicas.unwrap_or(0),
    );
    let current = status.observed_generation == deployment.metadata.generation;
    (!current || updated < asked || ready < asked)
        .then(|| format!("{ready} of {asked} pods are ready, {updated} are of this version"))
}

fn not_running(name: &str, image: &str, within: Duration, last: &str) -> Failure {
    Failure::Unreachable(anyhow!(
        "no pod of Sluice runs in context {name} after {within:?}: {last}. CRDs, roles, Deployment and Service are in place; \
         the webhooks are not registered, so nothing is refused and nothing is judged. If the image {image} cannot be \
         pulled, name one that can with --sluice-image, or load the archive of `sluice image sluice` into the nodes; then \
         run this again. kubectl --context {name} -n {SYSTEM} describe pods tells more"
    ))
}

fn not_ready(name: &str, within: Duration, last: &str) -> Failure {
    Failure::Unreachable(anyhow!(
        "Sluice is installed in context {name}, but not ready after {within:?}: {last}. Until it is, Flink workloads are \
         refused there; sluice manifests --only gate | kubectl --context {name} delete -f - takes the gate away again. \
         kubectl --context {name} -n {SYSTEM} logs deployment/{NAME} --all-containers tells more"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p"},
            "spec": {"nodeName": "n", "containers": [{"name": "a"}, {"name": "b"}]},
            "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_pod_runs_when_all_its_containers_do() {
        let container = |name: &str, state: Value| json!({"name": name, "ready": false, "image": "", "imageID": "", "restartCount": 0, "state": state});
        let both = json!({"containerStatuses": [container("a", json!({"running": {}})), container("b", json!({"running": {}}))]});
        assert!(runs(&pod(&both)));
        let waiting = json!({"reason": "ErrImagePull", "message": "not found"});
        let one = json!({"containerStatuses": [container("a", json!({"running": {}})), container("b", json!({"waiting": waiting}))]});
        assert!(!runs(&pod(&one)));
        assert_eq!(
            trouble(&pod(&one)).as_deref(),
            Some("ErrImagePull: not found")
        );
        assert!(!runs(&pod(&json!({}))));
    }

    #[test]
    fn the_scheduler_s_words_are_told() {
        let status = json!({"conditions": [{"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]});
        assert_eq!(
            trouble(&pod(&status)).as_deref(),
            Some("0/3 nodes are available")
        );
    }
}
