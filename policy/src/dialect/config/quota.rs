//! `CpuQuota` and `ClusterCpuQuota`, as far as writing them goes. How they are kept is the ledger's.

use super::{NAMESPACE_LIST, namespaces};
use crate::charge::Workload;
use crate::dialect::own::at::At;
use crate::dialect::own::check::{self, Judge, Unknown};
use crate::dialect::own::normalise;
use crate::dialect::own::shape::{Field, Shape, field};
use crate::dialect::{Class, Dialect, KindInfo, LeafKind, Scope};
use crate::draft::Draft;
use crate::finding::{Cause, CauseReason, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::quantity::MilliCpu;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::World;
use serde_json::Value;

/// Names of the kind for a namespace.
pub static KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "CpuQuota",
    plural: "cpuquotas",
    singular: "cpuquota",
    scope: Scope::Namespaced,
    scale: None,
};

/// Names of the kind for several namespaces.
pub static CLUSTER_KIND: KindInfo = KindInfo {
    group: "sluice.dev",
    version: "v1alpha1",
    kind: "ClusterCpuQuota",
    plural: "clustercpuquotas",
    singular: "clustercpuquota",
    scope: Scope::Cluster,
    scale: None,
};

const HARD: Shape = Shape::Fields(&[field("cpu", Shape::QuotaCpu)]);
const ON_GROWTH: Shape = Shape::Word(&["Warn", "Enforce", "Ignore"]);

const NAMESPACED: &[Field] = &[field("hard", HARD), field("onGrowth", ON_GROWTH)];
const CLUSTER: &[Field] = &[
    field("hard", HARD),
    field("onGrowth", ON_GROWTH),
    field("namespaces", NAMESPACE_LIST),
];

/// The dialect of both kinds.
#[derive(Clone, Copy, Debug)]
pub struct Quota(pub Scope);

impl Quota {
    fn table(self) -> &'static [Field] {
        match self.0 {
            Scope::Namespaced => NAMESPACED,
            Scope::Cluster => CLUSTER,
        }
    }
}

impl Dialect for Quota {
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
        let spellings = super::RULES.spellings;
        normalise::spec(draft, &base, self.table(), old, spellings, findings);
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
        check::fields(spec, self.table(), &at, &mut judge);
        match json::present(spec, &["hard", "cpu"]) {
            None => judge.refuse(
                super::RULES.field,
                &at.key("hard").key("cpu"),
                CauseReason::Required,
                "is the limit; write a number of CPUs such as 100 or \"2500m\"",
            ),
            Some(cpu) => below_usage(review.object, cpu, &mut judge),
        }
        if self.0 == Scope::Cluster {
            namespaces(spec, &at, &mut judge);
        }
    }

    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        crate::dialect::own::shape::leaf_kind(self.table(), path)
    }

    fn workload(&self, _object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        Ok(Workload::FREE)
    }
}

/// A limit below what is in use touches nothing that runs, and an admin should know that.
fn below_usage(quota: &Value, cpu: &Value, judge: &mut Judge<'_>) {
    let used = json::get(quota, &["status", "confirmedMilli"]).and_then(Value::as_u64);
    if let (Ok(hard), Some(used)) = (MilliCpu::parse(cpu), used.map(MilliCpu))
        && hard < used
    {
        judge.findings.warn(format!(
            "{used} CPU are in use, more than {hard}; nothing that runs is stopped, and nothing starts until usage falls"
        ));
    }
}
