//! All made objects, by owner: watched by label, trimmed as they come in, told to who reconciles their owner.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use kube::Client;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use sluice_api::names::labels;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::made::{Made, Mark};
use crate::objects::MadeKind;

/// Objects per page of the first list: each page is whole in memory before it is trimmed.
const PAGE: u32 = 50;

/// Kinds that are watched.
const WATCHED: [MadeKind; 8] = [
    MadeKind::ConfigMap,
    MadeKind::Service,
    MadeKind::ServiceAccount,
    MadeKind::Role,
    MadeKind::RoleBinding,
    MadeKind::Deployment,
    MadeKind::Job,
    MadeKind::Pod,
];

/// Told for whom something has changed.
pub type Tell = Arc<dyn Fn(&Mark) + Send + Sync>;

/// What is known of all made objects. Cheap to clone.
#[derive(Clone)]
pub struct Index {
    known: Arc<Mutex<HashMap<Box<str>, Entry>>>,
    listed: watch::Sender<HashSet<MadeKind>>,
    tell: Tell,
}

/// What was made for one owner.
struct Entry {
    mark: Mark,
    made: Vec<Made>,
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("owners", &self.lock().len())
            .finish_non_exhaustive()
    }
}

impl Index {
    /// Nothing known yet.
    pub fn new(tell: Tell) -> Self {
        Self {
            known: Arc::default(),
            listed: watch::Sender::new(HashSet::new()),
            tell,
        }
    }

    /// Waits until every kind has been listed: before that, what is not there may only not be known.
    pub async fn listed(&self) {
        let mut listed = self.listed.subscribe();
        // The sender lives as long as this value.
        let _ = listed.wait_for(|kinds| kinds.len() == WATCHED.len()).await;
    }

    /// What is known to have been made for an owner.
    pub fn of(&self, uid: &str) -> Vec<Made> {
        self.lock()
            .get(uid)
            .map(|entry| entry.made.clone())
            .unwrap_or_default()
    }

    /// Owners that something is known for.
    pub fn owners(&self) -> Vec<Mark> {
        self.lock()
            .values()
            .map(|entry| entry.mark.clone())
            .collect()
    }

    /// What was read past the caches takes the place of what the watches have told so far: these may have missed a change of
    /// labels.
    pub fn correct(&self, uid: &str, read: &[Made]) {
        let mut known = self.lock();
        if let Some(entry) = known.get_mut(uid) {
            entry.made = read.to_vec();
            if entry.made.is_empty() {
                known.remove(uid);
            }
        }
    }

    /// Follows all objects made for owners of these kinds (in lower case); never returns. Dropping the future ends the watches.
    pub async fn follow(&self, client: Client, owner_kinds: &[&str]) {
        let selector = format!(
            "{}={},{} in ({})",
            labels::MANAGED_BY,
            labels::MANAGED_BY_SLUICE,
            labels::OWNER_KIND,
            owner_kinds.join(",")
        );
        let mut watches = JoinSet::new();
        for kind in WATCHED {
            watches.spawn(
                self.clone()
                    .follow_kind(client.clone(), kind, selector.clone()),
            );
        }
        while watches.join_next().await.is_some() {}
    }

    async fn follow_kind(self, client: Client, kind: MadeKind, selector: String) {
        let api: Api<DynamicObject> = Api::all_with(client, &kind.resource());
        let config = watcher::Config::default().labels(&selector).page_size(PAGE);
        let events = watcher(api, config).default_backoff();
        tokio::pin!(events);
        let mut relisted: Option<HashSet<String>> = None;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => relisted = Some(HashSet::new()),
                Ok(Event::InitApply(object)) => {
                    if let (Some(seen), Some(uid)) = (&mut relisted, &object.metadata.uid) {
                        seen.insert(uid.clone());
                    }
                    self.put(kind, &object);
                }
                Ok(Event::InitDone) => {
                    if let Some(seen) = relisted.take() {
                        self.retain(kind, &seen);
                    }
                    self.listed.send_if_modified(|kinds| kinds.insert(kind));
                }
                Ok(Event::Apply(object)) => self.put(kind, &object),
                Ok(Event::Delete(object)) => self.remove(kind, &object),
                Err(error) => {
                    tracing::warn!(%kind, %error, "a watch of made objects failed; it is opened again");
                }
            }
        }
    }

    fn put(&self, kind: MadeKind, object: &DynamicObject) {
        let Some((mark, made)) = Made::read(kind, object) else {
            return;
        };
        {
            let mut known = self.lock();
            let entry = known
                .entry(mark.owner_uid.as_str().into())
                .or_insert_with(|| Entry {
                    mark: mark.clone(),
                    made: Vec::new(),
                });
            match entry.made.iter_mut().find(|known| known.uid == made.uid) {
                Some(known) if *known == made => return,
                Some(known) => *known = made,
                None => entry.made.push(made),
            }
        }
        (self.tell)(&mark);
    }

    fn remove(&self, kind: MadeKind, object: &DynamicObject) {
        let uid = object.metadata.uid.as_deref().unwrap_or_default();
        self.drop_if(|made| made.kind == kind && made.uid == uid);
    }

    fn retain(&self, kind: MadeKind, seen: &HashSet<String>) {
        self.drop_if(|made| made.kind == kind && !seen.contains(&made.uid));
    }

    fn drop_if(&self, gone: impl Fn(&Made) -> bool) {
        let mut told = Vec::new();
        self.lock().retain(|_, entry| {
            let before = entry.made.len();
            entry.made.retain(|made| !gone(made));
            if entry.made.len() < before {
                told.push(entry.mark.clone());
            }
            !entry.made.is_empty()
        });
        for mark in told {
            (self.tell)(&mark);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
