//! Which nodes there are on this machine, in `/run/sluice`: so that whoever starts one next can clear away what a
//! killed one left behind, also where that had a temporary data folder which nobody will name again.
//!
//! An entry is a file that its owner keeps locked. The system lets go of the lock when the owner dies, however it dies.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Lasting;
use super::cgroup::Cgroup;
use super::identity::Id;
use crate::ClusterError;
use crate::pki::make_private_dir;

/// Not in /tmp, which others may write to; and gone with the next boot, as are processes, links and cgroups.
const FOLDER: &str = "/run/sluice";
/// How long the processes of a dead node may take to be gone.
const CLEAR_WITHIN: Duration = Duration::from_secs(10);

/// Folders with a fixed name that programs of the node write to. In the node's own mount namespace each is covered by
/// an empty one; to be covered it must be there.
pub(super) const COVERED: [&str; 4] = [
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/kubelet",
    "/var/log/containers",
];

/// Our own entry; what it stands for is ours as long as this value lives.
#[derive(Debug)]
pub(super) struct Entry {
    id: Id,
    path: PathBuf,
    /// None once it is released.
    file: Option<File>,
}

impl Entry {
    /// Clears away what dead nodes left behind, those of this data folder included, and enters this one.
    pub(super) fn claim(id: &Id, dir: &Path, lasting: Lasting) -> Result<Self, ClusterError> {
        let folder = Path::new(FOLDER);
        make_private_dir(folder)?;
        sweep(folder, id);
        let path = folder.join(id.registry());
        let mut file = open(&path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(ClusterError::InUse {
                    dir: dir.to_path_buf(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(ClusterError::io("locking", &path)(source));
            }
        }
        // Our own folder is in use again: only what stands outside it is cleared away.
        clear(id, &Left::read(&mut file))?;
        let made: Vec<&str> = COVERED
            .into_iter()
            .filter(|folder| !Path::new(folder).exists())
            .collect();
        write(&mut file, dir, lasting, &made).map_err(ClusterError::io("writing", &path))?;
        let entry = Self {
            id: id.clone(),
            path,
            file: Some(file),
        };
        for folder in COVERED {
            fs::create_dir_all(folder).map_err(ClusterError::io("creating", Path::new(folder)))?;
        }
        Ok(entry)
    }

    /// Removes what stands outside the data folder, and the entry. The processes must have been stopped; what is still
    /// there of them is killed.
    pub(super) fn release(mut self) -> Result<(), ClusterError> {
        self.give_up()
    }

    fn give_up(&mut self) -> Result<(), ClusterError> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        clear(&self.id, &Left::read(&mut file))?;
        remove(&self.path)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next start.
        let _ = self.give_up();
    }
}

fn write(file: &mut File, dir: &Path, lasting: Lasting, made: &[&str]) -> io::Result<()> {
    let mut text = format!("dir={}\n", dir.display());
    if lasting == Lasting::Temporary {
        text.push_str("temporary\n");
    }
    for folder in made {
        let _ = writeln!(text, "made={folder}");
    }
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(text.as_bytes())
}

/// What an entry says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Left {
    dir: Option<PathBuf>,
    temporary: bool,
    made: Vec<PathBuf>,
}

impl Left {
    fn read(file: &mut File) -> Self {
        let mut text = String::new();
        let _ = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.read_to_string(&mut text));
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        let mut left = Self::default();
        for line in text.lines() {
            match line.split_once('=') {
                Some(("dir", dir)) => left.dir = Some(PathBuf::from(dir)),
                Some(("made", folder)) if COVERED.contains(&folder) => {
                    left.made.push(PathBuf::from(folder));
                }
                None if line == "temporary" => left.temporary = true,
                _ => {}
            }
        }
        left
    }

    /// The data folder, if it was one of those that nobody will name again.
    fn abandoned(&self) -> Option<&Path> {
        let dir = self.dir.as_deref()?;
        let named_by_us = dir
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("sluice-"));
        (self.temporary && named_by_us).then_some(dir)
    }
}

/// Clears away after every dead node but the one with this id. What cannot be cleared away now stays for the next time.
fn sweep(folder: &Path, own: &Id) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(id) = Id::from_registry(&entry.file_name().to_string_lossy()) else {
            continue;
        };
        let path = entry.path();
        if id == *own {
            continue;
        }
        let Ok(mut file) = open(&path) else { continue };
        if file.try_lock().is_err() {
            continue;
        }
        let left = Left::read(&mut file);
        if clear(&id, &left).is_err() {
            continue;
        }
        if let Some(dir) = left.abandoned() {
            let _ = fs::remove_dir_all(dir);
        }
        let _ = remove(&path);
    }
}

/// Ends the processes and removes the link, the cgroup and the covered folders.
fn clear(id: &Id, left: &Left) -> Result<(), ClusterError> {
    Cgroup::locate(&id.cgroup()).remove_blocking(CLEAR_WITHIN)?;
    super::ground::remove_link(id)?;
    if !others_live(id) {
        for folder in &left.made {
            // Not empty: somebody else uses it by now.
            let _ = fs::remove_dir(folder);
        }
    }
    Ok(())
}

/// Whether another node is entered: it may be covering the same folders.
fn others_live(own: &Id) -> bool {
    fs::read_dir(FOLDER)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Id::from_registry(&entry.file_name().to_string_lossy()))
        .any(|id| id != *own)
}

fn open(path: &Path) -> Result<File, ClusterError> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(ClusterError::io("opening", path))
}

fn remove(path: &Path) -> Result<(), ClusterError> {
    fs::remove_file(path).map_err(ClusterError::io("removing", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_temporary_folder_of_ours_is_ever_removed() {
        let abandoned = |text: &str| Left::parse(text).abandoned().map(Path::to_path_buf);
        assert_eq!(
            abandoned("dir=/tmp/sluice-a1\ntemporary\n"),
            Some(PathBuf::from("/tmp/sluice-a1"))
        );
        assert_eq!(abandoned("dir=/tmp/sluice-a1\n"), None);
        assert_eq!(abandoned("dir=/home/u\ntemporary\n"), None);
        assert_eq!(abandoned("temporary\n"), None);
        assert_eq!(abandoned(""), None);
    }

    #[test]
    fn only_covered_folders_are_ever_removed() {
        let left = Left::parse("made=/var/lib/kubelet\nmade=/etc\nmade=\n");
        assert_eq!(left.made, [PathBuf::from("/var/lib/kubelet")]);
    }
}
