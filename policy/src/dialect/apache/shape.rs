//! Types and words of fields, as the CRDs have them. A real API server checks them too, but after the mutating call,
//! and `sluice check` has no API server.

use super::rules::SHAPE;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use serde_json::Value;

/// What a field takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Map,
    Text,
    Whole,
    Number,
    Flag,
    Texts,
    /// A list, whatever stands in it.
    List,
    /// A map whose values are texts.
    TextMap,
    /// A map whose values are texts or numbers.
    Quantities,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// Fields, parents before children.
pub(crate) type Table = &'static [(&'static str, Kind)];

pub(crate) static JOB: Table = &[
    ("spec.job", Kind::Map),
    ("spec.job.jarURI", Kind::Text),
    ("spec.job.parallelism", Kind::Whole),
    ("spec.job.entryClass", Kind::Text),
    ("spec.job.args", Kind::Texts),
    ("spec.job.state", Kind::Word(&["running", "suspended"])),
    ("spec.job.savepointTriggerNonce", Kind::Whole),
    ("spec.job.checkpointTriggerNonce", Kind::Whole),
    ("spec.job.savepointRedeployNonce", Kind::Whole),
    ("spec.job.autoscalerResetNonce", Kind::Whole),
    ("spec.job.initialSavepointPath", Kind::Text),
    (
        "spec.job.upgradeMode",
        Kind::Word(&["savepoint", "last-state", "stateless"]),
    ),
    ("spec.job.allowNonRestoredState", Kind::Flag),
    ("spec.restartNonce", Kind::Whole),
    ("spec.flinkConfiguration", Kind::Map),
];

pub(crate) static DEPLOYMENT: Table = &[
    ("spec.image", Kind::Text),
    ("spec.imagePullPolicy", Kind::Text),
    ("spec.serviceAccount", Kind::Text),
    (
        "spec.flinkVersion",
        Kind::Word(&[
            "v1_13", "v1_14", "v1_15", "v1_16", "v1_17", "v1_18", "v1_19", "v1_20", "v2_0", "v2_1",
            "v2_2", "v2_3", "v2_4",
        ]),
    ),
    ("spec.mode", Kind::Word(&["native", "standalone"])),
    ("spec.ingress", Kind::Map),
    ("spec.ingress.template", Kind::Text),
    ("spec.ingress.className", Kind::Text),
    ("spec.ingress.annotations", Kind::TextMap),
    ("spec.ingress.labels", Kind::TextMap),
    ("spec.ingress.tls", Kind::List),
    ("spec.podTemplate", Kind::Map),
    ("spec.logConfiguration", Kind::TextMap),
    ("spec.jobManager", Kind::Map),
    ("spec.jobManager.replicas", Kind::Whole),
    ("spec.jobManager.podTemplate", Kind::Map),
    ("spec.jobManager.resource", Kind::Map),
    ("spec.jobManager.resource.cpu", Kind::Number),
    ("spec.jobManager.resource.memory", Kind::Text),
    ("spec.jobManager.resource.ephemeralStorage", Kind::Text),
    ("spec.jobManager.resources", Kind::Map),
    ("spec.jobManager.resources.requests", Kind::Quantities),
    ("spec.jobManager.resources.limits", Kind::Quantities),
    ("spec.jobManager.resources.claims", Kind::List),
    ("spec.taskManager", Kind::Map),
    ("spec.taskManager.replicas", Kind::Whole),
    ("spec.taskManager.podTemplate", Kind::Map),
    ("spec.taskManager.resource", Kind::Map),
    ("spec.taskManager.resource.cpu", Kind::Number),
    ("spec.taskManager.resource.memory", Kind::Text),
    ("spec.taskManager.resource.ephemeralStorage", Kind::Text),
    ("spec.taskManager.resources", Kind::Map),
    ("spec.taskManager.resources.requests", Kind::Quantities),
    ("spec.taskManager.resources.limits", Kind::Quantities),
    ("spec.taskManager.resources.claims", Kind::List),
];

pub(crate) static SESSION_JOB: Table = &[("spec.deploymentName", Kind::Text)];

pub(crate) static SNAPSHOT: Table = &[
    ("spec.jobReference", Kind::Map),
    ("spec.jobReference.name", Kind::Text),
    (
        "spec.jobReference.kind",
        Kind::Word(&["FlinkDeployment", "FlinkSessionJob"]),
    ),
    ("spec.savepoint", Kind::Map),
    ("spec.savepoint.path", Kind::Text),
    (
        "spec.savepoint.formatType",
        Kind::Word(&["CANONICAL", "NATIVE", "UNKNOWN"]),
    ),
    ("spec.savepoint.disposeOnDelete", Kind::Flag),
    ("spec.savepoint.alreadyExists", Kind::Flag),
    ("spec.checkpoint", Kind::Map),
    ("spec.backoffLimit", Kind::Whole),
];

