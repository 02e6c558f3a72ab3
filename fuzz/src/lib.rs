//! What every fuzz target does with its bytes. The targets themselves, in `fuzz_targets/`, only hand them over.
//!
//! * [`dialect`]: bytes change a complete object of a kind here and there, and both calls judge it.
//! * [`files`]: bytes are a file that `sluice check`, `render` and `convert` read.
//! * [`envelope`]: bytes are what an API server, or somebody else, sends to the webhook.
//!
//! A target panics where something does not hold; what holds for the decisions is said in [`dialect::judge`].

pub mod dialect;
pub mod edits;
pub mod envelope;
pub mod files;
pub mod objects;

/// A target: bytes in, a panic where something is wrong.
pub type Target = fn(&[u8]);

/// All targets by the name of their file, for the bounded driver.
pub const TARGETS: &[(&str, Target)] = &[
    ("check_yaml", files::check),
    ("configuration", |data| {
        dialect::fuzz(objects::CONFIGURATION, data);
    }),
    ("convert_yaml", files::convert),
    ("deployment", |data| {
        dialect::fuzz(objects::DEPLOYMENT, data);
    }),
    ("envelope", envelope::fuzz),
    ("flink_application", |data| {
        dialect::fuzz(objects::FLINK_APPLICATION, data);
    }),
    ("flink_deployment", |data| {
        dialect::fuzz(objects::FLINK_DEPLOYMENT, data);
    }),
    ("flink_session_job", |data| {
        dialect::fuzz(objects::FLINK_SESSION_JOB, data);
    }),
    ("session_cluster", |data| {
        dialect::fuzz(objects::SESSION_CLUSTER, data);
    }),
    ("session_job", |data| {
        dialect::fuzz(objects::SESSION_JOB, data);
    }),
];
