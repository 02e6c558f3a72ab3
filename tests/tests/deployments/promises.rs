//! Further promises of `vvp-deployments.txt` and of the decisions that follow from it, one a function.

use k8s_openapi::api::apps::v1::Deployment as Workload;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::json;
use sluice_api::{
    Deployment, DeploymentState, DeploymentTarget, Job, JobState, Savepoint, SavepointOrigin,
    SavepointState,
};

use super::scene::{Scene, condition, ran, until};
use super::stage::lock;

pub async fn all(stage: &Scene) {
    let scene = stage.within("promises", json!({})).await;
    tokio::join!(
        history_is_kept_to_a_limit_and_the_next_restore_point_is_spared(&scene),
        a_savepoint_is_brought_in_by_its_location(&scene),
        what_high_availability_leaves_is_removed(&scene),
        another_flink_of_the_same_id_keeps_its_high_availability(stage),
        a_namespace_that_is_deleted_goes(stage),
        apache_flink_1_9_series_and_later(&scene),
        apache_flink_1_8_series(&scene),
        an_exhausted_restart_strategy_is_recovered_by_the_restore_strategy(&scene),
        a_running_job_that_restarts_is_failing_and_unstable(&scene),
        changes_of_mind_end_in_the_latest_desired_state(&scene),
        a_deployment_target_binds_a_deployment_to_a_kubernetes_namespace(stage),
    );
}

/// Ten Jobs and ten Savepoints beside the newest; "the configured restore strategy will determine which state snapshot will be used", and
/// that one stays, however old it is.
async fn history_is_kept_to_a_limit_and_the_next_restore_point_is_spared(scene: &Scene) {
    let name = "history";
    scene
        .create(
            name,
            json!({"restoreStrategy": {"kind": "LATEST_SAVEPOINT"}, "upgradeStrategy": {"kind": "STATELESS"}}),
        )
        .await;
    scene.runs(name, 1).await;
    scene.counts(name, 3).await;
    scene.patch(name, json!({"state": "SUSPENDED"})).await;
    scene.becomes(name, DeploymentState::Suspended).await;
    let restored = scene.savepoints(name).await;
    assert_eq!(restored.len(), 1);
    let restored = restored[0].name_any();
    scene.patch(name, json!({"state": "RUNNING"})).await;
    let (_, job) = scene.runs(name, 2).await;
    let from = job.from.clone();
    let mut known = job.restored;
    for run in 3..=14 {
        // Each leaves a checkpoint.
        scene.counts(name, known + 6).await;
        scene.patch(name, json!({"restartNonce": run})).await;
        let (_, job) = scene.runs(name, run).await;
        assert_eq!(job.from, from, "run {run} starts from the savepoint");
        known = job.restored;
    }
    let savepoints = until("old Savepoints are removed", async || {
        let all = scene.savepoints(name).await;
        (
            all.len() <= 11,
            all.iter().map(Savepoint::name_any).collect::<Vec<_>>(),
        )
    })
    .await;
    assert!(savepoints.contains(&restored), "{savepoints:?}");
    assert_eq!(savepoints.len(), 11, "ten, and the one that is spared");
    assert!(savepoints.iter().any(|one| one.starts_with("history-13-")));
    assert!(!savepoints.iter().any(|one| one.starts_with("history-2-")));
    let only = ListParams::default().fields("spec.deploymentName=history");
    let jobs = until("old Jobs are removed", async || {
        let jobs = scene.api::<Job>().list(&only).await.unwrap().items;
        (
            jobs.len() <= 11,
            jobs.iter().map(Job::name_any).collect::<Vec<_>>(),
        )
    })
    .await;
    assert_eq!(jobs.len(), 11, "{jobs:?}");
    assert!(jobs.contains(&"history-14".to_owned()) && !jobs.contains(&"history-3".to_owned()));
    scene.told("history is kept to its limit, and the next restore point is spared");
}

