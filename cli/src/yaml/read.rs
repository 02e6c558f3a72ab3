//! From text to trees: syntax, duplicate keys, anchors and merge keys, and the limits that keep a hostile file from
//! filling the memory. What the trees mean is not decided here.

use super::stream::{self, Part};
use super::{Content, Entry, Node, Position, scalar};
use serde_saphyr::granit_parser::{
    self, ErrorKind, Event, Marker, Parser, ScalarStyle, ScanError, Tag,
};
use std::collections::{HashMap, HashSet};

/// The deepest nesting that is read. The webhook's JSON reader ends at 128 levels, two of which are the review's own.
pub const MAX_DEPTH: usize = 120;

/// How many values aliases may add to a file ("billion laughs").
const MAX_ALIASED: usize = 100_000;

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {message}")]
pub struct ReadError {
    /// Where.
    pub at: Position,
    /// What is wrong and what to do.
    pub message: String,
}

/// Reads every document of a text; documents without content (only comments, or null) are left out.
pub fn read(text: &str) -> Result<Vec<Node>, ReadError> {
    let mut builder = Builder::default();
    for Part { text, start } in stream::parts(text) {
        let options = granit_parser::options! { emit_comments: false };
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) = next.map_err(|error| syntax(text, start, &error))?;
            builder.take(event, start.plus(position(&span.start)))?;
        }
    }
    Ok(builder.documents)
}

/// Reads bytes, which must be UTF-8; a byte order mark is skipped.
pub fn read_bytes(bytes: &[u8]) -> Result<Vec<Node>, ReadError> {
    if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = bytes {
        return Err(ReadError {
            at: Position { line: 1, column: 1 },
            message: "the file is UTF-16; save it as UTF-8".to_owned(),
        });
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let last = good.rsplit('\n').next().unwrap_or_default();
        ReadError {
            at: Position {
                line: good.matches('\n').count() + 1,
                column: last.chars().count() + 1,
            },
            message: "the file is not UTF-8 here; save it as UTF-8".to_owned(),
        }
    })?;
    read(text)
}

fn position(marker: &Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

fn syntax(text: &str, start: Position, error: &ScanError) -> ReadError {
    let within = position(error.marker());
    let at = start.plus(within);
    if matches!(error.kind(), ErrorKind::RecursionLimitExceeded) {
        return too_deep(at);
    }
    let line = text
        .lines()
        .nth(within.line.saturating_sub(1))
        .unwrap_or_default();
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    let mut message = error.info();
    if line
        .get(..indent)
        .is_some_and(|indent| indent.contains('\t'))
    {
        message.push_str("; the line is indented with a tab, YAML wants spaces");
    }
    ReadError { at, message }
}

/// A collection that is not closed yet.
enum Open {
    List {
        at: Position,
        anchor: usize,
        items: Vec<Node>,
    },
    Map {
        at: Position,
        anchor: usize,
        entries: Vec<Entry>,
        seen: HashSet<String>,
        key: Option<Key>,
        merged: Vec<Node>,
    },
}

enum Key {
    Named(String, Position),
    /// `<<`: the value's entries are taken over where the map has no such key.
    Merge,
}

/// A value that aliases may repeat, with its size and height, so that repeating can be refused before it is done.
struct Anchored {
    node: Node,
    size: usize,
    height: usize,
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    stack: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), ReadError> {
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, tag) => {
                let content = content(&text, style, tag.as_deref(), at)?;
                if self.expects_key() {
                    return self.key(&content, style, at);
                }
                self.place(Node { at, content }, anchor)?;
            }
            Event::Alias(id) => {
                let node = self.alias(id, at)?;
                if self.expects_key() {
                    return self.key(&node.content, ScalarStyle::DoubleQuoted, at);
                }
                self.place(node, 0)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(at, tag.as_deref(), "seq")?;
                self.stack.push(Open::List {
                    at,
                    anchor,
                    items: Vec::new(),
                });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(at, tag.as_deref(), "map")?;
                self.stack.push(Open::Map {
                    at,
                    anchor,
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    key: None,
                    merged: Vec::new(),
                });
            }
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Open::List { at, anchor, items }) => {
                    self.place(
                        Node {
                            at,
                            content: Content::List(items),
                        },
                        anchor,
                    )?;
                }
                Some(Open::Map {
                    at,
                    anchor,
                    mut entries,
                    seen,
                    merged,
                    ..
                }) => {
                    merge(&mut entries, seen, merged);
                    self.place(
                        Node {
                            at,
                            content: Content::Map(entries),
                        },
                        anchor,
                    )?;
                }
                None => {}
            },
            _ => {}
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open::Map { key: None, .. }))
    }

    fn open(&self, at: Position, tag: Option<&Tag>, core: &str) -> Result<(), ReadError> {
        if self.expects_key() {
            return Err(fault(
                at,
                "a list or a map cannot be a key; a key is a text",
            ));
        }
        if let Some(tag) = tag.filter(|tag| tag.core_suffix() != Some(core)) {
            return Err(unknown_tag(at, tag));
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        Ok(())
    }

    fn key(
        &mut self,
        content: &Content,
        style: ScalarStyle,
        at: Position,
    ) -> Result<(), ReadError> {
        let named = match content {
            Content::Text(text) if text == "<<" && style == ScalarStyle::Plain => None,
            Content::Text(text) => Some(text.clone()),
            Content::Word {
                meaning: serde_json::Value::Null,
                ..
            } => {
                return Err(fault(at, "a key is missing before the colon"));
            }
            Content::Word { spelling, .. } => Some(spelling.clone()),
            Content::List(_) | Content::Map(_) => {
                return Err(fault(
                    at,
                    "a list or a map cannot be a key; a key is a text",
                ));
            }
        };
        let Some(Open::Map {
            key, seen, entries, ..
        }) = self.stack.last_mut()
        else {
            return Ok(());
        };
        *key = Some(match named {
            None => Key::Merge,
            Some(name) => {
                if !seen.insert(name.clone()) {
                    let first = entries
                        .iter()
                        .find(|entry| entry.key == name)
                        .map(|entry| entry.at)
                        .unwrap_or_default();
                    return Err(fault(
                        at,
                        format!(
                            "the key \"{name}\" stands here for the second time; first in {first}. Remove one of them"
                        ),
                    ));
                }
                Key::Named(name, at)
            }
        });
        Ok(())
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<Node, ReadError> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(fault(
                at,
                "this alias stands inside the value that it repeats",
            ));
        };
        self.aliased = self.aliased.saturating_add(anchored.size);
        if self.aliased > MAX_ALIASED {
            return Err(fault(
                at,
                format!("aliases repeat more than {MAX_ALIASED} values; write fewer of them"),
            ));
        }
        if self.stack.len() + anchored.height > MAX_DEPTH {
            return Err(too_deep(at));
        }
        Ok(Node {
            at,
            content: anchored.node.content.clone(),
        })
    }

    fn place(&mut self, node: Node, anchor: usize) -> Result<(), ReadError> {
        if anchor != 0 {
            let (size, height) = measure(&node);
            self.anchors.insert(
                anchor,
                Anchored {
                    node: node.clone(),
                    size,
                    height,
                },
            );
        }
        match self.stack.last_mut() {
            None if node.is_null() => {}
            None => self.documents.push(node),
            Some(Open::List { items, .. }) => items.push(node),
            Some(Open::Map {
                entries,
                key,
                merged,
                ..
            }) => match key.take() {
                Some(Key::Named(key, at)) => entries.push(Entry {
                    key,
                    at,
                    value: node,
                }),
                Some(Key::Merge) => match &node.content {
                    Content::Map(_) => merged.push(node),
                    Content::List(maps) if maps.iter().all(|map| map.entries().is_some()) => {
                        merged.extend(maps.iter().cloned());
                    }
                    _ => return Err(fault(node.at, "<< takes a map or a list of maps")),
                },
                None => {}
            },
        }
        Ok(())
    }
}

