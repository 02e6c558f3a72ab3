//! A control plane of its own for a test that plays some of Sluice's parts itself: the CRDs are served, nothing else of Sluice
//! is installed. Where all of Sluice is wanted, [`crate::Gate`] starts it.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use serde_json::json;
use sluice_cluster::{Assets, Binary, Cluster, ClusterOptions};
use std::path::Path;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// From the creation of the CRDs until all are served. Less than a second is usual.
const SERVED_WITHIN: Duration = Duration::from_mins(1);

/// etcd and kube-apiserver with Sluice's kinds. They end with [`Cluster::stop`], and at the latest with the test.
#[allow(missing_debug_implementations)] // a client has none
pub struct Stage {
    /// The control plane.
    pub cluster: Cluster,
    /// An administrator's client, which hears 429, 503 and 504 instead of resending by itself for minutes.
    pub client: Client,
}

impl Stage {
    /// `None`, with a line that says why, where this machine can have no control plane.
    ///
    /// # Errors
    /// Whatever else keeps it from coming up, and what is missing too where `SLUICE_REQUIRE=all` asks for everything.
    pub async fn set() -> Result<Option<Self>> {
        Self::set_with(|options| options).await
    }

    /// The same with options of the test's own.
    ///
    /// # Errors
    /// As [`Stage::set`].
    pub async fn set_with(
        options: impl FnOnce(ClusterOptions) -> ClusterOptions,
    ) -> Result<Option<Self>> {
        let Some(assets) = Assets::for_tests(Binary::ALL).await? else {
            return Ok(None);
        };
        let cluster = Cluster::start(options(ClusterOptions::new(assets))).await?;
        let client = client(&cluster.kubeconfig()).await?;
        let stage = Self { cluster, client };
        stage.install_crds().await?;
        Ok(Some(stage))
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// The API server's refusal.
    pub async fn namespace(&self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        let labels: serde_json::Map<_, _> = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
        let api: Api<Namespace> = Api::all(self.client.clone());
        api.create(&PostParams::default(), &namespace).await?;
        Ok(())
    }

    async fn install_crds(&self) -> Result<()> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        for crd in sluice_api::crds() {
            api.create(&PostParams::default(), &crd).await?;
        }
        let deadline = Instant::now() + SERVED_WITHIN;
        for crd in sluice_api::crds() {
            let name = crd.metadata.name.context("a CRD has a name")?;
            let names = &crd.spec.names;
            let kind = GroupVersionKind::gvk(sluice_api::GROUP, sluice_api::VERSION, &names.kind);
            let resource = ApiResource::from_gvk_with_plural(&kind, &names.plural);
            let objects: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
            // A list, not the condition: the API server sets that a moment before it serves.
            while let Err(error) = objects.list(&ListParams::default().limit(1)).await {
                if Instant::now() >= deadline {
                    bail!("{name} is not served within {SERVED_WITHIN:?}: {error}");
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

/// A client that hears 429, 503 and 504 instead of resending by itself for minutes.
///
/// # Errors
/// The kubeconfig cannot be used.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    let mut config =
        kube::Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
