//! YAML (and JSON, which is YAML) as manifests are written: a tree that remembers where each value stands and how each
//! number is spelled.
//!
//! Made of the events of the parser that serde-saphyr brings along. A typed deserialiser would do for `check`, but not
//! for `convert`: once `1.10` has become a float, nobody knows that it was not `1.1`.
//!
//! [`read`] makes trees of text, [`stream`] takes JSON objects that follow one another apart, [`scalar`] says what an unquoted word means,
//! [`write`](mod@write) makes text of trees.

pub mod read;
pub mod scalar;
mod stream;
pub mod write;

use serde_json::{Map, Value};
use std::fmt;

/// Where something stands in a file; lines and columns count from 1, columns in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// Where a text starts.
    const START: Self = Self { line: 1, column: 1 };

    /// The place in the whole text of a place in a part of it that starts here.
    fn plus(self, within: Self) -> Self {
        match within.line {
            0 | 1 => Self {
                line: self.line,
                column: self.column + within.column.saturating_sub(1),
            },
            line => Self {
                line: self.line + line - 1,
                column: within.column,
            },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands; the default position for values that no file holds.
    pub at: Position,
    /// What it is.
    pub content: Content,
}

/// What a [`Node`] is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Quoted or block text, or an unquoted word that is nothing else.
    Text(String),
    /// An unquoted word that means null, a boolean or a number.
    Word {
        /// As it is spelled: `1.10`.
        spelling: String,
        /// What it means to kubectl: `1.1`.
        meaning: Value,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order it is written. No key occurs twice.
    Map(Vec<Entry>),
}

/// A key of a map and its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key; keys that are numbers are kept as they are spelled.
    pub key: String,
    /// Where the key stands.
    pub at: Position,
    /// The value.
    pub value: Node,
}

impl Node {
    /// A text that stands nowhere.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Content::Text(text.into()))
    }

    /// An empty map that stands nowhere.
    pub fn map() -> Self {
        Self::new(Content::Map(Vec::new()))
    }

    fn new(content: Content) -> Self {
        Self {
            at: Position::default(),
            content,
        }
    }

    /// The entries, if this is a map.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.content {
            Content::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()?
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        match &mut self.content {
            Content::Map(entries) => entries
                .iter_mut()
                .find(|entry| entry.key == key)
                .map(|entry| &mut entry.value),
            _ => None,
        }
    }

    /// Takes a key out of a map.
    pub fn take(&mut self, key: &str) -> Option<Node> {
        match &mut self.content {
            Content::Map(entries) => {
                let place = entries.iter().position(|entry| entry.key == key)?;
                Some(entries.remove(place).value)
            }
            _ => None,
        }
    }

    /// Sets a key of a map, at its place if it is there, else at the end. What is no map becomes one.
    pub fn set(&mut self, key: &str, value: Node) {
        if let Some(place) = self.get_mut(key) {
            *place = value;
            return;
        }
        let entry = Entry {
            key: key.to_owned(),
            at: value.at,
            value,
        };
        match &mut self.content {
            Content::Map(entries) => entries.push(entry),
            other => *other = Content::Map(vec![entry]),
        }
    }

    /// The text, if this is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A scalar as it is spelled: `1.10` for the number as well as for the text.
    pub fn spelling(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(text),
            Content::Word { spelling, .. } => Some(spelling),
            Content::List(_) | Content::Map(_) => None,
        }
    }

    /// Whether this is null, also where nothing is written after `key:`.
    pub fn is_null(&self) -> bool {
        matches!(
            &self.content,
            Content::Word {
                meaning: Value::Null,
                ..
            }
        )
    }

    /// What it is, for messages: `a number`, `a list`.
    pub fn type_name(&self) -> &'static str {
        match &self.content {
            Content::Text(_) => "a text",
            Content::Word { meaning, .. } => sluice_policy::json::type_name(meaning),
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    /// The JSON that kubectl would send. The tree's depth is limited by the reader.
    pub fn to_json(&self) -> Value {
        match &self.content {
            Content::Text(text) => Value::String(text.clone()),
            Content::Word { meaning, .. } => meaning.clone(),
            Content::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Content::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect(),
            ),
        }
    }
}

impl From<&Value> for Node {
    fn from(value: &Value) -> Self {
        Self::new(match value {
            Value::String(text) => Content::Text(text.clone()),
            Value::Array(items) => Content::List(items.iter().map(Node::from).collect()),
            Value::Object(map) => Content::Map(entries(map)),
            scalar => Content::Word {
                spelling: scalar.to_string(),
                meaning: scalar.clone(),
            },
        })
    }
}

fn entries(map: &Map<String, Value>) -> Vec<Entry> {
    map.iter()
        .map(|(key, value)| Entry {
            key: key.clone(),
            at: Position::default(),
            value: Node::from(value),
        })
        .collect()
}
