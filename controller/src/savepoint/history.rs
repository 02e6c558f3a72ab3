//! The Savepoint objects of one job: read past every cache, completed where a user brings a snapshot in, kept. Which one a start
//! restores from, and which are pruned, is decided by the reconcilers of the jobs.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt};
use sluice_api::names::field_managers;
use sluice_api::{Savepoint, SavepointOrigin, SavepointSpec, SavepointState, SavepointStatus};

use super::object::completed;
use crate::flink::JobId;
use crate::runtime::status::{self, Written};

/// Objects that are read at a time.
const PAGE: u32 = 500;

/// The job that savepoints are of, by its name within its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of<'a> {
    /// A Deployment.
    Deployment(&'a str),
    /// A SessionJob.
    SessionJob(&'a str),
}

impl Of<'_> {
    fn holds(self, savepoint: &Savepoint) -> bool {
        let spec = &savepoint.spec;
        match self {
            Self::Deployment(name) => spec.deployment_name.as_deref() == Some(name),
            Self::SessionJob(name) => spec.session_job_name.as_deref() == Some(name),
        }
    }

    /// What the API server selects by; the rest is selected here.
    fn params(self) -> ListParams {
        let all = ListParams::default().limit(PAGE);
        match self {
            Self::Deployment(name) => all.fields(&format!("spec.deploymentName={name}")),
            Self::SessionJob(_) => all,
        }
    }
}

/// A Savepoint object that can be restored from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: String,
    /// Where its data is.
    pub location: String,
    /// When it was complete.
    pub completed: Timestamp,
    /// Why it exists.
    pub origin: SavepointOrigin,
}

impl Stored {
    /// Of an object that is complete; `None`: it is not.
    pub fn of(savepoint: &Savepoint) -> Option<Self> {
        let status = savepoint.status.as_ref()?;
        if status.state != Some(SavepointState::Completed) {
            return None;
        }
        let spec = &savepoint.spec;
        let unsaid = match spec.savepoint_location {
            Some(_) => SavepointOrigin::Copied,
            None => SavepointOrigin::UserRequest,
        };
        Some(Self {
            name: savepoint.name_any(),
            location: status.location.clone()?,
            completed: status.completion_time.as_ref()?.0,
            origin: spec.origin.unwrap_or(unsaid),
        })
    }
}

/// A snapshot that Sluice has taken by itself, to be kept as a Savepoint object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The object's name.
    pub name: String,
    /// Why it exists.
    pub origin: SavepointOrigin,
    /// The run that it is of.
    pub job: JobId,
    /// Where its data is.
    pub location: String,
    /// When it was complete.
    pub completed: Timestamp,
}

impl Record {
    /// The object, without a status yet. `owner` goes with the job.
    pub fn object(
        &self,
        namespace: Option<String>,
        of: Of<'_>,
        owner: Option<OwnerReference>,
    ) -> Savepoint {
        let mut spec = SavepointSpec {
            job_id: Some(self.job.to_string()),
            origin: Some(self.origin),
            ..SavepointSpec::default()
        };
        match of {
            Of::Deployment(name) => spec.deployment_name = Some(name.to_owned()),
            Of::SessionJob(name) => spec.session_job_name = Some(name.to_owned()),
        }
        let mut savepoint = Savepoint::new(&self.name, spec);
        savepoint.metadata.namespace = namespace;
        savepoint.metadata.owner_references = Some(owner.into_iter().collect());
        savepoint
    }

    /// Whether this object is of the same run; another may have its name.
    pub fn is_of(&self, savepoint: &Savepoint) -> bool {
        savepoint.spec.job_id.as_deref() == Some(self.job.as_str())
    }

    /// Whether this object says all of it already.
    pub fn is_stored(&self, savepoint: &Savepoint) -> bool {
        let status = savepoint.status.as_ref();
        status.and_then(|status| status.location.as_deref()) == Some(&self.location)
    }
}

/// All objects of a job, past every cache.
///
/// # Errors
/// What the API server says.
pub async fn all(client: &Client, namespace: &str, of: Of<'_>) -> kube::Result<Vec<Savepoint>> {
    let api: Api<Savepoint> = Api::namespaced(client.clone(), namespace);
    let mut params = of.params();
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await?;
        found.extend(page.items.into_iter().filter(|one| of.holds(one)));
        match page.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}

/// Those that can be restored from: a start must not miss the one that was stored just now, nor the one that a user has just brought in.
/// `owner` is the uid of the object that Sluice's own savepoints of the job belong to.
///
/// # Errors
/// What the API server says.
pub async fn restorable(
    client: &Client,
    namespace: &str,
    of: Of<'_>,
    owner: Option<&str>,
) -> kube::Result<Vec<Stored>> {
    let mut found = Vec::new();
    let all = all(client, namespace, of).await?;
    for savepoint in all.into_iter().filter(|one| stays(one, owner)) {
        let savepoint = brought_in(client, savepoint).await?;
        found.extend(Stored::of(&savepoint));
    }
    Ok(found)
}

