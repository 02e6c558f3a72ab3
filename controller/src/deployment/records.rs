//! The records of a Deployment: its Job objects, one a run, and its Savepoint objects. Read past every cache, written under names that
//! follow from the run, pruned to a history. What they say is decided elsewhere.

use std::collections::BTreeMap;

use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams};
use kube::{Resource, ResourceExt};
use sluice_api::names::{field_managers, finalizers, labels};
use sluice_api::{Deployment, Job, JobSpec, JobStatus};

use super::identity::is_of;
use super::reconcile::{Context, Error, kube};
use super::settle::is_over;
use super::sight::{Answer, Record, Stored};
use crate::objects::names::texts;
use crate::runtime::status::{self, Written};
use crate::savepoint::history::{self, Of};
use crate::savepoint::prune::{self, Spared};

/// Job objects of ended runs that are kept.
const JOBS: usize = 10;

/// What became of a snapshot that has to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Its object stands, or is not waited for.
    Yes,
    /// The API server refuses its object, in these words.
    Refused(String),
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(field_managers::CONTROLLER.to_owned()),
        ..PostParams::default()
    }
}

impl Context {
    fn jobs(&self, deployment: &Deployment) -> Api<Job> {
        Api::namespaced(
            self.client.clone(),
            &deployment.namespace().unwrap_or_default(),
        )
    }

    /// The Job object of the newest run, past every cache; `None` where it is somebody else's too.
    pub(super) async fn newest_run(&self, deployment: &Deployment) -> Result<Option<Job>, Error> {
        let status = deployment.status.as_ref();
        let Some(name) = status.and_then(|status| status.job_name.as_deref()) else {
            return Ok(None);
        };
        let found = self.jobs(deployment).get_opt(name).await;
        let found = found.map_err(kube("reading the Job"))?;
        Ok(found.filter(|job| is_of(job, deployment)))
    }

    /// Creates the Job object of a run. Doing so again changes nothing.
    pub(super) async fn record_run(
        &self,
        deployment: &Deployment,
        name: &str,
        spec: &JobSpec,
    ) -> Result<Answer, Error> {
        let job = object(deployment, name, spec);
        let answer = match self.jobs(deployment).create(&params(), &job).await {
            Ok(_) => Answer::Recorded,
            Err(kube::Error::Api(refused)) if refused.code == 409 => {
                let found = self.jobs(deployment).get_opt(name).await;
                let found = found.map_err(kube("reading the Job"))?;
                let usable = found.is_none_or(|found| {
                    let state = found.status.as_ref().and_then(|status| status.state);
                    is_of(&found, deployment) && state.is_none()
                });
                if usable {
                    Answer::Recorded
                } else {
                    Answer::NameTaken
                }
            }
            Err(kube::Error::Api(refused)) if matches!(refused.code, 400 | 403 | 422) => {
                // Labels or annotations of the template that Kubernetes does not take.
                Answer::Unclear(format!("Job {name} is refused: {}", refused.message))
            }
            Err(error) => return Err(kube("creating the Job")(error)),
        };
        self.probed(deployment, "Job created")?;
        Ok(answer)
    }

    /// Writes the status of the newest run at the version that was read.
    pub(super) async fn write_run(
        &self,
        deployment: &Deployment,
        run: &Job,
        next: JobStatus,
    ) -> Result<Option<Job>, Error> {
        let mut run = run.clone();
        run.status = Some(next);
        let written = status::put(&self.client, &run).await;
        let written = written.map_err(kube("writing the Job's status"))?;
        self.probed(deployment, "Job status written")?;
        Ok(match written {
            Written::Stored(stored) => Some(*stored),
            Written::Outdated => None,
        })
    }

    /// Lets go of the Job object of a run that is over.
    pub(super) async fn release(&self, deployment: &Deployment, run: &Job) -> Result<(), Error> {
        let mut all = run.finalizers().to_vec();
        all.retain(|name| name != finalizers::TEARDOWN);
        let written = status::set_finalizers(&self.client, run, &all).await;
        written.map_err(kube("removing the Job's finalizer"))?;
        self.probed(deployment, "Job released")
    }

