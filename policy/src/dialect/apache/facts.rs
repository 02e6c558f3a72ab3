//! What is kept of a FlinkDeployment for judging the FlinkSessionJobs on it.

use super::recorded::Recorded;
use super::templates;
use crate::draft::Draft;
use crate::json;
use crate::path::FieldPath;
use serde_json::{Value, json};

/// Only what session jobs look up: version, mode, configuration and the TaskManagers' CPU. Of an application, which most are,
/// only that it is one: no session job can run on it. Not its name: so most applications
/// are alike, and their facts are kept once.
pub(crate) fn of(object: &Value) -> Value {
    let mut kept = json!({});
    if json::present(object, &["spec", "job"]).is_some() {
        for field in ["spec.flinkVersion", "spec.mode"] {
            keep(object, &FieldPath::of(field), &mut kept);
        }
        put(&mut kept, &FieldPath::of("spec.job"), json!({}));
        return kept;
    }
    for field in [
        "metadata.name",
        "spec.flinkVersion",
        "spec.mode",
        "spec.flinkConfiguration",
        "spec.taskManager.resource",
        "spec.taskManager.resources",
    ] {
        keep(object, &FieldPath::of(field), &mut kept);
    }
    // A session cluster starts TaskManagers for its jobs as it was deployed.
    if let Some(configuration) = templates::as_deployed(object, || Recorded::of(object)) {
        let path = FieldPath::of("spec.flinkConfiguration");
        put(&mut kept, &path, configuration);
    }
    for template in ["spec.podTemplate", "spec.taskManager.podTemplate"] {
        let pod = FieldPath::of(template).key("spec");
        let request = pod.key("resources").key("requests").key("cpu");
        for path in [request, pod.key("overhead").key("cpu")] {
            keep(object, &path, &mut kept);
        }
        for list in ["containers", "initContainers"] {
            let path = FieldPath::of(template).key("spec").key(list);
            if let Some(Value::Array(containers)) = path.get(object) {
                let slim = containers.iter().map(slim_container).collect();
                put(&mut kept, &path, Value::Array(slim));
            }
        }
    }
    kept
}

fn slim_container(container: &Value) -> Value {
    let mut slim = json!({});
    for field in [
        "name",
        "restartPolicy",
        "resources.requests.cpu",
        "resources.limits.cpu",
    ] {
        keep(container, &FieldPath::of(field), &mut slim);
    }
    slim
}

fn keep(from: &Value, path: &FieldPath, to: &mut Value) {
    if let Some(value) = path.get(from).filter(|value| !value.is_null()) {
        put(to, path, value.clone());
    }
}

fn put(to: &mut Value, path: &FieldPath, value: Value) {
    let mut draft = Draft::new(to);
    draft.set(path, value);
    let (made, _) = draft.finish();
    let made = made.into_owned();
    *to = made;
}
