//! An API server that a test plays where the real one would not do: which answer comes when is what is tested.

use axum::handler::Handler;
use kube::Client;
use tokio::net::TcpListener;

/// A client of a server that answers every request so.
pub async fn client_of<T: 'static>(answer: impl Handler<T, ()>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut config = kube::Config::new(address.parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}
