//! Where each kind's settings stand in the two shapes of settings, and how they are judged: an Environment has a
//! section for every kind; a DeploymentDefaults has Deployment's fields at the top, as Ververica Platform has them, and
//! a section for the others.

use super::RULES;
use crate::dialect::own::at::At;
use crate::dialect::own::check::{Judge, Unknown};
use crate::dialect::own::normalise;
use crate::dialect::own::rules::OwnRules;
use crate::dialect::own::shape::Field;
use crate::dialect::own::tables;
use crate::dialect::{deployment, dialects, session_cluster, session_job};
use crate::draft::Draft;
use crate::finding::{CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use serde_json::Value;
use std::borrow::Cow;

/// Sections beside Deployment's.
pub(crate) const OTHERS: [&str; 5] = [
    "sessionCluster",
    "sessionJob",
    "flinkDeployment",
    "flinkSessionJob",
    "flinkApplication",
];

/// Deployment's section, where it has one.
pub(crate) const DEPLOYMENT: &str = "deployment";

/// Only an Environment names namespaces.
pub(crate) const NAMESPACES: &str = "namespaces";

/// Deployment's part of either shape.
pub(crate) fn of_deployments(settings: &Value) -> Option<Cow<'_, Value>> {
    let map = settings.as_object()?;
    if map.contains_key(NAMESPACES) {
        return settings.get(DEPLOYMENT).map(Cow::Borrowed);
    }
    let own = map
        .iter()
        .filter(|(key, _)| !OTHERS.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Some(Cow::Owned(Value::Object(own)))
}

/// How the part of one of Sluice's own kinds is read and judged.
struct Part {
    table: &'static [Field],
    rules: &'static OwnRules,
    judge: fn(&Value, &At<'_>, &mut Judge<'_>),
}

fn own_part(section: &str) -> Option<Part> {
    match section {
        DEPLOYMENT => Some(Part {
            table: tables::DEPLOYMENT,
            rules: &deployment::RULES,
            judge: deployment::part,
        }),
        "sessionCluster" => Some(Part {
            table: tables::SESSION_CLUSTER,
            rules: &session_cluster::RULES,
            judge: session_cluster::part,
        }),
        "sessionJob" => Some(Part {
            table: tables::SESSION_JOB,
            rules: &session_job::RULES,
            judge: session_job::part,
        }),
        _ => None,
    }
}

/// Brings the settings of a section at `base` into canonical form.
pub(crate) fn normalise(
    section: &str,
    draft: &mut Draft<'_>,
    base: &FieldPath,
    old: Option<&Value>,
    findings: &mut Findings,
) {
    if let Some(part) = own_part(section) {
        normalise::spec(draft, base, part.table, old, part.rules.spellings, findings);
    }
}

/// Judges the settings of a section by the rules of its kind: as far as they can be judged without the rest of a spec. `stored`: those
/// that stood there before.
pub(crate) fn judge(
    section: &str,
    settings: &Value,
    stored: Option<&Value>,
    at: &At<'_>,
    findings: &mut Findings,
) {
    if settings.is_null() {
        return;
    }
    if !settings.is_object() {
        findings.refuse(
            RULES.field,
            at.path(),
            CauseReason::TypeInvalid,
            format!(
                "must be a map, not {}; write any part of that kind's spec",
                json::type_name(settings)
            ),
        );
        return;
    }
    let Some(part) = own_part(section) else {
        let theirs = dialects()
            .iter()
            .find(|dialect| dialect.section() == Some(section));
        if let Some(dialect) = theirs {
            dialect.validate_section(settings, stored, &at.path(), findings);
        }
        return;
    };
    let mut judge = Judge {
        rules: part.rules,
        unknown: Unknown::Refuse,
        findings,
    };
    (part.judge)(settings, at, &mut judge);
}
