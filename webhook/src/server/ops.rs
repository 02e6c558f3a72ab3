//! `/metrics`, `/healthz`, `/readyz` on a plain port of their own: kubelet and Prometheus have no certificate of ours.

use super::plain;
use crate::metrics::Metrics;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What stands in the way of being ready; empty: nothing.
pub type Obstacles = Vec<String>;

#[derive(Clone)]
struct Ops {
    metrics: Arc<Metrics>,
    obstacles: watch::Receiver<Obstacles>,
}

/// Routes over the metrics and the state of readiness.
pub fn router(metrics: Arc<Metrics>, obstacles: watch::Receiver<Obstacles>) -> Router {
    Router::new()
        .route("/metrics", get(show_metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(Ops { metrics, obstacles })
}

/// Serves the routes until stopped.
pub async fn run(listener: TcpListener, router: Router, stop: CancellationToken) {
    stop.run_until_cancelled(plain::serve(listener, router))
        .await;
}

async fn show_metrics(State(ops): State<Ops>) -> impl IntoResponse {
    let headers = [(
        CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    (headers, ops.metrics.encode())
}

async fn readiness(State(ops): State<Ops>) -> (StatusCode, String) {
    let obstacles = ops.obstacles.borrow();
    if obstacles.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("{}\n", obstacles.join("\n")),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::net::SocketAddr;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    async fn started() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_, obstacles) = watch::channel(Obstacles::new());
        let router = router(Arc::new(Metrics::default()), obstacles);
        tokio::spawn(run(listener, router, CancellationToken::new()));
        address
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
