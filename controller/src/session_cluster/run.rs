//! Queue and watches of the reconciler: it runs while its future does, which is while this process leads.

use std::sync::Arc;

use std::convert::Infallible;

use futures::StreamExt;
use kube::api::Api;
use kube::runtime::controller::{self, applier};
use kube::runtime::reflector::{ObjectRef, store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, reflector};
use kube::{Client, Resource, ResourceExt};
use sluice_api::{DeploymentTarget, SessionCluster};
use tokio::sync::mpsc;

use super::health::{AddressOf, Health, Pace};
use super::reconcile::{Context, Parts, failed, reconcile};
use crate::flink::FlinkHttp;
use crate::ledger::standing::Asker;
use crate::metrics::metrics;
use crate::objects::BuildSettings;
use crate::objects::config::REST_PORT;
use crate::runtime::events::Events;
use crate::runtime::index::Index;
use crate::runtime::watched::{Watched, due, watched};

/// Objects per page of the first list.
const PAGE: u32 = 100;
/// Clusters that are seen to at once. What a call needs, a TLS connection above all, is kept for a while when it is over: a
/// thousand at once would cost more memory than all that is known of a thousand clusters.
const AT_ONCE: u16 = 16;

/// The reconciler of SessionClusters.
#[derive(Clone)]
pub struct SessionClusters {
    /// The API server.
    pub client: Client,
    /// Flink's REST API.
    pub flink: FlinkHttp,
    /// Name of this instance, for Events.
    pub instance: String,
    /// How objects are made.
    pub build: BuildSettings,
    /// Where a JobManager's REST API is.
    pub address: AddressOf,
    /// How often Flink is asked.
    pub pace: Pace,
}

impl std::fmt::Debug for SessionClusters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionClusters")
            .field("instance", &self.instance)
            .field("build", &self.build)
            .finish_non_exhaustive()
    }
}

/// `http://<cluster IP>:8081`.
pub fn by_cluster_ip() -> AddressOf {
    Arc::new(|ip| {
        if ip.contains(':') {
            format!("http://[{ip}]:{REST_PORT}")
        } else {
            format!("http://{ip}:{REST_PORT}")
        }
    })
}

/// All session clusters, without what nobody reads; known once the future that comes with them runs, for ever.
pub fn all(client: Client) -> (Watched<SessionCluster>, impl Future<Output = ()>) {
    let (clusters, feed) = watched();
    (clusters, feed.run(client, PAGE, strip))
}

impl SessionClusters {
    /// Reconciles for ever. Dropping the future ends everything at once, whatever is under way. `clusters`: of [`all`], which begins
    /// after this. `ledger`: asks the second gate; without it everything that admission has let in starts.
    pub async fn run(&self, clusters: &Watched<SessionCluster>, ledger: Option<Asker>) {
        let (tell, told) = mpsc::unbounded_channel::<ObjectRef<SessionCluster>>();
        let (targets, target_writer) = store::<DeploymentTarget>();
        let of_made = tell.clone();
        let index = Index::new(Arc::new(move |mark| {
            // Nobody listens any more once this is on its way out.
            let _ = of_made.send(ObjectRef::new(&mark.owner_name).within(&mark.owner_namespace));
        }));
        let of_health = tell.clone();
        let health = Health::new(
            self.flink.clone(),
            self.pace,
            Arc::new(move |namespace, name| {
                let _ = of_health.send(ObjectRef::new(name).within(namespace));
            }),
        );
        let context = Arc::new(Context::new(
            self.client.clone(),
            Arc::clone(&self.address),
            Parts {
                index: index.clone(),
                events: Events::new(self.client.clone(), &self.instance),
                health,
                ledger,
                clusters: clusters.store(),
                targets: targets.clone(),
                build: self.build.clone(),
            },
        ));
        let target_watch = reflector::reflector(
            target_writer,
            watcher(
                Api::<DeploymentTarget>::all(self.client.clone()),
                watcher::Config::default().page_size(PAGE),
            )
            .default_backoff()
            .modify(strip),
        );
        // What waits for a target looks again by itself.
        let follow_targets = target_watch.for_each(|event| async move {
            if let Err(error) = event {
                tracing::warn!(%error, "watching DeploymentTargets failed; the watch is opened again");
            }
        });
        let forgetful = Arc::clone(&context);
        let known = clusters.store();
        let changed = clusters.events().flat_map(move |event| {
            if let Event::Delete(cluster) = &*event {
                forgetful.forget(&cluster.uid().unwrap_or_default());
            }
            futures::stream::iter(due(&event, &known))
        });
        let told = futures::stream::unfold(told, |mut told| async move {
            told.recv().await.map(|who| (who, told))
        });
        let queue = futures::stream::select(changed, told).map(Ok::<_, Infallible>);
        let clusters = clusters.store();
        let reconciling = async {
            // Before everything has been listed, what is not known may well exist.
            index.listed().await;
            let _ = targets.wait_until_ready().await;
            applier(
                |cluster, context| {
                    Box::pin(metrics().reconciling("SessionCluster", reconcile(cluster, context)))
                },
                |cluster, error, context| failed(&cluster, error, &context),
                context,
                clusters,
                queue,
                controller::Config::default().concurrency(AT_ONCE),
            )
            .for_each(|outcome| async move {
                if let Err(error) = outcome {
                    tracing::debug!(%error, "a reconciliation did not come to its end");
                }
            })
            .await;
        };
        tokio::select! {
            () = index.follow(self.client.clone(), &["sessioncluster"]) => {}
            () = follow_targets => {}
            () = reconciling => {}
        }
    }
}

/// What nobody here reads, and would lie in memory a thousand times.
fn strip<K: Resource>(object: &mut K) {
    let metadata = object.meta_mut();
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}
