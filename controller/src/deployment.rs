//! The reconciler of Deployments.
//!
//! * [`sight`]: what is observed of a Deployment, its newest run, Flink and the snapshots;
//! * [`decide`]: what is observed goes in, the next step and the status come out. Pure; tested as a table;
//! * [`settle`]: what has become of the newest run; `over`: what its end means; `rest`: what follows when nothing runs; [`start`]: beginning one; [`halt`]: ending one; [`health`]: how it fares;
//! * [`draft`]: a status in the making, with its conditions and Events;
//! * [`in_session`]: the other way, on a session cluster; the ways part at the top of `Context::reconcile`;
//! * [`identity`]: ids, names and fingerprints; [`snapshot`]: which snapshot a start restores from;
//! * [`reconcile`]: the edge, with its halves `observe` and `act`; `missing`: what is made again of a run's cluster; [`place`]: target and second gate;
//! * [`frozen`]: what a run was started with; `records`: Job and Savepoint objects; `not_kept`: a Savepoint that is refused; [`whose`]: what is told to those who take savepoints for users;
//! * [`run`]: queue and watches, which run while this process leads.
//!
//! # Why no two jobs of a Deployment run at once, and no savepoint is lost
//!
//! Each run has a number, and everything that is known of it has a name or id that follows from what was stored before: its Job
//! object (`<name>-<number>`) is claimed in the Deployment's status at the version that was decided upon; Flink's id of the job is the
//! uid of that object; its JobManager is made once, a batch Job that never starts a second pod, and the name of that Job is the
//! same for every run of a Deployment. A stop has an id and a folder that are stored before Flink hears of them. So after a crash at any
//! point the same is simply asked again. A run's end is stored in its Job object, after the snapshot that it has left has been stored as a
//! Savepoint; only then its pods go, and only when a read past every cache has shown that all of them are gone, the next run is claimed.

mod act;
pub mod decide;
pub mod draft;
pub mod frozen;
pub mod halt;
pub mod health;
pub mod identity;
pub mod in_session;
mod missing;
mod not_kept;
mod observe;
mod over;
pub mod place;
pub mod reconcile;
mod records;
mod rest;
pub mod run;
pub mod settle;
pub mod sight;
pub mod snapshot;
pub mod start;
pub mod whose;

#[cfg(test)]
mod tests;
