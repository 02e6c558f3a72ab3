//! A session job whose jar the controller's own pod fetches, on a real Flink: what the chart grants its container has to do for it.

use crate::context::Bare;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_tests::{FlinkParts, eventually, host_address, serve_jar};
use std::time::{Duration, Instant};

/// Two JVMs start on two cores, which may have other work.
const STEP: Duration = Duration::from_mins(5);

/// Runs a job from a jar that is served here, and takes it away again.
pub fn from_the_controllers_pod(bare: &Bare, flink: &FlinkParts) -> Result<()> {
    let jar = serve_jar(&flink.jobs, host_address(&bare.kubeconfig()?)?)?;
    let name = flink
        .image
        .names()
        .first()
        .context("an image without a name")?;
    let (_, tag) = name.rsplit_once(':').context("an image without a tag")?;
    let began = Instant::now();
    bare.apply(&json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "analytics", "namespace": "default"},
        "spec": {
            "state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": 1,
            "flinkImageRegistry": "docker.io", "flinkImageRepository": "library/flink", "flinkImageTag": tag,
            "resources": {"jobmanager": {"cpu": 0.1, "memory": "512Mi"}, "taskmanager": {"cpu": 0.1, "memory": "512Mi"}},
            "flinkConfiguration": {
                "kubernetes.jobmanager.cpu.limit-factor": "10", "kubernetes.taskmanager.cpu.limit-factor": "10",
                "jobmanager.memory.jvm-metaspace.size": "96m", "jobmanager.memory.off-heap.size": "48m",
                "jobmanager.memory.jvm-overhead.min": "48m", "jobmanager.memory.jvm-overhead.max": "48m",
                "taskmanager.memory.jvm-metaspace.size": "80m", "taskmanager.memory.jvm-overhead.min": "48m",
                "taskmanager.memory.jvm-overhead.max": "48m", "taskmanager.memory.framework.heap.size": "64m",
                "taskmanager.memory.framework.off-heap.size": "48m", "taskmanager.memory.network.min": "8m",
                "taskmanager.memory.network.max": "8m", "taskmanager.memory.managed.size": "0m",
            },
        },
    }))?;
    bare.apply(&json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionJob", "metadata": {"name": "counting", "namespace": "default"},
        "spec": {"sessionClusterName": "analytics", "state": "RUNNING",
            "job": {"entryClass": "dev.sluice.jobs.CountingJob", "jarUri": jar, "args": ["--rate", "50"]}},
    }))?;
    let mut failed = None;
    eventually(STEP, || {
        let got = bare.kubectl(&["get", "sessionjob/counting", "-o", "json"])?;
        let job: Value = serde_json::from_slice(&got.stdout)?;
        let state = &job["status"]["state"];
        if state == "FAILED" {
            failed = Some(job["status"].clone());
            return Ok(());
        }
        ensure!(state == "RUNNING", "{:#}", job["status"]);
        Ok(())
    })?;
    ensure!(failed.is_none(), "the job has failed: {failed:#?}");
    eprintln!(
        "a job runs whose jar the controller's pod has fetched: {:.1?}",
        began.elapsed()
    );
    for object in ["sessionjob/counting", "sessioncluster/analytics"] {
        let deleted = bare.kubectl(&["delete", object, "--timeout=120s"])?;
        ensure!(
            deleted.status.success(),
            "{}",
            String::from_utf8_lossy(&deleted.stderr)
        );
    }
    Ok(())
}
