//! Parts of other people's specs that an admin fills in (`DeploymentDefaults`) or imposes (`Environment`): judged when
//! they are written, with the field's path, since what is wrong in them would show in everybody else's objects.
//!
//! The rules are those of the whole object. Of what they find, only that counts which no other part of a spec could mend.

use super::resources::Role;
use super::rules::{
    CONFIGURATION, CPU, EXCLUDED_PERIODS, FORBIDDEN_KEY, INGRESS, JAR_URI, JOB_MANAGER_REPLICAS,
    LINES, LOG_CONFIGURATION, MEMORY, METRICS_WINDOW, NAME, PARALLELISM, RESOURCES, SHAPE,
    TASK_MANAGER_REPLICAS, VERSION,
};
use super::shape::{self, Kind, Table};
use crate::dialect::Dialect;
use crate::finding::{Cause, CauseReason, Findings};
use crate::json;
use crate::path::{FieldPath, Step};
use crate::review::{Operation, Part, Review};
use crate::rule::Rule;
use crate::world::EmptyWorld;
use serde_json::{Value, json};

/// Fields of a kind's spec.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fields {
    /// All of them are known.
    Closed(&'static [Table]),
    /// The schema lets others in.
    Open,
}

/// A FlinkDeployment's.
pub(crate) const CLUSTER: Fields = Fields::Closed(&[shape::DEPLOYMENT, shape::JOB]);
/// A FlinkSessionJob's.
pub(crate) const SESSION_JOB: Fields = Fields::Closed(&[shape::SESSION_JOB, shape::JOB]);
/// Those of a schema that is not closed.
pub(crate) const OPEN: Fields = Fields::Open;

/// The map in which `a: {b: 1}` and `a.b: 1` mean the same.
pub(crate) fn configuration() -> FieldPath {
    FieldPath::of("spec.flinkConfiguration")
}

/// The two forms of a role's resources: the new one hides the old altogether, so a default in one form would replace what the user
/// wrote in the other.
pub(crate) fn exclusive() -> Vec<Vec<FieldPath>> {
    let mut groups = Vec::new();
    for role in [Role::JobManager, Role::TaskManager] {
        for of_new in ["requests", "limits"] {
            let new = role.field().key("resources").key(of_new);
            groups.push(vec![role.field().key("resource"), new]);
        }
    }
    groups
}

/// Rules about one value by itself.
const LOCAL: [&Rule; 16] = [
    &SHAPE,
    &CONFIGURATION,
    &LINES,
    &CPU,
    &NAME,
    &VERSION,
    &FORBIDDEN_KEY,
    &LOG_CONFIGURATION,
    &INGRESS,
    &MEMORY,
    &RESOURCES,
    &PARALLELISM,
    &TASK_MANAGER_REPLICAS,
    &EXCLUDED_PERIODS,
    &METRICS_WINDOW,
    &JAR_URI,
];

impl Fields {
    /// Judges `settings`, a part of the dialect's spec that stands at `at`, and in place of which `stored` stood before.
    pub(crate) fn judge(
        self,
        dialect: &'static dyn Dialect,
        settings: &Value,
        stored: Option<&Value>,
        at: &FieldPath,
        findings: &mut Findings,
    ) {
        if let Fields::Closed(tables) = self {
            unknown(settings, at, "spec", tables, findings);
        }
        let whole = |spec: &Value| json!({"metadata": {"name": "settings"}, "spec": spec});
        let (object, old) = (whole(settings), stored.map(whole));
        let mut all = Findings::default();
        let review = Review {
            dialect,
            operation: old
                .as_ref()
                .map_or(Operation::Create, |old| Operation::Update { old }),
            part: Part::Whole,
            namespace: "",
            name: "settings",
            object: &object,
        };
        dialect.validate(&review, &EmptyWorld, &mut all);
        let causes = all
            .causes
            .into_iter()
            .filter(|cause| counts(cause, &object));
        findings.causes.extend(causes.map(|cause| Cause {
            field: moved(&cause.field, at),
            ..cause
        }));
    }
}

/// Whether a cause is about a value that stands there, and about nothing else.
fn counts(cause: &Cause, object: &Value) -> bool {
    let stands_there = cause.field.is_below("spec")
        && (cause.field.get(object).is_some()
            // A key of the configuration may be spelled as a path of nested maps.
            || cause.field.is_within(&FieldPath::of("spec.flinkConfiguration"))
                && json::present(object, &["spec", "flinkConfiguration"]).is_some());
    let is_local = LOCAL.iter().any(|rule| rule.id == cause.rule.id)
        // High availability may be switched on elsewhere; fewer than one is wrong whatever else is said.
        || (cause.rule.id == JOB_MANAGER_REPLICAS.id
            && shape::whole(object, &["spec", "jobManager", "replicas"]).is_some_and(|n| n < 1));
    stands_there && is_local && cause.reason != CauseReason::Required
}

/// `spec.x` as it stands below `at`.
fn moved(field: &FieldPath, at: &FieldPath) -> FieldPath {
    field
        .steps()
        .iter()
        .skip(1)
        .fold(at.clone(), |path, step| match step {
            Step::Key(key) => path.key(key),
            Step::Index(index) => path.index(*index),
        })
}

/// Refuses fields that the tables do not have. `prefix` is where `value` stands in the tables.
fn unknown(value: &Value, at: &FieldPath, prefix: &str, tables: &[Table], findings: &mut Findings) {
    let known: Vec<(&str, Kind)> = tables
        .iter()
        .copied()
        .flatten()
        .filter_map(|(field, kind)| {
            let name = field.strip_prefix(prefix)?.strip_prefix('.')?;
            (!name.contains('.')).then_some((name, *kind))
        })
        .collect();
    let Some(map) = value.as_object().filter(|_| !known.is_empty()) else {
        return; // a map of the user's own keys, or of a type that is told elsewhere
    };
    for (name, value) in map {
        if known.iter().any(|(field, _)| field == name) {
            unknown(
                value,
                &at.key(name),
                &format!("{prefix}.{name}"),
                tables,
                findings,
            );
            continue;
        }
        let near = known
            .iter()
            .find(|(field, _)| field.eq_ignore_ascii_case(name));
        let advice = near.map_or_else(
            || {
                let names: Vec<&str> = known.iter().map(|(field, _)| *field).collect();
                format!("the fields here are {}", names.join(", "))
            },
            |(field, _)| format!("write {field}"),
        );
        findings.refuse(
            &SHAPE,
            at.key(name),
            CauseReason::NotSupported,
            format!("unknown field; {advice}"),
        );
    }
}
