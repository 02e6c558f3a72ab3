//! Memory for the bodies that are being received or judged, shared by all connections.
//!
//! Each body takes of it as it grows: its beginning of one part, and what comes after that of another. So a few long bodies that stand
//! still keep no ordinary one waiting. Nobody who holds of the second part waits for more, so somebody always comes to an end; and
//! whoever is slow gives up what he holds as soon as somebody else needs it.
//!
//! However little of a body has come, its request takes some kilobytes, and over HTTP/2 a few connections carry thousands of them. So each
//! needs a turn as well until all of it is there, and gives it up in the same way.

use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

/// What counts as the beginning of a body; most are shorter.
pub const BEGINNING: usize = 256 << 10;

/// Taken and given back in pieces of this size.
pub(super) const PIECE: usize = 1 << 10;

/// Bodies that wait at once for either part; others are told to come again. What has arrived of them lies in the buffers of their
/// connections, a window each at most ([`crate::server::connection`]), and those who come last should not wait long behind others who
/// are slow.
pub const WAITING: usize = 16;

/// Requests that wait for their turn. Others are told to come again at once: nothing but memory speaks against more, and who stands still makes
/// room for all of them within a moment.
const WAITING_TURNS: usize = 256;

/// An API server sends a body in one go. Nothing of it for so long, while somebody waits, is too slow;
const STANDSTILL: Duration = Duration::from_millis(250);

/// so is a body that took so long in all since it got its room.
const ARRIVAL: Duration = Duration::from_secs(1);

/// After a pause of our own, what has arrived meanwhile is only about to be read.
const BREATH: Duration = Duration::from_millis(20);

/// How much memory there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// For beginnings, in bytes.
    pub beginnings: usize,
    /// For all that comes after them, in bytes.
    pub rest: usize,
    /// How many may be on their way at once.
    pub turns: usize,
}

impl Default for Size {
    /// 16 MiB and 32 MiB, and 2,048 at once: more than a thousand reviews of ten kilobytes at once, and six of the longest. With what parsing takes
    /// ([`super::values`]), what answers take ([`super::answers`]: 16 MiB), what lies in the windows of those who wait (8 MiB) and what
    /// the caches hold, it stays well below the 256 MiB that the chart grants.
    fn default() -> Self {
        Self {
            beginnings: 16 << 20,
            rest: 32 << 20,
            // Four connections full of them, with some kilobytes each.
            turns: 2048,
        }
    }
}

/// There is no room, and there was none in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Memory that bodies share.
#[derive(Debug)]
pub struct Room {
    beginnings: Part,
    rest: Part,
    turns: Part,
}

#[derive(Debug)]
struct Part {
    free: Arc<Semaphore>,
    /// Places to wait in.
    places: Semaphore,
    /// How many wait.
    wanted: watch::Sender<usize>,
}

/// What a body has taken. Given back when dropped.
#[derive(Debug)]
pub struct Share {
    beginning: OwnedSemaphorePermit,
    rest: Option<OwnedSemaphorePermit>,
    covers: usize,
    since: Instant,
}

/// One request that is on its way, until this is dropped.
#[derive(Debug)]
pub struct Turn {
    since: Instant,
    _permit: OwnedSemaphorePermit,
}

impl Share {
    /// How many bytes it is for.
    pub fn covers(&self) -> usize {
        self.covers
    }

    /// Gives back all but what this many bytes take.
    pub fn shrink(&mut self, bytes: usize) {
        keep(&mut self.beginning, bytes.min(BEGINNING));
        self.rest = self.rest.take().filter(|_| bytes > BEGINNING);
        if let Some(rest) = &mut self.rest {
            keep(rest, bytes - BEGINNING);
        }
        self.covers = self.covers.min(bytes);
    }
}

fn keep(permit: &mut OwnedSemaphorePermit, bytes: usize) {
    let spare = permit.num_permits().saturating_sub(bytes.div_ceil(PIECE));
    drop(permit.split(spare));
}

