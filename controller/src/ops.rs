//! `/metrics`, `/healthz`, `/readyz` of the controller, in plain HTTP on a port of their own.
//!
//! Ready is who can hold the election, whether it leads or waits for its turn. Alive is whose election goes on: each turn has a
//! time-out, so one that does not come round again hangs.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::metrics::metrics;

/// A turn of the election takes four seconds at most.
const STALLED: Duration = Duration::from_mins(1);

/// How the election goes on.
#[derive(Clone, Copy, Debug)]
pub struct Pulse {
    /// When a turn ended last, well or not; at first: when the process began.
    pub turned: Instant,
    /// Whether the API server has ever let us take part.
    pub held: bool,
}

impl Pulse {
    /// Of a process that begins.
    pub fn begin() -> Self {
        Self {
            turned: Instant::now(),
            held: false,
        }
    }
}

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on {address} (--metrics-listen): {source}; choose another address or end what uses it"
)]
pub struct PortTaken {
    address: SocketAddr,
    source: std::io::Error,
}

/// Takes the port.
///
/// # Errors
/// It is taken, or not ours to take.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, PortTaken> {
    TcpListener::bind(address)
        .await
        .map_err(|source| PortTaken { address, source })
}

/// Shows all of it for ever.
pub async fn serve(listener: TcpListener, pulse: watch::Receiver<Pulse>) {
    let router = Router::new()
        .route("/metrics", get(show))
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .with_state(pulse);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the metrics port failed");
    }
}

async fn show() -> impl IntoResponse {
    let headers = [(
        CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    (headers, metrics().encode())
}

async fn alive(State(pulse): State<watch::Receiver<Pulse>>) -> (StatusCode, String) {
    let silent = pulse.borrow().turned.elapsed();
    if silent < STALLED {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        let seconds = silent.as_secs();
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the election has not moved for {seconds} s\n"),
        )
    }
}

async fn ready(State(pulse): State<watch::Receiver<Pulse>>) -> (StatusCode, &'static str) {
    if pulse.borrow().held {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the election could not be held yet; the log says why\n",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_once_the_election_was_held_and_alive_while_it_goes_on() {
        let (tell, told) = watch::channel(Pulse::begin());
        assert_eq!(ready(State(told.clone())).await.0, 503);
        assert_eq!(alive(State(told.clone())).await.0, 200);
        tell.send_modify(|pulse| pulse.held = true);
        assert_eq!(ready(State(told.clone())).await.0, 200);
        tokio::time::pause();
        tokio::time::advance(STALLED + Duration::from_secs(1)).await;
        let (code, why) = alive(State(told.clone())).await;
        assert_eq!(
            (code.as_u16(), why.as_str()),
            (503, "the election has not moved for 61 s\n")
        );
        tell.send_modify(|pulse| pulse.turned = Instant::now());
        assert_eq!(alive(State(told)).await.0, 200);
    }
}