fn merge(entries: &mut Vec<Entry>, mut seen: HashSet<String>, merged: Vec<Node>) {
    for map in merged {
        if let Content::Map(more) = map.content {
            for entry in more {
                if seen.insert(entry.key.clone()) {
                    entries.push(entry);
                }
            }
        }
    }
}

/// How many values there are, and how many levels. Recursion ends at [`MAX_DEPTH`].
fn measure(node: &Node) -> (usize, usize) {
    let below = |nodes: &mut dyn Iterator<Item = &Node>| {
        nodes
            .map(measure)
            .fold((0, 0), |(size, height), (s, h)| (size + s, height.max(h)))
    };
    let (size, height) = match &node.content {
        Content::Text(_) | Content::Word { .. } => return (1, 0),
        Content::List(items) => below(&mut items.iter()),
        Content::Map(entries) => below(&mut entries.iter().map(|entry| &entry.value)),
    };
    (size + 1, height + 1)
}

fn content(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    at: Position,
) -> Result<Content, ReadError> {
    let as_text = || Content::Text(text.to_owned());
    match tag.map(|tag| (tag, tag.core_suffix())) {
        Some((_, Some("str"))) => return Ok(as_text()),
        Some((tag, None)) if tag.suffix().is_empty() && tag.handle() == "!" => return Ok(as_text()),
        Some((_, Some("int" | "float" | "bool" | "null"))) => {}
        Some((tag, _)) => return Err(unknown_tag(at, tag)),
        None if style == ScalarStyle::Plain => {}
        None => return Ok(as_text()),
    }
    match scalar::meaning(text) {
        Ok(Some(meaning)) => Ok(Content::Word {
            spelling: text.to_owned(),
            meaning,
        }),
        Ok(None) if tag.is_some() => Err(fault(
            at,
            format!("{text:?} is not what its tag says; remove the tag"),
        )),
        Ok(None) => Ok(as_text()),
        Err(scalar::NoJson) => Err(fault(
            at,
            format!("{text} is no number that JSON knows; quote it or write a number"),
        )),
    }
}

fn fault(at: Position, message: impl Into<String>) -> ReadError {
    ReadError {
        at,
        message: message.into(),
    }
}

fn too_deep(at: Position) -> ReadError {
    fault(
        at,
        format!("nested more than {MAX_DEPTH} levels deep; no object needs that"),
    )
}

fn unknown_tag(at: Position, tag: &Tag) -> ReadError {
    fault(
        at,
        format!(
            "the tag {}{} has no meaning in a manifest; remove it",
            tag.original_handle(),
            tag.suffix()
        ),
    )
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
