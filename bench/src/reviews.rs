//! Reviews of creates as the API server sends them to the two webhooks, for asking a webhook directly.

use crate::objects::{self, Kind};
use anyhow::{Context as _, bail};
use hyper::body::Bytes;
use serde_json::{Value, json};
use sluice_policy::world::EmptyWorld;
use sluice_policy::{Operation, Part, Review, dialect_for, mutate};

/// Whether anything would be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// A hold is taken.
    Real,
    /// It is decided alike and leaves no trace.
    Dry,
}

/// A FlinkDeployment to be created, before and after the mutating call.
pub struct Create {
    sent: Value,
    complete: Value,
}

impl Create {
    /// Of about so many bytes; a namespace without defaults.
    pub fn of_size(bytes: usize) -> anyhow::Result<Self> {
        let mut sent = objects::to_create(bytes);
        place(&mut sent, "bench", "bench")?;
        let kind = Kind::FlinkDeployment;
        let dialect = dialect_for(kind.group(), kind.name()).context("no dialect")?;
        let review = Review {
            dialect,
            operation: Operation::Create,
            part: Part::Whole,
            namespace: "bench",
            name: "bench",
            object: &sent,
        };
        let mutation = mutate(&review, &EmptyWorld);
        if let Some(refusal) = mutation.refusal {
            bail!("the object to measure is refused: {}", refusal.message);
        }
        let complete = mutation.object.into_owned();
        Ok(Self { sent, complete })
    }

    /// What `/mutate` gets.
    pub fn mutate(&self, namespace: &str, name: &str) -> anyhow::Result<Bytes> {
        review(&self.sent, None, namespace, name, Run::Dry)
    }

    /// What `/validate` gets.
    pub fn validate(&self, namespace: &str, name: &str, run: Run) -> anyhow::Result<Bytes> {
        review(&self.complete, None, namespace, name, run)
    }

    /// What both get when another image is asked for later: judged by all rules, and charged nothing.
    pub fn update(&self, namespace: &str, name: &str) -> anyhow::Result<Bytes> {
        let mut changed = self.complete.clone();
        let image = changed.pointer_mut("/spec/image").context("no image")?;
        *image = "flink:1.20-next".into();
        review(&changed, Some(&self.complete), namespace, name, Run::Real)
    }
}

fn place(object: &mut Value, namespace: &str, name: &str) -> anyhow::Result<()> {
    let metadata = object
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .context("no metadata")?;
    metadata.remove("generateName");
    for (key, value) in [
        ("name", name.to_owned()),
        ("namespace", namespace.to_owned()),
        ("uid", format!("uid-{namespace}-{name}")),
    ] {
        metadata.insert(key.to_owned(), value.into());
    }
    Ok(())
}

fn review(
    object: &Value,
    old: Option<&Value>,
    namespace: &str,
    name: &str,
    run: Run,
) -> anyhow::Result<Bytes> {
    let mut object = object.clone();
    place(&mut object, namespace, name)?;
    let mut old = old.cloned();
    if let Some(old) = &mut old {
        place(old, namespace, name)?;
    }
    let (operation, options) = match old {
        None => ("CREATE", "CreateOptions"),
        Some(_) => ("UPDATE", "UpdateOptions"),
    };
    let gvk = json!({"group": "flink.apache.org", "version": "v1beta1", "kind": "FlinkDeployment"});
    let gvr =
        json!({"group": "flink.apache.org", "version": "v1beta1", "resource": "flinkdeployments"});
    let review = json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": format!("{namespace}-{name}"), "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr,
            "name": name, "namespace": namespace, "operation": operation,
            "userInfo": {"username": "admin", "uid": "014fbff9a07c", "groups": ["system:authenticated", "my-admin-group"]},
            "object": object, "oldObject": old, "dryRun": run == Run::Dry,
            "options": {"kind": options, "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-create", "fieldValidation": "Strict"},
        },
    });
    Ok(Bytes::from(review.to_string()))
}
