//! Deployments on a real node with a real Flink: Ververica Platform's own example, with image, jar and sizes cut to one machine, and
//! beside it a job that counts, which proves what state survives. Both share one node. Times of each step are printed.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sluice_tests::{Gate, Kubectl, flink_parts, sluice_binary};

/// JVMs start on two cores, which may have other work.
const STEP: Duration = Duration::from_mins(10);
/// The jar that the example names, as Apache publishes it; Maven knows from where.
const JAR: &str = "org.apache.flink:flink-examples-streaming_2.11:1.11.1:jar:TopSpeedWindowing";

/// The example of Ververica Platform's documentation.
const EXAMPLE: &str = r#"
kind: Deployment
apiVersion: v1
metadata:
  name: TopSpeedWindowing Example
  labels:
    env: testing
spec:
  state: running
  deploymentTargetId: TARGET
  restoreStrategy:
    kind: latest_savepoint
  upgradeStrategy:
    kind: stateless
  maxSavepointCreationAttempts: 4
  maxJobCreationAttempts: 5
  template:
    spec:
      artifact:
        kind: jar
        flinkVersion: "1.20"
        jarUri: http://HOST/top-speed.jar
        mainArgs: --windowSize 10 --windowUnit minutes
        entryClass: org.apache.flink.streaming.examples.windowing.TopSpeedWindowing
      parallelism: 1
      numberOfTaskManagers: 1
      resources:
        jobManager:
          cpu: 0.1
          memory: 400m
        taskManager:
          cpu: 0.1
          memory: 400m
      flinkConfiguration:
        taskmanager.numberOfTaskSlots: 1
        state.savepoints.dir: file:///state/savepoints
      logging:
        log4jLoggers:
          "": INFO
          org.apache.flink.streaming.examples: DEBUG
"#;

/// What makes Flink small, and where its state goes.
fn cut(state: &Path) -> Value {
    json!({
        "flinkConfiguration": {
            "cluster.registration.error-delay": "500 ms",
            // Pods that starve beside other work are not given up.
            "heartbeat.timeout": "180 s",
            "pekko.ask.timeout": "60 s",
            "taskmanager.slot.timeout": "120 s",
            "kubernetes.jobmanager.cpu.limit-factor": "10",
            "kubernetes.taskmanager.cpu.limit-factor": "10",
            "jobmanager.memory.jvm-metaspace.size": "96m",
            "jobmanager.memory.off-heap.size": "48m",
            "jobmanager.memory.jvm-overhead.min": "48m",
            "jobmanager.memory.jvm-overhead.max": "48m",
            "taskmanager.memory.jvm-metaspace.size": "96m",
            "taskmanager.memory.jvm-overhead.min": "48m",
            "taskmanager.memory.jvm-overhead.max": "48m",
            "taskmanager.memory.framework.heap.size": "64m",
            "taskmanager.memory.framework.off-heap.size": "48m",
            "taskmanager.memory.network.min": "8m",
            "taskmanager.memory.network.max": "8m",
            "taskmanager.memory.managed.size": "0m",
            "state.savepoints.dir": "file:///state/savepoints",
            "state.checkpoints.dir": "file:///state/checkpoints",
        },
        "kubernetes": {"pods": {"volumeMounts": [{"name": "state",
            "volume": {"hostPath": {"path": state.display().to_string(), "type": "Directory"}},
            "volumeMount": {"mountPath": "/state"}}]}},
    })
}

#[test]
fn deployments_run_on_a_real_node_with_a_real_flink() {
    let parts = ["1.20", "2.0"].map(|version| flink_parts(version.parse().unwrap()));
    let [Some(first), Some(second)] = parts else {
        return;
    };
    let Some(gate) = sluice_tests::node(&["--flink", "1.20", "--flink", "2.0"]).unwrap() else {
        return;
    };
    let files = gate.scratch().join("jars");
    std::fs::create_dir(&files).unwrap();
    std::fs::copy(&first.jobs, files.join("jobs.jar")).unwrap();
    std::fs::copy(&second.jobs, files.join("jobs-2.jar")).unwrap();
    let example = top_speed(&files);
    let state = gate.scratch().join("state");
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o1777)).unwrap();
    let host = serve(gate.host_address().unwrap(), &files).unwrap();
    std::thread::scope(|scope| {
        let counting = scope.spawn(|| counting(&gate, &host, &state));
        if example {
            the_example(&gate, &host, &state).unwrap();
        }
        highly_available(&gate, &host, &state).unwrap();
        counting.join().unwrap().unwrap();
    });
}

