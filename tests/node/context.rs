//! `sluice up --context NAME`: Sluice in a cluster that is there already, with nodes and without.

use crate::{AlonePromise, submission};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sluice_cluster::image::{self, Image};
use sluice_cluster::{
    Assets, AssetsCache, Binary, Cluster, ClusterOptions, ControllerManager, HostTools, NodeOptions,
};
use sluice_tests::{FlinkParts, Helm, eventually, sluice_binary};
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

pub const PROMISES: &[AlonePromise] = &[
    ("context::where_pods_run_the_gate_stands", installs),
    ("context::where_no_pod_runs_it_says_so_in_time", no_node),
    ("context::a_context_that_leads_nowhere_is_told", nowhere),
];

/// A cluster without Sluice.
pub struct Bare {
    runtime: tokio::runtime::Runtime,
    cluster: Option<Cluster>,
}

impl Bare {
    fn start(
        needed: &[Binary],
        with: impl AsyncFnOnce(ClusterOptions) -> Result<ClusterOptions>,
    ) -> Result<Self> {
        let runtime = tokio::runtime::Runtime::new()?;
        let cluster = runtime.block_on(async {
            let assets = Assets::obtain(&AssetsCache::Default, needed).await?;
            let options = ClusterOptions::new(assets).controller_manager(ControllerManager::Run);
            Ok::<_, anyhow::Error>(Cluster::start(with(options).await?).await?)
        })?;
        Ok(Self {
            runtime,
            cluster: Some(cluster),
        })
    }

    pub fn kubeconfig(&self) -> Result<std::path::PathBuf> {
        Ok(self
            .cluster
            .as_ref()
            .context("it was stopped")?
            .kubeconfig())
    }

    pub fn kubectl(&self, arguments: &[&str]) -> Result<Output> {
        let cluster = self.cluster.as_ref().context("it was stopped")?;
        Ok(Command::new(cluster.kubectl())
            .env("KUBECONFIG", cluster.kubeconfig())
            .args(arguments)
            .output()?)
    }

    pub fn apply(&self, manifest: &Value) -> Result<()> {
        self.written("apply", manifest)
    }

    fn written(&self, verb: &str, manifest: &Value) -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), manifest.to_string())?;
        let path = file.path().to_str().context("a path in Unicode")?;
        let applied = self.kubectl(&[verb, "-f", path])?;
        ensure!(applied.status.success(), "{}", text(&applied.stderr));
        Ok(())
    }

    fn stop(mut self) -> Result<()> {
        match self.cluster.take() {
            Some(cluster) => Ok(self.runtime.block_on(cluster.stop())?),
            None => Ok(()),
        }
    }
}

fn install(kubeconfig: &Path, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(sluice_binary()?)
        .env("KUBECONFIG", kubeconfig)
        .args(["up", "--context"])
        .args(arguments)
        .output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn installs() -> Result<()> {
    if !sluice_tests::real_node() {
        return Ok(());
    }
    // Without them all but the submission is tried.
    let flink = sluice_tests::flink_parts("1.20".parse()?);
    let binary = sluice_binary()?;
    let bare = Bare::start(Binary::WITH_NODE, async |options| {
        let image: Image = image::sluice(&AssetsCache::Default, &binary).await?;
        let mut node = NodeOptions::new(HostTools::obtain().await?).image(image.path());
        if let Some(flink) = &flink {
            node = node.image(flink.image.path());
        }
        Ok(options.node(node))
    })?;
    let kubeconfig = bare.kubeconfig()?;
    let began = Instant::now();
    let output = install(&kubeconfig, &["sluice"])?;
    let said = text(&output.stderr);
    ensure!(output.status.success(), "{said}");
    ensure!(
        said.contains("Sluice answers for every namespace"),
        "{said}"
    );
    eprintln!("installed into a cluster after {:.1?}", began.elapsed());

    bare.apply(&json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "metadata": {"name": "a"},
        "spec": {"state": "STOPPED", "flinkVersion": "1.20"},
    }))?;
    let stored = bare.kubectl(&[
        "get",
        "fsc",
        "a",
        "-o",
        "jsonpath={.spec.numberOfTaskManagers}",
    ])?;
    ensure!(
        !stored.stdout.is_empty(),
        "the pods' webhook has filled in nothing"
    );

    // Again is an update, and finds everything in place.
    let output = install(&kubeconfig, &["sluice", "--replicas", "1"])?;
    ensure!(output.status.success(), "{}", text(&output.stderr));
    charted(&bare, &binary, flink.as_ref())?;
    bare.stop()
}

