//! One process at a time fills the cache; others wait for it. What is built does not live here.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use crate::ClusterError;
use crate::assets::progress::say;

/// Takes the lock that guards the building of `title` (such as `etcd 3.6.16`); says so if it has to wait.
///
/// Held as long as the file is open; the system lets go of it if we die.
pub(crate) async fn take(title: &str, cache: &Path) -> Result<File, ClusterError> {
    let path = cache.join(format!("{title}.lock"));
    let file = File::create(&path).map_err(ClusterError::io("creating", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            say(&format!(
                "{title}: another process is building it; waiting for {}",
                path.display()
            ));
            let wait = tokio::task::spawn_blocking(move || file.lock().map(|()| file));
            wait.await
                .map_err(std::io::Error::other)
                .flatten()
                .map_err(ClusterError::io("locking", &path))
        }
        Err(TryLockError::Error(source)) => Err(ClusterError::Io {
            doing: "locking",
            path,
            source,
        }),
    }
}

/// Removes what builds left behind that were killed: folders whose names start with `prefix`. Whoever calls holds the
/// lock, so nobody works in them.
pub(crate) fn remove_leftovers(prefix: &str, cache: &Path) -> Result<(), ClusterError> {
    for entry in fs::read_dir(cache)
        .map_err(ClusterError::io("reading", cache))?
        .flatten()
    {
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path())
                .map_err(ClusterError::io("removing", &entry.path()))?;
        }
    }
    Ok(())
}
