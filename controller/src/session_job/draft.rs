//! A status in the making: state, operation, conditions, and the Events that tell of a change. The same again gives the same
//! status, so nothing is written that has not changed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::names::finalizers;
use sluice_api::{DeploymentState, Failure, Operation, SessionJobStatus};

use super::identity;
use super::sight::{Finalizer, Observed, Plan, Record, Step, Target};
use crate::runtime::conditions::{self, Truth, whole_second};
use crate::runtime::events::Note;

/// Whether the run may end with a savepoint that was asked for: it is being stopped with one, or was when its cancellation was begun.
pub fn is_stop(operation: &Operation) -> bool {
    let has_been_stopping = operation.trigger_id.is_some() || operation.target_directory.is_some();
    match operation.kind.as_deref() {
        Some(operations::SUSPEND) => true,
        Some(operations::CANCEL) => has_been_stopping,
        _ => false,
    }
}

/// Words of `status.operation.kind`.
pub mod operations {
    /// A run is being submitted.
    pub const START: &str = "Start";
    /// The run is being stopped with a savepoint.
    pub const SUSPEND: &str = "Suspend";
    /// The run is being cancelled.
    pub const CANCEL: &str = "Cancel";
}

/// A status in the making, and what goes with it.
pub struct Draft<'a> {
    /// What is observed.
    pub observed: &'a Observed<'a>,
    /// The status as it is stored.
    pub before: SessionJobStatus,
    /// The status to be.
    pub next: SessionJobStatus,
    /// What is told.
    pub notes: Vec<Note>,
    /// A snapshot to be kept.
    pub record: Option<Record>,
}

impl<'a> Draft<'a> {
    /// From the stored status.
    pub fn new(observed: &'a Observed<'a>) -> Self {
        let before = observed.job.status.clone().unwrap_or_default();
        Self {
            observed,
            next: before.clone(),
            before,
            notes: Vec::new(),
            record: None,
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        self.observed
            .job
            .metadata
            .name
            .as_deref()
            .unwrap_or_default()
    }

    /// The object's generation.
    pub fn generation(&self) -> Option<i64> {
        self.observed.job.metadata.generation
    }

    /// Now, as it is stored.
    pub fn now(&self) -> Timestamp {
        whole_second(self.observed.now)
    }

    /// Whether the spec has changed since the status was written.
    pub fn is_new_spec(&self) -> bool {
        self.before.observed_generation != self.generation()
    }

    /// Whether the newest run was started with what the spec says.
    pub fn runs_the_spec(&self) -> bool {
        self.next.started_with.as_deref() == Some(&identity::fingerprint(self.observed.job))
    }

    /// The kind of the operation in progress.
    pub fn operation(&self) -> Option<&str> {
        self.next.operation.as_ref()?.kind.as_deref()
    }

    /// Whether the newest run may end with a savepoint that was asked for.
    pub fn may_be_stopped(&self) -> bool {
        self.next.operation.as_ref().is_some_and(is_stop)
    }

    /// For how long the operation has gone on.
    pub fn operation_age(&self) -> Duration {
        let since = self.next.operation.as_ref();
        let since = since.and_then(|operation| operation.started_at.as_ref());
        since.map_or(Duration::MAX, |since| {
            let age = self.observed.now.duration_since(since.0);
            age.try_into().unwrap_or(Duration::ZERO)
        })
    }

    /// Begins an operation.
    pub fn begin(&mut self, kind: &str) -> &mut Operation {
        let operation = Operation {
            kind: Some(kind.to_owned()),
            started_at: Some(Time(self.now())),
            generation: self.generation(),
            ..Operation::default()
        };
        self.next.operation.insert(operation)
    }

    /// Tells something.
    pub fn note(&mut self, reason: EventReason, text: impl Into<String>) {
        self.notes.push(Note::new(reason, text));
    }

    /// Tells it if the state was another one.
    pub fn note_change(&mut self, state: DeploymentState, reason: EventReason, text: &str) {
        if self.before.state != Some(state) {
            self.note(reason, text);
        }
    }

    /// Sets a condition.
    pub fn condition(&mut self, kind: &str, truth: Truth, reason: &str, message: &str) {
        let generation = self.generation();
        conditions::set(
            &mut self.next.conditions,
            kind,
            truth,
            reason,
            message,
            generation,
            self.observed.now,
        );
    }

    /// On its way: TRANSITIONING, not ready, progressing.
    pub fn moving(&mut self, reason: &str, message: &str) {
        self.next.state = Some(DeploymentState::Transitioning);
        self.next.failure = None;
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::True, reason, message);
    }

