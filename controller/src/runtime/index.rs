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
    known: Arc<Mutex<Known>>,
    listed: watch::Sender<HashSet<MadeKind>>,
    tell: Tell,
}

#[derive(Default)]
struct Known {
    /// Changes that the watches have told, of all owners.
    changes: u64,
    owners: HashMap<Box<str>, Entry>,
}

/// What bears one owner's uid.
#[derive(Default)]
struct Entry {
    /// The number of its newest change.
    changed: u64,
    /// Each with the owner that its own labels name: anybody can write a uid into labels.
    made: Vec<(Arc<Mark>, Made)>,
}

/// The newest change of an owner's objects that was known at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed(u64);

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index")
            .field("owners", &self.lock().owners.len())
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

    /// What is known to have been made for an owner and lies in these namespaces. Elsewhere nothing is ever made for it: what bears its labels
    /// there was put there by somebody else, or brought back with labels and all.
    pub fn of(&self, uid: &str, namespaces: &[String]) -> Vec<Made> {
        let known = self.lock();
        let all = known.owners.get(uid).into_iter();
        all.flat_map(|entry| &entry.made)
            .filter(|(_, made)| namespaces.contains(&made.namespace))
            .map(|(_, made)| made.clone())
            .collect()
    }

    /// The newest change of what is known of an owner; for [`Self::correct`].
    pub fn changed(&self, uid: &str) -> Changed {
        let known = self.lock();
        Changed(known.owners.get(uid).map_or(0, |entry| entry.changed))
    }

    /// Drops what the watches know in these namespaces and a read past the caches has not found: they may have missed a change of labels.
    /// `since`: from before the read. Where the watches have told of the owner's objects meanwhile it is not known which of the two is the
    /// newer one; nothing is done then, and who reconciles the owner has been told to look again.
    pub fn correct(&self, uid: &str, namespaces: &[String], read: &[Made], since: Changed) {
        let mut known = self.lock();
        let Some(entry) = known.owners.get_mut(uid) else {
            return;
        };
        if Changed(entry.changed) != since {
            return;
        }
        let read: HashSet<&str> = read.iter().map(|made| made.uid.as_str()).collect();
        entry.made.retain(|(_, made)| {
            !namespaces.contains(&made.namespace) || read.contains(made.uid.as_str())
        });
        if entry.made.is_empty() {
            known.owners.remove(uid);
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
            let Known { changes, owners } = &mut *known;
            let entry = owners.entry(mark.owner_uid.as_str().into()).or_default();
            let place = entry
                .made
                .iter()
                .position(|(_, known)| known.uid == made.uid);
            let before = place.and_then(|place| entry.made.get_mut(place));
            let is_known = |before: &(Arc<Mark>, Made)| *before.0 == mark && before.1 == made;
            if before.as_deref().is_some_and(is_known) {
                return;
            }
            *changes += 1;
            entry.changed = *changes;
            if let Some(before) = before {
                *before = (Arc::new(mark.clone()), made);
            } else {
                // Nearly always the same one.
                let same = entry.made.last().map(|(mark, _)| Arc::clone(mark));
                let same = same.filter(|same| **same == mark);
                let mark = same.unwrap_or_else(|| Arc::new(mark.clone()));
                entry.made.push((mark, made));
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
        let mut told: HashSet<Arc<Mark>> = HashSet::new();
        {
            let mut known = self.lock();
            let Known { changes, owners } = &mut *known;
            owners.retain(|_, entry| {
                let before = entry.made.len();
                entry.made.retain(|(mark, made)| {
                    let is_gone = gone(made);
                    if is_gone {
                        told.insert(Arc::clone(mark));
                    }
                    !is_gone
                });
                if entry.made.len() < before {
                    *changes += 1;
                    entry.changed = *changes;
                }
                !entry.made.is_empty()
            });
        }
        for mark in told {
            (self.tell)(&mark);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::*;

    fn pod(namespace: &str, name: &str, owner: &str) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name, "uid": format!("uid-{name}"), "labels": {
            "sluice.dev/owner-kind": "sessioncluster", "sluice.dev/owner-namespace": "n", "sluice.dev/owner-name": owner,
            "sluice.dev/owner-uid": "u"}}}))
        .unwrap()
    }

    fn index() -> (Index, mpsc::UnboundedReceiver<String>) {
        let (tell, told) = mpsc::unbounded_channel();
        let index = Index::new(Arc::new(move |mark: &Mark| {
            tell.send(mark.owner_name.clone()).unwrap();
        }));
        (index, told)
    }

    fn names(index: &Index, namespaces: &[&str]) -> Vec<String> {
        let namespaces: Vec<String> = namespaces.iter().map(ToString::to_string).collect();
        let made = index.of("u", &namespaces).into_iter();
        made.map(|made| made.name).collect()
    }

    fn read(objects: &[&DynamicObject]) -> Vec<Made> {
        let read = objects
            .iter()
            .map(|object| Made::read(MadeKind::Pod, object).unwrap().1);
        read.collect()
    }

    #[test]
    fn what_bears_the_labels_elsewhere_is_nobodys() {
        let (index, mut told) = index();
        index.put(MadeKind::Pod, &pod("x", "restored", "other"));
        index.put(MadeKind::Pod, &pod("n", "jm", "a"));
        index.put(MadeKind::Pod, &pod("target", "tm", "a"));
        assert_eq!(names(&index, &["n"]), ["jm"]);
        assert_eq!(names(&index, &["n", "target"]), ["jm", "tm"]);
        while told.try_recv().is_ok() {}
        index.remove(MadeKind::Pod, &pod("n", "jm", "a"));
        assert_eq!(told.try_recv().unwrap(), "a", "whoever was there first");
    }

    #[test]
    fn what_goes_or_comes_while_it_is_read_is_not_undone() {
        let (index, mut told) = index();
        let (old, new) = (pod("n", "old", "a"), pod("n", "new", "a"));
        let places = ["n".to_owned()];
        index.put(MadeKind::Pod, &old);
        let since = index.changed("u");
        let found = read(&[&old]);
        while told.try_recv().is_ok() {}
        index.remove(MadeKind::Pod, &old);
        index.correct("u", &places, &found, since);
        assert_eq!(names(&index, &["n"]), [""; 0], "it would never go again");
        index.put(MadeKind::Pod, &old);
        let since = index.changed("u");
        let found = read(&[]);
        index.put(MadeKind::Pod, &new);
        index.correct("u", &places, &found, since);
        assert_eq!(names(&index, &["n"]), ["old", "new"]);
        assert_eq!(
            told.try_recv().as_deref(),
            Ok("a"),
            "each change calls for another look"
        );
    }

    #[test]
    fn what_a_read_does_not_find_is_dropped_where_it_was_read() {
        let (index, _told) = index();
        let kept = pod("n", "kept", "a");
        for object in [&kept, &pod("n", "relabelled", "a"), &pod("x", "far", "a")] {
            index.put(MadeKind::Pod, object);
        }
        let since = index.changed("u");
        index.correct("u", &["n".to_owned()], &read(&[&kept]), since);
        assert_eq!(names(&index, &["n", "x"]), ["kept", "far"]);
    }
}
