//! The task that owns one quota in this replica: it gathers requests, decides them in batches, and writes.
//!
//! Rules it keeps, which the model in `sluice-policy` checks:
//! * an answer that needs a write is given only after that write has succeeded at the version it was evaluated at;
//! * an answer that needs none (a refusal, a dry-run) is given only from a copy read after the request came in, or a newer one;
//! * an attempt holds under its own id, and only what was never answered is taken back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sluice_policy::ledger::{
    Account, Figures, Outcome, QuotaKey, Reason, Refusal, Request, reserve,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::Settings;
use super::calls::{Calls, NO_ANSWER};
use super::metrics::LedgerMetrics;
use super::store::{QuotaStore, StoreError, Stored};

/// Longest pause after repeated conflicts or failures.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long to try to take back what was never answered; then the leader's expiry sees to it.
const TAKE_BACK_FOR: Duration = Duration::from_secs(30);
/// After so long without a request an actor ends; the next one begins another. Much longer than any answer is waited for, so that none of
/// its holds is still to be told of.
const IDLE: Duration = Duration::from_mins(10);

/// What an actor is asked.
#[derive(Debug)]
pub enum Message {
    /// Take a hold.
    Reserve(Box<Waiting>),
    /// Take back a hold that was never answered.
    TakeBack(String),
}

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Waiting {
    request: Request,
    limit: Instant,
    since: Instant,
    reply: oneshot::Sender<Answer>,
    /// A write with this request in it may have happened unheard.
    maybe_written: bool,
}

impl Waiting {
    /// A request that came in now and is to be answered by `limit`.
    pub fn new(request: Request, limit: Instant, reply: oneshot::Sender<Answer>) -> Self {
        Self {
            request,
            limit,
            since: Instant::now(),
            reply,
            maybe_written: false,
        }
    }

    fn id(&self) -> &str {
        &self.request.hold.id
    }
}

/// The answer to a request, with the duty to take its hold back should it never be delivered.
#[derive(Debug)]
pub struct Answer {
    /// The decision.
    pub outcome: Outcome,
    /// Takes the hold back when dropped.
    pub guard: Option<Guard>,
}

impl Answer {
    /// A refusal that nothing needs to be taken back for.
    pub fn refused(refusal: Refusal) -> Self {
        Self {
            outcome: Outcome::Refused(refusal),
            guard: None,
        }
    }
}

/// A hold that nobody was told of yet. Dropped, it is taken back: the future of the handler was dropped, or another quota
/// refused.
#[derive(Debug)]
pub struct Guard {
    id: String,
    actor: Option<mpsc::WeakUnboundedSender<Message>>,
}

impl Guard {
    /// The answer is on its way: from now on only the leader may free the hold.
    pub fn answered(mut self) {
        self.actor = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(actor) = self.actor.take().and_then(|actor| actor.upgrade()) {
            // If the actor has ended, so has the process, or it is long ago; the leader expires the hold.
            let _ = actor.send(Message::TakeBack(std::mem::take(&mut self.id)));
        }
    }
}

/// A copy of the quota, and the moment before which everything is contained in it.
#[derive(Debug)]
struct Copy {
    stored: Stored,
    as_of: Option<Instant>,
}

/// What is to be taken back.
#[derive(Debug)]
struct TakeBack {
    id: String,
    since: Instant,
}

/// How a round ended.
enum Turn {
    /// All that waited was answered.
    Done,
    /// Evaluate again, at once.
    Again,
    /// Evaluate again, after a pause.
    Pause,
}

/// One quota's task.
pub struct Actor {
    key: QuotaKey,
    store: Arc<dyn QuotaStore>,
    settings: Settings,
    metrics: LedgerMetrics,
    itself: mpsc::WeakUnboundedSender<Message>,
    calls: Arc<Calls>,
    copy: Option<Copy>,
    waiting: VecDeque<Waiting>,
    take_back: Vec<TakeBack>,
    next_write: Instant,
    pauses: u32,
}

impl Actor {
    /// An actor for a quota; `itself` is where its holds' guards report, `calls` where it tells how its calls go.
    pub(super) fn new(
        key: QuotaKey,
        store: Arc<dyn QuotaStore>,
        settings: Settings,
        metrics: LedgerMetrics,
        itself: mpsc::WeakUnboundedSender<Message>,
        calls: Arc<Calls>,
    ) -> Self {
        Self {
            key,
            store,
            settings,
            metrics,
            itself,
            calls,
            copy: None,
            waiting: VecDeque::new(),
            take_back: Vec::new(),
            next_write: Instant::now(),
            pauses: 0,
        }
    }

