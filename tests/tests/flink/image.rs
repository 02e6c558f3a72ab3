//! The image of Flink, run without a node: its layers are unpacked into a folder, and the entry point is started in there by
//! chroot with namespaces of its own, on loopback, as a pod would start it: user 9999, settings mounted read-only. What is
//! proven for each version: the roles, the REST API, the jobs of `tests/flink-jobs`, and state that survives a savepoint.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // clippy.toml spares tests, but not their helper functions

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sluice_cluster::image::FlinkVersion;
use sluice_cluster::{Process, ProcessSpec, free_loopback_port};
use sluice_controller::flink::{
    FlinkClient, FlinkHttp, JarRun, JobId, JobState, Snapshot, StopAnswer, Timeouts,
};
use sluice_tests::{FlinkParts, eventually, flink_parts};

/// Two JVMs start on a machine that may be busy with other tests.
const START: Duration = Duration::from_mins(3);
const STEP: Duration = Duration::from_mins(1);
/// In the image.
const USER: u32 = 9999;
const CAUSE: &str = "FailingJob fails on purpose: account 4711 has no owner";

/// One Flink at a time: two cores are enough for one.
static ONE: Mutex<()> = Mutex::new(());

#[test]
fn flink_1_20_runs_jobs_and_keeps_their_state() {
    proven("1.20");
}

#[test]
fn flink_2_0_runs_jobs_and_keeps_their_state() {
    proven("2.0");
}

#[test]
#[ignore = "downloads 300 MB for each release; run it when the table of releases changes"]
fn every_other_release_runs_jobs_and_keeps_their_state() {
    for version in ["1.18", "1.19", "2.1", "2.2", "2.3"] {
        eprintln!("Flink {version}");
        proven(version);
    }
}

fn proven(version: &str) {
    let version: FlinkVersion = version.parse().unwrap();
    let Some(parts) = flink_parts(version) else {
        return;
    };
    let _one = ONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let flink = Flink::unpack(&parts, runtime.handle().clone()).unwrap();
    session(&flink).unwrap();
    application(&flink).unwrap();
}

/// A JobManager that waits for jobs, and one TaskManager.
fn session(flink: &Flink) -> Result<()> {
    let jobmanager = flink.start(&["jobmanager"])?;
    let taskmanager = flink.start(&["taskmanager"])?;
    Flink::alive(&[&jobmanager, &taskmanager], START, || {
        let overview = flink.call(flink.client.overview())?;
        ensure!(overview.taskmanagers == 1, "no TaskManager yet");
        ensure!(
            overview.flink_version == flink.version.full(),
            "{}",
            overview.flink_version
        );
        Ok(())
    })?;
    let jar = flink.call(flink.client.upload_jar("jobs.jar", &flink.jobs))?;
    let run = |class: &str, args: &[&str], savepoint: Option<String>| {
        let run = JarRun {
            entry_class: Some(format!("dev.sluice.jobs.{class}")),
            args: args.iter().map(ToString::to_string).collect(),
            savepoint_path: savepoint,
            ..JarRun::default()
        };
        flink.call(flink.client.run_jar(&jar, &run))
    };
    let counting = ["--rate", "50", "--checkpoint", "500"];

    // State survives a stop: the second run begins with the very count at which the first ended.
    let first = run("CountingJob", &counting, None)?;
    eventually(STEP, || {
        let count = flink.accumulator(&first, "count")?;
        ensure!(count >= 20, "counted {count}");
        Ok(())
    })?;
    ensure!(flink.accumulator(&first, "restored")? == 0);
    let savepoint = flink.stop(&first)?;
    flink.ended(&first, JobState::Finished)?;
    let counted = flink.accumulator(&first, "count")?;
    ensure!(counted >= 20, "{counted}");
    let second = run("CountingJob", &counting, Some(savepoint))?;
    eventually(STEP, || {
        let (restored, count) = (
            flink.accumulator(&second, "restored")?,
            flink.accumulator(&second, "count")?,
        );
        ensure!(restored == counted, "restored {restored} of {counted}");
        ensure!(count > restored, "nothing counted since");
        Ok(())
    })?;

    // Two jobs share the cluster: one ends while the other goes on.
    let finishing = run("FinishingJob", &["--limit", "30", "--rate", "100"], None)?;
    flink.ended(&finishing, JobState::Finished)?;
    ensure!(flink.accumulator(&finishing, "count")? == 30);
    ensure!(flink.state(&second)? == JobState::Running);

    let failing = run("FailingJob", &["--after", "2"], None)?;
    flink.ended(&failing, JobState::Failed)?;
    let cause = flink.call(flink.client.job_failure(&failing))?;
    ensure!(
        cause.as_deref().is_some_and(|cause| cause.contains(CAUSE)),
        "{cause:?}"
    );
    let refused = run("FailingJob", &["--main", "1"], None);
    let refused = format!("{:#}", refused.err().context("main did not fail")?);
    ensure!(refused.contains(CAUSE), "{refused}");

    flink.call(flink.client.cancel(&second))?;
    flink.ended(&second, JobState::Canceled)
}

