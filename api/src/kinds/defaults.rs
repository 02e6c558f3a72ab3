//! `DeploymentDefaults` and `ClusterDeploymentDefaults`: what an admin fills in where users say nothing.
//!
//! Partial specs, so the schema leaves them open; admission refuses unknown fields and bad values with their path.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scalar::Object;

/// Defines the spec of both kinds: the same fields, with a kind of its own each.
macro_rules! defaults_spec {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            /// Defaults of SessionClusters: any part of their spec.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(schema_with = "crate::schema::open_object")]
            pub session_cluster: Option<Object>,
            /// Defaults of SessionJobs: any part of their spec.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(schema_with = "crate::schema::open_object")]
            pub session_job: Option<Object>,
            /// Defaults of the Apache operator's FlinkDeployments: any part of their spec.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(schema_with = "crate::schema::open_object")]
            pub flink_deployment: Option<Object>,
            /// Defaults of the Apache operator's FlinkSessionJobs: any part of their spec.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(schema_with = "crate::schema::open_object")]
            pub flink_session_job: Option<Object>,
            /// Defaults of Confluent's FlinkApplications: any part of their spec.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            #[schemars(schema_with = "crate::schema::open_object")]
            pub flink_application: Option<Object>,
            /// Defaults of Deployments, not in a section of their own: any part of their spec (state, template,
            /// upgradeStrategy and so on).
            #[serde(flatten)]
            pub deployment: Object,
        }
    };
}

defaults_spec! {
    /// What is filled in where an object of this namespace says nothing. Fields of a Deployment's spec (state, template,
    /// upgradeStrategy and so on; kubectl explain fdep.spec) stand directly here; other kinds have a section each.
    #[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[kube(
        group = "sluice.dev",
        version = "v1alpha1",
        kind = "DeploymentDefaults",
        plural = "deploymentdefaults",
        namespaced,
        derive = "PartialEq",
        derive = "Default",
        doc = "Defaults for the Flink objects of a namespace. They are filled in where an object says nothing when it is created, and \
               when a field that its user had set is left out; later changes of the defaults restart nobody's job. \
               They come before those of ClusterDeploymentDefaults. Maps are merged key by key, lists and single values are not.",
        shortname = "fdd",
        category = "flink",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )]
    DeploymentDefaultsSpec
}

defaults_spec! {
    /// What is filled in where an object says nothing, and neither do the DeploymentDefaults of its namespace. Fields of a
    /// Deployment's spec (state, template, upgradeStrategy and so on; kubectl explain fdep.spec) stand directly here; other
    /// kinds have a section each.
    #[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[kube(
        group = "sluice.dev",
        version = "v1alpha1",
        kind = "ClusterDeploymentDefaults",
        plural = "clusterdeploymentdefaults",
        derive = "PartialEq",
        derive = "Default",
        doc = "Defaults for the Flink objects of every namespace, as DeploymentDefaults, whose values come before these. \
               Maps are merged key by key, lists and single values are not.",
        shortname = "cfdd",
        category = "flink",
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )]
    ClusterDeploymentDefaultsSpec
}
