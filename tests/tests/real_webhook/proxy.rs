//! Between the webhook and its API server: everything passes, apart from the faults that a test asks for.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::StreamExt;
use kube::Client;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// What happens when the session cluster `scaled` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parent {
    /// It is read.
    Reads,
    /// Somebody changes it first.
    Moves,
    /// The same, the next time only.
    MovesOnce,
    /// The API server cannot just now, which kube's client by itself would ask again about for minutes.
    Fails,
    /// No answer comes.
    Hangs,
}

#[derive(Clone)]
struct Inner {
    client: Client,
    parent: Arc<Mutex<Parent>>,
    reads: Arc<AtomicUsize>,
    quotas_held: watch::Sender<bool>,
    defaults_held: watch::Sender<bool>,
}

/// The proxy; it ends with the test's runtime.
pub struct Proxy {
    inner: Inner,
    port: u16,
}

const PARENT: &str = "/apis/sluice.dev/v1alpha1/namespaces/team-a/sessionclusters/scaled";

impl Proxy {
    /// In front of the API server that the client talks to, with the client's rights.
    pub async fn start(client: Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Inner {
            client,
            parent: Arc::new(Mutex::new(Parent::Reads)),
            reads: Arc::default(),
            quotas_held: watch::Sender::new(false),
            defaults_held: watch::Sender::new(false),
        };
        let router = Router::new().fallback(pass).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { inner, port }
    }

    /// A kubeconfig for it.
    pub fn kubeconfig(&self, dir: &Path) -> PathBuf {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://127.0.0.1:{}", self.port)}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        let path = dir.join("proxy.kubeconfig");
        std::fs::write(&path, config.to_string()).unwrap();
        path
    }

    /// From now on reads of the session cluster `scaled` go like this.
    pub fn parent(&self, parent: Parent) {
        *self.inner.parent.lock().unwrap() = parent;
    }

    /// How often the session cluster `scaled` was read until now.
    pub fn reads(&self) -> usize {
        self.inner.reads.load(Ordering::SeqCst)
    }

    /// Whether what watches of quotas bring is held back, though their connections are up.
    pub fn hold_watches(&self, held: bool) {
        self.inner.quotas_held.send_replace(held);
    }

    /// Whether admins' defaults are held back, in a list and in a watch.
    pub fn hold_defaults(&self, held: bool) {
        self.inner.defaults_held.send_replace(held);
    }
}

async fn pass(State(proxy): State<Inner>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    if target == PARENT {
        proxy.reads.fetch_add(1, Ordering::SeqCst);
        let parent = {
            let mut parent = proxy.parent.lock().unwrap();
            let now = *parent;
            if now == Parent::MovesOnce {
                *parent = Parent::Reads;
            }
            now
        };
        match parent {
            Parent::Reads => {}
            Parent::Moves | Parent::MovesOnce => proxy.touch().await,
            Parent::Hangs => std::future::pending().await,
            Parent::Fails => {
                return Response::builder()
                    .status(503)
                    .header("content-type", "application/json")
                    .body(Body::from(
                        r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"etcd is away","reason":"ServiceUnavailable","code":503}"#,
                    ))
                    .unwrap();
            }
        }
    }
    for hop in ["host", "accept-encoding", "authorization", "connection"] {
        parts.headers.remove(hop);
    }
    parts.uri = target.parse().unwrap();
    let bytes: Bytes = to_bytes(body, 64 << 20).await.unwrap();
    let request = axum::http::Request::from_parts(parts, kube::client::Body::from(bytes.to_vec()));
    let (parts, body) = proxy.client.send(request).await.unwrap().into_parts();
    let held = if target.contains("cpuquotas") && target.contains("watch=") {
        Some(proxy.quotas_held.subscribe())
    } else if target.contains("/deploymentdefaults") {
        Some(proxy.defaults_held.subscribe())
    } else {
        None
    };
    let frames = Body::new(body).into_data_stream().then(move |frame| {
        let held = held.clone();
        async move {
            if let Some(mut held) = held {
                let _ = held.wait_for(|held| !held).await;
            }
            frame
        }
    });
    Response::from_parts(parts, Body::from_stream(frames))
}

impl Inner {
    async fn touch(&self) {
        let patch = json!({"metadata": {"annotations": {"touched": format!("{:?}", std::time::Instant::now())}}});
        let request = axum::http::Request::patch(PARENT)
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into_bytes())
            .unwrap();
        let touch = self.client.request::<serde_json::Value>(request);
        tokio::time::timeout(Duration::from_secs(10), touch)
            .await
            .unwrap()
            .unwrap();
    }
}