/// Decision 25: `savepointLocation` imports one.
async fn a_savepoint_is_brought_in_by_its_location(scene: &Scene) {
    let location = "s3://elsewhere/savepoint-4711";
    lock(&scene.play)
        .snapshots
        .insert(location.to_owned(), 4711);
    scene
        .create("imported", json!({"state": "SUSPENDED"}))
        .await;
    scene.becomes("imported", DeploymentState::Suspended).await;
    scene
        .put::<Savepoint>(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint", "metadata": {"name": "found"},
            "spec": {"deploymentName": "imported", "savepointLocation": location, "origin": "COPIED"}}))
        .await;
    let found = until("it can be restored from", async || {
        let found = scene.api::<Savepoint>().get("found").await.unwrap();
        let state = found.status.clone().unwrap_or_default().state;
        (state == Some(SavepointState::Completed), found)
    })
    .await;
    assert_eq!(found.status.unwrap().location.as_deref(), Some(location));
    scene.patch("imported", json!({"state": "RUNNING"})).await;
    let (_, job) = scene.runs("imported", 1).await;
    assert_eq!((job.from.as_deref(), job.restored), (Some(location), 4711));
    let record = scene.job("imported-1").await;
    assert_eq!(record.spec.savepoint_name.as_deref(), Some("found"));
    scene.told("a savepoint from elsewhere is brought in and restored from");
}

/// Flink makes its ConfigMaps by itself, without an owner. The next run would find the old job in them.
async fn what_high_availability_leaves_is_removed(scene: &Scene) {
    let name = "available";
    scene
        .create(
            name,
            json!({"template": {"spec": {"flinkConfiguration": {"state.savepoints.dir": "s3://b/sp",
                "high-availability.type": "kubernetes", "high-availability.storageDir": "s3://b/ha"}}}}),
        )
        .await;
    scene.runs(name, 1).await;
    let config_maps = scene.api::<ConfigMap>();
    // Flink labels them with its `kubernetes.cluster-id`, which is the run's name. Those of run 2 were left by an earlier Deployment of this name.
    // Since Flink 2 nothing but their name says what they are for.
    for (map, app, until_flink_2) in [
        ("available-1-cluster-config-map", "available-1", true),
        ("available-1-job-config-map", "available-1", true),
        ("available-2-cluster-config-map", "available-2", false),
        ("another-1-cluster-config-map", "another-1", false),
    ] {
        let mut labels = json!({"app": app, "type": "flink-native-kubernetes"});
        if until_flink_2 {
            labels["configmap-type"] = json!("high-availability");
        }
        scene
            .put::<ConfigMap>(json!({"metadata": {"name": map, "labels": labels}}))
            .await;
    }
    scene.patch(name, json!({"restartNonce": 1})).await;
    scene.runs(name, 2).await;
    let left = config_maps
        .list(&ListParams::default().labels("type=flink-native-kubernetes"))
        .await
        .unwrap();
    let left: Vec<_> = left.iter().map(ConfigMap::name_any).collect();
    assert_eq!(
        left,
        ["another-1-cluster-config-map"],
        "before the next run begins"
    );
    scene.told("what high availability has left is removed between two runs");
}

