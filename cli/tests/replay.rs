//! `sluice replay`: recorded requests against settings.
#![allow(missing_docs, clippy::indexing_slicing)] // in tests, as elsewhere

mod support;

use serde_json::{Value, json};
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
