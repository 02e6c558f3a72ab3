//! Queue and watches: which change leads to which job, while this process leads.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config, applier};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Client, ResourceExt};
use sluice_api::{Savepoint, SessionCluster, SessionJob};

use super::reconcile::{Context, Error, Probe, Resolver};
use super::submissions::Submissions;
use super::submit;
use crate::fetch::{FetchError, Reach};
use crate::flink::{FlinkError, FlinkHttp, Timeouts};
use crate::metrics::metrics;
use crate::runtime::events::Events;
use crate::runtime::watched::{Watched, all_due};

/// Jobs that are seen to at once.
const AT_ONCE: u16 = 32;
/// Objects per page of the first list.
const PAGE: u32 = 100;
/// After the API server has failed.
const RETRY: Duration = Duration::from_secs(2);
/// How long a job waits for the list of session clusters.
const LISTED_WITHIN: Duration = Duration::from_secs(30);
/// Port of Flink's REST API at the Service.
const REST: u16 = 8081;

/// The reconciler cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The way to jars cannot be set up.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The way to Flink cannot be set up.
    #[error(transparent)]
    Flink(#[from] FlinkError),
}

/// The reconciler of session jobs, before it runs.
#[derive(Clone)]
pub struct SessionJobs {
    client: Client,
    flink: FlinkHttp,
    jars: submit::Jars,
    events: Events,
    resolver: Resolver,
    probe: Option<Probe>,
}

impl std::fmt::Debug for SessionJobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionJobs").finish_non_exhaustive()
    }
}

impl SessionJobs {
    /// With this client, in the name of this instance; jars are fetched from these addresses.
    ///
    /// # Errors
    /// [`SetupError`] where no HTTP client can be made.
    pub fn new(client: Client, instance: &str, reach: Reach) -> Result<Self, SetupError> {
        Ok(Self {
            flink: FlinkHttp::new(Timeouts::default())?,
            jars: submit::Jars::new(reach)?,
            events: Events::new(client.clone(), instance),
            resolver: by_service(client.clone()),
            client,
            probe: None,
        })
    }

    /// With this way to Flink, and its room for answers, which others share.
    #[must_use]
    pub fn flink(mut self, flink: FlinkHttp) -> Self {
        self.flink = flink;
        self
    }

    /// With another way to find session clusters.
    #[must_use]
    pub fn resolver(mut self, resolver: Resolver) -> Self {
        self.resolver = resolver;
        self
    }

    /// With a probe, for tests.
    #[must_use]
    pub fn probe(mut self, probe: Probe) -> Self {
        self.probe = Some(probe);
        self
    }

    /// Finds every session cluster at this address, where one is given: for tests, and for whoever forwards a port.
    #[must_use]
    pub fn fixed_address(self, address: Option<String>) -> Self {
        match address {
            None => self,
            Some(address) => self.resolver(Arc::new(move |_| {
                let address = address.clone();
                async move { Ok(Some(address)) }.boxed()
            })),
        }
    }

    /// What a user's savepoint of a SessionJob is taken of.
    pub fn whose(&self) -> crate::savepoint::Whose {
        super::whose::whose(self.client.clone(), Arc::clone(&self.resolver))
    }

