//! One connection: handshake, first request, further requests, answers, each with its time-out.

use super::Stop;
use super::head::{Head, Noting};
use super::places::Place;
use super::unsent::{Noted, Unsent};
use crate::review::room::WAITING;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// How long clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the handshake to the first whole request head. One that sends a byte now and then is cut off here.
    pub first_request: Duration,
    /// HTTP/1.1: from the first byte of a later request's head to its last. Whoever sends a byte now and then, after a first
    /// request in good order, is cut off here.
    pub head: Duration,
    /// For the other side to take something of what is written and, over HTTP/2, to open its window for all of an answer.
    /// Whoever reads nothing is cut off here.
    pub write: Duration,
    /// Between the end of one request and the end of the next one's head; over HTTP/2: and its beginning. Longer than the 90 s
    /// after which an API server drops an idle connection itself: were it shorter, a review could meet a
    /// connection that we are just closing.
    pub idle: Duration,
    /// HTTP/2: a silent peer is asked for a sign of life this often, and has as long again to give it.
    pub ping: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            first_request: Duration::from_secs(10),
            head: Duration::from_secs(10),
            write: Duration::from_secs(10),
            idle: Duration::from_mins(2),
            ping: Duration::from_secs(30),
        }
    }
}

/// HTTP/2 streams at once on one connection; the API server multiplexes all its reviews on one or two.
const STREAMS: u32 = 512;

/// HTTP/2 windows: so much of a body may come before it is read. Large enough for most reviews without a round trip.
const WINDOW: u32 = 256 << 10;

/// Of all bodies of a connection together. Those who wait for room are not read, and there may be as many of them as there are places
/// to wait in: were this no more than their windows, nothing would come any more of the others.
const ALL_WINDOWS: u32 = WINDOW * 48;

const _: () = assert!(ALL_WINDOWS as usize >= (2 * WAITING + 16) * WINDOW as usize);

/// Header bytes, HTTP/1.1 and HTTP/2.
const HEADERS: u32 = 16 << 10;

/// Who is sent away has this long to end the connection; what was on its way to us just then is answered.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// While something of his is being answered he may stay longer: as long as an API server may wait for it.
const LONGEST_FAREWELL: Duration = Duration::from_secs(30);

/// Serves one connection until it ends, times out, has given its last answer since the server leaves, or is told to drain, or to make
/// room, and has answered what it was at; or until it is evicted.
pub async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    patience: Patience,
    stop: Stop,
    place: Place,
) {
    let _ = stream.set_nodelay(true); // a reply is one small write; an error shows at that write
    let handshake = tokio::time::timeout(patience.handshake, acceptor.accept(stream));
    let Some(shaken) = place.wanted.run_until_cancelled(handshake).await else {
        return;
    };
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!("handshake took too long");
            return;
        }
    };
    // Over HTTP/2 bytes come at any time, and a silent peer is pinged.
    let is_http1 = stream.get_ref().1.alpn_protocol() != Some(b"h2");
    let head = Arc::clone(&place.head);
    let stream = Noting::new(stream, Arc::clone(&head));
    let asked = Arc::new(AtomicBool::new(false));
    let (seen, heads) = (Arc::clone(&asked), Arc::clone(&head));
    let unsent = Arc::new(Unsent::default());
    let answers = Arc::clone(&unsent);
    let leaving = stop.leaving.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        seen.store(true, Ordering::Relaxed);
        let router = router.clone();
        let answering = heads.complete();
        let leaving = leaving.clone();
        let answers = Arc::clone(&answers);
        async move {
            let _answering = answering;
            let mut response = router.oneshot(request.map(axum::body::Body::new)).await?;
            if is_http1 && leaving.is_cancelled() {
                let headers = response.headers_mut();
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<Response<Noted>, Infallible>(response.map(|body| answers.noting(body)))
        }
    });
    let builder = builder(patience);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut first = pin!(tokio::time::sleep(patience.first_request));
    let mut waits_for_first = true;
    let mut draining = false;
    let look = (patience.head.min(patience.write) / 4).min(FAREWELL);
    let mut looks = tokio::time::interval(look.max(Duration::from_millis(1)));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watched = Watched {
        patience,
        is_http1,
        head,
        unsent,
        was_late: false,
        sent_away: None,
    };
    loop {
        tokio::select! {
            // The connection first: after a pause of our own its bytes may be there already, and nobody was late.
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = first.as_mut(), if waits_for_first => {
                if !asked.load(Ordering::Relaxed) {
                    tracing::debug!("no request came in time");
                    return;
                }
                waits_for_first = false;
            }
            _ = looks.tick() => {
                if let Some(why) = watched.cut_off_for() {
                    tracing::debug!(why, "cut off");
                    return;
                }
                if watched.is_idle() {
                    watched.sent_away = Some(Instant::now());
                    connection.as_mut().graceful_shutdown();
                }
            }
            () = place.evicted.cancelled() => {
                tracing::debug!("evicted");
                return;
            }
            () = place.wanted.cancelled(), if watched.sent_away.is_none() => {
                watched.sent_away = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            () = stop.drain.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A connection, as it is looked at time and again.
struct Watched {
    patience: Patience,
    is_http1: bool,
    head: Arc<Head>,
    unsent: Arc<Unsent>,
    was_late: bool,
    /// Since when it ought to end by itself.
    sent_away: Option<Instant>,
}

impl Watched {
    /// Why it ends at once, if it does.
    fn cut_off_for(&mut self) -> Option<&'static str> {
        let Patience { head, write, .. } = self.patience;
        if self.is_http1
            && self
                .head
                .begun()
                .is_some_and(|begun| begun.elapsed() > head)
        {
            return Some("a request's head took too long");
        }
        let unsent = self.unsent.oldest();
        let waits = self.head.stuck().into_iter().chain(unsent).min();
        let late = waits.is_some_and(|since| since.elapsed() > write);
        // Twice: after a pause of our own the answers are only about to be sent.
        if late && self.was_late {
            return Some("nobody reads the answers");
        }
        self.was_late = late;
        let leaving_for = self.sent_away?.elapsed();
        let done = self.head.quiet().is_some() && unsent.is_none();
        (leaving_for > if done { FAREWELL } else { LONGEST_FAREWELL })
            .then_some("it did not end by itself")
    }

    /// Over HTTP/2, for which hyper has no such time-out: whoever answers pings would stay for ever.
    fn is_idle(&self) -> bool {
        let quiet = self.head.quiet().filter(|_| !self.is_http1);
        self.sent_away.is_none() && quiet.is_some_and(|since| since.elapsed() > self.patience.idle)
    }
}

fn builder(patience: Patience) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.idle)
        .max_buf_size(64 << 10)
        .keep_alive(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(patience.ping)
        .keep_alive_timeout(patience.ping)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(ALL_WINDOWS)
        .max_header_list_size(HEADERS);
    builder
}
