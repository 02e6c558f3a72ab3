//! Session clusters on a real node with a real Flink: what a user of Ververica Platform's example sees, from `kubectl apply` to the
//! last pod gone, session jobs on them, and what happens when pods or the controller are killed. Times of each step are printed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    missing_docs,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sluice_tests::{FlinkParts, Gate, Kubectl, flink_parts, serve_jar, sluice_binary};

mod jobs;

use jobs::{Jobs, of_a_user, run_of, state_folder};

/// Six JVMs start on two cores, which may have other work.
const STEP: Duration = Duration::from_mins(5);

/// The example of Ververica Platform's documentation, with image and sizes cut to one machine.
const EXAMPLE: &str = r#"
kind: SessionCluster
apiVersion: v1
metadata:
  name: analytics
  labels:
    env: testing
spec:
  state: RUNNING
  deploymentTargetName: default
  flinkVersion: "1.20"
  flinkImageRegistry: docker.io
  flinkImageRepository: library/flink
  flinkImageTag: "TAG"
  numberOfTaskManagers: 5
  resources:
    jobmanager:
      cpu: 0.1
      memory: 384Mi
    taskmanager:
      cpu: 0.1
      memory: 320Mi
  flinkConfiguration:
    execution.checkpointing.externalized-checkpoint-retention: RETAIN_ON_CANCELLATION
    cluster.registration.error-delay: 500 ms
    kubernetes.jobmanager.cpu.limit-factor: "10"
    kubernetes.taskmanager.cpu.limit-factor: "10"
    jobmanager.memory.jvm-metaspace.size: 96m
    jobmanager.memory.off-heap.size: 48m
    jobmanager.memory.jvm-overhead.min: 48m
    jobmanager.memory.jvm-overhead.max: 48m
    taskmanager.memory.jvm-metaspace.size: 80m
    taskmanager.memory.jvm-overhead.min: 48m
    taskmanager.memory.jvm-overhead.max: 48m
    taskmanager.memory.framework.heap.size: 64m
    taskmanager.memory.framework.off-heap.size: 48m
    taskmanager.memory.network.min: 8m
    taskmanager.memory.network.max: 8m
    taskmanager.memory.managed.size: 0m
    taskmanager.numberOfTaskSlots: 2
    state.checkpoints.num-retained: 20
    state.checkpoints.dir: file:///state/checkpoints
    state.savepoints.dir: file:///state/savepoints
  kubernetes:
    pods:
      volumeMounts:
      - name: state
        volume:
          name: state
          hostPath:
            path: STATE
            type: Directory
        volumeMount:
          name: state
          mountPath: /state
  logging:
    loggingProfile: default
    log4jLoggers:
      "": INFO
      org.apache.flink.streaming.examples: DEBUG
"#;

/// Of the manifest, after which [`AVAILABLE`] stands.
const CHECKPOINTS: &str = "    state.checkpoints.dir: file:///state/checkpoints\n";
/// Makes it highly available.
const AVAILABLE: &str = "    high-availability.type: kubernetes
    high-availability.storageDir: file:///state/ha
";

#[test]
fn session_clusters_run_on_a_real_node_with_a_real_flink() {
    let Some((gate, flink)) = node_with_flink("1.20") else {
        return;
    };
    std::thread::scope(|scope| {
        // Beside the rest, since it does little but wait.
        let missing = scope.spawn(|| an_image_that_is_missing(&gate));
        the_example(&gate, &flink).unwrap();
        missing.join().unwrap().unwrap();
    });
}

#[test]
fn session_clusters_run_on_flink_2() {
    let Some((gate, flink)) = node_with_flink("2.0") else {
        return;
    };
    flink_2(&gate, &flink).unwrap();
}

/// A node that has the image of this release.
fn node_with_flink(version: &str) -> Option<(Gate, FlinkParts)> {
    let flink = flink_parts(version.parse().unwrap())?;
    let image = flink.image.path().to_str().unwrap();
    let gate = sluice_tests::node(&["--image", image]).unwrap()?;
    Some((gate, flink))
}

fn tag(image: &str) -> &str {
    image.rsplit_once(':').unwrap().1
}

/// Says what each step took.
pub struct Steps(Instant);

impl Steps {
    fn begin() -> Self {
        Self(Instant::now())
    }

    fn done(&mut self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.0.elapsed().as_secs_f32());
        self.0 = Instant::now();
    }
}

