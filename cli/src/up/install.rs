//! What `sluice up` puts into the cluster: CRDs, namespaces, and team-a's quota and defaults.
//! Nothing that is there already is changed, but for our own CRDs: with `--data-dir` it may be the user's.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_api::names::field_managers;
use sluice_webhook::registration::{Address, Registration, guard};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::exit::Failure;
use crate::input::{self, Folders};
use crate::operator::OperatorConfig;

/// Where Sluice's own Secret and leases lie.
pub(super) const SYSTEM: &str = "sluice-system";
/// Where users try it.
pub(super) const TEAM: &str = "team-a";
/// How long anything here may take. Everything is there within a second on an idle machine.
const DEADLINE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// A CustomResourceDefinition, kept as it was written: fields that we do not know are the API server's business.
pub(super) struct Crd {
    name: String,
    value: Value,
}

impl Crd {
    fn new(value: Value) -> Option<Self> {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
        if text("/kind") != Some("CustomResourceDefinition")
            || text("/apiVersion") != Some("apiextensions.k8s.io/v1")
        {
            return None;
        }
        let name = text("/metadata/name")?.to_owned();
        Some(Self { name, value })
    }
}

/// Reads what `--crds` names.
pub(super) fn read_crds(paths: &[PathBuf]) -> Result<Vec<Crd>, Failure> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    input::read(paths, Folders::Flat)?
        .into_iter()
        .map(|document| {
            let file = document.file;
            Crd::new(document.root.to_json()).ok_or_else(|| {
                Failure::Input(format!(
                    "--crds {file}: holds something else than apiextensions.k8s.io/v1 CustomResourceDefinitions with a \
                     name; apply that with kubectl once sluice up is ready"
                ))
            })
        })
        .collect()
}

/// Installs Sluice's CRDs, Confluent's and `further` ones, and waits until all are served.
pub(super) async fn crds(client: &Client, further: Vec<Crd>) -> Result<(), Failure> {
    let api = Api::<DynamicObject>::all_with(
        client.clone(),
        &ApiResource::erase::<CustomResourceDefinition>(&()),
    );
    let mut all = Vec::new();
    for crd in sluice_api::crds()
        .into_iter()
        .chain(sluice_api::optional_crds())
    {
        let value = serde_json::to_value(&crd).context("writing a CRD of ours")?;
        all.push(Crd {
            name: crd.name_any(),
            value,
        });
    }
    // Last, so that whoever brings another version of the same CRD gets that.
    all.extend(further);
    let apply = PatchParams::apply(field_managers::CLI).force();
    for crd in &all {
        api.patch(&crd.name, &apply, &Patch::Apply(&crd.value))
            .await
            .map_err(|error| refused("CustomResourceDefinition", &crd.name, &error))?;
    }
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    eventually("the CRDs are served", async || {
        let stored = api
            .list(&kube::api::ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let served = |name: &str| {
            stored
                .iter()
                .any(|crd| crd.name_any() == name && is_established(crd))
        };
        match all.iter().find(|crd| !served(&crd.name)) {
            Some(crd) => Err(format!("{} is not established", crd.name)),
            None => Ok(()),
        }
    })
    .await
}

fn is_established(crd: &CustomResourceDefinition) -> bool {
    let conditions = crd
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Established" && condition.status == "True")
}

/// Tells the API server where to ask, and what to judge by itself.
pub(super) async fn registration(client: &Client, url: String) -> Result<(), Failure> {
    let registration = Registration {
        address: Address::Url(url),
        excluded_namespaces: vec![SYSTEM.to_owned()],
    };
    apply(client, &registration.mutating()).await?;
    apply(client, &registration.validating()).await?;
    for (policy, binding) in guard::policies() {
        apply(client, &policy).await?;
        apply(client, &binding).await?;
    }
    Ok(())
}

/// Applies an object that is ours, whoever has changed it. What others own of it stays, such as the `caBundle`.
async fn apply<K>(client: &Client, object: &K) -> Result<(), Failure>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let name = object.name_any();
    Api::<K>::all(client.clone())
        .patch(
            &name,
            &PatchParams::apply(field_managers::CLI).force(),
            &Patch::Apply(object),
        )
        .await
        .map_err(|error| refused(&K::kind(&()), &name, &error))?;
    Ok(())
}

