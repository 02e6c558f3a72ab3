//! `Deployment`: one Flink application and the cluster made for it, upgraded when its template changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pods::KubernetesOptions;
use super::shared::{
    Attempts, Failure, Logging, Operation, Resources, RestoreStrategy, UpgradeStrategy,
};
use super::words::{ArtifactKind, DeploymentState, DesiredState};
use crate::scalar::{Object, Scalar};

/// The application that should run, and how it is started, upgraded and stopped.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Deployment",
    namespaced,
    status = "DeploymentStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Flink application with a Flink cluster of its own: at most one job at a time, restarted and upgraded as the spec says, \
           with its state carried on. Its CPU is counted against CPU quotas when state becomes RUNNING. \
           kubectl get fdep lists these; kubectl get deployments lists those of Kubernetes.",
    shortname = "fdep",
    category = "flink",
    selectable = ".spec.state",
    selectable = ".status.state",
    scale(
        spec_replicas_path = ".spec.template.spec.numberOfTaskManagers",
        status_replicas_path = ".status.numberOfTaskManagers",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn(
        name = "Desired",
        type_ = "string",
        json_path = ".spec.state",
        description = "What the Deployment should be"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "What the Deployment is"
    ),
    printcolumn(
        name = "TaskManagers",
        type_ = "integer",
        json_path = ".spec.template.spec.numberOfTaskManagers",
        description = "TaskManagers asked for"
    ),
    printcolumn(
        name = "Parallelism",
        type_ = "integer",
        json_path = ".spec.template.spec.parallelism",
        description = "Parallelism of the job"
    ),
    printcolumn(
        name = "CPU",
        type_ = "string",
        json_path = ".status.cpu",
        description = "CPU that its pods have"
    ),
    printcolumn(
        name = "Job",
        type_ = "string",
        json_path = ".status.jobName",
        description = "The Job object of the newest run",
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
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.deploymentTargetName) && has(self.deploymentTargetId))",
    "message": "deploymentTargetName and deploymentTargetId exclude each other: keep one of them.",
}]))]
pub struct DeploymentSpec {
    /// RUNNING: the job of the template runs. CANCELLED: no job runs; what ran is cancelled. SUSPENDED: no job runs; what
    /// ran is stopped with a savepoint. Both give all resources back. Default: CANCELLED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DesiredState>,
    /// Name of the DeploymentTarget, in the same namespace, that says where the pods run. Default: the one named default; where no
    /// target of that name exists, the pods run in the Deployment's own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub deployment_target_name: Option<String>,
    /// The same by metadata.uid of the DeploymentTarget. Not together with deploymentTargetName.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub deployment_target_id: Option<String>,
    /// Name of the SessionCluster, in the same namespace, to run the job on. It then gets no cluster of its own and costs
    /// no CPU quota, since the session cluster has paid. Default: a cluster of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub session_cluster_name: Option<String>,
    /// What state the job starts with, at each start, upgrade and recovery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_strategy: Option<RestoreStrategy>,
    /// What happens to the running job when the template changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade_strategy: Option<UpgradeStrategy>,
    /// Failed savepoints in a row after which the Deployment is FAILED. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_i64))]
    pub max_savepoint_creation_attempts: Option<i32>,
    /// Failed starts in a row after which the Deployment is FAILED. Once a job runs, Flink's own restart strategy takes
    /// over. Default: 4.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_i64))]
    pub max_job_creation_attempts: Option<i32>,
    /// Any number; a change of it restarts the job as upgradeStrategy says, with nothing else changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,
    /// The job: what is run, and how. A change of it is an upgrade.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<DeploymentTemplate>,
}

/// The job: what is run, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentTemplate {
    /// Annotations and labels of the Job objects, one for each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// What is run, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<DeploymentTemplateSpec>,
}

/// Metadata of the Job objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Annotations of the Job objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub annotations: Option<Object>,
    /// Labels of the Job objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub labels: Option<Object>,
}

