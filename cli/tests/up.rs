//! `sluice up` from outside: what it prints, what it writes, and that nothing of it is left.
//! What its gate says is tested where the whole is (`sluice-tests`).

#![allow(clippy::unwrap_used, clippy::panic)] // clippy.toml spares tests, but not their helper functions

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The first start builds the control plane from source.
const READY_WITHIN: Duration = Duration::from_mins(25);
const DOWN_WITHIN: Duration = Duration::from_mins(1);

/// Whether this machine can have a control plane; if not, the reason is printed.
fn has_control_plane() -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime
        .block_on(sluice_cluster::Assets::for_tests(
            sluice_cluster::Binary::ALL,
        ))
        .unwrap()
        .is_some()
}

fn sluice(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sluice"));
    command.arg("up").args(args).stdin(Stdio::null());
    command
}

/// Ends it if the test fails.
struct Up(Child);

impl Drop for Up {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            self.signal(Signal::SIGTERM);
            let _ = self.0.wait();
        }
    }
}

impl Up {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

fn eventually<T>(within: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        // Between two looks at another process there is nothing to wait on but time.
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes in whose command line or environment a text occurs: everything that was started for one data folder.
fn processes_of(needle: &str) -> Vec<String> {
    let holds = |file: &Path| {
        fs::read(file).is_ok_and(|text| String::from_utf8_lossy(&text).contains(needle))
    };
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| holds(&path.join("cmdline")) || holds(&path.join("environ")))
        .map(|path| path.display().to_string())
        .filter(|path| *path != format!("/proc/{}", std::process::id()))
        .collect()
}

#[test]
fn up_is_ready_answers_kubectl_and_leaves_nothing_behind() {
    if !has_control_plane() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ready = dir.path().join("ready");
    let data = dir.path().join("data");
    let needle = data.to_str().unwrap();
    let args = [
        "--ready-file",
        ready.to_str().unwrap(),
        "--data-dir",
        needle,
        "--replicas",
        "2",
    ];
    let mut up = Up(sluice(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap());

    let kubeconfig = eventually(READY_WITHIN, "the ready file is written", || {
        assert!(
            up.0.try_wait().unwrap().is_none(),
            "it ended before it was ready"
        );
        fs::read_to_string(&ready).ok()
    });
    assert_eq!(kubeconfig, data.join("kubeconfig").to_str().unwrap());
    let lines: Vec<String> = BufReader::new(up.0.stdout.take().unwrap())
        .lines()
        .take(5)
        .map(Result::unwrap)
        .collect();
    assert_eq!(lines[0], format!("export KUBECONFIG={kubeconfig}"));
    assert_eq!(lines[1], "");
    let commands = &lines[2..];
    assert!(
        commands
            .iter()
            .all(|line| line.contains("kubectl -n team-a ")),
        "{commands:?}"
    );

    // The way in works: the first of the three commands, as printed, through a shell.
    let first = Command::new("sh")
        .args(["-c", &commands[0]])
        .env("KUBECONFIG", &kubeconfig)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&first.stdout),
        "sessioncluster.sluice.dev/analytics created\n",
        "{first:?}"
    );

    assert!(
        !processes_of(needle).is_empty(),
        "the search for what is left finds nothing even now"
    );
    up.signal(Signal::SIGINT);
    let status = eventually(DOWN_WITHIN, "it ends after SIGINT", || {
        up.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        processes_of(needle),
        Vec::<String>::new(),
        "processes are left"
    );
    assert!(
        !ready.exists(),
        "the ready file outlived what it stands for"
    );
    assert!(data.join("etcd").is_dir(), "--data-dir is kept");
}

#[test]
fn up_that_is_asked_to_stop_before_it_is_ready_leaves_nothing_behind() {
    if !has_control_plane() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let needle = data.to_str().unwrap();
    let mut up = Up(sluice(&["--data-dir", needle])
        .stdout(Stdio::null())
        .spawn()
        .unwrap());
    // etcd has been started by then, the rest has not.
    eventually(READY_WITHIN, "etcd has a log", || {
        data.join("logs/etcd.log").exists().then_some(())
    });
    up.signal(Signal::SIGTERM);
    let status = eventually(DOWN_WITHIN, "it ends after SIGTERM", || {
        up.0.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        processes_of(needle),
        Vec::<String>::new(),
        "processes are left"
    );
}

#[test]
fn what_cannot_be_done_is_said_at_once_with_exit_code_2() {
    for (args, message) in [
        (
            vec!["--node", "--image", "/no/such.tar"],
            "sluice: --image /no/such.tar: there is no such file or folder\n",
        ),
        (
            vec!["--ready-file", "/no/such/folder/ready"],
            "sluice: --ready-file /no/such/folder/ready: its folder does not exist; create it first\n",
        ),
    ] {
        let output = sluice(&args).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), stderr.as_str()), (Some(2), message));
        assert!(output.stdout.is_empty());
    }
    let output = sluice(&["--replicas", "0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("0 is not in 1..=32"));
}