/// Fetches the example's jar as users do; whether it is there.
fn top_speed(to: &Path) -> bool {
    let fetched = Command::new("mvn")
        .args(["-B", "-q", "dependency:copy", "-Dmdep.stripVersion=true"])
        .arg(format!("-Dartifact={JAR}"))
        .arg(format!("-DoutputDirectory={}", to.display()))
        .current_dir(to)
        .output();
    let why = match fetched {
        Ok(fetched) if fetched.status.success() => {
            let name = "flink-examples-streaming_2.11-TopSpeedWindowing.jar";
            std::fs::rename(to.join(name), to.join("top-speed.jar")).unwrap();
            return true;
        }
        Ok(fetched) => String::from_utf8_lossy(&fetched.stdout).into_owned(),
        Err(error) => format!("mvn: {error} (apt-get install maven)"),
    };
    assert!(
        std::env::var("SLUICE_REQUIRE").as_deref() != Ok("all"),
        "the example's jar cannot be fetched: {why}"
    );
    eprintln!("skipped the example: {why}");
    false
}

/// Serves the files of a folder to pods; returns host and port.
fn serve(host: Ipv4Addr, folder: &Path) -> Result<String> {
    let listener = TcpListener::bind((host, 0))?;
    let address = listener.local_addr()?.to_string();
    let files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            let name = format!("/{}", entry.file_name().to_string_lossy());
            Ok((name, std::fs::read(entry.path())?))
        })
        .collect::<Result<_>>()?;
    let files = Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let files = Arc::clone(&files);
            std::thread::spawn(move || -> Result<()> {
                let mut stream = stream;
                let mut request = [0; 4096];
                let read = stream.read(&mut request)?;
                let request =
                    String::from_utf8_lossy(request.get(..read).unwrap_or_default()).into_owned();
                let path = request.split_whitespace().nth(1).unwrap_or_default();
                let body = files.get(path).context("no such file")?;
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes())?;
                stream.write_all(body)?;
                Ok(())
            });
        }
    });
    Ok(address)
}

struct Steps<'a>(&'a str, Instant);

impl Steps<'_> {
    fn done(&mut self, what: &str) {
        eprintln!(
            "{:6.1} s  {}: {what}",
            self.1.elapsed().as_secs_f32(),
            self.0
        );
        self.1 = Instant::now();
    }
}