/// Makes the namespaces.
pub(super) async fn namespaces(
    client: &Client,
    operator: Option<&OperatorConfig>,
) -> Result<(), Failure> {
    let api: Api<Namespace> = Api::all(client.clone());
    let operator = operator.map(|place| place.namespace.as_str());
    for name in [SYSTEM, TEAM].into_iter().chain(operator) {
        let namespace: Namespace = from_json(json!({"metadata": {"name": name}}))?;
        match api.create(&PostParams::default(), &namespace).await {
            Err(error) if !is_there_already(&error) => {
                return Err(refused("Namespace", name, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Gives team-a its quota and its defaults, which admission judges.
pub(super) async fn team_a(client: &Client) -> Result<(), Failure> {
    let quota = json!({
        "apiVersion": sluice_api::API_VERSION,
        "kind": "CpuQuota",
        "metadata": {"name": "default"},
        "spec": {"hard": {"cpu": 100}, "onGrowth": "Enforce"},
    });
    let defaults = json!({
        "apiVersion": sluice_api::API_VERSION,
        "kind": "DeploymentDefaults",
        "metadata": {"name": "default"},
        "spec": {
            "sessionCluster": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"}},
            "template": {"spec": {"flinkConfiguration": {"taskmanager.numberOfTaskSlots": "2"}}},
        },
    });
    create(&api(client, "cpuquotas", "CpuQuota"), &quota).await?;
    create(
        &api(client, "deploymentdefaults", "DeploymentDefaults"),
        &defaults,
    )
    .await
}

/// Waits until the controller has counted team-a's quota for the first time: before that it refuses every start.
pub(super) async fn quota_counts(client: &Client) -> Result<(), Failure> {
    let quotas = api(client, "cpuquotas", "CpuQuota");
    eventually("CpuQuota team-a/default counts", async || {
        let stored = quotas
            .get("default")
            .await
            .map_err(|error| error.to_string())?;
        let observed = stored
            .data
            .pointer("/status/observedGeneration")
            .and_then(Value::as_i64);
        if observed.is_some() && observed == stored.metadata.generation {
            Ok(())
        } else {
            Err("the controller has not written its status yet".to_owned())
        }
    })
    .await
}

/// Objects of one of our kinds in team-a.
fn api(client: &Client, plural: &str, kind: &str) -> Api<DynamicObject> {
    api_in(client, TEAM, plural, kind)
}

/// Objects of one of our kinds.
pub(super) fn api_in(
    client: &Client,
    namespace: &str,
    plural: &str,
    kind: &str,
) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: sluice_api::GROUP.to_owned(),
        version: sluice_api::VERSION.to_owned(),
        api_version: sluice_api::API_VERSION.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    };
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// Creates an object unless it is there, waiting out webhooks that do not answer yet.
async fn create(api: &Api<DynamicObject>, value: &Value) -> Result<(), Failure> {
    let object: DynamicObject = from_json(value.clone())?;
    let kind = value
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let what = format!("{kind} team-a/{} is admitted", object.name_any());
    let created = eventually(&what, async || {
        match api.create(&PostParams::default(), &object).await {
            Err(error) if is_passing(&error) => Err(error.to_string()),
            Err(error) if !is_there_already(&error) => {
                Ok(Err(refused(kind, &object.name_any(), &error)))
            }
            _ => Ok(Ok(())),
        }
    });
    created.await?
}

/// Whether a webhook could not be called, its caches are not synced, or the CRD is not served everywhere yet.
fn is_passing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code >= 500 || matches!(status.code, 404 | 429))
}

fn is_there_already(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 409)
}

fn from_json<T: DeserializeOwned>(value: Value) -> Result<T, Failure> {
    Ok(serde_json::from_value(value).context("building an object of ours")?)
}

/// What the API server said to something of ours.
pub(super) fn refused(kind: &str, name: &str, error: &kube::Error) -> Failure {
    Failure::Unreachable(anyhow!("installing {kind} {name}: {error}"))
}

/// Asks until the answer is yes; the last no is in the error.
pub(super) async fn eventually<T>(
    what: &str,
    mut condition: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + DEADLINE;
    let mut ticks = interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let last = match condition().await {
            Ok(value) => return Ok(value),
            Err(last) => last,
        };
        if Instant::now() > deadline {
            return Err(Failure::Unreachable(anyhow!(
                "not within {DEADLINE:?}: {what}; the last answer: {last}"
            )));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crds_takes_crds_only_and_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x.yaml");
        std::fs::write(
            &file,
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n",
        )
        .unwrap();
        let Err(Failure::Input(message)) = read_crds(std::slice::from_ref(&file)) else {
            panic!("it was taken")
        };
        assert_eq!(
            message,
            format!(
                "--crds {}: holds something else than apiextensions.k8s.io/v1 CustomResourceDefinitions with a name; \
                 apply that with kubectl once sluice up is ready",
                file.display()
            )
        );
        let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: a.b}\n";
        std::fs::write(&file, crd).unwrap();
        assert_eq!(read_crds(&[file]).map(|crds| crds.len()).ok(), Some(1));
    }
}
