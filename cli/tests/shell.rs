//! Completion, man pages, and `kubectl sluice`.

#![allow(clippy::expect_used, clippy::panic)] // tests

mod support;

use std::process::Command;
use support::{Folder, sluice};

#[test]
fn every_shell_has_a_script_that_knows_the_commands() {
    for (shell, word) in [
        ("bash", "_sluice()"),
        ("zsh", "#compdef sluice"),
        ("fish", "complete -c sluice"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion"),
    ] {
        let script = sluice(&["completion", shell]).expect_code(0).stdout;
        assert!(script.contains(word), "{shell}: {script}");
        for command in ["doctor", "emergency", "simulate"] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
    }
    let refused = sluice(&["completion", "tcsh"]).expect_code(2).stderr;
    assert!(
        refused.contains("[possible values: bash, elvish, fish"),
        "{refused}"
    );
}

#[test]
fn bash_completes_by_the_script() {
    let folder = Folder::new();
    let script = folder.file(
        "sluice.bash",
        sluice(&["completion", "bash"]).expect_code(0).stdout,
    );
    let asked = format!(
        "source {script}; COMP_WORDS=(sluice emergency re); COMP_CWORD=2; _sluice sluice re emergency; echo \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash")
        .args(["-c", &asked])
        .output()
        .expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "restore");
}

/// As kubectl takes them.
#[test]
fn the_cluster_may_be_named_before_a_subcommand_and_after_it() {
    let folder = Folder::new();
    let nowhere = folder.file(
        "nowhere.yaml",
        "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}], users: [{name: u, \
         user: {token: t}}], contexts: [{name: c, context: {cluster: c, user: u}}]}",
    );
    let manifest = folder.file("a.yaml", "");
    for (command, rest) in [
        ("emergency", &["open"][..]),
        ("emergency", &["restore"]),
        ("emergency", &["status"]),
        ("quota", &[]),
        ("quota", &["simulate", "-f", &manifest]),
        ("doctor", &[]),
    ] {
        let run = |context: &str, place: usize| {
            let mut args = [&[command][..], rest].concat();
            args.splice(
                place..place,
                ["--kubeconfig", &nowhere, "--context", context],
            );
            sluice(&args)
        };
        for place in [1, 1 + rest.len()] {
            let said = run("c", place).expect_code(3).stderr;
            assert!(
                said.contains("https://127.0.0.1:9/ does not answer"),
                "{said}"
            );
            let said = run("prod", place).expect_code(2).stderr;
            assert!(said.contains("sluice: --context prod: "), "{said}");
        }
    }
}

#[test]
fn every_command_has_a_man_page() {
    let folder = Folder::new();
    let to = format!("{}/man1", folder.path());
    sluice(&["man", "--to", &to]).expect_code(0);
    for page in [
        "sluice.1",
        "sluice-doctor.1",
        "sluice-quota-simulate.1",
        "sluice-emergency-open.1",
    ] {
        let text = std::fs::read_to_string(format!("{to}/{page}"))
            .unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{page}: {text}"
        );
    }
    let file = folder.file("file", "");
    assert!(
        sluice(&["man", "--to", &file])
            .expect_code(2)
            .stderr
            .contains("--to ")
    );
}

#[test]
fn as_kubectl_sluice_it_is_the_same_and_says_so() {
    let folder = Folder::new();
    let link = format!("{}/kubectl-sluice", folder.path());
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_sluice"), &link).expect("a link");
    let help = Command::new(&link)
        .args(["quota", "--help"])
        .output()
        .expect("it runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    assert!(help.contains("Usage: kubectl sluice quota"), "{help}");
    let rules = Command::new(&link).arg("rules").output().expect("it runs");
    assert_eq!(
        String::from_utf8_lossy(&rules.stdout),
        sluice(&["rules"]).expect_code(0).stdout
    );
}
