//! Reads a body off a connection, within a size, a time and the room that there is. Of a body that is too large, or comes when there is no
//! room, only the uid is kept.

use super::room::{BEGINNING, Room, Share, Size, Turn};
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
    /// What all bodies share.
    pub room: Size,
}

impl Default for Limits {
    /// 5 MiB and 20 MiB: a legitimate replace made a review of 4.3 MB, escaping one of 17.4 MB (decision 13).
    fn default() -> Self {
        Self {
            keep: 5 << 20,
            read: 20 << 20,
            room: Size::default(),
        }
    }
}

/// Of a request that does not even get a turn only what has arrived with its head is looked at, for the uid.
const GLANCE: Duration = Duration::from_millis(20);

/// What arrived.
#[derive(Debug)]
pub enum Received {
    /// All of it.
    Whole {
        /// The body.
        bytes: Bytes,
        /// The room that it takes, to be kept as long as it is.
        share: Share,
    },
    /// More than is kept.
    TooLarge {
        /// The uid, if it was found.
        uid: Option<String>,
    },
    /// There was no room for it.
    Crowded {
        /// The uid, if it was found.
        uid: Option<String>,
    },
    /// The time was up; or somebody else needed the room that it took, and nothing came.
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
    body: Body,
    announced: Option<usize>,
    limits: Limits,
    room: &Room,
    deadline: Instant,
) -> Received {
    let turn = room.turn(halfway(deadline)).await.ok();
    let mut reader = Reader {
        body,
        finder: UidFinder::default(),
        deadline: match &turn {
            Some(_) => deadline,
            None => deadline.min(Instant::now() + GLANCE),
        },
        limits,
        room,
        turn,
    };
    if reader.turn.is_none() {
        return match reader.pass_over(&[], Why::Crowded).await {
            Received::Slow { uid } => Received::Crowded { uid },
            other => other,
        };
    }
    if announced.is_some_and(|length| length > limits.keep) {
        return reader.pass_over(&[], Why::TooLarge).await;
    }
    let Ok(share) = room.take(announced, halfway(deadline)).await else {
        return reader.pass_over(&[], Why::Crowded).await;
    };
    reader.keep(announced, share).await
}

/// Why a body is not kept.
#[derive(Clone, Copy)]
enum Why {
    TooLarge,
    Crowded,
}

struct Reader<'a> {
    body: Body,
    finder: UidFinder,
    limits: Limits,
    deadline: Instant,
    room: &'a Room,
    turn: Option<Turn>,
}

/// Why no more of a body comes.
enum Stop {
    Late,
    Broken,
}

impl Reader<'_> {
    async fn keep(&mut self, announced: Option<usize>, mut share: Share) -> Received {
        let (limits, room) = (self.limits, self.room);
        let mut kept: Vec<u8> = Vec::with_capacity(announced.unwrap_or(0).min(share.covers()));
        loop {
            let heard = Instant::now();
            let next = tokio::select! {
                biased;
                next = self.next() => next,
                () = room.wanted_back(&share, heard) => Err(Stop::Late),
            };
            let data = match next {
                Ok(Some(data)) => data,
                Ok(None) => {
                    let bytes = Bytes::from(kept);
                    return Received::Whole { bytes, share };
                }
                Err(stop) => {
                    self.finder.feed(&kept);
                    return self.stopped(&stop);
                }
            };
            let total = kept.len().saturating_add(data.len());
            let why = if total > limits.keep {
                Some(Why::TooLarge)
            } else {
                let most = announced.unwrap_or(limits.keep).min(limits.keep);
                let until = halfway(self.deadline);
                let grown = room.grow(&mut share, total, most, until).await;
                grown.err().map(|_| Why::Crowded)
            };
            if let Some(why) = why {
                drop(share);
                self.finder.feed(&kept);
                drop(kept);
                return self.pass_over(&data, why).await;
            }
            // No more than there is room for, where growing by halves would take half as much again.
            if kept.capacity() < total && total > BEGINNING {
                kept.reserve_exact(share.covers() - kept.len());
            }
            kept.extend_from_slice(&data);
        }
    }

    /// Reads on for the sake of the uid, and of whoever sends: few look for an answer before they have sent everything.
    async fn pass_over(&mut self, data: &[u8], why: Why) -> Received {
        self.finder.feed(data);
        let mut total = data.len();
        while total <= self.limits.read {
            match self.next().await {
                Ok(Some(data)) => {
                    total = total.saturating_add(data.len());
                    self.finder.feed(&data);
                }
                Ok(None) => break,
                Err(stop) => return self.stopped(&stop),
            }
        }
        let uid = self.uid();
        match why {
            Why::TooLarge => Received::TooLarge { uid },
            Why::Crowded => Received::Crowded { uid },
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Stop> {
        let (room, heard) = (self.room, Instant::now());
        loop {
            let wanted_back = async {
                match &self.turn {
                    Some(turn) => room.turn_wanted_back(turn, heard).await,
                    None => std::future::pending().await,
                }
            };
            let frame = tokio::select! {
                biased;
                frame = tokio::time::timeout_at(self.deadline, self.body.frame()) => frame,
                () = wanted_back => return Err(Stop::Late),
            };
            return match frame {
                Err(_) => Err(Stop::Late),
                Ok(Some(Err(_))) => Err(Stop::Broken),
                Ok(None) => Ok(None),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => Ok(Some(data)),
                    Err(_) => continue,
                },
            };
        }
    }

    fn stopped(&self, stop: &Stop) -> Received {
        let uid = self.uid();
        match stop {
            Stop::Late => Received::Slow { uid },
            Stop::Broken => Received::Broken { uid },
        }
    }

    fn uid(&self) -> Option<String> {
        self.finder.found().map(str::to_owned)
    }
}

