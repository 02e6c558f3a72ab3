//! A TLS handshake as the API server makes it: by the bundle of the registration, for the name that it asks for.

use anyhow::{Context, Result};
use k8s_openapi::jiff::Timestamp;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use sluice_certs::Acceptance;
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
    let acceptance = Acceptance::by(bundle)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous() // to judge otherwise than by webpki alone
        .with_custom_certificate_verifier(Arc::new(acceptance))
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use std::net::TcpListener;

    const NAME: &str = "sluice.sluice-system.svc";

    /// What comes of a handshake by this bundle with whoever serves this certificate.
    async fn shaken(served: &rcgen::Certificate, key: &KeyPair, bundle: &str) -> Handshake {
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![served.der().clone()], private)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            // A client that refuses goes away.
            while connection.is_handshaking() && connection.complete_io(&mut stream).is_ok() {}
        });
        let host = "127.0.0.1".to_owned();
        let bundle = bundle.as_bytes().to_vec();
        let came = shake(host, port, NAME.to_owned(), bundle).await;
        answering.join().unwrap();
        came
    }

    #[tokio::test]
    async fn what_the_api_server_accepts_is_accepted_here() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = params.self_signed(&key).unwrap();
        let came = shaken(&own, &key, &own.pem()).await;
        assert!(matches!(came, Handshake::Verified(_)), "{came:?}");
        let stranger = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let came = shaken(&own, &key, &stranger.pem()).await;
        assert!(matches!(came, Handshake::Refused(_)), "{came:?}");
    }
}
