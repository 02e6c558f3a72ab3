//! A status in the making: state, operation, conditions, and the Events that tell of a change. The same again gives the same
//! status, so nothing is written that has not changed.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::names::finalizers;
use sluice_api::{
    Attempts, DeploymentState, DeploymentStatus, DesiredState, Failure, JobState as RunState,
    JobStatus, Operation,
};
use sluice_policy::MilliCpu;

use super::identity;
use super::sight::{Again, Decision, Finalizer, Observed, Plan, Record, Step};
use crate::objects::Role;
use crate::objects::names::selector_text;
use crate::runtime::conditions::{self, Truth, whole_second};
use crate::runtime::events::Note;

/// Words of `status.operation.kind`: what is being done, and once the run is over, what comes then.
pub mod operations {
    /// A run is being started.
    pub const START: &str = "Start";
    /// The run is being stopped with a savepoint.
    pub const SUSPEND: &str = "Suspend";
    /// The run is being cancelled.
    pub const CANCEL: &str = "Cancel";
    /// The run is to be replaced, and waits for the CPU of the next one.
    pub const UPGRADE: &str = "Upgrade";
    /// The run came to its end by itself.
    pub const FINISH: &str = "Finish";
    /// The run ended without being asked to, and starts again.
    pub const RECOVER: &str = "Recover";
    /// The run could not be started, and is tried again.
    pub const RETRY: &str = "Retry";
    /// What was asked for has failed.
    pub const FAIL: &str = "Fail";
}

/// A status in the making, and what goes with it.
pub struct Draft<'a> {
    /// What is observed.
    pub observed: &'a Observed<'a>,
    /// The status as it is stored.
    pub before: DeploymentStatus,
    /// The status to be.
    pub next: DeploymentStatus,
    /// The run's status as it is stored.
    pub run_before: JobStatus,
    /// The run's status to be.
    pub run: JobStatus,
    /// What is told.
    pub notes: Vec<Note>,
    /// A snapshot to be kept.
    pub savepoint: Option<Record>,
    /// Whether the newest spec has been looked at. The status says so, and then a Deployment at rest costs what it has: before, it costs
    /// what the spec asks for, and what is found out of a run in the meantime does not change that.
    pub is_seen: bool,
}

impl<'a> Draft<'a> {
    /// From the stored status.
    pub fn new(observed: &'a Observed<'a>) -> Self {
        let before = observed.deployment.status.clone().unwrap_or_default();
        let run = observed.run.and_then(|run| run.status.clone());
        let run = run.unwrap_or_default();
        Self {
            observed,
            next: before.clone(),
            before,
            run_before: run.clone(),
            run,
            notes: Vec::new(),
            savepoint: None,
            is_seen: false,
        }
    }

    /// The object's name.
    pub fn name(&self) -> &str {
        let metadata = &self.observed.deployment.metadata;
        metadata.name.as_deref().unwrap_or_default()
    }

