//! Small Flink jobs to try a cluster with, compiled against the very release that is to run them: Flink's interfaces differ
//! between 1 and 2. What the jobs do is said in their sources, `tests/flink-jobs/`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::flink;
use super::host::JDK;
use super::oci::{hex, sha256};
use super::step::Step;
use super::store::Store;
use super::version::FlinkVersion;
use crate::{AssetsCache, ClusterError};

const COMPILE_LIMIT: Duration = Duration::from_mins(5);
/// What the oldest supported official images run.
const JAVA_RELEASE: &str = "11";

const SOURCES: &[(&str, &str)] = &[
    (
        "Arguments.java",
        include_str!("../../../tests/flink-jobs/Arguments.java"),
    ),
    (
        "CountingJob.java",
        include_str!("../../../tests/flink-jobs/CountingJob.java"),
    ),
    (
        "FailingJob.java",
        include_str!("../../../tests/flink-jobs/FailingJob.java"),
    ),
    (
        "FinishingJob.java",
        include_str!("../../../tests/flink-jobs/FinishingJob.java"),
    ),
];

/// A jar with the classes `dev.sluice.jobs.CountingJob`, `FailingJob` and `FinishingJob` for a Flink release: from the
/// cache, or compiled now. The first is the jar's main class.
///
/// # Errors
/// As [`super::flink()`]: the release's libraries are fetched if they are not there.
pub async fn flink_job_jar(
    cache: &AssetsCache,
    version: FlinkVersion,
) -> Result<PathBuf, ClusterError> {
    let store = Store::open(cache)?;
    let sources: String = SOURCES.iter().map(|(_, text)| *text).collect();
    let key: String = hex(&sha256(sources.as_bytes())).chars().take(12).collect();
    let target = store.path(&format!("flink-jobs-{version}-{key}.jar"));
    if target.is_file() {
        return Ok(target);
    }
    let _lock = store.lock().await?;
    if target.is_file() {
        return Ok(target);
    }
    let what = format!("the jobs for Flink {version}");
    let jdk = JDK.get(&what).await?;
    let distribution = flink::distribution(&store, version, &what).await?;
    let work = store.work()?;
    let classes = work.path().join("classes");
    let mut step = Step::begin(&what, "compiling");
    let mut javac = Command::new(jdk.join("bin/javac"));
    javac
        .args(["--release", JAVA_RELEASE, "-Xlint:-options", "-cp"])
        .arg(distribution.join("lib/*"))
        .arg("-d")
        .arg(&classes);
    for (name, text) in SOURCES {
        let path = work.path().join(name);
        fs::write(&path, text).map_err(ClusterError::io("writing", &path))?;
        javac.arg(path);
    }
    step.quietly(javac, COMPILE_LIMIT).await?;
    let made = work.path().join("jobs.jar");
    let mut jar = Command::new(jdk.join("bin/jar"));
    jar.args(["--create", "--date=1980-01-01T00:00:02Z", "--main-class"])
        .args(["dev.sluice.jobs.CountingJob", "--file"])
        .arg(&made)
        .arg("-C")
        .arg(&classes)
        .arg(".");
    step.quietly(jar, COMPILE_LIMIT).await?;
    fs::rename(&made, &target).map_err(ClusterError::io("moving into place", &target))?;
    Ok(target)
}
