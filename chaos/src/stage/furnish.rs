//! The namespaces of a run, with their defaults and quotas.

use super::install::apply;
use super::{WEBHOOKS, eventually};
use crate::place::{NAMESPACES, Quota};
use kube::Client;
use serde_json::{Value, json};

/// Namespaces with defaults and quotas, counted.
pub(super) async fn furnish(client: &Client) -> anyhow::Result<()> {
    for index in 0..NAMESPACES {
        let namespace = format!("chaos-{index}");
        apply(
            client,
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        )
        .await?;
        let settings = json!({"flinkConfiguration": {"chaos.default": "1"}});
        let defaults = json!({
            "apiVersion": "sluice.dev/v1alpha1", "kind": "DeploymentDefaults", "metadata": {"name": "default", "namespace": namespace},
            "spec": {"sessionCluster": settings, "template": {"spec": settings}, "flinkDeployment": settings},
        });
        eventually("the defaults are admitted", async || {
            apply(client, &defaults)
                .await
                .map_err(|error| format!("{error:#}"))
        })
        .await?;
    }
    for (quota, cpu, namespaces) in Quota::all() {
        let mut spec = json!({"hard": {"cpu": cpu}, "onGrowth": "Enforce"});
        let (kind, metadata) = match &quota {
            Quota::Of(namespace) => (
                "CpuQuota",
                json!({"name": "default", "namespace": namespace}),
            ),
            Quota::Cluster(name) => {
                crate::objects::set(&mut spec, &["namespaces"], json!(namespaces));
                ("ClusterCpuQuota", json!({"name": name}))
            }
        };
        let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
        eventually("the quota is admitted", async || {
            apply(client, &object)
                .await
                .map_err(|error| format!("{error:#}"))
        })
        .await?;
        eventually("the quota is counted", async || {
            let request = hyper::Request::get(quota.path())
                .body(Vec::new())
                .map_err(|error| error.to_string())?;
            let stored: Value = client
                .request(request)
                .await
                .map_err(|error| error.to_string())?;
            let observed = stored.pointer("/status/observedGeneration");
            if observed.is_some() {
                Ok(())
            } else {
                Err(format!("{quota} has no status"))
            }
        })
        .await?;
    }
    // The webhooks know of all of it once they have filled in what the defaults say, each of them.
    let mut probe = json!({
        "apiVersion": "sluice.dev/v1alpha1", "kind": "SessionCluster", "spec": {"flinkVersion": "1.20", "state": "STOPPED"},
    });
    for index in 0..NAMESPACES {
        let namespace = format!("chaos-{index}");
        let mut full = 0;
        eventually("the webhooks know the defaults", async || {
            // Each is asked, by the number in the name.
            let name = format!("probe-{}", full % WEBHOOKS);
            crate::objects::set(
                &mut probe,
                &["metadata"],
                json!({"name": name, "namespace": namespace}),
            );
            let path = format!(
                "/apis/sluice.dev/v1alpha1/namespaces/{namespace}/sessionclusters?dryRun=All"
            );
            let request = hyper::Request::post(path)
                .header("content-type", "application/json")
                .body(probe.to_string().into_bytes())
                .map_err(|error| error.to_string())?;
            let made: Value = client
                .request(request)
                .await
                .map_err(|error| error.to_string())?;
            full = if made
                .pointer("/spec/flinkConfiguration/chaos.default")
                .is_some()
            {
                full + 1
            } else {
                0
            };
            if full < WEBHOOKS {
                Err("a default is missing".to_owned())
            } else {
                Ok(())
            }
        })
        .await?;
    }
    Ok(())
}
