//! The reconciler of SessionClusters.
//!
//! * [`decide`]: what is observed goes in, the next steps and the status come out. Pure; tested as a table;
//! * [`state`]: which state, condition and operation that is for users;
//! * [`start`]: which start it is in, where that matters; [`target`]: where pods run; [`health`]: what Flink's REST API says, asked rarely;
//! * [`reconcile`]: the edge; `observe` reads and decides, `act` writes; [`run`]: queue and watches while this process leads.
//!
//! # How a cluster comes and goes
//!
//! `allocatedMilli` is written, at the very version that was decided upon, before pods are made or grow; it is lowered only
//! after a read past every cache has shown that they are gone. So what runs is never more than what the ledger counts, wherever the
//! process dies. Everything else is made again from what is observed; nothing needs to be remembered.
//!
//! An object that asks to run but may not start yet (no target, no room, an id that is taken) stays STOPPED with `status.operation` Start: an
//! operation in progress keeps its charge in the ledger.

mod act;
pub mod decide;
pub mod health;
mod observe;
pub mod reconcile;
pub mod run;
pub mod scene;
pub mod start;
pub mod state;
pub mod target;

#[cfg(test)]
mod tests;
