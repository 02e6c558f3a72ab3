//! Sluice's Kubernetes kinds: CRD types, conditions and event reasons. Data only, no I/O.
//!
//! * [`kinds`]: one file a kind, shaped as its users write it. Their doc comments become the descriptions that
//!   `kubectl explain` prints, so they speak to users of Flink.
//! * [`crds`] and [`optional_crds`]: what is installed in a cluster; [`manifests`]: the same as the YAML under `crds/`.
//! * [`names`], [`conditions`], [`events`]: every annotation, label, finalizer, condition type and event reason, once.
//!
//! What a value must be beyond its type (units, minima, references) is decided in `sluice-policy`, and so are defaults:
//! no schema here has a `default`, since the API server would fill it in before admission, as if the user had said so.

pub mod conditions;
pub mod events;
pub mod kinds;
pub mod names;
pub mod quota;

mod registry;
mod scalar;
mod schema;

pub use kinds::*;
pub use registry::{Manifest, ManifestError, crds, manifests, optional_crds};
pub use scalar::{Object, Scalar};

/// API group of Sluice's own kinds.
pub const GROUP: &str = "sluice.dev";
/// Version of Sluice's own kinds.
pub const VERSION: &str = "v1alpha1";
/// `apiVersion` of Sluice's own kinds.
pub const API_VERSION: &str = "sluice.dev/v1alpha1";
