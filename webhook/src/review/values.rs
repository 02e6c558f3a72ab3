//! How many values of a review are read, and stored.

pub use sluice_policy::values::{more_than, of};

/// More values than this are not read. A FlinkDeployment of a hundred kilobytes with its managedFields, stored and sent, has some
/// thousand. Parsing and judging so many takes 5 to 20 MiB, and two are parsed at once: one on each worker.
pub const MOST: usize = 50_000;

/// More values than this are not stored, managedFields and all. An update carries the object twice, as it was and as it shall be: what is
/// stored must be within what is read then, with something to spare for a status and for managers that come later.
pub const STORED: usize = 20_000;
