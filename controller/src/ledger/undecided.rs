//! Holds that stayed undecided for too long: reads their objects past every cache, fences late updates. What is to be done is
//! decided in `sluice_policy::ledger::expire`.

use kube::Client;
use kube::api::{GetParams, Patch, PatchParams};
use kube::core::Request;
use serde_json::{Value, json};
use sluice_api::names::{annotations, field_managers};
use sluice_policy::ledger::{Found, Hold, Revision};

use super::Resource;
use super::resources::{WatchError, is_served};

/// Reads a hold's object from a quorum.
pub async fn find(client: &Client, resource: &Resource, hold: &Hold) -> Result<Found, WatchError> {
    let path = resource.path_in(&hold.object.namespace);
    let request = Request::new(path).get(&hold.object.name, &GetParams::default());
    let request =
        request.map_err(|error| WatchError::Call(Box::new(kube::Error::BuildRequest(error))))?;
    match client
        .request::<Value>(request)
        .await
        .map_err(WatchError::from)
    {
        Ok(object) => {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
            if text("/metadata/uid") != Some(hold.uid.as_str()) {
                return Ok(Found::Absent);
            }
            let revision = text("/metadata/resourceVersion").and_then(Revision::parse);
            revision
                .map(Found::At)
                .ok_or(WatchError::Unreadable("metadata.resourceVersion"))
        }
        // The object is absent, or the whole resource.
        Err(WatchError::Absent) if is_served(client, resource).await? => Ok(Found::Absent),
        Err(WatchError::Absent) => Ok(Found::ResourceAbsent),
        Err(error) => Err(error),
    }
}

/// Moves the object past the hold's base, so that the write which the hold is for can never succeed.
///
/// A write that changes nothing would leave the resource version as it is, hence the annotation. That somebody else moved or
/// deleted the object first is as good.
pub async fn fence(client: &Client, resource: &Resource, hold: &Hold) -> Result<(), WatchError> {
    let patch = json!({"metadata": {
        "uid": hold.uid,
        "resourceVersion": hold.base.to_string(),
        "annotations": {(annotations::FENCE): hold.id},
    }});
    let params = PatchParams {
        field_manager: Some(field_managers::LEDGER.to_owned()),
        ..PatchParams::default()
    };
    let objects = Request::new(resource.path_in(&hold.object.namespace));
    let request = objects.patch(&hold.object.name, &params, &Patch::Merge(&patch));
    let request =
        request.map_err(|error| WatchError::Call(Box::new(kube::Error::BuildRequest(error))))?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
