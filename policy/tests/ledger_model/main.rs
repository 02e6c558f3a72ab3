//! The quota ledger under a model checker: every interleaving of webhook replicas, leaders, users, the API server and
//! crashes, within small bounds, against the very code that runs (`sluice_policy::ledger`).
//!
//! `world` has the state and what an adversary may be given, `step` what each actor does, `variant` the ways to get it wrong,
//! `check` what must hold. Invariants S1 to S10 and L1 to L4 are those of the ledger's design; S9 (status writes never
//! raise a charge) is kept by the API server's guard of statuses, and tested on a real one.
//!
//! The scenarios here take seconds. `cargo test -p sluice-policy --test ledger_model -- --ignored --nocapture` runs
//! the large ones, for minutes to hours by `SLUICE_MODEL_SECONDS`.

#![allow(clippy::indexing_slicing, clippy::unwrap_used)] // indices are those of the scenario; helpers of tests

mod check;
mod refuted;
mod scenarios;
mod step;
mod variant;
mod world;
