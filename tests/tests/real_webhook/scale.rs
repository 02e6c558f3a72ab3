//! `/scale` where its parent cannot be judged: moved, unreadable, silent. What goes down passes all the same.

use crate::proxy::{Parent, Proxy};
use crate::support::{Kubectl, cluster_manifest, http_get};
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub async fn a_parent_that_cannot_be_judged_is_no_licence_to_grow(
    client: &Client,
    kubectl: &Kubectl,
    proxy: &Proxy,
    ops: SocketAddr,
) {
    kubectl
        .ok(
            &["create", "-f", "-"],
            &cluster_manifest("scaled", "RUNNING", ""),
        )
        .await;
    let kind = GroupVersionKind::gvk("sluice.dev", "v1alpha1", "SessionCluster");
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), "team-a", &ApiResource::from_gvk(&kind));
    // A PUT at a resourceVersion, for the API server and kubectl repeat everything else by themselves.
    let put = async |replicas: i32| {
        let mut scale = api.get_scale("scaled").await.unwrap();
        scale.spec.get_or_insert_default().replicas = Some(replicas);
        api.replace_scale("scaled", &PostParams::default(), &scale)
            .await
    };
    // Refused by the webhook, tried again by the API server, which then sees for itself that the object has moved.
    proxy.parent(Parent::Moves);
    let Err(Error::Api(status)) = put(7).await else {
        panic!("the parent moved while it was judged")
    };
    assert_eq!(
        (status.code, status.reason.as_str()),
        (409, "Conflict"),
        "{status:?}"
    );
    let metrics = http_get(ops, "/metrics").await.1;
    assert!(
        metrics.contains("rule=\"request/stale-parent\",answer=\"denied\""),
        "{metrics}"
    );
    proxy.parent(Parent::Reads);
    put(4).await.unwrap();

    for (parent, code, reason, sentence) in [
        (
            Parent::Fails,
            503,
            "ServiceUnavailable",
            "sessioncluster \"scaled\": cannot be read to judge its scale (ApiError: etcd is away",
        ),
        (
            Parent::Hangs,
            503,
            "ServiceUnavailable",
            "sessioncluster \"scaled\": could not be read in time to judge its scale; send the request again [request/slow]",
        ),
    ] {
        proxy.parent(parent);
        let (began, reads) = (Instant::now(), proxy.reads());
        let refused = put(7).await;
        let Err(Error::Api(status)) = refused else {
            panic!("{parent:?}: {refused:?}")
        };
        assert_eq!(
            (status.code, status.reason.as_str()),
            (code, reason),
            "{status:?}"
        );
        assert!(
            status.message.contains(sentence),
            "{parent:?}: {}",
            status.message
        );
        // Once for the warnings, once for the verdict: who asks again is the one who scales, not the webhook behind his back.
        assert_eq!(proxy.reads() - reads, 2, "{parent:?}");
        // The API server's own patience with the webhook is 3 seconds.
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{:?}",
            began.elapsed()
        );
        put(2).await.unwrap();
        proxy.parent(Parent::Reads);
        put(3).await.unwrap();
    }
    // A conflict is repeated for kubectl's users before they hear of it.
    proxy.parent(Parent::MovesOnce);
    kubectl
        .ok(&["scale", "sessioncluster/scaled", "--replicas=5"], "")
        .await;
    proxy.parent(Parent::Reads);
    let stored = kubectl.get("sessioncluster/scaled").await;
    assert_eq!(stored["spec"]["numberOfTaskManagers"], 5);
    kubectl.ok(&["delete", "sessioncluster/scaled"], "").await;
}