/// A Flink that deploys itself has the name of run 1. What it keeps is all that its job could go on from.
async fn another_flink_of_the_same_id_keeps_its_high_availability(stage: &Scene) {
    let scene = stage.within("twins", json!({})).await;
    let name = "twin";
    let labels = json!({"app": "twin-1", "type": "flink-native-kubernetes"});
    scene
        .put::<Workload>(json!({"metadata": {"name": "twin-1"}, "spec": {"replicas": 0, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}))
        .await;
    for run in [1, 2] {
        let app = format!("twin-{run}");
        scene
            .put::<ConfigMap>(json!({"metadata": {"name": format!("{app}-cluster-config-map"), "labels": {"app": app,
                "type": "flink-native-kubernetes", "configmap-type": "high-availability"}}}))
            .await;
    }
    scene
        .create(
            name,
            json!({"template": {"spec": {"flinkConfiguration": {"state.savepoints.dir": "s3://b/sp",
                "high-availability.type": "kubernetes", "high-availability.storageDir": "s3://b/ha"}}}}),
        )
        .await;
    // The next number is nobody's.
    scene.runs(name, 2).await;
    let failure = scene.job("twin-1").await.status.unwrap().failure.unwrap();
    assert_eq!(failure.reason, "NameTaken");
    let told = format!("Deployment {}/twin-1 stands", scene.namespace);
    assert!(failure.message.starts_with(&told), "{failure:?}");
    scene.hears(name, "JobCreationFailed", &told).await;
    let left = scene.api::<ConfigMap>();
    let left = async |run: i32| {
        let only = format!("configmap-type=high-availability,app=twin-{run}");
        let list = left.list(&ListParams::default().labels(&only)).await;
        list.unwrap().items.len()
    };
    assert_eq!((left(1).await, left(2).await), (1, 0));
    scene.told("the high availability of another Flink is left alone");
}

/// It takes no new object from then on, not even the Savepoint of the checkpoint that a job leaves.
async fn a_namespace_that_is_deleted_goes(stage: &Scene) {
    let scene = stage.within("doomed", json!({})).await;
    scene.create("runs", json!({})).await;
    scene.runs("runs", 1).await;
    scene.counts("runs", 7).await;
    let namespaces: Api<Namespace> = Api::all(scene.client.clone());
    let params = DeleteParams::default();
    namespaces.delete(&scene.namespace, &params).await.unwrap();
    until("nothing holds the namespace", async || {
        let left = scene.api::<Deployment>().list(&ListParams::default()).await;
        let left = left.unwrap().items;
        let jobs = scene.api::<Job>().list(&ListParams::default()).await;
        (left.is_empty() && jobs.unwrap().items.is_empty(), left)
    })
    .await;
    scene.told("a namespace is deleted with a job that ran");
}

/// "Running Flink jobs will be terminated via Flink's graceful stop job API." Before 1.15 Flink takes no id for it, and the JobManager ends with
/// its job.
async fn apache_flink_1_9_series_and_later(scene: &Scene) {
    for (name, version) in [("flink-1-14", "1.14"), ("flink-1-9", "1.9")] {
        scene
            .create(
                name,
                json!({"template": {"spec": {"artifact": {"flinkVersion": version}}}}),
            )
            .await;
        scene.runs(name, 1).await;
        scene.counts(name, 7).await;
        scene.patch(name, json!({"state": "SUSPENDED"})).await;
        let suspended = scene.becomes(name, DeploymentState::Suspended).await;
        let end = scene.ended(&suspended);
        assert_eq!(end.state, "FINISHED");
        assert_eq!(
            ran(&scene.job(&format!("{name}-1")).await),
            JobState::Finished
        );
        scene.patch(name, json!({"state": "RUNNING"})).await;
        let (_, job) = scene.runs(name, 2).await;
        assert_eq!(job.restored, end.count);
        scene.patch(name, json!({"state": "CANCELLED"})).await;
        scene.becomes(name, DeploymentState::Cancelled).await;
        assert_eq!(
            ran(&scene.job(&format!("{name}-2")).await),
            JobState::Terminated
        );
    }
    scene.told("Flink 1.9 and 1.14 are stopped with a savepoint");
}

/// "Running Flink jobs will be terminated in two steps: first a Savepoint will be triggered and then the job will be cancelled if the triggered
/// Savepoint completes successfully. [...] The terminal state of the Flink job will be CANCELLED and the terminal state of the VVP Job resource
/// (status.state) will be TERMINATED."
async fn apache_flink_1_8_series(scene: &Scene) {
    let name = "flink-1-8";
    scene
        .create(
            name,
            json!({"template": {"spec": {"artifact": {"flinkVersion": "1.8"}}}}),
        )
        .await;
    scene.runs(name, 1).await;
    scene.counts(name, 7).await;
    scene.patch(name, json!({"state": "SUSPENDED"})).await;
    let suspended = scene.becomes(name, DeploymentState::Suspended).await;
    assert_eq!(scene.ended(&suspended).state, "CANCELED");
    assert_eq!(ran(&scene.job("flink-1-8-1").await), JobState::Terminated);
    let savepoints = scene.savepoints(name).await;
    assert_eq!(savepoints.len(), 1, "{savepoints:#?}");
    assert_eq!(savepoints[0].spec.origin, Some(SavepointOrigin::Suspend));
    let location = savepoints[0].status.clone().unwrap().location.unwrap();
    let count = lock(&scene.play).snapshots[&location];
    // The STATEFUL upgrade does the same.
    scene.patch(name, json!({"state": "RUNNING"})).await;
    let (_, job) = scene.runs(name, 2).await;
    assert_eq!((job.from, job.restored), (Some(location), count));
    scene.counts(name, count + 6).await;
    scene.patch(name, json!({"restartNonce": 1})).await;
    let (_, job) = scene.runs(name, 3).await;
    assert!(job.restored > count, "{job:?}");
    assert_eq!(ran(&scene.job("flink-1-8-2").await), JobState::Terminated);
    scene.told("Flink 1.8 is stopped in two steps");
}

/// "If the restart strategy is exhausted, the job enters a terminal Flink state such as FAILED. Ververica Platform detects the terminal state
/// and will recover the job according to it to RestoreStrategy."
async fn an_exhausted_restart_strategy_is_recovered_by_the_restore_strategy(scene: &Scene) {
    let name = "exhausted";
    scene.create(name, json!({})).await;
    let (first, _) = scene.runs(name, 1).await;
    let id = first.status.unwrap().running.unwrap().job_id.unwrap();
    scene.counts(name, 7).await;
    lock(&scene.play).give_up(&id);
    let (_, job) = scene.runs(name, 2).await;
    let ended = lock(&scene.play).jobs[&id].count;
    assert!(job.restored > ended - 6, "{} of {ended}", job.restored);
    let record = scene.job("exhausted-1").await;
    assert_eq!(ran(&record), JobState::Failed);
    let failure = record.status.unwrap().failure.unwrap();
    assert!(
        failure.message.contains("it failed on purpose"),
        "{failure:?}"
    );
    let from = scene.job("exhausted-2").await.spec.savepoint_name.unwrap();
    let from = scene.api::<Savepoint>().get(&from).await.unwrap();
    assert_eq!(from.spec.origin, Some(SavepointOrigin::RetainedCheckpoint));
    scene
        .hears(name, "Recovering", "it failed on purpose")
        .await;
    scene.told("a job that Flink gives up is recovered");
}

/// "The Flink job corresponding to the running Deployment was last observed to have restarted 3 or more times within the last 10 minutes."
async fn a_running_job_that_restarts_is_failing_and_unstable(scene: &Scene) {
    let name = "restless";
    scene.create(name, json!({})).await;
    let (first, _) = scene.runs(name, 1).await;
    let id = first.status.unwrap().running.unwrap().job_id.unwrap();
    lock(&scene.play).jobs.get_mut(&id).unwrap().restarts = 3;
    for kind in ["JobFailing", "JobUnstable"] {
        let seen = scene
            .sees(kind, name, |one| {
                let running = one.status.clone().unwrap().running.unwrap_or_default();
                running.conditions.iter().any(|one| {
                    one.type_ == kind
                        && one.status == "True"
                        && one.last_transition_time.is_some()
                        && one.last_update_time.is_some()
                        && one
                            .message
                            .as_ref()
                            .is_some_and(|text| text.contains("3 times"))
                })
            })
            .await;
        assert_eq!(seen.status.unwrap().state, Some(DeploymentState::Running));
        scene.hears(name, kind, "3 times").await;
    }
    scene.told("restarts are counted, and told in conditions and Events");
}

/// "Ververica Platform only guarantees that eventually the latest modification will be acted upon."
async fn changes_of_mind_end_in_the_latest_desired_state(scene: &Scene) {
    let name = "fickle";
    scene.create(name, json!({})).await;
    scene.runs(name, 1).await;
    scene.counts(name, 3).await;
    for state in ["SUSPENDED", "RUNNING", "CANCELLED", "RUNNING", "SUSPENDED"] {
        scene.patch(name, json!({"state": state})).await;
    }
    scene.becomes(name, DeploymentState::Suspended).await;
    assert_eq!(scene.pods(name).await, 0);
    for state in ["RUNNING", "SUSPENDED", "CANCELLED", "RUNNING"] {
        scene.patch(name, json!({"state": state})).await;
    }
    scene.becomes(name, DeploymentState::Running).await;
    scene.told("the latest of many desired states is reached");
}

/// By name and by id, in another namespace that accepts it: owner references do not reach there, so the finalizer cleans up.
async fn a_deployment_target_binds_a_deployment_to_a_kubernetes_namespace(stage: &Scene) {
    let scene = stage.within("targets", json!({})).await;
    let there = stage
        .within(
            "targets-there",
            json!({"sluice.dev/accept-from": "targets"}),
        )
        .await;
    let closed = stage.within("targets-closed", json!({})).await;
    let mut ids = Vec::new();
    for (name, namespace) in [("far", &there), ("closed", &closed)] {
        let target: DeploymentTarget = scene
            .put(json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentTarget", "metadata": {"name": name},
                "spec": {"kubernetes": {"namespace": namespace.namespace}}}))
            .await;
        ids.push(target.uid().unwrap());
    }
    scene
        .create("by-name", json!({"deploymentTargetName": "far"}))
        .await;
    scene
        .create("by-id", json!({"deploymentTargetId": ids[0]}))
        .await;
    scene
        .create("refused", json!({"deploymentTargetName": "closed"}))
        .await;
    // The referenced Deployment Target must be in the same Namespace.
    let foreign = stage.within("targets-foreign", json!({})).await;
    foreign
        .create("foreign", json!({"deploymentTargetId": ids[0]}))
        .await;
    for name in ["by-name", "by-id"] {
        let (deployment, _) = scene.runs(name, 1).await;
        assert_eq!(
            deployment.status.unwrap().target_namespace.as_deref(),
            Some("targets-there")
        );
        assert_eq!(there.pods(name).await, 2);
        assert_eq!(scene.pods(name).await, 0);
    }
    let refused = scene
        .sees("not accepted", "refused", |one| {
            condition(one, "TargetNotFound").1 == "NotAccepted"
        })
        .await;
    let message = condition(&refused, "TargetNotFound").2;
    assert!(
        message.contains("targets-closed")
            && message.contains("add targets to its label sluice.dev/accept-from"),
        "{message}"
    );
    let missing = foreign
        .sees("no such target", "foreign", |one| {
            condition(one, "TargetNotFound").1 == "NotFound"
        })
        .await;
    let message = condition(&missing, "TargetNotFound").2;
    assert!(
        message.contains(&ids[0]) && message.contains("targets-foreign"),
        "{message}"
    );
    foreign.hears("foreign", "TargetNotFound", &ids[0]).await;

    scene.patch("by-id", json!({"state": "SUSPENDED"})).await;
    scene.becomes("by-id", DeploymentState::Suspended).await;
    assert_eq!(there.pods("by-id").await, 0);
    for name in ["by-name", "by-id"] {
        scene
            .deployments()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
        until(&format!("{name} is gone"), async || {
            let left = scene.deployments().get_opt(name).await.unwrap();
            (left.is_none(), left)
        })
        .await;
    }
    let made = ListParams::default().labels("app.kubernetes.io/managed-by=sluice");
    let pods = there.api::<Pod>().list_metadata(&made).await.unwrap().items;
    let maps = there
        .api::<ConfigMap>()
        .list_metadata(&made)
        .await
        .unwrap()
        .items;
    let services = there
        .api::<k8s_openapi::api::core::v1::Service>()
        .list_metadata(&made)
        .await
        .unwrap()
        .items;
    let jobs = there
        .api::<k8s_openapi::api::batch::v1::Job>()
        .list_metadata(&made)
        .await
        .unwrap()
        .items;
    let left = pods.len() + maps.len() + services.len() + jobs.len();
    assert_eq!(left, 0, "nothing is left there: {maps:?} {jobs:?}");
    scene.told("a target's namespace holds the pods, and nothing of them afterwards");
}
