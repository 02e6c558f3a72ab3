//! What scripts do without a pause: stop and start, replace by force, edit a quota and use it.

use crate::quota::{quota, session, used};
use crate::{AlonePromise, Promise};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use serde_json::json;
use sluice_tests::Gate;
use std::time::{Duration, Instant};

pub const PROMISES: &[Promise] = &[
    (
        "scripts::a_start_right_behind_a_stop_or_a_deletion_finds_its_room",
        stop_and_start,
    ),
    (
        "scripts::a_quota_that_was_just_edited_is_in_force_for_the_next_line",
        edit_and_start,
    ),
];

pub const ALONE: &[AlonePromise] = &[(
    "scripts::kubectl_sends_again_while_a_quota_is_not_counted",
    send_again,
)];

fn stop_and_start(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    quota(&kubectl, "3", "Enforce")?;
    let running = session("s", "RUNNING", 2);
    kubectl.apply(&running)?.admitted()?;
    used(&kubectl, 3000)?;
    for round in 0..3 {
        kubectl
            .run_with(&["replace", "--force", "-f", "-"], &running)?
            .admitted()
            .with_context(|| format!("replace, round {round}"))?;
        for state in ["STOPPED", "RUNNING"] {
            kubectl
                .merge("fsc/s", &json!({"spec": {"state": state}}))?
                .admitted()
                .with_context(|| format!("{state}, round {round}"))?;
        }
        used(&kubectl, 3000)?;
    }
    // Another one in the room of the first, in one breath.
    kubectl.run(&["delete", "fsc/s"])?.admitted()?;
    kubectl.create(&session("t", "RUNNING", 2))?.admitted()?;
    used(&kubectl, 3000)
}

fn edit_and_start(gate: &Gate) -> Result<()> {
    let kubectl = gate.namespace()?;
    quota(&kubectl, "1", "Enforce")?;
    for cpu in [3, 5, 7] {
        let quota = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota", "metadata": {"name": "default"},
            "spec": {"hard": {"cpu": cpu}, "onGrowth": "Enforce"}});
        let both = format!(
            "{quota}\n---\n{}",
            session(&format!("s{cpu}"), "RUNNING", 1)
        );
        kubectl.apply(&both)?.admitted()?;
    }
    used(&kubectl, 6000)
}

/// With nobody to count, the start is put off with 429 and Retry-After, and kubectl keeps asking without a word.
fn send_again() -> Result<()> {
    const AWAY: Duration = Duration::from_secs(3);
    let gate = Gate::up(&[])?;
    let kubectl = gate.kubectl().in_namespace("team-a");
    let controllers = gate.children("controller")?;
    let [controller] = controllers.as_slice() else {
        anyhow::bail!("one controller: {controllers:?}")
    };
    gate.signal(*controller, Signal::SIGSTOP)?;
    let began = Instant::now();
    let edited = kubectl.merge("fcq/default", &json!({"spec": {"hard": {"cpu": 50}}}))?;
    let refused = kubectl.run_with(
        &["create", "-v=6", "--request-timeout=2s", "-f", "-"],
        &session("hasty", "RUNNING", 1),
    );
    let admitted = std::thread::scope(|scope| {
        let start = scope.spawn(|| kubectl.create(&session("s", "RUNNING", 1)));
        std::thread::sleep(AWAY);
        gate.signal(*controller, Signal::SIGCONT)?;
        start
            .join()
            .map_err(|_| anyhow::anyhow!("the start panicked"))?
    });
    edited.admitted()?;
    let refused = refused?.refused()?;
    ensure!(
        refused.contains("429") || refused.contains("has not been counted since"),
        "who does not wait is told why: {refused}"
    );
    let said = admitted?.admitted()?.stderr;
    ensure!(!said.contains("rror"), "without a word: {said}");
    ensure!(began.elapsed() >= AWAY, "{:?}", began.elapsed());
    Ok(())
}