    /// Runs until all senders are gone, or nothing has come for long.
    pub async fn run(mut self, mut messages: mpsc::UnboundedReceiver<Message>) {
        loop {
            if self.waiting.is_empty() && self.take_back.is_empty() {
                match timeout(IDLE, messages.recv()).await {
                    Ok(Some(message)) => self.take(message),
                    Ok(None) => return,
                    Err(_) => {
                        // What was sent in this very moment is still received, and done.
                        messages.close();
                        continue;
                    }
                }
            }
            sleep_until(self.next_write).await;
            while let Ok(message) = messages.try_recv() {
                self.take(message);
            }
            self.drop_the_departed();
            let mut turn = self.round().await;
            // A second look at the same requests must not wait for new ones, or a stream of these would starve it.
            while matches!(turn, Turn::Again) {
                self.drop_the_departed();
                turn = self.round().await;
            }
            match turn {
                Turn::Done | Turn::Again => self.pauses = 0,
                Turn::Pause => self.pause().await,
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Reserve(waiting) => self.waiting.push_back(*waiting),
            Message::TakeBack(id) => self.take_back.push(TakeBack {
                id,
                since: Instant::now(),
            }),
        }
    }

    /// Those who no longer listen get nothing; what may have been written for them is taken back.
    fn drop_the_departed(&mut self) {
        let now = Instant::now();
        let take_back = &mut self.take_back;
        self.waiting.retain(|waiting| {
            let departed = waiting.reply.is_closed() || waiting.limit <= now;
            if departed && waiting.maybe_written {
                take_back.push(TakeBack {
                    id: waiting.id().to_owned(),
                    since: now,
                });
            }
            !departed
        });
        self.take_back
            .retain(|back| now.saturating_duration_since(back.since) < TAKE_BACK_FOR);
    }

    async fn pause(&mut self) {
        self.pauses = self.pauses.saturating_add(1);
        let longest = Duration::from_millis(2)
            .saturating_mul(1 << self.pauses.min(8))
            .min(LONGEST_PAUSE);
        sleep(longest.mul_f64(rand::random())).await;
    }

    async fn round(&mut self) -> Turn {
        if self.waiting.is_empty() && self.take_back.is_empty() {
            return Turn::Done;
        }
        if let Some(newest) = self.store.newest(&self.key)
            && self
                .copy
                .as_ref()
                .is_none_or(|copy| newest.newer_than(&copy.stored))
        {
            // It contains all that the older copy does, also what was read live for those who wait. Else a quota that others write to all
            // the time would be read again and again.
            let as_of = self.copy.as_ref().and_then(|copy| copy.as_of);
            self.copy = Some(Copy {
                stored: newest,
                as_of,
            });
        }
        let Some(copy) = self.copy.take() else {
            return self.look().await;
        };
        let Copy { stored, as_of } = copy;
        let account = match &stored.account {
            Ok(account) => account.clone(),
            Err(error) if self.is_current(as_of) => {
                let reason = Reason::Unreadable(error.to_string());
                self.copy = Some(Copy { stored, as_of });
                self.refuse_all(&reason);
                self.take_back.clear();
                return Turn::Done;
            }
            Err(_) => return self.look().await,
        };
        self.evaluate(stored, as_of, account).await
    }

    async fn evaluate(
        &mut self,
        stored: Stored,
        as_of: Option<Instant>,
        mut account: Account,
    ) -> Turn {
        let ids: Vec<String> = self.take_back.iter().map(|back| back.id.clone()).collect();
        let before = account.book.pending.len();
        let released = account.book.release(&ids);
        if let Some(book) = &released {
            account.book = book.clone();
        }
        let taken_back = before - account.book.pending.len();
        let requests: Vec<Request> = self
            .waiting
            .iter()
            .map(|waiting| waiting.request.clone())
            .collect();
        let round = reserve(&account, &requests);
        let Some(book) = round.write.or(released) else {
            if !self.is_current(as_of) {
                return self.look().await;
            }
            self.copy = Some(Copy { stored, as_of });
            self.take_back.clear();
            self.answer_all(round.outcomes);
            return Turn::Done;
        };
        let started = Instant::now();
        self.next_write = started + self.settings.min_interval;
        let write = self.call(self.store.write(&stored, &account, &book)).await;
        self.calls.wrote(&write);
        match write {
            Ok(stored) => {
                self.metrics.wrote(taken_back);
                self.copy = Some(Copy {
                    stored,
                    as_of: Some(started),
                });
                self.take_back.clear();
                self.answer_all(round.outcomes);
                Turn::Done
            }
            Err(StoreError::Conflict) => {
                self.metrics.conflict();
                // The first loser of a race goes again at once; those that lose again spread out.
                if self.pauses > 0 {
                    self.pause().await;
                }
                self.pauses = self.pauses.saturating_add(1);
                self.look().await
            }
            Err(StoreError::Gone) => self.gone(),
            Err(error @ (StoreError::Refused(_) | StoreError::Failed(_))) => {
                self.metrics.failure();
                tracing::warn!(quota = %self.key, %error, "writing a quota failed; it is read and tried again");
                if matches!(error, StoreError::Failed(_)) {
                    for waiting in &mut self.waiting {
                        // Neither who was refused nor a dry-run stands in it.
                        waiting.maybe_written |= book.holds(waiting.id());
                    }
                }
                Turn::Pause
            }
        }
    }

    /// Reads live. The batch is evaluated again after it.
    async fn look(&mut self) -> Turn {
        self.metrics.live_read();
        let started = Instant::now();
        let read = self.call(self.store.read(&self.key)).await;
        self.calls.read(&read);
        match read {
            Ok(stored) => {
                self.copy = Some(Copy {
                    stored,
                    as_of: Some(started),
                });
                Turn::Again
            }
            Err(StoreError::Gone) => self.gone(),
            Err(error) => {
                self.metrics.failure();
                tracing::warn!(quota = %self.key, %error, "reading a quota failed; it is tried again");
                self.copy = None;
                Turn::Pause
            }
        }
    }

    async fn call(
        &self,
        call: impl Future<Output = Result<Stored, StoreError>>,
    ) -> Result<Stored, StoreError> {
        self.calls.begun();
        let answer = timeout(self.settings.call_timeout, call).await;
        answer.unwrap_or_else(|_| Err(StoreError::Failed(NO_ANSWER.to_owned())))
    }

    /// Whether a copy contains everything that happened before any of the waiting requests came in.
    fn is_current(&self, as_of: Option<Instant>) -> bool {
        let newest = self.waiting.iter().map(|waiting| waiting.since);
        let newest = newest
            .chain(self.take_back.iter().map(|back| back.since))
            .max();
        as_of.is_some_and(|as_of| newest.is_none_or(|newest| newest <= as_of))
    }

    /// A quota that does not exist limits nothing.
    fn gone(&mut self) -> Turn {
        self.copy = None;
        self.take_back.clear();
        for waiting in self.waiting.drain(..) {
            let outcome = Outcome::Admitted { over: None };
            let _ = waiting.reply.send(Answer {
                outcome,
                guard: None,
            });
        }
        Turn::Done
    }

    fn refuse_all(&mut self, reason: &Reason) {
        for waiting in self.waiting.drain(..) {
            let refusal = Refusal {
                quota: self.key.clone(),
                ask: waiting.request.ask,
                reason: reason.clone(),
                figures: Figures {
                    asked: waiting.request.hold.to.minus(waiting.request.hold.from),
                    ..Figures::default()
                },
            };
            let _ = waiting.reply.send(Answer::refused(refusal));
        }
    }

    fn answer_all(&mut self, outcomes: Vec<Outcome>) {
        let current = self
            .copy
            .as_ref()
            .and_then(|copy| copy.stored.account.as_ref().ok());
        for (waiting, outcome) in self.waiting.drain(..).zip(outcomes) {
            let held = current.is_some_and(|account| account.book.holds(waiting.id()));
            self.metrics.held(usize::from(held));
            let guard = held.then(|| Guard {
                id: waiting.id().to_owned(),
                actor: Some(self.itself.clone()),
            });
            // A reply that nobody hears drops the guard, which asks for the hold to be taken back.
            let _ = waiting.reply.send(Answer { outcome, guard });
        }
    }
}