/// The example, converted as a user of Ververica Platform would.
fn converted(
    gate: &Gate,
    flink: &FlinkParts,
    state: &Path,
    edit: impl Fn(String) -> String,
) -> Result<String> {
    let file = gate.scratch().join("example.yaml");
    let text = EXAMPLE
        .replace("TAG", tag(&flink.image.names()[0]))
        .replace("STATE", &state.display().to_string());
    std::fs::write(&file, edit(text))?;
    let converted = Command::new(sluice_binary()?)
        .args(["convert", "-f"])
        .arg(&file)
        .output()?;
    ensure!(
        converted.status.success(),
        "{}",
        String::from_utf8_lossy(&converted.stderr)
    );
    Ok(String::from_utf8(converted.stdout)?)
}

fn the_example(gate: &Gate, flink: &FlinkParts) -> Result<()> {
    let team = gate.namespace()?;
    let folder = state_folder(gate, "state-1")?;
    team.create(
        r#"{"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default"}, "spec": {"hard": {"cpu": 1}}}"#,
    )?
    .admitted()?;
    ledger(&team, "0")?;
    let manifest = converted(gate, flink, &folder, |text| text)?;
    let mut steps = Steps::begin();
    team.apply(&manifest)?.admitted()?;
    state(&team, "STARTING")?;
    steps.done("apply -> STARTING");
    state(&team, "RUNNING")?;
    steps.done("STARTING -> RUNNING with five TaskManagers");
    registered(&team, 5)?;
    ledger(&team, "0.6")?;
    let jobmanager = pods(&team, "jobmanager")?;
    for number in [2_usize, 3] {
        team.run(&[
            "scale",
            "sessionclusters/analytics",
            &format!("--replicas={number}"),
        ])?
        .admitted()?;
        settled(&team, number)?;
        registered(&team, number)?;
        steps.done(&format!("scaled to {number}"));
        ensure!(
            pods(&team, "jobmanager")? == jobmanager,
            "the JobManager's pod has changed"
        );
    }
    ledger(&team, "0.4")?;
    for turn in 0..3 {
        // In the middle of a transition.
        let number = 2 + turn % 2;
        team.run(&[
            "scale",
            "sessionclusters/analytics",
            &format!("--replicas={number}"),
        ])?
        .admitted()?;
        for pid in gate.children("controller")? {
            gate.signal(pid, Signal::SIGKILL)?;
        }
        settled(&team, number)?;
        steps.done("the controller killed while scaling: RUNNING as asked");
    }
    team.merge(
        "sessionclusters/analytics",
        &json!({"spec": {"state": "STOPPED"}}),
    )?
    .admitted()?;
    state(&team, "STOPPED")?;
    ledger(&team, "0")?;
    steps.done("STOPPED, and its CPU is free");
    nothing_is_left(&team)?;
    team.merge(
        "sessionclusters/analytics",
        &json!({"spec": {"state": "RUNNING", "numberOfTaskManagers": 2}}),
    )?
    .admitted()?;
    state(&team, "RUNNING")?;
    steps.done("RUNNING again");
    let jobs = Jobs {
        team: &team,
        jar: serve_jar(&flink.jobs, gate.host_address()?)?,
    };
    of_a_user(&jobs, &folder, &mut steps)?;
    pods_are_killed(&team, &jobs, &mut steps)?;
    killed_at_random(gate, &team, &jobs, &folder)?;
    steps.done("the controller killed at random points");
    team.run(&[
        "wait",
        "--for=condition=Ready",
        "sessioncluster/analytics",
        "--timeout=30s",
    ])?
    .admitted()?;
    team.run(&["delete", "sessionjobs", "--all", "--timeout=120s"])?
        .admitted()?;
    team.run(&["delete", "sessioncluster/analytics", "--timeout=120s"])?
        .admitted()?;
    nothing_is_left(&team)?;
    ledger(&team, "0")?;
    steps.done("deleted");
    Ok(())
}

fn nothing_is_left(team: &Kubectl) -> Result<()> {
    let left = team.run(&[
        "get",
        "all,configmaps",
        "-l",
        "app.kubernetes.io/managed-by=sluice",
        "-o",
        "name",
    ])?;
    ensure!(left.stdout.trim().is_empty(), "left over: {}", left.stdout);
    Ok(())
}

