//! What a Deployment tells to those who take savepoints of it for users.

use futures::FutureExt;
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::{Client, ResourceExt};
use sluice_api::names::labels;
use sluice_api::{Deployment, DeploymentState, DeploymentStatus, Job, JobState as RunState};

use super::frozen::Frozen;
use super::identity;
use super::settle::is_over;
use crate::flink::JobState;
use crate::objects::names::Names;
use crate::savepoint::{Life, Place, Sight, Whose};
use crate::session_cluster::health::AddressOf;

/// Tells of Deployments. Reads past every cache: a savepoint is asked for rarely.
pub fn whose(client: Client, address: AddressOf) -> Whose {
    std::sync::Arc::new(move |namespace, name| {
        let (client, address) = (client.clone(), address.clone());
        async move { sight(&client, &address, &namespace, &name).await }.boxed()
    })
}

async fn sight(
    client: &Client,
    address: &AddressOf,
    namespace: &str,
    name: &str,
) -> kube::Result<Sight> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let Some(deployment) = deployments.get_opt(name).await? else {
        return Ok(Sight {
            life: Life::Missing(format!(
                "There is no Deployment {name} in this namespace; the savepoint is taken when there is one and it runs."
            )),
            place: None,
        });
    };
    let status = deployment.status.clone().unwrap_or_default();
    let run = match status.job_name.as_deref() {
        Some(run) => {
            let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
            let found = jobs.get_opt(run).await?;
            found.filter(|run| identity::is_of(run, &deployment))
        }
        None => None,
    };
    let place = match &run {
        Some(run) => place(client, address, namespace, name, run).await?,
        None => None,
    };
    Ok(Sight {
        life: life(&deployment, &status, run.as_ref()),
        place,
    })
}

/// Where a run is, while its JobManager's Service stands.
async fn place(
    client: &Client,
    address: &AddressOf,
    namespace: &str,
    name: &str,
    run: &Job,
) -> kube::Result<Option<Place>> {
    let target = run.spec.target_namespace.as_deref().unwrap_or(namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), target);
    let service = Names::of_deployment(name).service();
    let Some(service) = services.get_opt(&service).await? else {
        return Ok(None);
    };
    // Every run's has the same name.
    let is_its = service.labels().get(labels::JOB) == Some(&run.name_any());
    let ip = service.spec.and_then(|spec| spec.cluster_ip);
    let ip = ip.filter(|ip| is_its && !ip.is_empty() && ip != "None");
    let (Some(ip), Some(job)) = (ip, identity::job_id(run)) else {
        return Ok(None);
    };
    let frozen = Frozen::of(run);
    Ok(Some(Place {
        address: address(&ip),
        job,
        version: frozen.version,
        folder: frozen.folder,
    }))
}

fn life(deployment: &Deployment, status: &DeploymentStatus, run: Option<&Job>) -> Life {
    let name = deployment.name_any();
    let state = status
        .state
        .map_or("not started yet", DeploymentState::as_str);
    let run = run.and_then(|run| run.status.as_ref());
    let is_live = run.and_then(|run| run.state) == Some(RunState::Started);
    if let Some(run) = run.filter(|_| is_live) {
        let flink = run.flink_state.as_deref();
        if status.operation.is_none() && flink == Some(JobState::Running.as_str()) {
            return Life::Runs;
        }
        return Life::Moving(format!(
            "Deployment {name} is {state}, and Flink said {} of its job last; the savepoint is taken when it runs.",
            flink.unwrap_or("nothing")
        ));
    }
    let has_ended = run.and_then(|run| run.state).is_none_or(is_over);
    let is_settled = has_ended
        && status.operation.is_none()
        && status.observed_generation == deployment.metadata.generation
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
        Life::Resting(format!("Deployment {name} does not run: it is {state}."))
    } else {
        Life::Moving(format!(
            "Deployment {name} is {state}; the savepoint is taken when it runs."
        ))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    #[rstest]
    #[case::runs(json!({"state": "RUNNING"}), json!({"state": "STARTED", "flinkState": "RUNNING"}), "runs")]
    #[case::restarts(json!({"state": "RUNNING"}), json!({"state": "STARTED", "flinkState": "RESTARTING"}), "moving")]
    #[case::is_being_stopped(json!({"state": "TRANSITIONING", "operation": {"kind": "Suspend"}}), json!({"state": "STARTED", "flinkState": "RUNNING"}), "moving")]
    #[case::runs_although_failed(json!({"state": "FAILED"}), json!({"state": "STARTED", "flinkState": "RUNNING"}), "runs")]
    #[case::starts(json!({"state": "TRANSITIONING", "operation": {"kind": "Start"}}), json!({"state": "STARTING"}), "moving")]
    #[case::waits_for_cpu(json!({"state": "TRANSITIONING"}), json!(null), "moving")]
    #[case::was_suspended(json!({"state": "SUSPENDED"}), json!({"state": "FINISHED"}), "resting")]
    #[case::has_failed(json!({"state": "FAILED"}), json!({"state": "FAILED"}), "resting")]
    #[case::is_new(json!({}), json!(null), "moving")]
    fn a_savepoint_is_taken_of_what_runs_and_waits_for_what_may(
        #[case] status: Value,
        #[case] run: Value,
        #[case] expected: &str,
    ) {
        let mut status = status;
        status["observedGeneration"] = json!(1);
        let deployment: Deployment = serde_json::from_value(
            json!({"metadata": {"name": "d", "generation": 1}, "spec": {},
            "apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "status": status}),
        )
        .unwrap();
        let run: Option<Job> = (!run.is_null()).then(|| {
            serde_json::from_value(
                json!({"metadata": {"name": "d-1"}, "spec": {}, "status": run,
                "apiVersion": "sluice.dev/v1alpha1", "kind": "Job"}),
            )
            .unwrap()
        });
        let status = deployment.status.clone().unwrap();
        let word = match life(&deployment, &status, run.as_ref()) {
            Life::Missing(_) => "missing",
            Life::Moving(_) => "moving",
            Life::Resting(_) => "resting",
            Life::Runs => "runs",
        };
        assert_eq!(word, expected);
    }
}
