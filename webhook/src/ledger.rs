//! The webhook's side of the quota ledger: requests that raise CPU take holds in the status of every matching quota before
//! they are answered.
//!
//! One task per quota and replica ([`actor`]) collects waiting requests, decides them with `sluice_policy::ledger` and
//! writes one status per batch, by compare-and-swap ([`store`]). Handlers only await the answer, so a connection that breaks
//! leaves no half-done write behind: what was taken for an answer that nobody heard is taken back.
//!
//! Confirming and expiring holds is the controller's leader's work (`sluice_controller::ledger`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sluice_policy::MilliCpu;
use sluice_policy::ledger::{
    Ask, Enforcement, Figures, Hold, ObjectKey, Outcome, Over, QuotaKey, Reason, Refusal, Request,
    Revision, Run, Why,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

pub mod actor;
mod calls;
pub mod metrics;
pub mod store;

pub use metrics::LedgerMetrics;
pub use store::{KubeStore, QuotaStore, StoreError, Stored};

use actor::{Actor, Answer, Guard, Message, Waiting};
use calls::Calls;

/// How the actors behave.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Least time between two writes to one quota. While it passes, requests gather into the next batch.
    pub min_interval: Duration,
    /// Longest that one call of the API server may take before its outcome counts as unknown.
    pub call_timeout: Duration,
    /// How long before the request's own deadline the answer is given, or half of the time that is left where that is less: time
    /// for our message to reach the user.
    pub answer_margin: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_interval: Duration::from_millis(10),
            call_timeout: Duration::from_secs(2),
            // What we are given is the request's own deadline (less the way back). The API server started its clock before ours,
            // when it began to send, and a refusal that comes after its end is told as a time-out (quota-ledger.md, Admit 3).
            answer_margin: Duration::from_secs(1),
        }
    }
}

/// An increase that is to hold in every quota of its namespace.
#[derive(Clone, Debug)]
pub struct Reserve {
    /// Which object.
    pub object: ObjectKey,
    /// Its uid, as the validating review has it.
    pub uid: String,
    /// Resource version of the old object; [`Revision::NONE`] on create.
    pub base: Revision,
    /// Charge before; zero on create.
    pub from: MilliCpu,
    /// Charge after.
    pub to: MilliCpu,
    /// User who asks.
    pub by: String,
    /// Start or growth.
    pub ask: Ask,
    /// The namespace's mode for quotas.
    pub enforcement: Enforcement,
    /// Real or dry-run.
    pub run: Run,
}

/// What becomes of an increase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds in every quota. `over`: those whose limit it passes by right, and those that it was let through in spite of,
    /// because the namespace's mode does not enforce.
    Admitted {
        /// In the order of the quotas.
        over: Vec<Over>,
    },
    /// It holds in none.
    Refused(Refusal),
}

/// Holds of an attempt whose answer has not gone out. Dropped, they are taken back.
#[derive(Debug, Default)]
pub struct Untold {
    guards: Vec<Guard>,
}

impl Untold {
    /// The answer is on its way: from now on only the leader may free the holds.
    pub fn told(self) {
        for guard in self.guards {
            guard.answered();
        }
    }

    /// Whether there is nothing to take back.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }
}

/// Takes holds. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn QuotaStore>,
    settings: Settings,
    metrics: LedgerMetrics,
    /// Names this process. Random, for a container that restarts keeps its pod's name, and must not take the holds of its
    /// former life for its own.
    replica: String,
    sequence: AtomicU64,
    actors: Mutex<HashMap<QuotaKey, Running>>,
}

/// An actor, from outside.
#[derive(Clone)]
struct Running {
    messages: mpsc::UnboundedSender<Message>,
    calls: Arc<Calls>,
}

