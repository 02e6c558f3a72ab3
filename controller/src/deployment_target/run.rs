//! The edge: watches of targets, of what refers to them and of namespaces; reads, decides, writes. It runs while this process leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Client, Resource, ResourceExt};
use sluice_api::names::labels::ACCEPT_FROM;
use sluice_api::{Deployment, DeploymentTarget, SessionCluster};
use tokio::sync::{mpsc, watch};

use super::decide::{Observed, decide};
use super::references::{Named, References};
use crate::metrics::metrics;
use crate::runtime::call::{CallError, call};
use crate::runtime::events::Events;
use crate::runtime::status::{self, Written};
use crate::runtime::watched::{Watched, all_due};

/// Objects per page of the first list.
const PAGE: u32 = 100;
/// After the API server has failed.
const RETRY: Duration = Duration::from_secs(2);
/// After somebody else wrote first.
const OUTDATED: Duration = Duration::from_millis(200);
/// Kinds that refer to targets.
const KINDS: usize = 2;

/// The reconciler of DeploymentTargets.
#[derive(Clone)]
pub struct DeploymentTargets {
    client: Client,
    events: Events,
}

impl std::fmt::Debug for DeploymentTargets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeploymentTargets").finish_non_exhaustive()
    }
}

/// What every reconciliation needs.
struct Context {
    client: Client,
    events: Events,
    references: References,
    namespaces: Store<PartialObjectMeta<Namespace>>,
    listed: watch::Receiver<usize>,
}

impl DeploymentTargets {
    /// In the name of this instance.
    pub fn new(client: Client, instance: &str) -> Self {
        Self {
            events: Events::new(client.clone(), instance),
            client,
        }
    }

    /// Sees to every target for ever. Dropping the future ends everything at once, whatever is under way. `clusters`: see
    /// [`crate::session_cluster::run::all`], which begins after this.
    pub async fn run(&self, clusters: &Watched<SessionCluster>) {
        let all = || watcher::Config::default().page_size(PAGE);
        let client = || self.client.clone();
        let (tell, told) = mpsc::unbounded_channel::<String>();
        let (done, listed) = watch::channel(0);
        let references = References::new(Arc::new(move |namespace| {
            // Nobody listens any more once this is on its way out.
            let _ = tell.send(namespace.to_owned());
        }));
        let (targets, target_writer) = reflector::store::<DeploymentTarget>();
        let (namespaces, namespace_writer) = reflector::store::<PartialObjectMeta<Namespace>>();
        let of_targets = reflector::reflector(
            target_writer,
            watcher(Api::<DeploymentTarget>::all(client()), all())
                .default_backoff()
                .modify(|target| {
                    target.metadata.managed_fields = None;
                    target.metadata.annotations = None;
                }),
        );
        let of_targets = all_due(of_targets, targets.clone()).map_ok(|target| vec![target]);
        let known = targets.clone();
        let of_namespaces = reflector::reflector(
            namespace_writer,
            watcher(Api::<PartialObjectMeta<Namespace>>::all(client()), all())
                .default_backoff()
                .modify(slim),
        );
        let of_namespaces = all_due(of_namespaces, namespaces.clone()).map_ok(move |namespace| {
            which(&known, |target| {
                target.spec.kubernetes.namespace == namespace.name
            })
        });
        let known = targets.clone();
        let of_references = futures::stream::unfold(told, |mut told| async move {
            told.recv().await.map(|namespace| (namespace, told))
        })
        .map(move |namespace| {
            Ok(which(&known, |target| {
                target.namespace().as_deref() == Some(&namespace)
            }))
        });
        let queue = futures::stream::select(of_targets, of_namespaces);
        let queue = futures::stream::select(queue, of_references)
            .inspect_err(|error| tracing::warn!(%error, "a watch failed; it is opened again"))
            .map_ok(|all: Vec<ObjectRef<DeploymentTarget>>| {
                futures::stream::iter(all).map(Ok::<_, watcher::Error>)
            })
            .try_flatten();
        let context = Arc::new(Context {
            client: client(),
            events: self.events.clone(),
            references: references.clone(),
            namespaces,
            listed,
        });
        let listed_once = || {
            let first = std::cell::Cell::new(true);
            let done = done.clone();
            move || {
                if first.replace(false) {
                    done.send_modify(|kinds| *kinds += 1);
                }
            }
        };
        let of_deployments = watcher(Api::<Deployment>::all(client()), all())
            .default_backoff()
            .filter_map(|event| async move {
                event
                    .inspect_err(|error| {
                        tracing::warn!(%error, "watching Deployments failed; the watch is opened again");
                    })
                    .ok()
                    .map(Arc::new)
            });
        let reconciling = applier(
            |target, context| Box::pin(look(target, context)),
            |target, error: &CallError, _| {
                tracing::warn!(
                    namespace = target.namespace(),
                    name = target.name_any(),
                    %error,
                    "a DeploymentTarget could not be seen to; it is tried again"
                );
                Action::requeue(RETRY)
            },
            context,
            targets,
            queue,
            Config::default(),
        )
        .for_each(|_| std::future::ready(()));
        tokio::select! {
            () = references.follow(clusters.events(), "SessionCluster", of_cluster, listed_once()) => {}
            () = references.follow(of_deployments, "Deployment", of_deployment, listed_once()) => {}
            () = reconciling => {}
        }
    }
}

