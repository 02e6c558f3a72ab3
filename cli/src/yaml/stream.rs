//! JSON objects one after another, as `jq '.items[]'` writes them and kubectl reads them. YAML wants `---` between its documents, so each
//! of them is read by itself.

use super::Position;
use serde::de::IgnoredAny;

/// A piece of a text that is YAML by itself.
#[derive(Debug, PartialEq)]
pub(super) struct Part<'t> {
    pub text: &'t str,
    /// Where it stands in the whole text.
    pub start: Position,
}

/// The objects of a stream of JSON. A text of anything else is one part, and so is what follows the last object that another one follows:
/// what is wrong there is best told by who reads it.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut rest, mut start) = (text, Position::START);
    while let Some((object, more)) = first_of_several(rest) {
        parts.push(Part {
            text: object,
            start,
        });
        start = start.plus(end(object));
        rest = more;
    }
    parts.push(Part { text: rest, start });
    parts
}

/// An object with the white space behind it, and the next one.
fn first_of_several(text: &str) -> Option<(&str, &str)> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut objects = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    objects.next()?.ok()?;
    let behind = text.get(objects.byte_offset()..)?.trim_start();
    let (object, more) = text.split_at(text.len() - behind.len());
    more.starts_with('{').then_some((object, more))
}

/// The place behind a text.
fn end(text: &str) -> Position {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: text.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Vec<(&str, usize, usize)> {
        let place = |part: Part<'_>| (part.start.line, part.start.column);
        let all = parts(text).into_iter().map(|part| (part.text, place(part)));
        all.map(|(text, (line, column))| (text, line, column))
            .collect()
    }

    #[test]
    fn each_object_is_a_part() {
        assert_eq!(
            places("{\"a\": \"}{é\"}{\"b\": {\n}}\n\t{\"c\": 1}\n"),
            [
                ("{\"a\": \"}{é\"}", 1, 1),
                ("{\"b\": {\n}}\n\t", 1, 13),
                ("{\"c\": 1}\n", 3, 2),
            ]
        );
    }

    #[test]
    fn everything_else_is_one_part() {
        for text in [
            "",
            "a: {}\n{}\n",
            "{a: b}\n{c: d}\n",
            "{\"a\": 1}\n---\n{\"b\": 2}\n",
            "{\"a\": 1}\n[]",
            "[{}]\n{}",
            "{\"a\": {",
        ] {
            assert_eq!(places(text), [(text, 1, 1)]);
        }
        assert_eq!(places("{}{")[1], ("{", 1, 3));
    }
}
