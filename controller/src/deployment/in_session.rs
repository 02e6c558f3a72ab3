//! Deployments whose job runs on a session cluster (`sessionClusterName`) instead of a cluster of its own.
//!
//! The Deployment owns a SessionJob of its name and namespace, and the reconciler of SessionJobs runs that; here it is made, followed,
//! told on and removed. Admission, recovery and records stay the Deployment's: its Savepoints are of the Deployment, so that state goes along
//! when a Deployment moves onto a session cluster or off it.
//!
//! * [`build`]: the SessionJob that a Deployment asks for; [`decide`]: what to do, a table; `gone`: what is not forgotten with a
//!   SessionJob; `tell`: the status that follows from the SessionJob's; here: the edge that reads and writes.
//!
//! # Why no two jobs of a Deployment run at once
//!
//! The status says which way a Deployment goes (`status.sessionJob`). It is claimed at the version that was decided upon, and only after a
//! read past every cache has shown that nothing of a cluster of its own is left; it is given up only when the SessionJob is gone, whose
//! finalizer stays until its job has ended. So is a change of `sessionClusterName`: the SessionJob itself ends its run on one cluster before
//! it begins one on another.
//!
//! # Why a SessionJob is created and replaced, not applied
//!
//! Server-side apply would take over an object of that name which a user has made a moment ago.

pub mod build;
pub mod decide;
mod gone;
mod tell;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt;
use jiff::Timestamp;
use kube::api::{Api, DeleteParams, PostParams, Preconditions};
use kube::{Client, Resource, ResourceExt};
use sluice_api::names::{field_managers, finalizers};
use sluice_api::{Deployment, DeploymentState, SessionJob};

pub use build::named;
pub use decide::takes;

use self::decide::{Found, Observed, Plan, Step, decide, has_gone_missing, noted};
use super::reconcile::{Context, Error, kube, namespaces};
use super::sight::Again;
use crate::runtime::status::{self, Written};
use crate::savepoint::Whose;
use crate::session_job::sight::Finalizer;

/// What a user's savepoint of a Deployment is taken of: of its SessionJob, where it has one, else of what `own` tells.
pub fn whose(client: Client, own: Whose, session_jobs: Whose) -> Whose {
    Arc::new(move |namespace, name| {
        let (client, own, jobs) = (client.clone(), Arc::clone(&own), Arc::clone(&session_jobs));
        async move {
            let api: Api<Deployment> = Api::namespaced(client, &namespace);
            let found = api.get_opt(&name).await?;
            let status = found.and_then(|found| found.status);
            match status.and_then(|status| status.session_job) {
                Some(job) => jobs(namespace, job.name).await,
                None => own(namespace, name).await,
            }
        }
        .boxed()
    })
}

impl Context {
    /// One decision about a Deployment on a session cluster, and what it asks for; `None` where somebody else wrote first.
    pub(super) async fn in_session(
        &self,
        deployment: &mut Deployment,
    ) -> Result<Option<Again>, Error> {
        if !self.is_free(deployment).await? {
            return self.turn(deployment).await;
        }
        let api: Api<SessionJob> = Api::namespaced(
            self.client.clone(),
            &deployment.namespace().unwrap_or_default(),
        );
        let job = api.get_opt(&deployment.name_any()).await;
        let job = job.map_err(kube("reading the SessionJob"))?;
        let found = match &job {
            None => Found::Nothing,
            Some(job) if build::is_of(job, deployment) => Found::Ours(job),
            Some(_) => Found::Theirs,
        };
        let savepoints = match found {
            Found::Nothing if has_gone_missing(deployment) => self.savepoints(deployment).await?,
            _ => Vec::new(),
        };
        let plan = decide(&Observed {
            deployment,
            now: Timestamp::now(),
            found,
            savepoints: &savepoints,
        });
        if !self.write(deployment, &plan).await? {
            return Ok(None);
        }
        let Some(step) = &plan.step else {
            return Ok(Some(plan.again));
        };
        let written = match step {
            Step::Delete => {
                if let Some(job) = &job {
                    delete(&api, job).await?;
                    self.probed(deployment, "SessionJob deleted")?;
                }
                return Ok(Some(plan.again));
            }
            Step::Create(job) => create(&api, job).await?,
            Step::Replace(job) => replace(&api, job).await?,
        };
        self.probed(deployment, "SessionJob written")?;
        let Some(written) = written else {
            return Ok(None);
        };
        let next = noted(&plan.status, &written, deployment);
        Ok(self.put(deployment, next).await?.then_some(plan.again))
    }

