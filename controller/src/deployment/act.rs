//! The second half of a turn: takes the step that was decided. Each can be taken again, and then changes nothing.

use kube::ResourceExt;
use sluice_api::conditions::reasons;
use sluice_api::{Deployment, DeploymentTemplateSpec, Job};

use super::missing::{missing, runs_without_id};
use super::reconcile::{Context, Error, namespace_of};
use super::sight::{Answer, Step};
use crate::flink::{FlinkClient, FlinkError, StopAnswer};
use crate::objects::application::frozen;
use crate::objects::cluster::HighAvailability;
use crate::objects::{Application, BuildError, FlinkCluster, MadeKind, Owner, Role, build};
use crate::runtime::hand::HandError;
use crate::runtime::made::Made;

impl Context {
    /// Takes the step that was decided.
    pub(super) async fn act(
        &self,
        deployment: &Deployment,
        run: Option<&Job>,
        made: &[Made],
        step: &Step,
    ) -> Result<Answer, Error> {
        match step {
            Step::Record { name, spec } => return self.record_run(deployment, name, spec).await,
            Step::Delete(going) => {
                let mut refused = None;
                for one in going {
                    match self.hand.delete(one).await {
                        Ok(()) => self.probed(deployment, "object deleted")?,
                        // The others can go all the same.
                        Err(error) => {
                            refused.get_or_insert(error);
                        }
                    }
                }
                return refused.map_or(Ok(Answer::Waiting), |error| Err(error.into()));
            }
            Step::Scale(workload, number) => {
                self.hand.scale(workload, *number).await?;
                return Ok(Answer::Waiting);
            }
            Step::Make
            | Step::Release
            | Step::Stop { .. }
            | Step::Savepoint { .. }
            | Step::Cancel(_) => {}
        }
        let Some(run) = run else {
            return Ok(Answer::Waiting);
        };
        match step {
            Step::Make => self.make(deployment, run, made).await,
            Step::Release => {
                if let Ok(template) = frozen(run.spec.template.as_ref())
                    && let Ok(cluster) = described(deployment, run, &template)
                {
                    match self.remove_high_availability(deployment, &cluster).await {
                        // It came after this run, or was there before: what this one has left cannot be told from its own.
                        Err(Error::Hand(HandError::FlinkIdTaken { .. })) => {}
                        removed => removed?,
                    }
                }
                self.release(deployment, run).await?;
                Ok(Answer::Done)
            }
            step => {
                let flink = match self.client_of(made, run) {
                    None => return Ok(Answer::Unclear("its Service has no address".to_owned())),
                    Some(Ok(flink)) => flink,
                    Some(Err(error)) => return Ok(Answer::Unclear(error.to_string())),
                };
                self.call(deployment, &flink, step).await
            }
        }
    }

    async fn call(
        &self,
        deployment: &Deployment,
        flink: &FlinkClient,
        step: &Step,
    ) -> Result<Answer, Error> {
        Ok(match step {
            Step::Stop {
                job,
                directory,
                trigger,
            } => {
                let asked = flink
                    .stop_with_savepoint(job, directory.as_deref(), trigger.as_ref())
                    .await;
                self.probed(deployment, "stop asked for")?;
                stopping(asked)
            }
            Step::Savepoint { job, directory } => {
                let asked = flink.savepoint(job, directory.as_deref(), None).await;
                self.probed(deployment, "savepoint asked for")?;
                stopping(asked)
            }
            Step::Cancel(job) => {
                let asked = flink.cancel(job).await;
                self.probed(deployment, "cancellation asked for")?;
                match asked {
                    Ok(()) => Answer::Cancelling,
                    Err(error) => Answer::CancelFailed(error.to_string()),
                }
            }
            _ => Answer::Waiting,
        })
    }

    /// Removes what Flink's high availability has left under a run's name. Nobody is left who uses it, and whatever bears that name next would
    /// find the old job there and run it beside its own. Only where the run had it: else what bears its name is somebody else's.
    async fn remove_high_availability(
        &self,
        deployment: &Deployment,
        cluster: &FlinkCluster<'_>,
    ) -> Result<(), Error> {
        let Some(application) = &cluster.application else {
            return Ok(());
        };
        if cluster.high_availability() == HighAvailability::Kubernetes {
            let keeper = (MadeKind::Job, cluster.names.workload(Role::JobManager));
            let id = &application.job;
            self.hand
                .remove_high_availability(&cluster.namespace, id, &keeper)
                .await?;
            self.probed(deployment, "high availability removed")?;
        }
        Ok(())
    }

