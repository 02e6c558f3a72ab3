//! `/metrics`, `/healthz`, `/readyz` of the controller, in plain HTTP on a port of their own.
//!
//! Ready is who can hold the election, whether it leads or waits for its turn. Alive is whose election goes on: each turn has a
//! time-out, so one that does not come round again hangs.

mod plain;

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
    plain::serve(listener, router).await;
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
    use futures::future::join_all;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn started() -> SocketAddr {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let pulse = Pulse {
            held: true,
            ..Pulse::begin()
        };
        let (_, told) = watch::channel(pulse);
        tokio::spawn(serve(listener, told));
        address
    }

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
    /// Everything that comes until the other side ends the connection, which it does before a probe or a scrape would be given up.
    async fn rest(mut stream: TcpStream) -> String {
        let mut read = Vec::new();
        let reading = stream.read_to_end(&mut read);
        let ended = tokio::time::timeout(Duration::from_secs(10), reading).await;
        assert!(ended.is_ok(), "still open");
        String::from_utf8_lossy(&read).into_owned()
    }

    async fn begun(address: SocketAddr, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Whoever is cut off in the middle of it hears so.
        let _ = stream.write_all(bytes.as_bytes()).await;
        stream
    }

    async fn asked(address: SocketAddr, path: &str) -> String {
        rest(begun(address, &format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await).await
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_sends_half_a_head_is_cut_off_and_keeps_nobody_out() {
        let address = started().await;
        let half = format!("GET /readyz HTTP/1.1\r\nx: {}", "y".repeat(8_000));
        let mut crowd = Vec::new();
        for _ in 0..plain::CONNECTIONS + 10 {
            crowd.push(begun(address, &half).await);
        }
        let began = Instant::now();
        let ready = asked(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        assert!(began.elapsed() < Duration::from_secs(2), "it had to wait");
        let cut_off = join_all(crowd.into_iter().map(rest)).await;
        assert!(cut_off.iter().all(|said| !said.contains("200")));
    }

    #[tokio::test]
    async fn a_long_head_is_refused_and_a_long_answer_comes_whole() {
        let address = started().await;
        let long = format!("GET /readyz HTTP/1.1\r\nx: {}", "y".repeat(64 << 10));
        let refused = rest(begun(address, &long).await).await;
        assert!(
            refused.is_empty() || refused.starts_with("HTTP/1.1 431"),
            "{refused}"
        );
        let metrics = asked(address, "/metrics").await;
        assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    }
}
