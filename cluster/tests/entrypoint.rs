//! The Flink image's entry point, with scripts in Flink's place that tell how they were called.

#![allow(clippy::unwrap_used)] // clippy.toml spares tests, but not their helper functions

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A home like Flink's. The role scripts print their arguments, the folder of the settings, and the settings.
struct Home(tempfile::TempDir);

impl Home {
    fn new(settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = "#!/bin/sh\necho \"$(basename \"$0\") $*\"\n\
                      dir=${FLINK_CONF_DIR:-$FLINK_HOME/conf}\n\
                      [ \"$dir\" = \"$FLINK_HOME/conf\" ] && echo in place || echo in a copy\n\
                      cat \"$dir\"/*.yaml\n\
                      [ \"$dir\" = \"$FLINK_HOME/conf\" ] || rm -r \"$dir\"\n";
        for name in ["bin", "conf"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        for role in ["jobmanager", "taskmanager", "standalone-job"] {
            let path = dir.path().join(format!("bin/{role}.sh"));
            fs::write(&path, script).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for (name, text) in settings {
            let path = dir.path().join("conf").join(name);
            fs::write(&path, text).unwrap();
            // As a mounted ConfigMap is; whoever is root could write all the same, so see `untouched`.
            fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        }
        Self(dir)
    }

    fn run(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/image/docker-entrypoint.sh");
        Command::new("bash")
            .arg(script)
            .args(args)
            .env("FLINK_HOME", self.0.path())
            .env_remove("FLINK_CONF_DIR")
            .env_remove("FLINK_PROPERTIES")
            .envs(env.iter().copied())
            .output()
            .unwrap()
    }

    /// What a role prints, which must go well.
    fn prints(&self, args: &[&str], env: &[(&str, &str)]) -> String {
        let output = self.run(args, env);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        assert_eq!(stderr, "");
        String::from_utf8(output.stdout).unwrap()
    }

    fn untouched(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join("conf").join(name)).unwrap()
    }
}

const SETTINGS: &str = "jobmanager.rpc.address: a-sc-jobmanager\nrest.port: 8081\n";

#[test]
fn settings_that_are_complete_are_used_where_they_are() {
    for name in ["config.yaml", "flink-conf.yaml"] {
        let home = Home::new(&[(name, SETTINGS)]);
        assert_eq!(
            home.prints(&["jobmanager"], &[]),
            format!("jobmanager.sh start-foreground\nin place\n{SETTINGS}")
        );
    }
}

#[test]
fn a_role_hands_its_arguments_on() {
    let home = Home::new(&[("config.yaml", SETTINGS)]);
    let args = [
        "standalone-job",
        "--job-classname",
        "a.B",
        "--x",
        "two words",
    ];
    assert!(home.prints(&args, &[]).starts_with(
        "standalone-job.sh start-foreground --job-classname a.B --x two words\nin place\n"
    ));
}

#[test]
fn properties_go_above_the_settings_in_a_copy() {
    // No end of line at the end: what is appended must not run into it.
    let home = Home::new(&[("config.yaml", SETTINGS.trim_end())]);
    let properties = "\n# a comment\n  rest.port: 9091\nenv.java.opts.all: -Da=b -Dc=d:e\n\n";
    assert_eq!(
        home.prints(
            &["taskmanager"],
            &[
                ("FLINK_PROPERTIES", properties),
                ("TASK_MANAGER_NUMBER_OF_TASK_SLOTS", "3"),
            ]
        ),
        "taskmanager.sh start-foreground\nin a copy\n\
         jobmanager.rpc.address: a-sc-jobmanager\n\
         taskmanager.numberOfTaskSlots: 3\n\
         rest.port: 9091\n\
         env.java.opts.all: -Da=b -Dc=d:e\n"
    );
    assert_eq!(home.untouched("config.yaml"), SETTINGS.trim_end());
}

#[test]
fn a_key_is_replaced_not_its_longer_namesake() {
    let settings =
        "jobmanager.rpc.address: old\nrest.port: 1\nrestXport: 2\nrest.port.range: 3\na/b[1]: 4\n";
    let home = Home::new(&[("config.yaml", settings)]);
    let printed = home.prints(
        &["jobmanager"],
        &[
            ("FLINK_PROPERTIES", "rest.port: 9\na/b[1]: 5"),
            ("JOB_MANAGER_RPC_ADDRESS", "new"),
        ],
    );
    assert!(
        printed.ends_with(
            "in a copy\nrestXport: 2\nrest.port.range: 3\njobmanager.rpc.address: new\nrest.port: 9\na/b[1]: 5\n"
        ),
        "{printed}"
    );
}

#[test]
fn without_an_address_it_is_this_host() {
    let home = Home::new(&[("config.yaml", "rest.port: 8081\n")]);
    let host = Command::new("hostname").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    assert_eq!(
        home.prints(&["jobmanager"], &[]),
        format!(
            "jobmanager.sh start-foreground\nin a copy\nrest.port: 8081\njobmanager.rpc.address: {host}"
        )
    );
}

#[test]
fn what_cannot_be_started_says_why() {
    let home = Home::new(&[]);
    let output = home.run(&["jobmanager"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!(
            "docker-entrypoint.sh: there is neither flink-conf.yaml nor config.yaml in {}/conf\n",
            home.0.path().display()
        )
    );
    let home = Home::new(&[("config.yaml", SETTINGS)]);
    let output = home.run(&["jobmanager"], &[("FLINK_PROPERTIES", "rest.port=8081")]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "docker-entrypoint.sh: FLINK_PROPERTIES: not a \"key: value\" line: rest.port=8081\n"
    );
}

#[test]
fn anything_else_is_run_as_it_stands() {
    // An init container copies jars of the image with it.
    let home = Home::new(&[]);
    assert_eq!(home.prints(&["echo", "two  words"], &[]), "two  words\n");
    assert_eq!(
        home.run(&["sh", "-c", "exit 7"], &[]).status.code(),
        Some(7)
    );
    assert!(
        home.prints(&["help"], &[])
            .contains("jobmanager | taskmanager | standalone-job")
    );
    assert_eq!(home.prints(&[], &[]), home.prints(&["help"], &[]));
}
