//! The job's Savepoint objects: read, and kept. Which one a start restores from is decided in [`super::snapshot`].

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use sluice_api::SessionJob;

use super::identity::of_deployment;
use super::reconcile::{Context, Error};
use super::sight::{Record, Stored};
use crate::runtime::call::call;
use crate::savepoint::history::{self, Of};

impl Context {
    /// The job's complete Savepoint objects, past every cache.
    pub(super) async fn savepoints(&self, job: &SessionJob) -> Result<Vec<Stored>, Error> {
        let (namespace, name) = (job.namespace().unwrap_or_default(), job.name_any());
        let found = history::restorable(&self.client, &namespace, of(job, &name)).await;
        Ok(found.map_err(call("listing Savepoints"))?)
    }

    /// Keeps a snapshot as a Savepoint object. Doing so again changes nothing.
    pub(super) async fn keep(&self, job: &SessionJob, record: &Record) -> Result<(), Error> {
        let name = job.name_any();
        let owner = match of_deployment(job) {
            // The Deployment outlives this object.
            Some(owner) => Some(OwnerReference {
                controller: None,
                block_owner_deletion: None,
                ..owner.clone()
            }),
            None => job.owner_ref(&()),
        };
        let object = record.object(job.namespace(), of(job, &name), owner);
        let made = history::create(&self.client, &object).await;
        let made = made.map_err(call("creating the Savepoint"))?;
        self.probed(job, "Savepoint created")?;
        if !record.is_of(&made) {
            tracing::warn!(
                name = record.name,
                location = record.location,
                "a Savepoint of this name is somebody else's; the snapshot is known to the job's status only"
            );
            return Ok(());
        }
        if record.is_stored(&made) {
            return Ok(());
        }
        let written = history::complete(&self.client, made, record).await;
        written.map_err(call("writing the Savepoint's status"))?;
        self.probed(job, "Savepoint completed")
    }
}

/// Whose they are: the job of a Deployment has its name, and its snapshots are the Deployment's.
fn of<'n>(job: &SessionJob, name: &'n str) -> Of<'n> {
    match of_deployment(job) {
        Some(_) => Of::Deployment(name),
        None => Of::SessionJob(name),
    }
}
