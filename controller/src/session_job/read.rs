//! What is read before anything is decided: the session clusters, what Flink says, and the Savepoint objects.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use kube::ResourceExt;
use sluice_api::{SessionCluster, SessionClusterState, SessionJob, SessionJobStatus};
use sluice_policy::flink::FlinkVersion;

use super::draft::is_stop;
use super::reconcile::{Context, Error};
use super::sight::{Flink, Home, Ready, Report, Stored, Target};
use crate::flink::{FlinkClient, FlinkError, JobId, JobState, Snapshot, TriggerId};
use crate::runtime::call::call;
use crate::savepoint::place;

/// How long a cluster's address is remembered.
const ADDRESS_FOR: Duration = Duration::from_secs(30);

/// Everything of one job that is read besides itself.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) target: Target,
    pub(super) home: Home,
    pub(super) at: Option<Ready>,
    pub(super) flink: Option<Flink>,
    pub(super) stop: Option<Snapshot>,
    pub(super) savepoints: Vec<Stored>,
}

impl Context {
    pub(super) async fn read(&self, job: &SessionJob) -> Result<Read, Error> {
        let namespace = job.namespace().unwrap_or_default();
        let mine = |cluster: &Arc<SessionCluster>| {
            cluster.namespace().as_deref() == Some(namespace.as_str())
        };
        let clusters = self.clusters.state();
        let named = job.spec.session_cluster_name.as_deref().unwrap_or_default();
        let wanted = clusters
            .iter()
            .find(|cluster| mine(cluster) && cluster.name_any() == named);
        let before = job.status.clone().unwrap_or_default();
        let uid = before.session_cluster_uid.as_deref();
        let at = uid.and_then(|uid| {
            clusters
                .iter()
                .find(|cluster| mine(cluster) && cluster.uid().as_deref() == Some(uid))
        });
        let (flink, stop) = match (at.map(|at| home(at)), at) {
            // One that stops still knows the last snapshots, as long as it answers.
            (Some(_), Some(at)) if is_of_interest(&before) && may_answer(at) => {
                self.ask(at, &before).await?
            }
            _ => (None, None),
        };
        let runs = matches!(&flink, Some(Flink::Job(report)) if !report.state.is_terminal());
        let savepoints = if runs {
            Vec::new()
        } else {
            self.savepoints(job).await?
        };
        Ok(Read {
            target: target(named, wanted.map(AsRef::as_ref)),
            home: at.map_or(Home::Gone, |at| home(at)),
            at: at.map(|at| ready(at)),
            flink,
            stop,
            savepoints,
        })
    }

    /// What Flink says of the newest run, and of its stop.
    async fn ask(
        &self,
        cluster: &SessionCluster,
        status: &SessionJobStatus,
    ) -> Result<(Option<Flink>, Option<Snapshot>), Error> {
        let Some(id) = status.job_id.as_deref().and_then(JobId::parse) else {
            return Ok((None, None));
        };
        let flink = match self.client_of(cluster).await? {
            Ok(flink) => flink,
            Err(reason) => return Ok((Some(Flink::Silent(reason)), None)),
        };
        let report = match report(&flink, &id).await {
            Ok(Some(report)) => report,
            Ok(None) => return Ok((Some(Flink::NoSuchJob), None)),
            Err(error) => {
                self.forget(cluster);
                return Ok((Some(Flink::Silent(error.to_string())), None));
            }
        };
        let operation = status.operation.clone().unwrap_or_default();
        let is_stop = is_stop(&operation);
        let stop = match operation.trigger_id.filter(|_| is_stop) {
            // Unheard answers are asked for again.
            Some(trigger) => flink.snapshot(&id, &TriggerId(trigger)).await.ok(),
            None => None,
        };
        Ok((Some(Flink::Job(Box::new(report))), stop))
    }

    fn forget(&self, cluster: &SessionCluster) {
        let mut known = self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        known.remove(&cluster.uid().unwrap_or_default());
    }

    /// The client for a session cluster, or why there is none.
    pub(super) async fn client_of(
        &self,
        cluster: &SessionCluster,
    ) -> Result<Result<FlinkClient, String>, Error> {
        let uid = cluster.uid().unwrap_or_default();
        let known = {
            let known = self
                .addresses
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known
                .get(&uid)
                .filter(|(_, since)| since.elapsed() < ADDRESS_FOR)
                .map(|(address, _)| address.clone())
        };
        if let Some(address) = known {
            return Ok(self.flink.at(&address).map_err(|error| error.to_string()));
        }
        let found = (self.resolver)(cluster).await;
        let found = found.map_err(call("reading the session cluster's Service"))?;
        let Some(address) = found else {
            return Ok(Err(format!(
                "the Service of SessionCluster {} has no address yet",
                cluster.name_any()
            )));
        };
        {
            let mut known = self
                .addresses
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if known.len() > 10_000 {
                known.clear();
            }
            known.insert(uid, (address.clone(), Instant::now()));
        }
        Ok(self.flink.at(&address).map_err(|error| error.to_string()))
    }
}

