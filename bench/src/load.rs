//! The load: creates over keep-alive HTTP/1.1 connections, bodies prepared beforehand, next to nothing spent on our side.

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// Where the API server is, and who we are.
pub struct ApiServer {
    host: String,
    authority: String,
    token: HeaderValue,
    tls: TlsConnector,
}

impl ApiServer {
    /// From a kubeconfig with a token, such as `sluice up` writes.
    pub async fn of(kubeconfig: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(kubeconfig).context("reading the kubeconfig")?;
        let raw: Value = serde_saphyr::from_str(&text).context("reading the kubeconfig")?;
        let token = raw
            .pointer("/users/0/user/token")
            .and_then(Value::as_str)
            .context("the kubeconfig has no token")?;
        let config = Config::from_custom_kubeconfig(
            Kubeconfig::from_yaml(&text)?,
            &KubeConfigOptions::default(),
        )
        .await?;
        let mut roots = rustls::RootCertStore::empty();
        for certificate in config.root_cert.iter().flatten() {
            roots.add(CertificateDer::from(certificate.clone()))?;
        }
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
            rustls::crypto::ring::default_provider(),
        ))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
        let authority = config.cluster_url.authority();
        let authority = authority.context("the kubeconfig's server is no URL")?;
        Ok(Self {
            host: authority.host().to_owned(),
            authority: authority.to_string(),
            token: HeaderValue::from_str(&format!("Bearer {token}"))?,
            tls: TlsConnector::from(Arc::new(tls)),
        })
    }

    /// Opens connections that stay open.
    pub async fn connect(self: &Arc<Self>, connections: usize) -> anyhow::Result<Load> {
        let mut senders = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(&self.authority).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(self.host.clone())?;
            let stream = self.tls.connect(name, stream).await?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            senders.push(sender);
        }
        Ok(Load {
            server: Arc::clone(self),
            senders,
        })
    }

    fn request(&self, path: &str, body: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        Ok(Request::post(path)
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, &self.token)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?)
    }
}

/// Open connections.
pub struct Load {
    server: Arc<ApiServer>,
    senders: Vec<SendRequest<Full<Bytes>>>,
}

/// What came of a burst.
#[derive(Debug, Default)]
pub struct Burst {
    /// From the first request to the last answer.
    pub took: Duration,
    /// Of each that was created.
    pub latencies: Vec<Duration>,
    /// What was answered to the others.
    pub refused: Vec<String>,
}

impl Burst {
    /// Created objects a second.
    pub fn rate(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)] // counts are small
        let created = self.latencies.len() as f64;
        created / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

impl Load {
    /// Posts `count` bodies to a collection, each connection its next as soon as it has an answer.
    pub async fn fire(&mut self, path: &str, body: &Bytes, count: usize) -> anyhow::Result<Burst> {
        let taken = Arc::new(AtomicUsize::new(0));
        let path: Arc<str> = Arc::from(path);
        let began = Instant::now();
        let mut connections = JoinSet::new();
        for mut sender in self.senders.drain(..) {
            let (server, taken) = (Arc::clone(&self.server), Arc::clone(&taken));
            let (path, body) = (Arc::clone(&path), body.clone());
            connections.spawn(async move {
                let mut burst = Burst::default();
                while taken.fetch_add(1, Ordering::Relaxed) < count {
                    let request = server.request(&path, body.clone())?;
                    let asked = Instant::now();
                    sender.ready().await?;
                    let response = sender.send_request(request).await?;
                    let status = response.status();
                    let answer = response.into_body().collect().await?.to_bytes();
                    if status == StatusCode::CREATED {
                        burst.latencies.push(asked.elapsed());
                    } else {
                        burst
                            .refused
                            .push(String::from_utf8_lossy(&answer).into_owned());
                    }
                }
                anyhow::Ok((sender, burst))
            });
        }
        let mut all = Burst::default();
        while let Some(done) = connections.join_next().await {
            let (sender, burst) = done??;
            self.senders.push(sender);
            all.latencies.extend(burst.latencies);
            all.refused.extend(burst.refused);
        }
        all.took = began.elapsed();
        Ok(all)
    }
}