    /// The Deployment's complete Savepoint objects, past every cache.
    pub(super) async fn savepoints(&self, deployment: &Deployment) -> Result<Vec<Stored>, Error> {
        let (namespace, name) = place(deployment);
        let (of, uid) = (Of::Deployment(&name), deployment.metadata.uid.as_deref());
        let found = history::restorable(&self.client, &namespace, of, uid).await;
        found.map_err(kube("listing Savepoints"))
    }

    /// Keeps a snapshot as a Savepoint object. Doing so again changes nothing. A Deployment that is being deleted does not wait for one that is
    /// refused: the object would be gone with it, and its namespace may take no new one ever again.
    pub(super) async fn keep(
        &self,
        deployment: &Deployment,
        record: &Record,
    ) -> Result<Kept, Error> {
        let (namespace, name) = place(deployment);
        let owner = deployment.owner_ref(&());
        let object = record.object(Some(namespace), Of::Deployment(&name), owner);
        let is_leaving = deployment.metadata.deletion_timestamp.is_some();
        let made = match history::create(&self.client, &object).await {
            Err(error) if is_leaving && history::is_refused(&error) => {
                tracing::warn!(
                    deployment = deployment.name_any(),
                    name = record.name,
                    location = record.location,
                    %error,
                    "the last snapshot of a Deployment that is being deleted gets no Savepoint; its data stays"
                );
                return Ok(Kept::Yes);
            }
            Err(error) if history::is_refused(&error) => {
                let why = match error {
                    kube::Error::Api(status) => status.message.clone(),
                    error => error.to_string(),
                };
                return Ok(Kept::Refused(why));
            }
            made => made.map_err(kube("creating the Savepoint"))?,
        };
        self.probed(deployment, "Savepoint created")?;
        if !record.is_of(&made) {
            return Err(Error::SavepointTaken {
                name: record.name.clone(),
                location: record.location.clone(),
            });
        }
        if record.is_stored(&made) {
            return Ok(Kept::Yes);
        }
        let written = history::complete(&self.client, made, record).await;
        if matches!(
            written.map_err(kube("writing the Savepoint's status"))?,
            Written::Outdated
        ) {
            return Err(Error::Outdated);
        }
        self.probed(deployment, "Savepoint completed")?;
        Ok(Kept::Yes)
    }

    /// Removes the oldest records beyond the history that is kept. What the next start restores from is spared, and no data is
    /// deleted.
    pub(super) async fn prune(&self, deployment: &Deployment) -> Result<(), Error> {
        let only = format!("spec.deploymentName={}", deployment.name_any());
        let params = ListParams::default().fields(&only);
        let jobs = self.jobs(deployment).list(&params).await;
        let mut jobs = jobs.map_err(kube("listing Jobs"))?.items;
        let newest = deployment.status.as_ref();
        let newest = newest.and_then(|status| status.job_name.clone());
        jobs.retain(|job| {
            let state = job.status.as_ref().and_then(|status| status.state);
            is_of(job, deployment)
                && state.is_some_and(is_over)
                && Some(job.name_any()) != newest
                && job.finalizers().is_empty()
        });
        jobs.sort_by_key(|job| job.metadata.creation_timestamp.as_ref().map(|time| time.0));
        let too_many = jobs.len().saturating_sub(JOBS);
        for job in jobs.into_iter().take(too_many) {
            remove(&self.jobs(deployment), &job).await?;
        }
        let (namespace, name) = place(deployment);
        let status = deployment.status.as_ref();
        let spared = Spared {
            name: status.and_then(|status| status.latest_savepoint_name.as_deref()),
            ..Spared::default()
        };
        let pruned = prune::prune(&self.client, &namespace, Of::Deployment(&name), spared).await;
        pruned.map_err(kube("removing old Savepoints"))
    }
}

