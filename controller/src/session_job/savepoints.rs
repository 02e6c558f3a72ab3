//! The job's Savepoint objects: read, and kept. Which one a start restores from is decided in [`super::snapshot`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::Api;
use kube::{Resource, ResourceExt};
use sluice_api::{Deployment, SessionJob};

use super::identity::of_deployment;
use super::reconcile::{Context, Error};
use super::sight::{Record, Stored};
use crate::runtime::call::call;
use crate::savepoint::history::{self, Of};
use crate::savepoint::prune::{self, Spared};

/// What came of keeping a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// There is an object of it, or nobody needs one.
    Done,
    /// The API server means to take none, in these words.
    Refused(String),
}

impl Context {
    /// The job's complete Savepoint objects, past every cache.
    pub(super) async fn savepoints(&self, job: &SessionJob) -> Result<Vec<Stored>, Error> {
        let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
        let owner = owner(job).map(|owner| owner.uid);
        let of = of(job, &name);
        let found = history::restorable(&self.client, &namespace, of, owner.as_deref()).await;
        Ok(found.map_err(call("listing Savepoints"))?)
    }

    /// Keeps a snapshot as a Savepoint object. Doing so again changes nothing. A job that is being deleted does not wait for one that is refused,
    /// unless somebody goes on from it.
    pub(super) async fn keep(&self, job: &SessionJob, record: &Record) -> Result<Kept, Error> {
        let name = job.name_any();
        let object = record.object(job.namespace(), of(job, &name), owner(job));
        let made = history::create(&self.client, &object).await;
        if let Err(error) = &made
            && history::is_refused(error)
        {
            let refused = match error {
                kube::Error::Api(status) => status.message.clone(),
                other => other.to_string(),
            };
            if !self.is_needless(job).await? {
                return Ok(Kept::Refused(refused));
            }
            tracing::warn!(
                job = name,
                name = record.name,
                location = record.location,
                refused,
                "the last snapshot of a SessionJob that is being deleted gets no Savepoint; its data stays"
            );
            return Ok(Kept::Done);
        }
        let made = made.map_err(call("creating the Savepoint"))?;
        self.probed(job, "Savepoint created")?;
        if !record.is_of(&made) {
            tracing::warn!(
                name = record.name,
                location = record.location,
                "a Savepoint of this name is somebody else's; the snapshot is known to the job's status only"
            );
            return Ok(Kept::Done);
        }
        if record.is_stored(&made) {
            return Ok(Kept::Done);
        }
        let written = history::complete(&self.client, made, record).await;
        written.map_err(call("writing the Savepoint's status"))?;
        self.probed(job, "Savepoint completed")?;
        Ok(Kept::Done)
    }

    /// Removes old Savepoint objects of a user's own job; a Deployment sees to its own.
    pub(super) async fn prune(&self, job: &SessionJob) -> Result<(), Error> {
        let (name, status) = (job.name_any(), job.status.as_ref());
        let (Of::SessionJob(_), Some(owner)) = (of(job, &name), job.uid()) else {
            return Ok(());
        };
        let spared = Spared {
            name: status.and_then(|status| status.latest_savepoint_name.as_deref()),
            location: status.and_then(|status| status.snapshot_location.as_deref()),
            owner: Some(&owner),
        };
        let namespace = job.namespace().unwrap_or_default();
        let pruned = prune::prune(&self.client, &namespace, of(job, &name), spared).await;
        Ok(pruned.map_err(call("removing old Savepoints"))?)
    }

    /// Whether nobody goes on from what a job leaves: it is being deleted, and so is the Deployment whose job it is, if one's. That one would go on
    /// from something older unasked.
    async fn is_needless(&self, job: &SessionJob) -> Result<bool, Error> {
        if job.metadata.deletion_timestamp.is_none() {
            return Ok(false);
        }
        let Some(owner) = of_deployment(job) else {
            return Ok(true);
        };
        let api: Api<Deployment> =
            Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        let found = api.get_opt(&owner.name).await;
        let found = found.map_err(call("reading the Deployment"))?;
        Ok(found.is_none_or(|found| {
            found.metadata.deletion_timestamp.is_some() || found.uid().as_ref() != Some(&owner.uid)
        }))
    }
}

/// Whose they are: the job of a Deployment has its name, and its snapshots are the Deployment's.
fn of<'n>(job: &SessionJob, name: &'n str) -> Of<'n> {
    match of_deployment(job) {
        Some(_) => Of::Deployment(name),
        None => Of::SessionJob(name),
    }
}

