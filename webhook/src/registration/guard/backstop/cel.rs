//! Writes down, as an expression of the API server's language (CEL), which fields of two specs differ in meaning. The fields and how each
//! is compared come from policy ([`Dialect::parts`](sluice_policy::Dialect::parts)).
//!
//! The language has no recursion and no functions of one's own, so maps of unknown shape are compared [`DEPTH`] maps deep, and as they
//! are written below. Every expression copes with any type of value: an error would let everything through.

use sluice_policy::FieldPath;
use sluice_policy::immutability::parts::{Part, Same, Unlisted};

/// How many maps deep `{}` and no field are told to be the same.
const DEPTH: usize = 3;

/// What may change.
#[derive(Debug, Default)]
pub(super) struct Free {
    /// Paths, each with the condition on which it may.
    pub paths: Vec<(FieldPath, Option<String>)>,
    /// Beginnings of keys of Flink's configuration.
    pub configuration: Vec<&'static str>,
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('\'', "\\'")
        .replace('\n', "\\n");
    format!("'{escaped}'")
}

/// Texts in quotes.
pub(super) fn list(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// The units of memory, as a map to those of Kubernetes; expressions find it at `variables.units`.
pub(super) fn units() -> String {
    let units: Vec<String> = sluice_policy::quantity::flink_units()
        .map(|(unit, same)| format!("{}: {}", quoted(&unit), quoted(same)))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    format!("{{{}}}", units.join(", "))
}

/// A list of the paths that differ between the maps `variables.old` and `variables.new`.
pub(super) fn changes(parts: &[Part], unlisted: Unlisted, free: &Free) -> String {
    let root = Place {
        path: FieldPath::of("spec"),
        chains: vec![String::new()],
    };
    let mut walk = Walk {
        free,
        alike: Vec::new(),
        open: Vec::new(),
        terms: Vec::new(),
    };
    walk.fields(parts, unlisted, &root);
    walk.written()
}

/// Where a value stands: its path, and every way that leads to it from the spec.
struct Place {
    path: FieldPath,
    chains: Vec<String>,
}

impl Place {
    fn part(&self, part: &Part) -> Self {
        let names = || std::iter::once(part.name).chain(part.alias);
        Self {
            path: self.path.key(part.name),
            chains: names()
                .flat_map(|name| {
                    self.chains
                        .iter()
                        .map(move |chain| format!("{chain}.?{name}"))
                })
                .collect(),
        }
    }

    /// The value in the map `side`; `{}` where there is none.
    fn of(&self, side: &str) -> String {
        self.or(side, "{}")
    }

    /// The value in the map `side`; `none` where there is none.
    fn or(&self, side: &str, none: &str) -> String {
        let mut chains = self.chains.iter();
        let first = match chains.next() {
            Some(chain) if !chain.is_empty() => format!("{side}{chain}"),
            _ => return format!("dyn({side})"),
        };
        let all = chains.fold(first, |all, chain| format!("{all}.or({side}{chain})"));
        format!("dyn({all}.orValue({none}))")
    }
}

const OLD: &str = "variables.old";
const NEW: &str = "variables.new";

/// What is found in the fields. Those that are compared alike are written as one, or the policy would grow to ten times its size.
struct Walk<'f> {
    free: &'f Free,
    /// Fields and how they are compared: a row of path, old and new value each.
    alike: Vec<(&'f Same, Vec<String>)>,
    /// Maps that may have further fields: a row of path, old and new value, and the fields that are looked at elsewhere.
    open: Vec<String>,
    /// Lists of paths.
    terms: Vec<String>,
}

impl<'f> Walk<'f> {
    fn fields(&mut self, parts: &'f [Part], unlisted: Unlisted, place: &Place) {
        let mut names: Vec<&str> = parts.iter().map(|part| part.name).collect();
        for part in parts {
            let place = place.part(part);
            let free = self.free.paths.iter();
            let free = free
                .filter(|(path, _)| place.path.is_within(path))
                .map(|(_, condition)| condition.as_deref())
                .next();
            match (free, &part.same) {
                (Some(None), _) => {}
                (None, Same::Fields(parts, unlisted)) => self.fields(parts, *unlisted, &place),
                (None, Same::Map(same)) => self.terms.push(map(same, &place)),
                (None, Same::Configuration) => {
                    self.terms.push(configuration(&place, self.free));
                }
                (None, same) => self.leaf(same, &place, &place.or(NEW, none(same))),
                // As if it had not changed.
                (Some(Some(condition)), same) => {
                    let [old, new] = [OLD, NEW].map(|side| place.or(side, none(same)));
                    self.leaf(same, &place, &format!("({condition} ? {old} : {new})"));
                }
            }
        }
        if unlisted == Unlisted::Exact {
            let free = self.free.paths.iter();
            names.extend(free.filter_map(|(path, _)| {
                let key = path.last_key()?;
                (path.parent() == place.path).then_some(key)
            }));
            let path = quoted(&format!("{}.*", place.path));
            self.open.push(format!(
                "[dyn({path}), {}, {}, dyn({})]",
                place.of(OLD),
                place.of(NEW),
                list(&names)
            ));
        }
    }

    fn leaf(&mut self, same: &'f Same, place: &Place, new: &str) {
        let path = quoted(&place.path.to_string());
        let old = place.or(OLD, none(same));
        let row = format!("[dyn({path}), {old}, dyn({new})]");
        match self.alike.iter_mut().find(|(other, _)| *other == same) {
            Some((_, rows)) => rows.push(row),
            None => self.alike.push((same, vec![row])),
        }
    }

    fn written(self) -> String {
        let mut terms: Vec<String> = self
            .alike
            .into_iter()
            .map(|(same, rows)| {
                let same = means_the_same(same, "p[1]", "p[2]");
                let rows = rows.join(", ");
                format!("[{rows}].filter(p, !{same}).map(p, string(p[0]))")
            })
            .collect();
        terms.extend(self.terms);
        if !self.open.is_empty() {
            let same = exact(&Same::Exact, "p[1][k]", "p[2][?k].orValue({})", DEPTH);
            terms.push(format!(
                "[{}].filter(p, p[1].exists(k, !(k in p[3]) && !{same}) || p[2].exists(k, !(k in p[3]) && !(k in p[1]) && \
                 !{})).map(p, string(p[0]))",
                self.open.join(", "),
                is_empty("p[2][k]")
            ));
        }
        terms.join(" + ")
    }
}

/// A map of the user's own keys.
fn map(same: &Same, place: &Place) -> String {
    let (old, new) = (place.of(OLD), place.of(NEW));
    let same = means_the_same(same, "p[0][k]", "p[1][?k].orValue({})");
    let path = quoted(&format!("{}[", place.path));
    format!(
        "[[{old}, {new}]].map(p, p[0].filter(k, !{same}) + p[1].filter(k, !(k in p[0]) && !{}))[0].map(k, {path} + k + ']')",
        is_empty("p[1][k]")
    )
}

/// Flink's configuration. While some of it is nested, a key that is missing on one side may stand on the other in a map, so
/// that it tells nothing.
fn configuration(place: &Place, free: &Free) -> String {
    let side = |side: &str| {
        let value = place.of(side);
        format!("({} ? {value} : dyn({{}}))", is_map(&value))
    };
    let is_free = |key: &str| {
        if free.configuration.is_empty() {
            "false".to_owned()
        } else {
            format!(
                "{}.exists(f, ({key}).startsWith(f))",
                list(&free.configuration)
            )
        }
    };
    let path = quoted(&format!("{}[", place.path));
    format!(
        "[[dyn({old}), dyn({new})]].map(c, [c.exists(m, m.exists(k, {nested}))].map(nested, c[0].filter(k, !{free} && (k in c[1] ? {differ} : \
         !nested && !{gone})) + c[1].filter(k, !{free} && !(k in c[0]) && !nested && !{added}))[0])[0].map(k, {path} + k + ']')",
        old = side(OLD),
        new = side(NEW),
        nested = is_map("m[k]"),
        free = is_free("k"),
        differ = options_differ("c[0][k]", "c[1][k]", "k", DEPTH - 1, &is_free),
        gone = is_empty("c[0][k]"),
        added = is_empty("c[1][k]"),
    )
}

/// Whether one place of the configuration has two different texts, `key` being its dotted key.
fn options_differ(
    old: &str,
    new: &str,
    key: &str,
    depth: usize,
    is_free: &dyn Fn(&str) -> String,
) -> String {
    let pair = format!("o{depth}");
    let (was, is) = (format!("{pair}[0]"), format!("{pair}[1]"));
    let item = format!("({} ? string(i) : '')", is_scalar("i"));
    let leaves = format!(
        "({} || {} ? {} != {} : ({pair}.map(t, type(t) == list ? t.map(i, {item}).join(';') : string(t))).exists(t, t != \
         (type({was}) == list ? {was}.map(i, {item}).join(';') : string({was}))))",
        is_empty(&was),
        is_empty(&is),
        is_empty(&was),
        is_empty(&is),
    );
    let below = if depth == 0 {
        "false".to_owned()
    } else {
        let key_below = format!("j{depth}");
        let key = format!("{key} + '.' + {key_below}");
        let differ = options_differ(
            &format!("{was}[{key_below}]"),
            &format!("{is}[{key_below}]"),
            &key,
            depth - 1,
            is_free,
        );
        format!(
            "{was}.exists({key_below}, {key_below} in {is} && !{} && {differ})",
            is_free(&key)
        )
    };
    format!(
        "[[dyn({old}), dyn({new})]].exists({pair}, {was} != {is} && ({pair}.exists(t, {}) ? {pair}.all(t, {}) && {below} : {leaves}))",
        is_map("t"),
        is_map("t"),
    )
}

/// Whether two values mean the same; [`none`] stands for none.
fn means_the_same(same: &Same, a: &str, b: &str) -> String {
    let both = |test: &str| {
        format!(
            "[[dyn({a}), dyn({b})]].all(v, v[0] == v[1] || ({} && {}) || ({} && {} && {test}))",
            is_empty("v[0]"),
            is_empty("v[1]"),
            is_scalar("v[0]"),
            is_scalar("v[1]"),
        )
    };
    let amounts = "r.all(x, isQuantity(x)) && quantity(r[0]).compareTo(quantity(r[1])) == 0";
    match same {
        Same::Text => both("string(v[0]) == string(v[1])"),
        Same::Level => both(
            "string(v[0]).upperAscii().replace('FALSE', 'OFF') == string(v[1]).upperAscii().replace('FALSE', 'OFF')",
        ),
        Same::Cpu => both(&format!("[v.map(x, string(x).trim())].all(r, {amounts})")),
        Same::Memory => both(&format!(
            "[v.map(x, string(x).trim().lowerAscii()).map(x, [x.find('[a-z]*$')].map(u, u in variables.units ? \
             x.substring(0, size(x) - size(u)).trim() + variables.units[u] : '?')[0])].all(r, {amounts})"
        )),
        Same::List(parts) => {
            let items: Vec<String> = parts
                .iter()
                .map(|part| {
                    let [a, b] = ["e", "f"]
                        .map(|of| format!("{of}.?{}.orValue({})", part.name, none(&part.same)));
                    match part.same {
                        Same::Exact | Same::Verbatim => exact(&part.same, &a, &b, 1),
                        _ => means_the_same(&part.same, &a, &b),
                    }
                })
                .collect();
            // Their order is not looked at.
            format!(
                "[[dyn({a}), dyn({b})]].all(l, l[0] == l[1] || ({} && {}) || (type(l[0]) == list && type(l[1]) == list && size(l[0]) == \
                 size(l[1]) && l[0].all(e, l[1].exists(f, {}))))",
                is_empty("l[0]"),
                is_empty("l[1]"),
                items.join(" && ")
            )
        }
        Same::Exact | Same::Verbatim | Same::Map(_) | Same::Configuration | Same::Fields(..) => {
            exact(same, a, b, DEPTH)
        }
    }
}

/// What stands where there is no value: something that means the same as none.
fn none(same: &Same) -> &'static str {
    match same {
        Same::Verbatim => "null",
        _ => "{}",
    }
}

