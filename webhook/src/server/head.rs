//! How long an HTTP/1.1 client takes over a request's head: the time from its first byte to its last.
//!
//! hyper has one time-out for this and for the pause between two requests. A connection may be idle for minutes, for API
//! servers keep theirs; a head that takes seconds is somebody who holds the connection open on purpose. So is one who does not read
//! what he is answered, for which hyper has no time-out at all: noted here, too.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// What is known of the head that is being read, and of the requests before it.
#[derive(Debug, Default)]
pub struct Head {
    requests: Mutex<Requests>,
    begun: Mutex<Option<Instant>>,
    stuck: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Requests {
    /// Since when each is being answered, in the order in which they came.
    answering: BTreeMap<u64, Instant>,
    next: u64,
    /// When the last one was answered; at first: when there was none yet.
    last: Instant,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            answering: BTreeMap::new(),
            next: 0,
            last: Instant::now(),
        }
    }
}

impl Head {
    /// A whole head has arrived. Until the returned guard is dropped its request is being answered.
    pub fn complete(self: &Arc<Self>) -> Answering {
        let number = {
            let mut requests = self.requests();
            let number = requests.next;
            requests.next += 1;
            requests.answering.insert(number, Instant::now());
            number
        };
        self.set(None);
        Answering {
            of: Arc::clone(self),
            number,
        }
    }

    /// Since when no request is being answered; `None`: one is.
    pub fn quiet(&self) -> Option<Instant> {
        let requests = self.requests();
        requests.answering.is_empty().then_some(requests.last)
    }

    /// Since when the request that takes longest is being answered; `None`: none is.
    pub fn longest(&self) -> Option<Instant> {
        let requests = self.requests();
        requests.answering.values().next().copied()
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when a head is being read; `None`: none is.
    pub fn begun(&self) -> Option<Instant> {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Since when the other side has taken nothing of what is to be written; `None`: nothing waits.
    pub fn stuck(&self) -> Option<Instant> {
        *self.stuck.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wrote<T>(&self, polled: Poll<T>) -> Poll<T> {
        let mut stuck = self.stuck.lock().unwrap_or_else(PoisonError::into_inner);
        if polled.is_ready() {
            *stuck = None;
        } else {
            stuck.get_or_insert_with(Instant::now);
        }
        polled
    }

    fn set(&self, begun: Option<Instant>) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = begun;
    }

    fn bytes_came(&self) {
        if self.quiet().is_some() && self.begun().is_none() {
            self.set(Some(Instant::now()));
        }
    }
}

/// A request that is being answered; what is read meanwhile is its body.
#[derive(Debug)]
pub struct Answering {
    of: Arc<Head>,
    number: u64,
}

impl Drop for Answering {
    fn drop(&mut self) {
        let mut requests = self.of.requests();
        requests.answering.remove(&self.number);
        requests.last = Instant::now();
    }
}

/// A stream that takes note of heads, and of bytes that nobody takes.
#[derive(Debug)]
pub struct Noting<S> {
    stream: S,
    head: Arc<Head>,
}

impl<S> Noting<S> {
    /// Over this stream.
    pub fn new(stream: S, head: Arc<Head>) -> Self {
        Self { stream, head }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.head.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noting<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.head.wrote(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.head.wrote(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.head.wrote(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.head.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
