//! One watch of a kind, and one copy of each of its objects, for all reconcilers that need them.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{Stream, StreamExt, TryStreamExt};
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, ObjectRef, Store, store::Writer};
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

/// The objects that are to be looked at after an event. A list is known only when it has come to its end: who looked for one of its objects
/// before would find what was known earlier, or nothing, and be done with it. So then all are looked at.
pub fn due<K>(event: &Event<K>, store: &Store<K>) -> Vec<ObjectRef<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    match event {
        Event::Apply(object) | Event::Delete(object) => vec![ObjectRef::from_obj(object)],
        Event::Init | Event::InitApply(_) => Vec::new(),
        Event::InitDone => {
            let all = store.state();
            all.iter()
                .map(|object| ObjectRef::from_obj(&**object))
                .collect()
        }
    }
}

/// The same of each event of a reflector, for this store of its own.
pub fn all_due<K, E>(
    events: impl Stream<Item = Result<Event<K>, E>>,
    store: Store<K>,
) -> impl Stream<Item = Result<ObjectRef<K>, E>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    events
        .map_ok(move |event| futures::stream::iter(due(&event, &store)).map(Ok))
        .try_flatten()
}

fn lock<K>(listeners: &Mutex<Vec<Listener<K>>>) -> MutexGuard<'_, Vec<Listener<K>>> {
    listeners.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use futures::channel::mpsc as events;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::runtime::controller::{Action, Config, applier};
    use serde_json::json;

    use super::*;

    fn named(name: &str) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": "n"}})).unwrap()
    }

    /// A watch that has to begin anew lists in pages, and the queue is worked off meanwhile.
    #[tokio::test]
    async fn what_has_come_while_nobody_watched_is_looked_at() {
        let (tell, told) = events::unbounded();
        let (store, writer) = reflector::store();
        let queue = all_due(
            reflector::reflector(writer, told.map(Ok::<_, watcher::Error>)),
            store.clone(),
        );
        let (saw, mut seen) = mpsc::unbounded_channel();
        tokio::spawn(
            applier(
                move |object: Arc<ConfigMap>, _: Arc<()>| {
                    saw.send(object.metadata.name.clone().unwrap()).unwrap();
                    std::future::ready(Ok::<_, Infallible>(Action::await_change()))
                },
                |_, error, _| match *error {},
                Arc::new(()),
                store,
                queue,
                Config::default(),
            )
            .for_each(|_| std::future::ready(())),
        );
        let tell = |event| tell.unbounded_send(event).unwrap();
        let mut looks = async || {
            let look = tokio::time::timeout(Duration::from_secs(10), seen.recv()).await;
            look.unwrap().unwrap()
        };
        tell(Event::Init);
        tell(Event::InitDone);
        tell(Event::Apply(named("early")));
        assert_eq!(looks().await, "early");
        tell(Event::Init);
        tell(Event::InitApply(named("meanwhile")));
        // A page later.
        tokio::time::sleep(Duration::from_millis(50)).await;
        tell(Event::InitDone);
        assert_eq!(looks().await, "meanwhile");
    }
}
