//! `sluice replay`: recorded requests against settings.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)] // clippy.toml spares tests, but not their helper functions

mod support;

use serde_json::{Value, json};
use sluice_policy::dialect::{Class, dialects};
use std::path::Path;
use support::{Folder, code_unread, sluice};

const QUOTA: &str = "apiVersion: sluice.dev/v1alpha1\nkind: CpuQuota\nmetadata: {name: q, namespace: team-a}\nspec: {hard: {cpu: 5}, onGrowth: Enforce}\n";

fn cluster(name: &str, version: &str, managers: u32) -> Value {
    json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
        "spec": {"state": "RUNNING", "flinkVersion": version, "numberOfTaskManagers": managers}})
}

fn review(operation: &str, object: &Value, old: &Value) -> String {
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "u", "operation": operation,
        "namespace": "team-a", "userInfo": {"username": "anna"}, "object": object, "oldObject": old}})
    .to_string()
}

fn event(verb: &str, code: u32, name: &str, object: &Value) -> String {
    json!({"apiVersion": "audit.k8s.io/v1", "kind": "Event", "level": "RequestResponse", "stage": "ResponseComplete", "verb": verb,
        "user": {"username": "bert"}, "requestReceivedTimestamp": "2026-11-14T09:00:00.000000Z", "responseStatus": {"code": code},
        "objectRef": {"apiGroup": "sluice.dev", "resource": "sessionclusters", "namespace": "team-a", "name": name},
        "requestObject": object, "responseObject": object})
    .to_string()
}

