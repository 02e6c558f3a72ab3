//! How much of an answer is taken. Whoever runs a cluster decides what its JobManager answers, and many are asked at once: so each answer has
//! a bound, all that are read at a time share one, and a list that is made of next to nothing does not become large in memory.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most bytes of an answer: a few thousand TaskManagers, or the checkpoints of a job of a thousand tasks.
pub const LONGEST: usize = 4 * 1024 * 1024;
/// The same of an answer about one job: it comes with the job's plan, in which SQL describes each of its tasks in thousands of characters.
pub const LONGEST_OF_JOB: usize = 8 * 1024 * 1024;
/// Most bytes of an answer that needs no room: nearly all are shorter, and so is what is answered to a request that changes something, which
/// may take minutes.
pub const SMALL: usize = 128 * 1024;
/// Bytes of all longer answers that are read at a time.
const ROOM: usize = 32 * 1024 * 1024;
/// What room is counted in.
const UNIT: usize = 1024;
/// Most entries of a list: jars, exceptions, TaskManagers.
const MOST: usize = 10_000;

/// Room for the answers that are read at a time. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM / UNIT)))
    }

    /// Bytes that are free.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.available_permits() * UNIT
    }

    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.min(ROOM) / UNIT).ok()?;
        // Nobody ever closes it.
        Arc::clone(&self.0).acquire_many_owned(units).await.ok()
    }
}

/// An answer as it comes in.
pub(super) struct Body {
    bytes: Vec<u8>,
    longest: usize,
    room: Option<OwnedSemaphorePermit>,
}

/// It is longer than it may be.
pub(super) struct TooLong;

impl Body {
    pub(super) fn of_at_most(longest: usize) -> Self {
        Self {
            bytes: Vec::new(),
            longest,
            room: None,
        }
    }

    /// Takes a part in; waits for room for all of it where it is no small one. It has its room until it is dropped, so never half of it, and
    /// nobody waits for who waits.
    pub(super) async fn take_in(&mut self, part: &[u8], room: &Room) -> Result<(), TooLong> {
        let length = self.bytes.len() + part.len();
        if length > self.longest {
            return Err(TooLong);
        }
        if length > SMALL && self.room.is_none() {
            self.room = room.take(self.longest).await;
            // Else it would grow to twice what it needs.
            self.bytes.reserve_exact(self.longest - self.bytes.len());
        }
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a list that is not too long: three characters can be an entry, and that is a hundred bytes in memory.
pub(super) fn few<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Few<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {MOST} entries")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut all = Vec::new();
            while let Some(one) = list.next_element()? {
                if all.len() == MOST {
                    return Err(de::Error::invalid_length(MOST + 1, &self));
                }
                all.push(one);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_seq(Few(PhantomData))
}

/// Reads a name, as which Kubernetes takes 253 characters: what is kept of every cluster is kept for long.
pub(super) fn short<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    const LONGEST_NAME: usize = 253;
    let name = String::deserialize(deserializer)?;
    if name.len() > LONGEST_NAME {
        let most = "a name of at most 253 characters";
        return Err(de::Error::invalid_length(name.len(), &most));
    }
    Ok(name)
}

/// Reads where something is stored: a path or a URI.
pub(super) fn place<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    const LONGEST_PLACE: usize = 4096;
    let place: Option<String> = Deserialize::deserialize(deserializer)?;
    if let Some(long) = place.as_ref().filter(|place| place.len() > LONGEST_PLACE) {
        let most = "a location of at most 4096 characters";
        return Err(de::Error::invalid_length(long.len(), &most));
    }
    Ok(place)
}

/// Reads a map of numbers by state, and adds up those of each sort, of which there are `N`. No map is made of it.
pub(super) fn sums_of<'de, D, const N: usize>(
    deserializer: D,
    sort: fn(&str) -> Option<usize>,
) -> Result<[u64; N], D::Error>
where
    D: Deserializer<'de>,
{
    struct Sums<const N: usize>(fn(&str) -> Option<usize>);
    impl<'de, const N: usize> Visitor<'de> for Sums<N> {
        type Value = [u64; N];

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("numbers by state")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut sums = [0_u64; N];
            while let Some((state, number)) = map.next_entry::<String, u32>()? {
                if let Some(sum) = (self.0)(&state).and_then(|sort| sums.get_mut(sort)) {
                    *sum = sum.saturating_add(number.into());
                }
            }
            Ok(sums)
        }
    }
    deserializer.deserialize_map(Sums(sort))
}
