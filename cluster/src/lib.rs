//! A real local control plane from source: what `sluice up` and the tests run on.
//!
//! Three things live here, each usable by itself:
//!
//! * [`Assets`]: where etcd, kube-apiserver, kube-controller-manager and kubectl come from (a folder that the user
//!   names, a cache, or a build from the Go modules that are part of this crate);
//! * [`Process`]: one child process with a log file that never outlives its parent;
//! * [`Cluster`]: the control plane itself, started on free loopback ports and taken down in order, and where it is
//!   asked for one real [`Node`] with it, on which pods run.
//!
//! What does not live here: anything of Sluice itself. Installing CRDs, webhooks and quotas is `sluice up`'s job.
//!
//! ```no_run
//! # async fn f() -> Result<(), sluice_cluster::ClusterError> {
//! use sluice_cluster::{Assets, AssetsCache, Binary, Cluster, ClusterOptions, ControllerManager};
//!
//! let assets = Assets::obtain(&AssetsCache::Default, Binary::ALL).await?;
//! let options = ClusterOptions::new(assets).controller_manager(ControllerManager::Run);
//! let cluster = Cluster::start(options).await?;
//! println!("export KUBECONFIG={}", cluster.kubeconfig().display());
//! cluster.stop().await?;
//! # Ok(())
//! # }
//! ```

mod assets;
mod cluster;
mod error;
pub mod image;
mod lock;
mod node;
mod pki;
mod ports;
mod process;

pub use assets::{Assets, AssetsCache, Binary, or_skip};
pub use cluster::{Cluster, ClusterOptions, Component, ControllerManager, DataDir, EtcdPorts};
pub use error::ClusterError;
pub use node::{BUSYBOX_IMAGE, HostTools, NODE_NAME, Network, Node, NodeOptions, NodePart};
pub use ports::{free_loopback_port, probe_http};
pub use process::{OnParentDeath, Process, ProcessSpec, log_tail};
