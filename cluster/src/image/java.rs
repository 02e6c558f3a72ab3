//! The Java runtime of the images: the modules that Flink needs, linked out of the machine's development kit.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::process::Command;

use super::host::{JAVA, JDK};
use super::oci::{hex, sha256};
use super::step::Step;
use super::store::Store;
use crate::ClusterError;

const LINK_LIMIT: Duration = Duration::from_mins(10);

/// What Flink and its usual connectors load; without the compiler and the tools, a third of the whole.
const MODULES: &str = "java.base,java.compiler,java.datatransfer,java.desktop,java.instrument,java.logging,\
    java.management,java.management.rmi,java.naming,java.net.http,java.prefs,java.rmi,java.scripting,\
    java.security.jgss,java.security.sasl,java.sql,java.transaction.xa,java.xml,jdk.attach,jdk.charsets,\
    jdk.crypto.cryptoki,jdk.crypto.ec,jdk.jcmd,jdk.jfr,jdk.management,jdk.management.agent,jdk.naming.dns,jdk.net,\
    jdk.security.auth,jdk.unsupported,jdk.zipfs";

/// The runtime's folder, linked now if the cache lacks it. Whoever calls holds the lock.
pub(super) async fn runtime(store: &Store, what: &str) -> Result<PathBuf, ClusterError> {
    let key: String = hex(&sha256(MODULES.as_bytes())).chars().take(8).collect();
    let target = store.path(&format!("java-{JAVA}-{key}"));
    if target.join("bin/java").is_file() {
        return Ok(target);
    }
    let jdk = JDK.get(what).await?;
    let work = store.work()?;
    let made = work.path().join("java");
    let mut step = Step::begin(what, &format!("linking a Java {JAVA} runtime"));
    let mut jlink = Command::new(jdk.join("bin/jlink"));
    jlink
        .args([
            "--strip-debug",
            "--no-header-files",
            "--no-man-pages",
            "--compress=0",
        ])
        .args(["--add-modules", MODULES, "--output"])
        .arg(&made);
    step.quietly(jlink, LINK_LIMIT).await?;
    certificates(&jdk, &made)?;
    // The archive of shared classes remembers this file's time; in an image all times are 0.
    let modules = made.join("lib/modules");
    fs::File::options()
        .append(true)
        .open(&modules)
        .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH))
        .map_err(ClusterError::io("setting the time of", &modules))?;
    let mut share = Command::new(made.join("bin/java"));
    share.arg("-Xshare:dump");
    step.quietly(share, LINK_LIMIT).await?;
    fs::rename(&made, &target).map_err(ClusterError::io("moving into place", &target))?;
    Ok(target)
}

/// Debian's development kit has the public authorities' certificates as a link out of its folder, which jlink leaves out.
fn certificates(jdk: &Path, made: &Path) -> Result<(), ClusterError> {
    let from = jdk.join("lib/security/cacerts");
    let to = made.join("lib/security/cacerts");
    if from.is_file() && !to.is_file() {
        fs::copy(&from, &to).map_err(ClusterError::io("copying", &from))?;
    }
    Ok(())
}

/// All programs and libraries in a runtime, to ask for the libraries that they load in turn.
pub(super) fn binaries(runtime: &Path) -> Result<Vec<PathBuf>, ClusterError> {
    let mut found = vec![
        runtime.join("bin/java"),
        runtime.join("bin/jcmd"),
        runtime.join("bin/keytool"),
    ];
    found.retain(|path| path.is_file());
    let mut folders = vec![runtime.join("lib")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .map_err(ClusterError::io("reading", &folder))?
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "so") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
