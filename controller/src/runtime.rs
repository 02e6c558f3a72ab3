//! What every reconciler needs: what is known of made objects, and how objects, status and Events are written.
//!
//! * [`made`]: what is kept of a made object; [`index`]: all of them, watched and kept in as little memory as possible;
//! * [`cover`]: whether a stored object says all that the one to be applied says;
//! * [`hand`]: reads past the caches, server-side apply, deletion;
//! * [`availability`]: what Flink's high availability leaves, and whose it is;
//! * [`namespaces`]: their labels;
//! * [`call`]: a call that failed, and what it was for;
//! * [`watched`]: one watch of a kind for several reconcilers;
//! * [`conditions`], [`status`], [`events`]: what is told to users, and only when it changes.
//!
//! Nothing here decides; see [`crate::session_cluster`].

pub mod availability;
pub mod call;
pub mod conditions;
pub mod cover;
pub mod events;
pub mod going;
pub mod hand;
pub mod index;
pub mod made;
pub mod namespaces;
pub mod remaining;
pub mod status;
pub mod watched;
