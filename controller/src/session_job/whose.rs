//! What a SessionJob tells to those who take savepoints of it for users.

use futures::FutureExt;
use kube::api::Api;
use kube::{Client, ResourceExt};
use sluice_api::{
    DeploymentState, SessionCluster, SessionClusterState, SessionJob, SessionJobStatus,
};
use sluice_policy::flink::FlinkVersion;

use super::draft::operations;
use super::read::home;
use super::reconcile::Resolver;
use super::sight::Home;
use crate::flink::{JobId, JobState};
use crate::savepoint::{Life, Place, Sight, Whose, place};

/// Tells of SessionJobs. Reads past every cache: a savepoint is asked for rarely.
pub fn whose(client: Client, resolver: Resolver) -> Whose {
    std::sync::Arc::new(move |namespace, name| {
        let (client, resolver) = (client.clone(), resolver.clone());
        async move { sight(&client, &resolver, &namespace, &name).await }.boxed()
    })
}

async fn sight(
    client: &Client,
    resolver: &Resolver,
    namespace: &str,
    name: &str,
) -> kube::Result<Sight> {
    let jobs: Api<SessionJob> = Api::namespaced(client.clone(), namespace);
    let Some(job) = jobs.get_opt(name).await? else {
        return Ok(Sight {
            life: Life::Missing(format!(
                "There is no SessionJob {name} in this namespace; the savepoint is taken when there is one and it runs."
            )),
            place: None,
        });
    };
    let clusters: Api<SessionCluster> = Api::namespaced(client.clone(), namespace);
    let status = job.status.clone().unwrap_or_default();
    let named = job.spec.session_cluster_name.as_deref().unwrap_or_default();
    let cluster = match clusters.get_opt(named).await? {
        Some(cluster) if cluster.uid() == status.session_cluster_uid => Some(cluster),
        _ => None,
    };
    let id = status.job_id.as_deref().and_then(JobId::parse);
    let place = match (id, cluster.as_ref().filter(|cluster| may_answer(cluster))) {
        (Some(id), Some(cluster)) => resolver(cluster)
            .await?
            .map(|address| placed(&job, cluster, id, address)),
        _ => None,
    };
    let is_ready = cluster.as_ref().is_some_and(is_ready);
    Ok(Sight {
        life: life(name, &job, &status, is_ready),
        place,
    })
}

fn placed(job: &SessionJob, cluster: &SessionCluster, id: JobId, address: String) -> Place {
    let version = cluster.spec.flink_version.as_ref();
    let own = place::configured(job.spec.flink_configuration.as_ref());
    Place {
        address,
        job: id,
        version: version
            .and_then(sluice_api::Scalar::text)
            .and_then(|text| FlinkVersion::parse(&text)),
        folder: own.or_else(|| place::configured(cluster.spec.flink_configuration.as_ref())),
    }
}

fn life(name: &str, job: &SessionJob, status: &SessionJobStatus, is_ready: bool) -> Life {
    let flink = status.flink_state.as_deref();
    let is_live = flink.is_some_and(|word| !matches!(word, "FINISHED" | "CANCELED" | "FAILED"));
    let operation = status.operation.as_ref();
    let operation = operation.and_then(|operation| operation.kind.as_deref());
    let state = status
        .state
        .map_or("not started yet", DeploymentState::as_str);
    if is_live && operation != Some(operations::START) {
        if is_ready && operation.is_none() && flink == Some(JobState::Running.as_str()) {
            return Life::Runs;
        }
        return Life::Moving(format!(
            "SessionJob {name} is {state}, and Flink said {} of it last; the savepoint is taken when it runs.",
            flink.unwrap_or("nothing")
        ));
    }
    let is_settled = status.observed_generation == job.metadata.generation
        && matches!(
            status.state,
            Some(
                DeploymentState::Suspended
                    | DeploymentState::Cancelled
                    | DeploymentState::Finished
                    | DeploymentState::Failed
            )
        );
    if is_settled {
        Life::Resting(format!("SessionJob {name} does not run: it is {state}."))
    } else {
        Life::Moving(format!(
            "SessionJob {name} is {state}; the savepoint is taken when it runs."
        ))
    }
}

fn is_ready(cluster: &SessionCluster) -> bool {
    home(cluster) == Home::Ready
}

/// One that stops still knows how its last savepoints stand.
fn may_answer(cluster: &SessionCluster) -> bool {
    let state = cluster.status.as_ref().and_then(|status| status.state);
    is_ready(cluster) || state == Some(SessionClusterState::Stopping)
}
