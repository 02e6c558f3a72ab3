//! `sluice up` itself, and what still works with every webhook process dead.

use crate::AlonePromise;
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use sluice_tests::{Gate, eventually};
use std::time::Duration;

pub const PROMISES: &[AlonePromise] = &[
    ("up::tells_what_to_do_and_leaves_no_process_behind", life),
    (
        "up::with_every_webhook_killed_what_lowers_still_works",
        dead,
    ),
];

fn life() -> Result<()> {
    let gate = Gate::up(&[])?;
    let log = gate.log()?;
    let exports = log
        .lines()
        .filter(|line| line.starts_with("export KUBECONFIG="))
        .count();
    ensure!(exports == 1, "one export line: {log}");
    ensure!(
        log.lines()
            .filter(|line| line.trim_start().contains("kubectl "))
            .count()
            >= 3,
        "three commands to try: {log}"
    );
    let kubectl = gate.kubectl().in_namespace("team-a");
    assert_eq!(
        kubectl.get("fcq/default")?["spec"]["hard"]["cpu"]
            .to_string()
            .trim_matches('"'),
        "100"
    );
    kubectl.get("fdd/default")?;
    let explained = kubectl
        .run(&["explain", "fsc.spec.numberOfTaskManagers"])?
        .admitted()?
        .stdout;
    ensure!(
        explained.to_lowercase().contains("taskmanager"),
        "{explained}"
    );
    kubectl.run(&["get", "flink"])?.admitted()?;
    let below = descendants(gate.pid())?;
    ensure!(
        below.len() >= 4,
        "etcd, the API server, a webhook and the controller: {below:?}"
    );
    assert_eq!(gate.down()?, Some(0));
    let left: Vec<u32> = below
        .into_iter()
        .filter(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists())
        .collect();
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}

fn descendants(pid: u32) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(child) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{child}/stat")) else {
            continue;
        };
        let parent = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        all.extend(parent.map(|parent| (parent, child)));
    }
    let mut queue = vec![pid];
    while let Some(next) = queue.pop() {
        for (_, child) in all.iter().filter(|(parent, _)| *parent == next) {
            found.push(*child);
            queue.push(*child);
        }
    }
    Ok(found)
}

/// Stopped rather than killed, since `up` starts a dead webhook again: to the API server it is as dead as can be, it
/// even hangs instead of refusing.
fn dead() -> Result<()> {
    let gate = Gate::up(&["--replicas", "2"])?;
    let kubectl = gate.kubectl().in_namespace("team-a");
    let session = |name: &str, state: &str| {
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
            "spec": {"state": state, "flinkVersion": "1.20", "numberOfTaskManagers": 4}})
        .to_string()
    };
    for name in ["a", "b", "c"] {
        kubectl.apply(&session(name, "RUNNING"))?.admitted()?;
    }
    let webhooks = gate.children("webhook")?;
    ensure!(webhooks.len() == 2, "{webhooks:?}");
    for pid in &webhooks {
        gate.signal(*pid, Signal::SIGSTOP)?;
    }
    let checks = (|| {
        kubectl
            .merge("fsc/a", &json!({"spec": {"state": "STOPPED"}}))?
            .admitted()?;
        kubectl
            .merge("fsc/b", &json!({"spec": {"numberOfTaskManagers": 2}}))?
            .admitted()?;
        kubectl
            .run(&["scale", "fsc/b", "--replicas=1"])?
            .admitted()?;
        kubectl.run(&["label", "fsc/b", "a=b"])?.admitted()?;
        kubectl
            .merge("fsc/b", &json!({"metadata": {"finalizers": []}}))?
            .admitted()?;
        kubectl.run(&["delete", "fsc/c"])?.admitted()?;
        let said = kubectl.apply(&session("d", "RUNNING"))?.refused()?;
        ensure!(
            said.contains("failed calling webhook"),
            "what raises is not admitted unseen: {said}"
        );
        let said = kubectl
            .merge(
                "fsc/b",
                &json!({"spec": {"state": "STOPPED", "flinkVersion": "1.19"}}),
            )?
            .refused()?;
        ensure!(
            said.contains("failed calling webhook"),
            "a stop that also edits is judged: {said}"
        );
        Ok(())
    })();
    for pid in &webhooks {
        gate.signal(*pid, Signal::SIGCONT)?;
    }
    checks?;
    eventually(Duration::from_secs(30), || {
        kubectl.apply(&session("d", "RUNNING"))?.admitted()
    })?;
    Ok(())
}
