//! TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, the leaf from a resolver that is swapped while serving.

use rustls::crypto::ring;
use rustls::server::ResolvesServerCert;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

/// The server's TLS. Clients are not asked for certificates: a webhook is open to whoever reaches it, and answers
/// only with a verdict about what it was sent.
pub fn config(
    leaf: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let mut config =
        rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(leaf);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
