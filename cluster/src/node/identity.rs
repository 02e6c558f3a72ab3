//! What tells one node's things from another's on the same machine: a short name made from the data folder, so that a
//! later start in the same folder finds what an earlier one left behind.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Eight hexadecimal digits for one data folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id(u32);

impl Id {
    /// The id of a data folder, whose path is absolute.
    pub(super) fn of(dir: &Path) -> Self {
        // FNV-1a: the same in every version of Sluice, which std's hashers do not promise.
        let hash = dir
            .as_os_str()
            .as_bytes()
            .iter()
            .fold(0x811c_9dc5_u32, |hash, byte| {
                (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
            });
        Self(hash)
    }

    /// From a name of [`Id::registry`].
    pub(super) fn from_registry(name: &str) -> Option<Self> {
        let digits = name.strip_prefix("node-")?;
        (digits.len() == 8)
            .then(|| u32::from_str_radix(digits, 16).ok())
            .flatten()
            .map(Self)
    }

    /// File name of its entry among the nodes of this machine.
    pub(super) fn registry(&self) -> String {
        format!("node-{self}")
    }

    /// The cgroup under which all its processes are.
    pub(super) fn cgroup(&self) -> String {
        format!("sluice-{self}")
    }

    /// The host's end of the link to the node; the kernel allows 15 characters.
    pub(super) fn link(&self) -> String {
        format!("sluice{self}")
    }

    /// A number below `end`, evenly spread.
    pub(super) fn below(&self, end: u8) -> u8 {
        u8::try_from(self.0 % u32::from(end.max(1))).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_enough_and_lead_back() {
        let id = Id::of(Path::new("/tmp/sluice-x"));
        assert_ne!(id, Id::of(Path::new("/tmp/sluice-y")));
        assert!(id.link().len() <= 15, "{}", id.link());
        assert_eq!(Id::from_registry(&id.registry()), Some(id));
        assert_eq!(Id::from_registry("node-"), None);
        assert_eq!(Id::from_registry("node-1"), None);
        assert_eq!(Id::from_registry("somebody-else"), None);
    }
}
