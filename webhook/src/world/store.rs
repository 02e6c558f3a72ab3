//! One resource's cache: what is kept of each object, by namespace and name.
//!
//! Readers take a lock that writers hold for one insertion at a time.

use super::falls::Falls;
use super::kinds::{Keep, Watched};
use super::moment::Moment;
use super::quotas::Quota;
use super::small::Small;
use crate::metrics::Metrics;
use serde_json::Value;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::{Revision, Scope};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

/// How much is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not everything yet; the text says why.
    Filling(String),
    /// Everything that existed at some recent revision.
    Full,
    /// The cluster does not serve this resource, or does not let us read the one object of it that we could do without.
    NotInstalled,
}

/// An object as kept, if it is not one of many.
#[derive(Clone, Debug)]
struct Entry {
    uid: Box<str>,
    kept: Kept,
}

#[derive(Clone, Debug)]
enum Kept {
    /// That it exists.
    Nothing,
    Parsed(Arc<Value>),
    Packed(Box<str>),
    Quota(Arc<Quota>),
}

impl Entry {
    fn value(&self) -> Option<Arc<Value>> {
        match &self.kept {
            Kept::Nothing => Some(Arc::new(Value::Null)),
            Kept::Parsed(value) => Some(Arc::clone(value)),
            Kept::Packed(text) => unpacked(text),
            Kept::Quota(_) => None,
        }
    }
}

fn unpacked(text: &str) -> Option<Arc<Value>> {
    serde_json::from_str(text).ok().map(Arc::new)
}

/// Objects by namespace (empty for cluster-scoped ones) and name.
#[derive(Debug, Default)]
pub struct Objects {
    by_namespace: BTreeMap<Box<str>, BTreeMap<Box<str>, Entry>>,
    /// Workloads: there are many of them.
    small: Small,
    count: usize,
}

impl Objects {
    /// Keeps what is to be kept of an object, replacing what was known of it.
    pub fn put(&mut self, keep: Keep, object: &Value) {
        let Some((namespace, name)) = key(object) else {
            return;
        };
        let Some(part) = keep.part(object) else {
            self.remove(object);
            return;
        };
        if keep.small() {
            let facts = match part {
                Value::Null => String::new(),
                part => part.to_string(),
            };
            if self.small.put(namespace, name, keep.charge(object), facts) {
                self.count += 1;
            }
            return;
        }
        let uid = object
            .pointer("/metadata/uid")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let quota = match keep {
            Keep::Quota(kind) => Quota::read(kind, object),
            _ => None,
        };
        let kept = if let Some(quota) = quota {
            Kept::Quota(Arc::new(quota))
        } else if part.is_null() {
            Kept::Nothing
        } else if keep.packed() {
            Kept::Packed(part.to_string().into_boxed_str())
        } else {
            Kept::Parsed(Arc::new(part))
        };
        let entry = Entry {
            uid: uid.into(),
            kept,
        };
        let names = if let Some(names) = self.by_namespace.get_mut(namespace) {
            names
        } else {
            self.by_namespace.entry(namespace.into()).or_default()
        };
        if names.insert(name.into(), entry).is_none() {
            self.count += 1;
        }
    }

    /// To be called when many have been put: gives back memory that they do not need.
    pub fn pack(&mut self) {
        self.small.pack();
    }

    /// What an object costs; nothing if it is not known.
    fn charge(&self, object: &Value) -> MilliCpu {
        key(object)
            .and_then(|(namespace, name)| self.small.charge(namespace, name))
            .unwrap_or_default()
    }

    fn entry(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.by_namespace.get(namespace)?.get(name)
    }

    /// Forgets an object.
    pub fn remove(&mut self, object: &Value) {
        let Some((namespace, name)) = key(object) else {
            return;
        };
        if self.small.remove(namespace, name) {
            self.count -= 1;
        }
        if let Some(names) = self.by_namespace.get_mut(namespace) {
            if names.remove(name).is_some() {
                self.count -= 1;
            }
            if names.is_empty() {
                self.by_namespace.remove(namespace);
            }
        }
    }
}

fn revision(object: &Value) -> Option<Revision> {
    Revision::parse(object.pointer("/metadata/resourceVersion")?.as_str()?)
}

