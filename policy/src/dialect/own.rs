//! What Sluice's own kinds have in common: the shape of their specs, spellings, checks of single values, CPU figures.
//!
//! A kind describes its spec once, as a table of [`shape::Field`]s; normalisation, type checks, unknown fields and
//! the comparison of values all follow from it. What a kind forbids beyond that stands in the kind's own file.

pub(crate) mod at;
pub(crate) mod check;
pub(crate) mod configuration;
pub(crate) mod demand;
pub(crate) mod exclusive;
pub(crate) mod image;
pub(crate) mod jars;
pub(crate) mod job_options;
pub(crate) mod logging;
pub(crate) mod name;
pub(crate) mod normalise;
pub(crate) mod notices;
pub(crate) mod pods;
pub(crate) mod references;
pub(crate) mod resources;
pub(crate) mod rules;
pub(crate) mod shape;
pub(crate) mod status;
pub(crate) mod strategies;
pub(crate) mod tables;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod version;
