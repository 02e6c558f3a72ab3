//! Who may be connected. There are places for many more than all API servers need, and where all are taken whoever has been without
//! a request for longest gives his up: else those who once spoke, and then only keep their connections, would keep
//! everybody else out.
//!
//! Nobody who has many takes a place from an address that has fewer than his own: one who fills all places by himself with requests that never
//! end makes no room for others, and so must not take theirs either. He is turned away, since while one waits nobody else is let in. An API
//! server comes from an address of its own.
//!
//! Where all are busy somebody is evicted, with the requests that he is at: an API server that comes anew waits ten seconds at most, and
//! requests that never end are busy for longer. That is a connection at the address with most places, and there the one whose longest
//! request is the oldest, for API servers give theirs up in time. It may be an API server's, if nobody else has as many: hence never at an
//! address with [`FEW`] or less, so that strangers who share all places among very many addresses end none that an API server needs. They keep
//! new ones out, until one of them is quiet for a moment.

use super::connection::FAREWELL;
use super::head::Head;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// After this long without a free place one more connection is asked for its own. Those that were asked go at once as a rule, and within two
/// seconds if their other side does nothing for it.
const NEXT: Duration = Duration::from_millis(100);

/// Who was asked has so long, if he is quiet, and then is seen to within as long again. Whoever is still there is busy with something that came
/// in the meantime, and is waited for no more.
const GONE: Duration = FAREWELL.saturating_mul(2);

/// More connections than an API server needs at once.
const FEW: usize = 16;

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
    from: IpAddr,
    head: Arc<Head>,
    wanted: CancellationToken,
    asked: Option<Instant>,
    evicted: CancellationToken,
}

impl Holder {
    /// Whether he is about to go.
    fn goes(&self) -> bool {
        self.evicted.is_cancelled() || self.asked.is_some_and(|asked| asked.elapsed() <= GONE)
    }
}

