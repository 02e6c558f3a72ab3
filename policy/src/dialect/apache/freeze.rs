//! Deployed session FlinkDeployments are frozen: the operator would delete and recreate the cluster, losing its jobs.

use super::conf::flatten;
use super::recorded::Recorded;
use super::rules::FROZEN;
use super::shape::{self, Kind};
use super::{Mode, mode};
use crate::dialect::{Frozen, LeafKind};
use crate::finding::Findings;
use crate::immutability::parts::{Part, Same, Unlisted};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The annotation that lets the operator recreate the cluster.
pub(crate) const ALLOW_RECREATE: &str = "sluice.dev/allow-recreate";
const REPLICAS: &str = "spec.taskManager.replicas";
const NONCE: &str = "spec.restartNonce";

/// What is frozen of a stored object.
pub(crate) fn frozen(old: &Value) -> Option<Frozen> {
    let is_session = old.get("spec").is_some_and(Value::is_object)
        && json::present(old, &["spec", "job"]).is_none();
    let lifecycle = json::text(old, &["status", "lifecycleState"]);
    let deployed = Recorded::of(old) != Recorded::Nothing
        || !matches!(lifecycle, None | Some("CREATED" | "SUSPENDED" | "DELETED"));
    if !is_session || !deployed || lifecycle == Some("FAILED") {
        return None;
    }
    let configuration = FieldPath::of("spec.flinkConfiguration");
    let mut may_change = vec![FieldPath::of(NONCE)];
    let standalone = mode(old) == Mode::Standalone;
    if standalone {
        may_change.push(FieldPath::of(REPLICAS));
    }
    Some(Frozen {
        rule: &FROZEN,
        why: format!(
            "is deployed, and the operator would delete and recreate the cluster with all its jobs. {} may change.",
            if standalone {
                "Only taskManager.replicas, restartNonce and operator settings"
            } else {
                "Only restartNonce and operator settings"
            }
        ),
        way_out: format!(
            "Make another FlinkDeployment and move the jobs, or annotate this one {ALLOW_RECREATE}: \"true\" in the same \
             request to have it recreated."
        ),
        may_change,
        may_change_keys: [
            "kubernetes.operator",
            "job.autoscaler",
            "parallelism.default",
        ]
        .into_iter()
        .map(|prefix| (configuration.clone(), prefix))
        .collect(),
        override_annotation: Some((
            ALLOW_RECREATE,
            "will be deleted and recreated by the operator; its running jobs are lost unless high availability restores them",
        )),
    })
}

/// Warnings about changes that are let through but may cost jobs.
pub(crate) fn notices(review: &Review<'_>, findings: &mut Findings) {
    let Some(old) = review.old() else {
        return;
    };
    if frozen(old).is_none() {
        return;
    }
    let value = |object: &Value, keys: &[&str]| json::present(object, keys).cloned();
    let nonce = ["spec", "restartNonce"];
    let new_nonce = value(review.object, &nonce);
    if new_nonce.is_some() && new_nonce != value(old, &nonce) {
        findings.warn(format!(
            "{}: restartNonce has the operator recreate the session cluster; its running jobs are lost unless high \
             availability restores them",
            review.subject()
        ));
    }
    let replicas = ["spec", "taskManager", "replicas"];
    if mode(old) == Mode::Standalone && value(old, &replicas) != value(review.object, &replicas) {
        findings.warn(format!(
            "{}: Apache operators up to 1.16 recreate a standalone session cluster when taskManager.replicas changes; its \
             running jobs may be lost",
            review.subject()
        ));
    }
}

/// The object with its configuration flattened to texts under dotted keys, in which changes are sought.
pub(crate) fn comparable(object: &Value) -> Cow<'_, Value> {
    let Some(configuration) = json::get(object, &["spec", "flinkConfiguration"])
        .filter(|configuration| configuration.is_object())
    else {
        return Cow::Borrowed(object);
    };
    let mut flat = Map::new();
    flatten(configuration, Cow::Borrowed(""), &mut |key, value| {
        flat.insert(key.into_owned(), Value::String(value.into_owned()));
    });
    let mut copy = object.clone();
    if let Some(slot) = copy.pointer_mut("/spec/flinkConfiguration") {
        *slot = Value::Object(flat);
    }
    Cow::Owned(copy)
}

/// How fields compare: quantities by what they come to, pod templates as the operator does, to which an empty object is something.
pub(crate) fn leaf_kind(path: &FieldPath) -> LeafKind {
    let in_template = [
        "spec.podTemplate",
        "spec.jobManager.podTemplate",
        "spec.taskManager.podTemplate",
    ]
    .iter()
    .any(|template| path.is_within(&FieldPath::of(template)));
    if in_template {
        return LeafKind::Verbatim;
    }
    let in_resources = [
        "spec.jobManager.resource",
        "spec.taskManager.resource",
        "spec.jobManager.resources.requests",
        "spec.jobManager.resources.limits",
        "spec.taskManager.resources.requests",
        "spec.taskManager.resources.limits",
    ]
    .iter()
    .any(|parent| path.parent() == FieldPath::of(parent));
    match path.last_key() {
        Some("cpu") if in_resources => LeafKind::Cpu,
        Some("memory") if in_resources => LeafKind::Memory,
        _ => LeafKind::Exact,
    }
}

/// The same as data. A session cluster has no `spec.job`; fields of operators that are newer than the table compare exactly.
pub(crate) fn parts() -> Vec<Part> {
    let mut parts = below(&FieldPath::of("spec"));
    for (name, same) in [
        ("job", Same::Exact),
        ("flinkConfiguration", Same::Configuration),
    ] {
        parts.push(Part {
            name,
            alias: None,
            same,
        });
    }
    parts
}

fn below(parent: &FieldPath) -> Vec<Part> {
    shape::DEPLOYMENT
        .iter()
        .map(|(field, kind)| (*field, FieldPath::of(field), *kind))
        .filter(|(_, path, _)| path.parent() == *parent)
        .filter_map(|(field, path, kind)| {
            Some(Part {
                name: field.rsplit('.').next()?,
                alias: None,
                same: same(&path, kind),
            })
        })
        .collect()
}

fn same(path: &FieldPath, kind: Kind) -> Same {
    let inner = match kind {
        // Of these only the kinds that Flink knows are read as amounts.
        Kind::Quantities => ["cpu", "memory"]
            .map(|name| Part {
                name,
                alias: None,
                same: leaf(&path.key(name)),
            })
            .into(),
        _ => below(path),
    };
    if inner.is_empty() {
        leaf(path)
    } else {
        Same::Fields(inner, Unlisted::Exact)
    }
}

fn leaf(path: &FieldPath) -> Same {
    match leaf_kind(path) {
        LeafKind::Exact => Same::Exact,
        LeafKind::Verbatim => Same::Verbatim,
        LeafKind::Text => Same::Text,
        LeafKind::Cpu => Same::Cpu,
        LeafKind::Memory => Same::Memory,
    }
}
