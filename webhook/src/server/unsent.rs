//! Answers that wait for the client to take them. Over HTTP/2 a body is sent only as far as the client's window lets it, so a client
//! with a window of nothing would hold hundreds of answers, each as long as what it has sent to be echoed. The bytes of the
//! connection flow all the while, so [`super::head`] sees nothing of it.

use crate::review::answers::SHORT;
use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::time::Instant;

/// Since when each answer of a connection waits.
#[derive(Debug, Default)]
pub struct Unsent(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of arrival, so the first is the oldest.
    since: BTreeMap<u64, Instant>,
    next: u64,
}

impl Unsent {
    /// Since when the oldest answer waits; `None`: none does.
    pub fn oldest(&self) -> Option<Instant> {
        self.waiting().since.values().next().copied()
    }

    /// An answer that counts as unsent until its body has been taken or given up.
    pub fn noting(self: &Arc<Self>, body: Body) -> Noted {
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next += 1;
        waiting.since.insert(number, Instant::now());
        Noted {
            body,
            held_back: None,
            _place: Place {
                of: Arc::clone(self),
                number,
            },
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// From this size on the last byte of a piece is handed out by itself: hyper takes a whole piece as soon as the window is open for a
/// byte of it, and the next one only when it is open for all before. So the body, and the room that it takes, stay until then.
const HELD_BACK_FROM: usize = SHORT;

/// A body whose end is noted.
#[derive(Debug)]
pub struct Noted {
    body: Body,
    held_back: Option<Bytes>,
    _place: Place,
}

#[derive(Debug)]
struct Place {
    of: Arc<Unsent>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.waiting().since.remove(&self.number);
    }
}

impl hyper::body::Body for Noted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(last) = self.held_back.take() {
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)?) else {
            return Poll::Ready(None);
        };
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(mut bytes) => {
                if bytes.len() >= HELD_BACK_FROM {
                    self.held_back = Some(bytes.split_off(bytes.len() - 1));
                }
                Frame::data(bytes)
            }
            Err(other) => other,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.held_back.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let held_back = self.held_back.as_ref().map_or(0, Bytes::len) as u64;
        let of_body = self.body.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + held_back);
        }
        hint.set_lower(of_body.lower() + held_back);
        hint
    }
}
