//! `sluice quota`, `doctor` and `emergency` on a real installation: what they print, and what they do when things are broken for real.
//! What the docs show is run here; a command that they do not show fails. One test, so that the control plane is started once; its
//! steps are in the modules.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

mod emergency;
mod quotas;
mod rights;
mod running;
mod stored;
mod wellness;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sluice_tests::{Gate, Kubectl, sluice_binary};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(90);

/// A part of the test; those before `emergency` mend what they have broken.
type Step = fn(&Stage, &Kubectl);

struct Said {
    code: i32,
    out: String,
    err: String,
}

struct Stage {
    gate: Gate,
    sluice: PathBuf,
}

impl Stage {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.sluice);
        command
            .env("KUBECONFIG", self.gate.kubeconfig())
            .args(arguments);
        command
    }

    /// Runs a line as it is documented, or its first words are.
    fn sluice(&self, line: &str) -> Said {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        self.sluice_with(&arguments)
    }

    fn sluice_with(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// A line that stands in the docs.
    #[track_caller]
    fn documented(&self, line: &str) -> Said {
        assert!(
            docs().contains(&format!("sluice {line}\n")),
            "the docs do not show: sluice {line}"
        );
        self.sluice(line)
    }

    /// Whether `doctor` has this one complaint, with this remedy.
    fn complaint(&self, what: &str, remedy: &str) -> Result<()> {
        let Said { code, out, err } = self.sluice("doctor");
        ensure!(code == 1, "{what}: exit code {code}: {out}{err}");
        let wrong: Vec<&str> = out
            .lines()
            .filter(|line| line.starts_with("WRONG"))
            .collect();
        ensure!(wrong.len() == 1, "one complaint, the first: {out}");
        ensure!(wrong[0].contains(what), "{what}: {out}");
        let last = out.lines().last().unwrap_or_default();
        ensure!(last.contains(remedy), "{remedy}: {out}");
        Ok(())
    }

    #[track_caller]
    fn complains(&self, what: &str, remedy: &str) {
        self.complaint(what, remedy).unwrap();
    }

    #[track_caller]
    fn recovers(&self) {
        let said = self.sluice("doctor --wait --timeout 90");
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    }

    /// A kubeconfig of whoever the ServiceAccount `default` of a namespace is; without bindings he may do nothing.
    fn somebody(&self, namespace: &str) -> String {
        let kubectl = self.gate.kubectl().in_namespace(namespace);
        let made = kubectl.run(&["create", "token", "default"]).unwrap();
        let token = made.admitted().unwrap().stdout;
        let text = std::fs::read_to_string(self.gate.kubeconfig()).unwrap();
        let mut config: Value = serde_saphyr::from_str(&text).unwrap();
        for user in config["users"].as_array_mut().unwrap() {
            user["user"] = json!({"token": token.trim()});
        }
        self.file(&format!("somebody-{namespace}.yaml"), &config.to_string())
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.gate.scratch().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

fn docs() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    ["README.md", "docs/operate.md"]
        .map(|name| std::fs::read_to_string(root.join(name)).unwrap())
        .concat()
}

fn cluster(name: &str, managers: u32) -> String {
    format!(
        "{{apiVersion: sluice.dev/v1alpha1, kind: SessionCluster, metadata: {{name: {name}, namespace: team-a}}, spec: {{state: RUNNING, \
         flinkVersion: '1.20', numberOfTaskManagers: {managers}}}}}"
    )
}

#[test]
fn quotas_are_shown_broken_things_are_named_and_the_cluster_is_given_back() {
    if !sluice_tests::control_plane() {
        return;
    }
    // Who is dead stays dead.
    let gate = Gate::up(&["--restart", "never"]).unwrap();
    let stage = Stage {
        gate,
        sluice: sluice_binary().unwrap(),
    };
    let kubectl = stage.gate.kubectl().in_namespace("team-a");
    let steps: [(&str, Step); 17] = [
        ("wellness", wellness::all_is_well),
        ("quotas", quotas::are_shown),
        ("quotas that are shared", quotas::are_shared),
        ("quotas tried first", quotas::are_tried_first),
        ("quotas seen by a team", rights::of_a_team),
        ("quotas watched", quotas::are_watched),
        ("CRDs", stored::crds),
        ("registrations", stored::registrations),
        ("caBundles", stored::bundles),
        ("guards", stored::guards),
        ("the backstop", stored::backstop),
        ("a controller that hangs", running::a_controller_that_hangs),
        (
            "a controller that keeps the ledger only",
            running::a_controller_that_keeps_the_ledger_only,
        ),
        ("a webhook that hangs", running::a_webhook_that_hangs),
        ("emergency", emergency::gives_the_cluster_back),
        ("emergency by hand", emergency::works_by_hand),
        (
            "emergency without registrations",
            emergency::has_nothing_to_do_where_nothing_is,
        ),
    ];
    for (name, step) in steps {
        let began = Instant::now();
        step(&stage, &kubectl);
        eprintln!("{name}: {:.1} s", began.elapsed().as_secs_f64());
    }
    assert_eq!(stage.gate.down().unwrap(), Some(0));
}
