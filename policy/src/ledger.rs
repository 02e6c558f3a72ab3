//! The quota ledger: CPU of what may run never exceeds a quota through admission, with any number of webhook replicas,
//! crashes at any instant, retries, time-outs and stale caches.
//!
//! All of it is pure: a [`Book`] (the ledger in a quota's status) goes in, a new one to be written by compare-and-swap
//! comes out. Who calls what:
//!
//! * the webhook's actor: [`reserve`], [`Book::release`];
//! * the controller's leader: [`confirm`] over an [`Inventory`], [`Ages`] and [`expire::decide`] for holds left undecided.
//!
//! Requests, clocks and conflicts live in `sluice_webhook::ledger` and `sluice_controller::ledger`. The model that checks
//! this code is `policy/tests/ledger_model.rs`; what must hold is listed there.

pub mod account;
pub mod book;
pub mod confirm;
pub mod expire;
pub mod inventory;
pub mod line;
pub mod refusal;
pub mod reserve;
pub mod usage;

pub use account::{Account, QuotaKey, Unreadable};
pub use book::{Book, Hold, ObjectKey, Revision};
pub use confirm::{Behind, confirm};
pub use expire::{Ages, Found, Step};
pub use inventory::{Inventory, Listing, Scope, Seen, Watched};
pub use line::UnreadableHold;
pub use refusal::{Figures, QUOTA_CPU, Reason, Refusal};
pub use reserve::{Ask, Enforcement, Outcome, Over, Request, Round, Run, Why, reserve};

/// Version of the charge function. Raised whenever the same object may be charged differently: ledgers of another version
/// are never added to, and are counted anew once nothing is pending in them.
pub const CHARGE_FN: u32 = 3;
