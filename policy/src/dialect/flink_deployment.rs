//! FlinkDeployment of the Apache operator: an application with `spec.job`, a session cluster without.

use super::apache::{self, change, charge, confluent, deployment, facts, freeze, rules, section};
use super::{Dialect, Frozen, KindInfo, LeafKind, Scope};
use crate::charge::{Desired, Workload};
use crate::finding::{Cause, Findings};
use crate::immutability::parts::Part;
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::{Source, World};
use serde_json::Value;
use std::borrow::Cow;

/// The dialect.
pub struct FlinkDeployment;

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: apache::GROUP,
    version: "v1beta1",
    kind: "FlinkDeployment",
    plural: "flinkdeployments",
    singular: "flinkdeployment",
    scope: Scope::Namespaced,
    scale: Some(&["spec", "taskManager", "replicas"]),
};

impl Dialect for FlinkDeployment {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn rules(&self) -> Vec<&'static Rule> {
        rules::DEPLOYMENT.to_vec()
    }

    fn is_exempt(&self, object: &Value) -> bool {
        apache::is_canary(object)
    }

    fn section(&self) -> Option<&'static str> {
        Some("flinkDeployment")
    }

    fn validate_section(
        &self,
        settings: &Value,
        stored: Option<&Value>,
        at: &FieldPath,
        findings: &mut Findings,
    ) {
        section::CLUSTER.judge(&FlinkDeployment, settings, stored, at, findings);
    }

    fn takes_defaults(&self, object: &Value) -> bool {
        !confluent::made_by_cmf(object)
    }

    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
        deployment::judge(review, review.namespace, world, findings);
    }

    fn frozen(&self, old: &Value) -> Option<Frozen> {
        freeze::frozen(old)
    }

    fn spelled(&self) -> Option<FieldPath> {
        Some(section::configuration())
    }

    fn optional(&self) -> Option<FieldPath> {
        Some(FieldPath::of("spec.job"))
    }

    fn held(&self, old: &Value) -> Vec<FieldPath> {
        change::held(old)
    }

    fn exclusive(&self) -> Vec<Vec<FieldPath>> {
        section::exclusive()
    }

    fn levers(&self) -> Vec<FieldPath> {
        vec![FieldPath::of("spec.job.state")]
    }

    fn stops(&self, object: &Value) -> bool {
        charge::wish(object) != Desired::Running
    }

    fn comparable<'o>(&self, object: &'o Value) -> Cow<'o, Value> {
        freeze::comparable(object)
    }

    fn leaf_kind(&self, path: &FieldPath) -> LeafKind {
        freeze::leaf_kind(path)
    }

    fn parts(&self) -> Vec<Part> {
        freeze::parts()
    }

    fn notices(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        freeze::notices(review, findings);
    }

    fn sources(&self) -> &'static [Source] {
        &[Source::OperatorConfiguration]
    }

    fn workload(&self, object: &Value, world: &dyn World) -> Result<Workload, Vec<Cause>> {
        let operator = world.operator_configuration();
        let demand = charge::of_cluster(object, operator.as_deref());
        charge::workload(object, charge::Kind::Cluster, demand)
    }

    fn unread(&self, object: &Value, world: &dyn World) -> Option<Workload> {
        let operator = world.operator_configuration();
        let demand = charge::of_cluster(object, operator.as_deref());
        charge::unread(object, charge::Kind::Cluster, demand)
    }

    fn facts(&self, object: &Value) -> Option<Value> {
        Some(facts::of(object))
    }
}
