//! One watch of a kind, and one copy of each of its objects, for all reconcilers that need them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store, store::Writer};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

/// One who hears what changes.
type Listener<K> = mpsc::UnboundedSender<Arc<Event<K>>>;

/// All objects of a kind, and what happens to them. Cheap to clone.
pub struct Watched<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    listeners: Arc<Mutex<Vec<Listener<K>>>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            listeners: Arc::clone(&self.listeners),
        }
    }
}

impl<K: Resource<DynamicType = ()> + 'static> fmt::Debug for Watched<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

/// The watch itself; nothing is known before it runs.
pub struct Feed<K: Resource<DynamicType = ()> + Clone + 'static> {
    writer: Writer<K>,
    listeners: Arc<Mutex<Vec<Listener<K>>>>,
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> fmt::Debug for Feed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

/// A kind of which nothing is known yet, and its watch.
pub fn watched<K: Resource<DynamicType = ()> + Clone + 'static>() -> (Watched<K>, Feed<K>) {
    let (store, writer) = reflector::store();
    let listeners = Arc::default();
    let feed = Feed {
        writer,
        listeners: Arc::clone(&listeners),
    };
    (Watched { store, listeners }, feed)
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Watched<K> {
    /// What is known.
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// What happens from now on. Who wants to hear of every object asks before the [`Feed`] runs.
    pub fn events(&self) -> impl Stream<Item = Arc<Event<K>>> + use<K> {
        let (tell, told) = mpsc::unbounded_channel();
        lock(&self.listeners).push(tell);
        futures::stream::unfold(told, |mut told| async move {
            let event = told.recv().await?;
            Some((event, told))
        })
    }
}

impl<K> Feed<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    /// Watches for ever, `page` objects per page of the first list; what `trim` takes away is not kept. Dropping the future ends the
    /// watch.
    pub async fn run(self, client: Client, page: u32, trim: impl FnMut(&mut K)) {
        let config = watcher::Config::default().page_size(page);
        let watch = watcher(Api::<K>::all(client), config)
            .default_backoff()
            .modify(trim);
        let events = reflector::reflector(self.writer, watch);
        tokio::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let event = Arc::new(event);
                    lock(&self.listeners).retain(|who| who.send(Arc::clone(&event)).is_ok());
                }
                Err(error) => {
                    let kind = K::kind(&());
                    tracing::warn!(%kind, %error, "a watch failed; it is opened again");
                }
            }
        }
    }
}

/// The object that an event is about, if about one.
pub fn touched<K>(event: &Event<K>) -> Option<&K> {
    match event {
        Event::Apply(object) | Event::InitApply(object) | Event::Delete(object) => Some(object),
        Event::Init | Event::InitDone => None,
    }
}

fn lock<K>(listeners: &Mutex<Vec<Listener<K>>>) -> MutexGuard<'_, Vec<Listener<K>>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}