/// Checks that there is a spec and that the fields of the tables are what they should be; absent ones are. A field
/// below one of the wrong type is not looked at.
pub(crate) fn check(object: &Value, tables: &[Table], findings: &mut Findings) {
    match json::present(object, &["spec"]) {
        None => findings.refuse(
            &SHAPE,
            FieldPath::of("spec"),
            CauseReason::Required,
            "a spec is required",
        ),
        Some(spec) if !spec.is_object() => {
            wrong(findings, FieldPath::of("spec"), "a map", spec);
        }
        Some(_) => {
            for (field, kind) in tables.iter().copied().flatten() {
                let keys: Vec<&str> = field.split('.').collect();
                if let Some(value) = json::present(object, &keys) {
                    judge(field, *kind, value, findings);
                }
            }
        }
    }
}

/// Whether a value is what its field takes; the way of nearly every field, so nothing is made on it.
fn fits(kind: Kind, value: &Value) -> bool {
    let all_of_map =
        |fits: fn(&Value) -> bool| value.as_object().is_some_and(|map| map.values().all(fits));
    match kind {
        Kind::Map => value.is_object(),
        Kind::Text => value.is_string(),
        Kind::Whole => is_whole(value),
        Kind::Number => value.is_number(),
        Kind::Flag => value.is_boolean(),
        Kind::List => value.is_array(),
        Kind::Texts => value
            .as_array()
            .is_some_and(|list| list.iter().all(Value::is_string)),
        Kind::TextMap => all_of_map(Value::is_string),
        Kind::Quantities => all_of_map(is_quantity),
        Kind::Word(words) => value.as_str().is_some_and(|word| words.contains(&word)),
    }
}

fn is_quantity(value: &Value) -> bool {
    value.is_string() || value.is_number() || value.is_null()
}

fn judge(field: &str, kind: Kind, value: &Value, findings: &mut Findings) {
    if fits(kind, value) {
        return;
    }
    let path = FieldPath::of(field);
    match kind {
        Kind::Map => wrong(findings, path, "a map", value),
        Kind::Text => {
            wrong(findings, path, "a text (quote it)", value);
        }
        Kind::Whole => wrong(findings, path, "a whole number", value),
        Kind::Number => {
            wrong(
                findings,
                path,
                "a number such as 1 or 0.5, without quotes",
                value,
            );
        }
        Kind::Flag => wrong(findings, path, "true or false", value),
        Kind::List => wrong(findings, path, "a list", value),
        Kind::Texts => match value.as_array() {
            None => wrong(findings, path, "a list of texts", value),
            Some(list) => {
                for (position, item) in list.iter().enumerate().filter(|(_, v)| !v.is_string()) {
                    wrong(findings, path.index(position), "a text (quote it)", item);
                }
            }
        },
        Kind::TextMap => entries(
            &path,
            value,
            findings,
            Value::is_string,
            "a text (quote it)",
        ),
        Kind::Quantities => entries(
            &path,
            value,
            findings,
            is_quantity,
            "a quantity such as \"500m\" or \"2Gi\"",
        ),
        Kind::Word(words) => match value.as_str() {
            Some(_) => findings.refuse(
                &SHAPE,
                path,
                CauseReason::NotSupported,
                format!(
                    "{} is not known; write one of {}",
                    json::shown(value),
                    words.join(", ")
                ),
            ),
            None => wrong(
                findings,
                path,
                &format!("one of {}", words.join(", ")),
                value,
            ),
        },
    }
}

fn entries(
    path: &FieldPath,
    value: &Value,
    findings: &mut Findings,
    fits: impl Fn(&Value) -> bool,
    takes: &str,
) {
    match value.as_object() {
        None => wrong(findings, path.clone(), "a map", value),
        Some(map) => {
            for (key, item) in map.iter().filter(|(_, item)| !fits(item)) {
                wrong(findings, path.key(key), takes, item);
            }
        }
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64()
        || value.is_u64()
        || value
            .as_f64()
            .is_some_and(|n| n.fract() == 0.0 && n.abs() < 9e15)
}

fn wrong(findings: &mut Findings, path: FieldPath, takes: &str, value: &Value) {
    findings.refuse(
        &SHAPE,
        path,
        CauseReason::TypeInvalid,
        format!("must be {takes}, not {}", json::type_name(value)),
    );
}

/// A whole number, saturated to 64 bits; `None` if absent or something else.
pub(crate) fn whole(object: &Value, keys: &[&str]) -> Option<i64> {
    let value = json::present(object, keys)?;
    value
        .as_i64()
        .or_else(|| value.as_u64().map(|_| i64::MAX))
        .or_else(|| {
            let number = value.as_f64().filter(|_| is_whole(value))?;
            number.to_string().parse().ok()
        })
}