/// One place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    /// What is known of the requests of the connection that has it.
    pub head: Arc<Head>,
    /// Somebody else needs it: what is being answered ends first.
    pub wanted: CancellationToken,
    /// Somebody else needs it at once.
    pub evicted: CancellationToken,
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

    /// A free place for who comes from there, or the next one that is given up; `None` where he has many himself, and nobody who has as many could go.
    pub async fn take(&self, from: IpAddr) -> Option<Place> {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() {
                break permit;
            }
            if self.ask_for_one(Some(from)).is_err() {
                return None;
            }
            let freed = Arc::clone(&self.free).acquire_owned();
            if let Ok(Ok(permit)) = tokio::time::timeout(NEXT, freed).await {
                break permit;
            }
        };
        let head = Arc::new(Head::default());
        let (wanted, evicted) = (CancellationToken::new(), CancellationToken::new());
        let mut taken = lock(&self.taken);
        let number = taken.next;
        taken.next += 1;
        let holder = Holder {
            from,
            head: Arc::clone(&head),
            wanted: wanted.clone(),
            asked: None,
            evicted: evicted.clone(),
        };
        taken.by.insert(number, holder);
        Some(Place {
            head,
            wanted,
            evicted,
            taken: Arc::clone(&self.taken),
            number,
            _permit: permit,
        })
    }

    /// One is to be given up although there are free ones: something else that a connection takes has run out.
    pub fn make_room(&self) {
        // Without a newcomer nobody is turned away.
        let _ = self.ask_for_one(None);
    }

    /// Asks everybody to go, and to come anew.
    pub fn renew(&self) {
        for holder in lock(&self.taken).by.values_mut() {
            holder.asked.get_or_insert_with(Instant::now);
            holder.wanted.cancel();
        }
    }

    /// Asks whoever has been without a request for longest, of those who were not asked yet, at the address that has most places; where all
    /// are busy one is evicted.
    fn ask_for_one(&self, newcomer: Option<IpAddr>) -> Result<(), Crowd> {
        let mut taken = lock(&self.taken);
        let mut places: HashMap<IpAddr, usize> = HashMap::new();
        for holder in taken.by.values() {
            *places.entry(holder.from).or_default() += 1;
        }
        let of = |from: &IpAddr| places.get(from).copied().unwrap_or(0);
        let own = newcomer.map(|from| of(&from)).filter(|own| *own > FEW);
        let own = own.unwrap_or(0);
        let quiet = taken.by.values_mut().filter_map(|holder| {
            let free = holder.asked.is_none() && of(&holder.from) >= own;
            let since = holder.head.quiet().filter(|_| free)?;
            Some((Reverse(of(&holder.from)), since, holder))
        });
        if let Some((.., longest)) = quiet.min_by_key(|(places, since, _)| (*places, *since)) {
            longest.asked = Some(Instant::now());
            longest.wanted.cancel();
            return Ok(());
        }
        let mut of_no_fewer = taken.by.values().filter(|it| of(&it.from) >= own);
        if of_no_fewer.any(Holder::goes) {
            return Ok(());
        }
        // More by two than the newcomer's own, or two who are alike would evict each other for ever.
        let least = (FEW + 1).max(if own > 0 { own + 2 } else { 0 });
        let busy = taken.by.values().filter_map(|holder| {
            let since = holder.head.longest()?;
            let places = of(&holder.from);
            (places >= least).then_some((Reverse(places), since, holder))
        });
        if let Some((.., longest)) = busy.min_by_key(|(places, since, _)| (*places, *since)) {
            longest.evicted.cancel();
            return Ok(());
        }
        if own > 0 { Err(Crowd) } else { Ok(()) }
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
    use super::super::head::Answering;
    use super::*;
    use futures::FutureExt;

    const NOBODY: [usize; 0] = [];

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
        assert_eq!(evicted(&theirs), [0], "whose request is the oldest");
        assert!(!held.evicted.is_cancelled() && !second.evicted.is_cancelled());
        theirs.remove(0);
        assert!(more().await.unwrap().is_some());
    }

    fn evicted(held: &[Place]) -> Vec<usize> {
        let held = held.iter().enumerate();
        let gone = held.filter(|(_, place)| place.evicted.is_cancelled());
        gone.map(|(number, _)| number).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn room_is_made_where_no_more_files_may_be_open_however_many_places_are_free() {
        let places = Places::new(100);
        let from = IpAddr::from([10, 0, 0, 1]);
        let (held, mut answering) = busy(&places, from, FEW + 1).await;
        answering.pop();
        places.make_room();
        assert!(held[FEW].wanted.is_cancelled(), "who is quiet is asked");
        places.make_room();
        assert_eq!(evicted(&held), NOBODY, "he is about to go");
        answering.push(held[FEW].head.complete());
        tokio::time::sleep(2 * GONE).await;
        places.make_room();
        assert_eq!(evicted(&held), [0]);
    }

    /// So many places of one address, all busy.
    async fn busy(places: &Places, from: IpAddr, count: usize) -> (Vec<Place>, Vec<Answering>) {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(places.take(from).await.unwrap());
        }
        let answering = held.iter().map(|place| place.head.complete()).collect();
        (held, answering)
    }

    /// Found by tracing the code: none of them had more than half of the places, so nobody was ever asked.
    #[tokio::test(start_paused = true)]
    async fn two_crowds_that_are_busy_keep_nobody_out() {
        let places = Places::new(40);
        let of = |last| IpAddr::from([10, 0, 0, last]);
        let (mut one, _answering) = busy(&places, of(2), 20).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut other, _answering_too) = busy(&places, of(3), 20).await;
        let api_server = || tokio::time::timeout(NEXT / 2, places.take(of(1)));
        assert!(api_server().await.is_err(), "nobody has gone");
        assert_eq!((evicted(&one), evicted(&other)), (vec![0], vec![]));
        one.remove(0);
        let first = api_server().await.unwrap().unwrap();
        let _first_is_busy = first.head.complete();
        assert!(api_server().await.is_err());
        assert_eq!(evicted(&other), [0], "now these have most");
        // Who has as many as they takes none of them.
        other.remove(0);
        let again = places.take(of(3)).await.unwrap();
        let _busy = again.head.complete();
        assert!(places.take(of(2)).await.is_none(), "turned away at once");
        assert_eq!(evicted(&one), NOBODY);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_asked_and_is_busy_since_then_is_not_waited_for() {
        let places = Places::new(20);
        let of = |last| IpAddr::from([10, 0, 0, last]);
        let (held, mut answering) = busy(&places, of(2), 20).await;
        answering.pop();
        let api_server = |within| tokio::time::timeout(within, places.take(of(1)));
        assert!(api_server(NEXT / 2).await.is_err());
        assert!(held[19].wanted.is_cancelled());
        answering.push(held[19].head.complete());
        assert!(api_server(FAREWELL).await.is_err());
        assert_eq!(evicted(&held), NOBODY, "he may go by himself");
        assert!(api_server(GONE).await.is_err());
        assert_eq!(evicted(&held), [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_evicted_who_has_few_places() {
        let places = Places::new(2 * FEW);
        let of = |last| IpAddr::from([10, 0, 0, last]);
        let (api_server, _answering) = busy(&places, of(1), FEW).await;
        let (others, _answering_too) = busy(&places, of(2), FEW).await;
        let more = tokio::time::timeout(Duration::from_mins(1), places.take(of(3)));
        assert!(more.await.is_err());
        assert_eq!((evicted(&api_server), evicted(&others)), (vec![], vec![]));
    }
}
