//! `DeploymentTarget`: which Kubernetes namespace pods run in.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where pods run. Never changes.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "DeploymentTarget",
    namespaced,
    status = "DeploymentTargetStatus",
    derive = "PartialEq",
    derive = "Default",
    doc = "A Kubernetes namespace that Deployments and SessionClusters of this namespace can run their pods in, by the name of this \
           object. Another namespace than its own must agree: its label sluice.dev/accept-from names the namespaces it takes pods from. \
           CPU is counted against the quotas of the namespace that the Deployment is in.",
    shortname = "ftgt",
    category = "flink",
    printcolumn(
        name = "Namespace",
        type_ = "string",
        json_path = ".spec.kubernetes.namespace",
        description = "Where pods run"
    ),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status",
        description = "Whether that namespace takes pods from here"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].reason",
        description = "Why it does or does not",
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
    "rule": "self == oldSelf",
    "message": "spec of a DeploymentTarget never changes, as pods may run there. Create another target and name that one.",
}]))]
pub struct DeploymentTargetSpec {
    /// Where in Kubernetes.
    pub kubernetes: TargetKubernetes,
}

/// Where in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetKubernetes {
    /// Name of the namespace that pods run in.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
}

/// Whether the target can be used. Written by Sluice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentTargetStatus {
    /// The metadata.generation that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Deployments and SessionClusters that refer to it; it cannot go before they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<i32>,
    /// What is the case, by type: Accepted, whether the namespace takes pods from here, and Referenced, with the names of those
    /// that refer to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "crate::schema::conditions")]
    pub conditions: Vec<Condition>,
}
