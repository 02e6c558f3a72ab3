//! Flink's distribution out of the two Python packages in which the project publishes it. What an image is made of it
//! does not live here.
//!
//! `apache-flink-libraries` (a source archive) holds `lib`, `opt`, `plugins` and `licenses`, the wheel of `apache-flink`
//! holds `bin` and `conf`. pip fetches them, so that whatever index, mirror, proxy, certificate or login the machine is
//! set up with counts here too, and it checks the index's hashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::host::{PIP, in_path};
use super::step::Step;
use super::version::FlinkVersion;
use crate::ClusterError;

/// 240 MB on a slow line.
const DOWNLOAD_LIMIT: Duration = Duration::from_hours(1);
const UNPACK_LIMIT: Duration = Duration::from_mins(10);

/// Fetches and unpacks Flink into `target` (whose parent is there), a folder like that of Flink's own archive: `bin`,
/// `conf`, `lib`, `opt`, `plugins`, `licenses`. `work` is a folder for what lies about meanwhile, on the same disk.
pub(super) async fn fetch(
    version: FlinkVersion,
    what: &str,
    work: &Path,
    target: &Path,
) -> Result<(), ClusterError> {
    let python = PIP.get(what).await?;
    let release = version.full();
    let sdist = download(
        &python,
        what,
        &format!("apache-flink-libraries=={release}"),
        &["--no-binary", "apache-flink-libraries"],
        work,
    )
    .await?;
    // Only scripts and settings are of interest, which are the same for every Python and machine: name one that is
    // published for all versions, so that it does not matter what this machine has.
    let wheel = download(
        &python,
        what,
        &format!("apache-flink=={release}"),
        &[
            "--only-binary=:all:",
            "--implementation=cp",
            "--python-version=3.10",
            "--abi=cp310",
            "--platform=manylinux1_x86_64",
            "--platform=manylinux2014_x86_64",
        ],
        work,
    )
    .await?;

    let mut step = Step::begin(what, "unpacking the distribution");
    let libraries = folder(work, "libraries")?;
    let mut tar = Command::new(in_path("tar").unwrap_or_else(|| "tar".into()));
    tar.args([
        "--extract",
        "--gzip",
        "--no-same-owner",
        "--strip-components=1",
        "--file",
    ])
    .arg(&sdist)
    .arg("--directory")
    .arg(&libraries);
    step.quietly(tar, UNPACK_LIMIT).await?;
    let scripts = folder(work, "scripts")?;
    let mut unzip = Command::new(&python);
    unzip
        .args(["-m", "zipfile", "--extract"])
        .arg(&wheel)
        .arg(&scripts);
    step.quietly(unzip, UNPACK_LIMIT).await?;
    assemble(what, &libraries, &scripts.join("pyflink"), target)
}

/// Puts the two packages together. `deps/bin` exists from 1.19 on only, before that its jar lies in the wheel.
fn assemble(
    what: &str,
    libraries: &Path,
    pyflink: &Path,
    target: &Path,
) -> Result<(), ClusterError> {
    let deps = libraries.join("deps");
    let home = folder(libraries.parent().unwrap_or(libraries), "home")?;
    for (from, name) in [
        (deps.as_path(), "lib"),
        (deps.as_path(), "opt"),
        (deps.as_path(), "plugins"),
        (deps.as_path(), "licenses"),
        (pyflink, "bin"),
        (pyflink, "conf"),
    ] {
        let source = from.join(name);
        let target = home.join(name);
        fs::rename(&source, &target).map_err(|error| ClusterError::Unexpected {
            what: what.to_owned(),
            path: source.clone(),
            problem: error.to_string(),
        })?;
    }
    for (from, to) in [
        (
            deps.join("bin/bash-java-utils.jar"),
            "bin/bash-java-utils.jar",
        ),
        (libraries.join("LICENSE"), "LICENSE"),
        (libraries.join("NOTICE"), "NOTICE"),
    ] {
        if from.is_file() {
            fs::rename(&from, home.join(to)).map_err(ClusterError::io("moving", &from))?;
        }
    }
    for needed in [
        "bin/bash-java-utils.jar",
        "bin/jobmanager.sh",
        "bin/config.sh",
    ] {
        if !home.join(needed).is_file() {
            return Err(ClusterError::Unexpected {
                what: what.to_owned(),
                path: home.join(needed),
                problem: "the Python packages do not hold it".to_owned(),
            });
        }
    }
    fs::rename(&home, target).map_err(ClusterError::io("moving into place", target))
}

