//! The edge: reads what is observed, decides, and does what was decided. What is remembered between two reconciliations only
//! saves work; all of it may be lost.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ObjectMeta};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, Resource, ResourceExt};
use sluice_api::conditions::{self as words, reasons};
use sluice_api::names::{finalizers, labels};
use sluice_api::{DeploymentTarget, DesiredClusterState, SessionCluster};
use sluice_policy::ledger::Revision;
use sluice_policy::world::EmptyWorld;
use sluice_policy::{MilliCpu, Mode, dialect_for};
use tokio::time::Instant;

use super::decide::{
    Decision, Finalizer, Observed, Plan, Proof, Step, allocated, decide, task_managers,
};
use super::gate::{self, Claim, Verdict};
use super::health::{AddressOf, Asked, Health, Heard};
use super::scene::jobmanager_pod;
use super::state::Refusal;
use super::target::{self, Target};
use crate::ledger::standing::{Answer, Asker};
use crate::objects::{BuildSettings, FlinkCluster, build};
use crate::runtime::conditions as set;
use crate::runtime::events::Events;
use crate::runtime::hand::{Hand, HandError};
use crate::runtime::index::Index;
use crate::runtime::made::{Detail, Made};
use crate::runtime::status::{self, Written};

/// The ledger's name of the resource.
const RESOURCE: &str = "sessionclusters.sluice.dev";
/// How long a namespace's labels are remembered while something waits for them.
const LABELS: Duration = Duration::from_secs(5);
/// First and longest pause after something failed.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(30));
/// Between attempts at an object that the API server refuses.
const REFUSED: Duration = Duration::from_secs(30);
/// Until an object that was deleted is deleted again, should it still stand there as if nothing had happened.
const GOING: Duration = Duration::from_secs(5);
/// For news that the watches must bring.
const NEWS: Duration = Duration::from_secs(1);

/// What every reconciliation needs.
#[derive(Debug)]
pub struct Context {
    /// Reads and writes made objects.
    pub hand: Hand,
    /// What has been made.
    pub index: Index,
    /// Tells users.
    pub events: Events,
    /// Asks Flink.
    pub health: Health,
    /// Asks the ledger; `None`: there is no second gate.
    pub ledger: Option<Asker>,
    /// All session clusters.
    pub clusters: Store<SessionCluster>,
    /// All targets.
    pub targets: Store<DeploymentTarget>,
    /// How objects are made.
    pub build: BuildSettings,
    client: ClientBox,
    address: AddressBox,
    memory: Mutex<HashMap<String, Memory>>,
    labels: Mutex<HashMap<String, (Instant, Labels)>>,
}

/// Labels of a namespace; `None`: there is no such namespace.
type Labels = Option<BTreeMap<String, String>>;

/// Parts that cannot print themselves.
struct ClientBox(Client);
struct AddressBox(AddressOf);

impl std::fmt::Debug for ClientBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl std::fmt::Debug for AddressBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AddressOf")
    }
}

/// What is remembered of a cluster.
#[derive(Debug, Default)]
struct Memory {
    /// Digests of objects that are known to be as they should be.
    settled: HashMap<String, u64>,
    /// The version that our own last write replaced: seen again, it is old news.
    replaced: Option<String>,
    /// Why an object could not be made, and when to try again.
    refused: Option<(Refusal, Instant)>,
    /// Since when a quota has not counted it.
    uncounted: Option<Instant>,
    /// The gate has let it start; the status does not say so yet.
    granted: bool,
    /// Objects that have been deleted a moment ago: the watch may not have told yet.
    going: HashMap<String, Instant>,
    /// Failures in a row.
    failures: u32,
}

/// Why a reconciliation failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A made object could not be read, made or removed.
    #[error(transparent)]
    Hand(#[from] HandError),
    /// Another call failed.
    #[error("{what}: {source}")]
    Call {
        /// What was called.
        what: &'static str,
        /// What went wrong.
        source: Box<kube::Error>,
    },
}

fn call(what: &'static str) -> impl FnOnce(kube::Error) -> ReconcileError {
    move |source| ReconcileError::Call {
        what,
        source: Box::new(source),
    }
}

