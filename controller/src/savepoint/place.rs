//! Folders and ids of savepoints. They follow from what is stored, so that they come out alike after a crash.

use crate::flink::TriggerId;

/// Id of the request that a Savepoint object with this uid stands for.
pub fn trigger_id(uid: &str) -> TriggerId {
    TriggerId::of(&format!("savepoint {uid}"))
}

/// Folder of one request's savepoint below `base`; nothing else is ever written there. `name`: the job's.
pub fn folder(base: &str, namespace: &str, name: &str, trigger: &TriggerId) -> String {
    format!(
        "{}/{namespace}-{name}{}",
        base.trim_end_matches('/'),
        mark(trigger)
    )
}

/// Whether a savepoint lies in the folder of this request.
pub fn is_of(location: &str, trigger: &TriggerId) -> bool {
    let mark = mark(trigger);
    location.split('/').any(|part| part.ends_with(&mark))
}

fn mark(trigger: &TriggerId) -> String {
    let short: String = trigger.0.chars().take(12).collect();
    format!("-{short}")
}

/// Where a Flink configuration (flat keys) puts savepoints.
pub fn configured(configuration: Option<&sluice_api::Object>) -> Option<String> {
    let configuration = configuration?;
    [
        "execution.checkpointing.savepoint-dir",
        "state.savepoints.dir",
    ]
    .iter()
    .filter_map(|key| sluice_policy::json::scalar_text(configuration.get(*key)?))
    .find(|folder| !folder.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_knows_its_folder_and_no_other() {
        let (one, two) = (trigger_id("u-1"), trigger_id("u-2"));
        assert_eq!(one.0.len(), 32);
        assert_eq!(one, trigger_id("u-1"));
        assert_ne!(one, two);
        let folder = folder("s3://b/savepoints/", "team-a", "job", &one);
        assert!(
            folder.starts_with("s3://b/savepoints/team-a-job-"),
            "{folder}"
        );
        assert!(is_of(&format!("{folder}/savepoint-4f1c2a-8b2d9c0e"), &one));
        assert!(!is_of(&format!("{folder}/savepoint-4f1c2a-8b2d9c0e"), &two));
    }
}