    /// The object's namespace.
    pub fn namespace(&self) -> &str {
        let metadata = &self.observed.deployment.metadata;
        metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The object's generation.
    pub fn generation(&self) -> Option<i64> {
        self.observed.deployment.metadata.generation
    }

    /// Now, as it is stored.
    pub fn now(&self) -> Timestamp {
        whole_second(self.observed.now)
    }

    /// Whether the spec has changed since the status was written.
    pub fn is_new_spec(&self) -> bool {
        self.before.observed_generation != self.generation()
    }

    /// Whether the newest run was made from what the spec says.
    pub fn runs_the_spec(&self) -> bool {
        let made_from = self
            .observed
            .run
            .and_then(|run| run.spec.started_with.as_deref());
        made_from == Some(&identity::fingerprint(self.observed.deployment))
    }

    /// Whether the newest run has been running.
    pub fn has_run(&self) -> bool {
        self.run.start_time.is_some()
    }

    /// The kind of the operation in progress.
    pub fn operation(&self) -> Option<&str> {
        self.next.operation.as_ref()?.kind.as_deref()
    }

    /// For how long the operation has gone on.
    pub fn operation_age(&self) -> Duration {
        let since = self.next.operation.as_ref();
        self.since(since.and_then(|operation| operation.started_at.as_ref()))
    }

    /// For how long something has gone on; for ever where nobody knows.
    pub fn since(&self, time: Option<&Time>) -> Duration {
        time.map_or(Duration::MAX, |since| {
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

    /// Begins an operation, unless it goes on already.
    pub fn begin_once(&mut self, kind: &str) {
        if self.operation() != Some(kind) {
            self.begin(kind);
        }
    }

    /// Attempts since the last success.
    pub fn attempts(&mut self) -> &mut Attempts {
        self.next.attempts.get_or_insert_default()
    }

    /// CPU that its pods have or may have.
    pub fn held(&self) -> MilliCpu {
        let milli = self.next.allocated_milli;
        MilliCpu(
            milli
                .and_then(|milli| u64::try_from(milli).ok())
                .unwrap_or_default(),
        )
    }

    /// Whether the spec asks for more than it holds, which no upgrade has been given yet.
    pub fn asks_for_more(&self) -> bool {
        let deployment = self.observed.deployment;
        let demand = self.observed.demand.clone().unwrap_or_default();
        deployment.spec.state == Some(DesiredState::Running)
            && deployment.metadata.deletion_timestamp.is_none()
            && demand > self.held()
    }

    /// Whether nothing of it runs and nothing is under way, as far as the status says: what is found of it all the same costs nothing.
    pub fn is_at_rest(&self) -> bool {
        let is_still = !matches!(
            self.next.state,
            None | Some(DeploymentState::Running | DeploymentState::Transitioning)
        );
        is_still && self.next.operation.is_none() && self.held() == MilliCpu::ZERO
    }

    /// Says how much CPU its pods may have.
    pub fn allocate(&mut self, cpu: MilliCpu) {
        self.next.allocated_milli = Some(i64::try_from(cpu.0).unwrap_or(i64::MAX));
        self.next.cpu = Some(cpu.to_string());
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
        let now = self.observed.now;
        conditions::set(
            &mut self.next.conditions,
            kind,
            truth,
            reason,
            message,
            generation,
            now,
        );
    }

    /// A condition that was once True is told to be over; one that never was is not spoken of.
    pub fn over(&mut self, kind: &str, message: &str) {
        if conditions::holds(&self.next.conditions, kind) {
            self.condition(kind, Truth::False, reasons::AS_EXPECTED, message);
        }
    }

    /// On its way: TRANSITIONING, not ready, progressing.
    pub fn moving(&mut self, reason: &str, message: &str) {
        self.next.state = Some(DeploymentState::Transitioning);
        self.next.running = None;
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::True, reason, message);
    }

    /// At rest in a state other than RUNNING and FAILED: nothing of it is left.
    pub fn rest(&mut self, state: DeploymentState, reason: &str, message: &str) {
        self.next.state = Some(state);
        self.next.failure = None;
        self.next.attempts = None;
        self.nothing_left();
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::False, reason, message);
        self.over(types::QUOTA_EXCEEDED, "It does not ask for CPU.");
        self.over(types::TARGET_NOT_FOUND, "It does not ask to run.");
    }

    /// No pod is left.
    pub fn nothing_left(&mut self) {
        self.allocate(MilliCpu::ZERO);
        self.next.operation = None;
        self.next.running = None;
        self.next.target_namespace = None;
        self.next.number_of_task_managers = Some(0);
        self.next.task_managers_registered = None;
        self.next.ui = None;
    }

    /// The way has failed; it is tried again when the spec changes.
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
        self.next.running = None;
        self.next.operation = None;
        self.next.failure = Some(Failure {
            reason: reason.to_owned(),
            message: message.to_owned(),
            failed_at: since.or_else(|| Some(Time(self.now()))),
        });
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::False, reason, message);
    }

    /// What went wrong last, while it is tried again.
    pub fn trouble(&mut self, reason: &str, message: &str) {
        self.next.failure = Some(Failure {
            reason: reason.to_owned(),
            message: message.to_owned(),
            failed_at: Some(Time(self.now())),
        });
    }

    /// The run is over. What follows for the Deployment is decided once this is stored.
    pub fn conclude(mut self, state: RunState) -> Decision {
        self.run.state = Some(state);
        self.run.end_time = Some(Time(self.now()));
        self.act(None, Again::AtOnce)
    }

    /// The finished plan.
    pub fn act(mut self, step: Option<Step>, again: Again) -> Decision {
        let metadata = &self.observed.deployment.metadata;
        if self.is_seen {
            self.next.observed_generation = metadata.generation;
        }
        let uid = metadata.uid.as_deref().unwrap_or_default();
        self.next.label_selector = Some(selector_text(uid, Some(Role::TaskManager)));
        let pods = self
            .observed
            .made
            .iter()
            .filter(|made| made.living_pod().is_some() && made.role == Some(Role::TaskManager));
        self.next.number_of_task_managers = i32::try_from(pods.count()).ok();
        if self.run != self.run_before {
            self.run.observed_generation =
                self.observed.run.and_then(|run| run.metadata.generation);
        }
        Decision::Act(Box::new(Plan {
            finalizer: Finalizer::Leave,
            savepoint: self.savepoint,
            run: (self.run != self.run_before).then_some(self.run),
            status: self.next,
            notes: self.notes,
            step,
            again,
        }))
    }
}

/// Whether the object is kept until its run has ended.
pub fn has_finalizer(observed: &Observed<'_>) -> bool {
    let all = observed.deployment.metadata.finalizers.as_ref();
    all.is_some_and(|all| all.iter().any(|name| name == finalizers::TEARDOWN))
}
