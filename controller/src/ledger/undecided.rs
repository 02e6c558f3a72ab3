//! Holds that stayed undecided for too long: reads their objects past every cache, fences late updates. What is to be done is
//! decided in `sluice_policy::ledger::expire`.

use kube::Client;
use kube::api::{GetParams, Patch, PatchParams};
use kube::core::Request;
use serde_json::{Value, json};
use sluice_api::names::{annotations, field_managers};
use sluice_policy::ledger::{Found, Hold, Revision};

use super::Resource;
use super::absence::{Presence, presence};
use super::resources::WatchError;

/// Reads a hold's object from a quorum.
pub async fn find(client: &Client, resource: &Resource, hold: &Hold) -> Result<Found, WatchError> {
    let path = resource.path_in(&hold.object.namespace);
    let request = Request::new(path).get(&hold.object.name, &GetParams::default());
    let request =
        request.map_err(|error| WatchError::Call(Box::new(kube::Error::BuildRequest(error))))?;
    match client.request::<Value>(request).await {
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
        Err(kube::Error::Api(status)) if status.code == 404 => {
            // Who looked for the object and did not find it names it. Otherwise nobody looked: the path is not served.
            let details = status.details.as_ref();
            if details.is_some_and(|details| details.name == hold.object.name) {
                return Ok(Found::Absent);
            }
            Ok(match presence(client, resource).await? {
                Presence::Gone => Found::ResourceAbsent,
                Presence::Unserved | Presence::Served => Found::Unserved,
            })
        }
        Err(error) => Err(error.into()),
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
