//! A real Flink on loopback, without image or node: a JobManager and a TaskManager, as two JVMs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sluice_cluster::image::{FlinkVersion, flink_distribution, flink_job_jar};
use sluice_cluster::{AssetsCache, ClusterError, Process, ProcessSpec, free_loopback_port};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Two JVMs start on a machine that may be busy with other tests.
const START: Duration = Duration::from_mins(2);
const ANSWER: Duration = Duration::from_secs(10);
const STOP: Duration = Duration::from_secs(10);

/// What is needed to run a Flink here.
#[derive(Debug, Clone)]
pub struct FlinkHere {
    version: FlinkVersion,
    home: PathBuf,
    java: PathBuf,
    /// The jar of `tests/flink-jobs`, compiled for it.
    pub jobs: PathBuf,
}

impl FlinkHere {
    /// Flink of this version, or `None` with a line that says what is missing.
    ///
    /// # Panics
    /// If something is missing although `SLUICE_REQUIRE=all` asks for everything, or if it cannot be fetched.
    #[allow(clippy::panic)] // a missing requirement must fail the test that asked
    pub async fn obtain(version: &str) -> Option<Self> {
        let missing = match Self::look(version).await {
            Ok(found) => return Some(found),
            Err(error) => match error.downcast_ref::<ClusterError>() {
                Some(ClusterError::ToolMissing { .. }) => error.to_string(),
                _ => panic!("no Flink {version}: {error:#}"),
            },
        };
        let required = std::env::var("SLUICE_REQUIRE").as_deref() == Ok("all");
        assert!(!required, "no Flink {version}: {missing}");
        eprintln!("skipped: {missing}");
        None
    }

    async fn look(version: &str) -> Result<Self> {
        let version: FlinkVersion = version.parse()?;
        let cache = AssetsCache::Default;
        // Looks for the JDK as well.
        let jobs = flink_job_jar(&cache, version).await?;
        let home = flink_distribution(&cache, version).await?;
        let path = std::env::var_os("PATH").unwrap_or_default();
        let java = std::env::split_paths(&path)
            .map(|folder| folder.join("java"))
            .find(|java| java.is_file())
            .context("java is not in PATH")?;
        Ok(Self {
            version,
            home,
            java,
            jobs,
        })
    }

