//! TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1, the leaf from a resolver that is swapped while serving.

use super::clients::Clients;
use rustls::crypto::ring;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;

/// The server's TLS. Without `clients` nobody is asked for a certificate: a webhook is open to whoever reaches it, and answers
/// only with a verdict about what it was sent.
pub fn config(
    leaf: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<Clients>>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let builder = rustls::ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?;
    let asks = clients.is_some();
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(leaf);
    if asks {
        // A session that is resumed asks for no certificate again, be it withdrawn or at its end meanwhile.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    }
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
