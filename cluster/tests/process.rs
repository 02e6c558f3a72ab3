//! No child outlives us, however either of us ends.

#![allow(clippy::unwrap_used)] // clippy.toml spares tests, but not their helper functions

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sluice_cluster::{Process, ProcessSpec};

/// Set for the copy of this test program that is going to be killed.
const VICTIM: &str = "SLUICE_TEST_VICTIM_LOG";

fn alive(pid: u32) -> bool {
    // A zombie is dead enough: whoever adopted it may take its time to reap it.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| !rest.starts_with(" Z"))
    })
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        std::thread::yield_now();
    }
}

fn shell(name: &str, script: &str, dir: &Path) -> ProcessSpec {
    ProcessSpec::new(name, "/bin/sh", dir.join("log")).args(["-c", script])
}

/// Starts a script and waits until it has said `ready`.
fn ready(spec: ProcessSpec) -> Process {
    let process = Process::spawn(spec).unwrap();
    eventually("the script says ready", || {
        process.log_tail().contains("ready")
    });
    process
}

#[tokio::test]
async fn stop_ends_the_whole_group_and_says_how() {
    let dir = tempfile::tempdir().unwrap();
    let process = ready(shell(
        "polite",
        "sleep 1000 & echo child $! ready; wait",
        dir.path(),
    ));
    let tail = process.log_tail();
    let child: u32 = tail.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(alive(process.pid()) && alive(child));
    let status = process.stop(Duration::from_secs(10)).await;
    assert_eq!(status.signal(), Some(15), "ended by SIGTERM: {status}");
    assert!(!alive(process.pid()));
    eventually("the grandchild is gone", || !alive(child));
}

#[tokio::test]
async fn whoever_ignores_sigterm_is_killed_after_the_grace() {
    let dir = tempfile::tempdir().unwrap();
    let process = ready(shell(
        "deaf",
        "trap '' TERM; echo ready; while :; do sleep 1000; done",
        dir.path(),
    ));
    let status = process.stop(Duration::from_millis(200)).await;
    assert_eq!(status.signal(), Some(9), "ended by SIGKILL: {status}");
    assert!(!alive(process.pid()));
    assert_eq!(
        process.stop(Duration::ZERO).await,
        status,
        "stopping twice gives the same answer"
    );
}

#[test]
fn dropping_ends_it_without_a_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let process = ready(shell("dropped", "echo ready; exec sleep 1000", dir.path()));
    let pid = process.pid();
    assert!(alive(pid));
    drop(process);
    assert!(!alive(pid));
}

#[tokio::test]
async fn an_unasked_end_is_reported_with_the_last_lines() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::spawn(shell(
        "broken",
        "echo no such flag: --x; exit 3",
        dir.path(),
    ))
    .unwrap();
    let error = process.died(process.exited().await).to_string();
    let log = dir.path().join("log");
    assert_eq!(
        error,
        format!(
            "broken ended by itself (exit status: 3); the last lines of {}:\nno such flag: --x",
            log.display()
        )
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = Process::spawn(ProcessSpec::new(
        "x",
        "/no/such/program",
        dir.path().join("log"),
    ))
    .unwrap_err();
    assert_eq!(
        error.to_string(),
        "running /no/such/program: No such file or directory (os error 2)"
    );
}

/// A child that is killed when this is dropped.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Run as a program of its own by the next test; does nothing otherwise.
#[tokio::test]
async fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else {
        return;
    };
    let process = ready(shell(
        "orphan",
        "echo ready; exec sleep 1000",
        Path::new(&dir),
    ));
    // Past the capture of the test harness, which prints only at the end.
    std::fs::write(Path::new(&dir).join("pid"), format!("{}\n", process.pid())).unwrap();
    eprintln!("waiting to be killed");
    std::future::pending::<()>().await;
}

#[test]
fn a_killed_parent_takes_its_children_along() {
    if Command::new("/usr/bin/setpriv")
        .args(["--pdeathsig", "KILL", "--", "true"])
        .status()
        .is_err()
    {
        println!("skipped: no setpriv that knows --pdeathsig");
        assert!(
            std::env::var("SLUICE_REQUIRE").is_err(),
            "SLUICE_REQUIRE is set and setpriv is missing"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // However this test ends, the copy ends with it.
    let mut parent = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "victim", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let said = BufReader::new(parent.0.stderr.take().unwrap());
    assert!(
        said.lines()
            .any(|line| line.unwrap() == "waiting to be killed")
    );
    let orphan: u32 = std::fs::read_to_string(dir.path().join("pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(alive(orphan));
    drop(parent);
    eventually("the orphan is gone", || !alive(orphan));
}
