//! What tests of the whole need: a running `sluice up`, the real kubectl, namespaces of their own, or a bare
//! API server with Sluice's kinds.
//!
//! Tests assert what kubectl's users see: texts, exit codes, and what the API server stored.

mod files;
mod flink;
mod gate;
mod helm;
mod kubectl;
mod needs;
mod node;
mod stage;
mod wait;

pub use files::serve_jar;
pub use flink::{FlinkHere, LocalFlink};
pub use gate::{Gate, kubectl, sluice_binary};
pub use helm::Helm;
pub use kubectl::{Kubectl, Ran};
pub use needs::{Fixtures, FlinkParts, control_plane, fixtures, flink_parts, real_node};
pub use node::{host_address, node};
pub use stage::{Stage, client};
pub use wait::eventually;