/// A pod of each role is killed under a job: the cluster runs again without a hand, and so does the job, from a checkpoint.
fn pods_are_killed(team: &Kubectl, jobs: &Jobs<'_>, steps: &mut Steps) -> Result<()> {
    for role in ["taskmanager", "jobmanager"] {
        let run = run_of(&jobs.becomes("counting", "RUNNING")?)?;
        let counted = jobs.has_counted(&run)?;
        let victim = pods(team, role)?.first().context("no pod")?.0.clone();
        team.run(&["delete", "pod", &victim, "--grace-period=0", "--force"])?
            .admitted()?;
        team.eventually(STEP, || {
            let now = pods(team, role)?;
            ensure!(
                !now.iter().any(|(name, _)| *name == victim),
                "{victim} is still there"
            );
            Ok(())
        })?;
        settled(team, 2)?;
        registered(team, 2)?;
        steps.done(&format!("a {role} pod killed: RUNNING again"));
        let again = if role == "taskmanager" {
            // Flink itself goes on with it.
            run
        } else {
            jobs.runs_again("counting", &run)?
        };
        jobs.counted(&again, counted + 1)?;
        let restored = jobs.was_restored(&again)?;
        if role == "jobmanager" {
            ensure!(
                restored > 0 && restored + 1_000 > counted,
                "restored {restored}, although it had counted {counted}"
            );
        }
        steps.done(&format!(
            "its job had counted {counted} and goes on; its last start was from {restored}"
        ));
    }
    Ok(())
}

/// Kills the controller at random points of transitions of a cluster and of a job on it. A transition with a real Flink takes many
/// seconds, so these are few; `real_session_cluster` does fifty with Flink played, and `session_jobs` one after each
/// single write and call.
fn killed_at_random(gate: &Gate, team: &Kubectl, jobs: &Jobs<'_>, folder: &Path) -> Result<()> {
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut killed = 0;
    let mut kill = |most_millis: u64| -> Result<()> {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        // The point of the transition is what is random.
        std::thread::sleep(Duration::from_millis(dice % most_millis));
        for pid in gate.children("controller")? {
            gate.signal(pid, Signal::SIGKILL)?;
            killed += 1;
        }
        Ok(())
    };
    for number in [3_usize, 1, 2] {
        team.run(&[
            "scale",
            "sessionclusters/analytics",
            &format!("--replicas={number}"),
        ])?
        .admitted()?;
        kill(4_000)?;
        settled(team, number)?;
        ledger(team, &format!("0.{}", number + 1))?;
    }
    for _ in 0..2 {
        jobs.goes_on_from_its_savepoint("counting", folder, || kill(3_000))?;
        let run = run_of(&jobs.becomes("counting", "RUNNING")?)?;
        team.eventually(STEP, || {
            let running = jobs.running()?;
            ensure!(running == [run.as_str()], "{running:?} run, not {run}");
            Ok(())
        })?;
    }
    let before = run_of(&jobs.becomes("counting", "RUNNING")?)?;
    for wanted in ["STOPPED", "RUNNING"] {
        team.merge(
            "sessionclusters/analytics",
            &json!({"spec": {"state": wanted}}),
        )?
        .admitted()?;
        kill(2_000)?;
        state(team, wanted)?;
        if wanted == "STOPPED" {
            nothing_is_left(team)?;
            ledger(team, "0")?;
        }
    }
    // What ran there starts again with its cluster, from its newest snapshot, once. Until a controller that lives has looked, its
    // status is of the run before.
    let again = jobs.runs_again("counting", &before)?;
    jobs.counted(&again, 1)?;
    ledger(team, "0.3")?;
    ensure!(killed >= 9, "killed {killed} times");
    eprintln!("the controller was killed {killed} times");
    Ok(())
}

/// A registry without TLS, which no runtime pulls from unless it is told to. A public one without the image would be asked over a
/// network, which fails in other words each day.
fn registry_without_tls(gate: &Gate) -> Result<SocketAddr> {
    let listener = TcpListener::bind((gate.host_address()?, 0))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(
                b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            );
        }
    });
    Ok(address)
}

