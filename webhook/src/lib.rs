//! Sluice's admission webhook: envelope, caches, ledger actor, metrics and shutdown.
//!
//! The way of one request: [`server`] (TLS, limits) -> [`http`] (body, deadline, reply) -> [`review`] (envelope) ->
//! [`gate`] (dialect, policy, ledger). What is right or wrong is decided in `sluice_policy`.
//!
//! [`run`] is the whole process; [`registration`] makes the objects that tell the API server about it.

pub mod config;
pub mod events;
pub mod gate;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod process;
pub mod quota;
pub mod registration;
pub mod review;
pub mod server;
pub mod telemetry;
pub mod world;

pub use config::Config;
pub use process::{Error, Webhook, run, runtime};
