//! The job's Savepoint objects: read, kept, and completed where a user brings a snapshot in. Which one a start restores from is
//! decided in [`super::snapshot`].

use jiff::Timestamp;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::{Resource, ResourceExt};
use sluice_api::names::field_managers;
use sluice_api::{
    Savepoint, SavepointOrigin, SavepointSpec, SavepointState, SavepointStatus, SessionJob,
};

use super::reconcile::{Context, Error, kube};
use super::sight::{Record, Stored};
use crate::runtime::status::{self, Written};
use crate::savepoint::object::completed;

/// Savepoints of a namespace that are read at a time.
const PAGE: u32 = 500;

impl Context {
    /// The job's complete Savepoint objects, past every cache: a start must not miss the one that was stored just now.
    pub(super) async fn savepoints(&self, job: &SessionJob) -> Result<Vec<Stored>, Error> {
        let api: Api<Savepoint> =
            Api::namespaced(self.client.clone(), &job.namespace().unwrap_or_default());
        let name = job.name_any();
        let mut found = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        loop {
            let page = api
                .list(&params)
                .await
                .map_err(kube("listing Savepoints"))?;
            for savepoint in page.items {
                if savepoint.spec.session_job_name.as_deref() != Some(&name) {
                    continue;
                }
                let savepoint = self.brought_in(savepoint).await?;
                found.extend(stored(&savepoint));
            }
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => params.continue_token = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// A snapshot that exists and that a user names can be restored from at once; its status says so.
    async fn brought_in(&self, mut savepoint: Savepoint) -> Result<Savepoint, Error> {
        let location = savepoint.spec.savepoint_location.clone();
        let Some(location) = location.filter(|_| savepoint.status.is_none()) else {
            return Ok(savepoint);
        };
        let generation = savepoint.metadata.generation;
        let now = Timestamp::now();
        savepoint.status = Some(completed(
            SavepointStatus::default(),
            &location,
            now,
            generation,
            now,
        ));
        let written = status::put(&self.client, &savepoint).await;
        Ok(
            match written.map_err(kube("writing the Savepoint's status"))? {
                Written::Stored(stored) => *stored,
                // It is looked at again.
                Written::Outdated => savepoint,
            },
        )
    }

    /// Keeps a snapshot as a Savepoint object. Doing so again changes nothing.
    pub(super) async fn keep(&self, job: &SessionJob, record: &Record) -> Result<(), Error> {
        let namespace = job.namespace().unwrap_or_default();
        let api: Api<Savepoint> = Api::namespaced(self.client.clone(), &namespace);
        let params = PostParams {
            field_manager: Some(field_managers::CONTROLLER.to_owned()),
            ..PostParams::default()
        };
        let mut savepoint = Savepoint::new(
            &record.name,
            SavepointSpec {
                session_job_name: Some(job.name_any()),
                job_id: Some(record.job.to_string()),
                origin: Some(record.origin),
                ..SavepointSpec::default()
            },
        );
        savepoint.metadata = ObjectMeta {
            namespace: Some(namespace),
            owner_references: Some(job.owner_ref(&()).into_iter().collect()),
            ..savepoint.metadata
        };
        let made = match api.create(&params, &savepoint).await {
            Ok(made) => made,
            Err(kube::Error::Api(status)) if status.code == 409 => api
                .get(&record.name)
                .await
                .map_err(kube("reading the Savepoint"))?,
            Err(error) => return Err(kube("creating the Savepoint")(error)),
        };
        self.probed(job, "Savepoint created")?;
        if made.spec.job_id.as_deref() != Some(record.job.as_str()) {
            tracing::warn!(
                name = record.name,
                location = record.location,
                "a Savepoint of this name is somebody else's; the snapshot is known to the job's status only"
            );
            return Ok(());
        }
        let location = made
            .status
            .as_ref()
            .and_then(|status| status.location.clone());
        if location.as_deref() == Some(&record.location) {
            return Ok(());
        }
        let mut made = made;
        let generation = made.metadata.generation;
        made.status = Some(completed(
            SavepointStatus::default(),
            &record.location,
            record.completed,
            generation,
            Timestamp::now(),
        ));
        let written = status::put(&self.client, &made).await;
        written.map_err(kube("writing the Savepoint's status"))?;
        self.probed(job, "Savepoint completed")?;
        Ok(())
    }
}

fn stored(savepoint: &Savepoint) -> Option<Stored> {
    let status = savepoint.status.as_ref()?;
    if status.state != Some(SavepointState::Completed) {
        return None;
    }
    Some(Stored {
        name: savepoint.name_any(),
        location: status.location.clone()?,
        completed: status.completion_time.as_ref()?.0,
        origin: savepoint
            .spec
            .origin
            .unwrap_or(SavepointOrigin::UserRequest),
    })
}