fn folder(parent: &Path, name: &str) -> Result<PathBuf, ClusterError> {
    let path = parent.join(name);
    fs::create_dir_all(&path).map_err(ClusterError::io("creating", &path))?;
    Ok(path)
}

/// Has pip download one package and returns the file.
async fn download(
    python: &Path,
    what: &str,
    package: &str,
    choice: &[&str],
    work: &Path,
) -> Result<PathBuf, ClusterError> {
    let mut step = Step::begin(what, &format!("downloading {package}"));
    let name = package.split('=').next().unwrap_or(package);
    let into = folder(work, &format!("{name}-download"))?;
    // pip downloads into its temporary folder: what lies there says how far it is.
    let temporary = folder(work, &format!("{name}-pip"))?;
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--no-input",
        "--no-cache-dir",
        "--disable-pip-version-check",
        "--progress-bar=off",
    ])
    .args(choice)
    .arg("--dest")
    .arg(&into)
    .arg(package)
    .env("TMPDIR", &temporary)
    .env("PYTHONUNBUFFERED", "1");
    let total = std::cell::Cell::new(None);
    step.run(
        pip,
        DOWNLOAD_LIMIT,
        |line| total.set(announced(line).or(total.get())),
        || (largest_file(&temporary, 0), total.get()),
    )
    .await?;
    let mut files = fs::read_dir(&into).map_err(ClusterError::io("reading", &into))?;
    match files.next() {
        Some(Ok(file)) => Ok(file.path()),
        _ => Err(ClusterError::Unexpected {
            what: what.to_owned(),
            path: into,
            problem: "pip said that it was done, but left no file".to_owned(),
        }),
    }
}

/// The size in a line of pip such as `Downloading apache-flink-libraries-1.20.1.tar.gz (231.1 MB)`, in bytes.
fn announced(line: &str) -> Option<u64> {
    let (_, size) = line.trim().strip_prefix("Downloading ")?.rsplit_once('(')?;
    let (number, unit) = size.strip_suffix(')')?.split_once(' ')?;
    let unit: u64 = match unit {
        "bytes" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    // 231.1 as tenths, without floating point.
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let tenths = whole
        .parse::<u64>()
        .ok()?
        .checked_mul(10)?
        .checked_add(tenth.get(..1)?.parse().ok()?)?;
    tenths.checked_mul(unit).map(|bytes| bytes / 10)
}

/// The size of the largest file below a folder, three levels deep: that is the one being downloaded.
fn largest_file(dir: &Path, depth: u8) -> u64 {
    const DEPTH: u8 = 3;
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            Some(if !meta.is_dir() {
                meta.len()
            } else if depth < DEPTH {
                largest_file(&entry.path(), depth + 1)
            } else {
                0
            })
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_announcement_is_read() {
        for (line, size) in [
            (
                "  Downloading apache-flink-libraries-1.20.1.tar.gz (231.1 MB)",
                Some(231_100_000),
            ),
            (
                "  Downloading apache_flink-1.20.1-cp311.whl (2 kB)",
                Some(2_000),
            ),
            ("Downloading x.whl (512 bytes)", Some(512)),
            ("Downloading x.whl (a lot)", None),
            ("Downloading x.whl (1.2 miles)", None),
            ("Collecting apache-flink-libraries==1.20.1", None),
            ("Downloading x (99999999999999999999 GB)", None),
        ] {
            assert_eq!(announced(line), size, "{line}");
        }
    }

    #[test]
    fn what_the_packages_lack_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let libraries = folder(dir.path(), "libraries").unwrap();
        for name in ["lib", "opt", "plugins"] {
            folder(&libraries.join("deps"), name).unwrap();
        }
        let error = assemble(
            "the image of Flink 9.9.9",
            &libraries,
            &dir.path().join("pyflink"),
            &dir.path().join("target"),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("building the image of Flink 9.9.9: ")
                && error.contains("deps/licenses is missing or not as expected"),
            "{error}"
        );
        assert!(
            !dir.path().join("target").exists(),
            "half a folder is worse than none"
        );
    }
}
