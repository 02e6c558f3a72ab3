//! Writing status and finalizers: always against the version that was decided upon.

use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sluice_api::names::field_managers;

/// What came of a write.
#[derive(Debug)]
pub enum Written<K> {
    /// It is stored; this is the object now.
    Stored(Box<K>),
    /// Somebody else wrote first, or the object is gone: what was decided holds no longer.
    Outdated,
}

fn outcome<K>(written: kube::Result<K>) -> kube::Result<Written<K>> {
    match written {
        Ok(object) => Ok(Written::Stored(Box::new(object))),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {
            Ok(Written::Outdated)
        }
        Err(error) => Err(error),
    }
}

/// Puts an object's status at the resource version that the object has. A patch would go through at any version.
pub async fn put<K>(client: &Client, object: &K) -> kube::Result<Written<K>>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let params = PostParams {
        field_manager: Some(field_managers::CONTROLLER.to_owned()),
        ..PostParams::default()
    };
    outcome(
        api.replace_status(&object.name_any(), &params, object)
            .await,
    )
}

/// Sets an object's finalizers, at the resource version that the object has.
pub async fn set_finalizers<K>(
    client: &Client,
    object: &K,
    finalizers: &[String],
) -> kube::Result<Written<K>>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({"metadata": {
        "uid": object.uid(),
        "resourceVersion": object.resource_version(),
        "finalizers": finalizers,
    }});
    let params = PatchParams {
        field_manager: Some(field_managers::CONTROLLER.to_owned()),
        ..PatchParams::default()
    };
    outcome(
        api.patch(&object.name_any(), &params, &Patch::Merge(&patch))
            .await,
    )
}