/// Maps key by key, as far as their depth is looked at.
fn exact(same: &Same, old: &str, new: &str, depth: usize) -> String {
    let none = none(same);
    let pair = format!("w{depth}");
    let (was, is) = (format!("{pair}[0]"), format!("{pair}[1]"));
    let maps = if depth == 0 {
        String::new()
    } else {
        let key = format!("k{depth}");
        let inner = exact(
            same,
            &format!("{was}[{key}]"),
            &format!("{is}[?{key}].orValue({none})"),
            depth - 1,
        );
        let only_new = exact(same, none, &format!("{is}[{key}]"), depth - 1);
        format!(
            " || ({} && {} && {was}.all({key}, {inner}) && {is}.all({key}, {key} in {was} || {only_new}))",
            is_map(&was),
            is_map(&is),
        )
    };
    let is_nothing = |value: &str| match same {
        Same::Verbatim => format!("({value} == null || {value} == [])"),
        _ => is_empty(value),
    };
    format!(
        "[[dyn({old}), dyn({new})]].all({pair}, {was} == {is} || ({} && {}){maps})",
        is_nothing(&was),
        is_nothing(&is),
    )
}

fn is_empty(value: &str) -> String {
    format!("({value} == null || {value} == {{}} || {value} == [])")
}

fn is_map(value: &str) -> String {
    format!("type({value}) == map")
}

fn is_scalar(value: &str) -> String {
    format!("!({value} == null || type({value}) == map || type({value}) == list)")
}
