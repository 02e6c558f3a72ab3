//! `DeploymentDefaults` and `ClusterDeploymentDefaults`: what an admin fills in where users say nothing.

use super::sections::{self, DEPLOYMENT, OTHERS};
use crate::charge::Workload;
use crate::dialect::own::at::At;
use crate::dialect::own::check::{self, Judge, Unknown};
use crate::dialect::own::tables;
use crate::dialect::{Class, Dialect, KindInfo, Scope, deployment};
use crate::draft::Draft;
use crate::finding::{Cause, CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::World;
use serde_json::Value;

/// Names of the kind for a namespace.
pub static KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "DeploymentDefaults",
    plural: "deploymentdefaults",
    singular: "deploymentdefaults",
    scope: Scope::Namespaced,
    scale: None,
};

/// Names of the kind for the whole cluster.
pub static CLUSTER_KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "ClusterDeploymentDefaults",
    plural: "clusterdeploymentdefaults",
    singular: "clusterdeploymentdefaults",
    scope: Scope::Cluster,
    scale: None,
};

/// The dialect of both kinds.
#[derive(Clone, Copy, Debug)]
pub struct Defaults(pub Scope);

impl Dialect for Defaults {
    fn kind(&self) -> &'static KindInfo {
        match self.0 {
            Scope::Namespaced => &KIND,
            Scope::Cluster => &CLUSTER_KIND,
        }
    }

    fn class(&self) -> Class {
        Class::Configuration
    }

    fn rules(&self) -> Vec<&'static Rule> {
        vec![super::RULES.field]
    }

    fn normalise(&self, draft: &mut Draft<'_>, old: Option<&Value>, findings: &mut Findings) {
        let base = FieldPath::of("spec");
        sections::normalise(DEPLOYMENT, draft, &base, old, findings);
        for section in OTHERS {
            sections::normalise(section, draft, &base.key(section), old, findings);
        }
    }

    fn validate(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        let base = FieldPath::of("spec");
        let at = At::Root(&base);
        let mut judge = Judge {
            rules: &super::RULES,
            unknown: Unknown::Refuse,
            findings,
        };
        let Some(spec) = check::spec(review.object, &at, &mut judge) else {
            return;
        };
        if spec.get(sections::NAMESPACES).is_some() {
            super::belongs_in_environment(&at.key(sections::NAMESPACES), &mut judge);
            return;
        }
        if let Some(mut own) = sections::of_deployments(spec) {
            let mut judge = Judge {
                // What is misspelt further down in a Deployment's settings breaks the same rule.
                rules: &deployment::RULES,
                unknown: Unknown::Refuse,
                findings,
            };
            if strangers(&own, &at, &mut judge) > 0
                && let Some(own) = own.to_mut().as_object_mut()
            {
                own.retain(|key, _| is_deployments(key));
            }
            sections::judge(DEPLOYMENT, &own, None, &at, findings);
        }
        for section in OTHERS {
            if let Some(settings) = spec.get(section) {
                let stored = review
                    .old()
                    .and_then(|old| json::present(old, &["spec", section]));
                sections::judge(section, settings, stored, &at.key(section), findings);
            }
        }
    }

    fn workload(&self, _object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        Ok(Workload::FREE)
    }
}

/// Whether a Deployment has this field.
fn is_deployments(key: &str) -> bool {
    tables::DEPLOYMENT
        .iter()
        .any(|field| field.name == key || field.alias == Some(key))
}

/// Refuses what neither a section nor a field of Deployment is, and counts it. What may stand here is more than what a Deployment has.
fn strangers(own: &Value, at: &At<'_>, judge: &mut Judge<'_>) -> usize {
    let fields = tables::DEPLOYMENT.iter().map(|field| field.name);
    let names: Vec<&str> = fields.chain(OTHERS).collect();
    let mut count = 0;
    for (key, value) in own.as_object().into_iter().flatten() {
        if value.is_null() || is_deployments(key) {
            continue;
        }
        count += 1;
        if key.eq_ignore_ascii_case(DEPLOYMENT) {
            judge.refuse(
                judge.rules.field,
                &at.key(key),
                CauseReason::NotSupported,
                "unknown field; only an Environment has this section. Here the fields of a Deployment (state, template and the others) \
                 stand directly in the spec: move what is in it one level up",
            );
        } else {
            check::unknown_field(key, &names, at, judge);
        }
    }
    count
}
