//! What `sluice export vap` prints, on a real API server with no webhook at all: a table of changes, each judged by policy too. The
//! API server never refuses what policy admits; where it admits what policy refuses, the table says so.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

mod apache;
mod kubectl;
mod own;

use anyhow::{Result, ensure};
use kubectl::Kubectl;
use serde_json::{Value, json};
use sluice_policy::world::{EmptyWorld, Layer, Lookup};
use sluice_policy::{
    KindInfo, Mode, Modes, Operation, Part, Review, World, dialect_for, mutate, validate,
};
use sluice_tests::{Stage, eventually, fixtures, sluice_binary};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// From the creation of a policy until it counts; a second is usual.
const SOON: Duration = Duration::from_mins(1);

const OWN: &str = "[immutable/session-cluster]";
const WAY_OUT: &str =
    "Set spec.state to STOPPED, wait until status.state is STOPPED, then apply again.";

/// A namespace whose immutability has this mode.
struct Judged(Mode);

impl World for Judged {
    fn modes(&self, _: &str) -> Modes {
        Modes {
            immutability: self.0,
            ..Modes::default()
        }
    }
    fn defaults(&self, _: &str) -> Vec<Layer> {
        Vec::new()
    }
    fn environments(&self, _: &str) -> Vec<Layer> {
        Vec::new()
    }
    fn lookup(&self, kind: &KindInfo, namespace: &str, name: &str) -> Lookup {
        EmptyWorld.lookup(kind, namespace, name)
    }
    fn lookup_uid(&self, kind: &KindInfo, namespace: &str, uid: &str) -> Lookup {
        EmptyWorld.lookup_uid(kind, namespace, uid)
    }
    fn namespace_labels(&self, _: &str) -> Option<Arc<Value>> {
        None
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Want {
    /// Both refuse, by the rule of what is frozen; the message names these fields.
    Refused(&'static str),
    /// Both admit, the API server without a warning.
    Admitted,
    /// Both admit and warn.
    Warned,
    /// The mutating webhook would have put back what is left out; without it both refuse, policy as incomplete.
    Unfilled(&'static str),
    /// Policy refuses it by this rule, and the API server cannot tell.
    Missed(&'static str),
}

#[derive(Clone)]
struct Row {
    namespace: &'static str,
    what: &'static str,
    patch: Value,
    want: Want,
}

fn row(what: &'static str, patch: Value, want: Want) -> Row {
    Row {
        namespace: "team",
        what,
        patch,
        want,
    }
}

/// A merge patch, as RFC 7396 says.
fn merged(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merged(&mut target[key], value);
        }
    }
}

fn review<'a>(old: &'a Value, object: &'a Value) -> Review<'a> {
    let text = |pointer: &str| old.pointer(pointer).and_then(Value::as_str).unwrap();
    Review {
        dialect: dialect_for(
            text("/apiVersion").split('/').next().unwrap(),
            text("/kind"),
        )
        .unwrap(),
        operation: Operation::Update { old },
        part: Part::Whole,
        namespace: text("/metadata/namespace"),
        name: text("/metadata/name"),
        object,
    }
}

/// What both webhooks together make of it.
struct Decided {
    /// The refusing message.
    refusal: Option<String>,
    warnings: Vec<String>,
    /// The object as it would be stored.
    object: Value,
}

fn by_policy(old: &Value, patch: &Value, mode: Mode) -> Decided {
    let mut new = old.clone();
    merged(&mut new, patch);
    let world = Judged(mode);
    let mutation = mutate(&review(old, &new), &world);
    if let Some(refusal) = mutation.refusal {
        return Decided {
            refusal: Some(refusal.message),
            warnings: Vec::new(),
            object: new,
        };
    }
    let judgement = validate(&review(old, &mutation.object), &world);
    Decided {
        refusal: judgement.refusal.map(|refusal| refusal.message),
        warnings: judgement.warnings,
        object: mutation.object.into_owned(),
    }
}

fn judge(kubectl: &Kubectl, row: &Row) -> Result<()> {
    let mode = match row.namespace {
        "lax" => Mode::Warn,
        "free" => Mode::Off,
        _ => Mode::Enforce,
    };
    let old = kubectl.get(row);
    let Decided {
        refusal,
        warnings,
        object,
    } = by_policy(&old, &row.patch, mode);
    let said = kubectl.change(row);
    let context = format!(
        "{}/{} {}: wanted {:?}\npolicy: {refusal:?} {warnings:?}\nAPI server: {} {}{}",
        row.namespace, row.what, row.patch, row.want, said.code, said.out, said.err
    );
    let warned = said
        .err
        .contains("Warning: Validation failed for ValidatingAdmissionPolicy");
    if refusal.is_none() {
        // What the mutating webhook makes of it passes too: with both webhooks there, nobody notices the policies.
        let replace = ["replace", "--dry-run=server", "-f", "-"];
        let said = kubectl.run(&replace, &object.to_string());
        ensure!(said.code == 0, "as stored: {}\n{context}", said.err);
    }
    match row.want {
        Want::Refused(fields) => {
            let Some(refusal) = refusal else {
                anyhow::bail!("policy admits\n{context}");
            };
            // The sentences around the fields are the webhook's own.
            let (_, rule) = refusal.rsplit_once(" [").unwrap();
            let (why, _) = refusal.split_once(" may change.").unwrap();
            ensure!(rule.starts_with("immutable/"), "{context}");
            ensure!(
                said.code == 1 && said.err.contains("(Forbidden)"),
                "{context}"
            );
            ensure!(
                said.err
                    .contains(&format!("{why} may change. Changed: {fields}. ")),
                "{context}"
            );
            let way_out = refusal.rsplit_once(". ").unwrap().1;
            ensure!(said.err.trim_end().ends_with(way_out), "{context}");
        }
        Want::Admitted => {
            ensure!(refusal.is_none(), "{context}");
            ensure!(said.code == 0 && !warned, "{context}");
        }
        Want::Warned => {
            ensure!(refusal.is_none(), "{context}");
            ensure!(
                warnings
                    .iter()
                    .any(|warning| warning.contains("would be refused")),
                "{context}"
            );
            ensure!(
                said.code == 0 && warned && said.err.contains("[immutable/"),
                "{context}"
            );
        }
        Want::Unfilled(fields) => {
            ensure!(refusal.is_none(), "{context}");
            let mut raw = old.clone();
            merged(&mut raw, &row.patch);
            let unfilled = validate(&review(&old, &raw), &Judged(mode)).refusal;
            let rule = unfilled.map(|refusal| refusal.rule.id);
            ensure!(rule == Some("defaults/incomplete"), "{rule:?}\n{context}");
            ensure!(
                said.code == 1 && said.err.contains(&format!("Changed: {fields}. ")),
                "{context}"
            );
        }
        Want::Missed(rule) => {
            let Some(refusal) = refusal else {
                anyhow::bail!("policy admits\n{context}");
            };
            ensure!(refusal.contains(rule), "{context}");
            ensure!(said.code == 0 && !warned, "{context}");
        }
    }
    Ok(())
}

fn prepare(kubectl: &Kubectl, exported: &str) {
    let crds = fixtures()
        .map(|fixtures| fixtures.path("apache/crds/flinkdeployments.flink.apache.org-v1.yml"));
    for (namespace, label) in [
        ("team", "a=b"),
        ("lax", "sluice.dev/immutability=warn"),
        ("free", "sluice.dev/immutability=off"),
        ("sluice-system", "sluice.dev/immutability=enforce"),
    ] {
        kubectl.must(&["create", "namespace", namespace], "");
        kubectl.must(&["label", "namespace", namespace, label], "");
    }
    if let Some(crds) = &crds {
        kubectl.must(
            &["apply", "--server-side", "-f", &crds.display().to_string()],
            "",
        );
    }
    let mut objects = own::objects();
    if crds.is_some() {
        // A kind is served a moment after it is made.
        eventually(SOON, || {
            let said = kubectl.run(&["get", "flinkdeployments", "-A"], "");
            ensure!(said.code == 0, "{}", said.err);
            Ok(())
        })
        .unwrap();
        objects.extend(apache::objects());
    }
    for object in &objects {
        kubectl.store(object);
    }
    kubectl.must(&["apply", "--server-side", "-f", "-"], exported);
}

#[test]
fn the_api_server_judges_as_policy_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let Some(stage) = runtime.block_on(Stage::set()).unwrap() else {
        return;
    };
    let exported = Command::new(sluice_binary().unwrap())
        .args(["export", "vap"])
        .output()
        .unwrap();
    assert!(exported.status.success());
    let kubectl = Kubectl {
        binary: stage.cluster.kubectl(),
        kubeconfig: stage.cluster.kubeconfig(),
    };
    prepare(&kubectl, &String::from_utf8(exported.stdout).unwrap());
    let mut rows = own::rows();
    if fixtures().is_some() {
        rows.extend(apache::rows());
    }
    // Each policy counts from some moment on, and each binding.
    for row in &rows {
        if matches!(row.want, Want::Refused(_) | Want::Warned) {
            let first = rows.iter().find(|other| {
                other.namespace == row.namespace
                    && other.what.split('/').next() == row.what.split('/').next()
                    && matches!(other.want, Want::Refused(_) | Want::Warned)
            });
            if first.is_some_and(|first| std::ptr::eq(first, row)) {
                eventually(SOON, || judge(&kubectl, row)).unwrap();
            }
        }
    }
    let faults: Vec<String> = rows
        .iter()
        .filter_map(|row| judge(&kubectl, row).err())
        .map(|error| format!("{error:#}"))
        .collect();
    assert!(
        faults.is_empty(),
        "{} of {}:\n\n{}",
        faults.len(),
        rows.len(),
        faults.join("\n\n")
    );

    // The whole message, and the namespace of Sluice itself.
    let said = kubectl.change(&rows[0]).err;
    let message = format!(
        "sessioncluster \"running\" is RUNNING: only spec.state and spec.numberOfTaskManagers may change. Changed: \
         spec.flinkVersion. {WAY_OUT} {OWN}"
    );
    assert!(said.contains(&message), "{said}");
    let excluded = Row {
        namespace: "sluice-system",
        ..row("fsc/running", rows[0].patch.clone(), Want::Admitted)
    };
    assert_eq!(kubectl.change(&excluded).code, 0);
    runtime.block_on(stage.cluster.stop()).unwrap();
}
