//! A hundred thousand workloads in a megabyte and a half: of each, with which others it shares its charge and its facts.
//!
//! Neither names nor uids are kept: an object is known by a 64-bit hash of its namespace and name under a key that this process
//! drew. Two of n objects share one with a chance of n²/2^65, 3 in ten thousand million for 100,000; then a lookup finds
//! the other one's facts. Nobody outside can make two names meet, for nobody knows the key.
//!
//! A tree and not a hash table: a table doubles, and is up to half empty for ever after.
//!
//! That is so where many are alike: each pair of charge and facts that no other object has takes some 150 bytes.
//!
//! What is not here: objects that are found by anything else than their name, and quotas.

use sluice_policy::MilliCpu;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::mem;
use std::sync::Arc;

/// Workloads by namespace and name.
#[derive(Debug, Default)]
pub struct Small {
    key: RandomState,
    objects: BTreeMap<u64, u32>,
    traits: Shared,
}

/// What many objects have in common.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
struct Traits {
    charge: MilliCpu,
    /// JSON; empty: none.
    facts: Box<str>,
}

impl Small {
    /// Keeps an object's charge and facts (JSON; empty: none), replacing what was known. Returns whether it is new.
    pub fn put(&mut self, namespace: &str, name: &str, charge: MilliCpu, facts: String) -> bool {
        let facts = facts.into_boxed_str();
        let place = self.traits.take(Traits { charge, facts });
        match self.objects.insert(self.hash(namespace, name), place) {
            Some(before) => {
                self.traits.leave(before);
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
        self.traits.leave(before);
        true
    }

    /// What an object costs; `None`: it is not known.
    pub fn charge(&self, namespace: &str, name: &str) -> Option<MilliCpu> {
        Some(self.get(namespace, name)?.charge)
    }

    /// The facts of an object as they were put; `None`: it is not known.
    pub fn facts(&self, namespace: &str, name: &str) -> Option<&str> {
        Some(&self.get(namespace, name)?.facts)
    }

    /// Gives back what is empty in the tree: hashes come in no order, which fills its leaves to two thirds.
    pub fn pack(&mut self) {
        self.objects = mem::take(&mut self.objects).into_iter().collect();
    }

    fn get(&self, namespace: &str, name: &str) -> Option<&Traits> {
        let place = self.objects.get(&self.hash(namespace, name))?;
        self.traits.get(*place)
    }

    fn hash(&self, namespace: &str, name: &str) -> u64 {
        self.key.hash_one((namespace, name))
    }
}

/// Traits, each kept once for as long as any object has them.
#[derive(Debug, Default)]
struct Shared {
    places: Vec<Place>,
    known: HashMap<Arc<Traits>, u32>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Place {
    traits: Arc<Traits>,
    users: usize,
}

impl Shared {
    fn get(&self, place: u32) -> Option<&Traits> {
        Some(&*self.places.get(place as usize)?.traits)
    }

    /// One user more.
    fn take(&mut self, traits: Traits) -> u32 {
        if let Some(place) = self.known.get(&traits)
            && let Some(known) = self.places.get_mut(*place as usize)
        {
            known.users += 1;
            return *place;
        }
        let traits = Arc::new(traits);
        let new = Place {
            traits: Arc::clone(&traits),
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
        self.known.insert(traits, place);
        place
    }

    /// One user less.
    fn leave(&mut self, place: u32) {
        let Some(known) = self.places.get_mut(place as usize) else {
            return;
        };
        known.users -= 1;
        if known.users == 0 {
            self.known.remove(&known.traits);
            known.traits = Arc::default();
            self.free.push(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_apart_by_namespace_and_name_and_facts_are_shared() {
        let mut small = Small::default();
        assert!(small.put("a", "x", MilliCpu(1000), "{\"v\":1}".into()));
        assert!(small.put("b", "x", MilliCpu(2000), "{\"v\":1}".into()));
        assert!(small.put("ax", "", MilliCpu(3000), "{\"v\":2}".into()));
        assert!(
            !small.put("a", "x", MilliCpu(500), "{\"v\":2}".into()),
            "it was known"
        );
        assert_eq!(small.charge("a", "x"), Some(MilliCpu(500)));
        assert_eq!(small.charge("b", "x"), Some(MilliCpu(2000)));
        assert_eq!(small.charge("b", "y"), None);
        assert_eq!(small.facts("a", "x"), Some("{\"v\":2}"));
        assert_eq!(small.facts("b", "x"), Some("{\"v\":1}"));
        assert_eq!(small.facts("ax", ""), Some("{\"v\":2}"));
        assert_eq!(small.traits.known.len(), 3);
        assert!(small.remove("b", "x") && !small.remove("b", "x"));
        assert_eq!(small.facts("b", "x"), None);
        assert_eq!(small.traits.known.len(), 2, "nobody has it any more");
    }

    #[test]
    fn what_comes_and_goes_leaves_nothing_behind() {
        let mut small = Small::default();
        for round in 0..10_000 {
            small.put("a", "x", MilliCpu(round), format!("{{\"v\":{round}}}"));
        }
        assert_eq!(small.facts("a", "x"), Some("{\"v\":9999}"));
        // The new text is taken before the old one is left.
        assert!(small.traits.places.len() <= 2, "{:?}", small.traits);
        small.remove("a", "x");
        assert!(small.objects.is_empty() && small.traits.known.is_empty());
    }

    #[test]
    fn packing_changes_nothing() {
        let mut small = Small::default();
        for number in 0..1000 {
            small.put("a", &number.to_string(), MilliCpu(number % 7), "{}".into());
        }
        small.pack();
        for number in 0..1000 {
            assert_eq!(
                small.charge("a", &number.to_string()),
                Some(MilliCpu(number % 7))
            );
        }
        assert_eq!(small.traits.known.len(), 7);
    }
}
