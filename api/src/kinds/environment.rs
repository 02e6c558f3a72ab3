//! `Environment`: settings of an admin that win over what users write.
//!
//! Partial specs, so the schema leaves them open; admission refuses unknown fields and bad values with their path.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Object;

/// For which namespaces, and what is set there.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "sluice.dev",
    version = "v1alpha1",
    kind = "Environment",
    derive = "PartialEq",
    derive = "Default",
    doc = "Settings for the Flink objects of some namespaces that win over what their users write: at creation and at every change of a \
           spec. They never change a field of a running session cluster that may not change. Only kinds whose section is given \
           are concerned.",
    shortname = "fenv",
    category = "flink",
    printcolumn(
        name = "Namespaces",
        type_ = "string",
        json_path = ".spec.namespaces",
        description = "Where it holds"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!self.namespaces.exists(n, n == '*') || self.namespaces.size() == 1",
    "message": "spec.namespaces: '*' means all namespaces and stands alone; remove the others or remove '*'.",
}]))]
pub struct EnvironmentSpec {
    /// Names of the namespaces where it holds; at least one. '*' alone means all.
    #[schemars(
        length(min = 1, max = 1024),
        inner(length(min = 1, max = 63)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub namespaces: Vec<String>,
    /// Set in every Deployment: any part of its spec (kubectl explain fdep.spec).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub deployment: Option<Object>,
    /// Set in every SessionCluster: any part of its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub session_cluster: Option<Object>,
    /// Set in every SessionJob: any part of its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub session_job: Option<Object>,
    /// Set in every FlinkDeployment of the Apache operator: any part of its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub flink_deployment: Option<Object>,
    /// Set in every FlinkSessionJob of the Apache operator: any part of its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub flink_session_job: Option<Object>,
    /// Set in every FlinkApplication of Confluent: any part of its spec.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::schema::open_object")]
    pub flink_application: Option<Object>,
}
