//! A port in plain HTTP that whoever reaches it may use: nothing that somebody does on it may take much memory, or keep probes out.
//!
//! HTTP/1.1 only, one request for each connection, which ends soon whatever its other side does. Where all places are taken the
//! oldest connection makes room: who only probes is answered long before it is the oldest. The controller has a copy of this.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// Open connections at most; kubelet and Prometheus need a few.
pub(super) const CONNECTIONS: usize = 256;

/// From the connection to the end of the request's head.
const HEAD: Duration = Duration::from_secs(5);

/// Bytes of a head.
const HEADERS: usize = 16 << 10;

/// For a request and all of its answer. Prometheus waits for ten seconds if it is told nothing else.
const WHOLE: Duration = Duration::from_secs(15);

/// How long to wait after the operating system refused a connection (out of file descriptors).
const BREATHER: Duration = Duration::from_millis(50);

/// Serves for ever.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection of the metrics port could not be accepted");
                tokio::time::sleep(BREATHER).await;
                continue;
            }
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(tokio::spawn(answer(stream, router.clone())).abort_handle());
        // The request is there already, as a rule: it is answered before the next connections come.
        tokio::task::yield_now().await;
    }
}

async fn answer(stream: TcpStream, router: Router) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEADERS)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match tokio::time::timeout(WHOLE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection of the metrics port ended"),
        Err(_) => tracing::debug!("a connection of the metrics port took too long"),
    }
}
