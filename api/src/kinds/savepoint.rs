//! `Savepoint`: a snapshot of a job's state, taken, retained or brought in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::Failure;
use super::words::{SavepointOrigin, SavepointState};

/// Of what a snapshot is, and where.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Savepoint",
    namespaced,
    status = "SavepointStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A snapshot of the state of a Deployment's job, to restore from. Sluice makes one at each suspension and for each \
           checkpoint that Flink retains. Create one yourself to have a savepoint taken now, or, with savepointLocation, to bring \
           in one that exists. Deleting it deletes no data.",
    shortname = "fsp",
    category = "flink",
    selectable = ".spec.deploymentName",
    selectable = ".status.state",
    printcolumn(
        name = "Deployment",
        type_ = "string",
        json_path = ".spec.deploymentName",
        description = "Whose state it is"
    ),
    printcolumn(
        name = "Origin",
        type_ = "string",
        json_path = ".spec.origin",
        description = "Why it exists"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "Where it stands"
    ),
    printcolumn(
        name = "Location",
        type_ = "string",
        json_path = ".status.location",
        description = "Where its data is",
        priority = 1
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.failure.reason",
        description = "Why it was not written",
        priority = 1
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.deploymentName) && has(self.sessionJobName))",
    "message": "deploymentName and sessionJobName exclude each other: a savepoint is of one job.",
}]))]
pub struct SavepointSpec {
    /// Name of the Deployment, in the same namespace, whose state it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub deployment_name: Option<String>,
    /// Name of the SessionJob, in the same namespace, whose state it is. Not together with deploymentName.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub session_job_name: Option<String>,
    /// Flink's id of the job that it was taken of: 32 hexadecimal digits. Left out by users: the job that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Why it exists. USER_REQUEST: someone created this object. SUSPEND: taken when the job was suspended, or stopped for
    /// an upgrade. COPIED: brought in by its location. RETAINED_CHECKPOINT: a checkpoint that Flink left behind. Default:
    /// USER_REQUEST, or COPIED where savepointLocation is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<SavepointOrigin>,
    /// URI of the folder of a savepoint that exists, to bring it in: s3://bucket/savepoints/savepoint-4f1c2a-8b2d9c0e. Left
    /// out: a savepoint is taken, below state.savepoints.dir.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_location: Option<String>,
}

/// Where the savepoint stands. Written by Sluice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavepointStatus {
    /// STARTED: Flink is writing it. COMPLETED: it can be restored from. FAILED: it was not written; failure says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SavepointState>,
    /// The metadata.generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Flink's id of the job that it is taken of, for one that a user has asked for: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// URI of the folder with its data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Id of the request at Flink's REST API: 32 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger_id: Option<String>,
    /// When it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it was complete. The newest one is restored from first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Why it was not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What is the case, by type. kubectl wait --for=condition=Ready works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
