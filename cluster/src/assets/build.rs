//! Builds programs from an embedded Go module into the cache: one process at a time, and never half a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::module::Module;
use super::progress::{Progress, say};
use super::{Binary, is_executable};
use crate::{ClusterError, lock};

/// Lines of a failed command that its error shows.
const TAIL_LINES: usize = 20;

/// Makes sure that the `wanted` programs of a module lie in the cache.
pub(super) async fn ensure(
    module: &Module,
    wanted: &[Binary],
    cache: &Path,
) -> Result<(), ClusterError> {
    let bin = module.bin_dir(cache);
    if missing(wanted, &bin).is_empty() {
        return Ok(());
    }
    fs::create_dir_all(&bin).map_err(ClusterError::io("creating", &bin))?;
    // Until the end: a second build at the same time would only make both slow.
    let _lock = lock::take(&module.title(), cache).await?;
    // Whoever held the lock before us may have built them.
    let missing = missing(wanted, &bin);
    if missing.is_empty() {
        return Ok(());
    }
    lock::remove_leftovers(&workdir_prefix(module), cache)?;
    build(module, &missing, cache, &bin).await
}

fn missing(wanted: &[Binary], bin: &Path) -> Vec<Binary> {
    wanted
        .iter()
        .copied()
        .filter(|binary| !is_executable(&bin.join(binary.file_name())))
        .collect()
}

fn workdir_prefix(module: &Module) -> String {
    format!(".build-{}-", module.name)
}

async fn build(
    module: &Module,
    wanted: &[Binary],
    cache: &Path,
    bin: &Path,
) -> Result<(), ClusterError> {
    // In the cache, so that a rename into place does not cross file systems.
    let work = tempfile::Builder::new()
        .prefix(&workdir_prefix(module))
        .tempdir_in(cache)
        .map_err(ClusterError::io("creating a folder in", cache))?;
    for (name, text) in module.files {
        let path = work.path().join(name);
        fs::write(&path, text).map_err(ClusterError::io("writing", &path))?;
    }
    let go = Go::find(module, work.path()).await?;
    let names: Vec<&str> = wanted.iter().map(|binary| binary.file_name()).collect();
    say(&format!(
        "Building {} ({}) from source, once, into {}: {}; later starts take seconds.",
        module.title(),
        names.join(", "),
        bin.display(),
        module.takes,
    ));

    let packages: Vec<&str> = wanted.iter().map(|binary| binary.package()).collect();
    let mut progress = Progress::new(&module.title());
    let listed = go
        .run(
            &mut progress,
            Lines::Ignore,
            &["list", "-mod=readonly", "-tags", module.tags, "-deps"],
            &packages,
        )
        .await?;
    progress.total(u64::try_from(listed.lines().count()).unwrap_or(u64::MAX));

    let ldflags = module.ldflags();
    for (binary, package) in wanted.iter().zip(packages) {
        // One at a time and each under its own name: etcd's package ends in /v3.
        let made = work.path().join(binary.file_name());
        let output = made.to_string_lossy().into_owned();
        let args = [
            "build",
            "-v",
            "-mod=readonly",
            "-trimpath",
            "-tags",
            module.tags,
            "-ldflags",
            &ldflags,
            "-o",
            &output,
        ];
        go.run(&mut progress, Lines::ArePackages, &args, &[package])
            .await?;
        let target = bin.join(binary.file_name());
        fs::rename(&made, &target).map_err(ClusterError::io("moving into place", &target))?;
    }
    progress.finish();
    say(&format!("{} is built.", module.title()));
    Ok(())
}

/// What the lines on a command's stderr mean.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lines {
    Ignore,
    /// `go build -v` names each package that it compiles.
    ArePackages,
}

/// A Go that can build the module.
struct Go<'a> {
    program: PathBuf,
    module: &'a Module,
    dir: &'a Path,
}

