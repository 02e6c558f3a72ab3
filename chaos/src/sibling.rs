//! Somebody else's validating webhook, asked beside ours: it refuses at random what Sluice has admitted, and takes its time, so that
//! holds stay without a write and writes come late.

use crate::dice::Dice;
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What it says when it refuses.
pub const REFUSAL: &str = "the sibling does not like it";
/// How its entry is called.
pub const NAME: &str = "zz-sibling.chaos.sluice.dev";

/// The server, until it is dropped.
#[derive(Debug)]
pub struct Sibling {
    mood: Arc<Mutex<Mood>>,
    /// Base64 of its certificate's PEM, for the registration.
    pub authority: String,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Mood {
    dice: Dice,
    percent: u64,
    longest: Duration,
}

impl Sibling {
    /// Listens; at first it agrees to everything at once.
    pub async fn start(port: u16, seed: u64) -> anyhow::Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .context("the sibling webhook's port")?;
        let mood = Arc::new(Mutex::new(Mood {
            dice: Dice::new(seed, u64::MAX),
            percent: 0,
            longest: Duration::ZERO,
        }));
        let task = tokio::spawn(serve(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            Arc::clone(&mood),
        ));
        Ok(Self {
            mood,
            authority: STANDARD.encode(made.cert.pem()),
            task,
        })
    }

    /// From now on it refuses so many of a hundred, and takes up to so long for each answer.
    pub fn mood(&self, percent: u64, longest: Duration) {
        let mut mood = self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        mood.percent = percent;
        mood.longest = longest;
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, mood: Arc<Mutex<Mood>>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (tls, mood) = (tls.clone(), Arc::clone(&mood));
                connections.spawn(async move {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let service = hyper::service::service_fn(move |request| answer(request, Arc::clone(&mood)));
                    // A connection that breaks is the API server's affair.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    mood: Arc<Mutex<Mood>>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let (refuses, pause) = {
        let mut mood = mood.lock().unwrap_or_else(PoisonError::into_inner);
        let percent = mood.percent;
        let longest = u64::try_from(mood.longest.as_millis()).unwrap_or_default();
        (
            mood.dice.percent(percent),
            Duration::from_millis(mood.dice.below(longest.max(1))),
        )
    };
    tokio::time::sleep(pause).await;
    let mut response = json!({"uid": review.pointer("/request/uid"), "allowed": !refuses});
    if refuses {
        crate::objects::set(
            &mut response,
            &["status"],
            json!({"code": 403, "message": REFUSAL}),
        );
    }
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    let mut answer = Response::new(Full::new(Bytes::from(review.to_string())));
    let json = hyper::header::HeaderValue::from_static("application/json");
    answer
        .headers_mut()
        .insert(hyper::header::CONTENT_TYPE, json);
    Ok(answer)
}
