//! Flink's configuration file: what users set, under what Sluice decides.
//!
//! `config.yaml` from Flink 1.19 on, `flink-conf.yaml` before; exactly one of them, since Flink prefers one and ignores the
//! other without a word. Keys are flat. In `config.yaml` values are quoted, since Flink reads it as YAML (`*x` or `a: b`
//! would kill it); `flink-conf.yaml` is read line by line, where quotes would become part of the value.

use std::collections::BTreeMap;
use std::fmt::Write;

use sluice_policy::flink::{FlinkVersion, other_names, rest_tls};
use sluice_policy::quantity::Bytes;

use super::application::Application;
use super::cluster::{FlinkCluster, HighAvailability};
use super::{BuildError, start_id};

/// Checkpoints that Flink keeps of each job unless users say otherwise. Where the newest one is, is asked every ten seconds: after
/// the loss of a JobManager the one that was seen last must still be there, although newer ones have come since.
const RETAINED: (&str, &str) = ("state.checkpoints.num-retained", "20");
/// Port of Flink's RPC.
pub const RPC_PORT: u16 = 6123;
/// Port of the blob server.
pub const BLOB_PORT: u16 = 6124;
/// Port of the REST API and web interface.
pub const REST_PORT: u16 = 8081;
/// Port of a TaskManager's RPC.
pub const TASKMANAGER_RPC_PORT: u16 = 6122;

/// The first version that reads `config.yaml`.
const YAML_SINCE: FlinkVersion = FlinkVersion::new(1, 19);
/// The first version whose own configuration opens Java's modules to it (for Java 17).
const MODULES_SINCE: FlinkVersion = FlinkVersion::new(1, 18);
/// The first versions that divide the memory of a whole process.
const PROCESS_MEMORY_SINCE: [FlinkVersion; 2] =
    [FlinkVersion::new(1, 11), FlinkVersion::new(1, 10)];

const JAVA_OPTIONS: &str = "env.java.opts.all";

/// Packages that Flink exports and opens to itself in the configuration that it comes with, which ours replaces.
const EXPORTS: [&str; 8] = [
    "java.base/sun.net.util",
    "java.rmi/sun.rmi.registry",
    "jdk.compiler/com.sun.tools.javac.api",
    "jdk.compiler/com.sun.tools.javac.file",
    "jdk.compiler/com.sun.tools.javac.parser",
    "jdk.compiler/com.sun.tools.javac.tree",
    "jdk.compiler/com.sun.tools.javac.util",
    "java.security.jgss/sun.security.krb5",
];
const OPENS: [&str; 12] = [
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.io",
    "java.base/java.nio",
    "java.base/sun.nio.ch",
    "java.base/java.lang.reflect",
    "java.base/java.text",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/java.util.concurrent.locks",
];

/// Options that other fields decide, or that mean nothing outside Flink's own Kubernetes mode: they are left out.
const LEFT_OUT: [&str; 12] = [
    "jobmanager.memory.process.size",
    "taskmanager.memory.process.size",
    "jobmanager.heap.size",
    "taskmanager.heap.size",
    "kubernetes.jobmanager.cpu",
    "kubernetes.taskmanager.cpu",
    "kubernetes.jobmanager.cpu.amount",
    "kubernetes.taskmanager.cpu.amount",
    // Where they are set Flink listens there, and Service and probes ask elsewhere.
    "jobmanager.rpc.bind-port",
    "taskmanager.rpc.bind-port",
    "rest.bind-port",
    // How old the last word on a job's snapshots may be is told by `/config` as `web.refresh-interval`, which counts where this is not set.
    "rest.cache.checkpoint-statistics.timeout",
];

