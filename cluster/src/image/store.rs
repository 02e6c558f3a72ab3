//! The folder of the cache in which images and what they are made of are kept.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::layer::Layer;
use super::oci::{self, Settings, Written};
use super::step::{Step, TICK};
use crate::{AssetsCache, ClusterError, lock};

/// Folders of builds in progress start with it.
const WORK: &str = ".build-image-";
/// Archives that no present recipe makes are kept so long: somebody may be importing one.
const KEEP_SUPERSEDED: Duration = Duration::from_hours(24);

#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

impl Store {
    pub(super) fn open(cache: &AssetsCache) -> Result<Self, ClusterError> {
        let dir = cache.resolve()?.join("images");
        fs::create_dir_all(&dir).map_err(ClusterError::io("creating", &dir))?;
        Ok(Self { dir })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Only one process builds, whatever it builds: the parts are shared. Held as long as the file is open.
    pub(super) async fn lock(&self) -> Result<File, ClusterError> {
        let lock = lock::take("images", &self.dir).await?;
        lock::remove_leftovers(WORK, &self.dir)?;
        Ok(lock)
    }

    /// A folder for a build, gone when dropped; in the cache, so that a rename into place does not cross file systems.
    pub(super) fn work(&self) -> Result<TempDir, ClusterError> {
        tempfile::Builder::new()
            .prefix(WORK)
            .tempdir_in(&self.dir)
            .map_err(ClusterError::io("creating a folder in", &self.dir))
    }

    /// Writes an archive and moves it into place as `name`. Whoever calls holds the lock.
    pub(super) async fn write(
        &self,
        mut step: Step,
        layers: Vec<Layer>,
        settings: Settings,
        name: &str,
    ) -> Result<PathBuf, ClusterError> {
        let work = self.work()?;
        let made = work.path().join("image.tar");
        let mut total = 0_u64;
        for layer in &layers {
            total = total.saturating_add(layer.bytes()?);
        }
        let written = Arc::new(Written::default());
        // If we are dropped (Ctrl-C), the thread must not go on for seconds.
        let _guard = CancelOnDrop(Arc::clone(&written));
        let mut writing = {
            let (made, written) = (made.clone(), Arc::clone(&written));
            tokio::task::spawn_blocking(move || oci::write(&made, &layers, &settings, &written))
        };
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                done = &mut writing => {
                    done.map_err(std::io::Error::other)
                        .map_err(ClusterError::io("writing", &made))??;
                    break;
                }
                _ = ticks.tick() => {
                    step.bytes(written.bytes.load(Ordering::Relaxed), Some(total));
                }
            }
        }
        let target = self.path(name);
        fs::rename(&made, &target).map_err(ClusterError::io("moving into place", &target))?;
        Ok(target)
    }

    /// Removes archives named `prefix...tar` other than `keep` that have been there for a day: older recipes' work.
    pub(super) fn remove_superseded(&self, prefix: &str, keep: &Path) {
        let old = |path: &Path| {
            let modified = fs::metadata(path).and_then(|meta| meta.modified()).ok()?;
            let age = SystemTime::now().duration_since(modified).ok()?;
            Some(age > KEEP_SUPERSEDED)
        };
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let archive = name.starts_with(prefix) && name.ends_with(".tar") && path != keep;
            if archive && old(&path).unwrap_or(false) {
                // What cannot be removed only takes space.
                let _ = fs::remove_file(&path);
            }
        }
    }
}

struct CancelOnDrop(Arc<Written>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_old_archives_of_the_same_image_are_removed() {
        let cache = tempfile::tempdir().unwrap();
        let store = Store::open(&AssetsCache::Dir(cache.path().to_path_buf())).unwrap();
        let yesterday = SystemTime::now() - KEEP_SUPERSEDED - Duration::from_secs(1);
        for (name, old) in [
            ("flink-1.20.5-a.tar", true),
            ("flink-1.20.5-b.tar", true),
            ("flink-1.20.5-c.tar", false),
            ("flink-1.20.50-a.tar", true),
        ] {
            let file = File::create(store.path(name)).unwrap();
            if old {
                file.set_modified(yesterday).unwrap();
            }
        }
        store.remove_superseded("flink-1.20.5-", &store.path("flink-1.20.5-a.tar"));
        let mut left: Vec<String> = fs::read_dir(&store.dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "flink-1.20.5-a.tar",
                "flink-1.20.5-c.tar",
                "flink-1.20.50-a.tar"
            ]
        );
    }
}
