//! The Savepoint objects that Sluice has made of a job by itself are kept to a history. What a start may restore from is spared, a user's own is
//! never touched, and no data is deleted.

use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Client, ResourceExt};
use sluice_api::{Savepoint, SavepointOrigin};

use super::history::{self, Of, Stored};

/// Savepoint objects that Sluice has made by itself and that are kept.
const KEPT: usize = 10;

/// What is spared besides the newest of each sort.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spared<'a> {
    /// The object of this name.
    pub name: Option<&'a str>,
    /// Whichever has its data here.
    pub location: Option<&'a str>,
    /// Those that do not go with the object of this uid; `None`: whoever they go with.
    pub owner: Option<&'a str>,
}

/// Removes the oldest of a job beyond the history that is kept.
///
/// # Errors
/// What the API server says.
pub async fn prune(
    client: &Client,
    namespace: &str,
    of: Of<'_>,
    spared: Spared<'_>,
) -> kube::Result<()> {
    let all = history::all(client, namespace, of).await?;
    let api: Api<Savepoint> = Api::namespaced(client.clone(), namespace);
    for savepoint in surplus(all, spared) {
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: savepoint.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(&savepoint.name_any(), &params).await {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Ok(())
}

/// Those that go, of all of a job.
fn surplus(all: Vec<Savepoint>, spared: Spared<'_>) -> Vec<Savepoint> {
    let is_own = |savepoint: &Savepoint| {
        let is_made_by_us = matches!(
            savepoint.spec.origin,
            Some(SavepointOrigin::Suspend | SavepointOrigin::RetainedCheckpoint)
        );
        let mut owners = savepoint.owner_references().iter();
        let goes_with_it = spared
            .owner
            .is_none_or(|uid| owners.any(|owner| owner.uid == uid));
        is_made_by_us && goes_with_it
    };
    let mut own: Vec<(Stored, Savepoint)> = all
        .into_iter()
        .filter(is_own)
        .filter_map(|savepoint| Some((Stored::of(&savepoint)?, savepoint)))
        .collect();
    own.sort_by_key(|(stored, _)| stored.completed);
    let newest = |origin: Option<SavepointOrigin>| {
        let mut newest_first = own.iter().rev();
        let newest =
            newest_first.find(|(stored, _)| origin.is_none_or(|origin| stored.origin == origin));
        newest.map(|(stored, _)| stored.name.clone())
    };
    let next = [newest(None), newest(Some(SavepointOrigin::Suspend))];
    let too_many = own.len().saturating_sub(KEPT);
    let is_spared = |stored: &Stored| {
        next.iter().flatten().any(|name| *name == stored.name)
            || spared.name == Some(stored.name.as_str())
            || spared.location == Some(stored.location.as_str())
    };
    own.into_iter()
        .take(too_many)
        .filter(|(stored, _)| !is_spared(stored))
        .map(|(_, savepoint)| savepoint)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn savepoint(name: &str, origin: &str, minute: usize, owner: &str) -> Savepoint {
        let owner: Value = json!([{"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob", "name": "j", "uid": owner}]);
        serde_json::from_value(
            json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Savepoint",
            "metadata": {"name": name, "ownerReferences": owner},
            "spec": {"sessionJobName": "j", "origin": origin},
            "status": {"state": "COMPLETED", "location": format!("s3://b/{name}"),
                "completionTime": format!("2026-11-21T10:{minute:02}:00Z")}}),
        )
        .unwrap()
    }

    #[test]
    fn the_oldest_go_but_for_what_a_start_may_restore_from_and_what_is_a_users() {
        let mut all = vec![
            savepoint("stopped", "SUSPEND", 0, "u"),
            savepoint("named", "RETAINED_CHECKPOINT", 1, "u"),
            savepoint("newest-known", "RETAINED_CHECKPOINT", 2, "u"),
            savepoint("by-hand", "USER_REQUEST", 3, "u"),
            savepoint("brought", "COPIED", 4, "u"),
            savepoint("restored-from-a-backup", "SUSPEND", 0, "another"),
        ];
        all.extend(
            (10..23)
                .map(|minute| savepoint(&format!("c{minute}"), "RETAINED_CHECKPOINT", minute, "u")),
        );
        let spared = Spared {
            name: Some("named"),
            location: Some("s3://b/newest-known"),
            owner: Some("u"),
        };
        let gone: Vec<String> = surplus(all, spared)
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        assert_eq!(gone, ["c10", "c11", "c12"]);
    }
}
