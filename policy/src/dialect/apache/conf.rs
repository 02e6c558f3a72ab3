//! The configuration that Flink would see: the operator's defaults, those for a namespace and for a Flink version,
//! and `spec.flinkConfiguration` on top, all flattened to dotted keys.

use super::java;
use super::version::FlinkVersion;
use crate::flink::LONGEST_BEGINNING;
use crate::path::FieldPath;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Bound;

const NAMESPACE_DEFAULTS: &str = "kubernetes.operator.default-configuration.namespace.";
const VERSION_DEFAULTS: &str = "kubernetes.operator.default-configuration.flink-version.";

/// An option: its key today and the older keys that are still read, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opt {
    pub(crate) key: &'static str,
    pub(crate) older: &'static [&'static str],
}

impl Opt {
    pub(crate) const fn new(key: &'static str, older: &'static [&'static str]) -> Self {
        Self { key, older }
    }
}

/// A value that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadValue {
    pub(crate) key: String,
    pub(crate) value: String,
    /// What it must be, with an example: `a number such as 0.7`.
    pub(crate) expected: &'static str,
}

impl BadValue {
    pub(crate) fn field(&self) -> FieldPath {
        path(&self.key)
    }

    pub(crate) fn message(&self) -> String {
        format!(
            "{} must be {}",
            crate::json::shown(&Value::from(self.value.as_str())),
            self.expected
        )
    }
}

/// Where a key stands for people.
pub(crate) fn path(key: &str) -> FieldPath {
    FieldPath::of("spec.flinkConfiguration").key(key)
}

/// Flattened configuration. Sorted: it is made for every judgement, and comparing a hundred keys takes less time than hashing them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conf<'a> {
    entries: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
}

impl<'a> Conf<'a> {
    /// The operator's own configuration for a namespace and a version; nothing if it is not known.
    pub(crate) fn operator(
        operator: Option<&'a Value>,
        namespace: &str,
        version: Option<FlinkVersion>,
    ) -> Self {
        let mut conf = Self::default();
        let Some(operator) = operator else {
            return conf;
        };
        conf.add(operator);
        let base = conf.entries.clone();
        conf.overlay(&base, &format!("{NAMESPACE_DEFAULTS}{namespace}."));
        if let Some(version) = version {
            for since in FlinkVersion::ALL.iter().filter(|since| **since <= version) {
                conf.overlay(&base, &format!("{VERSION_DEFAULTS}{}+.", since.word()));
            }
            conf.overlay(&base, &format!("{VERSION_DEFAULTS}{}.", version.word()));
        }
        conf
    }

    /// Lays a `flinkConfiguration` over what is there. What is not a map adds nothing.
    pub(crate) fn add(&mut self, configuration: &'a Value) {
        flatten(configuration, Cow::Borrowed(""), &mut |key, value| {
            self.entries.insert(key, value);
        });
    }

    fn overlay(&mut self, base: &BTreeMap<Cow<'a, str>, Cow<'a, str>>, prefix: &str) {
        for (key, value) in base {
            if let Some(short) = key.strip_prefix(prefix) {
                self.entries
                    .insert(Cow::Owned(short.to_owned()), value.clone());
            }
        }
    }

    /// Whether exactly this key is there.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether the option is there under any of its keys.
    pub(crate) fn has(&self, option: Opt) -> bool {
        self.raw(option).is_some()
    }

    /// The key under which an option was found, and its text.
    pub(crate) fn raw(&self, option: Opt) -> Option<(&'static str, &str)> {
        std::iter::once(&option.key)
            .chain(option.older)
            .find_map(|key| self.entries.get(*key).map(|value| (*key, value.as_ref())))
    }

    /// The entries below an option's key, whole keys and texts: what is written as a nested map, or with a dot behind the key.
    pub(crate) fn below(&self, option: Opt) -> Vec<(&str, &str)> {
        self.below_key(option.key)
    }

    /// The entries below a key that is no option's.
    pub(crate) fn below_key(&self, key: &str) -> Vec<(&str, &str)> {
        let below = format!("{key}.");
        self.entries
            .range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded))
            .map(|(key, text)| (key.as_ref(), text.as_ref()))
            .take_while(|(key, _)| key.starts_with(&below))
            .collect()
    }

    /// All entries, keys and texts.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.entries.iter();
        entries.map(|(key, text)| (key.as_ref(), text.as_ref()))
    }

    /// The text under exactly this key.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(AsRef::as_ref)
    }

    /// Writes one entry, in place of what stood there.
    pub(crate) fn set(&mut self, key: String, text: String) {
        self.entries.insert(Cow::Owned(key), Cow::Owned(text));
    }

    /// Whether an option is missing or blank.
    pub(crate) fn is_blank(&self, option: Opt) -> bool {
        self.raw(option)
            .is_none_or(|(_, text)| java::is_blank(text))
    }

    /// An option read by `read`; `None` if it is not there.
    pub(crate) fn read<T>(
        &self,
        option: Opt,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, BadValue> {
        let Some((key, text)) = self.raw(option) else {
            return Ok(None);
        };
        read(text).map(Some).ok_or_else(|| BadValue {
            key: key.to_owned(),
            value: text.to_owned(),
            expected,
        })
    }

    /// A switch.
    pub(crate) fn flag(&self, option: Opt, default: bool) -> Result<bool, BadValue> {
        Ok(self
            .read(option, "true or false", java::boolean)?
            .unwrap_or(default))
    }

    /// A whole number.
    pub(crate) fn int(&self, option: Opt, default: i32) -> Result<i32, BadValue> {
        Ok(self
            .read(option, "a whole number such as 4", java::int)?
            .unwrap_or(default))
    }

    /// Whether high availability is on: anything but `NONE` names a kind of it.
    pub(crate) fn is_highly_available(&self) -> bool {
        const HA_MODE: Opt = Opt::new(
            "high-availability.type",
            &["recovery.mode", "high-availability"],
        );
        self.raw(HA_MODE)
            .is_some_and(|(_, mode)| !mode.eq_ignore_ascii_case("none"))
    }
}

