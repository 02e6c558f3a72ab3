//! The seam to the quota ledger: what the gate asks of it, and what it answers.
//!
//! The ledger itself, with its actors and its compare-and-swap, is in `ledger/`.

mod by_ledger;
mod second_look;

pub use by_ledger::ByLedger;

use futures::future::BoxFuture;
use sluice_api::events::EventReason;
use sluice_policy::admit::Demand;
use sluice_policy::{KindInfo, Mode, Refusal, Rule};
use tokio::time::Instant;

/// Whether anything will be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// The request is meant.
    Real,
    /// It is decided alike and leaves no trace.
    DryRun,
}

/// A charge that rises, and of what.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The workload's kind.
    pub kind: &'static KindInfo,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name; final in the validating call.
    pub name: &'a str,
    /// Its uid; final in the validating call.
    pub uid: &'a str,
    /// The stored object's resourceVersion, `0` on a create: with the uid it names the only transition that this
    /// request can cause.
    pub base: &'a str,
    /// From, to, and why.
    pub demand: Demand,
    /// Who asks.
    pub by: &'a str,
    /// Whether it is meant.
    pub run: Run,
    /// The namespace's mode: `Warn` and `Off` take the hold all the same.
    pub mode: Mode,
}

/// Something that people should find on an object later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Which quota.
    pub quota: QuotaRef,
    /// What was refused: the same one is not told of again and again, whatever the figures are by then.
    pub subject: String,
    /// What happened.
    pub reason: EventReason,
    /// The sentence.
    pub note: String,
}

/// A quota, for an Event on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuotaRef {
    /// `CpuQuota` or `ClusterCpuQuota`.
    pub kind: &'static str,
    /// Its namespace; empty for a `ClusterCpuQuota`.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What the ledger answers.
#[derive(Default)]
pub struct Answer {
    /// A refusal, with the mode already applied.
    pub refusal: Option<Refusal>,
    /// The rule that would have refused, whatever the mode.
    pub raw: Option<&'static Rule>,
    /// Admission warnings.
    pub warnings: Vec<String>,
    /// For Events; empty in a dry-run.
    pub incidents: Vec<Incident>,
    /// The holds of this very attempt.
    pub hold: Option<Box<dyn Hold>>,
}

/// Holds that were taken for one attempt. Dropped before [`Hold::delivered`], they are given back: nobody was told
/// "allowed".
pub trait Hold: Send {
    /// The answer has gone out; from now on only the controller's leader may drop the holds.
    fn delivered(self: Box<Self>);
}

/// The ledger, as the gate sees it.
pub trait QuotaGate: Send + Sync {
    /// Takes a hold in every quota that covers the namespace, or says why not, before the deadline.
    fn reserve<'a>(&'a self, ask: Ask<'a>, deadline: Instant) -> BoxFuture<'a, Answer>;

    /// Whether a create of this name would strand a hold: a quota covers it, and an object of the name was there a moment ago, as
    /// far as is known without asking.
    fn may_strand(&self, _kind: &'static KindInfo, _namespace: &str, _name: &str) -> bool {
        false
    }
}

/// A cluster without quotas.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoQuota;

impl QuotaGate for NoQuota {
    fn reserve<'a>(&'a self, _ask: Ask<'a>, _deadline: Instant) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::default()))
    }
}
