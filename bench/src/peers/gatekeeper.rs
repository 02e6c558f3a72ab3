//! Gatekeeper outside a cluster: one process on loopback with its own CRDs and webhook configurations, which are read
//! from its Go module and changed only in where they lead and what they select.

use super::install::create;
use super::policy::{self, documents};
use crate::stage::{Side, Stage, leaf};
use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use sluice_cluster::{
    Assets, AssetsCache, Binary, OnParentDeath, Process, ProcessSpec, free_loopback_port,
};
use std::ffi::OsString;
use std::path::PathBuf;

/// The namespace that its own objects live in.
const HOME: &str = "gatekeeper-system";
const MODULE: &str = "github.com/open-policy-agent/gatekeeper/v3";
/// CPU that the quota of the comparison allows: as much as Sluice's.
const QUOTA_CPU: u32 = 1_000_000;

/// Builds it, if it is not in the cache.
pub async fn build() -> anyhow::Result<Assets> {
    Ok(Assets::obtain(&AssetsCache::Default, &[Binary::Gatekeeper]).await?)
}

/// Starts it and gives it its rules and defaults.
pub async fn start(stage: &mut Stage) -> anyhow::Result<()> {
    let assets = build().await?;
    let folder = stage.folder().join("gatekeeper");
    std::fs::create_dir(&folder)?;
    let (authority, ..) = leaf(&folder)?;
    let (port, health, metrics) = (
        free_loopback_port()?,
        free_loopback_port()?,
        free_loopback_port()?,
    );

    let manifests = documents(&std::fs::read_to_string(manifests().await?)?)?;
    let of = |kind: &'static str| {
        manifests
            .iter()
            .filter(move |document| document.get("kind").and_then(Value::as_str) == Some(kind))
            .cloned()
    };
    // It learns of kinds at its start.
    for document in of("Namespace").chain(of("CustomResourceDefinition")) {
        create(stage, document).await?;
    }

    // What its Deployment says but for audit, which would only cost it. Rules' CRDs are made by `generate`.
    let arguments = [
        format!("--port={port}"),
        "--host=127.0.0.1".to_owned(),
        format!("--health-addr=127.0.0.1:{health}"),
        format!("--prometheus-port={metrics}"),
        format!("--cert-dir={}", folder.display()),
        "--disable-cert-rotation".to_owned(),
        "--debug-use-fake-pod".to_owned(),
        "--operation=webhook".to_owned(),
        "--operation=mutation-webhook".to_owned(),
        "--operation=generate".to_owned(),
        format!("--exempt-namespace={HOME}"),
        "--disable-opa-builtin={http.send}".to_owned(),
        "--shutdown-delay=0".to_owned(),
    ];
    let log = stage.folder().join("gatekeeper.log");
    let spec = ProcessSpec::new("gatekeeper", assets.path(Binary::Gatekeeper), log)
        .args(arguments.map(OsString::from))
        .env("KUBECONFIG", stage.kubeconfig())
        .env("POD_NAMESPACE", HOME)
        .env("POD_NAME", "gatekeeper")
        .on_parent_death(OnParentDeath::Terminate);
    stage.joined_by(Process::spawn(spec)?);

    for document in policy::gator(None)? {
        create(stage, document).await?;
    }
    let registrations =
        of("MutatingWebhookConfiguration").chain(of("ValidatingWebhookConfiguration"));
    for document in registrations {
        create(stage, led_to(document, port, &authority)?).await?;
    }
    Ok(())
}

/// Gives it the limit on the sum, and the copy of every FlinkDeployment that the sum is made of. Only once the rules are
/// measured: an installation with rules alone keeps no copy, and does not pay for one.
pub async fn limit(stage: &Stage) -> anyhow::Result<()> {
    let namespace = Side::GatekeeperQuota.namespace();
    for document in policy::gatekeeper_quota(QUOTA_CPU, Some(namespace))? {
        create(stage, document).await?;
    }
    Ok(())
}

/// Its registration, leading to loopback, and for what the other sides are asked about, too: this kind, these
/// namespaces, the same patience and failure policy.
fn led_to(mut registration: Value, port: u16, authority: &str) -> anyhow::Result<Value> {
    let entries = registration
        .get_mut("webhooks")
        .and_then(Value::as_array_mut)
        .context("a webhook configuration without webhooks")?;
    entries.retain(|entry| {
        entry.get("name").and_then(Value::as_str) != Some("check-ignore-label.gatekeeper.sh")
    });
    for entry in entries {
        let path = entry
            .pointer("/clientConfig/service/path")
            .and_then(Value::as_str)
            .context("a webhook without a path")?
            .to_owned();
        let namespaces = Side::namespaces(Side::is_gatekeepers);
        for (key, value) in [
            (
                "clientConfig",
                json!({"url": format!("https://127.0.0.1:{port}{path}"), "caBundle": authority}),
            ),
            (
                "namespaceSelector",
                json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}]}),
            ),
            (
                "rules",
                json!([{
                    "apiGroups": ["flink.apache.org"], "apiVersions": ["v1beta1"], "resources": ["flinkdeployments"],
                    "operations": ["CREATE", "UPDATE"], "scope": "Namespaced",
                }]),
            ),
            ("failurePolicy", json!("Fail")),
            ("timeoutSeconds", json!(5)),
        ] {
            policy::set(entry, "", key, value);
        }
    }
    Ok(registration)
}

/// The manifest that its project installs it with, in the very module that the binary was built from.
async fn manifests() -> anyhow::Result<PathBuf> {
    let module = format!("{MODULE}@v{}", Binary::Gatekeeper.version());
    let done = tokio::process::Command::new("go")
        .args(["mod", "download", "-json", &module])
        .env("GOWORK", "off")
        .output()
        .await
        .context("asking Go for Gatekeeper's module")?;
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap_or_default();
    let Some(folder) = answer.get("Dir").and_then(Value::as_str) else {
        let reason = answer.get("Error").and_then(Value::as_str).map_or_else(
            || String::from_utf8_lossy(&done.stderr).into_owned(),
            str::to_owned,
        );
        bail!("go mod download {module}: {reason}");
    };
    Ok(PathBuf::from(folder).join("deploy/gatekeeper.yaml"))
}
