//! The webhook in front of a real API server: registered, called, read with kubectl, and dead.
//! One test, so that the control plane is started once; its steps are in the modules.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test; clippy exempts only functions marked #[test], not their helpers"
)]

mod around;
mod early;
mod judging;
mod outside;
mod proxy;
mod quotas;
mod scale;
mod support;

use proxy::Proxy;
use sluice_cluster::free_loopback_port;
use sluice_tests::Stage;
use sluice_webhook::registration::{Address, Registration};
use support::{Kubectl, SOON, cluster_manifest, eventually, http_get, install, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_in_front_of_a_real_api_server() {
    let Some(stage) = Stage::set().await.unwrap() else {
        return;
    };
    for namespace in ["team-a", early::NAMESPACE, "sluice-system"] {
        stage.namespace(namespace, &[]).await.unwrap();
    }
    let Stage { cluster, client } = stage;
    let kubectl = Kubectl {
        binary: cluster.kubectl(),
        kubeconfig: cluster.kubeconfig(),
    };
    let port = free_loopback_port().unwrap();
    let registration = Registration {
        address: Address::Url(format!("https://127.0.0.1:{port}")),
        excluded_namespaces: vec!["sluice-system".to_owned()],
    };
    early::defaults(&client).await;
    install(&client, &registration).await;

    let proxy = Proxy::start(client.clone()).await;
    proxy.hold_defaults(true);
    let webhook = start(&proxy.kubeconfig(cluster.data_dir()), port).await;
    early::who_has_only_just_started_leaves_out_no_defaults(&client, &proxy).await;
    eventually("ready", || async {
        (http_get(webhook.ops, "/readyz").await.0 == 200).then_some(())
    })
    .await;
    around::only_the_bundle_is_ours(&kubectl).await;
    // The API server takes up the bundle a moment later.
    let probe = cluster_manifest("probe", "STOPPED", "");
    eventually("called", || async {
        let said = kubectl
            .run(&["create", "--dry-run=server", "-f", "-"], &probe)
            .await;
        (said.code == 0).then_some(())
    })
    .await;

    judging::manifests_are_completed_and_repeated_without_a_trace(&kubectl).await;
    judging::what_is_wrong_is_refused_with_rule_and_remedy(&kubectl).await;
    judging::a_running_cluster_is_frozen(&kubectl).await;
    quotas::quotas_refuse_with_exact_figures(&kubectl).await;
    quotas::quotas_hold_what_is_admitted(&kubectl).await;
    quotas::growth_past_a_quota_is_what_the_quota_says(&kubectl).await;
    scale::a_parent_that_cannot_be_judged_is_no_licence_to_grow(
        &client,
        &kubectl,
        &proxy,
        webhook.ops,
    )
    .await;
    around::crds_that_appear_later_are_picked_up(&client, webhook.ops).await;
    around::namespace_labels_are_guarded(&kubectl).await;
    around::metrics_count_what_happened(webhook.ops).await;
    quotas::a_start_right_behind_a_deletion_waits_for_the_count(&client, &kubectl, webhook.ops)
        .await;
    quotas::a_watch_that_hangs_hides_no_quota_for_long(&kubectl, &proxy).await;
    around::a_deployment_for_later(&kubectl).await;

    webhook.stop.cancel();
    eventually("unready", || async {
        let (status, body) = http_get(webhook.ops, "/readyz").await;
        (status == 503 && body == "stopping\n").then_some(())
    })
    .await;
    kubectl
        .ok(&["create", "--dry-run=server", "-f", "-"], &probe)
        .await; // unready, but still answering
    webhook.hurry.cancel();
    tokio::time::timeout(SOON, webhook.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    around::with_every_webhook_dead_people_can_let_go(&kubectl).await;
    cluster.stop().await.unwrap();
}