impl Context {
    async fn see_to(&self, target: &DeploymentTarget) -> Result<Action, CallError> {
        // Before everything has been listed, what refers to it may only not be known.
        let mut listed = self.listed.clone();
        let _ = listed.wait_for(|kinds| *kinds >= KINDS).await;
        let _ = self.namespaces.wait_until_ready().await;
        let namespace = target.namespace().unwrap_or_default();
        let referrers = self.references.to(
            &namespace,
            &target.name_any(),
            &target.uid().unwrap_or_default(),
        );
        let there = ObjectRef::new(&target.spec.kubernetes.namespace);
        let there = self.namespaces.get(&there);
        let none = BTreeMap::new();
        let labels = there
            .as_ref()
            .map(|there| there.metadata.labels.as_ref().unwrap_or(&none));
        let plan = decide(&Observed {
            target,
            now: Timestamp::now(),
            labels,
            referrers: &referrers,
        });
        let is_leaving = target.metadata.deletion_timestamp.is_some() && plan.finalizers.is_some();
        let mut next = target.clone();
        if target.status.as_ref() != Some(&plan.status) && !is_leaving {
            next.status = Some(plan.status);
            let written = status::put(&self.client, &next).await;
            match written.map_err(call("writing the DeploymentTarget's status"))? {
                Written::Stored(stored) => next = *stored,
                Written::Outdated => return Ok(Action::requeue(OUTDATED)),
            }
            let reference = next.object_ref(&());
            for note in &plan.notes {
                self.events.write(&reference, note).await;
            }
        }
        if let Some(finalizers) = plan.finalizers {
            let written = status::set_finalizers(&self.client, &next, &finalizers).await;
            let written = written.map_err(call("setting the DeploymentTarget's finalizers"))?;
            if matches!(written, Written::Outdated) {
                return Ok(Action::requeue(OUTDATED));
            }
        }
        Ok(Action::await_change())
    }
}

fn which(
    targets: &Store<DeploymentTarget>,
    wanted: impl Fn(&DeploymentTarget) -> bool,
) -> Vec<ObjectRef<DeploymentTarget>> {
    let all = targets.state();
    all.iter()
        .filter(|target| wanted(target))
        .map(|target| ObjectRef::from_obj(&**target))
        .collect()
}

/// Of a namespace only its word on pods of others is read.
fn slim(namespace: &mut PartialObjectMeta<Namespace>) {
    namespace.metadata.managed_fields = None;
    namespace.metadata.annotations = None;
    if let Some(labels) = &mut namespace.metadata.labels {
        labels.retain(|key, _| key == ACCEPT_FROM);
    }
}

fn of_cluster(cluster: &SessionCluster) -> Option<Named> {
    let name = cluster.spec.deployment_target_name.as_deref()?;
    Some(Named::Name(name.into()))
}

fn of_deployment(deployment: &Deployment) -> Option<Named> {
    let spec = &deployment.spec;
    match (&spec.deployment_target_name, &spec.deployment_target_id) {
        (Some(name), _) => Some(Named::Name(name.as_str().into())),
        (None, Some(uid)) => Some(Named::Uid(uid.as_str().into())),
        (None, None) => None,
    }
}

/// One look, counted.
async fn look(target: Arc<DeploymentTarget>, context: Arc<Context>) -> Result<Action, CallError> {
    let look = context.see_to(&target);
    metrics().reconciling("DeploymentTarget", look).await
}
