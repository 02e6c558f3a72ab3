//! Parts of specs that several own kinds have, as tables; see `shape` for what the entries mean.

use super::shape::{Field, Shape, aliased, field};

/// Bounds of a number of TaskManagers: more pods than any Kubernetes cluster holds are a typing error.
pub(crate) const TASK_MANAGERS: Shape = Shape::Whole {
    least: 0,
    most: 100_000,
};

/// `resources`.
pub(crate) const RESOURCES: Shape = Shape::Fields(&[
    aliased("jobmanager", "jobManager", COMPONENT),
    aliased("taskmanager", "taskManager", COMPONENT),
]);

const COMPONENT: Shape = Shape::Fields(&[
    field("cpu", Shape::ProcessCpu),
    field("memory", Shape::Memory),
    field("ephemeralStorage", Shape::Memory),
]);

/// `logging`.
pub(crate) const LOGGING: Shape = Shape::Fields(&[
    field("loggingProfile", Shape::Text),
    field("log4jLoggers", Shape::Levels),
]);

/// Words of `log4jLoggers`.
pub(crate) const LOG_LEVELS: &[&str] = &[
    "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "OFF", "ALL",
];

/// `kubernetes`. What Kubernetes itself defines is judged in `pods`.
pub(crate) const KUBERNETES: Shape = Shape::Fields(&[
    field("labels", Shape::Texts),
    field("pods", PODS),
    field("jobManagerPodTemplate", Shape::Open),
    field("taskManagerPodTemplate", Shape::Open),
]);

const PODS: Shape = Shape::Fields(&[
    field("annotations", Shape::Texts),
    field("labels", Shape::Texts),
    field("nodeSelector", Shape::Texts),
    field("affinity", Shape::Open),
    field("tolerations", Shape::OpenList),
    field("imagePullSecrets", Shape::OpenList),
    field("securityContext", Shape::Open),
    field(
        "volumeMounts",
        Shape::List(&Shape::Fields(&[
            field("name", Shape::Text),
            field("volume", Shape::Open),
            field("volumeMount", Shape::Open),
        ])),
    ),
    field(
        "envVars",
        Shape::List(&Shape::Fields(&[
            field("name", Shape::Text),
            field("value", Shape::Spelled),
            field("valueFrom", Shape::Open),
        ])),
    ),
]);

/// `jars` and the like.
pub(crate) const TEXT_LIST: Shape = Shape::List(&Shape::Text);

/// The shape of a session cluster's spec.
pub(crate) const SESSION_CLUSTER: &[Field] = &[
    field("state", Shape::Word(&["RUNNING", "STOPPED"])),
    field("deploymentTargetName", Shape::Text),
    field("flinkVersion", Shape::FlinkVersion),
    field("flinkImageRegistry", Shape::Text),
    field("flinkImageRepository", Shape::Text),
    field("flinkImageTag", Shape::Tag),
    field("numberOfTaskManagers", TASK_MANAGERS),
    field("resources", RESOURCES),
    field("flinkConfiguration", Shape::Configuration),
    field("logging", LOGGING),
    field("logConfiguration", Shape::Texts),
    field("jars", TEXT_LIST),
    field(
        "plugins",
        Shape::List(&Shape::Fields(&[
            field("name", Shape::Text),
            field("jars", TEXT_LIST),
        ])),
    ),
    field("kubernetes", KUBERNETES),
];
