//! `FlinkApplication` of `cmf.confluent.io/v1`: Confluent's kind, which Confluent serves over REST only.
//!
//! The optional CRD lets people keep such objects in Kubernetes. It has the shape of the Apache operator's
//! FlinkDeployment and is lenient: what stands in it is Confluent's to judge.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Object, Scalar};

/// The application, in the terms of the Apache operator's FlinkDeployment.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "cmf.confluent.io",
    version = "v1",
    kind = "FlinkApplication",
    namespaced,
    status = "FlinkApplicationStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Flink application as Confluent Manager for Apache Flink describes it, kept in Kubernetes. Sluice judges it and counts its CPU; \
           nothing in Sluice runs it.",
    category = "flink",
    scale(
        spec_replicas_path = ".spec.taskManager.replicas",
        status_replicas_path = ".status.taskManager.replicas",
        label_selector_path = ".status.taskManager.labelSelector"
    ),
    printcolumn(
        name = "Desired",
        type_ = "string",
        json_path = ".spec.job.state",
        description = "What the job should be"
    ),
    printcolumn(
        name = "Job Status",
        type_ = "string",
        json_path = ".status.jobStatus.state",
        description = "What the job is"
    ),
    printcolumn(
        name = "Lifecycle State",
        type_ = "string",
        json_path = ".status.lifecycleState",
        description = "Where the application stands"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct FlinkApplicationSpec {
    /// Image of JobManager and TaskManagers, such as confluentinc/cp-flink:1.19.1-cp2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When the image is pulled: Always, IfNotPresent or Never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Text: Flink's version in the form v1_19.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flink_version: Option<Scalar>,
    /// Flink's configuration options by key; nested maps are allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub flink_configuration: Option<Object>,
    /// Kubernetes service account of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// The JobManager: resource (cpu, memory), replicas, podTemplate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub job_manager: Option<Object>,
    /// The TaskManagers: resource (cpu, memory), replicas, podTemplate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub task_manager: Option<Object>,
    /// The job: jarURI, entryClass, args, parallelism, state (running or suspended), upgradeMode (stateless, savepoint or
    /// last-state). Without it, this is a session cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub job: Option<Object>,
    /// Pod template of JobManager and TaskManagers (kubectl explain deployment.spec.template).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub pod_template: Option<Object>,
    /// Ingress for Flink's web interface: template, className, annotations, labels, tls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub ingress: Option<Object>,
    /// native or standalone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Any number; a change of it restarts the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,
    /// Logging configuration files by name, such as log4j-console.properties.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub log_configuration: Option<Object>,
    /// Fields that this list does not know.
    #[serde(flatten)]
    pub other: Object,
}

/// What the application is, in the terms of the Apache operator's FlinkDeployment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FlinkApplicationStatus {
    /// The job: jobId, state, startTime and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub job_status: Option<Object>,
    /// CREATED, SUSPENDED, UPGRADING, DEPLOYED, STABLE, ROLLING_BACK, ROLLED_BACK, FAILED, DELETING or DELETED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_state: Option<String>,
    /// The TaskManagers: replicas, labelSelector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub task_manager: Option<Object>,
    /// Fields that this list does not know.
    #[serde(flatten)]
    pub other: Object,
}