impl Ledger {
    /// A ledger over a store. Must be called within a tokio runtime; actors live until the ledger is dropped, or nobody has asked for
    /// their quota for long.
    pub fn new(store: Arc<dyn QuotaStore>, settings: Settings, metrics: LedgerMetrics) -> Self {
        let inner = Inner {
            store,
            settings,
            metrics,
            replica: format!("{:012x}", rand::random::<u64>() >> 16),
            sequence: AtomicU64::new(0),
            actors: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Takes a hold in each of these quotas, in the one order that all replicas keep to, or in none.
    ///
    /// What does not raise the charge is admitted at once, whatever state the ledger is in. The answer comes a margin before
    /// `deadline`; if it cannot be had by then it is a refusal that asks to come again. When the returned future is dropped
    /// before it is ready, holds that it has taken are taken back.
    pub async fn reserve(
        &self,
        quotas: &[QuotaKey],
        reserve: Reserve,
        deadline: Instant,
    ) -> Verdict {
        let (verdict, untold) = self.reserve_untold(quotas, reserve, deadline).await;
        untold.told();
        verdict
    }

    /// Like [`Ledger::reserve`], for a caller that knows whether the answer went out: until [`Untold::told`], dropping what
    /// comes with the verdict takes the holds back.
    pub async fn reserve_untold(
        &self,
        quotas: &[QuotaKey],
        reserve: Reserve,
        deadline: Instant,
    ) -> (Verdict, Untold) {
        if reserve.to <= reserve.from {
            let nothing = Verdict::Admitted { over: Vec::new() };
            return (nothing, Untold::default());
        }
        let mut quotas = quotas.to_vec();
        quotas.sort();
        quotas.dedup();
        let now = Instant::now();
        let margin = self
            .inner
            .settings
            .answer_margin
            .min(deadline.saturating_duration_since(now) / 2);
        let limit = deadline - margin;
        let request = self.request(&reserve);
        let mut guards = Vec::with_capacity(quotas.len());
        let mut over = Vec::new();
        for quota in &quotas {
            let answer = self.ask(quota, request.clone(), limit).await;
            guards.extend(answer.guard);
            match answer.outcome {
                Outcome::Unneeded => {}
                Outcome::Admitted { over: past } => over.extend(past),
                Outcome::Refused(refusal) if reserve.enforcement == Enforcement::LetThrough => {
                    over.push(Over {
                        why: Why::NotEnforced,
                        refusal,
                    });
                }
                // Dropping the guards takes back what this attempt holds in earlier quotas.
                Outcome::Refused(refusal) => {
                    return (Verdict::Refused(refusal), Untold::default());
                }
            }
        }
        (Verdict::Admitted { over }, Untold { guards })
    }

    /// Its counters.
    pub fn metrics(&self) -> &LedgerMetrics {
        &self.inner.metrics
    }

    fn request(&self, reserve: &Reserve) -> Request {
        let sequence = self.inner.sequence.fetch_add(1, Ordering::Relaxed);
        Request {
            hold: Hold {
                id: format!("{}-{sequence}", self.inner.replica),
                object: reserve.object.clone(),
                uid: reserve.uid.clone(),
                base: reserve.base,
                from: reserve.from,
                to: reserve.to,
                by: reserve.by.chars().take(128).collect(),
            },
            ask: reserve.ask,
            enforcement: reserve.enforcement,
            run: reserve.run,
        }
    }

    async fn ask(&self, quota: &QuotaKey, request: Request, limit: Instant) -> Answer {
        let since = Instant::now();
        let mut late = Refusal {
            quota: quota.clone(),
            ask: request.ask,
            reason: Reason::Contended,
            figures: Figures {
                asked: request.hold.to.minus(request.hold.from),
                ..Figures::default()
            },
        };
        let (reply, answer) = oneshot::channel();
        let waiting = Waiting::new(request, limit, reply);
        let mut actor = self.actor(quota);
        if let Err(unsent) = actor.messages.send(Message::Reserve(Box::new(waiting))) {
            // It has ended in this very moment, for want of requests; the next one has only begun to wait.
            actor = self.actor(quota);
            let _ = actor.messages.send(unsent.0);
        }
        if let Ok(Ok(answer)) = tokio::time::timeout_at(limit, answer).await {
            answer
        } else {
            self.inner.metrics.late();
            if let Some(why) = actor.calls.trouble_since(since) {
                late.reason = Reason::Unreachable(why);
            }
            Answer::refused(late)
        }
    }

    fn actor(&self, quota: &QuotaKey) -> Running {
        let mut actors = self
            .inner
            .actors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let running = actors.get(quota);
        if let Some(running) = running.filter(|running| !running.messages.is_closed()) {
            return running.clone();
        }
        let (messages, receiver) = mpsc::unbounded_channel();
        let calls = Arc::new(Calls::default());
        let actor = Actor::new(
            quota.clone(),
            Arc::clone(&self.inner.store),
            self.inner.settings,
            self.inner.metrics.clone(),
            messages.downgrade(),
            Arc::clone(&calls),
        );
        tokio::spawn(actor.run(receiver));
        let running = Running { messages, calls };
        actors.retain(|_, running| !running.messages.is_closed());
        actors.insert(quota.clone(), running.clone());
        running
    }
}
