//! Kinds that configure Sluice. Judged when they are written, never defaulted or charged: what is wrong in them would
//! otherwise show in everybody else's objects.

pub mod defaults;
pub mod deployment_target;
pub mod environment;
pub mod quota;
pub(crate) mod sections;

use super::dialect_for;
use super::own::at::At;
use super::own::check::Judge;
use super::own::name::is_dns_label;
use super::own::rules::{OwnRules, own_rules};
use super::own::shape::Shape;
use crate::draft::Draft;
use crate::finding::{CauseReason, Findings};
use crate::json;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Rules of the configuration itself; settings inside it break the rules of the kinds that they are for.
pub(crate) static RULES: OwnRules = own_rules!("config");

/// The spec of an object of a kind of settings as others are filled in from it: in form, also where it was stored while nobody brought it
/// into form. What the settings fill in is brought into form as well, and what is recorded of it would else not be what stands there.
pub fn settings(kind: &str, object: &Value) -> Value {
    let mut draft = Draft::new(object);
    if let Some(dialect) = dialect_for("sluice.dev", kind) {
        dialect.normalise(&mut draft, None, &mut Findings::default());
    }
    let spec = draft.object().get("spec");
    spec.cloned().unwrap_or_else(|| Value::Object(Map::new()))
}

/// Names of namespaces; judged by [`namespaces`].
pub(crate) const NAMESPACE_LIST: Shape = Shape::List(&Shape::Text);

/// Judges `namespaces`: at least one, each a name, or `*` alone (decision 11).
fn namespaces(spec: &Value, at: &At<'_>, judge: &mut Judge<'_>) {
    let place = at.key(sections::NAMESPACES);
    let list = spec
        .get(sections::NAMESPACES)
        .filter(|list| !list.is_null());
    let names = match list.map(Value::as_array) {
        None => &[],
        Some(Some(names)) => names.as_slice(),
        Some(None) => return, // told by the check of the field
    };
    if names.is_empty() {
        judge.refuse(
            RULES.field,
            &place,
            CauseReason::Required,
            "names the namespaces, at least one; ['*'] means all",
        );
    }
    let mut seen = HashSet::new();
    for (index, name) in names.iter().enumerate() {
        let Some(name) = name.as_str() else { continue };
        let fault = if name == "*" {
            (names.len() > 1)
                .then(|| "'*' means all and stands alone; remove it or the others".to_owned())
        } else if !is_dns_label(name) {
            Some(format!(
                "{} is no name of a namespace; write a-z, 0-9 and '-', or '*' alone for all",
                json::shown(&name.into())
            ))
        } else {
            (!seen.insert(name)).then(|| format!("{name} stands here twice; keep one"))
        };
        if let Some(fault) = fault {
            judge.refuse(
                RULES.field,
                &place.index(index),
                CauseReason::Invalid,
                fault,
            );
        }
    }
}

/// Defaults hold for a namespace or for all; what names namespaces is an Environment.
fn belongs_in_environment(at: &At<'_>, judge: &mut Judge<'_>) {
    judge.refuse(
        RULES.field,
        at,
        CauseReason::NotSupported,
        "unknown field; defaults hold for their own namespace, or for all as ClusterDeploymentDefaults. Settings for some \
         namespaces are an Environment",
    );
}

#[cfg(test)]
mod tests;
