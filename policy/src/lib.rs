//! Sluice's decisions. Pure: no I/O, no clock, no client.
//!
//! A request is read as a [`Review`], changed by [`admit::mutate`] and judged by [`admit::validate`]; both look
//! up what else exists through the [`World`] trait and speak about kinds through the [`Dialect`] trait. CPU that
//! has to be reserved goes through the quota ledger, whose state machine lives here too.
//!
//! What is not here: envelopes, HTTP, caches (`sluice-webhook`), reconciliation (`sluice-controller`).

pub mod admit;
pub mod charge;
pub mod defaults;
pub mod dialect;
pub mod draft;
pub mod finding;
pub mod flink;
pub mod immutability;
pub mod json;
pub mod ledger;
pub mod mode;
pub mod path;
pub mod quantity;
pub mod review;
pub mod rule;
#[doc(hidden)]
pub mod sabotage;
pub mod values;
pub mod world;

pub use admit::{Demand, Judgement, Mutation, Rise, mutate, validate};
pub use charge::{Charge, Desired, Workload};
pub use dialect::{Dialect, KindInfo, dialect_for, dialects};
pub use finding::{Cause, CauseReason, Code, Findings, Refusal};
pub use mode::{Mode, Modes};
pub use path::FieldPath;
pub use quantity::MilliCpu;
pub use review::{Operation, Part, Review};
pub use rule::{Family, Rule};
pub use world::{Lookup, World};
