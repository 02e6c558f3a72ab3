//! The AdmissionReview envelope, `admission.k8s.io/v1`, in and out.
//!
//! Our own and not kube's: a reply must carry the uid whatever is wrong, a code and a reason with every refusal, and
//! a patch as base64.
//!
//! * [`request`]: bytes to a request, or to a refusal that still knows the uid.
//! * [`uid`]: finds the uid in bytes that are no JSON, or too many to keep.
//! * [`values`]: how many values bytes hold, before anything is made of them.
//! * [`body`]: reads bytes off a connection, within a size and a time; [`room`]: the memory that all bodies share.
//! * [`reply`]: a verdict to bytes; [`answers`]: the memory that all of those share.
//! * [`rules`]: what is refused here, by id.
//!
//! What is not here: what is decided about a request ([`crate::gate`]).

pub mod answers;
pub mod body;
pub mod reply;
pub mod request;
pub mod room;
pub mod rules;
pub mod uid;
pub mod values;

pub use body::{Limits, Received};
pub use reply::{Reply, Subject};
pub use request::{Parsed, Request};