/// What is run, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentTemplateSpec {
    /// The program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Artifact>,
    /// Parallelism of the job. At most TaskManagers times slots, unless the adaptive scheduler is used. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_147_483_647_i64))]
    pub parallelism: Option<i32>,
    /// Number of TaskManagers; kubectl scale sets it too. Default: as many as parallelism needs, that is parallelism
    /// divided by taskmanager.numberOfTaskSlots, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647_i64))]
    pub number_of_task_managers: Option<i32>,
    /// CPU, memory and disk of the JobManager and of each TaskManager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Flink's configuration options by key (taskmanager.numberOfTaskSlots: "2"). Nested maps are allowed and stored as
    /// dotted keys; values are stored as text. What the other fields decide (addresses, memory, parallelism) wins over
    /// options here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub flink_configuration: Option<Object>,
    /// What Flink's processes log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Labels and pod settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesOptions>,
}

/// A program and the Flink that runs it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// JAR, the only kind so far. Default: JAR.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ArtifactKind>,
    /// Where the jar is: an http, https or s3 URI, or local:// and a path in the Flink image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jar_uri: Option<String>,
    /// The main class. Default: the one that the jar's manifest names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry_class: Option<String>,
    /// Text: arguments of the main class, in one line, split at spaces as a shell does, but for comments: # is a character like others. All of it is the
    /// program's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main_args: Option<Scalar>,
    /// Text: Flink's version, such as "1.20". Quote it: to YAML, 1.20 is the number 1.2. Needed, unless an admin's defaults
    /// name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_version: Option<Scalar>,
    /// Registry of the image. Default: docker.io.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_image_registry: Option<String>,
    /// Repository of the image within the registry. Default: library/flink.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_image_repository: Option<String>,
    /// Text: the tag of the image, or its digest (sha256:...). Quote it where it looks like a number. Default: flinkVersion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_image_tag: Option<Scalar>,
}

/// What the Deployment is. Written by Sluice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// RUNNING: the job was started as the spec says and has not ended. CANCELLED: it was cancelled, or none has run.
    /// SUSPENDED: it was stopped with a savepoint. FINISHED: it came to its end by itself. TRANSITIONING: on its way to
    /// the desired state. FAILED: the way there failed; the job may still run. Set spec.state to CANCELLED to start over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DeploymentState>,
    /// The metadata.generation that this status is about; older than the object's means that Sluice has yet to act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// CPU that its pods have or may have, in thousandths of a CPU: set before pods are made, cleared when the last one
    /// is gone. CPU quotas count it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_milli: Option<i64>,
    /// The same for people: 82, 500m.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// TaskManager pods that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_task_managers: Option<i32>,
    /// TaskManagers that have registered with the JobManager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_managers_registered: Option<i32>,
    /// Label selector of the TaskManager pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// Namespace that the pods run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
    /// Name of the Job object of the newest run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_name: Option<String>,
    /// Name of the Savepoint object that the next start would restore from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest_savepoint_name: Option<String>,
    /// The spec.restartNonce that the job was last started with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,
    /// How to reach Flink's web interface: a command to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui: Option<String>,
    /// More about the running job; only while state is RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// The SessionJob that runs the job, where it runs on a session cluster (spec.sessionClusterName).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_job: Option<InSession>,
    /// What Sluice is doing to the Deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Attempts since the last success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<Attempts>,
    /// Why the last transition failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What is the case, by type: Ready, QuotaExceeded, TargetNotFound and others. kubectl wait --for=condition=Ready works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// More about the running job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Flink's id of the job, 32 hexadecimal digits: the uid of the Job object without dashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// When the Deployment became RUNNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transition_time: Option<Time>,
    /// Trouble with the running job, by type. ClusterUnreachable: its state is not known. JobFailing: 3 or more restarts
    /// within 10 minutes. JobUnstable: 3 or more within 60 minutes. False does not mean that the opposite holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<RunningCondition>,
}

/// The SessionJob of a Deployment whose job runs on a session cluster. It follows the Deployment: change that one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InSession {
    /// Its name, in the same namespace: that of the Deployment.
    #[serde(default)]
    pub name: String,
    /// Its metadata.generation as Sluice last wrote it; another one means that somebody else has changed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<i64>,
    /// The metadata.generation of the Deployment that it was last written for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_for: Option<i64>,
    /// How often Sluice has started the job anew without being asked to, after Flink had given it up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recoveries: Option<i64>,
    /// Whether it says that its job has run. Should somebody delete it, the job is not started empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_run: Option<bool>,
}

/// A condition of the running job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunningCondition {
    /// ClusterUnreachable, JobFailing or JobUnstable.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// Why, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// One word for why, in CamelCase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When the status last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// When anything of this condition last changed, the message for instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
}
