//! The Helm chart by a real helm in front of a real API server: what it renders, installs, upgrades, rolls back and leaves behind.
//! There is no node: webhook and controller run here.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::too_many_lines,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

mod cert_manager;
mod release;
mod removal;
mod stage;
mod values;
