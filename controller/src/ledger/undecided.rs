//! Holds that stayed undecided for too long: reads their objects past every cache, fences late updates. What is to be done is
//! decided in `sluice_policy::ledger::expire`.

use kube::Client;
use kube::api::{GetParams, Patch, PatchParams};
use kube::core::Request;
use serde_json::{Value, json};
use sluice_api::names::{annotations, field_managers};
use sluice_policy::ledger::{Found, Hold, ObjectKey, Revision};

use super::Resource;
use super::absence::{Presence, presence};
use super::resources::WatchError;

/// What a quorum read found under an object's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// An object, the one that a hold is for or another one of its name.
    Object {
        /// Its uid.
        uid: String,
        /// Its revision.
        revision: Revision,
    },
    /// The same for all holds.
    Nothing(Found),
}

impl Sight {
    /// What it is to a hold for an object of that name.
    pub fn of(&self, hold: &Hold) -> Found {
        match self {
            Self::Object { uid, revision } if *uid == hold.uid => Found::At(*revision),
            Self::Object { .. } => Found::Absent,
            Self::Nothing(found) => found.clone(),
        }
    }
}

/// Reads the object of holds from a quorum.
pub async fn find(
    client: &Client,
    resource: &Resource,
    object: &ObjectKey,
) -> Result<Sight, WatchError> {
    let path = resource.path_in(&object.namespace);
    let request = Request::new(path).get(&object.name, &GetParams::default());
    let request =
        request.map_err(|error| WatchError::Call(Box::new(kube::Error::BuildRequest(error))))?;
    match client.request::<Value>(request).await {
        Ok(found) => {
            let text = |pointer: &str| found.pointer(pointer).and_then(Value::as_str);
            let uid = text("/metadata/uid").unwrap_or_default().to_owned();
            let revision = text("/metadata/resourceVersion").and_then(Revision::parse);
            let revision = revision.ok_or(WatchError::Unreadable("metadata.resourceVersion"))?;
            Ok(Sight::Object { uid, revision })
        }
        Err(kube::Error::Api(status)) if status.code == 404 => {
            // Who looked for the object and did not find it names it. Otherwise nobody looked: the path is not served.
            let details = status.details.as_ref();
            if details.is_some_and(|details| details.name == object.name) {
                return Ok(Sight::Nothing(Found::Absent));
            }
            Ok(Sight::Nothing(match presence(client, resource).await? {
                Presence::Gone => Found::ResourceAbsent,
                Presence::Unserved | Presence::Served => Found::Unserved,
            }))
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
