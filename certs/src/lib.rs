//! Sluice's certificates: CA and leaf, caBundle, reload without a restart.
//!
//! * [`authority`]: the CA: how it is made, written as PEM and read back, and how it signs.
//! * [`leaf`]: the certificate that a process serves; its key never leaves the process.
//! * [`acceptance`]: whether the API server accepts a leaf.
//! * [`generations`]: the CAs that one Secret holds, and the bundle of all of them.
//! * [`rotation`]: when the CA is replaced, in phases; a pure decision.
//! * [`store`]: that Secret, written by compare-and-swap so that all replicas share one CA.
//! * [`bundle`]: the `caBundle` of the webhook configurations, written by server-side apply and read back.
//! * [`resolver`]: what rustls asks for the leaf at each handshake.
//! * [`files`]: the leaf from two files, where somebody else keeps it.
//! * `answer`: how long the API server is waited for.
//! * `news`: changes of what is kept, by watches.
//! * [`keeper`]: the wall-clock tick that keeps all of it true and tells whether the process may be ready.
//!
//! What is not here: the TLS server (`sluice-webhook`).

pub mod acceptance;
mod answer;
pub mod authority;
pub mod bundle;
pub mod error;
pub mod files;
pub mod generations;
pub mod keeper;
pub mod leaf;
mod news;
pub mod resolver;
pub mod rotation;
pub mod store;

pub use acceptance::Acceptance;
pub use error::Error;
pub use keeper::{Keeper, Settings, State};
pub use resolver::LeafResolver;
pub use rotation::Pace;