/// Name and content of the configuration file.
pub fn file(cluster: &FlinkCluster<'_>) -> Result<(&'static str, String), BuildError> {
    if let Some(fault) = rest_tls(|key| cluster.option(key)) {
        return Err(BuildError::new(field(cluster, &fault.key), fault.message));
    }
    let options = options(cluster);
    let mut text = String::new();
    if cluster.version >= YAML_SINCE {
        for (key, value) in &options {
            let key = if is_plain(key) {
                key.clone()
            } else {
                quoted(key)
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{key}: {}", quoted(value));
        }
        return Ok(("config.yaml", text));
    }
    for (key, value) in &options {
        let is_line = |text: &str| !text.contains(['\n', '\r', '#']);
        if !is_line(key) || !is_line(value) || key.contains(": ") {
            return Err(BuildError::new(
                field(cluster, key),
                format!(
                    "Flink {} reads its configuration line by line and takes '#' for a comment; write it without line \
                     breaks and '#', or use Flink {YAML_SINCE} or later",
                    cluster.version
                ),
            ));
        }
        let _ = writeln!(text, "{key}: {value}");
    }
    Ok(("flink-conf.yaml", text))
}

/// Where the user has written an option.
fn field(cluster: &FlinkCluster<'_>, key: &str) -> String {
    let spec = match cluster.application {
        Some(_) => "spec.template.spec",
        None => "spec",
    };
    format!("{spec}.flinkConfiguration[\"{key}\"]")
}

/// All options: the user's, and on top of them Sluice's.
pub fn options(cluster: &FlinkCluster<'_>) -> BTreeMap<String, String> {
    // Flink takes `" 2 "` for no number, and `" kubernetes "` for the name of a class; admission reads both as they are meant.
    let trimmed = |(key, value): (&String, &String)| (key.clone(), value.trim().to_owned());
    let mut options: BTreeMap<String, String> = cluster.configuration.iter().map(trimmed).collect();
    for key in LEFT_OUT {
        options.remove(key);
    }
    let address = cluster.names.service();
    let [jobmanager_since, taskmanager_since] = PROCESS_MEMORY_SINCE;
    let jobmanager = memory(
        cluster,
        jobmanager_since,
        "jobmanager",
        cluster.jobmanager.memory,
    );
    let taskmanager = memory(
        cluster,
        taskmanager_since,
        "taskmanager",
        cluster.taskmanager.memory,
    );
    let own = [
        ("jobmanager.rpc.address", address.clone()),
        ("jobmanager.rpc.port", RPC_PORT.to_string()),
        ("jobmanager.bind-host", "0.0.0.0".to_owned()),
        ("taskmanager.bind-host", "0.0.0.0".to_owned()),
        ("taskmanager.rpc.port", TASKMANAGER_RPC_PORT.to_string()),
        ("blob.server.port", BLOB_PORT.to_string()),
        ("rest.address", address),
        ("rest.port", REST_PORT.to_string()),
        ("rest.bind-address", "0.0.0.0".to_owned()),
    ];
    options.extend(own.map(|(key, value)| (key.to_owned(), value)));
    options.extend([jobmanager, taskmanager]);
    if cluster.version >= MODULES_SINCE {
        // Flink reads the older name only where the newer one says nothing, and now it always does.
        let users = std::iter::once(JAVA_OPTIONS)
            .chain(other_names(JAVA_OPTIONS))
            .find_map(|name| options.get(name))
            .map(|text| text.trim().to_owned());
        options.insert(JAVA_OPTIONS.to_owned(), java_options(users.as_deref()));
    }
    // Newer releases know the option by either name.
    if !options.contains_key("execution.checkpointing.num-retained") {
        options
            .entry(RETAINED.0.to_owned())
            .or_insert_with(|| RETAINED.1.to_owned());
    }
    if cluster.application.is_some() {
        Application::configure(cluster.version, &mut options);
    }
    if cluster.high_availability() == HighAvailability::Kubernetes {
        let id = match &cluster.application {
            // Another run must not find what this one has left.
            Some(application) => application.job.clone(),
            None => cluster.names.flink_id(),
        };
        options.insert("kubernetes.cluster-id".into(), id);
        options.insert("kubernetes.namespace".into(), cluster.namespace.clone());
    } else {
        options.remove("kubernetes.cluster-id");
        options.remove("kubernetes.namespace");
    }
    if let Some(id) = start_id::option(cluster) {
        options.insert(start_id::KEY.into(), id);
    }
    options
}

/// The option that tells a process how much memory it has. Bytes, since Flink cannot read `1Gi`.
fn memory(
    cluster: &FlinkCluster<'_>,
    since: FlinkVersion,
    role: &str,
    Bytes(bytes): Bytes,
) -> (String, String) {
    if cluster.version >= since {
        return (format!("{role}.memory.process.size"), format!("{bytes}b"));
    }
    // Older versions know the heap only, and set a quarter aside themselves where they know that they run in a container.
    let heap = (bytes / 4).saturating_mul(3) >> 20;
    (format!("{role}.heap.size"), format!("{heap}m"))
}

fn java_options(users: Option<&str>) -> String {
    let exports = EXPORTS.map(|package| format!("--add-exports={package}=ALL-UNNAMED"));
    let opens = OPENS.map(|package| format!("--add-opens={package}=ALL-UNNAMED"));
    let mut all: Vec<&str> = exports.iter().chain(&opens).map(String::as_str).collect();
    all.extend(users.filter(|users| !users.is_empty()));
    all.join(" ")
}

fn is_plain(key: &str) -> bool {
    key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A JSON string is a double-quoted YAML string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