    /// At rest in a state other than RUNNING and FAILED.
    pub fn rest(&mut self, state: DeploymentState, reason: &str, message: &str) {
        self.next.state = Some(state);
        self.next.operation = None;
        self.next.failure = None;
        self.next.attempts = None;
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::False, reason, message);
    }

    /// The way has failed for good; it is tried again when the spec changes.
    pub fn fail(&mut self, reason: &str, message: &str, event: EventReason) {
        let known = self.before.failure.clone().filter(|failure| {
            self.before.state == Some(DeploymentState::Failed)
                && failure.reason == reason
                && !self.is_new_spec()
        });
        if known.is_none() {
            self.note(event, message.to_owned());
        }
        let since = known.and_then(|failure| failure.failed_at);
        self.next.state = Some(DeploymentState::Failed);
        self.next.operation = None;
        self.next.failure = Some(Failure {
            reason: reason.to_owned(),
            message: message.to_owned(),
            failed_at: since.or_else(|| Some(Time(self.now()))),
        });
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::False, reason, message);
    }

    /// Says whether the session cluster takes jobs.
    fn tell_cluster(&mut self) {
        let (reason, message) = match &self.observed.target {
            Target::Ready(ready) => {
                if conditions::get(&self.next.conditions, types::SESSION_CLUSTER_NOT_READY)
                    .is_some()
                {
                    let message = format!("SessionCluster {} runs.", ready.name);
                    self.condition(
                        types::SESSION_CLUSTER_NOT_READY,
                        Truth::False,
                        reasons::AS_EXPECTED,
                        &message,
                    );
                }
                return;
            }
            other => waiting_for(other),
        };
        self.condition(
            types::SESSION_CLUSTER_NOT_READY,
            Truth::True,
            reason,
            &message,
        );
    }

    /// The finished plan.
    pub fn plan(mut self, step: Option<Step>, again: Option<Duration>) -> Plan {
        self.next.observed_generation = self.generation();
        self.tell_cluster();
        let has = has_finalizer(self.observed);
        let is_deleted = self.observed.job.metadata.deletion_timestamp.is_some();
        Plan {
            finalizer: if has || is_deleted {
                Finalizer::Leave
            } else {
                Finalizer::Add
            },
            record: self.record,
            status: self.next,
            notes: self.notes,
            step,
            again,
        }
    }
}

/// Whether the object is kept until its run has ended.
pub fn has_finalizer(observed: &Observed<'_>) -> bool {
    let all = observed.job.metadata.finalizers.as_ref();
    all.is_some_and(|all| all.iter().any(|name| name == finalizers::TEARDOWN))
}

/// Why a session cluster takes no jobs: the condition's reason and a sentence.
pub fn waiting_for(target: &Target) -> (&'static str, String) {
    match target {
        Target::Unnamed => (
            reasons::NOT_FOUND,
            "spec.sessionClusterName names no session cluster; write the name of one in this namespace.".to_owned(),
        ),
        Target::Missing(name) => (
            reasons::NOT_FOUND,
            format!("There is no SessionCluster {name} in this namespace; the job starts when there is."),
        ),
        Target::NotReady { name, state } => {
            let is = state.map_or("not started yet", sluice_api::SessionClusterState::as_str);
            (
                reasons::STOPPED,
                format!("SessionCluster {name} is {is}; the job starts when it is RUNNING (spec.state)."),
            )
        }
        Target::Ready(ready) => (
            reasons::AS_EXPECTED,
            format!("SessionCluster {} runs.", ready.name),
        ),
    }
}
