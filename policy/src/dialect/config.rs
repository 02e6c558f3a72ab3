//! Kinds that configure Sluice. Judged when they are written, never defaulted or charged: what is wrong in them would
//! otherwise show in everybody else's objects.

pub mod deployment_target;
pub(crate) mod sections;
