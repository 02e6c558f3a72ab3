//! The edge: what every reconciliation needs, and its order: [`super::observe`], then [`super::act`]. What is remembered between two reconciliations only
//! saves work; all of it may be lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};
use sluice_api::{DeploymentTarget, SessionCluster};
use tokio::time::Instant;

use super::act::act;
use super::health::{AddressOf, Health};
use super::observe::plan;
use super::state::Refusal;
use crate::ledger::claim::waiting_in;
use crate::ledger::door::Door;
use crate::ledger::standing::Asker;
use crate::objects::BuildSettings;
use crate::runtime::call::CallError;
use crate::runtime::events::Events;
use crate::runtime::hand::{Hand, HandError};
use crate::runtime::index::Index;
use crate::runtime::namespaces::Namespaces;

/// The ledger's name of the resource.
const RESOURCE: &str = "sessionclusters.sluice.dev";
/// First and longest pause after something failed.
pub(super) const PAUSE: (Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(30));
/// For news that the watches must bring.
pub(super) const NEWS: Duration = Duration::from_secs(1);

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
    /// The second gate.
    pub door: Door,
    /// Labels of namespaces.
    pub namespaces: Namespaces,
    /// All targets.
    pub targets: Store<DeploymentTarget>,
    /// How objects are made.
    pub build: BuildSettings,
    pub(super) client: ClientBox,
    pub(super) address: AddressBox,
    memory: Mutex<HashMap<String, Memory>>,
}

/// Parts that cannot print themselves.
pub(super) struct ClientBox(pub(super) Client);
pub(super) struct AddressBox(pub(super) AddressOf);

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
pub(super) struct Memory {
    /// Digests of objects that are known to be as they should be.
    pub(super) settled: HashMap<String, u64>,
    /// The version that our own last write replaced: seen again, it is old news.
    pub(super) replaced: Option<String>,
    /// Why an object could not be made, and when to try again.
    pub(super) refused: Option<(Refusal, Instant)>,
    /// Why something could not be scaled or removed. That is tried each time.
    pub(super) hindered: Option<Refusal>,
    /// Since when a quota has not counted it.
    pub(super) uncounted: Option<Instant>,
    /// Objects that have been deleted a moment ago: the watch may not have told yet.
    pub(super) going: HashMap<String, Instant>,
    /// Failures in a row.
    pub(super) failures: u32,
}

/// Why a reconciliation failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// A made object could not be read, made or removed.
    #[error(transparent)]
    Hand(#[from] HandError),
    /// Another call failed.
    #[error(transparent)]
    Call(#[from] CallError),
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
    /// Asks the ledger; `None`: there is no second gate.
    pub ledger: Option<Asker>,
    /// All session clusters.
    pub clusters: Store<SessionCluster>,
    /// See [`Context::targets`].
    pub targets: Store<DeploymentTarget>,
    /// See [`Context::build`].
    pub build: BuildSettings,
}

impl Context {
    /// Nothing remembered yet. `address`: where a JobManager's REST API is.
    pub fn new(client: Client, address: AddressOf, parts: Parts) -> Self {
        let namespaces = Namespaces::new(client.clone());
        if let Some(ledger) = &parts.ledger {
            let waiting = waiting_in(parts.clusters, "SessionCluster");
            ledger.queue().join(RESOURCE, waiting);
        }
        Self {
            hand: Hand::new(client.clone()),
            index: parts.index,
            events: parts.events,
            health: parts.health,
            door: Door::new(RESOURCE, parts.ledger, namespaces.clone()),
            namespaces,
            targets: parts.targets,
            build: parts.build,
            client: ClientBox(client),
            address: AddressBox(address),
            memory: Mutex::default(),
        }
    }

    /// A cluster is gone.
    pub fn forget(&self, uid: &str) {
        self.health.forget(uid);
        self.lock().remove(uid);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<String, Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember<T>(&self, uid: &str, change: impl FnOnce(&mut Memory) -> T) -> T {
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
    let uid = cluster.uid().unwrap_or_default();
    context.door.withdraw(&uid);
    let failures = context.remember(&uid, |memory| {
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
