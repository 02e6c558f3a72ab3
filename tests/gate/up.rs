//! `sluice up` itself, and what still works with every webhook process dead.

use crate::AlonePromise;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use sluice_tests::{Gate, eventually};
use std::time::Duration;

pub const PROMISES: &[AlonePromise] = &[
    ("up::tells_what_to_do_and_leaves_no_process_behind", life),
    (
        "up::webhook_and_controller_need_no_right_that_the_manifests_do_not_give",
        rights,
    ),
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

/// `sluice up` runs its servers as the service account of `sluice manifests`: everything that is tested here is tested with
/// these rights, and none is missed.
fn rights() -> Result<()> {
    let gate = Gate::up(&[])?;
    let admin = gate.kubectl().in_namespace("team-a");
    let data = gate.kubeconfig().parent().context("the data folder")?;
    let account = data.join("sluice.kubeconfig");
    let account = account.to_str().context("a path that is text")?;
    let who = admin
        .run(&["--kubeconfig", account, "auth", "whoami", "-o", "json"])?
        .admitted()?
        .stdout;
    ensure!(
        who.contains("\"system:serviceaccount:sluice-system:sluice\""),
        "{who}"
    );
    for process in ["webhook", "controller"] {
        let pids = gate.children(process)?;
        ensure!(pids.len() == 1, "{process}: {pids:?}");
        for pid in pids {
            let environment = std::fs::read(format!("/proc/{pid}/environ"))?;
            let environment = String::from_utf8_lossy(&environment).into_owned();
            ensure!(
                environment.contains(&format!("KUBECONFIG={account}\0")),
                "{process} runs as somebody else: {environment}"
            );
        }
    }
    // Everything that they do by themselves: holds, counts, Events. Certificates and caches were made before it was ready.
    let session = |name: &str, managers: u32| {
        json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": name},
            "spec": {"state": "RUNNING", "flinkVersion": "1.20", "numberOfTaskManagers": managers}})
        .to_string()
    };
    admin.apply(&session("a", 4))?.admitted()?;
    admin.apply(&session("b", 400))?.refused()?;
    eventually(Duration::from_secs(20), || {
        let status = admin.get("fcq/default")?["status"].clone();
        ensure!(status["confirmedMilli"] == 5000, "{status}");
        let events = admin.run(&["get", "events", "-o", "json"])?.admitted()?;
        ensure!(events.stdout.contains("needs 401 CPU"), "{}", events.stdout);
        Ok(())
    })?;
    // The fence of an undecided hold comes after 90 seconds only.
    for may in ["patch fsc", "patch fdep", "update fcq --subresource=status"] {
        let mut question = vec!["--kubeconfig", account, "auth", "can-i"];
        question.extend(may.split(' '));
        admin.run(&question)?.admitted()?;
    }
    let may = admin.run(&["--kubeconfig", account, "auth", "can-i", "get", "secrets"])?;
    ensure!(may.code != 0, "it may read other people's secrets");
    for entry in std::fs::read_dir(data.join("logs"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("webhook") || name.starts_with("controller") {
            let log = std::fs::read_to_string(&path)?;
            let missed = log.lines().find(|line| line.contains("is forbidden"));
            ensure!(missed.is_none(), "a right is missing: {missed:?}");
        }
    }
    Ok(())
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
        let said = kubectl
            .run(&["scale", "fsc/b", "--replicas=3"])?
            .refused()?;
        ensure!(
            said.contains("failed calling webhook"),
            "growth is not admitted unseen: {said}"
        );
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
