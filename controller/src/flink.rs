//! A typed client of Flink's REST API, for Flink 1.13 to 2.x.
//!
//! * [`client`]: the calls about the cluster, its jobs and its jars; every one has a time-out and a bound on the answer;
//! * [`snapshots`]: stop, savepoint and their asynchronous results, and what checkpoints there are;
//! * [`types`]: what Flink answers, as far as Sluice reads it (unknown fields and words are let be);
//! * `tasks`: how far a job's tasks are;
//! * `answer`: how much of an answer is taken;
//! * [`cause`]: a Java stack trace made one sentence;
//! * [`error`]: why a call failed, and whether to try again.
//!
//! When to call what is decided by the reconcilers, not here.

mod answer;
pub mod cause;
pub mod client;
pub mod error;
pub mod snapshots;
mod tasks;
pub mod types;

pub use client::{FlinkClient, FlinkHttp, JarRun, Timeouts};
pub use error::{FlinkError, Meaning};
pub use snapshots::{Snapshot, StopAnswer, TriggerId};
pub use types::{JobId, JobState};

#[cfg(test)]
mod tests;
