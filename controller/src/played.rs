//! An API server that a test plays where the real one would not do: which answer comes when is what is tested.

use std::sync::{Arc, Mutex, PoisonError};

use axum::handler::Handler;
use axum::http::{Method, StatusCode, Uri};
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Address of a server that answers every request so.
pub async fn address_of<T: 'static>(answer: impl Handler<T, ()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A client of a server that answers every request so.
pub async fn client_of<T: 'static>(answer: impl Handler<T, ()>) -> Client {
    let address = address_of(answer).await;
    let mut config = kube::Config::new(address.parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

/// One that answers as it is told to, and remembers what it was asked.
pub struct ApiServer {
    /// A way to it.
    pub client: Client,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    /// One that answers a method and a path, as in `GET /api/v1/namespaces/n/pods`, with a code and a body.
    pub async fn answering(
        answer: impl Fn(&str) -> (u16, Value) + Clone + Send + Sync + 'static,
    ) -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let remembered = Arc::clone(&asked);
        let answer = move |method: Method, uri: Uri| {
            let asked = format!("{method} {}", uri.path());
            let (code, body) = answer(&asked);
            let mut all = remembered.lock().unwrap_or_else(PoisonError::into_inner);
            all.push(asked);
            std::future::ready((StatusCode::from_u16(code).unwrap(), body.to_string()))
        };
        let client = client_of(answer).await;
        Self { client, asked }
    }

    /// What it was asked, in this order.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

/// The body that goes with a code by which something is refused.
pub fn refusal(code: u16) -> Value {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        422 => "Invalid",
        _ => "InternalError",
    };
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no"})
}
