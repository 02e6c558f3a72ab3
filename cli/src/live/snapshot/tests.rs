use super::super::answering::{Answering, refusal};
use super::*;
use serde_json::json;

/// How an API server words it, authorizing before it looks whether the kind is there.
fn forbidden(path: &str) -> (u16, Value) {
    let plural = path.rsplit('/').next().unwrap_or_default();
    refusal(
        403,
        &format!("{plural} is forbidden: User \"ann\" cannot list resource \"{plural}\""),
    )
}

fn list_of(names: &[&str]) -> (u16, Value) {
    let items: Vec<Value> = names
        .iter()
        .map(|name| json!({"metadata": {"name": name, "namespace": "team-a"}, "spec": {}}))
        .collect();
    (
        200,
        json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}),
    )
}

/// A team's own user: all that Sluice has in the team's namespace, and nothing else.
fn team(path: &str) -> (u16, Value) {
    match path.strip_prefix("/apis/sluice.dev/v1alpha1/namespaces/team-a/") {
        Some("sessionclusters") => list_of(&["analytics"]),
        Some(_) => list_of(&[]),
        None => forbidden(path),
    }
}

fn plurals(snapshot: &Snapshot) -> Vec<&str> {
    let unseen = snapshot.unseen.iter();
    unseen.map(|unseen| unseen.resource.as_str()).collect()
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    let objects = snapshot.objects.iter();
    objects
        .filter_map(|object| object["metadata"]["name"].as_str())
        .collect()
}

async fn said(server: &Answering, within: Within<'_>) -> String {
    match take(&server.client(), within, None).await {
        Err(Failure::Unreachable(error)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn other_peoples_kinds_that_may_not_be_listed_are_left_out() {
    let server = Answering::with(team);
    let snapshot = take(&server.client(), Within::One("team-a"), None)
        .await
        .unwrap();
    assert_eq!(names(&snapshot), ["analytics"]);
    let unseen = plurals(&snapshot);
    for left_out in [
        "flinkdeployments",
        "flinksessionjobs",
        "flinkapplications",
        "namespaces",
    ] {
        assert!(unseen.contains(&left_out), "{left_out}: {unseen:?}");
    }
    assert!(!unseen.contains(&"sessionclusters"), "{unseen:?}");
    assert_eq!(snapshot.unseen_quotas(), ["clustercpuquotas"]);
    assert_eq!(snapshot.narrowed, [""; 0]);
    assert!(snapshot.unseen[0].said.contains("is forbidden: User"));
}

#[tokio::test]
async fn without_the_quotas_of_the_namespace_itself_nothing_can_be_said() {
    let server = Answering::with(forbidden);
    assert_eq!(
        said(&server, Within::One("team-a")).await,
        "listing sessionclusters: sessionclusters is forbidden: User \"ann\" cannot list resource \"sessionclusters\". Ask for that \
         right, or use another context"
    );
    assert!(
        said(&server, Within::All)
            .await
            .starts_with("listing sessionclusters in all namespaces (-n NAMESPACE looks at one): ")
    );
}

#[tokio::test]
async fn where_all_namespaces_may_not_be_listed_those_that_are_concerned_are() {
    let server = Answering::with(team);
    let concerned = BTreeSet::from(["team-a".to_owned()]);
    let snapshot = take(&server.client(), Within::AllOrThese(&concerned), None)
        .await
        .unwrap();
    assert_eq!(names(&snapshot), ["analytics"]);
    assert!(snapshot.narrowed.contains(&"sessionclusters".to_owned()));
    assert!(snapshot.narrowed.contains(&"cpuquotas".to_owned()));
    let unseen = plurals(&snapshot);
    assert!(unseen.contains(&"flinkdeployments"), "{unseen:?}");
    // Somebody else's namespace is not guessed at.
    let concerned = BTreeSet::from(["team-a".to_owned(), "team-b".to_owned()]);
    let within = Within::AllOrThese(&concerned);
    assert!(said(&server, within).await.contains("is forbidden"));
}

#[tokio::test]
async fn kinds_that_are_not_installed_are_no_news() {
    let server = Answering::with(|path| {
        if path.starts_with("/apis/sluice.dev/") || path == "/api/v1/namespaces" {
            list_of(&[])
        } else {
            refusal(404, "the server could not find the requested resource")
        }
    });
    let snapshot = take(&server.client(), Within::All, None).await.unwrap();
    assert_eq!(snapshot.unseen, []);
}