fn key(object: &Value) -> Option<(&str, &str)> {
    let metadata = object.get("metadata")?;
    let name = metadata.get("name")?.as_str()?;
    let namespace = metadata
        .get("namespace")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Some((namespace, name))
}

struct Inner {
    state: State,
    objects: Objects,
    /// The last moment for which it is known that the cache had everything.
    proven: Moment,
    /// Whether everything was known at some time.
    was_known: bool,
}

/// The cache of one resource.
pub struct Store {
    watched: Watched,
    /// `sessionclusters.sluice.dev`.
    name: Arc<str>,
    inner: RwLock<Inner>,
    metrics: Arc<Metrics>,
    changed: Arc<Notify>,
    falls: Mutex<Falls>,
    news: Notify,
    again: Notify,
}

impl Store {
    /// An empty one.
    pub fn new(watched: Watched, metrics: Arc<Metrics>, changed: Arc<Notify>) -> Self {
        let name = if watched.group.is_empty() {
            Arc::from(watched.plural)
        } else {
            Arc::from(format!("{}.{}", watched.plural, watched.group))
        };
        metrics.cache(&name, false, 0);
        Self {
            watched,
            name,
            inner: RwLock::new(Inner {
                state: State::Filling("not listed yet".to_owned()),
                objects: Objects::default(),
                proven: Moment::now(),
                was_known: false,
            }),
            metrics,
            changed,
            falls: Mutex::default(),
            news: Notify::new(),
            again: Notify::new(),
        }
    }

    /// What it caches.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }

    /// How much is known.
    pub fn state(&self) -> State {
        self.read().state.clone()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.read().objects.count
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Why readiness must wait for it, if it must: until everything was known once. What keeps it from being known for long after that
    /// befalls all replicas alike. If they were unready they would be asked nothing, not even by who suspends what runs; as it is they
    /// refuse what is judged by this and nothing else.
    pub fn obstacle(&self) -> Option<String> {
        let is_awaited = self.watched.keep.matters() && !self.read().was_known;
        self.unknown().filter(|_| is_awaited)
    }

    /// [`Store::unfilled`], with its name.
    pub fn unknown(&self) -> Option<String> {
        let why = self.unfilled()?;
        Some(format!("cache of {}: {why}", self.name()))
    }

    /// Why not everything is known of it yet, unless it is.
    pub fn unfilled(&self) -> Option<String> {
        match &self.read().state {
            State::Filling(why) => Some(why.clone()),
            State::Full | State::NotInstalled => None,
        }
    }

    /// `sessionclusters.sluice.dev`.
    pub fn name(&self) -> String {
        self.name.as_ref().to_owned()
    }

    /// What is kept of an object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let inner = self.read();
        if let Some(entry) = inner.objects.entry(namespace, name) {
            return entry.value();
        }
        match inner.objects.small.facts(namespace, name)? {
            "" => Some(Arc::new(Value::Null)),
            facts => unpacked(facts),
        }
    }

    /// Whether an object is known.
    pub fn has(&self, namespace: &str, name: &str) -> bool {
        let inner = self.read();
        inner.objects.small.charge(namespace, name).is_some()
            || inner.objects.entry(namespace, name).is_some()
    }

    /// What is kept of the object with this uid. Few objects of a namespace are ever looked up so; all are looked at.
    pub fn get_by_uid(&self, namespace: &str, uid: &str) -> Option<Arc<Value>> {
        let inner = self.read();
        let names = inner.objects.by_namespace.get(namespace)?;
        names.values().find(|entry| *entry.uid == *uid)?.value()
    }

