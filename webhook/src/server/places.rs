//! Who may be connected. There are places for many more than all API servers need, and where all are taken whoever has been without
//! a request for longest gives his up: else those who once spoke, and then only keep their connections, would keep
//! everybody else out.
//!
//! Nobody who has many takes a place from an address that has fewer than his own: one who fills all places by himself with requests that never
//! end makes no room for others, and so must not take theirs either. He is turned away, since while one waits nobody else is let in. An API
//! server comes from an address of its own.

use super::head::Head;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// After this long without a free place one more connection is asked for its own. Those that were asked go at once as a rule, and within two
/// seconds if their other side does nothing for it.
const NEXT: Duration = Duration::from_millis(100);

/// More connections than an API server needs at once.
const FEW: usize = 16;

/// All places.
#[derive(Debug)]
pub struct Places {
    count: usize,
    free: Arc<Semaphore>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    /// By number, in the order of arrival.
    by: BTreeMap<u64, Holder>,
    next: u64,
}

#[derive(Debug)]
struct Holder {
    from: IpAddr,
    head: Arc<Head>,
    wanted: CancellationToken,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    /// What is known of the requests of the connection that has it.
    pub head: Arc<Head>,
    /// Somebody else needs it.
    pub wanted: CancellationToken,
    taken: Arc<Mutex<Taken>>,
    number: u64,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self {
            count,
            free: Arc::new(Semaphore::new(count)),
            taken: Arc::default(),
        }
    }

    /// A free place for who comes from there, or the next one that is given up; `None` where he has many himself, and nobody who has as many could go.
    pub async fn take(&self, from: IpAddr) -> Option<Place> {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            if self.ask_for_one(from).is_err() {
                return None;
            }
            let freed = Arc::clone(&self.free).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(NEXT, freed).await {
                break permit;
            }
        };
        let (head, wanted) = (Arc::new(Head::default()), CancellationToken::new());
        let mut taken = lock(&self.taken);
        let number = taken.next;
        taken.next += 1;
        let holder = Holder {
            from,
            head: Arc::clone(&head),
            wanted: wanted.clone(),
        };
        taken.by.insert(number, holder);
        Some(Place {
            head,
            wanted,
            taken: Arc::clone(&self.taken),
            number,
            _permit: permit,
        })
    }

    /// Asks whoever has been without a request for longest, of those who were not asked yet, at the address that has most places.
    fn ask_for_one(&self, newcomer: IpAddr) -> Result<(), Crowd> {
        let taken = lock(&self.taken);
        let mut places: HashMap<IpAddr, usize> = HashMap::new();
        for holder in taken.by.values() {
            *places.entry(holder.from).or_default() += 1;
        }
        let of = |from: &IpAddr| places.get(from).copied().unwrap_or(0);
        let own = Some(of(&newcomer)).filter(|own| *own > FEW).unwrap_or(0);
        let of_no_fewer = || taken.by.values().filter(|holder| of(&holder.from) >= own);
        let quiet = of_no_fewer().filter_map(|holder| {
            let was_asked = holder.wanted.is_cancelled();
            let since = holder.head.quiet().filter(|_| !was_asked)?;
            Some((Reverse(of(&holder.from)), since, holder))
        });
        if let Some((.., longest)) = quiet.min_by_key(|(places, since, _)| (*places, *since)) {
            longest.wanted.cancel();
            return Ok(());
        }
        if of_no_fewer().any(|holder| holder.wanted.is_cancelled()) {
            return Ok(());
        }
        if own > 0 {
            return Err(Crowd);
        }
        // All are busy. Who has most of the places keeps others out by that, and is busy with nothing that would be missed.
        let mut of_one = taken.by.values();
        if let Some(oldest) = of_one.find(|holder| of(&holder.from) > self.count / 2) {
            oldest.wanted.cancel();
        }
        Ok(())
    }
}

/// The newcomer has many places and is busy with all of them, and so are those who have as many.
struct Crowd;

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.taken).by.remove(&self.number);
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test(start_paused = true)]
    async fn who_has_been_without_a_request_for_longest_makes_room_and_nobody_while_there_is_room()
    {
        let places = Places::new(3);
        let take = || places.take(IpAddr::from([10, 0, 0, 1]));
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(take().now_or_never().flatten().unwrap());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(held.iter().all(|place| !place.wanted.is_cancelled()));
        // The first speaks once more, the second is being answered.
        drop(held[0].head.complete());
        let _answering = held[1].head.complete();
        let wanted = |held: &[Place]| -> Vec<bool> {
            let wanted = held.iter().map(|place| place.wanted.is_cancelled());
            wanted.collect()
        };
        {
            let next = std::pin::pin!(take());
            assert!(next.now_or_never().is_none());
        }
        assert_eq!(wanted(&held), [false, false, true]);
        held.remove(2);
        held.push(take().now_or_never().flatten().unwrap());
        assert_eq!(wanted(&held), [false, false, false]);
        // Who does not go is not waited for: the next one is asked, but nobody who is being answered.
        let another = tokio::time::timeout(Duration::from_secs(1), take()).await;
        assert!(another.is_err(), "nobody has gone");
        assert_eq!(wanted(&held), [true, false, true]);
    }
    #[tokio::test(start_paused = true)]
    async fn a_crowd_that_is_busy_takes_nobody_elses_place() {
        let places = Places::new(40);
        let (api_server, crowd) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let held = places.take(api_server).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut theirs = Vec::new();
        for _ in 0..39 {
            theirs.push(places.take(crowd).await.unwrap());
        }
        let mut endless: Vec<_> = theirs.iter().map(|place| place.head.complete()).collect();
        assert!(places.take(crowd).await.is_none(), "turned away at once");
        assert!(!held.wanted.is_cancelled());
        // One of them ends: his address has more, however much shorter he has been quiet.
        endless.pop();
        let more = || tokio::time::timeout(NEXT / 2, places.take(api_server));
        assert!(more().await.is_err(), "nobody has gone");
        assert!(theirs[38].wanted.is_cancelled());
        theirs.pop();
        let second = more().await.unwrap().unwrap();
        // All are busy.
        let _busy = (held.head.complete(), second.head.complete());
        assert!(more().await.is_err());
        let asked = theirs.iter().filter(|place| place.wanted.is_cancelled());
        assert_eq!(asked.count(), 1);
        assert!(theirs[0].wanted.is_cancelled());
    }
}
