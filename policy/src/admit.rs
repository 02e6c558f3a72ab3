//! (in progress)
use crate::rule::Rule;
/// Rules of the pipeline itself.
pub const RULES: &[&Rule] = &[];
