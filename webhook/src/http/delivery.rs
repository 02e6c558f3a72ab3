//! A reply that knows whether it went out: holds of an "allowed" that nobody took are given back.

use crate::quota::Hold;
use crate::review::answers::Kept;
use axum::body::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The bytes of a reply, and the holds that it announces.
pub struct ReplyBody {
    bytes: Full<Bytes>,
    hold: Option<Box<dyn Hold>>,
    _kept: Kept,
}

impl ReplyBody {
    /// A reply, with the room that it takes; without holds it is just its bytes.
    pub fn new(bytes: Vec<u8>, kept: Kept, hold: Option<Box<dyn Hold>>) -> Self {
        Self {
            bytes: Full::new(Bytes::from(bytes)),
            hold,
            _kept: kept,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    /// Handing the bytes to the connection counts as delivery: from then on the API server may have them.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.bytes).poll_frame(context);
        if polled.is_ready()
            && let Some(hold) = self.hold.take()
        {
            hold.delivered();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU8, Ordering};

    struct Probe(Arc<AtomicU8>);
    impl Hold for Probe {
        fn delivered(self: Box<Self>) {
            self.0.store(1, Ordering::SeqCst);
            std::mem::forget(self);
        }
    }
    impl Drop for Probe {
        fn drop(&mut self) {
            self.0.store(2, Ordering::SeqCst);
        }
    }

    #[tokio::test]
    async fn a_reply_that_goes_out_keeps_its_holds_and_one_that_does_not_gives_them_back() {
        let state = Arc::new(AtomicU8::new(0));
        let body = || {
            let hold = Probe(Arc::clone(&state));
            ReplyBody::new(b"{}".to_vec(), Kept::default(), Some(Box::new(hold)))
        };
        assert_eq!(body().collect().await.unwrap().to_bytes(), "{}");
        assert_eq!(state.load(Ordering::SeqCst), 1, "delivered");
        drop(body());
        assert_eq!(state.load(Ordering::SeqCst), 2, "given back");
    }
}