/// An image that cannot be pulled is told with the runtime's reason, nothing is written over and over, and it can be stopped.
fn an_image_that_is_missing(gate: &Gate) -> Result<()> {
    let team = gate.namespace()?;
    let registry = registry_without_tls(gate)?;
    let mut steps = Steps::begin();
    team.apply(
        &json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "analytics"},
            "spec": {"state": "RUNNING", "flinkVersion": "1.20",
                "flinkImageRegistry": registry.to_string(), "flinkImageRepository": "flink", "flinkImageTag": "not-there",
                "resources": {"jobmanager": {"cpu": 0.1}, "taskmanager": {"cpu": 0.1}}}})
        .to_string(),
    )?
    .admitted()?;
    let told = |cluster: &Value| -> Result<String> {
        let conditions = cluster["status"]["conditions"].as_array();
        let ready = conditions
            .into_iter()
            .flatten()
            .find(|condition| condition["type"] == "Ready")
            .context("no condition Ready")?;
        ensure!(
            ready["status"] == "False" && ready["reason"] == "ImagePullFailed",
            "{ready:#}"
        );
        Ok(ready["message"].as_str().unwrap_or_default().to_owned())
    };
    // The JobManager's pod is told of before the others', but any of them may be the first that fails.
    let message = team.eventually(STEP, || {
        let message = told(&look(&team)?)?;
        ensure!(message.starts_with("jobmanager: "), "{message}");
        Ok(message)
    })?;
    ensure!(
        message.contains(&format!(
            "image {registry}/flink:not-there cannot be pulled: "
        )) && message.ends_with("server gave HTTP response to HTTPS client"),
        "{message}"
    );
    // Kubernetes takes turns between failing and waiting; what is told does not.
    let waits = |word: &str| {
        team.eventually(STEP, || {
            let pods = team.run(&["get", "pods", "-o", "json"])?.admitted()?.stdout;
            ensure!(pods.contains(&format!("\"reason\": \"{word}\"")), "{pods}");
            Ok(())
        })
    };
    waits("ImagePullBackOff")?;
    let before = look(&team)?["metadata"]["resourceVersion"].clone();
    waits("ErrImagePull")?;
    waits("ImagePullBackOff")?;
    let again = told(&look(&team)?)?;
    ensure!(again == message, "first {message}, then {again}");
    ensure!(
        look(&team)?["metadata"]["resourceVersion"] == before,
        "it was written again"
    );
    team.merge(
        "sessionclusters/analytics",
        &json!({"spec": {"state": "STOPPED"}}),
    )?
    .admitted()?;
    state(&team, "STOPPED")?;
    nothing_is_left(&team)?;
    steps.done(&format!("an image that is not there: {message}"));
    Ok(())
}

fn flink_2(gate: &Gate, flink: &FlinkParts) -> Result<()> {
    let team = gate.namespace()?;
    let folder = state_folder(gate, "state-2")?;
    let manifest = converted(gate, flink, &folder, |text| {
        text.replace("\"1.20\"", "\"2.0\"")
            .replace("numberOfTaskManagers: 5", "numberOfTaskManagers: 1")
            .replace(CHECKPOINTS, &format!("{CHECKPOINTS}{AVAILABLE}"))
    })?;
    ensure!(
        manifest.contains("high-availability.storageDir"),
        "{manifest}"
    );
    let mut steps = Steps::begin();
    team.apply(&manifest)?.admitted()?;
    state(&team, "RUNNING")?;
    registered(&team, 1)?;
    steps.done("Flink 2 with high availability: RUNNING");
    let jobs = Jobs {
        team: &team,
        jar: serve_jar(&flink.jobs, gate.host_address()?)?,
    };
    jobs.count("counting")?;
    let count = jobs.goes_on_from_its_savepoint("counting", &folder, || Ok(()))?;
    steps.done(&format!(
        "Flink 2: a job suspended with a savepoint at {count}, and gone on from there"
    ));
    let run = run_of(&jobs.becomes("counting", "RUNNING")?)?;
    jobs.counted(&run, count + 50)?;
    for (pod, _) in pods(&team, "jobmanager")? {
        team.run(&["delete", "pod", &pod, "--grace-period=0", "--force"])?
            .admitted()?;
    }
    team.eventually(STEP, || {
        let restored = jobs.was_restored(&run)?;
        ensure!(restored > count, "restored at {restored} of {count}");
        Ok(())
    })?;
    state(&team, "RUNNING")?;
    ensure!(
        run_of(&jobs.becomes("counting", "RUNNING")?)? == run && jobs.running()? == [run.clone()],
        "Flink has brought {run} back, and these run: {:?}",
        jobs.running()?
    );
    steps.done("Flink 2 with high availability: the JobManager was killed, and the job went on as the same run");
    // It runs on. A start would find it in the records that Flink keeps by itself, and nothing but their name tells whose they are.
    let records = || -> Result<Vec<String>> {
        let all = team.run(&["get", "configmaps", "-o", "name"])?.admitted()?;
        let all = all.stdout.lines().map(str::to_owned);
        Ok(all
            .filter(|name| name.contains("/analytics-sc-"))
            .filter(|name| !name.ends_with("-config"))
            .collect())
    };
    ensure!(
        records()?.len() >= 2,
        "Flink keeps no records: {:?}",
        records()?
    );
    team.merge(
        "sessioncluster/analytics",
        &json!({"spec": {"state": "STOPPED"}}),
    )?
    .admitted()?;
    state(&team, "STOPPED")?;
    ensure!(
        records()?.is_empty(),
        "Flink's own records: {:?}",
        records()?
    );
    steps.done("Flink 2 with high availability: STOPPED, nothing left of Flink's own records");
    team.run(&["delete", "sessionjobs", "--all", "--timeout=120s"])?
        .admitted()?;
    team.run(&["delete", "sessioncluster/analytics", "--timeout=120s"])?
        .admitted()?;
    Ok(())
}