/// The converted example runs, is suspended, resumed, upgraded and cancelled.
fn the_example(gate: &Gate, host: &str, state: &Path) -> Result<()> {
    let team = gate.namespace()?;
    let namespace = team.namespace().to_owned();
    team.create(&format!(
        r#"{{"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentTarget", "metadata": {{"name": "here"}},
            "spec": {{"kubernetes": {{"namespace": "{namespace}"}}}}}}"#
    ))?
    .admitted()?;
    let target = team.get("deploymenttarget/here")?;
    let id = target["metadata"]["uid"].as_str().context("no uid")?;
    let file = gate.scratch().join("example.yaml");
    std::fs::write(&file, EXAMPLE.replace("TARGET", id).replace("HOST", host))?;
    let converted = Command::new(sluice_binary()?)
        .args(["convert", "-f"])
        .arg(&file)
        .output()?;
    ensure!(
        converted.status.success(),
        "{}",
        String::from_utf8_lossy(&converted.stderr)
    );
    let mut steps = Steps("the example", Instant::now());
    // Sizes first: they are this machine's, not the example's.
    let defaults = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentDefaults", "metadata": {"name": "default"},
        "spec": {"template": {"spec": cut(state)}}});
    team.apply(&defaults.to_string())?.admitted()?;
    let manifest = String::from_utf8(converted.stdout)?;
    team.eventually(STEP, || {
        let tried = team.run_with(
            &["create", "--dry-run=server", "-o", "json", "-f", "-"],
            &manifest,
        )?;
        let tried: Value = serde_json::from_str(&tried.admitted()?.stdout)?;
        let kubernetes = &tried["spec"]["template"]["spec"]["kubernetes"];
        ensure!(kubernetes.is_object(), "the defaults are not seen yet");
        Ok(())
    })?;
    team.apply(&manifest)?.admitted()?;
    let name = "topspeedwindowing-example";
    let first = runs(&team, name, 1)?;
    ensure!(
        first["status"]["running"]["jobId"]
            .as_str()
            .is_some_and(|id| id.len() == 32),
        "{first:#}"
    );
    steps.done("apply -> RUNNING");
    wish(&team, name, "SUSPENDED")?;
    is(&team, name, "SUSPENDED")?;
    nothing_left(&team, name)?;
    steps.done("SUSPENDED, no pod left");
    wish(&team, name, "RUNNING")?;
    runs(&team, name, 2)?;
    let record = team.get(&format!("jobs.sluice.dev/{name}-2"))?;
    let savepoint = record["spec"]["savepointName"]
        .as_str()
        .context("no savepoint")?;
    let savepoint = team.get(&format!("savepoints.sluice.dev/{savepoint}"))?;
    ensure!(savepoint["spec"]["origin"] == "SUSPEND", "{savepoint:#}");
    steps.done("RUNNING again, from the savepoint");
    let args = json!({"spec": {"template": {"spec": {"artifact": {"mainArgs": "--windowSize 5 --windowUnit minutes"}}}}});
    team.merge(&format!("deployments.sluice.dev/{name}"), &args)?
        .admitted()?;
    runs(&team, name, 3)?;
    steps.done("upgraded statelessly");
    wish(&team, name, "CANCELLED")?;
    is(&team, name, "CANCELLED")?;
    nothing_left(&team, name)?;
    steps.done("CANCELLED, no pod left");
    Ok(())
}

/// A job that counts: suspended, resumed, upgraded statefully, its JobManager killed. The controller is killed in the middle of two of
/// these, by SIGKILL. That restoreStrategy NONE starts empty is shown where Flink is played.
fn counting(gate: &Gate, host: &str, state: &Path) -> Result<()> {
    let team = gate.namespace()?;
    let name = "counting";
    // Flink's entry point would take --from for its own --fromSavepoint.
    let mut template = json!({
        "artifact": {"flinkVersion": "1.20", "jarUri": format!("http://{host}/jobs.jar"),
            "entryClass": "dev.sluice.jobs.CountingJob", "mainArgs": "--from 2024-01-01 --rate 20 --checkpoint '1000'"},
        "resources": {"jobmanager": {"cpu": 0.1, "memory": "400Mi"}, "taskmanager": {"cpu": 0.1, "memory": "400Mi"}},
    });
    let all = template.as_object_mut().context("no object")?;
    if let Value::Object(cut) = cut(state) {
        all.extend(cut);
    }
    let deployment = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"state": "RUNNING", "template": {"spec": template}}});
    let mut steps = Steps("the counter", Instant::now());
    team.apply(&deployment.to_string())?.admitted()?;
    let first = runs(&team, name, 1)?;
    steps.done("apply -> RUNNING");
    let seen = counter(&team, name, &first, "count", 20)?;
    wish(&team, name, "SUSPENDED")?;
    killed_while(gate, &team, name, "Suspend")?;
    is(&team, name, "SUSPENDED")?;
    nothing_left(&team, name)?;
    steps.done("SUSPENDED, although the controller was killed meanwhile");
    wish(&team, name, "RUNNING")?;
    let second = runs(&team, name, 2)?;
    let restored = counter(&team, name, &second, "restored", seen)?;
    steps.done(&format!(
        "RUNNING again; it had counted {seen} and more, and goes on from {restored}"
    ));
    let seen = counter(&team, name, &second, "count", restored + 10)?;
    let args = json!({"spec": {"template": {"spec": {"artifact": {"mainArgs": "--from 2024-01-01 --rate 10 --checkpoint 1000"}}}}});
    team.merge(&format!("deployments.sluice.dev/{name}"), &args)?
        .admitted()?;
    killed_while(gate, &team, name, "Start")?;
    let third = runs(&team, name, 3)?;
    let restored = counter(&team, name, &third, "restored", seen)?;
    steps.done(&format!(
        "upgraded statefully, although the controller was killed while the new job started; it had counted {seen} and more, and goes on from {restored}"
    ));
    let seen = counter(&team, name, &third, "count", restored + 30)?;
    kill_jobmanager(&team, name)?;
    let fourth = runs(&team, name, 4)?;
    let restored_now = counter(&team, name, &fourth, "restored", restored)?;
    ensure!(
        restored_now >= seen - 100,
        "{restored_now} of {seen}: too old a checkpoint"
    );
    steps.done(&format!(
        "its JobManager killed; it had counted {seen} and goes on from {restored_now}"
    ));
    team.run(&[
        "delete",
        &format!("deployments.sluice.dev/{name}"),
        "--timeout=180s",
    ])?
    .admitted()?;
    nothing_left(&team, name)?;
    steps.done("deleted");
    Ok(())
}