/// Calls `put` for every leaf in order: maps become dotted keys, lists one text with semicolons, scalars their text. A map under a very
/// long key, in which there can be no option, is one leaf: its JSON.
pub(crate) fn flatten<'a>(
    value: &'a Value,
    key: Cow<'a, str>,
    put: &mut impl FnMut(Cow<'a, str>, Cow<'a, str>),
) {
    // Iterative, as users decide how deep it is.
    let mut open: Vec<(Cow<'a, str>, &'a Value)> = vec![(key, value)];
    let mut depth_first = Vec::new();
    while let Some((key, value)) = open.pop() {
        match value {
            Value::Object(map) if !map.is_empty() && key.len() > LONGEST_BEGINNING => {
                put(key, Cow::Owned(value.to_string()));
            }
            Value::Object(map) => {
                depth_first.extend(map.iter().map(|(name, value)| {
                    let key = if key.is_empty() {
                        Cow::Borrowed(name.as_str())
                    } else {
                        Cow::Owned(format!("{key}.{name}"))
                    };
                    (key, value)
                }));
                open.extend(depth_first.drain(..).rev());
            }
            Value::Array(list) if list.is_empty() => {}
            Value::Array(list) => {
                let parts: Vec<Cow<'_, str>> = list
                    .iter()
                    .map(|item| match item {
                        Value::Array(_) | Value::Object(_) => Cow::Borrowed(""),
                        scalar => leaf(scalar),
                    })
                    .collect();
                put(key, Cow::Owned(parts.join(";")));
            }
            _ if key.is_empty() => {}
            scalar => put(key, leaf(scalar)),
        }
    }
}

fn leaf(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => Cow::Borrowed(text.as_str()),
        other => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_maps_lists_and_scalars_become_texts_under_dotted_keys() {
        let value = json!({"state": {"savepoints.dir": "s3://b", "backend": {"x": 1}}, "slots": 2, "on": true,
            "list": ["a", 1], "none": null, "empty": {}, "state.savepoints.dir": "later"});
        let mut conf = Conf::default();
        conf.add(&value);
        let get = |key| conf.entries.get(key).map(AsRef::as_ref);
        assert_eq!(get("state.savepoints.dir"), Some("later"));
        assert_eq!(get("state.backend.x"), Some("1"));
        assert_eq!(get("slots"), Some("2"));
        assert_eq!(get("on"), Some("true"));
        assert_eq!(get("list"), Some("a;1"));
        assert_eq!(get("none"), Some("null"), "as the operator reads it");
        assert_eq!(conf.entries.len(), 6);
    }

    #[test]
    fn a_long_key_is_not_repeated_in_front_of_all_that_is_below_it() {
        let many: serde_json::Map<_, _> = (0..1000).map(|n| (format!("k{n}"), json!(n))).collect();
        let made = |length: usize| {
            let mut made = 0;
            let configuration = json!({ "x".repeat(length): many });
            flatten(&configuration, Cow::Borrowed(""), &mut |key, value| {
                made += key.len() + value.len();
            });
            made
        };
        assert_eq!(made(200), 1000 * 201 + made(0), "dotted keys");
        assert!(made(100_000) < 200_000, "{}", made(100_000));
    }

    #[test]
    fn operator_defaults_for_namespaces_and_versions() {
        let operator = json!({
            "a": "base",
            "kubernetes.operator.default-configuration.namespace.team.a": "namespace",
            "kubernetes.operator.default-configuration.flink-version.v1_19+.b": "19",
            "kubernetes.operator.default-configuration.flink-version.v1_20+.b": "20",
            "kubernetes.operator.default-configuration.flink-version.v2_0.c": "only 2.0",
            "kubernetes.operator.default-configuration.flink-version.v2_0+.d": "since 2.0",
        });
        let read = |namespace: &str, version: FlinkVersion, key: &str| {
            Conf::operator(Some(&operator), namespace, Some(version))
                .entries
                .get(key)
                .map(ToString::to_string)
        };
        let v = |word| FlinkVersion::parse(word).unwrap();
        assert_eq!(read("team", v("v1_20"), "a").as_deref(), Some("namespace"));
        assert_eq!(read("other", v("v1_20"), "a").as_deref(), Some("base"));
        assert_eq!(read("other", v("v1_19"), "b").as_deref(), Some("19"));
        assert_eq!(read("other", v("v2_1"), "b").as_deref(), Some("20"));
        assert_eq!(read("other", v("v2_1"), "c"), None);
        assert_eq!(read("other", v("v2_0"), "c").as_deref(), Some("only 2.0"));
        assert_eq!(read("other", v("v2_1"), "d").as_deref(), Some("since 2.0"));
        assert_eq!(read("other", v("v1_20"), "d"), None);
    }
}