/// A JobManager that brings its job along.
fn application(flink: &Flink) -> Result<()> {
    fs::copy(&flink.jobs, flink.root().join("opt/flink/usrlib/jobs.jar"))?;
    let jobmanager = flink.start(&[
        "standalone-job",
        "--job-classname",
        "dev.sluice.jobs.CountingJob",
        "--rate",
        "50",
    ])?;
    let taskmanager = flink.start(&["taskmanager"])?;
    Flink::alive(&[&jobmanager, &taskmanager], START, || {
        let jobs = flink.call(flink.client.jobs())?;
        let job = jobs.first().context("no job yet")?;
        ensure!(job.state == JobState::Running, "{:?}", job.state);
        let count = flink.accumulator(&job.jid, "count")?;
        ensure!(count >= 10, "counted {count}");
        Ok(())
    })
}

/// An unpacked image, with the settings that it is run with.
struct Flink {
    dir: tempfile::TempDir,
    version: FlinkVersion,
    jobs: PathBuf,
    env: Vec<String>,
    rest: u16,
    client: FlinkClient,
    runtime: tokio::runtime::Handle,
}

impl Flink {
    fn unpack(parts: &FlinkParts, runtime: tokio::runtime::Handle) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        for name in ["root", "state", "conf"] {
            fs::create_dir(dir.path().join(name))?;
        }
        chown(dir.path().join("state"), Some(USER), Some(USER))?;
        let archive = parts.image.path();
        let index = json(archive, "index.json")?;
        let manifest = json(archive, &blob(&index["manifests"][0]))?;
        let config = json(archive, &blob(&manifest["config"]))?;
        ensure!(
            config["config"]["User"].as_str() == Some("9999"),
            "{}",
            config["config"]
        );
        for layer in manifest["layers"].as_array().context("no layers")? {
            // The tar of the machine, not the one that packed it.
            let unpack = r#"tar -xOf "$1" "$2" | tar -x --numeric-owner --same-owner -p -C "$3""#;
            let done = Command::new("/bin/bash")
                .args(["-o", "pipefail", "-c", unpack, "unpack"])
                .args([archive, Path::new(&blob(layer)), &dir.path().join("root")])
                .status()?;
            ensure!(done.success(), "tar: {done}");
        }
        fs::create_dir(dir.path().join("root/state"))?;
        // As a node does it for a pod.
        let hosts = "127.0.0.1 localhost flink\n";
        fs::write(dir.path().join("root/etc/hosts"), hosts)?;
        let rest = free_loopback_port()?;
        fs::copy(
            dir.path()
                .join("root/opt/flink/conf/log4j-console.properties"),
            dir.path().join("conf/log4j-console.properties"),
        )?;
        fs::write(
            dir.path().join("conf").join(parts.version.config_file()),
            settings(
                &dir.path()
                    .join("root/opt/flink/conf")
                    .join(parts.version.config_file()),
                rest,
            )?,
        )?;
        let env = config["config"]["Env"].as_array().context("no Env")?;
        Ok(Self {
            version: parts.version,
            jobs: parts.jobs.clone(),
            env: env
                .iter()
                .filter_map(|variable| variable.as_str().map(str::to_owned))
                .collect(),
            rest,
            client: FlinkHttp::new(Timeouts::default())?.at(&format!("http://127.0.0.1:{rest}"))?,
            runtime,
            dir,
        })
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Starts the entry point. Mounts and processes are in namespaces that end with it, whatever becomes of the test.
    fn start(&self, args: &[&str]) -> Result<Process> {
        const INSIDE: &str = r#"
            set -e
            hostname flink
            mount -t proc proc "$DIR/root/proc"
            mount --rbind /dev "$DIR/root/dev"
            mount --bind "$DIR/conf" "$DIR/root/opt/flink/conf"
            mount -o remount,bind,ro "$DIR/root/opt/flink/conf"
            mount --bind "$DIR/state" "$DIR/root/state"
            exec chroot --userspec=9999:9999 "$DIR/root" /usr/bin/env -i "$@"
        "#;
        let name = args.first().copied().unwrap_or_default();
        let spec = ProcessSpec::new(
            name,
            "/usr/bin/unshare",
            self.dir.path().join(format!("{name}.log")),
        )
        .args([
            "--mount",
            "--propagation=private",
            "--pid",
            "--uts",
            "--fork",
        ])
        .args(["--kill-child", "/bin/sh", "-c", INSIDE, "inside"])
        .args(&self.env)
        .arg("/docker-entrypoint.sh")
        .args(args)
        .env("DIR", self.dir.path());
        Ok(Process::spawn(spec)?)
    }

