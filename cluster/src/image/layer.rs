//! What lies in one layer of an image: names, contents, modes and owners, in order. How it is written is in [`super::oci`].

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::ClusterError;

/// Who owns an entry: its user id, which is its group id too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner(pub u32);

impl Owner {
    /// The superuser.
    pub const ROOT: Self = Self(0);
}

/// Where the bytes of a file come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine, read when the archive is written.
    Path(PathBuf),
    /// These very bytes.
    Bytes(Vec<u8>),
}

impl From<&str> for Source {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Dir,
    File(Source),
    /// The link's target, as it will be read.
    Symlink(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub kind: Kind,
    /// Permission bits, such as 0o755.
    pub mode: u32,
    pub owner: Owner,
}

/// The entries of one layer. Paths are written without the leading slash. Folders above an entry are added by
/// themselves (mode 0755, root), and whatever is added later under the same path replaces what was there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer {
    /// Sorted: the same content is the same archive, and folders come before what is in them.
    entries: BTreeMap<String, Entry>,
}

impl Layer {
    /// An empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder.
    pub fn dir(&mut self, path: &str, mode: u32, owner: Owner) -> &mut Self {
        self.put(path, Kind::Dir, mode, owner)
    }

    /// Adds a file.
    pub fn file(
        &mut self,
        path: &str,
        source: impl Into<Source>,
        mode: u32,
        owner: Owner,
    ) -> &mut Self {
        self.put(path, Kind::File(source.into()), mode, owner)
    }

    /// Adds a symbolic link to `target`.
    pub fn symlink(&mut self, path: &str, target: &str) -> &mut Self {
        self.put(path, Kind::Symlink(target.to_owned()), 0o777, Owner::ROOT)
    }

    /// Adds a folder of this machine with all that is in it under `path`. Modes become 0755 for folders and for files
    /// that somebody may execute, else 0644. What is neither file, folder nor link (sockets and the like) is left out.
    ///
    /// # Errors
    /// [`ClusterError::Io`] if something in it cannot be read.
    pub fn tree(
        &mut self,
        path: &str,
        from: &Path,
        owner: Owner,
    ) -> Result<&mut Self, ClusterError> {
        self.dir(path, 0o755, owner);
        for entry in fs::read_dir(from).map_err(ClusterError::io("reading", from))? {
            let entry = entry.map_err(ClusterError::io("reading", from))?;
            let source = entry.path();
            let target = format!("{path}/{}", entry.file_name().to_string_lossy());
            let meta = entry
                .metadata()
                .map_err(ClusterError::io("reading", &source))?;
            if meta.is_dir() {
                self.tree(&target, &source, owner)?;
            } else if meta.is_symlink() {
                let link = fs::read_link(&source).map_err(ClusterError::io("reading", &source))?;
                self.symlink(&target, &link.to_string_lossy());
            } else if meta.is_file() {
                let mode = if meta.permissions().mode() & 0o111 == 0 {
                    0o644
                } else {
                    0o755
                };
                self.file(&target, Source::Path(source), mode, owner);
            }
        }
        Ok(self)
    }

    /// The number of bytes in all files.
    ///
    /// # Errors
    /// [`ClusterError::Io`] if a file of this machine cannot be asked.
    pub fn bytes(&self) -> Result<u64, ClusterError> {
        let mut sum = 0_u64;
        for entry in self.entries.values() {
            sum = sum.saturating_add(match &entry.kind {
                Kind::File(Source::Path(path)) => fs::metadata(path)
                    .map_err(ClusterError::io("reading", path))?
                    .len(),
                Kind::File(Source::Bytes(bytes)) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                Kind::Dir | Kind::Symlink(_) => 0,
            });
        }
        Ok(sum)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    fn put(&mut self, path: &str, kind: Kind, mode: u32, owner: Owner) -> &mut Self {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            let parent = path.get(..end).unwrap_or_default();
            self.entries.entry(parent.to_owned()).or_insert(Entry {
                kind: Kind::Dir,
                mode: 0o755,
                owner: Owner::ROOT,
            });
        }
        self.entries
            .insert(path.to_owned(), Entry { kind, mode, owner });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_above_come_by_themselves_and_first() {
        let mut layer = Layer::new();
        layer.file("/opt/flink/bin/x", "x", 0o755, Owner(9999)).dir(
            "/opt/flink",
            0o755,
            Owner(9999),
        );
        let names: Vec<(&str, u32)> = layer
            .entries()
            .map(|(path, entry)| (path, entry.owner.0))
            .collect();
        assert_eq!(
            names,
            [
                ("opt", 0),
                ("opt/flink", 9999),
                ("opt/flink/bin", 0),
                ("opt/flink/bin/x", 9999)
            ]
        );
    }

    #[test]
    fn a_tree_keeps_links_and_reduces_modes() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for (name, mode) in [("sub/run", 0o700), ("plain", 0o600)] {
            let path = dir.path().join(name);
            fs::write(&path, "12345").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("plain", dir.path().join("link")).unwrap();
        let mut layer = Layer::new();
        layer.tree("t", dir.path(), Owner(7)).unwrap();
        let seen: Vec<(&str, u32)> = layer
            .entries()
            .map(|(path, entry)| (path, entry.mode))
            .collect();
        assert_eq!(
            seen,
            [
                ("t", 0o755),
                ("t/link", 0o777),
                ("t/plain", 0o644),
                ("t/sub", 0o755),
                ("t/sub/run", 0o755)
            ]
        );
        assert_eq!(layer.bytes().unwrap(), 10);
    }
}