/// The Job object of a run, to be created.
fn object(deployment: &Deployment, name: &str, spec: &JobSpec) -> Job {
    let template = deployment.spec.template.as_ref();
    let metadata = template.and_then(|template| template.metadata.as_ref());
    let map = |object: Option<&sluice_api::Object>| -> BTreeMap<String, String> {
        let texts = texts(object).into_iter();
        texts
            .filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())))
            .collect()
    };
    let own = deployment.uid();
    let own = own.map(|uid| (labels::OWNER_UID.to_owned(), uid));
    let mut all = map(metadata.and_then(|metadata| metadata.labels.as_ref()));
    all.extend(own);
    let mut job = Job::new(name, spec.clone());
    job.metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: deployment.namespace(),
        labels: Some(all),
        annotations: metadata.map(|metadata| map(metadata.annotations.as_ref())),
        owner_references: Some(deployment.controller_owner_ref(&()).into_iter().collect()),
        // Until its run is over.
        finalizers: Some(vec![finalizers::TEARDOWN.to_owned()]),
        ..ObjectMeta::default()
    };
    job
}

async fn remove<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let params = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: object.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(kube("removing an old record")(error)),
    }
}

/// Namespace and name.
fn place(deployment: &Deployment) -> (String, String) {
    (
        deployment.namespace().unwrap_or_default(),
        deployment.name_any(),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use sluice_api::SavepointOrigin;

    use super::*;
    use crate::deployment::tests::context::context;
    use crate::flink::JobId;
    use crate::played::{ApiServer, refusal};

    /// A namespace that is being deleted takes no new object, and a ResourceQuota may be exhausted: the finalizer would stay for ever.
    #[tokio::test]
    async fn a_deployment_that_is_being_deleted_does_not_wait_for_a_savepoint_that_is_refused() {
        let record = Record {
            name: "d-1-checkpoint-070707".to_owned(),
            origin: SavepointOrigin::RetainedCheckpoint,
            job: JobId::from_bytes([7; 16]),
            location: "s3://b/ck/chk-7".to_owned(),
            completed: jiff::Timestamp::UNIX_EPOCH,
        };
        let refused = Some(Kept::Refused("no".to_owned()));
        for (code, deleted, expected) in [
            (403, json!("2026-11-21T10:00:00Z"), Some(Kept::Yes)),
            (404, json!("2026-11-21T10:00:00Z"), Some(Kept::Yes)),
            (403, json!(null), refused),
            (500, json!("2026-11-21T10:00:00Z"), None),
            (500, json!(null), None),
        ] {
            let server = ApiServer::answering(move |_| (code, refusal(code))).await;
            let deployment: Deployment = serde_json::from_value(json!({
                "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "spec": {},
                "metadata": {"name": "d", "namespace": "n", "uid": "u", "deletionTimestamp": deleted}}))
            .unwrap();
            let kept = context(&server).keep(&deployment, &record).await;
            assert_eq!(
                kept.as_ref().ok(),
                expected.as_ref(),
                "{code} {deleted}: {kept:?}"
            );
            assert_eq!(
                server.asked(),
                ["POST /apis/sluice.dev/v1alpha1/namespaces/n/savepoints"]
            );
        }
    }

    /// `kubectl delete --cascade=orphan`: a run that nobody finds any more would neither be cancelled nor let go of.
    #[tokio::test]
    async fn a_run_whose_owner_the_garbage_collector_has_taken_away_is_found_all_the_same() {
        let deployment = |uid: &str| -> Deployment {
            serde_json::from_value(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment",
                "metadata": {"name": "d", "namespace": "n", "uid": uid}, "status": {"jobName": "d-1"},
                "spec": {"template": {"metadata": {"labels": {"team": "a", "sluice.dev/owner-uid": "mine"}}}}}))
            .unwrap()
        };
        let mut run = object(&deployment("u"), "d-1", &JobSpec::default());
        assert_eq!(run.labels()["team"], "a");
        run.metadata.owner_references = None;
        let run = serde_json::to_value(run).unwrap();
        let server = ApiServer::answering(move |_| (200, run.clone())).await;
        let context = context(&server);
        let found = context.newest_run(&deployment("u")).await.unwrap();
        assert_eq!(found.unwrap().name_any(), "d-1");
        let of_another = context.newest_run(&deployment("u2")).await.unwrap();
        assert!(of_another.is_none(), "{of_another:?}");
    }
}
