//! `Environment`: settings of an admin that win over what users write.

use super::sections::{self, DEPLOYMENT, NAMESPACES, OTHERS};
use super::{NAMESPACE_LIST, namespaces};
use crate::charge::Workload;
use crate::dialect::own::at::At;
use crate::dialect::own::check::{self, Judge, Unknown};
use crate::dialect::own::rules::rule;
use crate::dialect::own::shape::{Field, Shape, field};
use crate::dialect::{Class, Dialect, KindInfo, Scope};
use crate::draft::Draft;
use crate::finding::{Cause, CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::World;
use serde_json::Value;

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "Environment",
    plural: "environments",
    singular: "environment",
    scope: Scope::Cluster,
    scale: None,
};

static STATE: &Rule = rule!(
    "config/environment-state",
    Forbidden,
    "An Environment does not decide what runs",
    "An Environment wins over what users write. With a state in it nobody could start or stop anything any more, and with \
     a number of TaskManagers nobody could scale. Put such values into DeploymentDefaults, where they are only a default.",
    "architecture.md, Never stop what runs and Always let go"
);

/// The fields by which users start, stop and scale, below each section.
const LEVERS: [(&str, &[&str]); 10] = [
    (DEPLOYMENT, &["state"]),
    (DEPLOYMENT, &["template", "spec", "numberOfTaskManagers"]),
    ("sessionCluster", &["state"]),
    ("sessionCluster", &["numberOfTaskManagers"]),
    ("sessionJob", &["state"]),
    ("flinkDeployment", &["job", "state"]),
    ("flinkDeployment", &["taskManager", "replicas"]),
    ("flinkSessionJob", &["job", "state"]),
    ("flinkApplication", &["job", "state"]),
    ("flinkApplication", &["taskManager", "replicas"]),
];

const SHAPE: &[Field] = &[
    field(NAMESPACES, NAMESPACE_LIST),
    field(DEPLOYMENT, Shape::Anything),
    field("sessionCluster", Shape::Anything),
    field("sessionJob", Shape::Anything),
    field("flinkDeployment", Shape::Anything),
    field("flinkSessionJob", Shape::Anything),
    field("flinkApplication", Shape::Anything),
];

/// The dialect of Environments.
#[derive(Clone, Copy, Debug)]
pub struct Environment;

impl Dialect for Environment {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn class(&self) -> Class {
        Class::Configuration
    }

    fn rules(&self) -> Vec<&'static Rule> {
        vec![super::RULES.field, STATE]
    }

    fn normalise(&self, draft: &mut Draft<'_>, old: Option<&Value>, findings: &mut Findings) {
        let base = FieldPath::of("spec");
        for section in std::iter::once(DEPLOYMENT).chain(OTHERS) {
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
        check::fields(spec, SHAPE, &at, &mut judge);
        namespaces(spec, &at, &mut judge);
        for (section, lever) in LEVERS {
            if let Some(settings) = spec.get(section)
                && json::present(settings, lever).is_some()
            {
                let path = lever
                    .iter()
                    .fold(base.key(section), |path, key| path.key(key));
                judge.findings.refuse(
                    STATE,
                    path,
                    CauseReason::Forbidden,
                    "an Environment wins over what users write, so nobody could start, stop or scale any more; put it into \
                     DeploymentDefaults",
                );
            }
        }
        for section in std::iter::once(DEPLOYMENT).chain(OTHERS) {
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
