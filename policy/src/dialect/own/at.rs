//! Where a walk over an object stands. Costs nothing until a finding asks for the path.

use crate::path::FieldPath;

/// A place in an object: a path built backwards, on the stack.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    /// The place where the walk began.
    Root(&'a FieldPath),
    /// A key of the map at the place before.
    Key(&'a At<'a>, &'a str),
    /// A position of the list at the place before.
    Index(&'a At<'a>, usize),
}

impl At<'_> {
    /// One key further.
    pub(crate) fn key<'b>(&'b self, key: &'b str) -> At<'b> {
        At::Key(self, key)
    }

    /// One list position further.
    pub(crate) fn index(&self, index: usize) -> At<'_> {
        At::Index(self, index)
    }

    /// The path from the object's root.
    pub(crate) fn path(&self) -> FieldPath {
        match self {
            At::Root(path) => (*path).clone(),
            At::Key(before, key) => before.path().key(key),
            At::Index(before, index) => before.path().index(*index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_knows_its_path() {
        let spec = FieldPath::of("spec");
        let root = At::Root(&spec);
        let jars = root.key("jars");
        assert_eq!(jars.index(2).path().to_string(), "spec.jars[2]");
    }
}
