//! Types of conditions and their reasons: the words, and what True means. Who sets them is the controller's business.

/// `status.conditions[].type`, whatever the kind; status True means what is said here.
pub mod types {
    /// RUNNING was asked for and is the case; for a stopped object False with reason Stopped, Cancelled or Suspended.
    pub const READY: &str = "Ready";
    /// Sluice is working towards the desired state.
    pub const PROGRESSING: &str = "Progressing";
    /// The object asks to run and a CPU quota has no room; it is tried again when CPU becomes free.
    pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// The last start or growth was refused at admission or by the controller. Outlives the event that says the same.
    pub const REFUSED: &str = "Refused";
    /// The `DeploymentTarget` that the object names does not exist or is not accepted.
    pub const TARGET_NOT_FOUND: &str = "TargetNotFound";
    /// The SessionCluster that the object names does not exist or does not run.
    pub const SESSION_CLUSTER_NOT_READY: &str = "SessionClusterNotReady";
    /// On a SessionCluster whose high availability is not Kubernetes': True since its start, with which Flink's records of its jobs begin anew.
    pub const OWN_RECORDS: &str = "OwnRecords";
    /// On a `DeploymentTarget`: its namespace takes pods from here.
    pub const ACCEPTED: &str = "Accepted";
    /// On a `DeploymentTarget`: something names it, so it stays.
    pub const REFERENCED: &str = "Referenced";
    /// On a quota: its ledger covers everything and it can be charged.
    pub const INITIALISED: &str = "Initialised";
}

/// `status.running.conditions[].type` of a Deployment.
pub mod running {
    /// The job's state is not known.
    pub const CLUSTER_UNREACHABLE: &str = "ClusterUnreachable";
    /// 3 or more restarts within [`FAILING_WINDOW_MINUTES`].
    pub const JOB_FAILING: &str = "JobFailing";
    /// 3 or more restarts within [`UNSTABLE_WINDOW_MINUTES`]. `JobFailing` implies it.
    pub const JOB_UNSTABLE: &str = "JobUnstable";

    /// Restarts within a window that make a job failing or unstable.
    pub const RESTARTS: usize = 3;
    /// Minutes that `JobFailing` looks back.
    pub const FAILING_WINDOW_MINUTES: i64 = 10;
    /// Minutes that `JobUnstable` looks back.
    pub const UNSTABLE_WINDOW_MINUTES: i64 = 60;
}

/// `status.conditions[].reason`: one word each, for programs; the message says it in a sentence.
pub mod reasons {
    /// The JobManager answers and every TaskManager is registered.
    pub const RUNNING: &str = "Running";
    /// The desired state is STOPPED and the case.
    pub const STOPPED: &str = "Stopped";
    /// The desired state is CANCELLED and the case.
    pub const CANCELLED: &str = "Cancelled";
    /// The desired state is SUSPENDED and the case.
    pub const SUSPENDED: &str = "Suspended";
    /// The job came to its end by itself.
    pub const FINISHED: &str = "Finished";
    /// Pods are being made.
    pub const STARTING: &str = "Starting";
    /// TaskManagers are being added or removed.
    pub const SCALING: &str = "Scaling";
    /// The job is being replaced by one of the new template.
    pub const UPGRADING: &str = "Upgrading";
    /// Pods are being removed.
    pub const STOPPING: &str = "Stopping";
    /// The JobManager does not answer.
    pub const UNREACHABLE: &str = "Unreachable";
    /// Fewer TaskManagers are registered than asked for.
    pub const TASKMANAGERS_MISSING: &str = "TaskManagersMissing";
    /// An image cannot be pulled.
    pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";
    /// A pod cannot be started, or its container keeps ending.
    pub const POD_FAILED: &str = "PodFailed";
    /// No node has room for a pod.
    pub const UNSCHEDULABLE: &str = "Unschedulable";
    /// The API server refuses an object that has to be made.
    pub const OBJECT_REFUSED: &str = "ObjectRefused";
    /// The spec says something that no object can be made from.
    pub const INVALID_SPEC: &str = "InvalidSpec";
    /// An object of a name that is needed belongs to somebody else.
    pub const NAME_TAKEN: &str = "NameTaken";
    /// A CPU quota has not been counted yet, or cannot be read.
    pub const QUOTA_NOT_COUNTED: &str = "QuotaNotCounted";
    /// A CPU quota has no room.
    pub const CPU_QUOTA: &str = "CpuQuota";
    /// A stateful start found no snapshot to start from.
    pub const NO_STATE: &str = "NoState";
    /// A savepoint was asked for of a job that does not run.
    pub const JOB_NOT_RUNNING: &str = "JobNotRunning";
    /// As many starts failed as spec.maxJobCreationAttempts allows.
    pub const JOB_CREATION_FAILED: &str = "JobCreationFailed";
    /// As many savepoints failed as spec.maxSavepointCreationAttempts allows.
    pub const SAVEPOINT_CREATION_FAILED: &str = "SavepointCreationFailed";
    /// What is named does not exist.
    pub const NOT_FOUND: &str = "NotFound";
    /// It is to be deleted, and something still needs it.
    pub const DELETION_BLOCKED: &str = "DeletionBlocked";
    /// The namespace's label `sluice.dev/accept-from` does not name this one.
    pub const NOT_ACCEPTED: &str = "NotAccepted";
    /// It is as it should be, and nothing else is to be said.
    pub const AS_EXPECTED: &str = "AsExpected";
}
