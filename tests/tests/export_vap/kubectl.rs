//! kubectl as an administrator of a bare API server has it.

use crate::Row;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub struct Kubectl {
    pub binary: PathBuf,
    pub kubeconfig: PathBuf,
}

pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Kubectl {
    pub fn run(&self, arguments: &[&str], input: &str) -> Said {
        let mut child = Command::new(&self.binary)
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .arg("--request-timeout=30s")
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub fn must(&self, arguments: &[&str], input: &str) -> String {
        let said = self.run(arguments, input);
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Stores an object with its status, whatever any webhook would say.
    pub fn store(&self, object: &Value) {
        let (kind, name) = (
            &object["kind"],
            object["metadata"]["name"].as_str().unwrap(),
        );
        let namespace = object["metadata"]["namespace"].as_str().unwrap();
        self.must(&["create", "-f", "-"], &object.to_string());
        if let Some(status) = object.get("status") {
            let patch = json!({ "status": status }).to_string();
            let what = format!("{}/{name}", kind.as_str().unwrap());
            self.must(
                &[
                    "patch",
                    "-n",
                    namespace,
                    &what,
                    "--subresource=status",
                    "--type=merge",
                    "-p",
                    &patch,
                ],
                "",
            );
        }
    }

    pub fn get(&self, row: &Row) -> Value {
        let json = self.must(&["get", "-n", row.namespace, row.what, "-o", "json"], "");
        serde_json::from_str(&json).unwrap()
    }

    /// Tries a change; the object stays as it is.
    pub fn change(&self, row: &Row) -> Said {
        let patch = row.patch.to_string();
        self.run(
            &[
                "patch",
                "-n",
                row.namespace,
                row.what,
                "--type=merge",
                "--dry-run=server",
                "-p",
                &patch,
            ],
            "",
        )
    }
}
