//! What Flink's high availability leaves in Kubernetes: ConfigMaps that it makes by itself, without an owner, and leaves where its pods are taken
//! away. Nothing but the id of their Flink tells whose they are.

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, ObjectMeta,
    PartialObjectMeta,
};

use super::hand::{Hand, HandError, failed};
use crate::objects::MadeKind;

/// Kinds whose objects have the id of their Flink for a name. Where its pods are taken away (a suspended FlinkDeployment), the ConfigMaps are what
/// its job goes on from.
const OTHERS: [(&str, &str, &str, &str); 2] = [
    (
        "flink.apache.org",
        "v1beta1",
        "FlinkDeployment",
        "flinkdeployments",
    ),
    // As Flink itself makes it where it deploys to Kubernetes.
    ("apps", "v1", "Deployment", "deployments"),
];

/// Whether a ConfigMap that Flink has made, and that bears this id, is one of its high availability. Others, such as `flink-config-ID`, belong to a
/// Flink that has deployed itself. Up to 1.20 a label tells; from 2.0 on only the name does.
fn is_of_high_availability(metadata: &ObjectMeta, flink_id: &str) -> bool {
    let labels = metadata.labels.as_ref();
    let kind = labels.and_then(|labels| labels.get("configmap-type"));
    if let Some(kind) = kind {
        return kind == "high-availability";
    }
    let name = metadata.name.as_deref().unwrap_or_default();
    let rest = name
        .strip_prefix(flink_id)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.strip_suffix("-config-map"));
    let is_job = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    rest.is_some_and(|rest| rest == "cluster" || is_job(rest))
}

impl Hand {
    /// Removes the ConfigMaps in which a Flink of this id keeps its leaders and its jobs. As long as `keeper`, the JobManager's object, stands in
    /// this namespace nothing is removed: it is another's of the same name, for ours is gone or not made yet.
    ///
    /// # Errors
    /// [`HandError::FlinkIdTaken`] where somebody else's Flink may have this id. Nothing is removed then.
    pub async fn remove_high_availability(
        &self,
        namespace: &str,
        flink_id: &str,
        keeper: &(MadeKind, String),
    ) -> Result<(), HandError> {
        let (kind, name) = keeper;
        let found = self.api(*kind, namespace).get_opt(name).await;
        if found
            .map_err(|source| failed(*kind, namespace, name, source))?
            .is_some()
        {
            return Ok(());
        }
        let kind = MadeKind::ConfigMap;
        let call = |source| failed(kind, namespace, flink_id, source);
        self.no_other_flink(namespace, flink_id).await?;
        let api = self.api(kind, namespace);
        let labels = format!("app={flink_id},type=flink-native-kubernetes");
        let list = match api
            .list_metadata(&ListParams::default().labels(&labels))
            .await
        {
            Ok(list) => list,
            // A namespace that is gone has nothing in it.
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(source) => return Err(call(source)),
        };
        let ours = |left: &PartialObjectMeta<_>| is_of_high_availability(&left.metadata, flink_id);
        for left in list.items.into_iter().filter(ours) {
            let name = left.metadata.name.unwrap_or_default();
            match api.delete(&name, &DeleteParams::default()).await {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(source) => return Err(call(source)),
            }
        }
        Ok(())
    }

    /// Whether nothing stands in the namespace that may be another Flink of this id.
    ///
    /// # Errors
    /// [`HandError::FlinkIdTaken`] where something does.
    pub async fn no_other_flink(&self, namespace: &str, flink_id: &str) -> Result<(), HandError> {
        let other = self.other(namespace, flink_id).await;
        let call = |source| failed(MadeKind::ConfigMap, namespace, flink_id, source);
        match other.map_err(call)? {
            None => Ok(()),
            Some(kind) => Err(HandError::FlinkIdTaken {
                kind,
                namespace: namespace.to_owned(),
                id: flink_id.to_owned(),
            }),
        }
    }

