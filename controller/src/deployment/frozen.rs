//! What is read of the spec that a run was started with: it stands in its Job object, whatever the Deployment says by now.

use sluice_api::{DeploymentTemplateSpec, Job, Scalar};
use sluice_policy::flink::FlinkVersion;

use crate::objects::application::frozen;
use crate::objects::{Application, FlinkCluster, Owner};
use crate::savepoint::place::configured;

/// What a run was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frozen {
    /// Flink's version, if it can be read.
    pub version: Option<FlinkVersion>,
    /// TaskManagers.
    pub task_managers: Option<u32>,
    /// Where the configuration puts savepoints, where it says so.
    pub folder: Option<String>,
}

/// Whether a Flink can stop a job with a savepoint, as all can from 1.9 on. Before, a savepoint is taken, and the job cancelled when it is
/// complete (`vvp-deployments.txt`).
pub fn stops(version: Option<FlinkVersion>) -> bool {
    version.is_none_or(|version| version >= FlinkVersion::new(1, 9))
}

impl Frozen {
    /// Of this run.
    pub fn of(run: &Job) -> Self {
        let template: DeploymentTemplateSpec =
            frozen(run.spec.template.as_ref()).unwrap_or_default();
        let version = template.artifact.as_ref();
        let version = version.and_then(|artifact| artifact.flink_version.as_ref());
        let version = version.and_then(Scalar::text);
        let nobody = Owner {
            kind: "Deployment",
            namespace: String::new(),
            name: String::new(),
            uid: String::new(),
        };
        let application = Application::of(run, &template);
        let cluster = FlinkCluster::of_run(nobody, "", &template, application);
        Self {
            version: version.and_then(|text| FlinkVersion::parse(&text)),
            task_managers: cluster.ok().map(|cluster| cluster.task_managers),
            folder: configured(template.flink_configuration.as_ref()),
        }
    }
}
