//! FlinkStateSnapshot of the Apache operator: judged when it is written, costs nothing.

use super::apache::{self, rules, snapshot};
use super::{Class, Dialect, KindInfo, Scope};
use crate::charge::Workload;
use crate::finding::{Cause, Findings};
use crate::review::Review;
use crate::rule::Rule;
use crate::world::{Source, World};
use serde_json::Value;

/// The dialect.
pub struct FlinkStateSnapshot;

/// Names of the kind.
pub static KIND: KindInfo = KindInfo {
    group: apache::GROUP,
    version: "v1beta1",
    kind: "FlinkStateSnapshot",
    plural: "flinkstatesnapshots",
    singular: "flinkstatesnapshot",
    scope: Scope::Namespaced,
    scale: None,
};

impl Dialect for FlinkStateSnapshot {
    fn kind(&self) -> &'static KindInfo {
        &KIND
    }

    fn class(&self) -> Class {
        Class::Configuration
    }

    fn rules(&self) -> Vec<&'static Rule> {
        vec![&rules::SHAPE, &rules::SNAPSHOT]
    }

    fn is_exempt(&self, object: &Value) -> bool {
        apache::is_canary(object)
    }

    fn validate(&self, review: &Review<'_>, world: &dyn World, findings: &mut Findings) {
        snapshot::judge(review, world, findings);
    }

    fn sources(&self) -> &'static [Source] {
        const {
            &[
                Source::Objects(&super::flink_deployment::KIND),
                Source::Objects(&super::flink_session_job::KIND),
            ]
        }
    }

    fn workload(&self, _object: &Value, _world: &dyn World) -> Result<Workload, Vec<Cause>> {
        Ok(Workload::FREE)
    }
}