/// Whether Flink is asked about the newest run: not about one that has ended.
fn is_of_interest(status: &SessionJobStatus) -> bool {
    let ended = status
        .flink_state
        .as_deref()
        .is_none_or(|word| matches!(word, "FINISHED" | "CANCELED" | "FAILED"));
    status.operation.is_some() || !ended
}

pub(crate) async fn report(flink: &FlinkClient, id: &JobId) -> Result<Option<Report>, FlinkError> {
    let Some(details) = flink.job(id).await? else {
        return Ok(None);
    };
    // Asked before the snapshots: what is as old as the caches may be is then older than the job's end.
    let refresh = if details.state.is_terminal() {
        flink.refresh_millis().await?
    } else {
        0
    };
    let latest = match flink.checkpoints(id).await {
        Ok(latest) => latest,
        // A job that is still being made has none to tell of.
        Err(error) if !error.is_transient() => crate::flink::types::Latest::default(),
        Err(error) => return Err(error),
    };
    let failure = match details.state {
        JobState::Failed | JobState::Failing | JobState::Restarting => {
            flink.job_failure(id).await?
        }
        _ => None,
    };
    let is_last = if details.state.is_terminal() {
        let age = details.now.saturating_sub(details.end_time);
        age > refresh.saturating_add(200)
    } else {
        false
    };
    Ok(Some(Report {
        state: details.state,
        failure,
        latest,
        is_last,
    }))
}

fn may_answer(cluster: &SessionCluster) -> bool {
    let state = cluster.status.as_ref().and_then(|status| status.state);
    home(cluster) == Home::Ready || state == Some(SessionClusterState::Stopping)
}

/// How the cluster stands to a job that is on it.
pub(super) fn home(cluster: &SessionCluster) -> Home {
    let status = cluster.status.as_ref();
    match status.and_then(|status| status.state) {
        Some(SessionClusterState::Running | SessionClusterState::Updating) => Home::Ready,
        // What has failed may be a TaskManager alone: the figures are there as long as the JobManager answers, and it still stops and
        // cancels what it has.
        Some(SessionClusterState::Failed)
            if status.is_some_and(|status| status.slots_total.is_some()) =>
        {
            Home::Ready
        }
        None | Some(SessionClusterState::Stopped) => Home::Gone,
        Some(_) => Home::Away,
    }
}

/// Whether the cluster takes new jobs.
fn takes_jobs(cluster: &SessionCluster) -> bool {
    let state = cluster.status.as_ref().and_then(|status| status.state);
    matches!(
        state,
        Some(SessionClusterState::Running | SessionClusterState::Updating)
    )
}

fn target(named: &str, cluster: Option<&SessionCluster>) -> Target {
    let Some(cluster) = cluster else {
        return if named.is_empty() {
            Target::Unnamed
        } else {
            Target::Missing(named.to_owned())
        };
    };
    let is_deleted = cluster.metadata.deletion_timestamp.is_some();
    if is_deleted || !takes_jobs(cluster) {
        return Target::NotReady {
            name: named.to_owned(),
            state: cluster.status.as_ref().and_then(|status| status.state),
        };
    }
    Target::Ready(ready(cluster))
}

/// What matters of a cluster to a job.
fn ready(cluster: &SessionCluster) -> Ready {
    let version = cluster.spec.flink_version.as_ref();
    Ready {
        name: cluster.name_any(),
        uid: cluster.uid().unwrap_or_default(),
        version: version
            .and_then(sluice_api::Scalar::text)
            .and_then(|text| FlinkVersion::parse(&text)),
        savepoints: place::configured(cluster.spec.flink_configuration.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn cluster(status: &Value) -> SessionCluster {
        serde_json::from_value(
            json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster",
            "metadata": {"name": "c", "namespace": "n", "uid": "u"}, "spec": {}, "status": status}),
        )
        .unwrap()
    }

    #[test]
    fn jobs_of_a_failed_cluster_can_be_stopped_as_long_as_its_jobmanager_answers() {
        for (status, expected) in [
            (json!({"state": "RUNNING"}), Home::Ready),
            (json!({"state": "UPDATING"}), Home::Ready),
            (json!({"state": "FAILED", "slotsTotal": 4}), Home::Ready),
            (json!({"state": "FAILED", "slotsTotal": 0}), Home::Ready),
            (json!({"state": "FAILED"}), Home::Away),
            (json!({"state": "STARTING", "slotsTotal": 4}), Home::Away),
            (json!({"state": "STOPPING", "slotsTotal": 4}), Home::Away),
            (json!({"state": "STOPPED"}), Home::Gone),
            (json!({}), Home::Gone),
        ] {
            assert_eq!(home(&cluster(&status)), expected, "{status}");
        }
        // It has no room for a new one that anybody could count on.
        let failed = cluster(&json!({"state": "FAILED", "slotsTotal": 4}));
        assert!(matches!(
            target("c", Some(&failed)),
            Target::NotReady { .. }
        ));
    }
}
