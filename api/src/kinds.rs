//! The kinds of `sluice.dev/v1alpha1`, one file each, and what several of them share.
//!
//! Doc comments of fields and types are the descriptions of the CRDs: written for people who run Flink.

#![allow(
    clippy::duplicated_attributes,
    reason = "several printcolumn(...) of one kind have the same type_; the lint takes that for a repetition"
)]
#![allow(
    clippy::doc_markdown,
    reason = "kubectl explain prints these comments as they are, backticks would be noise to its readers"
)]

mod defaults;
mod deployment;
mod environment;
mod flink_application;
mod job;
mod pods;
mod savepoint;
mod session_cluster;
mod session_job;
mod shared;
mod target;
mod words;

pub use defaults::{
    ClusterDeploymentDefaults, ClusterDeploymentDefaultsSpec, DeploymentDefaults,
    DeploymentDefaultsSpec,
};
pub use deployment::{
    Artifact, Deployment, DeploymentSpec, DeploymentStatus, DeploymentTemplate,
    DeploymentTemplateSpec, InSession, Running, RunningCondition, TemplateMetadata,
};
pub use environment::{Environment, EnvironmentSpec};
pub use flink_application::{FlinkApplication, FlinkApplicationSpec, FlinkApplicationStatus};
pub use job::{Job, JobSpec, JobStatus};
pub use pods::{EnvVar, KubernetesOptions, PodOptions, PodVolume};
pub use savepoint::{Savepoint, SavepointSpec, SavepointStatus};
pub use session_cluster::{Plugin, SessionCluster, SessionClusterSpec, SessionClusterStatus};
pub use session_job::{SessionJob, SessionJobSpec, SessionJobStatus, SessionJobTask};
pub use shared::{
    Attempts, ComponentResources, Failure, Logging, Operation, Resources, RestoreStrategy,
    UpgradeStrategy,
};
pub use target::{
    DeploymentTarget, DeploymentTargetSpec, DeploymentTargetStatus, TargetKubernetes,
};
pub use words::{
    ArtifactKind, DeploymentState, DesiredClusterState, DesiredState, JobState, RestoreKind,
    SavepointOrigin, SavepointState, SessionClusterState, UpgradeKind,
};