/// Whoever has Kubernetes' own role `edit` in a namespace: Flink there is his, quotas are not.
fn editors_may_run_flink(bare: &Bare) -> Result<()> {
    let bound = bare.kubectl(&[
        "create",
        "rolebinding",
        "anna",
        "--clusterrole=edit",
        "--user=anna",
    ])?;
    ensure!(bound.status.success(), "{}", text(&bound.stderr));
    let may = |verb: &str, resource: &str, part: &str| -> Result<bool> {
        let part = format!("--subresource={part}");
        let who = ["--as=anna", "-n", "default"];
        let asked =
            bare.kubectl(&[&["auth", "can-i", verb, resource, &part], &who[..]].concat())?;
        Ok(asked.status.success())
    };
    // The controller manager puts such roles together.
    eventually(Duration::from_mins(1), || {
        ensure!(may("create", "sessionclusters.sluice.dev", "")?, "not yet");
        Ok(())
    })?;
    ensure!(may("patch", "deployments.sluice.dev", "scale")?);
    ensure!(may("get", "cpuquotas.sluice.dev", "")?);
    for (resource, part) in [
        ("cpuquotas.sluice.dev", ""),
        ("deploymentdefaults.sluice.dev", ""),
        ("sessionclusters.sluice.dev", "status"),
    ] {
        ensure!(!may("update", resource, part)?, "{resource}/{part}");
    }
    Ok(())
}

/// The same pods as a release of helm: taken over, put to work, tried by `helm test`, split, removed.
fn charted(bare: &Bare, binary: &Path, flink: Option<&FlinkParts>) -> Result<()> {
    let kubeconfig = bare.kubeconfig()?;
    let assets = bare
        .runtime
        .block_on(Assets::obtain(&AssetsCache::Default, &[Binary::Helm]))?;
    let chart = Helm::chart()?;
    let release = Helm::new(&assets, &kubeconfig)?;
    let began = Instant::now();
    let helm = |arguments: &[&str]| -> Result<String> {
        let out = release.run(arguments)?;
        eprintln!("helm {}: {:.1?}", arguments[0], began.elapsed());
        Ok(out)
    };
    let doctor = || -> Result<()> {
        let output = Command::new(binary)
            .args(["doctor", "--wait", "--timeout", "300"])
            .env("KUBECONFIG", &kubeconfig)
            .output()?;
        let said = text(&output.stdout);
        ensure!(output.status.success(), "{said}{}", text(&output.stderr));
        // Pods are reached from this machine, so their certificates are looked at too.
        ensure!(said.contains("ok       certificate"), "{said}");
        Ok(())
    };
    let upgrade = [
        "upgrade",
        "--install",
        "sluice",
        chart,
        "--wait",
        "--timeout",
        "8m",
    ];
    // What `up --context` applied has its name as an owner for good, so each later change of helm's takes by force.
    let upgrade = [&upgrade[..], &["--force-conflicts"]].concat();
    // What is served on this machine has an address that only an admin may let jars be fetched from.
    let here = [
        "--set",
        "controller.allowLocalFetch=true",
        "--set",
        "rbac.aggregateClusterRoles=true",
    ];
    helm(&[&upgrade[..], &["--take-ownership"], &here[..]].concat())?;
    editors_may_run_flink(bare)?;
    doctor()?;
    if let Some(flink) = flink {
        submission::from_the_controllers_pod(bare, flink)?;
    }
    let tested = helm(&["test", "sluice", "--timeout", "5m"])?;
    ensure!(tested.contains("Succeeded"), "{tested}");
    hand_over(bare)?;
    helm(&[&upgrade[..], &["--set", "controller.placement=deployment"]].concat())?;
    doctor()?;
    let containers = "jsonpath={.spec.template.spec.containers[*].name}";
    let left = bare.kubectl(&[
        "get",
        "-n",
        "sluice-system",
        "deploy/sluice",
        "-o",
        containers,
    ])?;
    ensure!(text(&left.stdout) == "webhook", "{}", text(&left.stdout));
    helm(&["uninstall", "sluice", "--wait", "--timeout", "5m"])?;
    // Pods end in their own time; and what they made must not come back while they end.
    eventually(Duration::from_mins(3), || {
        let left = bare.kubectl(&[
            "get",
            "all,secrets,leases,configmaps",
            "-n",
            "sluice-system",
            "-o",
            "name",
        ])?;
        let left = text(&left.stdout);
        let left: Vec<&str> = left
            .lines()
            .filter(|name| name.contains("sluice"))
            .collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    })?;
    eprintln!("nothing left: {:.1?}", began.elapsed());
    let stored = bare.kubectl(&["get", "fsc", "a", "-o", "name"])?;
    ensure!(stored.status.success(), "{}", text(&stored.stderr));
    Ok(())
}