/// Whether it is the job's for good. What an earlier object of the same name has left goes with that one, as soon as the garbage collector gets to
/// it: a start must not depend on when that is.
fn stays(savepoint: &Savepoint, owner: Option<&str>) -> bool {
    let owners = savepoint.owner_references().iter();
    let mut jobs = owners.filter(|one| is_job(one)).peekable();
    let is_free = jobs.peek().is_none();
    let is_its = jobs.any(|job| Some(job.uid.as_str()) == owner);
    savepoint.metadata.deletion_timestamp.is_none() && (is_free || is_its)
}

/// Whether it is a Deployment or SessionJob of Sluice's.
fn is_job(owner: &OwnerReference) -> bool {
    owner.api_version.split('/').next() == Some(sluice_api::GROUP)
        && matches!(owner.kind.as_str(), "Deployment" | "SessionJob")
}

/// A snapshot that exists and that a user names can be restored from at once; its status says so.
async fn brought_in(client: &Client, mut savepoint: Savepoint) -> kube::Result<Savepoint> {
    let location = savepoint.spec.savepoint_location.clone();
    let Some(location) = location.filter(|_| savepoint.status.is_none()) else {
        return Ok(savepoint);
    };
    savepoint.status = Some(status_of(&savepoint, &location, Timestamp::now()));
    Ok(match status::put(client, &savepoint).await? {
        Written::Stored(stored) => *stored,
        // Somebody else has said the same meanwhile; if not, it is looked at again.
        Written::Outdated => savepoint,
    })
}

/// Creates the object of a snapshot; doing so again finds it, or whoever has its name.
///
/// # Errors
/// What the API server says.
pub async fn create(client: &Client, savepoint: &Savepoint) -> kube::Result<Savepoint> {
    let namespace = savepoint.namespace().unwrap_or_default();
    let api: Api<Savepoint> = Api::namespaced(client.clone(), &namespace);
    let params = PostParams {
        field_manager: Some(field_managers::CONTROLLER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&params, savepoint).await {
        Err(kube::Error::Api(status)) if status.code == 409 => api.get(&savepoint.name_any()).await,
        made => made,
    }
}

/// Whether the API server means to refuse an object, and will again: in a namespace that is being deleted it takes no new one, and a
/// ResourceQuota may be exhausted for ever.
pub fn is_refused(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 400 | 403 | 404 | 422))
}

/// Writes into its object where the data of a snapshot is, and since when it is complete.
///
/// # Errors
/// What the API server says.
pub async fn complete(
    client: &Client,
    mut savepoint: Savepoint,
    record: &Record,
) -> kube::Result<Written<Savepoint>> {
    let status = status_of(&savepoint, &record.location, record.completed);
    savepoint.status = Some(status);
    status::put(client, &savepoint).await
}

fn status_of(savepoint: &Savepoint, location: &str, at: Timestamp) -> SavepointStatus {
    let generation = savepoint.metadata.generation;
    let before = SavepointStatus::default();
    completed(before, location, at, generation, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::played::ApiServer;

    fn savepoint(name: &str, more: &Value) -> Value {
        let mut savepoint = json!({"metadata": {"name": name, "namespace": "n"}, "spec": {"deploymentName": "d"},
            "status": {"state": "COMPLETED", "location": "s3://b/sp", "completionTime": "2026-11-21T10:00:00Z"}});
        for (key, value) in more.as_object().unwrap() {
            savepoint["metadata"][key] = value.clone();
        }
        savepoint
    }

    fn owned(api: &str, kind: &str, uid: &str) -> Value {
        json!({"ownerReferences": [{"apiVersion": api, "kind": kind, "name": "d", "uid": uid}]})
    }

    /// `kubectl replace --force`: what the one before has left may still stand, or may not.
    #[tokio::test]
    async fn a_job_that_was_made_again_does_not_start_from_what_its_predecessor_has_left() {
        let own = "sluice.dev/v1alpha1";
        let all = [
            savepoint("brought", &json!({})),
            savepoint("kept", &owned(own, "Deployment", "u2")),
            savepoint("of-a-helm-chart", &owned("v1", "ConfigMap", "u1")),
            savepoint("before", &owned(own, "Deployment", "u1")),
            savepoint("of-a-session-job", &owned(own, "SessionJob", "u3")),
            savepoint(
                "deleted",
                &json!({"deletionTimestamp": "2026-11-21T10:00:00Z"}),
            ),
        ];
        let list =
            json!({"apiVersion": own, "kind": "SavepointList", "metadata": {}, "items": all});
        let server = ApiServer::answering(move |_| (200, list.clone())).await;
        let found = restorable(&server.client, "n", Of::Deployment("d"), Some("u2")).await;
        let found: Vec<String> = found.unwrap().into_iter().map(|one| one.name).collect();
        assert_eq!(found, ["brought", "kept", "of-a-helm-chart"]);
    }
}