    /// The kind of an object that may be another Flink of this id. A kind that is not served has none.
    async fn other(&self, namespace: &str, flink_id: &str) -> kube::Result<Option<&'static str>> {
        for (group, version, kind, plural) in OTHERS {
            let gvk = GroupVersionKind::gvk(group, version, kind);
            let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.client.clone(), namespace, &resource);
            match api.get_metadata_opt(flink_id).await {
                Ok(Some(_)) => return Ok(Some(kind)),
                Ok(None) => {}
                // Kubernetes says so in plain words where it does not serve a kind.
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::played::{ApiServer, refusal};

    const MAPS: &str = "/api/v1/namespaces/n/configmaps";

    fn stands() -> (u16, Value) {
        (
            200,
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "orders-1"}}),
        )
    }

    /// An API server with such an object and the ConfigMaps of a Flink `orders-1`.
    async fn with(there: &'static str) -> ApiServer {
        ApiServer::answering(move |asked| {
            if asked == format!("GET {MAPS}") {
                let items = json!([{"metadata": {"name": "orders-1-cluster-config-map"}}]);
                return (
                    200,
                    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "metadata": {}, "items": items}),
                );
            }
            if asked.starts_with("DELETE") {
                return (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"}));
            }
            if !there.is_empty() && asked.ends_with(there) {
                return stands();
            }
            if asked.contains("flinkdeployments") {
                // The kind is not served.
                return (404, json!("404 page not found"));
            }
            (404, refusal(404))
        })
        .await
    }

    async fn removed(server: &ApiServer) -> Result<usize, HandError> {
        let hand = Hand::new(server.client.clone());
        let keeper = (MadeKind::Job, "orders-dep-jobmanager".to_owned());
        hand.remove_high_availability("n", "orders-1", &keeper)
            .await?;
        let deleted = format!("DELETE {MAPS}/orders-1-cluster-config-map");
        let all = server.asked();
        Ok(all.iter().filter(|asked| **asked == deleted).count())
    }

    /// A FlinkDeployment `orders-1` of the Apache operator beside run 1 of a Deployment `orders`.
    #[tokio::test]
    async fn the_high_availability_of_another_flink_of_the_same_id_is_left_alone() {
        assert_eq!(removed(&with("").await).await.unwrap(), 1);
        for (there, kind) in [
            (
                "/apis/flink.apache.org/v1beta1/namespaces/n/flinkdeployments/orders-1",
                "FlinkDeployment",
            ),
            (
                "/apis/apps/v1/namespaces/n/deployments/orders-1",
                "Deployment",
            ),
        ] {
            let server = with(there).await;
            let refused = removed(&server).await.unwrap_err();
            assert_eq!(
                refused.to_string(),
                format!(
                    "{kind} n/orders-1 stands, and a Flink of that name keeps its high availability where this one would; remove it, or \
                     give one of the two another name"
                )
            );
            let all = server.asked();
            assert!(
                !all.iter().any(|asked| asked.starts_with("DELETE")),
                "{all:?}"
            );
        }
        // Its own JobManager's name is another's: nothing of that is touched, and nothing hinders.
        let server = with("/jobs/orders-dep-jobmanager").await;
        assert_eq!(removed(&server).await.unwrap(), 0);
    }

    #[test]
    fn the_records_of_each_version_are_told_from_what_else_flink_makes() {
        let told = |name: &str, kind: Option<&str>| {
            let labels = kind.map(|kind| [("configmap-type".to_owned(), kind.to_owned())].into());
            let metadata = ObjectMeta {
                name: Some(name.to_owned()),
                labels,
                ..ObjectMeta::default()
            };
            is_of_high_availability(&metadata, "orders-1")
        };
        let job = "b49ad04a040648e2b237744117572bdf";
        for (name, kind) in [
            // 1.12, 1.20, 2.0
            (
                "orders-1-dispatcher-leader".to_owned(),
                Some("high-availability"),
            ),
            (
                "orders-1-cluster-config-map".to_owned(),
                Some("high-availability"),
            ),
            ("orders-1-cluster-config-map".to_owned(), None),
            (format!("orders-1-{job}-config-map"), None),
        ] {
            assert!(told(&name, kind), "{name} {kind:?}");
        }
        for (name, kind) in [
            ("flink-config-orders-1".to_owned(), None),
            ("pod-template-orders-1".to_owned(), None),
            ("orders-1-mine-config-map".to_owned(), None),
            (
                "orders-1-cluster-config-map".to_owned(),
                Some("something-else"),
            ),
            (format!("orders-12-{job}-config-map"), None),
        ] {
            assert!(!told(&name, kind), "{name} {kind:?}");
        }
    }

    /// What cannot be asked about is not taken for absent.
    #[tokio::test]
    async fn nothing_is_removed_where_nobody_can_tell_whose_it_is() {
        let server = ApiServer::answering(|asked| {
            let code = if asked.contains("flinkdeployments") {
                500
            } else {
                404
            };
            (code, refusal(code))
        })
        .await;
        assert!(matches!(
            removed(&server).await,
            Err(HandError::Call { .. })
        ));
    }
}
