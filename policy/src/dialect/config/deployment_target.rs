//! `DeploymentTarget`: which namespace pods run in. Another namespace than the target's own must agree to that.

use super::RULES;
use crate::charge::Workload;
use crate::dialect::own::at::At;
use crate::dialect::own::check::{self, Judge, Unknown};
use crate::dialect::own::name::is_dns_label;
use crate::dialect::own::rules::rule;
use crate::dialect::own::shape::{Field, Shape, field};
use crate::dialect::{Class, Dialect, Frozen, KindInfo, Scope};
use crate::finding::{Cause, CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::World;
use serde_json::{Value, json};
use sluice_api::names::labels::ACCEPT_FROM;

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "DeploymentTarget",
    plural: "deploymenttargets",
    singular: "deploymenttarget",
    scope: Scope::Namespaced,
    scale: None,
};

/// A target never changes.
static IMMUTABLE: &Rule = rule!(
    "config/target-changed",
    Forbidden,
    "The spec of a DeploymentTarget never changes",
    "Pods may run where it points; Sluice would lose them. Create another target and name that one.",
    "decision 10"
);

/// A namespace that does not take pods from another.
pub(crate) static NOT_ACCEPTED: &Rule = rule!(
    "config/target-not-accepted",
    Forbidden,
    "Pods run in another namespace only if that namespace accepts them",
    "Otherwise whoever may create a DeploymentTarget could make Sluice's controller create pods anywhere. Whoever \
     administers the other namespace labels it sluice.dev/accept-from=NAMESPACE (several names are separated by a dot).",
    "decision 10"
);

const SHAPE: &[Field] = &[field(
    "kubernetes",
    Shape::Fields(&[field("namespace", Shape::Text)]),
)];

/// The dialect of deployment targets.
#[derive(Clone, Copy, Debug)]
pub struct DeploymentTarget;

impl Dialect for DeploymentTarget {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn class(&self) -> Class {
        Class::Configuration
    }

    fn rules(&self) -> Vec<&'static Rule> {
        vec![RULES.field, IMMUTABLE, NOT_ACCEPTED]
    }

    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
        let base = FieldPath::of("spec");
        let at = At::Root(&base);
        let mut judge = Judge {
            rules: &RULES,
            unknown: Unknown::Refuse,
            findings,
        };
        let spec = json::present(review.object, &["spec"]).unwrap_or(&Value::Null);
        check::fields(spec, SHAPE, &at, &mut judge);
        let kubernetes = at.key("kubernetes");
        let place = kubernetes.key("namespace");
        match json::present(spec, &["kubernetes", "namespace"]) {
            None => judge.refuse(
                RULES.field,
                &place,
                CauseReason::Required,
                "names the namespace that pods run in",
            ),
            Some(Value::String(name)) if !is_dns_label(name) => {
                let message = format!(
                    "{} is no name of a namespace",
                    json::shown(&name.as_str().into())
                );
                judge.refuse(RULES.field, &place, CauseReason::Invalid, message);
            }
            Some(_) => {}
        }
        if let Some(old) = review.old()
            && old.get("spec").is_some_and(|old| old != spec)
        {
            judge.refuse(
                IMMUTABLE,
                &at,
                CauseReason::Forbidden,
                "never changes, as pods may run there; create another target and name that one",
            );
        }
        if let Some(warning) = not_accepted(review.object, review.namespace, world) {
            judge.findings.warn(format!("{}: {warning}", place.path()));
        }
    }

    fn workload(&self, _object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        Ok(Workload::FREE)
    }

    fn frozen(&self, _old: &Value) -> Option<Frozen> {
        None // its own rule says it better
    }

    fn facts(&self, object: &Value) -> Option<Value> {
        Some(json!({
            "metadata": {"uid": json::get(object, &["metadata", "uid"])},
            "spec": {"kubernetes": {"namespace": namespace(object)}},
        }))
    }
}

/// The namespace that a target points to.
fn namespace(target: &Value) -> Option<&str> {
    json::text(target, &["spec", "kubernetes", "namespace"])
}

/// Why pods of `source` may not run where the target points; `None` if they may, or if that is not known here.
pub(crate) fn not_accepted(target: &Value, source: &str, world: &dyn World) -> Option<String> {
    let destination = namespace(target)?;
    if destination == source {
        return None;
    }
    let labels = world.namespace_labels(destination)?;
    let accepted = json::text(&labels, &[ACCEPT_FROM]).unwrap_or_default();
    let accepts = accepted.split('.').any(|name| name == source);
    (!accepts).then(|| {
        format!(
            "namespace {destination} does not accept pods from {source}; add {source} to its \
             label {ACCEPT_FROM} (several names are separated by a dot)"
        )
    })
}