    /// All objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<(String, Arc<Value>)> {
        let inner = self.read();
        let Some(names) = inner.objects.by_namespace.get(namespace) else {
            return Vec::new();
        };
        names
            .iter()
            .filter_map(|(name, entry)| Some((name.to_string(), entry.value()?)))
            .collect()
    }

    /// All quotas of a namespace (empty: those beside all namespaces), if this caches quotas.
    pub fn quotas(&self, namespace: &str) -> Vec<Arc<Quota>> {
        let inner = self.read();
        let names = inner.objects.by_namespace.get(namespace);
        names
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter_map(|entry| match &entry.kept {
                Kept::Quota(quota) => Some(Arc::clone(quota)),
                Kept::Nothing | Kept::Parsed(_) | Kept::Packed(_) => None,
            })
            .collect()
    }

    /// One quota.
    pub fn quota(&self, namespace: &str, name: &str) -> Option<Arc<Quota>> {
        match &self.read().objects.entry(namespace, name)?.kept {
            Kept::Quota(quota) => Some(Arc::clone(quota)),
            Kept::Nothing | Kept::Parsed(_) | Kept::Packed(_) => None,
        }
    }

    /// Everything that a list held, as of the moment when it was asked for.
    pub fn replace(&self, objects: Objects, as_of: Moment) {
        self.change(|inner| {
            inner.objects = objects;
            inner.state = State::Full;
            inner.proven = as_of;
            inner.was_known = true;
        });
    }

    /// The cache had everything that existed at this moment.
    pub fn prove(&self, as_of: Moment) {
        self.write().proven = as_of;
    }

    /// How long ago the cache is known to have had everything.
    pub fn unproven_for(&self) -> Duration {
        self.read().proven.age()
    }

    /// One object was made or changed.
    pub fn put(&self, object: &Value) {
        let keep = self.watched.keep;
        self.news_of(object, |objects| objects.put(keep, object));
    }

    /// One object is gone.
    pub fn remove(&self, object: &Value) {
        self.news_of(object, |objects| objects.remove(object));
    }

    fn news_of(&self, object: &Value, change: impl FnOnce(&mut Objects)) {
        let (before, after) = {
            let objects = &mut self.write().objects;
            let before = objects.charge(object);
            change(objects);
            (before, objects.charge(object))
        };
        if after < before
            && let Some((namespace, _)) = key(object)
            && let Some(at) = revision(object)
        {
            let mut falls = self.falls.lock().unwrap_or_else(PoisonError::into_inner);
            falls.note(
                namespace,
                at,
                before.minus(after),
                Instant::now().into_std(),
            );
        }
        self.report();
        self.news.notify_waiters();
    }

    /// CPU that was given up in a scope after a count at this revision, as far as the watch has told lately.
    pub fn fallen(&self, counted: Revision, scope: &Scope) -> MilliCpu {
        let falls = self.falls.lock().unwrap_or_else(PoisonError::into_inner);
        falls.after(counted, scope, Instant::now().into_std())
    }

    /// The next change of any object.
    pub fn news(&self) -> Notified<'_> {
        self.news.notified()
    }

    /// What is known may be out of date: it counts as unknown until everything is listed anew, which begins at once.
    pub fn doubt(&self, why: &str) {
        self.change(|inner| inner.state = State::Filling(why.to_owned()));
        self.again.notify_one();
    }

    /// Ready when everything is to be listed anew.
    pub async fn doubted(&self) {
        self.again.notified().await;
    }

    /// The cluster does not serve the resource.
    pub fn not_installed(&self) {
        self.change(|inner| {
            inner.objects = Objects::default();
            inner.state = State::NotInstalled;
            inner.was_known = true;
        });
        self.metrics.unheard(&self.name);
    }

    /// The cluster defines the resource and does not serve it: what exists of it cannot be known, for as long as it takes somebody to mend
    /// that. All replicas are alike in this, so none of them is the less ready for it.
    pub fn not_served(&self, why: &str) {
        self.change(|inner| {
            inner.state = State::Filling(why.to_owned());
            inner.was_known = true;
        });
        self.metrics.unheard(&self.name);
    }

    /// The list failed. What was known before is kept: it is the best there is; also that there is nothing, where `is_absent`
    /// vouches for that.
    pub fn failed(&self, why: &str, is_absent: bool) {
        self.change(|inner| {
            let is_known = match inner.state {
                State::Full => true,
                State::NotInstalled => is_absent,
                State::Filling(_) => false,
            };
            if !is_known {
                inner.state = State::Filling(why.to_owned());
            }
        });
    }

    /// The watch has said something.
    pub fn heard(&self) {
        self.metrics.heard(&self.name, jiff::Timestamp::now());
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.write());
        self.report();
        self.changed.notify_waiters();
        self.news.notify_waiters();
    }

    fn report(&self) {
        let (synced, count) = {
            let inner = self.read();
            (inner.state == State::Full, inner.objects.count)
        };
        self.metrics.cache(&self.name, synced, count);
    }

    // A panic while the lock is held cannot leave the map half changed in a way that matters: insertions are whole.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}