/// What `up --context` has written belongs to helm alone from now on, as docs/install.md tells: else the sidecar would stay beside the
/// controller that runs apart.
fn hand_over(bare: &Bare) -> Result<()> {
    let there = bare.kubectl(&[
        "get",
        "-n",
        "sluice-system",
        "deploy/sluice",
        "-o",
        "json",
        "--show-managed-fields",
    ])?;
    let mut there: Value = serde_json::from_slice(&there.stdout)?;
    let owners = there["metadata"]["managedFields"]
        .as_array_mut()
        .context("no owners")?;
    let before = owners.len();
    owners.retain(|owner| owner["manager"] != "sluice");
    ensure!(owners.len() + 1 == before, "{owners:#?}");
    bare.written("replace", &there)
}

fn no_node() -> Result<()> {
    if !sluice_tests::control_plane() {
        return Ok(());
    }
    let bare = Bare::start(Binary::ALL, async |options| Ok(options))?;
    let began = Instant::now();
    let output = install(&bare.kubeconfig()?, &["sluice", "--timeout", "5"])?;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    ensure!(
        said.contains("no pod of Sluice runs in context sluice after 5s"),
        "{said}"
    );
    ensure!(said.contains("no scheduler has given it a node"), "{said}");
    ensure!(said.contains("the webhooks are not registered"), "{said}");
    // That it ends by itself; how fast depends on what else the machine does.
    ensure!(
        began.elapsed() < Duration::from_mins(4),
        "{:?}",
        began.elapsed()
    );
    let registered = bare.kubectl(&["get", "validatingwebhookconfigurations", "-o", "name"])?;
    assert_eq!(
        text(&registered.stdout),
        "",
        "nobody answers, so nobody may be asked"
    );
    let crds = bare.kubectl(&["get", "crd", "sessionclusters.sluice.dev", "-o", "name"])?;
    ensure!(crds.status.success(), "{}", text(&crds.stderr));
    bare.stop()
}

fn nowhere() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(
        file.path(),
        "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'https://127.0.0.1:9'}}], users: [{name: u, \
         user: {token: t}}], contexts: [{name: nobody, context: {cluster: c, user: u}}]}",
    )?;
    let output = install(file.path(), &["other"])?;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    ensure!(said.contains("no such context; it has nobody"), "{said}");
    let output = install(file.path(), &["nobody"])?;
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    ensure!(
        said.contains("https://127.0.0.1:9/ does not answer"),
        "{said}"
    );
    let output = install(file.path(), &["nobody", "--node"])?;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    Ok(())
}
