//! The shape of a spec: which fields there are and what each may hold. One table a kind; the tables that several kinds
//! share are in `tables`. What is done with a shape is in `normalise` (spellings) and `check` (refusals).

use crate::dialect::LeafKind;
use crate::immutability::parts::{Part, Same, Unlisted};
use crate::path::{FieldPath, Step};

/// What a field may hold.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A text.
    Text,
    /// A text that people also write as a number or a boolean; stored as text.
    Spelled,
    /// A text that looks like a number with a fraction: 1.20 has become 1.2 before we see it, so it must be quoted.
    Tag,
    /// One of these words, in any case; stored as it stands here.
    Word(&'static [&'static str]),
    /// true or false.
    Flag,
    /// A whole number within bounds.
    Whole {
        /// The least that makes sense.
        least: i64,
        /// The most that makes sense.
        most: i64,
    },
    /// CPU of a Flink process, at least 0.1.
    ProcessCpu,
    /// CPU of a quota, from 0.
    QuotaCpu,
    /// A size of memory or disk, in Flink's or Kubernetes' binary units.
    Memory,
    /// Flink's version.
    FlinkVersion,
    /// A map of texts.
    Texts,
    /// Flink's configuration: dotted keys, values as text.
    Configuration,
    /// Log levels by logger.
    Levels,
    /// A list.
    List(&'static Shape),
    /// A map with known fields.
    Fields(&'static [Field]),
    /// A map whose fields are judged elsewhere.
    Open,
    /// A list of maps that are judged elsewhere.
    OpenList,
    /// Judged elsewhere altogether.
    Anything,
}

/// A field of a map.
#[derive(Debug)]
pub(crate) struct Field {
    /// Its name as it is stored.
    pub name: &'static str,
    /// Another spelling that users of Ververica Platform write.
    pub alias: Option<&'static str>,
    /// What it may hold.
    pub shape: Shape,
}

/// A field with one spelling.
pub(crate) const fn field(name: &'static str, shape: Shape) -> Field {
    Field {
        name,
        alias: None,
        shape,
    }
}

/// A field with a second spelling.
pub(crate) const fn aliased(name: &'static str, alias: &'static str, shape: Shape) -> Field {
    Field {
        name,
        alias: Some(alias),
        shape,
    }
}

impl Shape {
    /// How two values of this shape compare.
    fn leaf_kind(&self) -> LeafKind {
        match self {
            Shape::ProcessCpu | Shape::QuotaCpu => LeafKind::Cpu,
            Shape::Memory => LeafKind::Memory,
            Shape::Text
            | Shape::Spelled
            | Shape::Tag
            | Shape::Whole { .. }
            | Shape::FlinkVersion
            | Shape::Texts
            | Shape::Configuration
            | Shape::Levels => LeafKind::Text,
            Shape::Word(_) | Shape::Flag | Shape::List(_) | Shape::Fields(_) | Shape::Anything => {
                LeafKind::Exact
            }
            Shape::Open | Shape::OpenList => LeafKind::Verbatim,
        }
    }
}

impl Shape {
    fn same(&self) -> Same {
        match self {
            Shape::Levels => Same::Map(Box::new(Same::Level)),
            Shape::Texts => Same::Map(Box::new(Same::Text)),
            Shape::Configuration => Same::Configuration,
            Shape::Fields(fields) => Same::Fields(parts(fields), Unlisted::Pruned),
            Shape::List(Shape::Fields(fields)) => Same::List(parts(fields)),
            _ => match self.leaf_kind() {
                LeafKind::Exact => Same::Exact,
                LeafKind::Verbatim => Same::Verbatim,
                LeafKind::Text => Same::Text,
                LeafKind::Cpu => Same::Cpu,
                LeafKind::Memory => Same::Memory,
            },
        }
    }
}

/// How values at a path compare, given the shape of the spec; paths outside `spec` compare exactly.
pub(crate) fn leaf_kind(spec: &'static [Field], path: &FieldPath) -> LeafKind {
    let mut steps = path.steps().iter();
    if steps.next() != Some(&Step::Key("spec".into())) {
        return LeafKind::Exact;
    }
    let mut fields = spec;
    let mut kind = LeafKind::Exact;
    let mut shape: Option<&'static Shape> = None;
    for step in steps {
        let next = match (step, shape) {
            (Step::Index(_), Some(Shape::List(item))) => Some(*item),
            (Step::Key(key), None | Some(Shape::Fields(_))) => fields
                .iter()
                .find(|field| field.name == key)
                .map(|field| &field.shape),
            // What stands in maps of texts compares as texts, and what stands in what Kubernetes defines as that does.
            (Step::Key(_), Some(Shape::Texts | Shape::Configuration | Shape::Levels))
            | (_, Some(Shape::Open | Shape::OpenList)) => shape,
            _ => None,
        };
        let Some(next) = next else {
            return LeafKind::Exact;
        };
        if let Shape::Fields(inner) = next {
            fields = inner;
        }
        kind = next.leaf_kind();
        shape = Some(next);
    }
    kind
}

/// The same as data: how the fields compare, once normalisation has evened out their spellings.
pub(crate) fn parts(fields: &'static [Field]) -> Vec<Part> {
    fields
        .iter()
        .map(|field| Part {
            name: field.name,
            alias: field.alias,
            same: field.shape.same(),
        })
        .collect()
}

/// The canonical spelling of a word, whatever its case. CANCELED counts as CANCELLED.
pub(crate) fn canonical_word(
    words: &'static [&'static str],
    written: &str,
) -> Option<&'static str> {
    let written = if written.eq_ignore_ascii_case("CANCELED") {
        "CANCELLED"
    } else {
        written
    };
    words
        .iter()
        .copied()
        .find(|word| word.eq_ignore_ascii_case(written))
}