#[test]
fn recorded_reviews_are_judged_in_their_order() {
    let folder = Folder::new();
    let policy = folder.file("policy.yaml", QUOTA);
    let lines = [
        review("CREATE", &cluster("a", "1.20", 3), &Value::Null),
        review("CREATE", &cluster("b", "1.20", 3), &Value::Null),
        review("UPDATE", &cluster("a", "2.1", 3), &cluster("a", "1.20", 3)),
        review("DELETE", &Value::Null, &cluster("a", "1.20", 3)),
        review("CREATE", &cluster("b", "1.20", 3), &Value::Null),
    ];
    let file = folder.file("reviews.jsonl", lines.join("\n"));
    let run = sluice(&["replay", "-f", &file, "--policy", &policy]).expect_code(1);
    for part in [
        "RULE                        NAMESPACE   REFUSED   FIRST",
        "immutable/session-cluster   team-a      1         SessionCluster a",
        "quota/cpu                   team-a      1         SessionCluster b",
        "starting sessioncluster \"b\" needs 4 CPU; 1 of 5 are free",
        "2 of 4 would have been refused; 0 passed over",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    let json = sluice(&["replay", "-f", &file, "--policy", &policy, "-o", "json"])
        .expect_code(1)
        .json();
    for format in ["table", "json"] {
        let unread = code_unread(&["replay", "-f", &file, "--policy", &policy, "-o", format]);
        assert_eq!(unread, 1, "{format}: a reader that stops early");
    }
    assert_eq!(json["judged"], 4);
    assert_eq!(json["refused"][0]["user"], "anna");
    assert_eq!(json["refused"][0]["rule"], "quota/cpu");
    // Without settings nothing but what is frozen is refused.
    let run = sluice(&["replay", "-f", &file]).expect_code(1);
    assert!(
        run.stdout.contains("1 of 4 would have been refused"),
        "{}",
        run.stdout
    );
}

#[test]
fn an_audit_log_tells_what_has_taken_place() {
    let folder = Folder::new();
    let policy = folder.file("policy.yaml", QUOTA);
    let lines = [
        event("create", 201, "a", &cluster("a", "1.20", 3)),
        event("create", 403, "x", &cluster("x", "1.20", 3)), // was refused at the time
        event("patch", 200, "a", &cluster("a", "1.20", 9)),
        event("patch", 200, "old", &cluster("old", "1.20", 1)), // as it was before is not told
        event("get", 200, "a", &cluster("a", "1.20", 3)),
        event("delete", 200, "a", &json!({"kind": "Status"})),
        event("delete", 200, "old", &json!({"kind": "Status"})),
        event("create", 201, "b", &cluster("b", "1.20", 4)),
    ];
    let file = folder.file("audit.log", lines.join("\n"));
    let run = sluice(&["replay", "-f", &file, "--policy", &policy]).expect_code(1);
    assert!(
        run.stdout.contains("2026-11-14T09:00:00.000000Z, bert:\n"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout
            .contains("growing sessioncluster \"a\" needs 6 more CPU; 1 of 5 are free"),
        "{}",
        run.stdout
    );
    assert!(
        run.stdout
            .ends_with("1 of 3 would have been refused; 3 passed over\n"),
        "{}",
        run.stdout
    );
    let short = folder.file("fine.log", &lines[0]);
    sluice(&["replay", "-f", &short, "--policy", &policy]).expect_code(0);
}

/// With these fields put over it.
fn with(line: &str, more: &Value) -> String {
    let mut value: Value = serde_json::from_str(line).unwrap();
    json_patch::merge(&mut value, more);
    value.to_string()
}

/// What `-o json` says of these lines, against a quota of 5 CPU.
fn replayed(lines: &[String]) -> Value {
    let folder = Folder::new();
    let policy = folder.file("policy.yaml", QUOTA);
    let file = folder.file("log", lines.join("\n"));
    sluice(&["replay", "-f", &file, "--policy", &policy, "-o", "json"]).json()
}

/// How many were judged, how many passed over, and the messages of those that would have been refused.
#[track_caller]
fn expect(lines: &[String], judged: u32, passed_over: u32, refused: &[&str]) {
    let found = replayed(lines);
    let messages: Vec<&str> = found["refused"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| refused["message"].as_str().unwrap())
        .collect();
    assert_eq!(messages.len(), refused.len(), "{messages:#?}");
    for (message, part) in messages.iter().zip(refused) {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(
        (&found["judged"], &found["passedOver"]),
        (&json!(judged), &json!(passed_over))
    );
}

#[test]
fn a_server_side_apply_creates() {
    let lines = [
        event("patch", 201, "a", &cluster("a", "1.20", 3)),
        event("patch", 201, "b", &cluster("b", "1.20", 3)),
        event("patch", 200, "a", &cluster("a", "1.20", 4)),
    ];
    expect(&lines, 3, 0, &["starting sessioncluster \"b\" needs 4 CPU"]);
}

#[test]
fn a_dry_run_has_not_taken_place() {
    let small = cluster("a", "1.20", 3);
    let in_query = json!({"requestURI": "/apis/sluice.dev/v1alpha1/namespaces/team-a/sessionclusters?fieldManager=x&dryRun=All"});
    let in_body = json!({"requestObject": {"kind": "DeleteOptions", "metadata": null, "spec": null, "dryRun": ["All"]}});
    let flag = json!({"request": {"dryRun": true}});
    let lines = [
        with(
            &event("create", 201, "x", &cluster("x", "1.20", 9)),
            &in_query,
        ),
        event("create", 201, "a", &small),
        with(&event("delete", 200, "a", &small), &in_query),
        with(&event("delete", 200, "a", &small), &in_body),
        with(
            &review("CREATE", &cluster("x", "1.20", 9), &Value::Null),
            &flag,
        ),
        with(&review("DELETE", &Value::Null, &small), &flag),
        event("create", 201, "b", &cluster("b", "1.20", 3)),
    ];
    expect(&lines, 2, 5, &["needs 4 CPU; 1 of 5 are free"]);
    let real = json!({"request": {"dryRun": false}});
    expect(
        &[with(&review("CREATE", &small, &Value::Null), &real)],
        1,
        0,
        &[],
    );
}

#[test]
fn what_would_not_have_been_created_does_not_come_back_with_its_next_update() {
    let (big, small) = (cluster("big", "1.20", 9), cluster("small", "1.20", 4));
    let finalized = with(
        &big.to_string(),
        &json!({"metadata": {"finalizers": ["flink"]}}),
    );
    let finalized: Value = serde_json::from_str(&finalized).unwrap();
    let of_audit = [
        event("create", 201, "big", &big),
        event("patch", 200, "big", &finalized),
        event("create", 201, "small", &small),
    ];
    expect(&of_audit, 2, 1, &["\"big\" needs 10 CPU; 5 of 5"]);
    let of_webhook = [
        review("CREATE", &big, &Value::Null),
        review("UPDATE", &finalized, &big),
        review("CREATE", &small, &Value::Null),
    ];
    expect(&of_webhook, 2, 1, &["\"big\" needs 10 CPU; 5 of 5"]);
    // Once it is admitted, or was deleted, its updates count as ever.
    let lines = [
        event("create", 201, "big", &big),
        event("delete", 200, "big", &big),
        event("patch", 200, "big", &cluster("big", "1.20", 1)),
        event("patch", 200, "big", &cluster("big", "1.20", 5)),
        event("create", 201, "big", &cluster("big", "1.20", 4)),
        event("patch", 200, "big", &cluster("big", "1.20", 6)),
    ];
    let growing = [
        "\"big\" needs 10 CPU",
        "needs 4 more CPU",
        "needs 2 more CPU",
    ];
    expect(&lines, 4, 1, &growing);
}

#[test]
fn a_refused_change_counts_once_and_leaves_the_object_as_it_was() {
    let state = |managers: u32, label: &str| {
        let mut object = cluster("a", "1.20", managers);
        object["metadata"]["labels"] = json!({"now": label});
        object
    };
    let of_audit = [
        event("create", 201, "a", &state(1, "")),
        event("patch", 200, "a", &state(9, "")),
        event("patch", 200, "a", &state(9, "labelled")),
        event("create", 201, "b", &cluster("b", "1.20", 2)),
        event("patch", 200, "a", &state(10, "")), // asks for more
        event("patch", 200, "a", &state(0, "")),
        event("create", 201, "c", &cluster("c", "1.20", 0)),
    ];
    let refused = ["needs 8 more CPU", "needs 9 more CPU"];
    expect(&of_audit, 6, 1, &refused);
    let of_webhook = [
        review("CREATE", &state(1, ""), &Value::Null),
        review("UPDATE", &state(9, ""), &state(1, "")),
        review("UPDATE", &state(9, "labelled"), &state(9, "")),
        review("CREATE", &cluster("b", "1.20", 2), &Value::Null),
        review("UPDATE", &state(10, ""), &state(9, "labelled")),
        review("UPDATE", &state(0, ""), &state(10, "")),
        review("CREATE", &cluster("c", "1.20", 0), &Value::Null),
    ];
    expect(&of_webhook, 6, 1, &refused);
}

#[test]
fn what_is_being_deleted_is_gone() {
    let mut leaving = cluster("a", "1.20", 4);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-11-14T09:00:00Z");
    leaving["status"] = json!({"numberOfTaskManagers": 4});
    let b = event("create", 201, "b", &cluster("b", "1.20", 4));
    let a = event("create", 201, "a", &cluster("a", "1.20", 4));
    let finalizer = event("patch", 200, "a", &leaving);
    let delete = event("delete", 200, "a", &leaving);
    expect(
        &[a.clone(), delete, finalizer.clone(), b.clone()],
        2,
        1,
        &[],
    );
    expect(&[a, finalizer, b], 2, 1, &[]);
}

#[test]
fn a_deletion_of_many_deletes_each_of_them() {
    let create = |name: &str| event("create", 201, name, &cluster(name, "1.20", 1));
    let all = |answer: &Value| {
        let mut line: Value =
            serde_json::from_str(&event("deletecollection", 200, "x", answer)).unwrap();
        line["objectRef"].as_object_mut().unwrap().remove("name");
        line.to_string()
    };
    let list = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionClusterList", "metadata": {},
        "items": [cluster("a", "1.20", 1), cluster("b", "1.20", 1)]});
    let big = event("create", 201, "big", &cluster("big", "1.20", 4));
    expect(
        &[create("a"), create("b"), all(&list), big.clone()],
        3,
        0,
        &[],
    );
    let status = json!({"kind": "Status", "status": "Success"});
    let refused = ["needs 5 CPU; 3 of 5 are free"];
    expect(&[create("a"), all(&status), big], 2, 1, &refused);
}

#[test]
fn the_audit_policy_of_the_page_records_all_that_is_charged() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/how-to/replay.md");
    let page = std::fs::read_to_string(page).unwrap();
    let start = page.find("apiVersion: audit.k8s.io/v1\n").unwrap();
    let block = page[start..].split("```").next().unwrap();
    let policy = sluice_cli::yaml::read::read(block).unwrap()[0].to_json();
    let rule = &policy["rules"][0];
    assert_eq!(
        rule["verbs"],
        json!(["create", "update", "patch", "delete", "deletecollection"])
    );
    for dialect in dialects() {
        let kind = dialect.kind();
        let is_recorded = rule["resources"].as_array().unwrap().iter().any(|entry| {
            let resources = entry["resources"].as_array().unwrap();
            entry["group"] == kind.group && resources.iter().any(|name| name == kind.plural)
        });
        assert!(
            is_recorded || dialect.class() == Class::Configuration,
            "{}/{}",
            kind.group,
            kind.plural
        );
    }
}

#[test]
fn what_is_no_recording_is_bad_input() {
    let folder = Folder::new();
    for (text, message) in [
        ("", "there is no request in it"),
        ("{", "line 1: this is no JSON"),
        (
            "\n{\"kind\": \"Pod\"}",
            "line 2: this is neither an AdmissionReview nor an Event",
        ),
        ("{\"kind\": \"AdmissionReview\"}", "request is missing"),
    ] {
        let file = folder.file("x", text);
        let run = sluice(&["replay", "-f", &file]).expect_code(2);
        assert!(run.stderr.contains(message), "{message}: {}", run.stderr);
    }
}
