//! What webhooks may not know of yet: a quota that is new, or counts one more namespace. What rises there meanwhile may have no hold, and
//! what it costs is set aside until a count has it.

use crate::history::{Limit, State, Told};
use crate::place::Place;
use std::collections::BTreeMap;

/// Of one quota.
#[derive(Debug, Default)]
pub struct News {
    /// The generation that has to be counted before anything rises in what is new.
    generation: i64,
    /// Until which revision a sender may not have known that it counts this namespace; `None`: all namespaces.
    until: BTreeMap<Option<String>, u64>,
    unheld: Vec<Unheld>,
}

#[derive(Debug)]
struct Unheld {
    place: Place,
    uid: String,
    revision: u64,
    from: u64,
    to: u64,
    /// The revision of the count that has it.
    counted: Option<u64>,
}

/// An increase that has no hold.
#[derive(Clone, Copy, Debug)]
pub struct Rise<'a> {
    /// Where.
    pub place: &'a Place,
    /// The object.
    pub uid: &'a str,
    /// The write.
    pub revision: u64,
    /// The charge before it, in thousandths.
    pub from: u64,
    /// The charge after it, in thousandths.
    pub to: u64,
}

impl News {
    /// The quota was written. What it counted before as well is no news; `until` is for what is.
    pub fn learn(&mut self, before: Option<&Limit>, now: &Limit, until: u64) {
        let Some(before) = before else {
            // Made anew: its first count has all that lived before.
            *self = News::default();
            self.add(now, now.namespaces.clone(), until);
            return;
        };
        if before.namespaces == now.namespaces {
            return;
        }
        let added = now.namespaces.as_ref().map(|namespaces| {
            let known = |one: &&String| before.covers(one);
            namespaces
                .iter()
                .filter(|one| !known(one))
                .cloned()
                .collect::<Vec<_>>()
        });
        if added.as_ref().is_none_or(|added| !added.is_empty()) {
            self.add(now, added, until);
        }
    }

    fn add(&mut self, now: &Limit, namespaces: Option<Vec<String>>, until: u64) {
        self.generation = now.generation;
        match namespaces {
            Some(namespaces) => {
                let names = namespaces.into_iter();
                self.until.extend(names.map(|name| (Some(name), until)));
            }
            None => {
                self.until.insert(None, until);
            }
        }
    }

    /// Whether whoever knew no newer revision than this may have asked without knowing that the namespace counts.
    pub fn is_unknown(&self, namespace: &str, sent: u64) -> bool {
        let of = |namespace: Option<&str>| self.until.get(&namespace.map(str::to_owned));
        [of(None), of(Some(namespace))]
            .into_iter()
            .flatten()
            .any(|until| sent < *until)
    }

    /// Whether its scope is still to be counted.
    pub fn is_uncounted(&self, told: &Told) -> bool {
        told.observed < self.generation
    }

    /// Sets an increase aside.
    pub fn set_aside(&mut self, rise: Rise<'_>) {
        self.unheld.push(Unheld {
            place: rise.place.clone(),
            uid: rise.uid.to_owned(),
            revision: rise.revision,
            from: rise.from,
            to: rise.to,
            counted: None,
        });
    }

    /// A count was written at this revision.
    pub fn count(&mut self, revision: u64, told: &Told) {
        if self.is_uncounted(told) {
            return; // of the scope before, in which what was set aside is not
        }
        for one in self.unheld.iter_mut().filter(|one| one.counted.is_none()) {
            let kind = one.place.kind;
            let resource = format!("{}.{}", kind.plural(), kind.group());
            let at = told.snapshot.get(&resource).copied().unwrap_or_default();
            one.counted = (at >= one.revision).then_some(revision);
        }
    }

    /// CPU that lives in this scope without a hold, and is in no count that whoever knew this revision could have seen.
    pub fn unheld(&self, limit: &Limit, state: &State, known: u64) -> u64 {
        let is_open = |one: &&Unheld| {
            one.counted.is_none_or(|counted| known < counted) && limit.covers(&one.place.namespace)
        };
        let costs = |one: &Unheld| {
            let stands = state.workloads.get(&one.place);
            let charge = stands.filter(|(now, _)| now.uid == one.uid);
            charge.map_or(0, |(now, _)| now.charge.clamp(one.from, one.to) - one.from)
        };
        self.unheld.iter().filter(is_open).map(costs).sum()
    }
}
