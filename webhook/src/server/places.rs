//! Who may be connected. There are places for many more than all API servers need, and where all are taken whoever has been without
//! a request for longest gives his up: else those who once spoke, and then only keep their connections, would keep
//! everybody else out.

use super::head::Head;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// After this long without a free place one more connection is asked for its own. Those that were asked go within a second.
const NEXT: Duration = Duration::from_millis(10);

/// All places.
#[derive(Debug)]
pub struct Places {
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
            free: Arc::new(Semaphore::new(count)),
            taken: Arc::default(),
        }
    }

    /// A free place, or the next one that is given up.
    pub async fn take(&self) -> Place {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            self.ask_for_one();
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
            head: Arc::clone(&head),
            wanted: wanted.clone(),
        };
        taken.by.insert(number, holder);
        Place {
            head,
            wanted,
            taken: Arc::clone(&self.taken),
            number,
            _permit: permit,
        }
    }

    /// Asks whoever has been without a request for longest, of those who were not asked yet.
    fn ask_for_one(&self) {
        let taken = lock(&self.taken);
        let quiet = taken.by.values().filter_map(|holder| {
            let since = holder
                .head
                .quiet()
                .filter(|_| !holder.wanted.is_cancelled());
            Some((since?, holder))
        });
        if let Some((_, longest)) = quiet.min_by_key(|(since, _)| *since) {
            longest.wanted.cancel();
        }
    }
}

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
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(places.take().now_or_never().unwrap());
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
            let next = std::pin::pin!(places.take());
            assert!(next.now_or_never().is_none());
        }
        assert_eq!(wanted(&held), [false, false, true]);
        held.remove(2);
        held.push(places.take().now_or_never().unwrap());
        assert_eq!(wanted(&held), [false, false, false]);
        // Who does not go is not waited for: the next one is asked, but nobody who is being answered.
        let another = tokio::time::timeout(Duration::from_secs(1), places.take()).await;
        assert!(another.is_err(), "nobody has gone");
        assert_eq!(wanted(&held), [true, false, true]);
    }
}
