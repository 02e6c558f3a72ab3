//! What rustls asks for the leaf at each handshake: the newest one, swapped in without a restart.

use crate::leaf::Leaf;
use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// Serves the leaf that was put in last, whatever name the client asks for (the API server may come by service name
/// or by address). Before the first one, handshakes fail.
#[derive(Debug, Default)]
pub struct LeafResolver {
    leaf: ArcSwapOption<Leaf>,
}

impl LeafResolver {
    /// The leaf that is served now.
    pub fn current(&self) -> Option<Arc<Leaf>> {
        self.leaf.load_full()
    }

    /// Serves this leaf from the next handshake on. Open connections are not disturbed.
    pub fn replace(&self, leaf: Leaf) {
        self.leaf.store(Some(Arc::new(leaf)));
    }
}

impl ResolvesServerCert for LeafResolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.leaf.load().as_ref().map(|leaf| leaf.certified())
    }
}
