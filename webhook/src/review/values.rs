//! How many values of a review are read.

pub use sluice_policy::values::more_than;

/// More values than this are not read. A FlinkDeployment of a hundred kilobytes with its managedFields, stored and sent, has some
/// thousand. Parsing and judging so many takes 5 to 20 MiB, and two are parsed at once: one on each worker.
pub const MOST: usize = 50_000;
