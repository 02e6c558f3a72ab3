//! Kinds of the Apache operator, and Confluent's of the same shape.
#![allow(
    missing_docs,
    clippy::needless_pass_by_value,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_imports,
    clippy::missing_panics_doc
)]

#[path = "../admins/mod.rs"]
mod admins;
mod changes;
mod charge;
mod charge_hidden;
mod charge_scaled;
mod charge_state;
mod filling;
mod lines;
mod lines_of_admins;
mod other_kinds;
mod properties;
mod rules;
mod support;
mod verdicts;