/// Until when room is waited for; the other half of the time is for what has to be done then.
fn halfway(deadline: Instant) -> Instant {
    let now = Instant::now();
    now + deadline.saturating_duration_since(now) / 2
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

    const ROOM: Size = Size {
        beginnings: 1 << 20,
        rest: 8 << 20,
        turns: 100,
    };
    const TINY: Limits = Limits {
        keep: 40,
        read: 80,
        room: ROOM,
    };

    async fn receive(
        body: Body,
        announced: Option<usize>,
        limits: Limits,
        deadline: Instant,
    ) -> Received {
        super::receive(body, announced, limits, &Room::new(limits.room), deadline).await
    }

    #[tokio::test]
    async fn what_fits_is_kept_whole() {
        let received = receive(chunks(vec!["{\"a\":", "1}"]), None, TINY, soon()).await;
        assert!(matches!(received, Received::Whole { bytes, .. } if bytes == "{\"a\":1}"));
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

    const FIRST: &str = "{\"request\":{\"uid\":\"u-1\",\"object\":\"";
    const LONG: Option<usize> = Some(FIRST.len() + (4 << 20));

    /// A body of that length, in pieces.
    fn long() -> Body {
        let piece = Bytes::from(vec![b'x'; 1 << 14]);
        let pieces = std::iter::once(Bytes::from_static(FIRST.as_bytes()))
            .chain(std::iter::repeat_n(piece, 256));
        Body::from_stream(stream::iter(pieces.map(Ok::<_, Infallible>)))
    }

    #[tokio::test(start_paused = true)]
    async fn what_there_is_no_room_for_is_answered_with_its_uid_and_what_fits_is_kept() {
        let limits = Limits::default();
        let room = Room::new(ROOM);
        let mut kept = Vec::new();
        for _ in 0..2 {
            let whole = super::receive(long(), LONG, limits, &room, soon()).await;
            let Received::Whole { bytes, share } = whole else {
                panic!("{whole:?}");
            };
            assert!(bytes.len() > 4 << 20);
            kept.push(share);
        }
        // Not even the beginning of the third may be there any more, so the uid is found as it passes.
        for beginnings_too in [false, true] {
            if beginnings_too {
                kept.push(room.take(None, soon()).await.unwrap());
                kept.push(room.take(None, soon()).await.unwrap());
            }
            match super::receive(long(), LONG, limits, &room, soon()).await {
                Received::Crowded { uid } => assert_eq!(uid.as_deref(), Some("u-1")),
                other => panic!("{other:?}"),
            }
        }
        kept.clear();
        let whole = super::receive(long(), LONG, limits, &room, soon()).await;
        assert!(matches!(whole, Received::Whole { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_that_stand_still_make_room_for_those_that_do_not() {
        let limits = Limits::default();
        let room = Room::new(ROOM);
        let stalled = || {
            let body = futures::StreamExt::chain(long().into_data_stream(), stream::pending());
            super::receive(Body::from_stream(body), LONG, limits, &room, soon())
        };
        let crowd = futures::future::join_all([stalled(), stalled(), stalled(), stalled()]);
        let honest = async {
            // After they have got there.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let began = Instant::now();
            let received = super::receive(long(), LONG, limits, &room, soon()).await;
            (received, began.elapsed())
        };
        let (slow, (received, waited)) = tokio::join!(crowd, honest);
        assert!(matches!(received, Received::Whole { .. }), "{received:?}");
        assert!(
            waited < Duration::from_secs(1),
            "{waited:?} of twenty seconds"
        );
        for received in slow {
            match received {
                Received::Slow { uid } => assert_eq!(uid.as_deref(), Some("u-1")),
                other => panic!("{other:?}"),
            }
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
