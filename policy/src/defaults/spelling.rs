//! A key of a map whose keys may be nested or dotted is one key, however it is spelled: `state: {checkpoints.dir: x}` says
//! what `state.checkpoints.dir: x` says. Sluice's own kinds are flattened when they are brought into form; what people
//! write in other kinds stays as they wrote it, so there every spelling is looked for. And an option has the names that it had in older
//! versions of Flink.

use super::leaves::given;
use crate::flink;
use crate::path::{FieldPath, Step};
use serde_json::{Map, Value};
use std::borrow::Cow;

/// The map whose keys have spellings, if the kind has one.
#[derive(Debug)]
pub(super) struct Spellings(pub(super) Option<FieldPath>);

impl Spellings {
    /// Whether the path is that of a key that has spellings.
    pub(super) fn cover(&self, path: &FieldPath) -> bool {
        self.0
            .as_ref()
            .is_some_and(|map| path.is_within(map) && path != map)
    }

    /// The path in dotted spelling, by which a key is known; other fields have but one path.
    pub(super) fn dotted<'p>(&self, path: &'p FieldPath) -> Cow<'p, FieldPath> {
        let Some(map) = self.0.as_ref().filter(|_| self.cover(path)) else {
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

    /// Where an object has the key at the dotted path, in any spelling; `null`s too.
    pub(super) fn places(&self, object: &Value, dotted: &FieldPath) -> Vec<FieldPath> {
        let Some(map) = self.0.as_ref().filter(|_| self.cover(dotted)) else {
            return dotted
                .get(object)
                .map(|_| dotted.clone())
                .into_iter()
                .collect();
        };
        let mut places = Vec::new();
        if let (Some(Value::Object(keys)), Some(key)) = (map.get(object), dotted.last_key()) {
            find(keys, key, &mut map.clone(), true, &mut places);
        }
        places
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

/// Adds the paths of all leaves whose names, joined by dots, are `key`. An empty name at the top adds no dot, as in the operator. Only names
/// that begin the key are looked up, so that it does not matter how many others there are.
fn find(
    keys: &Map<String, Value>,
    key: &str,
    path: &mut FieldPath,
    at_top: bool,
    places: &mut Vec<FieldPath>,
) {
    let mut below = |name: &str, rest: &str, is_nothing: bool| {
        if let Some(Value::Object(below)) = keys.get(name) {
            path.push(name);
            find(below, rest, path, is_nothing, places);
            path.pop();
        }
    };
    for (dot, _) in key.match_indices('.') {
        let (name, rest) = (&key[..dot], &key[dot + 1..]);
        if !(at_top && name.is_empty()) {
            below(name, rest, false);
        }
    }
    if at_top {
        below("", key, true);
    }
    if keys.get(key).is_some_and(|value| !value.is_object()) {
        places.push(path.key(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_found_in_every_spelling() {
        let map = FieldPath::of("spec.conf");
        let spellings = Spellings(Some(map.clone()));
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
}
