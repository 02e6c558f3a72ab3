//! `spec.kubernetes`: how the pods of JobManager and TaskManagers differ from what Sluice would make.
//!
//! What Kubernetes itself describes (affinity, volumes, whole pod templates) is an open object here: its full schema
//! would make each CRD half a megabyte. Admission judges it as Kubernetes would.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::{Object, Scalar};

/// How the Kubernetes objects are made that Flink runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!(has(self.pods) && (has(self.jobManagerPodTemplate) || has(self.taskManagerPodTemplate)))",
    "message": "pods and the pod templates exclude each other: move what pods says into jobManagerPodTemplate and taskManagerPodTemplate, or remove the templates.",
}]))]
pub struct KubernetesOptions {
    /// Labels for every object that is made: pods, services, configuration. Labels that Sluice sets itself win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub labels: Option<Object>,
    /// Settings for the pods of JobManager and TaskManagers alike. Not together with the pod templates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods: Option<PodOptions>,
    /// The JobManager's pod: a Kubernetes pod template (metadata and spec, as in kubectl explain deployment.spec.template),
    /// merged with what Sluice sets; the main container is named flink-main-container. Its CPU and memory belong in
    /// resources; containers added here count against CPU quotas. Not together with pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub job_manager_pod_template: Option<Object>,
    /// Each TaskManager's pod: a Kubernetes pod template, as jobManagerPodTemplate. Not together with pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub task_manager_pod_template: Option<Object>,
}

/// Settings for the pods of JobManager and TaskManagers alike.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodOptions {
    /// Annotations of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub annotations: Option<Object>,
    /// Labels of the pods. Labels that Sluice sets itself win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub labels: Option<Object>,
    /// Labels that a node must have to get the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub node_selector: Option<Object>,
    /// Which nodes and which neighbours the pods prefer or need (kubectl explain pod.spec.affinity).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub affinity: Option<Object>,
    /// Taints of nodes that the pods put up with (kubectl explain pod.spec.tolerations).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_objects")]
    pub tolerations: Option<Vec<Object>>,
    /// Secrets with credentials for the image registry: a list of objects with a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_objects")]
    pub image_pull_secrets: Option<Vec<Object>>,
    /// User, group and file permissions of the pods (kubectl explain pod.spec.securityContext). Without it pods run as user, group and
    /// fsGroup 9999, as Flink's image has them; what is written here takes their place altogether, {} with nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub security_context: Option<Object>,
    /// Volumes, and where Flink's container mounts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub volume_mounts: Option<Vec<PodVolume>>,
    /// Environment variables of Flink's container.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub env_vars: Option<Vec<EnvVar>>,
}

/// A volume and where it is mounted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodVolume {
    /// Name of the volume, unique in the pod.
    pub name: String,
    /// Where the data comes from, such as a secret or configMap (kubectl explain pod.spec.volumes). Its name may be left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub volume: Option<Object>,
    /// Where it is mounted: mountPath, subPath, readOnly (kubectl explain pod.spec.containers.volumeMounts). Its name may
    /// be left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub volume_mount: Option<Object>,
}

/// An environment variable: value or valueFrom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Name of the variable.
    pub name: String,
    /// Text: its value. Not together with valueFrom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Scalar>,
    /// Where its value comes from, such as a secretKeyRef (kubectl explain pod.spec.containers.env.valueFrom). Not
    /// together with value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub value_from: Option<Object>,
}
