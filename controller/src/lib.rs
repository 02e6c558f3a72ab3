//! Sluice's controller: keeps the quota ledger true and performs the runtime transitions.

pub mod deployment;
pub mod deployment_target;
pub mod fetch;
pub mod flink;
pub mod http;
pub mod leader;
pub mod ledger;
pub mod metrics;
pub mod objects;
pub mod ops;
#[cfg(test)]
mod played;
pub mod process;
pub mod runtime;
pub mod savepoint;
pub mod session_cluster;
pub mod session_job;
