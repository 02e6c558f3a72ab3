//! A webhook that serves before it knows what admins have set.

use crate::proxy::Proxy;
use crate::support::{eventually, resource};
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use sluice_api::quota::CpuQuota;
use sluice_api::{DeploymentDefaults, SessionCluster};

/// Where those defaults hold.
pub const NAMESPACE: &str = "team-early";

fn api<K: kube::Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), NAMESPACE, &resource::<K>())
}

fn object(kind: &str, spec: &Value) -> DynamicObject {
    let object = json!({"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": {"name": "early"}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

/// What an admin has set before the webhook starts.
pub async fn defaults(client: &Client) {
    let spec = json!({"sessionCluster": {"numberOfTaskManagers": 2}});
    api::<DeploymentDefaults>(client)
        .create(&PostParams::default(), &object("DeploymentDefaults", &spec))
        .await
        .unwrap();
}

/// The two registrations are trusted one after the other, so a call may still fail; but none may be refused as too early.
fn unless_early(answer: kube::Result<DynamicObject>) -> Option<()> {
    match answer {
        Ok(_) => Some(()),
        Err(error) => {
            let told = error.to_string();
            assert!(!told.contains("too-early"), "{told}");
            None
        }
    }
}

pub async fn who_has_only_just_started_leaves_out_no_defaults(client: &Client, proxy: &Proxy) {
    let clusters = api::<SessionCluster>(client);
    let cluster = object(
        "SessionCluster",
        &json!({"state": "STOPPED", "flinkVersion": "1.20"}),
    );
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let refused = eventually("called", || async {
        match clusters.create(&dry_run, &cluster).await {
            Ok(made) => {
                let count = &made.data["spec"]["numberOfTaskManagers"];
                assert!(count.is_null(), "admitted with {count} TaskManagers"); // null: not called yet
                None
            }
            Err(kube::Error::Api(status)) if status.code == 503 => status
                .message
                .contains("[request/too-early]")
                .then_some(status),
            Err(_) => None, // not called yet
        }
    })
    .await;
    assert!(
        refused
            .message
            .contains("it waits for deploymentdefaults.sluice.dev (not listed yet). Send it again"),
        "{}",
        refused.message
    );
    // What admins set is judged by none of that, so they can mend whatever is in the way.
    let quota = object("CpuQuota", &json!({"hard": {"cpu": 4}}));
    eventually("a quota", || async {
        unless_early(api::<CpuQuota>(client).create(&dry_run, &quota).await)
    })
    .await;
    let mended = json!({"spec": {"sessionCluster": {"numberOfTaskManagers": 3}}});
    let mend = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    eventually("mended defaults", || async {
        let defaults = api::<DeploymentDefaults>(client);
        unless_early(defaults.patch("early", &mend, &Patch::Merge(&mended)).await)
    })
    .await;
    proxy.hold_defaults(false);
    eventually("judged", || async {
        let made = clusters.create(&dry_run, &cluster).await.ok()?;
        assert_eq!(made.data["spec"]["numberOfTaskManagers"], 2);
        Some(())
    })
    .await;
}
