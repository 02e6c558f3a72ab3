//! A TLS handshake as the API server makes it: by the bundle of the registration, for the name that it asks for.

use anyhow::{Context, Result};
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// As long as the API server waits for the webhook.
const PATIENCE: Duration = Duration::from_secs(3);

/// What came of it.
#[derive(Debug)]
pub(super) enum Handshake {
    /// It verifies, until then.
    Verified(Timestamp),
    /// Somebody answers whom the bundle does not accept.
    Refused(String),
    /// Nobody answers.
    Silent(String),
}

/// Tries it.
pub(super) async fn shake(host: String, port: u16, name: String, bundle: Vec<u8>) -> Handshake {
    let tried = tokio::task::spawn_blocking(move || attempt(&host, port, &name, &bundle));
    match tried.await {
        Ok(Ok(handshake)) => handshake,
        Ok(Err(error)) => Handshake::Refused(format!("{error:#}")),
        Err(error) => Handshake::Silent(error.to_string()),
    }
}

fn attempt(host: &str, port: u16, name: &str, bundle: &[u8]) -> Result<Handshake> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate
            .map_err(|error| anyhow::anyhow!("the caBundle cannot be read: {error:?}"))?;
        roots
            .add(certificate)
            .context("the caBundle cannot be read")?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned())?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let silent = |error: &dyn std::fmt::Display| Ok(Handshake::Silent(error.to_string()));
    let address = match (host, port).to_socket_addrs() {
        Ok(mut addresses) => match addresses.next() {
            Some(address) => address,
            None => return silent(&"its name has no address"),
        },
        Err(error) => return silent(&error),
    };
    let mut stream = match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(stream) => stream,
        Err(error) => return silent(&error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    while connection.is_handshaking() {
        if let Err(error) = connection.complete_io(&mut stream) {
            let tls = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            return match tls {
                Some(tls) => Ok(Handshake::Refused(tls.to_string())),
                None => silent(&error),
            };
        }
    }
    let leaf = connection
        .peer_certificates()
        .and_then(|chain| chain.first())
        .context("no certificate is served")?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf)?;
    let ends = Timestamp::from_second(leaf.validity().not_after.timestamp())?;
    Ok(Handshake::Verified(ends))
}