impl Room {
    /// Of this size.
    pub fn new(size: Size) -> Self {
        let part = |pieces: usize, waiting| Part {
            free: Arc::new(Semaphore::new(pieces)),
            places: Semaphore::new(waiting),
            wanted: watch::Sender::new(0),
        };
        Self {
            beginnings: part(size.beginnings / PIECE, WAITING),
            rest: part(size.rest / PIECE, WAITING),
            turns: part(size.turns, WAITING_TURNS),
        }
    }

    /// For a request whose body may be about to come.
    pub async fn turn(&self, deadline: Instant) -> Result<Turn, Full> {
        let permit = self.turns.take_pieces(1, deadline).await?;
        Ok(Turn {
            since: Instant::now(),
            _permit: permit,
        })
    }

    /// Ready when somebody waits for a turn, and nothing has come since `heard` of the body that this one is for, or not all of it, for longer
    /// than it takes.
    pub async fn turn_wanted_back(&self, turn: &Turn, heard: Instant) {
        patience(turn.since, heard).await;
        let mut turns = self.turns.wanted.subscribe();
        // The sender lives as long as the room.
        let _ = turns.wait_for(|waiting| *waiting > 0).await;
    }

    /// For a body that begins, of an announced length or an unknown one.
    pub async fn take(&self, announced: Option<usize>, deadline: Instant) -> Result<Share, Full> {
        let covers = announced.unwrap_or(BEGINNING).min(BEGINNING);
        Ok(Share {
            beginning: self.beginnings.take(covers, deadline).await?,
            rest: None,
            covers,
            since: Instant::now(),
        })
    }

    /// For a body that has grown to `total` bytes and will have `most` at the end.
    pub async fn grow(
        &self,
        share: &mut Share,
        total: usize,
        most: usize,
        deadline: Instant,
    ) -> Result<(), Full> {
        if total > share.covers && share.covers < BEGINNING {
            let more = BEGINNING - share.covers;
            let more = self.beginnings.take(more, deadline).await?;
            share.beginning.merge(more);
            share.covers = BEGINNING;
            share.since = Instant::now();
        }
        if total > share.covers {
            let covers = total.max(most);
            let more = covers - share.covers;
            // In one piece: whoever has it waits for nobody.
            share.rest = Some(self.rest.take(more, deadline).await?);
            share.covers = covers;
            share.since = Instant::now();
        }
        Ok(())
    }

    /// Ready when somebody waits for what this share holds, and nothing has come of its body since `heard`, or not all of it, for
    /// longer than it takes.
    pub async fn wanted_back(&self, share: &Share, heard: Instant) {
        patience(share.since, heard).await;
        let (mut beginnings, mut rest) = (
            self.beginnings.wanted.subscribe(),
            self.rest.wanted.subscribe(),
        );
        tokio::select! {
            _ = beginnings.wait_for(|waiting| *waiting > 0) => {}
            _ = rest.wait_for(|waiting| *waiting > 0), if share.rest.is_some() => {}
        }
    }
}

/// Over when nothing has come since `heard`, or not all of what has been on its way `since` then, for longer than it takes.
async fn patience(since: Instant, heard: Instant) {
    let until = (heard.max(since) + STANDSTILL).min(since + ARRIVAL);
    tokio::time::sleep_until(until).await;
    tokio::time::sleep(BREATH).await;
}

impl Part {
    async fn take(&self, bytes: usize, deadline: Instant) -> Result<OwnedSemaphorePermit, Full> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE)).map_err(|_| Full)?;
        self.take_pieces(pieces, deadline).await
    }

    async fn take_pieces(
        &self,
        pieces: u32,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, Full> {
        if let Ok(permit) = Arc::clone(&self.free).try_acquire_many_owned(pieces) {
            return Ok(permit);
        }
        let _place = self.places.try_acquire().map_err(|_| Full)?;
        let _wanted = Wanted::of(self);
        let acquired = Arc::clone(&self.free).acquire_many_owned(pieces);
        match timeout_at(deadline, acquired).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Full),
        }
    }
}

/// One who waits, as long as it lives.
struct Wanted<'a>(&'a watch::Sender<usize>);

