//! Paths into an object, as people read them (`spec.resources.taskmanager.cpu`) and as patches want them (RFC 6901).

use crate::json;
use compact_str::CompactString;
use serde_json::Value;
use std::fmt::{self, Write};

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A key of a map. Most are short enough to need no memory of their own; a decision makes hundreds of paths.
    Key(CompactString),
    /// A position in a list, from 0.
    Index(usize),
}

/// A path from the root of an object to one of its fields.
///
/// Displayed the way Kubernetes writes field paths: `spec.flinkConfiguration[taskmanager.numberOfTaskSlots]`,
/// `spec.jars[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldPath(Vec<Step>);

impl FieldPath {
    /// The path of plain keys separated by dots: `FieldPath::of("spec.state")`. The empty text is the object itself.
    pub fn of(dotted: &str) -> Self {
        Self(
            dotted
                .split('.')
                .filter(|part| !part.is_empty())
                .map(|part| Step::Key(part.into()))
                .collect(),
        )
    }

    /// Reads an RFC 6901 pointer. Every token is taken as a key, as pointers do not tell keys from positions.
    pub fn from_pointer(pointer: &str) -> Self {
        Self(
            pointer
                .split('/')
                .skip(1)
                .map(|token| {
                    Step::Key(if token.contains('~') {
                        token.replace("~1", "/").replace("~0", "~").into()
                    } else {
                        token.into()
                    })
                })
                .collect(),
        )
    }

    /// This path, one key further.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.then(Step::Key(key.into()))
    }

    /// This path, one list position further.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.then(Step::Index(index))
    }

    fn then(&self, step: Step) -> Self {
        let mut steps = Vec::with_capacity(self.0.len() + 1);
        steps.extend_from_slice(&self.0);
        steps.push(step);
        Self(steps)
    }

    /// Goes one key further in place; for walks, which come back with [`FieldPath::pop`].
    pub(crate) fn push(&mut self, key: &str) {
        self.0.push(Step::Key(key.into()));
    }

    /// Goes back one step in place.
    pub(crate) fn pop(&mut self) {
        self.0.pop();
    }

    /// Whether the path leads into the field `name` of the object.
    pub(crate) fn is_below(&self, name: &str) -> bool {
        matches!(self.0.first(), Some(Step::Key(key)) if key == name)
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The path without its last step; the root's parent is the root.
    #[must_use]
    pub fn parent(&self) -> Self {
        let (_, parents) = self.0.split_last().unwrap_or((&Step::Index(0), &[]));
        Self(parents.to_vec())
    }

    /// The last key, if the path ends in one.
    pub fn last_key(&self) -> Option<&str> {
        match self.0.last() {
            Some(Step::Key(key)) => Some(key),
            _ => None,
        }
    }

    /// Whether `self` is `other` or lies below it.
    pub fn is_within(&self, other: &FieldPath) -> bool {
        self.0.len() >= other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a == b)
    }

    /// The RFC 6901 pointer.
    pub fn pointer(&self) -> String {
        let mut out = String::new();
        for step in &self.0 {
            out.push('/');
            match step {
                Step::Key(key) => {
                    for c in key.chars() {
                        match c {
                            '~' => out.push_str("~0"),
                            '/' => out.push_str("~1"),
                            c => out.push(c),
                        }
                    }
                }
                Step::Index(index) => out.push_str(&index.to_string()),
            }
        }
        out
    }

    /// The value at this path, if every step exists.
    pub fn get<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(object, |value, step| match step {
            Step::Key(key) => json::child(value, key),
            Step::Index(index) => value.get(*index),
        })
    }
}

/// How much of a path is shown, in bytes. A key may have megabytes, and stands in a message and once more in its cause.
const SHOWN: usize = 400;

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = Cut {
            f,
            left: Some(SHOWN),
        };
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if key.is_empty() => f.write_str("[\"\"]")?,
                Step::Key(key) if key.contains(['.', '/', '[', ' ']) => write!(f, "[{key}]")?,
                Step::Key(key) if position == 0 => f.write_str(key)?,
                Step::Key(key) => write!(f, ".{key}")?,
            }
        }
        Ok(())
    }
}

/// Writes no more than is left, and then an ellipsis.
struct Cut<'f, 'o> {
    f: &'f mut fmt::Formatter<'o>,
    /// `None` after the ellipsis.
    left: Option<usize>,
}

impl fmt::Write for Cut<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(left) = self.left else {
            return Ok(());
        };
        self.left = left.checked_sub(text.len());
        if self.left.is_some() {
            return self.f.write_str(text);
        }
        let (shown, _) = text.split_at(text.floor_char_boundary(left));
        self.f.write_str(shown)?;
        self.f.write_str("...")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_like_kubernetes_and_point_like_rfc_6901() {
        let path = FieldPath::of("spec.flinkConfiguration").key("taskmanager.numberOfTaskSlots");
        assert_eq!(
            path.to_string(),
            "spec.flinkConfiguration[taskmanager.numberOfTaskSlots]"
        );
        assert_eq!(
            path.pointer(),
            "/spec/flinkConfiguration/taskmanager.numberOfTaskSlots"
        );
        let odd = FieldPath::of("metadata.annotations").key("sluice.dev/de~faults");
        assert_eq!(
            odd.pointer(),
            "/metadata/annotations/sluice.dev~1de~0faults"
        );
        assert_eq!(FieldPath::from_pointer(&odd.pointer()), odd);
        assert_eq!(
            FieldPath::of("spec.jars").index(0).to_string(),
            "spec.jars[0]"
        );
        assert_eq!(
            FieldPath::of("spec.logging.log4jLoggers")
                .key("")
                .to_string(),
            "spec.logging.log4jLoggers[\"\"]"
        );
    }

    #[test]
    fn a_long_path_is_shown_up_to_a_length_and_points_all_the_same() {
        for key in ["k".repeat(5000), "ü.".repeat(5000)] {
            let path = FieldPath::of("spec").key(&key).key("after");
            let shown = path.to_string();
            assert!(shown.len() <= SHOWN + 3, "{shown}");
            assert!(
                shown.starts_with("spec") && shown.ends_with("..."),
                "{shown}"
            );
            assert!(path.pointer().ends_with("/after"));
        }
        let fits = FieldPath::of(&"k".repeat(SHOWN));
        assert_eq!(fits.to_string().len(), SHOWN);
    }
}