/// With high availability, on Flink 2, which reads what its entry point is told in another way than Flink 1, and labels its own records in another
/// way: the state comes along, through a suspension and a killed JobManager, and nothing of these records is left in the end.
fn highly_available(gate: &Gate, host: &str, state: &Path) -> Result<()> {
    let team = gate.namespace()?;
    let name = "available";
    let mut template = json!({
        "artifact": {"flinkVersion": "2.0", "jarUri": format!("http://{host}/jobs-2.jar"),
            "entryClass": "dev.sluice.jobs.CountingJob", "mainArgs": "--host nobody --rate 20 --checkpoint 1000"},
        "resources": {"jobmanager": {"cpu": 0.1, "memory": "450Mi"}, "taskmanager": {"cpu": 0.1, "memory": "400Mi"}},
    });
    let all = template.as_object_mut().context("no object")?;
    if let Value::Object(cut) = cut(state) {
        all.extend(cut);
    }
    template["flinkConfiguration"]["high-availability.type"] = json!("kubernetes");
    template["flinkConfiguration"]["high-availability.storageDir"] = json!("file:///state/ha");
    let deployment = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"state": "RUNNING", "template": {"spec": template}}});
    let mut steps = Steps("high availability", Instant::now());
    team.apply(&deployment.to_string())?.admitted()?;
    let first = runs(&team, name, 1)?;
    steps.done("apply -> RUNNING");
    let seen = counter(&team, name, &first, "count", 20)?;
    wish(&team, name, "SUSPENDED")?;
    is(&team, name, "SUSPENDED")?;
    nothing_left(&team, name)?;
    wish(&team, name, "RUNNING")?;
    let second = runs(&team, name, 2)?;
    let restored = counter(&team, name, &second, "restored", seen)?;
    steps.done(&format!(
        "suspended and RUNNING again; it had counted {seen} and more, and goes on from {restored}"
    ));
    let seen = counter(&team, name, &second, "count", restored + 30)?;
    kill_jobmanager(&team, name)?;
    // The next JobManager finds the job in Flink's own records: it is the same run.
    let restored_now = counter(&team, name, &second, "restored", restored + 1)?;
    ensure!(
        restored_now >= seen - 100,
        "{restored_now} of {seen}: too old a checkpoint"
    );
    runs(&team, name, 2)?;
    steps.done(&format!(
        "its JobManager killed; it had counted {seen} and goes on from {restored_now}"
    ));
    wish(&team, name, "CANCELLED")?;
    is(&team, name, "CANCELLED")?;
    nothing_left(&team, name)?;
    let records = team
        .run(&["get", "configmaps", "-o", "name"])?
        .admitted()?
        .stdout;
    let records: Vec<&str> = records
        .lines()
        .filter(|name| name.contains("available"))
        .collect();
    ensure!(
        records.is_empty(),
        "Flink's own records of two runs: {records:?}"
    );
    steps.done("CANCELLED, nothing left of Flink's own records");
    Ok(())
}

