//! Savepoints that users ask for: a `Savepoint` object without savepointLocation has one taken of the job that runs, be that a
//! SessionJob or a Deployment.
//!
//! * [`sight`]: what is observed of such an object and of its job; [`Whose`] is what each kind of job answers;
//! * [`decide`]: what is observed goes in, the next step and the status come out. Pure; tested as a table;
//! * [`object`]: the status of a Savepoint that is complete, whoever completes it; [`place`]: folders and ids;
//! * [`history`]: all Savepoint objects of one job, for the reconcilers of jobs; [`prune`]: which of them go; [`unclear`]: what they tell of a stop
//!   that may have left one;
//! * [`not_taken`] and [`refused`]: what is told of a savepoint that could not be taken, and of an object that the API server refuses;
//! * [`run`]: the edge that reads, decides, writes and calls, while this process leads.
//!
//! Savepoints that Sluice takes itself, at suspensions and upgrades, are made by the reconcilers of the jobs; none of them is touched
//! here, and none of a user's is ever pruned.
//!
//! # Why none is taken twice
//!
//! STARTED is stored, with the job's id, before Flink is asked; the id of the request follows from the object's uid. From Flink 1.15 on
//! a request of one id is one savepoint however often it is sent, as long as Flink remembers it, so after a crash it is sent again.
//! Where that is not certain (an older Flink, or one that may have forgotten) it is never sent again: what was written is looked
//! for by the folder, which bears the request's id, and what is not found has failed and says so.

pub mod decide;
pub mod history;
pub mod not_taken;
pub mod object;
pub mod place;
pub mod prune;
pub mod refused;
pub mod run;
pub mod sight;
pub mod unclear;

pub use run::Savepoints;
pub use sight::{Life, Place, Sight, Whose};

#[cfg(test)]
mod tests;
