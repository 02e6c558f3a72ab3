//! The objects that are measured: complete as a user would write them, and as large as asked.

use serde_json::{Map, Value, json};

/// Which kind is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `sluice.dev/v1alpha1` SessionCluster.
    SessionCluster,
    /// `sluice.dev/v1alpha1` Deployment.
    Deployment,
    /// `flink.apache.org/v1beta1` FlinkDeployment.
    FlinkDeployment,
}

impl Kind {
    /// The kind's group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Kind::SessionCluster | Kind::Deployment => "sluice.dev/v1alpha1",
            Kind::FlinkDeployment => "flink.apache.org/v1beta1",
        }
    }

    /// The kind's API group.
    pub fn group(self) -> &'static str {
        match self {
            Kind::SessionCluster | Kind::Deployment => "sluice.dev",
            Kind::FlinkDeployment => "flink.apache.org",
        }
    }

    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::SessionCluster => "SessionCluster",
            Kind::Deployment => "Deployment",
            Kind::FlinkDeployment => "FlinkDeployment",
        }
    }

    /// The resource in URLs.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::SessionCluster => "sessionclusters",
            Kind::Deployment => "deployments",
            Kind::FlinkDeployment => "flinkdeployments",
        }
    }
}

/// An object of about `bytes` of JSON as the webhook gets it: spec, labels, and the managedFields that the API server
/// has already written. What makes it large is what makes real ones large: configuration, loggers, environment.
pub fn of_size(kind: Kind, bytes: usize) -> Value {
    let mut entries = 0;
    loop {
        let object = with_entries(kind, entries);
        if object.to_string().len() >= bytes {
            return object;
        }
        entries += 1;
    }
}

fn with_entries(kind: Kind, entries: usize) -> Value {
    let spec = match kind {
        Kind::SessionCluster => session_cluster(entries),
        Kind::Deployment => deployment(entries),
        Kind::FlinkDeployment => flink_deployment(entries),
    };
    json!({
        "apiVersion": kind.api_version(),
        "kind": kind.name(),
        "metadata": {
            "name": "clickstream-sessions",
            "namespace": "bench",
            "labels": {"app.kubernetes.io/part-of": "clickstream", "env": "testing", "team": "analytics"},
            "managedFields": [{
                "apiVersion": kind.api_version(), "manager": "kubectl-create", "operation": "Update",
                "time": "2026-11-01T08:00:00Z", "fieldsType": "FieldsV1",
                "fieldsV1": {"f:metadata": {"f:labels": {".": {}, "f:env": {}, "f:team": {}}}, "f:spec": claimed(&spec)},
            }],
        },
        "spec": spec,
    })
}

/// A FlinkDeployment of about `bytes` of JSON as a client posts it, to be named by the API server.
pub fn to_create(bytes: usize) -> Value {
    let mut entries = 0;
    loop {
        let object = json!({
            "apiVersion": Kind::FlinkDeployment.api_version(),
            "kind": Kind::FlinkDeployment.name(),
            "metadata": {
                "generateName": "bench-",
                "labels": {"app.kubernetes.io/part-of": "clickstream", "env": "testing", "team": "analytics"},
            },
            "spec": flink_deployment(entries),
        });
        if object.to_string().len() >= bytes {
            return object;
        }
        entries += 1;
    }
}

/// The fieldsV1 set of a value, as the API server writes it for objects with a structural schema.
fn claimed(value: &Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            std::iter::once((".".to_owned(), json!({})))
                .chain(
                    map.iter()
                        .map(|(key, value)| (format!("f:{key}"), claimed(value))),
                )
                .collect(),
        ),
        _ => json!({}),
    }
}