/// Ends the pod of the JobManager without any grace.
fn kill_jobmanager(team: &Kubectl, name: &str) -> Result<()> {
    let of = format!("sluice.dev/component=jobmanager,sluice.dev/owner-name={name}");
    let pods = team
        .run(&["get", "pods", "-l", &of, "-o", "name"])?
        .admitted()?;
    team.run(&["delete", pods.stdout.trim(), "--grace-period=0", "--force"])?
        .admitted()?;
    Ok(())
}

/// Kills the controller as soon as this operation is under way; another one takes its place.
fn killed_while(gate: &Gate, team: &Kubectl, name: &str, operation: &str) -> Result<()> {
    team.eventually(STEP, || {
        let deployment = look(team, name)?;
        let status = &deployment["status"];
        let is_seen = status["observedGeneration"] == deployment["metadata"]["generation"];
        // Or it is over already: then the next one begins with what the last one has stored.
        let is_over = is_seen && status["operation"].is_null();
        ensure!(
            status["operation"]["kind"] == operation || is_over,
            "{status:#}"
        );
        Ok(())
    })?;
    let killed = gate.children("controller")?;
    ensure!(!killed.is_empty(), "no controller runs");
    for pid in &killed {
        gate.signal(*pid, Signal::SIGKILL)?;
    }
    team.eventually(STEP, || {
        let now = gate.children("controller")?;
        let is_new = !now.is_empty() && now.iter().all(|pid| !killed.contains(pid));
        ensure!(is_new, "controllers: {now:?}");
        Ok(())
    })
}

fn wish(team: &Kubectl, name: &str, state: &str) -> Result<()> {
    let spec = json!({"spec": {"state": state}});
    team.merge(&format!("deployments.sluice.dev/{name}"), &spec)?
        .admitted()?;
    Ok(())
}

fn look(team: &Kubectl, name: &str) -> Result<Value> {
    team.get(&format!("deployments.sluice.dev/{name}"))
}

fn is(team: &Kubectl, name: &str, state: &str) -> Result<Value> {
    team.eventually(STEP, || {
        let deployment = look(team, name)?;
        let status = &deployment["status"];
        ensure!(
            status["state"] == state
                && status["observedGeneration"] == deployment["metadata"]["generation"],
            "{status:#}"
        );
        Ok(deployment)
    })
}

fn runs(team: &Kubectl, name: &str, number: u32) -> Result<Value> {
    let seen = team.eventually(STEP, || {
        let deployment = look(team, name)?;
        let status = &deployment["status"];
        if status["state"] == "FAILED" {
            return Ok(Err(format!("{status:#}")));
        }
        ensure!(
            status["state"] == "RUNNING" && status["jobName"] == format!("{name}-{number}"),
            "{status:#}"
        );
        Ok(Ok(deployment))
    })?;
    match seen {
        Ok(deployment) => Ok(deployment),
        Err(status) => bail!("{status}"),
    }
}

fn nothing_left(team: &Kubectl, name: &str) -> Result<()> {
    let left = team
        .run(&[
            "get",
            "all,configmaps",
            "-l",
            &format!("sluice.dev/owner-name={name}"),
            "-o",
            "name",
        ])?
        .admitted()?;
    ensure!(left.stdout.trim().is_empty(), "left over: {}", left.stdout);
    Ok(())
}

/// A counter of the running job, once it is so high.
fn counter(
    team: &Kubectl,
    name: &str,
    deployment: &Value,
    counter: &str,
    at_least: i64,
) -> Result<i64> {
    let id = deployment["status"]["running"]["jobId"]
        .as_str()
        .context("no job")?;
    let path = format!(
        "/api/v1/namespaces/{}/services/{name}-dep-jobmanager:8081/proxy/jobs/{id}/accumulators",
        team.namespace()
    );
    team.eventually(STEP, || {
        let answer = team.run(&["get", "--raw", &path])?.admitted()?;
        let answer: Value = serde_json::from_str(&answer.stdout)?;
        let all = answer["user-task-accumulators"]
            .as_array()
            .context("no counters")?;
        let found = all
            .iter()
            .find(|one| one["name"] == counter)
            .context("no such counter yet")?;
        let value: i64 = found["value"].as_str().unwrap_or_default().parse()?;
        ensure!(value >= at_least, "{counter} is {value}");
        Ok(value)
    })
}
