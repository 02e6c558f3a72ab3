//! A hundred thousand workloads in two megabytes: of each its charge, and which facts it shares with others of its kind.
//!
//! Neither names nor uids are kept: an object is known by a 64-bit hash of its namespace and name under a key that this process
//! drew. Two of n objects share one with a chance of n²/2^65, 3 in ten thousand million for 100,000; then a lookup finds
//! the other one's facts. Nobody outside can make two names meet, for nobody knows the key.
//!
//! What is not here: objects that are found by anything else than their name, and quotas.

use sluice_policy::MilliCpu;
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Workloads by namespace and name.
#[derive(Debug, Default)]
pub struct Small {
    key: RandomState,
    objects: HashMap<u64, Entry, BuildHasherDefault<AsItIs>>,
    facts: Shared,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// In thousandths; more than four million CPUs count as that many. It only tells whether a charge has fallen.
    charge: u32,
    facts: u32,
}

impl Small {
    /// Keeps an object's charge and facts (JSON; empty: none), replacing what was known. Returns whether it is new.
    pub fn put(&mut self, namespace: &str, name: &str, charge: MilliCpu, facts: &str) -> bool {
        let entry = Entry {
            charge: u32::try_from(charge.0).unwrap_or(u32::MAX),
            facts: self.facts.take(facts),
        };
        match self.objects.insert(self.hash(namespace, name), entry) {
            Some(before) => {
                self.facts.leave(before.facts);
                false
            }
            None => true,
        }
    }

    /// Forgets an object. Returns whether it was known.
    pub fn remove(&mut self, namespace: &str, name: &str) -> bool {
        let Some(before) = self.objects.remove(&self.hash(namespace, name)) else {
            return false;
        };
        self.facts.leave(before.facts);
        true
    }

    /// What an object costs; `None`: it is not known.
    pub fn charge(&self, namespace: &str, name: &str) -> Option<MilliCpu> {
        let entry = self.objects.get(&self.hash(namespace, name))?;
        Some(MilliCpu(entry.charge.into()))
    }

    /// The facts of an object as they were put; `None`: it is not known.
    pub fn facts(&self, namespace: &str, name: &str) -> Option<&str> {
        let entry = self.objects.get(&self.hash(namespace, name))?;
        self.facts.get(entry.facts)
    }

    fn hash(&self, namespace: &str, name: &str) -> u64 {
        self.key.hash_one((namespace, name))
    }
}

/// Texts that many have in common, each kept once for as long as anybody has it.
#[derive(Debug, Default)]
struct Shared {
    places: Vec<Place>,
    by_text: HashMap<Arc<str>, u32>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    text: Arc<str>,
    users: usize,
}

impl Shared {
    fn get(&self, place: u32) -> Option<&str> {
        Some(&*self.places.get(place as usize)?.text)
    }

    /// One user more of a text.
    fn take(&mut self, text: &str) -> u32 {
        if let Some(place) = self.by_text.get(text)
            && let Some(known) = self.places.get_mut(*place as usize)
        {
            known.users += 1;
            return *place;
        }
        let text: Arc<str> = text.into();
        let new = Place {
            text: Arc::clone(&text),
            users: 1,
        };
        let freed = self
            .free
            .pop()
            .and_then(|place| Some((place, self.places.get_mut(place as usize)?)));
        let place = if let Some((place, old)) = freed {
            *old = new;
            place
        } else {
            self.places.push(new);
            u32::try_from(self.places.len() - 1).unwrap_or(u32::MAX)
        };
        self.by_text.insert(text, place);
        place
    }

    /// One user less.
    fn leave(&mut self, place: u32) {
        let Some(known) = self.places.get_mut(place as usize) else {
            return;
        };
        known.users -= 1;
        if known.users == 0 {
            self.by_text.remove(&known.text);
            known.text = Arc::from("");
            self.free.push(place);
        }
    }
}

/// What is hashed already is not hashed again.
#[derive(Debug, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_apart_by_namespace_and_name_and_facts_are_shared() {
        let mut small = Small::default();
        assert!(small.put("a", "x", MilliCpu(1000), "{\"v\":1}"));
        assert!(small.put("b", "x", MilliCpu(2000), "{\"v\":1}"));
        assert!(small.put("ax", "", MilliCpu(3000), "{\"v\":2}"));
        assert!(
            !small.put("a", "x", MilliCpu(500), "{\"v\":2}"),
            "it was known"
        );
        assert_eq!(small.charge("a", "x"), Some(MilliCpu(500)));
        assert_eq!(small.charge("b", "x"), Some(MilliCpu(2000)));
        assert_eq!(small.charge("b", "y"), None);
        assert_eq!(small.facts("a", "x"), Some("{\"v\":2}"));
        assert_eq!(small.facts("b", "x"), Some("{\"v\":1}"));
        assert_eq!(small.facts("ax", ""), Some("{\"v\":2}"));
        assert_eq!(small.facts.by_text.len(), 2);
        assert!(small.remove("b", "x") && !small.remove("b", "x"));
        assert_eq!(small.facts("b", "x"), None);
        assert_eq!(small.facts.by_text.len(), 1, "nobody has it any more");
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing_behind() {
        let mut small = Small::default();
        for round in 0..10_000 {
            small.put("a", "x", MilliCpu(round), &format!("{{\"v\":{round}}}"));
        }
        assert_eq!(small.facts("a", "x"), Some("{\"v\":9999}"));
        // The new text is taken before the old one is left.
        assert!(small.facts.places.len() <= 2, "{:?}", small.facts);
        small.remove("a", "x");
        assert!(small.objects.is_empty() && small.facts.by_text.is_empty());
    }

    #[test]
    fn a_charge_that_does_not_fit_counts_as_the_largest() {
        let mut small = Small::default();
        small.put("a", "x", MilliCpu(u64::MAX), "");
        assert_eq!(small.charge("a", "x"), Some(MilliCpu(u32::MAX.into())));
    }
}
