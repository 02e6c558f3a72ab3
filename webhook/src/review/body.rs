//! Reads a body off a connection, within a size and a time. Of a body that is too large only the uid is kept.

use super::uid::UidFinder;
use axum::body::{Body, Bytes};
use http_body_util::BodyExt;
use std::time::Duration;
use tokio::time::Instant;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A body up to this many bytes is read whole.
    pub keep: usize,
    /// Of a longer one the uid is sought up to here; then reading stops.
    pub read: usize,
}

impl Default for Limits {
    /// 5 MiB and 20 MiB: a legitimate replace made a review of 4.3 MB, escaping one of 17.4 MB (decision 13).
    fn default() -> Self {
        Self {
            keep: 5 << 20,
            read: 20 << 20,
        }
    }
}

/// What arrived.
#[derive(Debug)]
pub enum Received {
    /// All of it.
    Whole(Bytes),
    /// More than is kept.
    TooLarge {
        /// The uid, if it was found.
        uid: Option<String>,
    },
    /// The time was up.
    Slow {
        /// The uid, if it was found in what had arrived.
        uid: Option<String>,
    },
    /// The connection broke; nobody is there to be answered, but the reply is made all the same.
    Broken {
        /// The uid, if it was found in what had arrived.
        uid: Option<String>,
    },
}

/// Reads a body until its end, a limit or the deadline.
pub async fn receive(
    mut body: Body,
    announced: Option<usize>,
    limits: Limits,
    deadline: Instant,
) -> Received {
    let mut kept: Vec<u8> = Vec::with_capacity(announced.unwrap_or(0).min(limits.keep));
    let mut finder = UidFinder::default();
    let mut total: usize = 0;
    let mut overflown = false;
    loop {
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Err(_) => {
                return Received::Slow {
                    uid: uid_of(&kept, &finder),
                };
            }
            Ok(Some(Err(_))) => {
                return Received::Broken {
                    uid: uid_of(&kept, &finder),
                };
            }
            Ok(None) => break,
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        total = total.saturating_add(data.len());
        if overflown {
            finder.feed(&data);
        } else if total > limits.keep {
            overflown = true;
            finder.feed(&kept);
            kept = Vec::new();
            finder.feed(&data);
        } else {
            kept.extend_from_slice(&data);
        }
        if total > limits.read {
            break;
        }
    }
    if overflown {
        Received::TooLarge {
            uid: finder.found().map(str::to_owned),
        }
    } else {
        Received::Whole(Bytes::from(kept))
    }
}

fn uid_of(kept: &[u8], finder: &UidFinder) -> Option<String> {
    finder
        .found()
        .map(str::to_owned)
        .or_else(|| UidFinder::find(kept))
}

/// The time that the API server grants, from the `?timeout=` of its request (a Go duration: `3s`, `1m30s`, `500ms`).
/// Whatever cannot be read counts as not given.
pub fn granted(query: Option<&str>) -> Option<Duration> {
    let value = query?
        .split('&')
        .find_map(|pair| pair.strip_prefix("timeout="))?;
    let mut left = value;
    let mut total = Duration::ZERO;
    while !left.is_empty() {
        let digits = left.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, rest) = left.split_at(digits);
        let number: f64 = number.parse().ok()?;
        let (seconds, rest) = [
            ("ms", 0.001),
            ("us", 1e-6),
            ("ns", 1e-9),
            ("s", 1.0),
            ("m", 60.0),
            ("h", 3600.0),
        ]
        .into_iter()
        .find_map(|(unit, seconds)| Some((seconds, rest.strip_prefix(unit)?)))?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        left = rest;
    }
    Some(total).filter(|total| !total.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    fn chunks(chunks: Vec<&'static str>) -> Body {
        Body::from_stream(stream::iter(chunks.into_iter().map(Ok::<_, Infallible>)))
    }

    const TINY: Limits = Limits { keep: 40, read: 80 };

    #[tokio::test]
    async fn what_fits_is_kept_whole() {
        let received = receive(chunks(vec!["{\"a\":", "1}"]), None, TINY, soon()).await;
        assert!(matches!(received, Received::Whole(bytes) if bytes == "{\"a\":1}"));
    }

    #[tokio::test]
    async fn of_what_is_too_large_the_uid_is_kept_even_behind_the_object() {
        for body in [
            vec![
                "{\"request\":{\"uid\":\"u-1\",",
                "\"object\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}",
            ],
            vec![
                "{\"request\":{\"object\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "xxx\",\"u",
                "id\":\"u-1\"}}",
            ],
        ] {
            match receive(chunks(body), None, TINY, soon()).await {
                Received::TooLarge { uid } => assert_eq!(uid.as_deref(), Some("u-1")),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn reading_stops_at_the_outer_limit() {
        let endless = Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>("{\"x\":[")));
        assert!(matches!(
            receive(endless, None, TINY, soon()).await,
            Received::TooLarge { uid: None }
        ));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up_with_its_uid() {
        let stalling = stream::iter([Ok::<_, Infallible>("{\"request\":{\"uid\":\"u-1\",")]);
        let body = Body::from_stream(futures::StreamExt::chain(stalling, stream::pending()));
        match receive(
            body,
            Some(1 << 40),
            Limits::default(),
            Instant::now() + Duration::from_secs(2),
        )
        .await
        {
            Received::Slow { uid } => assert_eq!(uid.as_deref(), Some("u-1")),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_the_time_that_go_writes() {
        for (query, millis) in [
            ("timeout=3s", Some(3000)),
            ("a=b&timeout=1m30s", Some(90_000)),
            ("timeout=500ms", Some(500)),
            ("timeout=2.5s&x", Some(2500)),
            ("timeout=", None),
            ("timeout=0s", None),
            ("timeout=3", None),
            ("timeout=-3s", None),
            ("timeout=99999999999999999999h", None),
            ("timeout=1e400s", None),
            ("x=3s", None),
        ] {
            assert_eq!(
                granted(Some(query)),
                millis.map(Duration::from_millis),
                "{query}"
            );
        }
        assert_eq!(granted(None), None);
    }
}
