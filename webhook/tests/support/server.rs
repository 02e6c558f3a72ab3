//! A server that really listens, and the clients of the tests of `tls.rs` and `hostile.rs`.
#![allow(dead_code)] // each test file uses a part

use super::support::{review, service, session_cluster};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use serde_json::Value;
use sluice_certs::LeafResolver;
use sluice_certs::authority::Authority;
use sluice_webhook::metrics::Metrics;
use sluice_webhook::review::Limits;
use sluice_webhook::server::clients::Clients;
use sluice_webhook::server::connection::Patience;
use sluice_webhook::server::{Server, Stop, tls};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

pub const SOON: Duration = Duration::from_secs(20);

pub struct Running {
    pub address: SocketAddr,
    pub ca: Authority,
    pub resolver: Arc<LeafResolver>,
    pub metrics: Arc<Metrics>,
    pub stop: Stop,
    pub task: JoinHandle<()>,
}

pub async fn start(patience: Patience) -> Running {
    start_for(patience, None).await
}

pub async fn start_for(patience: Patience, clients: Option<Arc<Clients>>) -> Running {
    start_of(Limits::default(), patience, clients).await
}

pub async fn start_within(limits: Limits, patience: Patience) -> Running {
    start_of(limits, patience, None).await
}

async fn start_of(limits: Limits, patience: Patience, clients: Option<Arc<Clients>>) -> Running {
    let now = Timestamp::now();
    let ca = Authority::generate(now).unwrap();
    let resolver = Arc::new(LeafResolver::default());
    resolver.replace(ca.sign(&["127.0.0.1".to_owned()], now).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (service, metrics) = service(limits);
    let stop = Stop {
        leaving: CancellationToken::new(),
        drain: CancellationToken::new(),
        drain_for: Duration::from_secs(5),
    };
    let server = Server {
        listener,
        tls: tls::config(Arc::clone(&resolver) as _, clients.clone()).unwrap(),
        clients,
        router: service.router(),
        patience,
        metrics: Arc::clone(&metrics),
    };
    let task = tokio::spawn(server.run(stop.clone()));
    Running {
        address,
        ca,
        resolver,
        metrics,
        stop,
        task,
    }
}

impl Running {
    pub async fn connect(&self, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_trusting(alpn, self.ca.certificate_pem()).await
    }

    pub async fn connect_trusting(
        &self,
        alpn: &[&str],
        pem: &str,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        self.connect_as(alpn, pem, None).await
    }

    pub async fn connect_as(
        &self,
        alpn: &[&str],
        pem: &str,
        client: Option<&Client>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        shake(stream, alpn, pem, client).await
    }

    /// Over HTTP/1.1, from a loopback address of its own.
    pub async fn connect_from(&self, from: [u8; 4]) -> std::io::Result<TlsStream<TcpStream>> {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = socket.connect(self.address).await?;
        shake(stream, &["http/1.1"], self.ca.certificate_pem(), None).await
    }
}

async fn shake(
    stream: TcpStream,
    alpn: &[&str],
    pem: &str,
    client: Option<&Client>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(Arc::new(client_config(alpn, pem, client)));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    connector.connect(name, stream).await
}

fn client_config(alpn: &[&str], pem: &str, client: Option<&Client>) -> rustls::ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        None => config.with_no_client_auth(),
        Some(Client { chain, key }) => config
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .unwrap(),
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

pub fn post(uid: &str) -> Request<Full<Bytes>> {
    let body = review(uid, "DELETE", Value::Null, session_cluster("STOPPED")).to_string();
    Request::post("https://127.0.0.1/validate?timeout=3s")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}

pub async fn uid_of(response: hyper::Response<hyper::body::Incoming>) -> String {
    assert_eq!(response.status(), 200);
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let reply: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(reply["response"]["allowed"], true);
    reply["response"]["uid"].as_str().unwrap().to_owned()
}

/// Somebody with a certificate.
pub struct Client {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// A CA of clients, as PEM, and how it signs.
pub struct ClientCa {
    pub pem: String,
    pub issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl ClientCa {
    pub fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    pub fn client(&self, name: &str) -> Client {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Client {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        }
    }
}

impl Running {
    /// Whether a review is answered. In TLS 1.3 a client hears only after its own handshake that it is turned away.
    pub async fn answers(&self, client: Option<&Client>) -> bool {
        self.answers_by(&self.connector(client)).await
    }

    /// A client over HTTP/1.1 that remembers its sessions.
    pub fn connector(&self, client: Option<&Client>) -> TlsConnector {
        let config = client_config(&["http/1.1"], self.ca.certificate_pem(), client);
        TlsConnector::from(Arc::new(config))
    }

    /// As [`Running::answers`].
    pub async fn answers_by(&self, connector: &TlsConnector) -> bool {
        self.asks(connector).await.is_some()
    }

    /// A connection on which a review has been answered, unless it was not.
    pub async fn asks(&self, connector: &TlsConnector) -> Option<(Asking, JoinHandle<()>)> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector.connect(name, stream).await.ok()?;
        let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.ok()?;
        let connection = tokio::spawn(async move { drop(connection.await) });
        let response = sender.send_request(post("u")).await.ok()?;
        (uid_of(response).await == "u").then_some((sender, connection))
    }
}

type Asking = hyper::client::conn::http1::SendRequest<Full<Bytes>>;