    /// Sees to every job for ever. Dropping the future ends everything at once, whatever is under way. `clusters`: see
    /// [`crate::session_cluster::run::all`], which begins after this.
    pub async fn run(&self, clusters: &Watched<SessionCluster>) {
        let all = || watcher::Config::default().page_size(PAGE);
        let (jobs, job_writer) = reflector::store::<SessionJob>();
        let (submissions, submitting) = Submissions::new();
        let context = Arc::new(Context {
            submissions,
            client: self.client.clone(),
            clusters: clusters.store(),
            flink: self.flink.clone(),
            jars: self.jars.clone(),
            events: self.events.clone(),
            resolver: Arc::clone(&self.resolver),
            probe: self.probe.clone(),
            addresses: Arc::new(Mutex::new(HashMap::new())),
        });
        let of_jobs = reflector::reflector(
            job_writer,
            watcher(Api::<SessionJob>::all(self.client.clone()), all())
                .default_backoff()
                .modify(slim_job),
        );
        let of_jobs = all_due(of_jobs, jobs.clone()).map_ok(|job| vec![job]);
        let known = jobs.clone();
        let of_clusters = clusters.events().map(move |event| {
            Ok(match &*event {
                Event::Apply(cluster) | Event::Delete(cluster) => on_cluster(&known, cluster),
                Event::Init | Event::InitApply(_) => Vec::new(),
                // As in `due`.
                Event::InitDone => {
                    let all = known.state();
                    all.iter().map(|job| ObjectRef::from_obj(&**job)).collect()
                }
            })
        });
        let of_savepoints = watcher(Api::<Savepoint>::all(self.client.clone()), all())
            .default_backoff()
            .touched_objects()
            .map_ok(|savepoint| of_savepoint(&savepoint).into_iter().collect());
        // A watch that fails is opened again; what is left of it here is its log.
        let queue = futures::stream::select(of_jobs, of_clusters);
        let queue = futures::stream::select(queue, of_savepoints)
            .inspect_err(|error| tracing::warn!(%error, "a watch failed; it is opened again"))
            .map_ok(|all: Vec<ObjectRef<SessionJob>>| {
                futures::stream::iter(all).map(Ok::<_, watcher::Error>)
            })
            .try_flatten();
        let reconciling = applier(
            |job, context| Box::pin(metrics().reconciling("SessionJob", see_to(job, context))),
            again_after,
            context,
            jobs,
            queue,
            Config::default().concurrency(AT_ONCE),
        )
        .for_each(|_| std::future::ready(()));
        tokio::select! {
            () = reconciling => {}
            () = submitting => {}
        }
    }
}

fn slim_job(job: &mut SessionJob) {
    job.metadata.managed_fields = None;
    if let Some(annotations) = &mut job.metadata.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// The jobs that name a session cluster, or are on it.
fn on_cluster(jobs: &Store<SessionJob>, cluster: &SessionCluster) -> Vec<ObjectRef<SessionJob>> {
    let (namespace, name, uid) = (cluster.namespace(), cluster.name_any(), cluster.uid());
    let concerned = |job: &Arc<SessionJob>| {
        let status = job.status.as_ref();
        job.namespace() == namespace
            && (job.spec.session_cluster_name.as_deref() == Some(&name)
                || status.is_some_and(|status| status.session_cluster_uid == uid))
    };
    let jobs = jobs.state();
    jobs.iter()
        .filter(|job| concerned(job))
        .map(|job| ObjectRef::from_obj(&**job))
        .collect()
}

fn of_savepoint(savepoint: &Savepoint) -> Option<ObjectRef<SessionJob>> {
    let spec = &savepoint.spec;
    // A Deployment on a session cluster has a job of its own name.
    let job = spec.session_job_name.as_deref();
    let job = job.or(spec.deployment_name.as_deref())?;
    Some(ObjectRef::new(job).within(&savepoint.namespace()?))
}

async fn see_to(job: Arc<SessionJob>, context: Arc<Context>) -> Result<Action, Error> {
    let listed = tokio::time::timeout(LISTED_WITHIN, context.clusters.wait_until_ready()).await;
    if !matches!(listed, Ok(Ok(()))) {
        // Without the list every cluster would seem to be gone.
        return Ok(Action::requeue(RETRY));
    }
    let again = context.reconcile(&job).await?;
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

#[allow(
    clippy::needless_pass_by_value,
    reason = "as kube's Controller calls it"
)]
fn again_after(job: Arc<SessionJob>, error: &Error, _: Arc<Context>) -> Action {
    tracing::warn!(
        namespace = job.namespace(),
        name = job.name_any(),
        %error,
        "a session job could not be seen to; it is tried again"
    );
    Action::requeue(RETRY)
}

/// By the cluster's Service: its clusterIP is reached from pods and from a node alike, without DNS.
fn by_service(client: Client) -> Resolver {
    Arc::new(move |cluster| {
        let own = cluster.namespace().unwrap_or_default();
        let status = cluster.status.as_ref();
        let namespace = status
            .and_then(|status| status.target_namespace.clone())
            .unwrap_or(own);
        let name = format!("{}-sc-jobmanager", cluster.name_any());
        let api: Api<Service> = Api::namespaced(client.clone(), &namespace);
        async move {
            let service = api.get_opt(&name).await?;
            let address = service
                .and_then(|service| service.spec?.cluster_ip)
                .filter(|address| !address.is_empty() && address != "None");
            Ok(address.map(|address| {
                if address.contains(':') {
                    format!("http://[{address}]:{REST}")
                } else {
                    format!("http://{address}:{REST}")
                }
            }))
        }
        .boxed()
    })
}
