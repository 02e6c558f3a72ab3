//! Confluent Manager for Apache Flink (CMF): how its traces are recognised.

use crate::json;
use serde_json::Value;

/// Whether a FlinkDeployment was made by CMF, which keeps a definition of its own: what others fill in here would be
/// overwritten, or make CMF redeploy. Such an object is never defaulted.
///
/// CMF documents no marker, so every trace that Confluent's tools leave counts: an owner, a label or an annotation of one
/// of their groups. The annotation `sluice.dev/managed-by: cmf` says it outright.
pub(crate) fn made_by_cmf(object: &Value) -> bool {
    let is_theirs = |group: &str| group == "confluent.io" || group.ends_with(".confluent.io");
    let prefixed = |place: &str| {
        json::get(object, &["metadata", place])
            .and_then(Value::as_object)
            .is_some_and(|map| {
                map.keys().any(|key| {
                    key.split_once('/')
                        .is_some_and(|(group, _)| is_theirs(group))
                })
            })
    };
    let owned = json::get(object, &["metadata", "ownerReferences"])
        .and_then(Value::as_array)
        .is_some_and(|owners| {
            owners.iter().any(|owner| {
                json::text(owner, &["apiVersion"])
                    .and_then(|version| version.split_once('/'))
                    .is_some_and(|(group, _)| is_theirs(group))
            })
        });
    let said = json::text(
        object,
        &["metadata", "annotations", "sluice.dev/managed-by"],
    ) == Some("cmf");
    said || owned || prefixed("labels") || prefixed("annotations")
}

/// The application as CMF would deploy it: settings of the environment take precedence over its own.
pub(crate) fn with_environment(application: &Value, environment: &Value) -> Value {
    let mut merged = application.clone();
    if let (Some(spec), Some(settings)) = (
        merged.get_mut("spec"),
        json::present(environment, &["spec", "flinkApplicationDefaults", "spec"]),
    ) {
        lay_over(spec, settings);
    }
    merged
}

/// Maps merge key by key, everything else is replaced. Goes as deep as the reader of the request let it be.
fn lay_over(target: &mut Value, settings: &Value) {
    match (target, settings) {
        (Value::Object(target), Value::Object(settings)) => {
            for (key, value) in settings {
                match target.get_mut(key) {
                    Some(slot) => lay_over(slot, value),
                    None => {
                        target.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        (target, settings) => *target = settings.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_environment_wins_over_the_application() {
        let application =
            json!({"spec": {"flinkConfiguration": {"a": "1", "b": "2"}, "image": "mine"}});
        let environment = json!({"spec": {"flinkApplicationDefaults": {"spec": {"flinkConfiguration": {"b": "3", "c": "4"}}}}});
        assert_eq!(
            with_environment(&application, &environment),
            json!({"spec": {"flinkConfiguration": {"a": "1", "b": "3", "c": "4"}, "image": "mine"}})
        );
        assert_eq!(
            with_environment(&application, &json!({"spec": 3})),
            application
        );
    }

    #[test]
    fn traces_of_confluents_tools() {
        for metadata in [
            json!({"labels": {"platform.confluent.io/origin": "flink"}}),
            json!({"annotations": {"cmf.confluent.io/application": "a"}}),
            json!({"annotations": {"sluice.dev/managed-by": "cmf"}}),
            json!({"ownerReferences": [{"apiVersion": "platform.confluent.io/v1beta1", "kind": "FlinkApplication"}]}),
        ] {
            assert!(made_by_cmf(&json!({ "metadata": metadata })), "{metadata}");
        }
        for metadata in [
            json!({}),
            json!(null),
            json!({"labels": {"app": "confluent.io", "notconfluent.io/x": "y"}, "ownerReferences": [{"apiVersion": "v1"}, 3]}),
        ] {
            assert!(!made_by_cmf(&json!({ "metadata": metadata })), "{metadata}");
        }
    }
}
