//! Parts that several kinds have: resources, logging, strategies, and the state of an operation in progress.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::words::{RestoreKind, UpgradeKind};
use crate::scalar::{Object, Scalar};

/// CPU, memory and disk of the JobManager and of each TaskManager.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// The JobManager's. Default: 1 CPU and 1Gi of memory.
    #[serde(rename = "jobmanager", skip_serializing_if = "Option::is_none")]
    pub jobmanager: Option<ComponentResources>,
    /// Each TaskManager's. Default: 1 CPU and 2Gi of memory.
    #[serde(rename = "taskmanager", skip_serializing_if = "Option::is_none")]
    pub taskmanager: Option<ComponentResources>,
    /// Another spelling of jobmanager; stored as jobmanager.
    #[serde(rename = "jobManager", skip_serializing_if = "Option::is_none")]
    pub job_manager: Option<ComponentResources>,
    /// Another spelling of taskmanager; stored as taskmanager.
    #[serde(rename = "taskManager", skip_serializing_if = "Option::is_none")]
    pub task_manager: Option<ComponentResources>,
}

/// What one pod gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComponentResources {
    /// Number or text: CPUs as a decimal (0.5, 2) or in thousandths ("500m"). At least 0.1. This is what CPU quotas count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Scalar>,
    /// Text: memory of the whole process, not only of the heap, in Kubernetes' units ("2Gi") or Flink's ("2g", "2048m"); k, m, g
    /// and t in any case are powers of 1024, so "2048m" is 2048 MiB. Flink itself needs at least 577 MiB for a
    /// JobManager and 982 MiB for a TaskManager, unless its memory options say otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Scalar>,
    /// Text: local disk that the pod may use, in the units of memory. Default: not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<Scalar>,
}

/// What Flink's processes log.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Logging {
    /// Name of the logging profile, the template of the Log4j configuration. Default: the one named default, which logs to
    /// the console, so that kubectl logs shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging_profile: Option<String>,
    /// Log levels (TRACE, DEBUG, INFO, WARN, ERROR, FATAL, OFF, ALL) by logger, a package or class name. The empty name
    /// "" is the root logger. Default: the root logger at INFO.
    #[serde(
        rename = "log4jLoggers",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub log4j_loggers: Option<Object>,
}

/// What happens to the running job when its description changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UpgradeStrategy {
    /// STATEFUL: the job is stopped with a savepoint and the new one starts from it. STATELESS: the job is cancelled and
    /// the new one starts with what restoreStrategy says. NONE: the running job is left alone until you stop it.
    /// Default: STATEFUL, or STATELESS where restoreStrategy is NONE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<UpgradeKind>,
}

/// What state a job starts with, at each start, upgrade and recovery.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoreStrategy {
    /// LATEST_STATE: the newest completed snapshot, be it a savepoint or a checkpoint that Flink retained.
    /// LATEST_SAVEPOINT: the newest completed savepoint. NONE: the job starts empty. Default: LATEST_STATE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<RestoreKind>,
    /// true: state of operators that the new job no longer has is dropped. false: such a start fails. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_non_restored_state: Option<bool>,
}

/// An operation that Sluice has begun and not finished.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What is being done, in one word: Start, Cancel, Suspend, Upgrade, Scale, Stop, Finish, Recover, Retry, Fail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// The metadata.generation that it works towards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// How often it has failed and been tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<i32>,
    /// Id of the savepoint or stop request at Flink's REST API: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
    /// Folder that the savepoint of this operation is written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_directory: Option<String>,
}

/// Attempts since the last success.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Attempts {
    /// Jobs that could not be started; FAILED at spec.maxJobCreationAttempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_creation: Option<i32>,
    /// Savepoints that could not be taken; FAILED at spec.maxSavepointCreationAttempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_creation: Option<i32>,
    /// Cancellations that failed; after 5, or 3 minutes, the pods are removed all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<i32>,
}

/// Why something failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// One word for why, in CamelCase.
    #[serde(default)]
    pub reason: String,
    /// Why, in a sentence, and what to do about it.
    #[serde(default)]
    pub message: String,
    /// When it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_at: Option<Time>,
}
