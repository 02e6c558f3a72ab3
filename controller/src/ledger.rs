//! The leader's side of the quota ledger: it counts every quota from an exact view of all workloads, drops holds that this
//! view covers, and sees to holds that stay undecided.
//!
//! * [`resources`]: list and watch of each workload resource, at exact revisions;
//! * [`quotas`]: list and watch, reads and writes of the quotas themselves;
//! * [`keeper`]: the loop that decides when to count what, with `sluice_policy::ledger`;
//! * [`standing`]: what the keeper tells those who are about to give an object CPU;
//! * [`gate`]: the second gate, behind admission: whether all quotas cover a start or growth. Pure; [`claim`]: who wants CPU, [`queue`]: who
//!   waits for it, [`door`]: the way there;
//! * [`dialects`]: which resources those are, and what their objects cost;
//! * [`first_look`]: whether a quota may be counted in a scope in which it was not counted before; [`looks`]: those that are under way;
//! * [`absence`]: whether a kind that is not served is gone;
//! * [`facts`] and [`operator`]: what charges look up elsewhere;
//! * [`sightings`]: since when this process has known each hold, whether it led or not;
//! * [`undecided`]: reads, fences and drops for holds that are due.
//!
//! Safe with several leaders: every write is a compare-and-swap, and what may be written is decided from the copy that it is
//! swapped against. Taking holds is `sluice_webhook::ledger`'s work.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use sluice_policy::MilliCpu;
use sluice_policy::ledger::expire::UNDECIDED;

use crate::leader::Leadership;
use facts::Facts;
use sightings::Sightings;

pub mod absence;
pub mod claim;
pub mod dialects;
pub mod door;
pub mod facts;
pub mod first_look;
pub mod gate;
pub mod keeper;
pub mod looks;
pub mod operator;
pub mod queue;
pub mod quotas;
pub mod resources;
pub mod sightings;
pub mod standing;
pub mod undecided;

/// A resource whose objects may be charged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// API group.
    pub group: String,
    /// Version to list and watch.
    pub version: String,
    /// Plural.
    pub plural: String,
}

impl Resource {
    /// `plural.group`, as the ledger writes it.
    pub fn key(&self) -> String {
        format!("{}.{}", self.plural, self.group)
    }

    /// Path of all its objects.
    pub fn path(&self) -> String {
        format!("/apis/{}/{}/{}", self.group, self.version, self.plural)
    }

    /// Path of the objects of a namespace.
    pub fn path_in(&self, namespace: &str) -> String {
        format!(
            "/apis/{}/{}/namespaces/{namespace}/{}",
            self.group, self.version, self.plural
        )
    }
}

/// The charge of a stored object. A function of the object and of facts that the same watches bring ([`facts`]): the ledger
/// is only as exact as that.
pub type ChargeOf = Arc<dyn Fn(&Resource, &Value) -> MilliCpu + Send + Sync>;

/// How the keeper works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long changes gather before quotas are counted again. Where usage falls it is done at once.
    pub debounce: Duration,
    /// How long a hold may stay undecided. Below [`UNDECIDED`] only in tests: a create may still land until then.
    pub undecided: Duration,
    /// Between looks for holds that are due.
    pub expiry_tick: Duration,
    /// Between looks whether a resource that is not served has come.
    pub absent_retry: Duration,
    /// Objects per page of a list. A page is held whole, and one object may have 1.5 MB.
    pub page: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(200),
            undecided: UNDECIDED,
            expiry_tick: Duration::from_secs(5),
            absent_retry: Duration::from_secs(2),
            page: 100,
        }
    }
}

/// What the keeper needs.
#[derive(Clone)]
pub struct LedgerKeeper {
    /// The API server.
    pub client: Client,
    /// Every resource that may hold workloads, whether it is served or not.
    pub resources: Vec<Resource>,
    /// What an object costs.
    pub charge: ChargeOf,
    /// Where charges depend on other objects: which resources have to be listed anew.
    pub facts: Option<Arc<Facts>>,
    /// Which holds this process has seen, and since when.
    pub sightings: Arc<Sightings>,
    /// How to work.
    pub settings: Settings,
}

impl fmt::Debug for LedgerKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerKeeper")
            .field("resources", &self.resources)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl LedgerKeeper {
    /// Keeps the ledger of every quota, and answers questions about it; never returns. Dropping the future ends all of it.
    pub async fn keep(&self, questions: standing::Questions) {
        keeper::keep(self, Some(questions)).await;
    }

    /// Waits until this process leads, and takes note of holds meanwhile.
    pub async fn stand_by(&self, leadership: &mut Leadership) {
        tokio::select! {
            biased;
            () = leadership.acquired() => {}
            () = self.sightings.gather(&self.client) => {}
        }
    }

    /// Keeps the ledger of every quota while this process leads; never returns. Dropping the future ends all of it.
    pub async fn run(&self, mut leadership: Leadership) {
        loop {
            self.stand_by(&mut leadership).await;
            tokio::select! {
                () = keeper::keep(self, None) => {}
                () = leadership.lost() => {}
            }
        }
    }
}