/// What they go with.
fn owner(job: &SessionJob) -> Option<OwnerReference> {
    match of_deployment(job) {
        // The Deployment outlives this object.
        Some(owner) => Some(OwnerReference {
            controller: None,
            block_owner_deletion: None,
            ..owner.clone()
        }),
        None => job.owner_ref(&()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use futures::FutureExt;
    use serde_json::{Value, json};
    use sluice_api::SavepointOrigin;

    use super::*;
    use crate::fetch::Reach;
    use crate::flink::{FlinkHttp, JobId, Timeouts};
    use crate::played::{ApiServer, refusal};
    use crate::runtime::events::Events;
    use crate::session_job::submissions::Submissions;
    use crate::session_job::submit;

    fn context(server: &ApiServer) -> Context {
        Context {
            client: server.client.clone(),
            clusters: kube::runtime::reflector::store().0,
            flink: FlinkHttp::new(Timeouts::default()).unwrap(),
            jars: submit::Jars::new(Reach::Anywhere).unwrap(),
            submissions: Submissions::new().0,
            events: Events::new(server.client.clone(), "test"),
            resolver: Arc::new(|_| async { Ok(None) }.boxed()),
            probe: None,
            addresses: Arc::new(Mutex::new(HashMap::new())),
        }
    }

    fn job(metadata: &Value) -> SessionJob {
        let mut job = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob", "spec": {},
            "metadata": {"name": "j", "namespace": "n", "uid": "u"}});
        for (key, value) in metadata.as_object().unwrap() {
            job["metadata"][key] = value.clone();
        }
        serde_json::from_value(job).unwrap()
    }

    /// A namespace that is being deleted takes no new object, and a ResourceQuota may be exhausted: the finalizer would stay for ever.
    #[tokio::test]
    async fn a_job_that_is_being_deleted_does_not_wait_for_a_savepoint_that_is_refused() {
        let gone = json!({"deletionTimestamp": "2026-11-21T10:00:00Z"});
        let mut owned = gone.clone();
        owned["ownerReferences"] = json!([{"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "name": "j", "uid": "d",
            "controller": true}]);
        let deployment = |metadata: Value| {
            (
                200,
                json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": metadata, "spec": {}}),
            )
        };
        let lives = deployment(json!({"name": "j", "namespace": "n", "uid": "d"}));
        let goes = deployment(
            json!({"name": "j", "namespace": "n", "uid": "d", "deletionTimestamp": "2026-11-21T10:00:00Z"}),
        );
        let another = deployment(json!({"name": "j", "namespace": "n", "uid": "d2"}));
        let none = (404, refusal(404));
        let record = Record {
            name: "j-1-checkpoint".to_owned(),
            origin: SavepointOrigin::RetainedCheckpoint,
            job: JobId::from_bytes([7; 16]),
            location: "s3://b/ck/chk-7".to_owned(),
            completed: jiff::Timestamp::UNIX_EPOCH,
        };
        for (code, metadata, deployment, goes_on) in [
            (403, &gone, &none, true),
            (404, &gone, &none, true),
            (422, &gone, &none, true),
            (403, &json!({}), &none, false),
            (500, &gone, &none, false),
            // Its Deployment goes on from what it has left.
            (403, &owned, &lives, false),
            (403, &owned, &goes, true),
            (403, &owned, &another, true),
            (403, &owned, &none, true),
        ] {
            let deployment = deployment.clone();
            let server = ApiServer::answering(move |asked| match asked {
                "POST /apis/sluice.dev/v1alpha1/namespaces/n/savepoints" => (code, refusal(code)),
                "GET /apis/sluice.dev/v1alpha1/namespaces/n/deployments/j" => deployment.clone(),
                _ => (404, refusal(404)),
            })
            .await;
            let kept = context(&server).keep(&job(metadata), &record).await;
            assert_eq!(
                matches!(kept, Ok(Kept::Done)),
                goes_on,
                "{code} {metadata}: {kept:?} {:?}",
                server.asked()
            );
        }
    }

    /// What a Deployment's job leaves is the Deployment's, and is found again by whichever SessionJob comes next.
    #[tokio::test]
    async fn a_job_finds_what_it_has_left_itself() {
        let owner = json!([{"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "name": "j", "uid": "d", "controller": true}]);
        for metadata in [json!({}), json!({"ownerReferences": owner})] {
            let job = job(&metadata);
            let record = Record {
                name: "j-1-savepoint".to_owned(),
                origin: SavepointOrigin::Suspend,
                job: JobId::from_bytes([7; 16]),
                location: "s3://b/sp".to_owned(),
                completed: jiff::Timestamp::UNIX_EPOCH,
            };
            let mut left = record.object(job.namespace(), of(&job, "j"), super::owner(&job));
            left.status = serde_json::from_value(
                json!({"state": "COMPLETED", "location": "s3://b/sp", "completionTime": "2026-11-21T10:00:00Z"}),
            )
            .unwrap();
            let list = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SavepointList", "metadata": {}, "items": [left]});
            let server = ApiServer::answering(move |_| (200, list.clone())).await;
            let found = context(&server).savepoints(&job).await.unwrap();
            assert_eq!(found.len(), 1, "{metadata}");
        }
    }
}
