//! A key of a map whose keys may be nested or dotted is one key, however it is spelled: `state: {checkpoints.dir: x}` says
//! what `state.checkpoints.dir: x` says. Sluice's own kinds are flattened when they are brought into form; what people
//! write in other kinds stays as they wrote it, so there every spelling is looked for. And an option has the names that it had in older
//! versions of Flink.

use super::leaves::given;
use crate::flink::{self, LONGEST_BEGINNING};
use crate::path::{FieldPath, Step};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;

/// The map whose keys have spellings, if the kind has one.
#[derive(Debug)]
pub(super) struct Spellings {
    map: Option<FieldPath>,
    look_ups: Cell<usize>,
}

/// The most names that are looked up by one [`Spellings`], a long one counted once for each 64 bytes. What users write decides how many keys are searched for and how many maps spell
/// their beginnings. Searching for a thousand keys of ten parts in an object that nests none of them takes a hundredth of it; what
/// takes more was written to take long.
const LOOK_UPS: usize = 1 << 20;

impl Spellings {
    pub(super) fn of(map: Option<FieldPath>) -> Self {
        let look_ups = Cell::new(LOOK_UPS);
        Self { map, look_ups }
    }

    /// Whether the path is that of a key that has spellings.
    pub(super) fn cover(&self, path: &FieldPath) -> bool {
        self.map
            .as_ref()
            .is_some_and(|map| path.is_within(map) && path != map)
    }

    /// The path in dotted spelling, by which a key is known; other fields have but one path.
    pub(super) fn dotted<'p>(&self, path: &'p FieldPath) -> Cow<'p, FieldPath> {
        let Some(map) = self.map.as_ref().filter(|_| self.cover(path)) else {
            return Cow::Borrowed(path);
        };
        let mut key = String::new();
        for step in path.steps().iter().skip(map.steps().len()) {
            let Step::Key(name) = step else {
                return Cow::Borrowed(path);
            };
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(name);
        }
        Cow::Owned(map.key(&key))
    }

    /// Where an object has the key at the dotted path, in any spelling; `null`s too. If the search was given up, the dotted spelling is one of
    /// them: it stands last in a stored map, so the operator takes its value.
    pub(super) fn places(&self, object: &Value, dotted: &FieldPath) -> Vec<FieldPath> {
        let Some(map) = self.map.as_ref().filter(|_| self.cover(dotted)) else {
            return dotted
                .get(object)
                .map(|_| dotted.clone())
                .into_iter()
                .collect();
        };
        let (Some(Value::Object(keys)), Some(key)) = (map.get(object), dotted.last_key()) else {
            return Vec::new();
        };
        let mut search = Search {
            path: map.clone(),
            look_ups: &self.look_ups,
            found: Vec::new(),
        };
        search.within(keys, key, LONGEST_BEGINNING, true);
        let mut found = search.found;
        if self.look_ups.get() == 0 && !found.contains(dotted) {
            found.push(dotted.clone());
        }
        found
    }

    /// What an object gives for the key at the dotted path, in any spelling.
    pub(super) fn given<'v>(&self, object: &'v Value, dotted: &FieldPath) -> Option<&'v Value> {
        given(object, dotted).or_else(|| self.below(object, dotted))
    }

    /// Likewise, but a map that bears the name of an option is no word about that option: it says those whose names begin so.
    pub(super) fn leaf<'v>(&self, object: &'v Value, dotted: &FieldPath) -> Option<&'v Value> {
        given(object, dotted)
            .filter(|value| !value.is_object())
            .or_else(|| self.below(object, dotted))
    }

    /// What stands in another spelling than the dotted one.
    fn below<'v>(&self, object: &'v Value, dotted: &FieldPath) -> Option<&'v Value> {
        if !self.cover(dotted) {
            return None;
        }
        self.places(object, dotted)
            .iter()
            .find_map(|place| given(object, place))
    }
}

/// The other names that Flink has for an option, as paths: none but in a `flinkConfiguration`.
pub(super) fn other_names(dotted: &FieldPath) -> impl Iterator<Item = FieldPath> {
    let map = dotted.parent();
    let key = dotted
        .last_key()
        .filter(|_| map.last_key() == Some("flinkConfiguration"));
    key.into_iter()
        .flat_map(flink::other_names)
        .map(move |name| map.key(name))
}

/// Looks for all leaves whose names, joined by dots, are a key: under names that begin the key, none longer than options' names begin, and
/// until nothing may be looked up any more.
struct Search<'s> {
    path: FieldPath,
    look_ups: &'s Cell<usize>,
    found: Vec<FieldPath>,
}

