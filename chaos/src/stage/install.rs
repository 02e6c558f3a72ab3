//! Sluice's own manifests, applied without its Deployments, and the registration of three webhooks that share the names.

use super::{SYSTEM, eventually};
use anyhow::{Context as _, bail};
use kube::Client;
use serde_json::{Value, json};
use sluice_webhook::registration::{Address, Registration};
use std::path::Path;
use std::process::Command;

/// What an installation consists of, as the binary itself prints it.
pub(super) fn manifests(sluice: &Path) -> anyhow::Result<Vec<Value>> {
    let printed = Command::new(sluice)
        .arg("manifests")
        .output()
        .context("sluice manifests")?;
    let text = String::from_utf8(printed.stdout)?;
    text.split("\n---\n")
        .filter(|document| !document.trim().is_empty())
        .map(|document| serde_saphyr::from_str(document).context("sluice manifests"))
        .collect()
}

/// Its CRDs, accounts and rights, then the registration by URL; no Deployment: the processes are ours.
pub(super) async fn install(
    client: &Client,
    manifests: &[Value],
    urls: &[String],
) -> anyhow::Result<()> {
    let kinds = [
        "Namespace",
        "CustomResourceDefinition",
        "ServiceAccount",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
    ];
    for kind in kinds {
        for object in manifests
            .iter()
            .filter(|object| object.get("kind") == Some(&json!(kind)))
        {
            apply(client, object).await?;
        }
    }
    apply(client, &flink_deployments()?).await?;
    for path in [
        "sluice.dev/v1alpha1/cpuquotas",
        "sluice.dev/v1alpha1/clustercpuquotas",
        "sluice.dev/v1alpha1/deployments",
        "sluice.dev/v1alpha1/sessionclusters",
        "sluice.dev/v1alpha1/deploymentdefaults",
        "flink.apache.org/v1beta1/flinkdeployments",
    ] {
        eventually("the kinds are served", async || {
            let request = hyper::Request::get(format!("/apis/{path}"))
                .body(Vec::new())
                .map_err(|error| error.to_string())?;
            client
                .request::<Value>(request)
                .await
                .map(drop)
                .map_err(|error| format!("{path}: {error}"))
        })
        .await?;
    }
    for mut object in spread(urls)? {
        // Kinds as they are, whoever wrote them without.
        if object.get("kind").is_none() {
            bail!("a registration without its kind: {object}");
        }
        if let Some(status) = object.as_object_mut() {
            status.remove("status");
        }
        apply(client, &object).await?;
    }
    Ok(())
}

/// Both registrations, with an entry for each webhook. An API server keeps one HTTP/2 connection to a webhook's address, so with one
/// address one webhook would be asked everything for minutes. Several API servers ask several; here there is one, which asks each for
/// a share of the names, so that all three write to the same quotas at once.
fn spread(urls: &[String]) -> anyhow::Result<Vec<Value>> {
    let mut all: Vec<Value> = Vec::new();
    for (share, url) in urls.iter().enumerate() {
        let registration = Registration {
            address: Address::Url(url.clone()),
            excluded_namespaces: vec![SYSTEM.to_owned()],
        };
        let configurations = [
            serde_json::to_value(registration.mutating())?,
            serde_json::to_value(registration.validating())?,
        ];
        for (index, mut configuration) in configurations.into_iter().enumerate() {
            let entries = configuration.get_mut("webhooks");
            for entry in entries.and_then(Value::as_array_mut).into_iter().flatten() {
                let name = entry.get("name").and_then(Value::as_str);
                let name = format!("share-{share}.{}", name.unwrap_or_default());
                crate::objects::set(entry, &["name"], json!(name));
                let conditions = entry.get_mut("matchConditions");
                if let Some(conditions) = conditions.and_then(Value::as_array_mut) {
                    conditions
                        .push(json!({"name": "share", "expression": of_share(share, urls.len())}));
                }
            }
            match all
                .get_mut(index)
                .and_then(|one| one.get_mut("webhooks")?.as_array_mut())
            {
                Some(known) => {
                    let more = configuration
                        .get_mut("webhooks")
                        .and_then(Value::as_array_mut);
                    known.append(more.context("a registration without entries")?);
                }
                None => all.push(configuration),
            }
        }
    }
    Ok(all)
}

/// By the number at the end of the name; the first takes every other name too, quotas and defaults among them.
fn of_share(share: usize, shares: usize) -> String {
    let ends_in = |share: usize| {
        let digits: Vec<String> = (0..10)
            .filter(|digit| digit % shares == share)
            .map(|digit| format!("request.name.endsWith('{digit}')"))
            .collect();
        digits.join(" || ")
    };
    if share > 0 {
        return ends_in(share);
    }
    let others: Vec<String> = (1..shares)
        .map(|other| format!("!({})", ends_in(other)))
        .collect();
    others.join(" && ")
}

/// Apache's CRD where it lies beside the repository, else one that asks for nothing.
fn flink_deployments() -> anyhow::Result<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixture =
        folder.join("../../shared/fixtures/apache/crds/flinkdeployments.flink.apache.org-v1.yml");
    if let Ok(text) = std::fs::read_to_string(fixture) {
        return serde_saphyr::from_str(text.trim_start_matches("---")).context("Apache's CRD");
    }
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    Ok(json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "flinkdeployments.flink.apache.org"},
        "spec": {
            "group": "flink.apache.org", "scope": "Namespaced",
            "names": {"kind": "FlinkDeployment", "plural": "flinkdeployments", "singular": "flinkdeployment"},
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open, "status": open}}},
            }],
        },
    }))
}

/// Server-side apply.
pub(super) async fn apply(client: &Client, object: &Value) -> anyhow::Result<()> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (version, kind) = (
        text("/apiVersion").context("no apiVersion")?,
        text("/kind").context("no kind")?,
    );
    let name = text("/metadata/name").context("no name")?;
    let root = if version.contains('/') { "apis" } else { "api" };
    let plural = match kind {
        "DeploymentDefaults" => "deploymentdefaults".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let namespace = text("/metadata/namespace")
        .map(|namespace| format!("namespaces/{namespace}/"))
        .unwrap_or_default();
    let path =
        format!("/{root}/{version}/{namespace}{plural}/{name}?fieldManager=chaos&force=true");
    let request = hyper::Request::patch(path)
        .header("content-type", "application/apply-patch+yaml")
        .body(object.to_string().into_bytes())?;
    client
        .request::<Value>(request)
        .await
        .with_context(|| format!("applying {kind} {name}"))?;
    Ok(())
}
