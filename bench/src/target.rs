//! A webhook asked directly, over TLS: on streams of one HTTP/2 connection, as the API server asks an address; on HTTP/1.1 connections
//! that stay open, which spreads what is asked over several; or on a new one for each review.

use anyhow::ensure;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a webhook listens, and whom to trust.
#[derive(Clone)]
pub struct Target {
    port: u16,
    /// Says nothing of HTTP's version, so the answer is in HTTP/1.1.
    plain: TlsConnector,
    /// Asks for HTTP/2.
    h2: TlsConnector,
}

/// An open connection, or a stream's place on one.
pub struct Connection {
    sender: Sender,
    /// What stands before the path: HTTP/2 wants scheme and host with each request.
    origin: String,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

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
        let mut h2 = tls.clone();
        h2.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            port,
            plain: TlsConnector::from(Arc::new(tls)),
            h2: TlsConnector::from(Arc::new(h2)),
        })
    }

    /// A new HTTP/1.1 connection.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let stream = TokioIo::new(self.open(&self.plain).await?);
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Connection {
            sender: Sender::Http1(sender),
            origin: String::new(),
        })
    }

    /// One new HTTP/2 connection, for so many to ask on at once.
    pub async fn streams(&self, count: usize) -> anyhow::Result<Vec<Connection>> {
        let stream = self.open(&self.h2).await?;
        ensure!(
            stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            "the webhook does not speak HTTP/2"
        );
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let origin = format!("https://127.0.0.1:{}", self.port);
        let stream = || Connection {
            sender: Sender::Http2(sender.clone()),
            origin: origin.clone(),
        };
        Ok((0..count).map(|_| stream()).collect())
    }

    async fn open(&self, tls: &TlsConnector) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        Ok(tls.connect(name, stream).await?)
    }
}

impl Connection {
    /// One review; how long the answer took, and the answer.
    pub async fn ask(&mut self, path: &str, review: Bytes) -> anyhow::Result<(Duration, Bytes)> {
        let request = Request::post(format!("{}{path}", self.origin))
            .header("content-type", "application/json");
        let began = Instant::now();
        let answer = match &mut self.sender {
            Sender::Http1(sender) => {
                let request = request
                    .header("host", "127.0.0.1")
                    .body(Full::new(review))?;
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                let request = request.body(Full::new(review))?;
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
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
