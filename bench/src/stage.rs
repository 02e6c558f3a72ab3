//! The stage: `sluice up` from a release build, a do-nothing pair of webhooks beside it, one namespace for each side.
//!
//! Every side has a namespace of its own and the registrations select by namespace, so that nothing is reconfigured
//! between the rounds: the sides meet the same API server, minutes of the day and neighbours.

use crate::load::ApiServer;
pub use crate::side::Side;
use crate::usage;
use anyhow::{Context as _, bail};
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Client, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sluice_cluster::{OnParentDeath, Process, ProcessSpec, free_loopback_port};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Everything that runs.
pub struct Stage {
    /// For what is not measured.
    pub client: Client,
    /// For what is.
    pub api_server: Arc<ApiServer>,
    /// Which CRD of FlinkDeployment is installed, for people.
    pub crd: String,
    data_dir: PathBuf,
    noop: Process,
    up: Process,
    /// Peers that were started on this stage.
    peers: Vec<Process>,
    folder: tempfile::TempDir,
}

/// How long anything of the set-up may take.
const PATIENCE: Duration = Duration::from_mins(3);

impl Stage {
    /// Builds the binaries, starts all of it, and waits until every side is ready.
    pub async fn set() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let sluice = build_sluice()?;
        let noop_binary = build_noop(folder.path())?;
        let (crd_path, crd) = crd(folder.path())?;

        let data_dir = folder.path().join("data");
        let (up, kubeconfig) = sluice_up(&sluice, folder.path(), &crd_path, 1).await?;
        let client = client(&kubeconfig).await?;

        let port = free_loopback_port()?;
        let (authority, certificate, key) = leaf(folder.path())?;
        let spec = ProcessSpec::new("noop-webhook", noop_binary, folder.path().join("noop.log"))
            .args([
                OsString::from("--listen"),
                format!("127.0.0.1:{port}").into(),
            ])
            .args([OsString::from("--cert"), certificate.into()])
            .args([OsString::from("--key"), key.into()]);
        let noop = Process::spawn(spec)?;

