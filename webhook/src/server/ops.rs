//! `/metrics`, `/healthz`, `/readyz` on a plain port of their own: kubelet and Prometheus have no certificate of ours.

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
pub async fn run(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
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