    /// Waits for something that these processes bring about; if one ends or the time is up, their logs say why.
    fn alive(
        processes: &[&Process],
        deadline: Duration,
        mut condition: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let mut ended = None;
        let waited = eventually(deadline, || {
            ended = processes
                .iter()
                .find_map(|process| process.exit_status().map(|status| process.died(status)));
            if ended.is_some() { Ok(()) } else { condition() }
        });
        let outcome = match ended {
            Some(error) => Err(error.into()),
            None => waited,
        };
        outcome.map_err(|error: anyhow::Error| {
            let logs: Vec<String> = processes.iter().map(|process| causes(process)).collect();
            error.context(logs.join("\n"))
        })
    }

    fn call<T, E: std::error::Error + Send + Sync + 'static>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> Result<T> {
        Ok(self.runtime.block_on(call)?)
    }

    fn state(&self, job: &JobId) -> Result<JobState> {
        let details = self.call(self.client.job(job))?;
        Ok(details.context("no such job")?.state)
    }

    fn ended(&self, job: &JobId, wanted: JobState) -> Result<()> {
        eventually(STEP, || {
            let state = self.state(job)?;
            ensure!(state == wanted, "{state:?}, not {wanted:?}");
            Ok(())
        })
    }

    /// Stops a job and returns where its savepoint is.
    fn stop(&self, job: &JobId) -> Result<String> {
        let stop = self
            .client
            .stop_with_savepoint(job, Some("file:///state/savepoints"), None);
        let StopAnswer::Accepted(id) = self.call(stop)? else {
            bail!("no such job to stop");
        };
        eventually(STEP, || {
            match self.call(self.client.snapshot(job, &id))? {
                Snapshot::Completed(location) => Ok(location),
                other => bail!("{other:?}"),
            }
        })
    }

    fn accumulator(&self, job: &JobId, name: &str) -> Result<i64> {
        let answer = get(self.rest, &format!("/jobs/{}/accumulators", job.as_str()))?;
        let answer: Value = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        answer["user-task-accumulators"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|accumulator| accumulator["name"] == name)
            .and_then(|accumulator| accumulator["value"].as_str()?.parse().ok())
            .with_context(|| format!("no {name} in {answer}"))
    }
}