impl Search<'_> {
    /// `room` is what a beginning may still be long. An empty name at the top adds no dot, as in the operator.
    fn within(&mut self, keys: &Map<String, Value>, key: &str, room: usize, at_top: bool) {
        let dots = key.match_indices('.').map(|(dot, _)| dot);
        for dot in dots.take_while(|dot| *dot < room) {
            let (name, rest) = (&key[..dot], &key[dot + 1..]);
            if !(at_top && name.is_empty()) {
                self.below(keys, name, rest, room, false);
            }
        }
        if at_top {
            self.below(keys, "", key, room, true);
        }
        if keys.get(key).is_some_and(|value| !value.is_object()) {
            self.found.push(self.path.key(key));
        }
    }

    fn below(
        &mut self,
        keys: &Map<String, Value>,
        name: &str,
        rest: &str,
        room: usize,
        at_top: bool,
    ) {
        // A long name takes long to look up.
        let price = 1 + rest.len() / 64;
        let Some(left) = self.look_ups.get().checked_sub(price) else {
            self.look_ups.set(0);
            return;
        };
        self.look_ups.set(left);
        if let Some(Value::Object(below)) = keys.get(name) {
            self.path.push(name);
            let room = room.saturating_sub(name.len() + 1);
            self.within(below, rest, room, at_top);
            self.path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_found_in_every_spelling() {
        let map = FieldPath::of("spec.conf");
        let spellings = Spellings::of(Some(map.clone()));
        let object = json!({"spec": {"conf": {
            "a": {"b.c": 1, "b": {"c": [2], "d": 3}, "": {"b.c": 9}}, "a.b": {"c": null}, "a.b.c": {"e": 5}, "": {"a": {"b.c": 4}}, "ab.c": 6}}});
        let key = map.key("a.b.c");
        let found: Vec<String> = spellings
            .places(&object, &key)
            .iter()
            .map(FieldPath::pointer)
            .collect();
        assert_eq!(
            found,
            [
                "/spec/conf/a/b/c",
                "/spec/conf/a/b.c",
                "/spec/conf/a.b/c",
                "/spec/conf//a/b.c"
            ]
        );
        for place in spellings.places(&object, &key) {
            assert_eq!(*spellings.dotted(&place), key);
        }
        assert_eq!(spellings.given(&object, &map.key("a.b.d")), Some(&json!(3)));
        assert_eq!(
            spellings.given(&object, &map.key("a.b")),
            Some(&json!({"c": null})),
            "as it stands there"
        );
        assert_eq!(spellings.leaf(&object, &map.key("a.b")), None);
        assert_eq!(spellings.leaf(&object, &map.key("a.b.d")), Some(&json!(3)));
        assert_eq!(spellings.given(&object, &map.key("b.c")), None);
        let elsewhere = FieldPath::of("spec.other.a");
        assert_eq!(*spellings.dotted(&elsewhere), elsewhere);
        assert_eq!(
            spellings.given(&json!({"spec": {"other": {"a": 1}}}), &elsewhere),
            Some(&json!(1))
        );
    }

    #[test]
    fn a_search_for_a_long_name_is_given_up_sooner() {
        let map = FieldPath::of("spec.conf");
        let nested = json!({"b": {"c": {}}, "b.c": {}});
        let object = json!({"spec": {"conf": {"a": nested, "a.b": {"c": {}}, "a.b.c": {}}}});
        let left_after = |name: &str| {
            let spellings = Spellings::of(Some(map.clone()));
            spellings.places(&object, &map.key(&format!("a.b.c.{name}")));
            LOOK_UPS - spellings.look_ups.get()
        };
        let few = left_after("d");
        assert!(few < 20, "{few}");
        assert!(left_after(&"d".repeat(250_000)) > few * 1000);
    }

    #[test]
    fn a_search_that_is_given_up_names_the_dotted_spelling() {
        let map = FieldPath::of("spec.conf");
        let key = map.key("a.b.c.d");
        let object = json!({"spec": {"conf": {"a": {"b": {"c": {}}, "b.c": {"d": 1}}}}});
        let deep = FieldPath::of("spec.conf.a").key("b.c").key("d");
        let mut spellings = Spellings::of(Some(map));
        assert_eq!(spellings.places(&object, &key), std::slice::from_ref(&deep));
        let taken = LOOK_UPS - spellings.look_ups.get();
        for (look_ups, found) in [(taken + 1, vec![deep]), (2, vec![key.clone()])] {
            spellings.look_ups = Cell::new(look_ups);
            assert_eq!(spellings.places(&object, &key), found, "{look_ups}");
        }
        assert_eq!(spellings.look_ups.get(), 0);
        assert_eq!(spellings.places(&object, &key), [key], "and from then on");
    }
}
