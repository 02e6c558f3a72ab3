//! The jar of a submission goes when the submission is over, and not before: Flink opens it once more when the program's main method has ended,
//! however long after Sluice has ceased to wait for an answer. Without it, a submission that was given up becomes no job any more.

use std::time::Duration;

use kube::ResourceExt;
use sluice_api::{SessionJob, SessionJobStatus};

use super::draft::operations;
use super::identity;
use super::read::home;
use super::reconcile::{Context, Error};
use super::sight::Home;
use super::submit;
use crate::flink::{FlinkClient, FlinkError, JobId};

/// Before it is looked anew what has become of a submission whose jar could not be taken away.
pub(super) const AGAIN: Duration = Duration::from_secs(2);

/// A submission that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Over {
    id: JobId,
    /// Nobody waits for it any more; else Flink has the job.
    is_given_up: bool,
}

/// The submission that ends with a change of status, if one does.
pub(super) fn over(before: &SessionJobStatus, next: &SessionJobStatus) -> Option<Over> {
    let id = pending(before)?;
    if pending(next).as_ref() == Some(&id) {
        return None;
    }
    let is_taken = next.job_id.as_deref() == Some(id.as_str()) && next.flink_state.is_some();
    Some(Over {
        id,
        is_given_up: !is_taken,
    })
}

/// The run that is being submitted.
fn pending(status: &SessionJobStatus) -> Option<JobId> {
    let operation = status.operation.as_ref()?;
    let is_start = operation.kind.as_deref() == Some(operations::START);
    JobId::parse(status.job_id.as_deref().filter(|_| is_start)?)
}

/// Whether both wait for the same submission.
pub(super) fn is_of_the_same(one: &SessionJob, other: &SessionJob) -> bool {
    let of = |job: &SessionJob| job.status.as_ref().and_then(pending);
    of(one).is_some() && of(one) == of(other)
}

impl Context {
    /// Takes the jar away; `false` where the job has appeared after all, or nobody knows: what was decided holds no longer.
    pub(super) async fn withdraw(&self, job: &SessionJob, over: &Over) -> Result<bool, Error> {
        let status = job.status.as_ref();
        let uid = status.and_then(|status| status.session_cluster_uid.as_ref());
        let clusters = self.clusters.state();
        let at = clusters
            .iter()
            .find(|cluster| cluster.uid().as_ref() == uid);
        let Some(at) = at.filter(|at| home(at) != Home::Gone) else {
            // With its JobManager everything has ended.
            return Ok(true);
        };
        let done = match self.client_of(at).await? {
            Ok(flink) => withdrawn(&flink, over).await,
            Err(_) => Ok(!over.is_given_up),
        };
        self.probed(job, "jar withdrawn")?;
        Ok(done.unwrap_or_else(|error| {
            tracing::debug!(job = %over.id, %error, "the jar of a submission could not be deleted");
            // One that stays costs room until the JobManager ends.
            !over.is_given_up
        }))
    }
}

async fn withdrawn(flink: &FlinkClient, over: &Over) -> Result<bool, FlinkError> {
    match submit::clean_up(flink, &identity::jar_name(&over.id)).await {
        // Where jars cannot be listed for good, because submissions over REST are switched off there, none of them can be run.
        Err(error) if !error.is_transient() => {
            tracing::debug!(job = %over.id, %error, "the jar of a submission cannot be deleted");
        }
        other => other?,
    }
    if !over.is_given_up {
        return Ok(true);
    }
    let found = flink.job(&over.id).await?;
    Ok(found.is_none_or(|found| found.state.is_terminal()))
}