    /// Starts it with `slots` slots; `state` is where checkpoints and savepoints go. The jobs' jar is on its class path.
    pub async fn start(&self, state: &Path, slots: u32) -> Result<LocalFlink> {
        let dir = tempfile::Builder::new().prefix("sluice-flink-").tempdir()?;
        for name in ["conf", "tmp", "web"] {
            std::fs::create_dir(dir.path().join(name))?;
        }
        let rest = free_loopback_port()?;
        let (rpc, blob) = (free_loopback_port()?, free_loopback_port()?);
        let (here, state) = (dir.path().display(), state.display());
        let settings = format!(
            r#"jobmanager.rpc.address: "127.0.0.1"
jobmanager.rpc.port: "{rpc}"
jobmanager.bind-host: "127.0.0.1"
rest.address: "127.0.0.1"
rest.bind-address: "127.0.0.1"
rest.port: "{rest}"
blob.server.port: "{blob}"
cluster.registration.error-delay: "500ms"
heartbeat.interval: "1000"
taskmanager.host: "127.0.0.1"
taskmanager.bind-host: "127.0.0.1"
taskmanager.numberOfTaskSlots: "{slots}"
taskmanager.cpu.cores: "1"
taskmanager.memory.framework.heap.size: "128m"
taskmanager.memory.framework.off-heap.size: "64m"
taskmanager.memory.task.heap.size: "128m"
taskmanager.memory.task.off-heap.size: "0m"
taskmanager.memory.network.min: "16m"
taskmanager.memory.network.max: "16m"
taskmanager.memory.managed.size: "0m"
taskmanager.memory.jvm-metaspace.size: "128m"
taskmanager.memory.jvm-overhead.min: "64m"
taskmanager.memory.jvm-overhead.max: "64m"
io.tmp.dirs: "{here}/tmp"
web.tmpdir: "{here}/web"
state.checkpoints.dir: "file://{state}/checkpoints"
state.savepoints.dir: "file://{state}/savepoints"
execution.checkpointing.externalized-checkpoint-retention: "RETAIN_ON_CANCELLATION"
state.checkpoints.num-retained: "100"
restart-strategy.type: "none"
"#
        );
        let conf = dir.path().join("conf");
        std::fs::write(conf.join(self.version.config_file()), settings)?;
        let log4j = "log4j-console.properties";
        std::fs::copy(self.home.join("conf").join(log4j), conf.join(log4j))?;
        let jvm = |name: &str, heap: &str, class: &str| {
            let spec = ProcessSpec::new(name, &self.java, dir.path().join(format!("{name}.log")))
                .args([heap, "-XX:MaxDirectMemorySize=160m", "-XX:+UseSerialGC"])
                .args(["-XX:TieredStopAtLevel=1", "-Xshare:auto"])
                .args(
                    OPENED
                        .iter()
                        .map(|what| format!("--add-opens=java.base/{what}=ALL-UNNAMED")),
                )
                .arg(format!("-Dlog.file={here}/{name}.file.log"))
                .arg(format!(
                    "-Dlog4j.configurationFile=file:{}",
                    conf.join(log4j).display()
                ))
                .arg("-cp")
                .arg(format!(
                    "{}/lib/*:{}",
                    self.home.display(),
                    self.jobs.display()
                ))
                .arg(format!("org.apache.flink.runtime.{class}"))
                .arg("--configDir")
                .arg(&conf);
            Process::spawn(spec)
        };
        let jobmanager = jvm(
            "jobmanager",
            "-Xmx320m",
            "entrypoint.StandaloneSessionClusterEntrypoint",
        )?;
        let taskmanager = jvm("taskmanager", "-Xmx256m", "taskexecutor.TaskManagerRunner")?;
        let flink = LocalFlink {
            rest,
            jobmanager,
            taskmanager,
            _dir: dir,
        };
        let deadline = tokio::time::Instant::now() + START;
        let mut every = tokio::time::interval(Duration::from_millis(200));
        loop {
            every.tick().await;
            let seen = flink.get("/overview").await;
            if seen
                .as_ref()
                .is_ok_and(|overview| overview.get("taskmanagers").is_some_and(|count| count == 1))
            {
                return Ok(flink);
            }
            for process in [&flink.jobmanager, &flink.taskmanager] {
                if let Some(status) = process.exit_status() {
                    return Err(process.died(status).into());
                }
            }
            if tokio::time::Instant::now() > deadline {
                bail!(
                    "Flink does not come up: {seen:?}\n{}\n{}",
                    flink.jobmanager.log_tail(),
                    flink.taskmanager.log_tail()
                );
            }
        }
    }
}

/// What Flink's own scripts open to it, as far as the tests' jobs need it.
const OPENED: [&str; 6] = [
    "java.lang",
    "java.net",
    "java.io",
    "java.nio",
    "java.util",
    "java.time",
];

/// A Flink that runs. Its processes end with this value.
#[derive(Debug)]
pub struct LocalFlink {
    rest: u16,
    jobmanager: Process,
    taskmanager: Process,
    _dir: TempDir,
}

impl LocalFlink {
    /// Address of its REST API.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.rest)
    }

    /// Ends it, as the deletion of its pods would.
    pub async fn stop(self) {
        tokio::join!(self.jobmanager.stop(STOP), self.taskmanager.stop(STOP));
    }

    /// What the REST API answers to a path.
    pub async fn get(&self, path: &str) -> Result<Value> {
        tokio::time::timeout(ANSWER, self.ask(path))
            .await
            .with_context(|| format!("{path}: no answer within {} s", ANSWER.as_secs()))?
    }

    async fn ask(&self, path: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.rest)).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "{status}: {body}");
        serde_json::from_str(body).with_context(|| body.to_owned())
    }

    /// A counter of one of the tests' jobs; 0 while there is none.
    pub async fn counter(&self, job: &str, name: &str) -> Result<i64> {
        let answer = self.get(&format!("/jobs/{job}/accumulators")).await?;
        let all = answer
            .get("user-task-accumulators")
            .and_then(Value::as_array)
            .cloned();
        let found = all
            .unwrap_or_default()
            .into_iter()
            .find(|counter| counter.get("name").is_some_and(|found| found == name));
        let value = found.and_then(|counter| counter.get("value")?.as_str()?.parse().ok());
        Ok(value.unwrap_or_default())
    }

    /// Id and state of every job that it remembers.
    pub async fn jobs(&self) -> Result<Vec<(String, String)>> {
        let answer = self.get("/jobs/overview").await?;
        let text = |job: &Value, key: &str| {
            job.get(key)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let jobs = answer
            .get("jobs")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        Ok(jobs
            .iter()
            .map(|job| (text(job, "jid"), text(job, "state")))
            .collect())
    }
}
