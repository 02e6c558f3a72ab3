//! The reconciler of SessionJobs.
//!
//! * [`sight`]: what is observed of a job, its session cluster, Flink and the snapshots;
//! * [`decide`]: what is observed goes in, the next steps and the status come out. Pure; tested as a table;
//! * [`settle`]: what has become of the newest run; [`start`]: beginning one, `unanswered` where Flink does not say whether it has; [`halt`]: ending one; `remains`: what it leaves;
//! * [`draft`]: a status in the making, with its conditions and Events;
//! * [`identity`]: ids, names and fingerprints; [`snapshot`]: which snapshot a start restores from;
//! * [`reconcile`]: the edge that decides, writes and calls, after `read` has read; [`submissions`]: those under way; [`submit`]: a jar on its way to Flink;
//!   `withdraw`: when it goes again;
//! * `savepoints`: the Savepoint objects, `unrecorded` where one is refused; [`whose`]: what users' savepoints are taken of; [`run`]: queue and watches, which run while this process leads.
//!
//! # Why nothing is done twice and nothing is lost
//!
//! What is about to be asked of Flink is stored first, at the version that was decided upon, with the id that Flink shall
//! know it by: the job's id for a submission, the trigger's id and a folder of its own for a stop. Flink refuses a second
//! submission of one id, and takes a second stop of one id for the first. So after a crash at any point, the same is simply asked
//! again. A savepoint's path is stored as a Savepoint object before the job's status says that the job has ended; until
//! then Flink can be asked for it.

pub mod decide;
pub mod draft;
pub mod halt;
pub mod identity;
pub(crate) mod read;
pub mod reconcile;
mod remains;
pub mod run;
mod savepoints;
pub mod settle;
pub mod sight;
pub mod snapshot;
pub mod start;
pub mod submissions;
pub mod submit;
mod unanswered;
mod unrecorded;
pub mod whose;
mod withdraw;

#[cfg(test)]
mod tests;