/// What a context is made of.
#[derive(Debug)]
pub struct Parts {
    /// See [`Context::index`].
    pub index: Index,
    /// See [`Context::events`].
    pub events: Events,
    /// See [`Context::health`].
    pub health: Health,
    /// See [`Context::ledger`].
    pub ledger: Option<Asker>,
    /// See [`Context::clusters`].
    pub clusters: Store<SessionCluster>,
    /// See [`Context::targets`].
    pub targets: Store<DeploymentTarget>,
    /// See [`Context::build`].
    pub build: BuildSettings,
}

impl Context {
    /// Nothing remembered yet. `address`: where a JobManager's REST API is.
    pub fn new(client: Client, address: AddressOf, parts: Parts) -> Self {
        Self {
            hand: Hand::new(client.clone()),
            index: parts.index,
            events: parts.events,
            health: parts.health,
            ledger: parts.ledger,
            clusters: parts.clusters,
            targets: parts.targets,
            build: parts.build,
            client: ClientBox(client),
            address: AddressBox(address),
            memory: Mutex::default(),
            labels: Mutex::default(),
        }
    }

    /// A cluster is gone.
    pub fn forget(&self, uid: &str) {
        self.health.forget(uid);
        self.lock().remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember<T>(&self, uid: &str, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.lock();
        change(memory.entry(uid.to_owned()).or_default())
    }
}

/// Brings one cluster a step nearer to what is asked for.
pub async fn reconcile(
    cluster: Arc<SessionCluster>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let uid = cluster.uid().unwrap_or_default();
    let version = cluster.resource_version();
    let is_old = context.remember(&uid, |memory| {
        if memory.replaced == version {
            return true;
        }
        memory.replaced = None;
        memory.granted &= allocated(&cluster) == MilliCpu::ZERO;
        false
    });
    if is_old {
        return Ok(Action::requeue(NEWS));
    }
    let plan = plan(&cluster, &uid, &context).await?;
    let action = act(&cluster, &uid, plan, &context).await?;
    context.remember(&uid, |memory| memory.failures = 0);
    Ok(action)
}

/// How long to wait after a failure: longer each time.
pub fn failed(cluster: &SessionCluster, error: &ReconcileError, context: &Context) -> Action {
    let failures = context.remember(&cluster.uid().unwrap_or_default(), |memory| {
        memory.granted = false;
        memory.failures = memory.failures.saturating_add(1);
        memory.failures
    });
    let pause = PAUSE
        .0
        .saturating_mul(1 << (failures - 1).min(10))
        .min(PAUSE.1);
    tracing::warn!(
        namespace = cluster.namespace(),
        name = cluster.name_any(),
        %error,
        ?pause,
        "a session cluster is tried again"
    );
    Action::requeue(pause)
}

/// Observes and decides.
async fn plan(
    cluster: &SessionCluster,
    uid: &str,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    let to_run = cluster.metadata.deletion_timestamp.is_none()
        && cluster.spec.state == Some(DesiredClusterState::Running);
    let target = if to_run {
        place(cluster, context).await?
    } else {
        Target::At(cluster.namespace().unwrap_or_default())
    };
    let demand = if to_run {
        demand(cluster)
    } else {
        Ok(MilliCpu::ZERO)
    };
    let mut made = context.index.of(uid);
    let mut proof = Proof::Watched;
    let mut gate = None;
    loop {
        let namespace = match &target {
            Target::At(namespace) => namespace.as_str(),
            _ => "",
        };
        let wanted = if to_run {
            FlinkCluster::of_session_cluster(cluster, namespace, task_managers(cluster))
                .and_then(|flink| build(&flink, &context.build))
        } else {
            Ok(Vec::new())
        };
        let heard =
            jobmanager_pod(&made).map_or(Heard::Nothing, |pod| context.health.heard(uid, &pod.uid));
        let (settled, refused, uncounted) = context.remember(uid, |memory| {
            (
                memory.settled.clone(),
                memory.refused.as_ref().map(|(refusal, _)| refusal.clone()),
                memory
                    .uncounted
                    .map(|since| since.elapsed())
                    .unwrap_or_default(),
            )
        });
        let decision = decide(&Observed {
            cluster,
            now: Timestamp::now(),
            demand: demand.clone(),
            target: target.clone(),
            wanted,
            gate: gate.clone(),
            uncounted,
            made: &made,
            proof,
            settled: &settled,
            heard,
            refused,
        });
        match decision {
            Decision::Act(plan) => return Ok(*plan),
            Decision::AskGate => {
                let demand = demand.clone().unwrap_or_default();
                gate = Some(ask_gate(cluster, uid, demand, context).await?);
            }
            Decision::ReadAll => {
                made = context
                    .hand
                    .read_all(uid, &namespaces(cluster, &made))
                    .await?;
                context.index.correct(uid, &made);
                proof = Proof::Read;
            }
        }
    }
}

/// Namespaces that something of the cluster may lie in.
fn namespaces(cluster: &SessionCluster, made: &[Made]) -> Vec<String> {
    let status = cluster.status.as_ref();
    let mut all: Vec<String> = made.iter().map(|made| made.namespace.clone()).collect();
    all.extend(cluster.namespace());
    all.extend(status.and_then(|status| status.target_namespace.clone()));
    all.sort();
    all.dedup();
    all
}

/// CPU that it needs while it runs, by the very function that admission and the ledger use.
fn demand(cluster: &SessionCluster) -> Result<MilliCpu, String> {
    let object = serde_json::to_value(cluster).map_err(|error| error.to_string())?;
    let dialect = dialect_for(sluice_api::GROUP, "SessionCluster")
        .ok_or_else(|| "SessionCluster is no kind of this version".to_owned())?;
    let workload = dialect.workload(&object, &EmptyWorld);
    workload.map(|workload| workload.demand).map_err(|causes| {
        let causes: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        causes.join("; ")
    })
}

/// Where its pods run. Where they run already they stay.
async fn place(cluster: &SessionCluster, context: &Context) -> Result<Target, ReconcileError> {
    let own = cluster.namespace().unwrap_or_default();
    let status = cluster.status.as_ref();
    if allocated(cluster) > MilliCpu::ZERO
        && let Some(namespace) = status.and_then(|status| status.target_namespace.clone())
    {
        return Ok(Target::At(namespace));
    }
    let name = cluster.spec.deployment_target_name.as_deref();
    let defined = name.and_then(|name| {
        let target = context.targets.get(&ObjectRef::new(name).within(&own))?;
        Some(target.spec.kubernetes.namespace.clone())
    });
    match target::resolve(&own, name, defined.as_deref()) {
        Target::At(namespace) if namespace != own => {
            let labels = namespace_labels(&namespace, context).await?;
            Ok(target::accepted(&namespace, &own, labels.as_ref()))
        }
        resolved => Ok(resolved),
    }
}

async fn namespace_labels(namespace: &str, context: &Context) -> Result<Labels, ReconcileError> {
    let lock = || {
        context
            .labels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if let Some((at, labels)) = lock().get(namespace)
        && at.elapsed() < LABELS
    {
        return Ok(labels.clone());
    }
    let api: Api<Namespace> = Api::all(context.client.0.clone());
    let found = api
        .get_opt(namespace)
        .await
        .map_err(call("reading a namespace"))?;
    let labels = found.map(|namespace| namespace.metadata.labels.unwrap_or_default());
    let mut known = lock();
    known.retain(|_, (at, _)| at.elapsed() < LABELS);
    known.insert(namespace.to_owned(), (Instant::now(), labels.clone()));
    Ok(labels)
}

async fn ask_gate(
    cluster: &SessionCluster,
    uid: &str,
    demand: MilliCpu,
    context: &Context,
) -> Result<Verdict, ReconcileError> {
    let Some(ledger) = &context.ledger else {
        return Ok(Verdict::Open);
    };
    let namespace = cluster.namespace().unwrap_or_default();
    let version = cluster.resource_version().unwrap_or_default();
    let revision = Revision::parse(&version).unwrap_or_default();
    let verdict = match ledger.ask(RESOURCE, &namespace, uid, revision).await {
        Answer::NotYet => Verdict::NotCounted("the quotas have not been read yet".to_owned()),
        Answer::Quotas(standings) => {
            // One at a time: who is let in here is seen by the next one, before any status says so.
            let mut memory = context.lock();
            let waiting = if gate::is_crowded(&standings) {
                waiting(context, &memory)
            } else {
                Vec::new()
            };
            let verdict = gate::judge(&claim(cluster, demand), &standings, &waiting);
            let entry = memory.entry(uid.to_owned()).or_default();
            entry.granted = verdict == Verdict::Open;
            verdict
        }
    };
    context.remember(uid, |memory| match &verdict {
        Verdict::NotCounted(_) => {
            memory.uncounted.get_or_insert_with(Instant::now);
        }
        _ => memory.uncounted = None,
    });
    if matches!(verdict, Verdict::Refused(_)) {
        let labels = namespace_labels(&namespace, context).await?;
        let mode = labels.and_then(|labels| Mode::parse(labels.get(labels::MODE_QUOTA)?));
        if mode.is_some_and(|mode| mode != Mode::Enforce) {
            return Ok(Verdict::Open);
        }
    }
    Ok(verdict)
}

fn claim(cluster: &SessionCluster, demand: MilliCpu) -> Claim {
    let conditions = cluster.status.as_ref().map(|status| &status.conditions);
    let refused = conditions.and_then(|conditions| {
        set::get(conditions, words::types::QUOTA_EXCEEDED)
            .filter(|condition| condition.status == set::Truth::True.word())
    });
    let created = cluster.meta().creation_timestamp.as_ref();
    Claim {
        uid: cluster.uid().unwrap_or_default(),
        namespace: cluster.namespace().unwrap_or_default(),
        allocated: allocated(cluster),
        demand,
        refused_since: refused.map(|condition| condition.last_transition_time.0),
        created: created.map_or(Timestamp::MIN, |time| time.0),
    }
}

/// All that ask to run and have not been started.
fn waiting(context: &Context, memory: &HashMap<String, Memory>) -> Vec<Claim> {
    let all = context.clusters.state();
    all.iter()
        .filter(|cluster| {
            let uid = cluster.metadata.uid.as_deref().unwrap_or_default();
            cluster.spec.state == Some(DesiredClusterState::Running)
                && cluster.metadata.deletion_timestamp.is_none()
                && allocated(cluster) == MilliCpu::ZERO
                && !memory.get(uid).is_some_and(|memory| memory.granted)
        })
        .filter_map(|cluster| Some(claim(cluster, demand(cluster).ok()?)))
        .collect()
}

/// Does what was decided, in the order in which nothing can be lost.
async fn act(
    cluster: &SessionCluster,
    uid: &str,
    plan: Plan,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let client = &context.client.0;
    let mut metadata = ObjectMeta {
        name: cluster.metadata.name.clone(),
        namespace: cluster.metadata.namespace.clone(),
        uid: cluster.metadata.uid.clone(),
        resource_version: cluster.metadata.resource_version.clone(),
        ..ObjectMeta::default()
    };
    let finalizers = cluster.metadata.finalizers.clone().unwrap_or_default();
    if plan.finalizer == Finalizer::Add {
        let mut finalizers = finalizers.clone();
        finalizers.push(finalizers::TEARDOWN.to_owned());
        let written = status::set_finalizers(client, cluster, &finalizers).await;
        match written.map_err(call("adding the finalizer"))? {
            Written::Outdated => return Ok(outdated(uid, context)),
            Written::Stored(stored) => {
                replaced(uid, cluster, context);
                metadata.resource_version = stored.metadata.resource_version;
            }
        }
    }
    let is_leaving =
        plan.finalizer == Finalizer::Remove && cluster.metadata.deletion_timestamp.is_some();
    let has_news = cluster.status.as_ref() != Some(&plan.status);
    if has_news && !is_leaving {
        let next = SessionCluster {
            metadata: metadata.clone(),
            spec: cluster.spec.clone(),
            status: Some(plan.status),
        };
        let written = status::put(client, &next).await;
        match written.map_err(call("writing the status"))? {
            Written::Outdated => return Ok(outdated(uid, context)),
            Written::Stored(stored) => {
                replaced(uid, cluster, context);
                metadata.resource_version = stored.metadata.resource_version;
            }
        }
    }
    let mut again = plan.again;
    if let Some(sooner) = take_steps(uid, &plan.steps, context).await? {
        again = Some(again.map_or(sooner, |again| again.min(sooner)));
    }
    if has_news || is_leaving {
        let regarding = cluster.object_ref(&());
        for note in &plan.notes {
            context.events.write(&regarding, note).await;
        }
    }
    if plan.finalizer == Finalizer::Remove {
        let kept: Vec<String> = finalizers
            .into_iter()
            .filter(|name| name != finalizers::TEARDOWN)
            .collect();
        let mut at = cluster.clone();
        at.metadata = metadata;
        let written = status::set_finalizers(client, &at, &kept).await;
        match written.map_err(call("removing the finalizer"))? {
            Written::Outdated => return Ok(outdated(uid, context)),
            Written::Stored(_) => replaced(uid, cluster, context),
        }
    }
    let made = context.index.of(uid);
    if let (Some(pod), Some(address)) = (jobmanager_pod(&made), address(&made, context)) {
        let asked = Asked {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            uid: uid.to_owned(),
            pod: pod.uid.clone(),
            address,
        };
        if let Some(sooner) = context.health.listen(asked, plan.listen) {
            again = Some(again.map_or(sooner, |again| again.min(sooner)));
        }
    }
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

fn outdated(uid: &str, context: &Context) -> Action {
    context.remember(uid, |memory| memory.granted = false);
    Action::requeue(PAUSE.0)
}

fn replaced(uid: &str, cluster: &SessionCluster, context: &Context) {
    context.remember(uid, |memory| {
        memory
            .replaced
            .clone_from(&cluster.metadata.resource_version);
    });
}

/// Takes the steps; returns when to look again, should that be sooner than anything is heard.
async fn take_steps(
    uid: &str,
    steps: &[Step],
    context: &Context,
) -> Result<Option<Duration>, ReconcileError> {
    let pause = context.remember(uid, |memory| {
        let (_, until) = memory.refused.as_ref()?;
        Some(until.saturating_duration_since(Instant::now())).filter(|pause| !pause.is_zero())
    });
    let mut again = None;
    let mut was_refused = None;
    for step in steps {
        match step {
            Step::Ensure(_) if pause.is_some() => again = pause,
            Step::Ensure(built) => match context.hand.ensure(built).await {
                Ok(ensured) => context.remember(uid, |memory| {
                    memory.settled.insert(ensured.uid, ensured.digest);
                }),
                Err(HandError::BeingDeleted { .. }) => again = Some(NEWS),
                Err(error @ HandError::Refused { .. }) => {
                    was_refused.get_or_insert((reasons::OBJECT_REFUSED, error.to_string()));
                }
                Err(error @ HandError::NameTaken { .. }) => {
                    was_refused.get_or_insert((reasons::NAME_TAKEN, error.to_string()));
                }
                Err(error) => return Err(error.into()),
            },
            Step::Scale(made, replicas) => context.hand.scale(made, *replicas).await?,
            Step::Delete(made) => {
                let is_going = context.remember(uid, |memory| {
                    memory.going.retain(|_, since| since.elapsed() < GOING);
                    memory.going.contains_key(&made.uid)
                });
                if !is_going {
                    context.hand.delete(made).await?;
                    context.remember(uid, |memory| {
                        memory.settled.remove(&made.uid);
                        memory.going.insert(made.uid.clone(), Instant::now());
                    });
                }
                again = Some(GOING);
            }
        }
    }
    if pause.is_some() {
        return Ok(again);
    }
    let has_changed = context.remember(uid, |memory| {
        let before = memory.refused.take().map(|(refusal, _)| refusal);
        memory.refused = was_refused
            .map(|(reason, message)| (Refusal { reason, message }, Instant::now() + REFUSED));
        before.as_ref() != memory.refused.as_ref().map(|(refusal, _)| refusal)
    });
    // What is told of it follows at once.
    Ok(if has_changed {
        Some(Duration::from_millis(10))
    } else {
        again
    })
}

fn address(made: &[Made], context: &Context) -> Option<String> {
    made.iter().find_map(|made| match &made.detail {
        Detail::Service {
            cluster_ip: Some(ip),
        } => Some((context.address.0)(ip)),
        _ => None,
    })
}