        let stage = Self {
            api_server: Arc::new(ApiServer::of(&kubeconfig).await?),
            client,
            crd,
            data_dir,
            noop,
            up,
            peers: Vec::new(),
            folder,
        };
        stage.namespaces().await?;
        stage.register_noop(port, &authority).await?;
        stage.confine_sluice().await?;
        stage.quotas().await?;
        Ok(stage)
    }

    /// Ends it all.
    pub async fn strike(self) {
        self.up.stop(Duration::from_secs(20)).await;
        self.noop.stop(Duration::from_secs(2)).await;
        for peer in self.peers {
            peer.stop(Duration::from_secs(2)).await;
        }
    }

    /// A folder that goes with the stage.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig of its administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }

    /// Has a peer end with the stage, and be measured under its process's name.
    pub fn joined_by(&mut self, peer: Process) {
        self.peers.push(peer);
    }

    /// The process ids of `sluice up`'s children by name, and those of the do-nothing webhook and of peers.
    pub fn processes(&self) -> anyhow::Result<BTreeMap<String, u32>> {
        let text = std::fs::read_to_string(self.data_dir.join("processes.json"))
            .context("reading who runs under sluice up")?;
        let mut processes: BTreeMap<String, u32> = serde_json::from_str(&text)?;
        for process in self.peers.iter().chain([&self.noop]) {
            processes.insert(process.name().to_owned(), process.pid());
        }
        Ok(processes)
    }

    /// Removes all FlinkDeployments of the sides.
    pub async fn sweep(&self, sides: &[Side]) -> anyhow::Result<()> {
        for side in sides {
            let api = self.flink_deployments(*side);
            api.delete_collection(&DeleteParams::default(), &ListParams::default())
                .await
                .context("removing what was created")?;
        }
        Ok(())
    }

    /// Waits until all processes together take less than a fifth of a core for half a second, or for five seconds: who counts (after a pause of 200 ms),
    /// who watches, and garbage collectors go on after the last create or delete, and the side whose turn is next would pay for it.
    pub async fn settle(&self) -> anyhow::Result<()> {
        const LOOK: Duration = Duration::from_millis(100);
        const QUIET: usize = 5;
        let processes = self.processes()?;
        let used =
            || -> anyhow::Result<Duration> { processes.values().map(|pid| usage::cpu(*pid)).sum() };
        let (mut before, mut quiet) = (used()?, 0);
        for _ in 0..50 {
            tokio::time::sleep(LOOK).await;
            let now = used()?;
            let is_quiet = now.saturating_sub(before) < LOOK / 5;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet == QUIET {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// The objects of a side.
    pub fn flink_deployments(&self, side: Side) -> Api<DynamicObject> {
        let resource = resource(
            "flink.apache.org",
            "v1beta1",
            "FlinkDeployment",
            "flinkdeployments",
        );
        Api::namespaced_with(self.client.clone(), side.namespace(), &resource)
    }

    async fn namespaces(&self) -> anyhow::Result<()> {
        let api: Api<Namespace> = Api::all(self.client.clone());
        for side in Side::ALL {
            let namespace = from_json(json!({"metadata": {"name": side.namespace()}}))?;
            api.create(&PostParams::default(), &namespace).await?;
        }
        Ok(())
    }

    async fn register_noop(&self, port: u16, authority: &str) -> anyhow::Result<()> {
        let entry = |path: &str, namespaces: &[&str]| {
            json!({
                "name": format!("{path}.noop.bench.sluice.dev"),
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": format!("https://127.0.0.1:{port}/{path}"), "caBundle": authority},
                "rules": [{
                    "apiGroups": ["flink.apache.org"], "apiVersions": ["v1beta1"], "resources": ["flinkdeployments"],
                    "operations": ["CREATE", "UPDATE"], "scope": "Namespaced",
                }],
                "namespaceSelector": selector("In", namespaces),
                "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 5,
            })
        };
        let pair = Side::namespaces(Side::is_noops);
        let validated = Side::namespaces(|side| side.is_noops() || side == Side::InTreeOne);
        let mutating: MutatingWebhookConfiguration = from_json(
            json!({"metadata": {"name": "bench-noop"}, "webhooks": [entry("mutate", &pair)]}),
        )?;
        let validating: ValidatingWebhookConfiguration = from_json(
            json!({"metadata": {"name": "bench-noop"}, "webhooks": [entry("validate", &validated)]}),
        )?;
        let parameters = PostParams::default();
        Api::all(self.client.clone())
            .create(&parameters, &mutating)
            .await?;
        Api::all(self.client.clone())
            .create(&parameters, &validating)
            .await?;
        Ok(())
    }

    /// Keeps Sluice's own registration as it is, but for the namespaces of the other sides.
    async fn confine_sluice(&self) -> anyhow::Result<()> {
        self.confine(
            "MutatingWebhookConfiguration",
            "mutatingwebhookconfigurations",
        )
        .await?;
        self.confine(
            "ValidatingWebhookConfiguration",
            "validatingwebhookconfigurations",
        )
        .await
    }

    async fn confine(&self, kind: &str, plural: &str) -> anyhow::Result<()> {
        let resource = resource("admissionregistration.k8s.io", "v1", kind, plural);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let mut confined = 0;
        for mut stored in api.list(&ListParams::default()).await? {
            if stored.name_any() == "bench-noop" {
                continue;
            }
            let entries = stored
                .data
                .get_mut("webhooks")
                .and_then(Value::as_array_mut)
                .context("a webhook configuration without webhooks")?;
            for entry in entries {
                let expressions = entry
                    .pointer_mut("/namespaceSelector/matchExpressions")
                    .and_then(Value::as_array_mut)
                    .context("Sluice's registration has no namespaceSelector to confine")?;
                let others = Side::namespaces(|side| !side.is_sluices());
                expressions.push(expression("NotIn", &others));
                confined += 1;
            }
            let name = stored.name_any();
            api.replace(&name, &PostParams::default(), &stored).await?;
        }
        if confined == 0 {
            println!("NOTE: sluice up registered no {kind}; its side is not gated.");
        }
        Ok(())
    }

    async fn quotas(&self) -> anyhow::Result<()> {
        let count = "count/flinkdeployments.flink.apache.org";
        for side in [Side::InTree, Side::InTreeOne, Side::InTreeNoop] {
            let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), side.namespace());
            let quota = from_json(
                json!({"metadata": {"name": "count"}, "spec": {"hard": {count: "1000000000"}}}),
            )?;
            api.create(&PostParams::default(), &quota).await?;
            let attempt = AtomicU64::new(0);
            eventually("the in-tree quota counts", async || {
                let status = api.get("count").await?.status;
                let used = status
                    .and_then(|status| status.used)
                    .filter(|used| used.contains_key(count));
                // Its controller learns of new kinds twice a minute, and looks at a quota that it could not count only every five
                // minutes, or when its limit changes.
                let attempt = attempt.fetch_add(1, Ordering::Relaxed);
                if used.is_none() && attempt % 20 == 19 {
                    let limit = (1_000_000_000 + attempt).to_string();
                    let patch = Patch::Merge(json!({"spec": {"hard": {count: limit}}}));
                    api.patch("count", &PatchParams::default(), &patch).await?;
                }
                Ok(used)
            })
            .await?;
        }
        let resource = resource("sluice.dev", "v1alpha1", "CpuQuota", "cpuquotas");
        let api: Api<DynamicObject> = Api::namespaced_with(
            self.client.clone(),
            Side::SluiceQuota.namespace(),
            &resource,
        );
        let quota = from_json(json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "CpuQuota",
            "metadata": {"name": "bench"}, "spec": {"hard": {"cpu": 1_000_000}},
        }))?;
        api.create(&PostParams::default(), &quota).await?;
        let counted = eventually("the CpuQuota counts", async || {
            let stored = api.get("bench").await?;
            let observed = stored
                .data
                .pointer("/status/observedGeneration")
                .and_then(Value::as_i64);
            Ok((observed.is_some() && observed == stored.metadata.generation).then_some(()))
        });
        if !self.processes()?.contains_key("controller") {
            println!("NOTE: no controller runs; Sluice's quota is not counted.");
            return Ok(());
        }
        counted.await
    }
}

