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

const JOB_STATE: Shape = Shape::Word(&["RUNNING", "CANCELLED", "SUSPENDED"]);

const UPGRADE: Shape = Shape::Fields(&[field(
    "kind",
    Shape::Word(&["STATEFUL", "STATELESS", "NONE"]),
)]);

const RESTORE: Shape = Shape::Fields(&[
    field(
        "kind",
        Shape::Word(&["LATEST_STATE", "LATEST_SAVEPOINT", "NONE"]),
    ),
    field("allowNonRestoredState", Shape::Flag),
]);

/// Flink's own bound of parallelism.
const PARALLELISM: Shape = Shape::Whole {
    least: 1,
    most: 32_768,
};

const ATTEMPTS: Shape = Shape::Whole {
    least: 1,
    most: 2_147_483_647,
};

const NONCE: Shape = Shape::Whole {
    least: i64::MIN,
    most: i64::MAX,
};

/// The shape of a Deployment's spec.
pub(crate) const DEPLOYMENT: &[Field] = &[
    field("state", JOB_STATE),
    field("deploymentTargetName", Shape::Text),
    field("deploymentTargetId", Shape::Text),
    field("sessionClusterName", Shape::Text),
    field("restoreStrategy", RESTORE),
    field("upgradeStrategy", UPGRADE),
    field("maxSavepointCreationAttempts", ATTEMPTS),
    field("maxJobCreationAttempts", ATTEMPTS),
    field("restartNonce", NONCE),
    field(
        "template",
        Shape::Fields(&[
            field(
                "metadata",
                Shape::Fields(&[
                    field("annotations", Shape::Texts),
                    field("labels", Shape::Texts),
                ]),
            ),
            field("spec", Shape::Fields(TEMPLATE)),
        ]),
    ),
];

const TEMPLATE: &[Field] = &[
    field(
        "artifact",
        Shape::Fields(&[
            field("kind", Shape::Word(&["JAR"])),
            field("jarUri", Shape::Text),
            field("entryClass", Shape::Text),
            field("mainArgs", Shape::Spelled),
            field("flinkVersion", Shape::FlinkVersion),
            field("flinkImageRegistry", Shape::Text),
            field("flinkImageRepository", Shape::Text),
            field("flinkImageTag", Shape::Tag),
        ]),
    ),
    field("parallelism", PARALLELISM),
    field("numberOfTaskManagers", TASK_MANAGERS),
    field("resources", RESOURCES),
    field("flinkConfiguration", Shape::Configuration),
    field("logging", LOGGING),
    field("kubernetes", KUBERNETES),
];

/// The shape of a session job's spec.
pub(crate) const SESSION_JOB: &[Field] = &[
    field("state", JOB_STATE),
    field("sessionClusterName", Shape::Text),
    field(
        "job",
        Shape::Fields(&[
            field("entryClass", Shape::Text),
            field("args", Shape::List(&Shape::Spelled)),
            field("jarUri", Shape::Text),
            field("parallelism", PARALLELISM),
        ]),
    ),
    field("flinkConfiguration", Shape::Configuration),
    field("restoreStrategy", RESTORE),
    field("upgradeStrategy", UPGRADE),
    field("maxSavepointCreationAttempts", ATTEMPTS),
    field("maxJobCreationAttempts", ATTEMPTS),
    field("restartNonce", NONCE),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::Value;

    /// Walks table and schema side by side: a field in one of them only would be pruned, or judged by nobody.
    fn compare(fields: &[Field], schema: &Value, path: &str) {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return; // left open by the schema
        };
        for field in fields {
            for name in std::iter::once(field.name).chain(field.alias) {
                let path = format!("{path}.{name}");
                let property = properties
                    .get(name)
                    .unwrap_or_else(|| panic!("{path} is not in the schema"));
                match &field.shape {
                    Shape::Fields(inner) => compare(inner, property, &path),
                    Shape::List(Shape::Fields(inner)) => compare(inner, &property["items"], &path),
                    _ => {}
                }
            }
        }
        for name in properties.keys() {
            let is_known = fields
                .iter()
                .any(|field| field.name == name || field.alias == Some(name));
            assert!(is_known, "{path}.{name} is not in the table");
        }
    }

    #[rstest]
    #[case("SessionCluster", SESSION_CLUSTER)]
    #[case("Deployment", DEPLOYMENT)]
    #[case("SessionJob", SESSION_JOB)]
    fn tables_and_schemas_have_the_same_fields(#[case] kind: &str, #[case] table: &[Field]) {
        let crd = sluice_api::crds()
            .into_iter()
            .find(|crd| crd.spec.names.kind == kind)
            .unwrap();
        let crd = serde_json::to_value(crd).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        assert!(schema["properties"].is_object());
        compare(table, schema, "spec");
    }
}
