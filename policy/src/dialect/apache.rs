//! What the kinds of the Apache Flink operator have in common, and Confluent's kind of the same shape.
//!
//! The rules are those of the operator's own validator (`flink-kubernetes-operator` at 6e9caeb4), judged at admission,
//! all at once and with a field. The kinds themselves are [`super::flink_deployment`], [`super::flink_session_job`],
//! [`super::flink_application`] and [`super::flink_state_snapshot`].

mod address;
mod amount;
mod autoscaler;
pub(super) mod change;
pub(super) mod charge;
pub(super) mod conf;
pub(super) mod confluent;
mod cron;
pub(super) mod deployment;
pub(super) mod facts;
pub(super) mod freeze;
mod ingress;
mod java;
mod java_uri;
mod job;
mod lines;
mod memory_size;
mod names;
pub mod operator;
mod periods;
mod process_memory;
mod recorded;
mod resources;
pub(super) mod rules;
pub(super) mod section;
pub(super) mod session_job;
mod shape;
pub(super) mod snapshot;
mod templates;
mod version;

use crate::json;
use crate::review::Review;
use recorded::Recorded;
use serde_json::Value;
use sluice_api::names::labels::CANARY;

/// API group of the operator's kinds.
pub(super) const GROUP: &str = "flink.apache.org";

/// How pods are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// By Flink itself.
    Native,
    /// By the operator.
    Standalone,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Mode::Native => "native",
            Mode::Standalone => "standalone",
        }
    }
}

/// `spec.mode`; native where it is absent.
fn mode(object: &Value) -> Mode {
    match json::text(object, &["spec", "mode"]) {
        Some("standalone") => Mode::Standalone,
        _ => Mode::Native,
    }
}

/// Whether it is one of the operator's canaries, which may lack a spec and always pass. The operator starts nothing for what bears
/// the label (`CanaryResourceManager.isCanaryResource`), but what it has deployed before runs on, so that is none.
pub(super) fn is_canary(object: &Value) -> bool {
    json::text(object, &["metadata", "labels", CANARY])
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
        && Recorded::of(object) == Recorded::Nothing
}

/// The name, or one as long as the API server will make of `generateName`.
fn name_of(review: &Review<'_>) -> String {
    if !review.name.is_empty() {
        return review.name.to_owned();
    }
    match json::text(review.object, &["metadata", "generateName"]) {
        Some(prefix) => format!("{prefix}xxxxx"),
        None => json::text(review.object, &["metadata", "name"])
            .unwrap_or("")
            .to_owned(),
    }
}

/// The record of an object; it is in the status, which a write of the object itself cannot change.
fn recorded_of(review: &Review<'_>) -> Recorded {
    match (Recorded::of(review.object), review.old()) {
        (Recorded::Nothing, Some(old)) => Recorded::of(old),
        (recorded, _) => recorded,
    }
}
