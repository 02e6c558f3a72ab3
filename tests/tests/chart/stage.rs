//! helm, and a control plane to install into: what runs in place of pods has the rights of the service accounts that the chart made.

use serde_json::{Value, json};
use sluice_cluster::{
    Assets, Binary, Cluster, ClusterOptions, ControllerManager, Process, ProcessSpec,
};
use sluice_tests::sluice_binary;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub const SYSTEM: &str = "sluice-system";
pub const SOON: Duration = Duration::from_secs(90);

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn chart() -> PathBuf {
    repository().join("charts/sluice")
}

/// What a program came to.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Said {
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    #[track_caller]
    pub fn refused(self) -> String {
        assert_ne!(self.code, 0, "{}", self.out);
        self.err
    }
}

pub fn run(mut command: Command, input: &str) -> Said {
    use std::io::Write;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// helm with a home of its own; without a cluster unless there is a kubeconfig.
pub struct Helm {
    pub binary: PathBuf,
    home: tempfile::TempDir,
    pub kubeconfig: Option<PathBuf>,
}

impl Helm {
    pub fn new(assets: &Assets, kubeconfig: Option<PathBuf>) -> Self {
        Self {
            binary: assets.path(Binary::Helm),
            home: tempfile::tempdir().unwrap(),
            kubeconfig,
        }
    }

    pub fn run(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.binary);
        command
            .args(arguments)
            .env("HELM_CACHE_HOME", self.home.path().join("cache"))
            .env("HELM_CONFIG_HOME", self.home.path().join("config"))
            .env("HELM_DATA_HOME", self.home.path().join("data"))
            .env(
                "KUBECONFIG",
                self.kubeconfig
                    .as_deref()
                    .unwrap_or(Path::new("/nonexistent")),
            );
        run(command, "")
    }

    /// What the chart renders with these values.
    pub fn template(&self, values: &[&str]) -> Said {
        let chart = chart();
        let mut arguments = vec!["template", "sluice", chart.to_str().unwrap(), "-n", SYSTEM];
        for value in values {
            arguments.extend(["--set", value]);
        }
        self.run(&arguments)
    }
}

pub fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n")
        .map(|document| serde_saphyr::from_str::<Value>(document).unwrap())
        .filter(|document| !document.is_null())
        .collect()
}

#[track_caller]
pub fn find<'a>(all: &'a [Value], kind: &str, name: &str) -> &'a Value {
    all.iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

pub async fn helm() -> Option<Assets> {
    Assets::for_tests(&[Binary::Helm]).await.unwrap()
}

/// A control plane, kubectl, helm, and what runs in place of pods.
pub struct Stage {
    pub cluster: Cluster,
    pub helm: Helm,
    pub sluice: PathBuf,
    pub dir: tempfile::TempDir,
}

impl Stage {
    pub async fn set() -> Option<Self> {
        Self::set_with(|options| options).await
    }

    /// One where Deployments have pods, on no node, and where what is deleted takes along what it owns.
    pub async fn set_with_pods() -> Option<Self> {
        Self::set_with(|options| options.controller_manager(ControllerManager::Run)).await
    }

    async fn set_with(change: impl FnOnce(ClusterOptions) -> ClusterOptions) -> Option<Self> {
        let needed = [Binary::ALL, &[Binary::Helm]].concat();
        let assets = Assets::for_tests(&needed).await.unwrap()?;
        let options = change(ClusterOptions::new(assets.clone()));
        let cluster = Cluster::start(options).await.unwrap();
        let helm = Helm::new(&assets, Some(cluster.kubeconfig()));
        Some(Self {
            cluster,
            helm,
            sluice: sluice_binary().unwrap(),
            dir: tempfile::tempdir().unwrap(),
        })
    }

    pub fn kubectl(&self, arguments: &[&str], input: &str) -> Said {
        let mut command = Command::new(self.cluster.kubectl());
        command
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments);
        run(command, input)
    }

    /// Runs lines of a page as whoever reads it would, with kubectl and helm in the PATH; none of them may wait for ever.
    pub fn shell(&self, lines: &str) -> Said {
        let programs = self.dir.path().join("programs");
        if !programs.exists() {
            std::fs::create_dir(&programs).unwrap();
            for (name, program) in [
                ("kubectl", self.cluster.kubectl()),
                ("helm", self.helm.binary.clone()),
            ] {
                std::os::unix::fs::symlink(program, programs.join(name)).unwrap();
            }
        }
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("timeout");
        command
            .args(["180", "sh", "-c", lines])
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .env("HOME", self.dir.path())
            .env("PATH", format!("{}:{path}", programs.display()));
        run(command, "")
    }

    pub fn get(&self, what: &str) -> Value {
        serde_json::from_str(
            &self
                .kubectl(&["get", what, "-n", SYSTEM, "-o", "json"], "")
                .ok(),
        )
        .unwrap()
    }

    pub fn sluice(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(&self.sluice);
        command
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .args(arguments);
        run(command, "")
    }

    /// A process of Sluice as a pod would run it: with the service account's rights and no others.
    pub fn pod(&self, account: &str, arguments: &[&str]) -> Process {
        let token = self
            .kubectl(&["create", "token", account, "-n", SYSTEM], "")
            .ok();
        let kubeconfig = self.dir.path().join(format!("{}.kubeconfig", arguments[0]));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "pod",
            "clusters": [{"name": "pod", "cluster": {"server": self.cluster.server_url(), "certificate-authority": self.cluster.ca_cert()}}],
            "users": [{"name": "pod", "user": {"token": token.trim()}}],
            "contexts": [{"name": "pod", "context": {"cluster": "pod", "user": "pod", "namespace": SYSTEM}}],
        });
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        let log = self.dir.path().join(format!("{}.log", arguments[0]));
        Process::spawn(
            ProcessSpec::new(arguments[0], &self.sluice, log)
                .args(arguments.iter().copied())
                .arg("--kubeconfig")
                .arg(&kubeconfig),
        )
        .unwrap()
    }
}
