//! FlinkSessionJob of the Apache operator: a job on a session FlinkDeployment.

use super::apache::{self, charge, freeze, rules, section, session_job};
use super::{Dialect, KindInfo, Scope};
use crate::charge::{Desired, Workload};
use crate::finding::{Cause, Findings};
use crate::json;
use crate::path::FieldPath;
use crate::review::Review;
use crate::rule::Rule;
use crate::world::{Lookup, Source, World};
use serde_json::Value;
use std::borrow::Cow;

/// The dialect.
pub struct FlinkSessionJob;

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: apache::GROUP,
    version: "v1beta1",
    kind: "FlinkSessionJob",
    plural: "flinksessionjobs",
    singular: "flinksessionjob",
    scope: Scope::Namespaced,
    scale: None,
};

impl Dialect for FlinkSessionJob {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn rules(&self) -> Vec<&'static Rule> {
        rules::SESSION_JOBS.to_vec()
    }

    fn is_exempt(&self, object: &Value) -> bool {
        apache::is_canary(object)
    }

    fn section(&self) -> Option<&'static str> {
        Some("flinkSessionJob")
    }

    fn validate_section(
        &self,
        settings: &Value,
        stored: Option<&Value>,
        at: &FieldPath,
        findings: &mut Findings,
    ) {
        section::SESSION_JOB.judge(&FlinkSessionJob, settings, stored, at, findings);
    }

    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
        session_job::judge(review, world, findings);
    }

    fn spelled(&self) -> Option<FieldPath> {
        Some(section::configuration())
    }

    fn held(&self, old: &Value) -> Vec<FieldPath> {
        session_job::held(old)
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

    fn notices(&self, review: &Review<'_>, _world: &dyn World, findings: &mut Findings) {
        session_job::notices(review.object, review, findings);
    }

    fn sources(&self) -> &'static [Source] {
        const {
            &[
                Source::OperatorConfiguration,
                Source::Objects(&super::flink_deployment::KIND),
            ]
        }
    }

    fn workload(&self, object: &Value, world: &dyn World) -> Result<Workload, Vec<Cause>> {
        let operator = world.operator_configuration();
        let cluster = cluster_of(object, world);
        let demand = charge::of_session_job(object, cluster.found(), operator.as_deref());
        charge::workload(object, charge::Kind::SessionJob, demand)
    }

    fn unread(&self, object: &Value, world: &dyn World) -> Option<Workload> {
        let operator = world.operator_configuration();
        let cluster = cluster_of(object, world);
        let demand = charge::of_session_job(object, cluster.found(), operator.as_deref());
        charge::unread(object, charge::Kind::SessionJob, demand)
    }

    fn facts(&self, _object: &Value) -> Option<Value> {
        // A snapshot only asks whether its job exists.
        Some(Value::Object(serde_json::Map::new()))
    }
}

fn cluster_of(object: &Value, world: &dyn World) -> Lookup {
    let namespace = json::text(object, &["metadata", "namespace"]).unwrap_or("");
    session_job::cluster(object, namespace, world)
}
