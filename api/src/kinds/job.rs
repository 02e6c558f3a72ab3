//! `Job`: one run of a Deployment. Written by the controller, kept to a history limit.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::Failure;
use super::words::JobState;
use crate::scalar::Object;

/// What was run.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Job",
    namespaced,
    status = "JobStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "One run of a Deployment, from its start to its end. Sluice makes these and keeps the newest ones; they go with their \
           Deployment. Nothing needs to be written here by hand: change the Deployment instead. \
           kubectl get fjob lists these; kubectl get jobs lists those of Kubernetes.",
    shortname = "fjob",
    category = "flink",
    selectable = ".spec.deploymentName",
    selectable = ".status.state",
    printcolumn(
        name = "Deployment",
        type_ = "string",
        json_path = ".spec.deploymentName",
        description = "The Deployment that was run"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "Where the run stands"
    ),
    printcolumn(
        name = "Started",
        type_ = "date",
        json_path = ".status.startTime",
        description = "When Flink began to run it"
    ),
    printcolumn(
        name = "Restarts",
        type_ = "integer",
        json_path = ".status.restarts",
        description = "Restarts by Flink during this run"
    ),
    printcolumn(
        name = "Restored From",
        type_ = "string",
        json_path = ".spec.savepointName",
        description = "The Savepoint that it started from",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.failure.reason",
        description = "Why it failed",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// Name of the Deployment, in the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<String>,
    /// metadata.generation of the Deployment that this run was made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_generation: Option<i64>,
    /// Name of the Savepoint that the job started from. Left out: it started empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_name: Option<String>,
    /// Where that savepoint's data is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_location: Option<String>,
    /// Whether state that the job no longer has was dropped (spec.restoreStrategy.allowNonRestoredState of the Deployment).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_non_restored_state: Option<bool>,
    /// Fingerprint of what this run was made from: template, target and restartNonce of the Deployment. Where those of the
    /// Deployment give another one, its upgradeStrategy decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_with: Option<String>,
    /// Namespace that its pods run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
    /// spec.template of the Deployment as it was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub template: Option<Object>,
}

/// How the run goes or went. Written by Sluice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// STARTING: its cluster is being made. STARTED: Flink runs it. TERMINATING: it is being cancelled or stopped.
    /// TERMINATED: it was cancelled. FINISHED: it ended by itself or was stopped with a savepoint. FAILED: it failed, or
    /// could not be started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<JobState>,
    /// The metadata.generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Flink's id of the job, 32 hexadecimal digits: the uid of this object without dashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Flink's own word for the job's state, such as RUNNING, RESTARTING or FINISHED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_state: Option<String>,
    /// metadata.uid of the Kubernetes Job that its JobManager runs in. It is made once: a second one would rewind the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobmanager_uid: Option<String>,
    /// When Flink began to run it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Time>,
    /// Restarts by Flink, and of the JobManager, during this run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<i32>,
    /// Flink's counter of restarts when it was last read; falls to 0 with a new JobManager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_restart_count: Option<i64>,
    /// When the restarts of the last 60 minutes were seen, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart_times: Vec<Time>,
    /// Where the newest completed checkpoint is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_checkpoint: Option<String>,
    /// When that checkpoint was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_checkpoint_time: Option<Time>,
    /// Name of the Savepoint that it has left: what it was stopped with, or the checkpoint that was retained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_name: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What is the case, by type.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