/// Settings as the controller writes them (flat, and quoted where Flink reads YAML), with everything on loopback, for
/// small memory.
fn settings(image: &Path, rest: u16) -> Result<String> {
    const FIXED: &[(&str, &str)] = &[
        ("jobmanager.rpc.address", "127.0.0.1"),
        ("jobmanager.bind-host", "127.0.0.1"),
        ("rest.address", "127.0.0.1"),
        ("rest.bind-address", "127.0.0.1"),
        ("taskmanager.host", "127.0.0.1"),
        ("taskmanager.bind-host", "127.0.0.1"),
        ("taskmanager.numberOfTaskSlots", "4"),
        // Without a unit, which Flink 1.18 cannot read here.
        ("cluster.registration.error-delay", "500"),
        ("heartbeat.interval", "1000"),
        ("jobmanager.memory.process.size", "320m"),
        ("jobmanager.memory.jvm-metaspace.size", "96m"),
        ("jobmanager.memory.off-heap.size", "48m"),
        ("jobmanager.memory.jvm-overhead.min", "48m"),
        ("jobmanager.memory.jvm-overhead.max", "48m"),
        ("taskmanager.memory.process.size", "320m"),
        ("taskmanager.memory.jvm-metaspace.size", "80m"),
        ("taskmanager.memory.jvm-overhead.min", "48m"),
        ("taskmanager.memory.jvm-overhead.max", "48m"),
        ("taskmanager.memory.framework.heap.size", "64m"),
        ("taskmanager.memory.framework.off-heap.size", "48m"),
        ("taskmanager.memory.network.min", "8m"),
        ("taskmanager.memory.network.max", "8m"),
        ("taskmanager.memory.managed.size", "0m"),
    ];
    let quote = if image.ends_with("config.yaml") {
        "\""
    } else {
        ""
    };
    let text = fs::read_to_string(image)?;
    let java = text
        .lines()
        .find_map(|line| line.strip_prefix("env.java.opts.all: "))
        .context("the image does not say how Java is to be started")?;
    let mut all = vec![
        ("env.java.opts.all", java.to_owned()),
        ("rest.port", rest.to_string()),
        ("rest.bind-port", rest.to_string()),
    ];
    for key in [
        "jobmanager.rpc.port",
        "blob.server.port",
        "taskmanager.rpc.port",
        "taskmanager.data.port",
    ] {
        all.push((key, free_loopback_port()?.to_string()));
    }
    all.extend(FIXED.iter().map(|(key, value)| (*key, (*value).to_owned())));
    let lines = all
        .iter()
        .map(|(key, value)| format!("{key}: {quote}{value}{quote}\n"));
    Ok(lines.collect())
}

/// What a process says went wrong; a stack is longer than the tail of a log.
fn causes(process: &Process) -> String {
    let log = fs::read_to_string(process.log()).unwrap_or_default();
    let causes: Vec<&str> = log
        .lines()
        .filter(|line| line.contains(" ERROR ") || line.starts_with("Caused by: "))
        .collect();
    format!("{}:\n{}", process.name(), causes.join("\n"))
}

fn blob(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().unwrap_or_default();
    format!("blobs/{}", digest.replace(':', "/"))
}

/// A JSON member of the archive.
fn json(archive: &Path, member: &str) -> Result<Value> {
    let read = Command::new("tar")
        .arg("-xOf")
        .args([archive, Path::new(member)])
        .output()?;
    Ok(serde_json::from_slice(&read.stdout)?)
}

/// The body of a GET on loopback: accumulators are no part of the client, since only tests want them.
fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok(body.to_owned())
}