fn look(team: &Kubectl) -> Result<Value> {
    team.get("sessioncluster/analytics")
}

fn state(team: &Kubectl, wanted: &str) -> Result<()> {
    team.eventually(STEP, || {
        let cluster = look(team)?;
        ensure!(
            cluster["status"]["state"] == wanted
                && cluster["status"]["observedGeneration"] == cluster["metadata"]["generation"],
            "{:#}",
            cluster["status"]
        );
        Ok(())
    })
}

fn settled(team: &Kubectl, number: usize) -> Result<()> {
    team.eventually(STEP, || {
        let cluster = look(team)?;
        let status = &cluster["status"];
        ensure!(
            status["state"] == "RUNNING"
                && status["observedGeneration"] == cluster["metadata"]["generation"]
                && status["taskManagersRegistered"] == number
                && status["allocatedMilli"] == 100 * (number + 1),
            "{status:#}"
        );
        Ok(())
    })
}

/// What Flink itself says.
fn registered(team: &Kubectl, number: usize) -> Result<()> {
    let path = format!(
        "/api/v1/namespaces/{}/services/analytics-sc-jobmanager:8081/proxy/taskmanagers",
        team.namespace()
    );
    team.eventually(STEP, || {
        let answer = team.run(&["get", "--raw", &path])?.admitted()?;
        let answer: Value = serde_json::from_str(&answer.stdout)?;
        let known = answer["taskmanagers"].as_array().context("no list")?.len();
        ensure!(known == number, "{known} of {number} are registered");
        Ok(())
    })
}

fn ledger(team: &Kubectl, used: &str) -> Result<()> {
    team.eventually(STEP, || {
        let quota = team.get("cpuquota/default")?;
        ensure!(
            quota["status"]["used"] == used && quota["status"]["reserved"] == "0",
            "{:#}",
            quota["status"]
        );
        let exists = requested(team)?;
        let counted = 1000.0 * used.parse::<f64>()?;
        ensure!(
            (f64::from(exists) - counted).abs() < 0.5,
            "pods of {exists} milli exist, and {used} CPU is counted"
        );
        Ok(())
    })
}

/// Thousandths of a CPU that the pods here ask for.
fn requested(team: &Kubectl) -> Result<u32> {
    let listed = team.run(&["get", "pods", "-o", "json"])?.admitted()?;
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    let mut sum = 0_u32;
    for pod in listed["items"].as_array().context("no list")? {
        for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
            let cpu = &container["resources"]["requests"]["cpu"];
            let cpu = cpu.as_str().unwrap_or_default();
            sum += match cpu.strip_suffix('m') {
                Some(milli) => milli.parse()?,
                None => 1000 * cpu.parse::<u32>()?,
            };
        }
    }
    Ok(sum)
}

/// Pods of a role: name and uid.
fn pods(team: &Kubectl, role: &str) -> Result<Vec<(String, String)>> {
    let listed = team
        .run(&[
            "get",
            "pods",
            "-l",
            &format!("sluice.dev/component={role}"),
            "-o",
            "json",
        ])?
        .admitted()?;
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    let items = listed["items"].as_array().context("no list")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(items
        .iter()
        .map(|pod| {
            (
                text(&pod["metadata"]["name"]),
                text(&pod["metadata"]["uid"]),
            )
        })
        .collect())
}