impl<'a> Wanted<'a> {
    fn of(part: &'a Part) -> Self {
        part.wanted.send_modify(|waiting| *waiting += 1);
        Self(&part.wanted)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Size = Size {
        beginnings: 2 * BEGINNING,
        rest: 1 << 20,
        turns: 2,
    };

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_free_again_and_what_is_not_there_is_not_given() {
        let room = Room::new(SMALL);
        let first = room.take(None, later()).await.unwrap();
        let second = room.take(Some(usize::MAX), later()).await.unwrap();
        let began = Instant::now();
        assert_eq!(room.take(Some(1), later()).await.unwrap_err(), Full);
        assert_eq!(began.elapsed(), Duration::from_secs(3));
        drop(first);
        assert_eq!(room.take(Some(1), later()).await.unwrap().covers(), 1);
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_share_is_shrunk_by_is_free_again() {
        let room = Room::new(SMALL);
        let free = || {
            let parts = [&room.beginnings, &room.rest];
            parts.map(|part| part.free.available_permits() * PIECE)
        };
        let all = free();
        let mut share = room.take(None, later()).await.unwrap();
        let long = 1 << 20;
        let grown = room.grow(&mut share, long, long, later()).await;
        assert_eq!(grown, Ok(()));
        for (to, beginning, rest) in [
            (2 * long, BEGINNING, long - BEGINNING),
            (BEGINNING + 1, BEGINNING, PIECE),
            (BEGINNING, BEGINNING, 0),
            (PIECE + 1, 2 * PIECE, 0),
            (0, 0, 0),
        ] {
            share.shrink(to);
            assert_eq!(free(), [all[0] - beginning, all[1] - rest], "{to}");
            assert_eq!(share.covers(), to.min(long));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_short_does_not_wait_for_who_is_long() {
        let room = Room::new(SMALL);
        let mut long = room.take(Some(1 << 20), later()).await.unwrap();
        let grown = room.grow(&mut long, BEGINNING + 1, 1 << 20, later()).await;
        assert_eq!((grown, long.covers()), (Ok(()), 1 << 20));
        let mut other = room.take(None, later()).await.unwrap();
        let grown = room.grow(&mut other, BEGINNING + 1, 1 << 20, later()).await;
        assert_eq!(grown, Err(Full));
        drop(other);
        let began = Instant::now();
        let _short = room.take(Some(10_000), later()).await.unwrap();
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_slow_gives_up_what_somebody_waits_for_and_nobody_else_does() {
        let room = Room::new(SMALL);
        let held = room.take(None, later()).await.unwrap();
        let heard = Instant::now();
        let for_long = tokio::time::timeout(Duration::from_mins(1), room.wanted_back(&held, heard));
        assert!(for_long.await.is_err(), "nobody waits");
        let _other = room.take(None, later()).await.unwrap();
        let began = Instant::now();
        let gives_up = async {
            room.wanted_back(&held, began).await;
            drop(held);
        };
        let (third, ()) = tokio::join!(room.take(None, later()), gives_up);
        assert!(third.is_ok());
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_stands_still_gives_up_his_turn_and_waits_for_none() {
        let room = Room::new(SMALL);
        let held = room.turn(later()).await.unwrap();
        let _other = room.turn(later()).await.unwrap();
        let heard = Instant::now();
        let for_long = room.turn_wanted_back(&held, heard);
        let for_long = tokio::time::timeout(Duration::from_mins(1), for_long);
        assert!(for_long.await.is_err(), "nobody waits");
        let began = Instant::now();
        let gives_up = async {
            room.turn_wanted_back(&held, began).await;
            drop(held);
        };
        let (third, ()) = tokio::join!(room.turn(later()), gives_up);
        assert!(third.is_ok());
        let waited = began.elapsed();
        assert!(waited < Duration::from_secs(1), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn few_wait_and_the_others_are_told_at_once() {
        let room = Room::new(SMALL);
        let _held = [
            room.take(None, later()).await.unwrap(),
            room.take(None, later()).await.unwrap(),
        ];
        let crowd = (0..100).map(|_| async {
            let began = Instant::now();
            assert_eq!(room.take(Some(1), later()).await.unwrap_err(), Full);
            usize::from(began.elapsed() > Duration::ZERO)
        });
        let waited: usize = futures::future::join_all(crowd).await.into_iter().sum();
        assert_eq!(waited, WAITING);
    }
}
