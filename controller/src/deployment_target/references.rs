//! Who refers to which target: one entry for each object that names one, and nothing else of it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{Stream, StreamExt};
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

/// One that refers to a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Referrer {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: Box<str>,
}

impl fmt::Display for Referrer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What names a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// By its name.
    Name(Box<str>),
    /// By its uid.
    Uid(Box<str>),
}

/// Told of a namespace whose references have changed.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

type Key = (Box<str>, Referrer);

/// All references. Cheap to clone.
#[derive(Clone)]
pub struct References {
    /// By the referrer's namespace and the referrer.
    known: Arc<Mutex<BTreeMap<Key, Named>>>,
    tell: Tell,
}

impl fmt::Debug for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("References").finish_non_exhaustive()
    }
}

impl References {
    /// Nothing known yet.
    pub fn new(tell: Tell) -> Self {
        Self {
            known: Arc::default(),
            tell,
        }
    }

    /// Who in a namespace refers to the target of this name and uid, in order.
    pub fn to(&self, namespace: &str, name: &str, uid: &str) -> Vec<Referrer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .filter(|((at, _), named)| {
                **at == *namespace
                    && match named {
                        Named::Name(named) => **named == *name,
                        Named::Uid(named) => **named == *uid,
                    }
            })
            .map(|((_, referrer), _)| referrer.clone())
            .collect()
    }

    fn put(&self, namespace: &str, referrer: Referrer, named: Option<Named>) {
        let key = (namespace.into(), referrer);
        let is_news = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let is_news = known.get(&key) != named.as_ref();
            match named {
                Some(named) => known.insert(key, named),
                None => known.remove(&key),
            };
            is_news
        };
        if is_news {
            (self.tell)(namespace);
        }
    }

    fn retain(&self, kind: &'static str, seen: &HashSet<(Box<str>, Box<str>)>) {
        let mut told = HashSet::new();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(namespace, referrer), _| {
            let is_there =
                referrer.kind != kind || seen.contains(&(namespace.clone(), referrer.name.clone()));
            if !is_there {
                told.insert(namespace.clone());
            }
            is_there
        });
        drop(known);
        for namespace in told {
            (self.tell)(&namespace);
        }
    }

    /// Follows what happens to all objects of a kind; `listed` is told when the first list is complete.
    pub async fn follow<K: Resource<DynamicType = ()>>(
        &self,
        events: impl Stream<Item = Arc<Event<K>>>,
        kind: &'static str,
        named: impl Fn(&K) -> Option<Named>,
        listed: impl Fn(),
    ) {
        tokio::pin!(events);
        let mut relisted: HashSet<(Box<str>, Box<str>)> = HashSet::new();
        let put = |object: &K, named: Option<Named>| {
            let namespace = object.namespace().unwrap_or_default();
            let name = object.name_any().into();
            self.put(&namespace, Referrer { kind, name }, named);
        };
        while let Some(event) = events.next().await {
            match &*event {
                Event::Init => relisted.clear(),
                Event::InitApply(object) => {
                    let named = named(object);
                    if named.is_some() {
                        relisted.insert((
                            object.namespace().unwrap_or_default().into(),
                            object.name_any().into(),
                        ));
                    }
                    put(object, named);
                }
                Event::InitDone => {
                    self.retain(kind, &std::mem::take(&mut relisted));
                    listed();
                }
                Event::Apply(object) => put(object, named(object)),
                Event::Delete(object) => put(object, None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_by_name_or_uid_within_a_namespace_and_changes_are_told() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let all = References::new(Arc::new(move |namespace| {
            heard.lock().unwrap().push(namespace.to_owned());
        }));
        let who = |kind, name: &str| Referrer {
            kind,
            name: name.into(),
        };
        all.put(
            "a",
            who("SessionCluster", "x"),
            Some(Named::Name("t".into())),
        );
        all.put("a", who("Deployment", "y"), Some(Named::Uid("u-1".into())));
        all.put(
            "b",
            who("SessionCluster", "z"),
            Some(Named::Name("t".into())),
        );
        all.put("b", who("SessionCluster", "none"), None);
        let names = |namespace: &str| -> Vec<String> {
            let all = all.to(namespace, "t", "u-1");
            all.iter().map(ToString::to_string).collect()
        };
        assert_eq!(names("a"), ["Deployment y", "SessionCluster x"]);
        assert_eq!(names("b"), ["SessionCluster z"]);
        all.put(
            "a",
            who("SessionCluster", "x"),
            Some(Named::Name("t".into())),
        );
        assert_eq!(
            *told.lock().unwrap(),
            ["a", "a", "b"],
            "what does not change is not told"
        );
        all.retain("SessionCluster", &HashSet::new());
        assert_eq!(names("a"), ["Deployment y"]);
        assert_eq!(names("b"), [""; 0]);
    }
}
