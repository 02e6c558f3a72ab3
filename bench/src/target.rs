//! A webhook asked directly, over TLS, as the API server asks it: connections that stay open, or a new one for each review.

use anyhow::ensure;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Where a webhook listens, and whom to trust.
#[derive(Clone)]
pub struct Target {
    port: u16,
    tls: TlsConnector,
}

/// An open connection.
pub struct Connection(SendRequest<Full<Bytes>>);

impl Target {
    /// A webhook on a loopback port whose certificate this bundle (PEM) signs.
    pub fn new(port: u16, bundle: &[u8]) -> anyhow::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle) {
            roots.add(certificate?)?;
        }
        let mut tls = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
        // The API server takes no session up again either: a new connection is a whole handshake.
        tls.resumption = Resumption::disabled();
        Ok(Self {
            port,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// A new connection.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = self.tls.connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Connection(sender))
    }
}

impl Connection {
    /// One review; how long the answer took, and the answer.
    pub async fn ask(&mut self, path: &str, review: Bytes) -> anyhow::Result<(Duration, Bytes)> {
        let request = Request::post(path)
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .body(Full::new(review))?;
        let began = Instant::now();
        self.0.ready().await?;
        let answer = self.0.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let took = began.elapsed();
        ensure!(
            status == StatusCode::OK,
            "{status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok((took, body))
    }

    /// One review that has to be allowed.
    pub async fn allowed(&mut self, path: &str, review: Bytes) -> anyhow::Result<Duration> {
        let (took, body) = self.ask(path, review).await?;
        let answer: Value = serde_json::from_slice(&body)?;
        ensure!(
            answer.pointer("/response/allowed") == Some(&Value::Bool(true)),
            "refused: {answer}"
        );
        Ok(took)
    }
}