    /// Whether nothing of a cluster of its own is left, past every cache; asked until the status says that it is on a session cluster.
    async fn is_free(&self, deployment: &Deployment) -> Result<bool, Error> {
        let status = deployment.status.as_ref();
        if status.is_some_and(|status| status.session_job.is_some()) {
            return Ok(true);
        }
        let uid = deployment.uid().unwrap_or_default();
        let run = self.newest_run(deployment).await?;
        let places = namespaces(deployment, run.as_ref(), &self.target(deployment).await?);
        Ok(self.read_all(&uid, &places).await?.is_empty())
    }

    /// Writes what a plan says, but for its step; `false` where somebody else wrote first.
    async fn write(&self, deployment: &mut Deployment, plan: &Plan) -> Result<bool, Error> {
        let mut all = deployment.finalizers().to_vec();
        match plan.finalizer {
            Finalizer::Add => {
                all.push(finalizers::TEARDOWN.to_owned());
                return self.finalizers(deployment, &all).await;
            }
            Finalizer::Remove => {
                all.retain(|name| name != finalizers::TEARDOWN);
                return self.finalizers(deployment, &all).await;
            }
            Finalizer::Leave => {}
        }
        let before = deployment.status.as_ref().and_then(|status| status.state);
        if deployment.status.as_ref() != Some(&plan.status) {
            if !self.put(deployment, plan.status.clone()).await? {
                return Ok(false);
            }
        } else if plan.step.is_some() && !self.is_newest(deployment).await? {
            return Ok(false);
        }
        let reference = deployment.object_ref(&());
        for note in &plan.notes {
            self.events.write(&reference, note).await;
        }
        let runs = plan.status.state == Some(DeploymentState::Running);
        if runs
            && before != plan.status.state
            && let Err(error) = self.prune(deployment).await
        {
            tracing::warn!(deployment = deployment.name_any(), %error, "old records could not be removed");
        }
        Ok(true)
    }

    async fn put(
        &self,
        deployment: &mut Deployment,
        next: sluice_api::DeploymentStatus,
    ) -> Result<bool, Error> {
        if deployment.status.as_ref() == Some(&next) {
            return Ok(true);
        }
        deployment.status = Some(next);
        let written = status::put(&self.client, deployment).await;
        let written = written.map_err(kube("writing the status"))?;
        self.probed(deployment, "status written")?;
        Ok(match written {
            Written::Stored(stored) => {
                *deployment = *stored;
                true
            }
            Written::Outdated => false,
        })
    }

    async fn finalizers(&self, deployment: &mut Deployment, all: &[String]) -> Result<bool, Error> {
        if all == deployment.finalizers() {
            return Ok(true);
        }
        let written = status::set_finalizers(&self.client, deployment, all).await;
        let written = written.map_err(kube("writing the finalizers"))?;
        self.probed(deployment, "finalizers written")?;
        Ok(match written {
            Written::Stored(stored) => {
                *deployment = *stored;
                true
            }
            Written::Outdated => false,
        })
    }
}

fn params() -> PostParams {
    PostParams {
        field_manager: Some(field_managers::CONTROLLER.to_owned()),
        ..PostParams::default()
    }
}

/// `None`: one of this name stands by now.
async fn create(api: &Api<SessionJob>, job: &SessionJob) -> Result<Option<SessionJob>, Error> {
    match api.create(&params(), job).await {
        Ok(made) => Ok(Some(made)),
        Err(kube::Error::Api(refused)) if refused.code == 409 => Ok(None),
        Err(error) => Err(kube("creating the SessionJob")(error)),
    }
}

/// `None`: somebody else wrote first.
async fn replace(api: &Api<SessionJob>, job: &SessionJob) -> Result<Option<SessionJob>, Error> {
    match api.replace(&job.name_any(), &params(), job).await {
        Ok(made) => Ok(Some(made)),
        Err(kube::Error::Api(refused)) if matches!(refused.code, 404 | 409) => Ok(None),
        Err(error) => Err(kube("writing the SessionJob")(error)),
    }
}

async fn delete(api: &Api<SessionJob>, job: &SessionJob) -> Result<(), Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: job.uid(),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    match api.delete(&job.name_any(), &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refused)) if matches!(refused.code, 404 | 409) => Ok(()),
        Err(error) => Err(kube("removing the SessionJob")(error)),
    }
}
