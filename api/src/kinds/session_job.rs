//! `SessionJob`: one Flink job on a session cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{Attempts, Failure, Operation, RestoreStrategy, UpgradeStrategy};
use super::words::{DeploymentState, DesiredState};
use crate::scalar::{Object, Scalar};

/// The job that should run, and where.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "SessionJob",
    namespaced,
    status = "SessionJobStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Flink job that runs on a SessionCluster of the same namespace. It costs no CPU quota: the cluster has paid.",
    shortname = "fsj",
    category = "flink",
    selectable = ".spec.state",
    selectable = ".status.state",
    selectable = ".spec.sessionClusterName",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.sessionClusterName",
        description = "The SessionCluster"
    ),
    printcolumn(
        name = "Desired",
        type_ = "string",
        json_path = ".spec.state",
        description = "What the job should be"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "What the job is"
    ),
    printcolumn(
        name = "Parallelism",
        type_ = "integer",
        json_path = ".spec.job.parallelism",
        description = "Parallelism of the job"
    ),
    printcolumn(
        name = "Job ID",
        type_ = "string",
        json_path = ".status.jobId",
        description = "Flink's id of the job",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is or is not ready",
        priority = 1
    ),
    printcolumn(
        name = "UI",
        type_ = "string",
        json_path = ".status.ui",
        description = "How to reach Flink's web interface",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct SessionJobSpec {
    /// RUNNING: the job runs. CANCELLED: it does not; what ran is cancelled. SUSPENDED: it does not; what ran is stopped
    /// with a savepoint. Default: RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DesiredState>,
    /// Name of the SessionCluster, in the same namespace, that the job runs on. It cannot run without.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub session_cluster_name: Option<String>,
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<SessionJobTask>,
    /// Flink's configuration options for this job, over those of the cluster. Needs Flink 1.17. Options that only a
    /// cluster reads have no effect here and give a warning. Nested maps are allowed and stored as dotted keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub flink_configuration: Option<Object>,
    /// What state the job starts with, at each start, upgrade and recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_strategy: Option<RestoreStrategy>,
    /// What happens to the running job when job or flinkConfiguration changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_strategy: Option<UpgradeStrategy>,
    /// Failed savepoints in a row after which the job is FAILED. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_i64))]
    pub max_savepoint_creation_attempts: Option<i32>,
    /// Failed starts in a row after which the job is FAILED. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_i64))]
    pub max_job_creation_attempts: Option<i32>,
    /// Any number; a change of it restarts the job as upgradeStrategy says, with nothing else changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,
}

/// The program of a session job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionJobTask {
    /// The main class. Default: the one that the jar's manifest names; needed where jarUri is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    /// Arguments of the main class, one text each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<Scalar>>,
    /// Where the jar is: an http, https or s3 URI. Mostly left out: the main class is then looked for in the jars of the
    /// session cluster (its spec.jars).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jar_uri: Option<String>,
    /// Parallelism of the job. Default: parallelism.default of spec.flinkConfiguration, else 1: Flink does not ask the session
    /// cluster's own configuration for that of a jar that it is told to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_i64))]
    pub parallelism: Option<i32>,
}

/// What the job is. Written by Sluice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionJobStatus {
    /// RUNNING: the job was started as the spec says and has not ended. CANCELLED: it was cancelled, or has not run.
    /// SUSPENDED: it was stopped with a savepoint. FINISHED: it came to its end by itself. TRANSITIONING: on its way to
    /// the desired state. FAILED: the way there failed; conditions say why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DeploymentState>,
    /// The metadata.generation that this status is about; older than the object's means that Sluice has yet to act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Flink's id of the newest run of the job: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Flink's own word for the job's state, such as RUNNING, RESTARTING or FINISHED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_state: Option<String>,
    /// metadata.uid of the SessionCluster that the job was started on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_cluster_uid: Option<String>,
    /// When the newest run was started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// How often the job has been started, counting from 1; Flink's id of a run follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
    /// Fingerprint of what the newest run was started with: session cluster, job, flinkConfiguration and restartNonce.
    /// Where those of the spec give another one, upgradeStrategy decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_with: Option<String>,
    /// Where the newest completed snapshot is; the next start restores from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_location: Option<String>,
    /// When that snapshot was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_time: Option<Time>,
    /// Name of the Savepoint object that the next start would restore from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_savepoint_name: Option<String>,
    /// The spec.restartNonce that the job was last started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,
    /// How to reach Flink's web interface: a command to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui: Option<String>,
    /// What Sluice is doing to the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Attempts since the last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// Why the last transition failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What is the case, by type: Ready, SessionClusterNotReady and others. kubectl wait --for=condition=Ready works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
