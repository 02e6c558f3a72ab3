//! Puts what a peer needs into the cluster.

use super::policy::{self, documents, set};
use crate::stage::{Side, Stage, eventually};
use anyhow::Context as _;
use kube::ResourceExt as _;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use serde_json::{Value, json};

/// Creates an object as soon as its kind is served.
pub async fn create(stage: &Stage, object: Value) -> anyhow::Result<()> {
    let object: DynamicObject = serde_json::from_value(object).context("an object of a peer")?;
    let types = object
        .types
        .clone()
        .context("an object of a peer has no kind")?;
    let kind = GroupVersionKind::try_from(&types)?;
    let what = format!("{} {} can be created", types.kind, object.name_any());
    let (resource, capabilities) = eventually(&what, async || {
        Ok(pinned_kind(&stage.client, &kind).await.ok())
    })
    .await?;
    let api: Api<DynamicObject> = match (&capabilities.scope, object.metadata.namespace.as_deref())
    {
        (Scope::Namespaced, Some(namespace)) => {
            Api::namespaced_with(stage.client.clone(), namespace, &resource)
        }
        _ => Api::all_with(stage.client.clone(), &resource),
    };
    api.create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("creating {} {}", types.kind, object.name_any()))?;
    Ok(())
}

/// The same rules and defaults in CEL, bound to their side's namespace.
pub async fn policies(stage: &Stage) -> anyhow::Result<()> {
    let namespace = Side::Policies.namespace();
    let matched =
        json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}});
    for mut document in documents(policy::CEL)? {
        if document.pointer("/spec/policyName").is_some() {
            set(&mut document, "/spec", "matchResources", matched.clone());
        }
        create(stage, document).await?;
    }
    Ok(())
}

/// The same defaults for Sluice, in both of its namespaces; its quota is part of the stage.
pub async fn sluice(stage: &Stage) -> anyhow::Result<()> {
    for namespace in Side::namespaces(Side::is_sluices) {
        for document in policy::sluice(namespace, None)? {
            create(stage, document).await?;
        }
    }
    Ok(())
}