    /// Makes what is not there of a run's cluster; its JobManager last, and only once. Where that stands, what else does is left as it is: `made`.
    async fn make(
        &self,
        deployment: &Deployment,
        run: &Job,
        made: &[Made],
    ) -> Result<Answer, Error> {
        let refused = |error: String| Answer::Refused(reasons::INVALID_SPEC, error);
        let template = match frozen(run.spec.template.as_ref()) {
            Ok(template) => template,
            Err(error) => return Ok(refused(error.to_string())),
        };
        let status = run.status.as_ref();
        let has_jobmanager = status.is_some_and(|status| status.jobmanager_uid.is_some());
        let described = described(deployment, run, &template);
        let described = described.and_then(|mut cluster| {
            if has_jobmanager && runs_without_id(&cluster, made) {
                cluster.start_id = None;
            }
            build(&cluster, &self.build).map(|built| (cluster, built))
        });
        let (cluster, built) = match described {
            Ok(described) => described,
            Err(error) if !has_jobmanager => return Ok(refused(error.to_string())),
            Err(_) => return Ok(Answer::Waiting),
        };
        let built = if has_jobmanager {
            missing(built, made)
        } else {
            built
        };
        if !has_jobmanager {
            // An earlier Deployment of this name may have had a run of this one's: runs are counted from 1 again. Before TaskManagers are made,
            // for they go where this says.
            match self.remove_high_availability(deployment, &cluster).await {
                Err(Error::Hand(taken @ HandError::FlinkIdTaken { .. })) => {
                    return Ok(Answer::Refused(reasons::NAME_TAKEN, taken.to_string()));
                }
                removed => removed?,
            }
        }
        let mut answer = Answer::Waiting;
        for object in built {
            match self.hand.ensure(&object).await {
                Ok(ensured) if object.kind == MadeKind::Job => answer = Answer::Made(ensured.uid),
                Ok(_) => {}
                Err(HandError::BeingDeleted { .. }) => return Ok(Answer::Waiting),
                Err(error @ (HandError::Refused { .. } | HandError::NameTaken { .. })) => {
                    if has_jobmanager {
                        // What runs is left alone.
                        tracing::warn!(%error, "something of a running job cannot be made again");
                        return Ok(Answer::Waiting);
                    }
                    let reason = match error {
                        HandError::NameTaken { .. } => reasons::NAME_TAKEN,
                        _ => reasons::OBJECT_REFUSED,
                    };
                    return Ok(Answer::Refused(reason, error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
            self.probed(
                deployment,
                if object.kind == MadeKind::Job {
                    "JobManager made"
                } else {
                    "object made"
                },
            )?;
        }
        Ok(answer)
    }
}

/// The cluster of a run, as it was started.
fn described<'t>(
    deployment: &Deployment,
    run: &Job,
    template: &'t DeploymentTemplateSpec,
) -> Result<FlinkCluster<'t>, BuildError> {
    FlinkCluster::of_run(
        owner(deployment),
        &namespace_of(deployment, Some(run)),
        template,
        Application::of(run, template),
    )
}

/// What Flink's answer to a stop means.
fn stopping(asked: Result<StopAnswer, FlinkError>) -> Answer {
    match asked {
        Ok(StopAnswer::Accepted(id)) => Answer::Stopping(id),
        Ok(StopAnswer::NoSuchJob) => Answer::Unclear("Flink does not know the job.".to_owned()),
        Err(error) if error.is_transient() => Answer::Unclear(error.to_string()),
        Err(error) => Answer::StopFailed(error.reason()),
    }
}

pub(super) fn owner(deployment: &Deployment) -> Owner {
    Owner {
        kind: "Deployment",
        namespace: deployment.namespace().unwrap_or_default(),
        name: deployment.name_any(),
        uid: deployment.uid().unwrap_or_default(),
    }
}
