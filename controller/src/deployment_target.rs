//! The reconciler of DeploymentTargets: whether their namespace takes pods, who refers to them, and that they stay while somebody does.
//!
//! * [`decide`]: what is observed goes in, the status and the finalizer come out. Pure; tested as a table;
//! * [`references`]: who refers to what, in a few bytes each;
//! * [`run`]: the edge and its watches, while this process leads.
//!
//! Whether the pods of a cluster may start at a target is decided where they start, at that moment: here it is only told.

pub mod decide;
pub mod references;
pub mod run;

pub use run::DeploymentTargets;