impl<'a> Go<'a> {
    /// Looks in PATH, then where go.dev's instructions unpack it, and asks it inside the module, so that a Go which is
    /// too old either fetches the toolchain that go.mod names or says that it cannot.
    async fn find(module: &'a Module, dir: &'a Path) -> Result<Self, ClusterError> {
        for program in ["go", "/usr/local/go/bin/go"] {
            let go = Self {
                program: PathBuf::from(program),
                module,
                dir,
            };
            let Ok(answer) = go.command().args(["env", "GOVERSION"]).output().await else {
                continue;
            };
            let version = String::from_utf8_lossy(&answer.stdout);
            if answer.status.success() && at_least(&version, module.go()) {
                return Ok(go);
            }
            let complaint = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
            let said = if complaint.is_empty() {
                format!("it is {}", version.trim())
            } else {
                complaint
            };
            return Err(ClusterError::GoTooOld {
                what: module.title(),
                needed: module.go().to_owned(),
                go: go.program,
                said,
            });
        }
        Err(ClusterError::GoMissing {
            what: module.title(),
            needed: module.go().to_owned(),
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .current_dir(self.dir)
            .env("CGO_ENABLED", "0")
            // Neither somebody's workspace nor a cross-compilation must reach into this.
            .env("GOWORK", "off")
            .env_remove("GOOS")
            .env_remove("GOARCH")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs `go ARGS PACKAGES` and returns its stdout.
    async fn run(
        &self,
        progress: &mut Progress,
        lines: Lines,
        args: &[&str],
        packages: &[&str],
    ) -> Result<String, ClusterError> {
        let failed = ClusterError::io("running", &self.program);
        let mut command = self.command();
        command
            .args(args)
            .args(packages)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return Err(failed(error)),
        };
        let said = child.stderr.take().map(BufReader::new);
        let watch = async {
            let mut tail = Vec::new();
            let Some(mut said) = said.map(AsyncBufReadExt::lines) else {
                return tail;
            };
            loop {
                match tokio::time::timeout(Progress::TICK, said.next_line()).await {
                    Err(_) => progress.tick(),
                    Ok(Ok(Some(line))) => {
                        if lines == Lines::ArePackages && !line.starts_with("go: ") {
                            progress.package(&line);
                        }
                        if tail.len() == TAIL_LINES {
                            tail.remove(0);
                        }
                        tail.push(line);
                    }
                    Ok(Ok(None) | Err(_)) => return tail,
                }
            }
        };
        let (output, tail) = tokio::join!(child.wait_with_output(), watch);
        let output = output.map_err(ClusterError::io("running", &self.program))?;
        if !output.status.success() {
            return Err(ClusterError::BuildFailed {
                what: self.module.title(),
                command: format!("go {} {}", args.first().unwrap_or(&""), packages.join(" ")),
                status: output.status,
                tail: tail.join("\n"),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Whether `go1.26.8` is at least `1.26.0`. A version that cannot be read (a development build) is taken for new.
fn at_least(version: &str, needed: &str) -> bool {
    let numbers = |text: &str| -> Option<Vec<u32>> {
        text.trim()
            .trim_start_matches("go")
            .split('.')
            .map(|part| part.parse().ok())
            .collect()
    };
    match (numbers(version), numbers(needed)) {
        (Some(version), Some(needed)) => version >= needed,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::module;

    #[test]
    fn go_versions_compare_as_numbers() {
        assert!(at_least("go1.26.8\n", "1.26.0"));
        assert!(at_least("go1.100.0", "1.26.0"));
        assert!(at_least("go1.27rc1", "1.26.0"));
        assert!(!at_least("go1.9.7", "1.26.0"));
        assert!(!at_least("go1.19", "1.26.0"));
    }

    #[tokio::test]
    async fn programs_in_the_cache_are_used_without_go_or_lock() {
        let cache = tempfile::tempdir().unwrap();
        let bin = module::ETCD.bin_dir(cache.path());
        fs::create_dir_all(&bin).unwrap();
        fs::copy("/bin/true", bin.join("etcd")).unwrap();
        ensure(&module::ETCD, &[Binary::Etcd], cache.path())
            .await
            .unwrap();
        assert!(!cache.path().join("etcd-3.6.16.lock").exists());
    }

    #[tokio::test]
    async fn whoever_waits_for_the_lock_takes_what_the_other_built() {
        let cache = tempfile::tempdir().unwrap();
        let bin = module::ETCD.bin_dir(cache.path());
        let held = lock::take(&module::ETCD.title(), cache.path())
            .await
            .unwrap();
        let waiting = {
            let cache = cache.path().to_path_buf();
            tokio::spawn(async move { ensure(&module::ETCD, &[Binary::Etcd], &cache).await })
        };
        // The other one gets as far as the folder, which it makes before it waits.
        while !bin.exists() {
            tokio::task::yield_now().await;
        }
        fs::copy("/bin/true", bin.join("etcd")).unwrap();
        drop(held);
        waiting.await.unwrap().unwrap();
        let size = |path: &Path| fs::metadata(path).unwrap().len();
        assert_eq!(
            size(&bin.join("etcd")),
            size(Path::new("/bin/true")),
            "it built although it was there"
        );
    }
}
