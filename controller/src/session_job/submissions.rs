//! Submissions under way, each a task of its own: a jar that is fetched and uploaded and a main method that runs take minutes, for which nobody who is
//! to be stopped, cancelled or recovered waits. Each namespace has a share of the room, and whoever waits is served in the order of coming.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::future::{AbortHandle, Abortable, BoxFuture};
use kube::ResourceExt;
use sluice_api::SessionJob;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Between looks at a job that is being submitted; what comes of it is written into its status, which is heard.
pub(super) const LOOK: Duration = Duration::from_secs(5);
/// Submissions that are under way at once.
const AT_ONCE: usize = 64;
/// Of these, of one namespace.
const OF_A_NAMESPACE: usize = 8;

/// Room for so many at once, of which a namespace has a share.
#[derive(Debug)]
pub struct Shares {
    all: Arc<Semaphore>,
    each: usize,
    namespaces: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _own: Option<OwnedSemaphorePermit>,
    _of_all: Option<OwnedSemaphorePermit>,
}

impl Shares {
    /// For so many, and at most so many of each namespace.
    pub fn new(all: usize, each: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            each,
            namespaces: Mutex::default(),
        }
    }

    /// Waits for a place: among its own namespace first, so that no more than its share waits among all.
    pub async fn place(&self, namespace: &str) -> Place {
        let own = self.of(namespace);
        // Neither is ever closed.
        let own = own.acquire_owned().await.ok();
        let all = Arc::clone(&self.all);
        Place {
            _own: own,
            _of_all: all.acquire_owned().await.ok(),
        }
    }

    fn of(&self, namespace: &str) -> Arc<Semaphore> {
        let mut known = held(&self.namespaces);
        known.retain(|_, share| Arc::strong_count(share) > 1);
        let share = known.entry(namespace.to_owned());
        Arc::clone(share.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

/// A submission that has begun.
#[derive(Debug)]
struct UnderWay {
    /// The version of the object that is submitted, and its generation.
    version: Option<String>,
    generation: Option<i64>,
    /// Whether Flink may have been asked.
    is_asked: bool,
    /// Whether it was ended before that, which is still to be stored.
    is_ended: bool,
    task: AbortHandle,
}

/// How a job stands to its submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// None is under way.
    None,
    /// The very object is being submitted.
    Same,
    /// Somebody has written to the object since.
    Written,
    /// Its spec has changed before Flink was asked: it has ended, and nothing was submitted. So until this is forgotten.
    Ended,
}

/// The submissions under way.
#[derive(Clone, Debug)]
pub struct Submissions {
    under_way: Arc<Mutex<HashMap<String, UnderWay>>>,
    room: Arc<Shares>,
    tasks: mpsc::UnboundedSender<BoxFuture<'static, ()>>,
}

impl Submissions {
    /// None yet; they go on as long as the future is polled, and end with it.
    pub fn new() -> (Self, impl Future<Output = ()>) {
        let (tasks, mut begun) = mpsc::unbounded_channel();
        let this = Self {
            under_way: Arc::default(),
            room: Arc::new(Shares::new(AT_ONCE, OF_A_NAMESPACE)),
            tasks,
        };
        let begun = futures::stream::poll_fn(move |context| begun.poll_recv(context));
        (this, begun.for_each_concurrent(None, |task| task))
    }

    /// How a job stands to its own.
    pub(super) fn standing(&self, job: &SessionJob) -> Standing {
        let mut all = held(&self.under_way);
        let uid = job.uid().unwrap_or_default();
        let Some(known) = all.get_mut(&uid) else {
            return Standing::None;
        };
        if known.is_ended {
            return Standing::Ended;
        }
        if known.version == job.metadata.resource_version {
            return Standing::Same;
        }
        let is_deleted = job.metadata.deletion_timestamp.is_some();
        // What a watch has seen last may be older than what is submitted.
        let is_newer = job.metadata.generation > known.generation;
        if known.is_asked || !(is_newer || is_deleted) {
            return Standing::Written;
        }
        known.task.abort();
        known.is_ended = true;
        Standing::Ended
    }

    /// That it has ended is stored.
    pub(super) fn forget(&self, job: &SessionJob) {
        held(&self.under_way).remove(&job.uid().unwrap_or_default());
    }

    /// Begins one, of the object as it is stored. There must be none of it.
    pub(super) fn begin(&self, job: &SessionJob, task: impl Future<Output = ()> + Send + 'static) {
        let uid = job.uid().unwrap_or_default();
        let namespace = job.namespace().unwrap_or_default();
        let (handle, ending) = AbortHandle::new_pair();
        held(&self.under_way).insert(
            uid.clone(),
            UnderWay {
                version: job.resource_version(),
                generation: job.metadata.generation,
                is_asked: false,
                is_ended: false,
                task: handle.clone(),
            },
        );
        let (room, under_way) = (Arc::clone(&self.room), Arc::clone(&self.under_way));
        let task = async move {
            let working = async {
                let _until_answered = room.place(&namespace).await;
                task.await;
            };
            if Abortable::new(working, ending).await.is_ok() {
                held(&under_way).remove(&uid);
            }
        };
        // Nobody listens any more where this process does not lead any more.
        let _ = self.tasks.send(Box::pin(task));
    }

    /// Flink is asked from now on, about the object as it is stored by now.
    pub(super) fn asks(&self, job: &SessionJob) {
        let mut all = held(&self.under_way);
        if let Some(known) = all.get_mut(&job.uid().unwrap_or_default()) {
            known.version = job.resource_version();
            known.is_asked = true;
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// One that asks for very much keeps nobody else waiting.
    #[test]
    fn a_namespace_has_no_more_than_its_share() {
        let shares = Shares::new(8, 2);
        let mut of_one: Vec<Place> = (0..2)
            .map(|_| shares.place("a").now_or_never().unwrap())
            .collect();
        let mut waits = Box::pin(shares.place("a"));
        assert!(waits.as_mut().now_or_never().is_none());
        let of_others: Vec<Option<Place>> = ["b", "c", "d"]
            .iter()
            .flat_map(|other| (0..2).map(|_| shares.place(other).now_or_never()))
            .collect();
        assert!(of_others.iter().all(Option::is_some));
        assert!(
            shares.place("e").now_or_never().is_none(),
            "no more in all either"
        );
        of_one.clear();
        assert!(waits.now_or_never().is_some(), "who waits is next");
        drop(of_others);
        assert!(shares.place("e").now_or_never().is_some());
        assert_eq!(
            held(&shares.namespaces).len(),
            1,
            "nothing is left of the others"
        );
    }
}