fn configuration(entries: usize) -> Value {
    let mut map = Map::from_iter([
        ("taskmanager.numberOfTaskSlots".to_owned(), json!("4")),
        (
            "state.savepoints.dir".to_owned(),
            json!("s3://flink/savepoints"),
        ),
        (
            "state.checkpoints.dir".to_owned(),
            json!("s3://flink/checkpoints"),
        ),
        ("execution.checkpointing.interval".to_owned(), json!("60s")),
    ]);
    for entry in 0..entries {
        map.insert(
            format!("metrics.reporter.prom{entry}.filter.includes"),
            json!(format!("jobmanager.job.*:checkpoint*,restarts{entry}")),
        );
    }
    Value::Object(map)
}

fn loggers(entries: usize) -> Value {
    let mut map = Map::from_iter([(String::new(), json!("INFO"))]);
    for entry in 0..entries / 4 {
        map.insert(
            format!("com.example.clickstream.operators.stage{entry}"),
            json!("DEBUG"),
        );
    }
    Value::Object(map)
}

fn environment(entries: usize) -> Vec<Value> {
    (0..entries / 4)
        .map(|entry| {
            json!({"name": format!("CLICKSTREAM_SETTING_{entry}"), "value": "s3://clickstream/reference/latest"})
        })
        .collect()
}

fn session_cluster(entries: usize) -> Value {
    json!({
        "state": "RUNNING",
        "deploymentTargetName": "default",
        "flinkVersion": "1.20",
        "flinkImageTag": "1.20.1-scala_2.12",
        "numberOfTaskManagers": 5,
        "resources": {"jobmanager": {"cpu": 1, "memory": "2Gi"}, "taskmanager": {"cpu": 2, "memory": "4Gi"}},
        "flinkConfiguration": configuration(entries),
        "logging": {"log4jLoggers": loggers(entries)},
        "kubernetes": {"pods": {"labels": {"team": "analytics"}, "nodeSelector": {"pool": "flink"}, "envVars": environment(entries)}},
    })
}

fn deployment(entries: usize) -> Value {
    json!({
        "state": "RUNNING",
        "deploymentTargetName": "default",
        "restoreStrategy": {"kind": "LATEST_SAVEPOINT"},
        "upgradeStrategy": {"kind": "STATEFUL"},
        "template": {"spec": {
            "artifact": {
                "kind": "JAR", "flinkVersion": "1.20", "jarUri": "s3://clickstream/jars/sessions-4.2.jar",
                "entryClass": "com.example.clickstream.Sessions", "mainArgs": "--window 10 --unit minutes",
            },
            "parallelism": 8,
            "resources": {"jobmanager": {"cpu": 1, "memory": "2Gi"}, "taskmanager": {"cpu": 2, "memory": "4Gi"}},
            "flinkConfiguration": configuration(entries),
            "logging": {"log4jLoggers": loggers(entries)},
            "kubernetes": {"pods": {"labels": {"team": "analytics"}, "nodeSelector": {"pool": "flink"}, "envVars": environment(entries)}},
        }},
    })
}

fn flink_deployment(entries: usize) -> Value {
    json!({
        "image": "flink:1.20",
        "flinkVersion": "v1_20",
        "serviceAccount": "flink",
        "flinkConfiguration": configuration(entries),
        "jobManager": {"resource": {"cpu": 1, "memory": "2048m"}},
        "taskManager": {"resource": {"cpu": 2, "memory": "4096m"}},
        "podTemplate": {"spec": {"containers": [{"name": "flink-main-container", "env": environment(entries)}]}},
        "logConfiguration": {"log4j-console.properties": "rootLogger.level = INFO"},
        "job": {"jarURI": "local:///opt/flink/usrlib/sessions.jar", "parallelism": 8, "upgradeMode": "savepoint", "state": "running"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_as_large_as_asked() {
        for kind in [
            Kind::SessionCluster,
            Kind::Deployment,
            Kind::FlinkDeployment,
        ] {
            let size = of_size(kind, 10 * 1024).to_string().len();
            assert!((10 * 1024..11 * 1024).contains(&size), "{kind:?}: {size}");
        }
    }
}
