//! Queue and watches: which change leads to which Deployment, while this process leads.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, watcher};
use kube::{Client, ResourceExt};
use sluice_api::{Deployment, DeploymentTarget, SessionJob};
use tokio::sync::mpsc;

use super::place::Place;
use super::reconcile::{Context, Error, Probe};
use crate::flink::FlinkHttp;
use crate::ledger::standing::Asker;
use crate::metrics::metrics;
use crate::objects::BuildSettings;
use crate::runtime::events::Events;
use crate::runtime::hand::Hand;
use crate::runtime::index::Index;
use crate::runtime::watched::all_due;
use crate::savepoint::Whose;
use crate::session_cluster::health::AddressOf;

/// Deployments that are seen to at once.
const AT_ONCE: u16 = 32;
/// Objects per page of the first list.
const PAGE: u32 = 100;
/// After somebody else wrote first.
const AGAIN: Duration = Duration::from_millis(50);
/// After something has failed.
const RETRY: Duration = Duration::from_secs(2);

/// The reconciler of Deployments.
#[derive(Clone)]
pub struct Deployments {
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
    /// Nothing, but in tests.
    pub probe: Option<Probe>,
}

impl std::fmt::Debug for Deployments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployments")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl Deployments {
    /// What a user's savepoint of a Deployment is taken of.
    pub fn whose(&self) -> Whose {
        super::whose::whose(self.client.clone(), Arc::clone(&self.address))
    }

    /// The same, and of their SessionJobs where they run on session clusters, of which `session_jobs` tells.
    pub fn whose_everywhere(&self, session_jobs: Whose) -> Whose {
        super::in_session::whose(self.client.clone(), self.whose(), session_jobs)
    }

    /// Sees to every Deployment for ever. Dropping the future ends everything at once, whatever is under way. `ledger`: asks
    /// the second gate; without it everything that admission has let in starts.
    pub async fn run(&self, ledger: Option<Asker>) {
        let (tell, told) = mpsc::unbounded_channel::<ObjectRef<Deployment>>();
        let (deployments, deployment_writer) = reflector::store::<Deployment>();
        let (targets, target_writer) = reflector::store::<DeploymentTarget>();
        let index = Index::new(Arc::new(move |mark| {
            // Nobody listens any more once this is on its way out.
            let _ = tell.send(ObjectRef::new(&mark.owner_name).within(&mark.owner_namespace));
        }));
        let context = Arc::new(Context {
            client: self.client.clone(),
            hand: Hand::new(self.client.clone()),
            index: index.clone(),
            place: Place::new(
                self.client.clone(),
                targets.clone(),
                deployments.clone(),
                ledger,
            ),
            flink: self.flink.clone(),
            address: Arc::clone(&self.address),
            events: Events::new(self.client.clone(), &self.instance),
            build: self.build.clone(),
            probe: self.probe.clone(),
        });
        let all = || watcher::Config::default().page_size(PAGE);
        // What waits for a target looks again by itself.
        let follow_targets = reflector::reflector(
            target_writer,
            watcher(Api::<DeploymentTarget>::all(self.client.clone()), all()).default_backoff(),
        )
        .for_each(|event| async move {
            if let Err(error) = event {
                tracing::warn!(%error, "watching DeploymentTargets failed; the watch is opened again");
            }
        });
        let of_deployments = reflector::reflector(
            deployment_writer,
            watcher(Api::<Deployment>::all(self.client.clone()), all())
                .default_backoff()
                .modify(slim),
        );
        let of_deployments = all_due(of_deployments, deployments.clone());
        // Those of Deployments are read past every cache where they are decided upon; here they are only heard of.
        let of_session_jobs = watcher(Api::<SessionJob>::all(self.client.clone()), all())
            .default_backoff()
            .touched_objects()
            .try_filter_map(|job| std::future::ready(Ok(of_session_job(&job))));
        let told = futures::stream::unfold(told, |mut told| async move {
            told.recv().await.map(|who| (Ok(who), told))
        });
        let queue = futures::stream::select(of_deployments, told);
        let queue = futures::stream::select(queue, of_session_jobs)
            .inspect_err(|error| tracing::warn!(%error, "a watch failed; it is opened again"));
        let reconciling = async {
            // Before everything has been listed, what is not known may well exist.
            index.listed().await;
            let _ = targets.wait_until_ready().await;
            applier(
                |deployment, context| {
                    Box::pin(metrics().reconciling("Deployment", see_to(deployment, context)))
                },
                again_after,
                context,
                deployments,
                queue,
                Config::default().concurrency(AT_ONCE),
            )
            .for_each(|_| std::future::ready(()))
            .await;
        };
        tokio::select! {
            () = index.follow(self.client.clone(), &["deployment"]) => {}
            () = follow_targets => {}
            () = reconciling => {}
        }
    }
}

/// What nobody here reads, and would lie in memory a thousand times.
fn slim(deployment: &mut Deployment) {
    deployment.metadata.managed_fields = None;
    if let Some(annotations) = &mut deployment.metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// Its name is the Deployment's, whoever's it is: one that stood in the way may be gone.
fn of_session_job(job: &SessionJob) -> Option<ObjectRef<Deployment>> {
    Some(ObjectRef::new(&job.name_any()).within(&job.namespace()?))
}

async fn see_to(deployment: Arc<Deployment>, context: Arc<Context>) -> Result<Action, Error> {
    let again = context.reconcile(&deployment).await?;
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "as kube's Controller calls it"
)]
fn again_after(deployment: Arc<Deployment>, error: &Error, _: Arc<Context>) -> Action {
    if matches!(error, Error::Outdated | Error::Probe(_)) {
        return Action::requeue(AGAIN);
    }
    tracing::warn!(
        namespace = deployment.namespace(),
        name = deployment.name_any(),
        %error,
        "a Deployment could not be seen to; it is tried again"
    );
    Action::requeue(RETRY)
}
