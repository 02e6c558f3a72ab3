//! `SessionCluster`: a long-lived Flink cluster that takes many jobs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pods::KubernetesOptions;
use super::shared::{Failure, Logging, Operation, Resources};
use super::words::{DesiredClusterState, SessionClusterState};
use crate::scalar::{Object, Scalar};

/// The cluster that should exist. While it is not STOPPED, only state and numberOfTaskManagers may change.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "SessionCluster",
    namespaced,
    status = "SessionClusterStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A long-lived Flink cluster: one JobManager and a number of TaskManagers that run many jobs. \
           Its CPU is counted against CPU quotas when state becomes RUNNING. \
           While it runs only spec.state and spec.numberOfTaskManagers may change; to change anything else set state to STOPPED, \
           wait for status.state STOPPED, and apply again.",
    shortname = "fsc",
    category = "flink",
    selectable = ".spec.state",
    selectable = ".status.state",
    scale(
        spec_replicas_path = ".spec.numberOfTaskManagers",
        status_replicas_path = ".status.numberOfTaskManagers",
        label_selector_path = ".status.labelSelector"
    ),
    printcolumn(
        name = "Desired",
        type_ = "string",
        json_path = ".spec.state",
        description = "What the cluster should be"
    ),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.state",
        description = "What the cluster is"
    ),
    printcolumn(
        name = "TaskManagers",
        type_ = "integer",
        json_path = ".spec.numberOfTaskManagers",
        description = "TaskManagers asked for"
    ),
    printcolumn(
        name = "Registered",
        type_ = "integer",
        json_path = ".status.taskManagersRegistered",
        description = "TaskManagers that the JobManager knows"
    ),
    printcolumn(
        name = "CPU",
        type_ = "string",
        json_path = ".status.cpu",
        description = "CPU that its pods have"
    ),
    printcolumn(
        name = "Jobs",
        type_ = "integer",
        json_path = ".status.numberOfJobs",
        description = "Jobs that run on it"
    ),
    printcolumn(
        name = "Flink",
        type_ = "string",
        json_path = ".spec.flinkVersion",
        description = "Flink's version",
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
pub struct SessionClusterSpec {
    /// RUNNING: the cluster is provisioned and kept running. STOPPED: it is torn down, and every job on it is terminated
    /// without a grace period. Default: STOPPED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<DesiredClusterState>,
    /// Name of the DeploymentTarget, in the same namespace, that says where the pods run. Default: the one named default; where no
    /// target of that name exists, the pods run in the cluster's own namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub deployment_target_name: Option<String>,
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
    /// Number of TaskManagers; kubectl scale sets it too. May change while the cluster runs; fewer can make jobs restart.
    /// Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2_147_483_647_i64))]
    pub number_of_task_managers: Option<i32>,
    /// CPU, memory and disk of the JobManager and of each TaskManager.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Flink's configuration options by key (taskmanager.numberOfTaskSlots: "2"). Nested maps are allowed and stored as
    /// dotted keys; values are stored as text. What the other fields decide (addresses, memory) wins over options here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub flink_configuration: Option<Object>,
    /// What Flink's processes log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logging: Option<Logging>,
    /// Logging configuration files by name, such as log4j-console.properties, used as they are instead of what logging
    /// describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub log_configuration: Option<Object>,
    /// Jars that are put on the class path of JobManager and TaskManagers, so that jobs need not bring them: URIs, or
    /// paths in the Flink image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jars: Option<Vec<String>>,
    /// Flink plugins to load, such as file systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub plugins: Option<Vec<Plugin>>,
    /// Labels and pod settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesOptions>,
}

/// A Flink plugin: jars with a class loader of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plugin {
    /// Name of the plugin: its folder under Flink's plugins.
    pub name: String,
    /// The plugin's jars: URIs, or paths in the Flink image such as /opt/flink/opt/flink-s3-fs-hadoop-1.20.1.jar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jars: Option<Vec<String>>,
}

/// What the cluster is. Written by Sluice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionClusterStatus {
    /// STOPPED: nothing of it is left. STARTING: its pods are being made. RUNNING: the JobManager answers and every
    /// TaskManager is registered. UPDATING: TaskManagers are being added or removed. STOPPING: its pods are being removed.
    /// FAILED: the desired state could not be reached; conditions say why, and pods may be left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SessionClusterState>,
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
    /// Jobs that have not ended, as the JobManager last said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number_of_jobs: Option<i32>,
    /// Task slots of all registered TaskManagers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_total: Option<i32>,
    /// Task slots that no job uses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slots_available: Option<i32>,
    /// Label selector of the TaskManager pods, for autoscalers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<String>,
    /// Namespace that the pods run in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
    /// How to reach Flink's web interface: a command to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ui: Option<String>,
    /// What Sluice is doing to the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// Why the last operation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What is the case, by type: Ready, QuotaExceeded, TargetNotFound and others. kubectl wait --for=condition=Ready works.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
