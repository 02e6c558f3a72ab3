//! The TLS server: accepts, shakes hands, serves HTTP/1.1 and HTTP/2, and stops without dropping anybody.
//!
//! * [`tls`]: versions, protocols, where the leaf comes from.
//! * [`clients`]: whose certificate clients have to show, where that is asked for.
//! * [`places`]: how many connections there are at once, and which one makes room.
//! * [`files`]: how many the operating system lets us have open.
//! * [`connection`]: one connection, with its time-outs; [`head`]: the one that hyper has not.
//! * [`ops`]: metrics, health and readiness, on a plain port of their own; `plain`: that port's limits.
//!
//! What is not here: what is answered ([`crate::http`]).

pub mod clients;
pub mod connection;
pub mod files;
pub mod head;
pub mod ops;
pub mod places;
mod plain;
pub mod tls;
pub mod unsent;

use crate::metrics::Metrics;
use axum::Router;
use clients::Clients;
use connection::Patience;
use places::Places;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Open connections at most. The API servers keep a handful each; more than this is somebody else.
const CONNECTIONS: usize = 1024;

/// How long to wait after the operating system refused a connection (out of file descriptors).
const BREATHER: Duration = Duration::from_millis(50);

/// A server that has not started.
pub struct Server {
    /// Where it listens.
    pub listener: TcpListener,
    /// TLS.
    pub tls: Arc<rustls::ServerConfig>,
    /// Whose clients are let in, where that is asked for: when it changes, who is connected has to show his certificate anew.
    pub clients: Option<Arc<Clients>>,
    /// What it serves.
    pub router: Router,
    /// How long clients may take.
    pub patience: Patience,
    /// Counts connections.
    pub metrics: Arc<Metrics>,
}

/// How a server stops.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Clients are asked to go elsewhere: connections are taken still, but each HTTP/1.1 answer is the last one on its own. Where
    /// a drain ends a connection that is in use, a request may be just on its way, and is lost: an API server does not send
    /// a POST again.
    pub leaving: CancellationToken,
    /// No new connections; open ones finish what they are at and close.
    pub drain: CancellationToken,
    /// What is still open this long after that is cut off.
    pub drain_for: Duration,
}

impl Server {
    /// Serves until told to drain, and returns when the last connection is gone or the time for it is up.
    pub async fn run(self, stop: Stop) {
        let acceptor = TlsAcceptor::from(self.tls);
        let places = Places::new(files::places(CONNECTIONS));
        let mut replaced = self.clients.map(|clients| clients.replaced());
        let open = TaskTracker::new();
        let cut_off = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                () = stop.drain.cancelled() => break,
                () = news(replaced.as_mut()) => {
                    places.renew();
                    continue;
                }
                accepted = self.listener.accept() => accepted,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    if files::ran_out(&error) {
                        places.make_room();
                    }
                    tokio::time::sleep(BREATHER).await;
                    continue;
                }
            };
            // Only once somebody is there: nobody has to make room for nobody.
            let place = tokio::select! {
                () = stop.drain.cancelled() => break,
                place = places.take(from.ip()) => place,
            };
            let Some(place) = place else {
                continue; // closed: whoever it is has most places and is busy with all
            };
            let counted = self.metrics.connection();
            let serving = connection::serve(
                stream,
                acceptor.clone(),
                self.router.clone(),
                self.patience,
                stop.clone(),
                place,
            );
            let cut_off = cut_off.clone();
            open.spawn(async move {
                tokio::select! {
                    () = serving => {}
                    () = cut_off.cancelled() => {}
                }
                drop(counted);
            });
        }
        drop(self.listener);
        open.close();
        if tokio::time::timeout(stop.drain_for, open.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                connections = open.len(),
                "connections were still busy and are cut off"
            );
            cut_off.cancel();
            open.wait().await;
        }
    }
}

/// The next change; none comes where nothing is asked for.
async fn news(replaced: Option<&mut watch::Receiver<u64>>) {
    if let Some(replaced) = replaced
        && replaced.changed().await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