/// Starts `sluice up` in a folder, with so many webhooks, and waits until it is ready; also returns its kubeconfig.
pub async fn sluice_up(
    sluice: &Path,
    folder: &Path,
    crd: &Path,
    replicas: usize,
) -> anyhow::Result<(Process, PathBuf)> {
    let ready = folder.join("ready");
    let arguments: [OsString; 9] = [
        "up".into(),
        "--data-dir".into(),
        folder.join("data").into(),
        "--ready-file".into(),
        ready.clone().into(),
        "--crds".into(),
        crd.into(),
        "--replicas".into(),
        replicas.to_string().into(),
    ];
    let spec = ProcessSpec::new("sluice up", sluice, folder.join("up.log"))
        .args(arguments)
        .on_parent_death(OnParentDeath::Terminate);
    let up = Process::spawn(spec)?;
    let kubeconfig = eventually("sluice up is ready", async || {
        if let Some(status) = up.exit_status() {
            bail!("sluice up ended ({status}): {}", up.log_tail());
        }
        Ok(std::fs::read_to_string(&ready)
            .ok()
            .filter(|path| !path.trim().is_empty()))
    })
    .await?;
    Ok((up, PathBuf::from(kubeconfig.trim())))
}

/// Polls until there is a value.
pub async fn eventually<T>(
    what: &str,
    look: impl AsyncFn() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        match look().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) if Instant::now() > deadline => bail!("waited {PATIENCE:?} in vain: {what}"),
            Ok(None) => {}
            Err(error) => return Err(error.context(what.to_owned())),
        }
    }
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: format!("{group}/{version}"),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn from_json<T: DeserializeOwned>(value: Value) -> anyhow::Result<T> {
    serde_json::from_value(value).context("an object of the stage")
}

fn expression(operator: &str, namespaces: &[&str]) -> Value {
    json!({"key": "kubernetes.io/metadata.name", "operator": operator, "values": namespaces})
}

fn selector(operator: &str, namespaces: &[&str]) -> Value {
    json!({"matchExpressions": [expression(operator, namespaces)]})
}

/// A client as this kubeconfig says.
pub async fn client(kubeconfig: &Path) -> anyhow::Result<Client> {
    let read = kube::config::Kubeconfig::read_from(kubeconfig)?;
    let config =
        kube::Config::from_custom_kubeconfig(read, &kube::config::KubeConfigOptions::default())
            .await?;
    Ok(Client::try_from(config)?)
}

/// A certificate for 127.0.0.1 that signs itself: base64 of its PEM for the registration, and the two files.
pub fn leaf(folder: &Path) -> anyhow::Result<(String, PathBuf, PathBuf)> {
    let made =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
    let (certificate, key) = (folder.join("tls.crt"), folder.join("tls.key"));
    let pem = made.cert.pem();
    std::fs::write(&certificate, &pem)?;
    std::fs::write(&key, made.signing_key.serialize_pem())?;
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
    Ok((encoded, certificate, key))
}

/// The folder of this crate, for what lies beside it.
fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Builds the very binary that is shipped; it lands beside ours.
pub fn build_sluice() -> anyhow::Result<PathBuf> {
    let ours = std::env::current_exe()?;
    let folder = ours.parent().context("our own binary lies in no folder")?;
    let sluice = folder.join("sluice");
    if let Some(given) = std::env::var_os("SLUICE_BENCH_BINARY") {
        return Ok(PathBuf::from(given));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args(["build", "--release", "--package", "sluice"])
        .current_dir(here())
        .status()
        .context("building sluice")?;
    if !done.success() || !sluice.is_file() {
        bail!("sluice was not built to {}", sluice.display());
    }
    Ok(sluice)
}

/// Builds the do-nothing webhook into a folder.
pub fn build_noop(folder: &Path) -> anyhow::Result<PathBuf> {
    let binary = folder.join("noop-webhook");
    let done = Command::new("go")
        .args(["build", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(here().join("noop-webhook"))
        .status()
        .context("building the do-nothing webhook; Go must be installed")?;
    if !done.success() {
        bail!("the do-nothing webhook was not built");
    }
    Ok(binary)
}

/// The Apache operator's CRD where it lies beside the repository, else one that asks for nothing.
pub fn crd(folder: &Path) -> anyhow::Result<(PathBuf, String)> {
    let fixture =
        here().join("../../shared/fixtures/apache/crds/flinkdeployments.flink.apache.org-v1.yml");
    if fixture.is_file() {
        return Ok((fixture, "the Apache operator's own".to_owned()));
    }
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let minimal = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "flinkdeployments.flink.apache.org"},
        "spec": {
            "group": "flink.apache.org", "scope": "Namespaced",
            "names": {"kind": "FlinkDeployment", "plural": "flinkdeployments", "singular": "flinkdeployment", "shortNames": ["flinkdep"]},
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    });
    let path = folder.join("flinkdeployments.json");
    std::fs::write(&path, minimal.to_string())?;
    Ok((path, "a minimal one of this benchmark's".to_owned()))
}
