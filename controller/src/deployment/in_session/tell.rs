//! A Deployment's status in the making, from what its SessionJob says. The same again gives the same status.

use jiff::Timestamp;
use sluice_api::conditions::running::CLUSTER_UNREACHABLE;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{
    Deployment, DeploymentState, DeploymentStatus, Failure, Operation, Running, RunningCondition,
    SessionJobStatus,
};

use super::decide::{Plan, Step, stored};
use crate::deployment::draft::operations::UPGRADE;
use crate::deployment::sight::Again;
use crate::objects::Role;
use crate::objects::names::selector_text;
use crate::runtime::conditions::{self, Truth};
use crate::runtime::events::Note;
use crate::session_job::draft::operations;
use crate::session_job::sight::Finalizer;

/// Types that the SessionJob's conditions are told on by.
const TOLD: [&str; 3] = [
    types::READY,
    types::PROGRESSING,
    types::SESSION_CLUSTER_NOT_READY,
];

/// A status in the making.
#[derive(Clone)]
pub struct Telling<'a> {
    /// The object.
    pub deployment: &'a Deployment,
    /// The time.
    pub now: Timestamp,
    /// The status as it is stored.
    pub before: DeploymentStatus,
    /// The status to be.
    pub next: DeploymentStatus,
    notes: Vec<Note>,
    /// Whether the status is about the newest spec.
    is_seen: bool,
}

impl<'a> Telling<'a> {
    /// From the stored status.
    pub fn new(deployment: &'a Deployment, now: Timestamp) -> Self {
        let before = deployment.status.clone().unwrap_or_default();
        Self {
            deployment,
            now,
            next: before.clone(),
            before,
            notes: Vec::new(),
            is_seen: true,
        }
    }

    /// The object's name.
    pub fn name(&self) -> &'a str {
        self.deployment.metadata.name.as_deref().unwrap_or_default()
    }

    /// Tells something.
    pub fn note(&mut self, reason: EventReason, text: &str) {
        self.notes.push(Note::new(reason, text));
    }

    /// The status is not about the newest spec yet: the SessionJob has not said a word on it.
    #[must_use]
    pub fn unseen(mut self) -> Self {
        self.is_seen = false;
        self
    }

    fn condition(&mut self, kind: &str, truth: Truth, reason: &str, message: &str) {
        conditions::set(
            &mut self.next.conditions,
            kind,
            truth,
            reason,
            message,
            self.deployment.metadata.generation,
            self.now,
        );
    }

    /// On its way: TRANSITIONING, not ready, progressing.
    pub fn moving(&mut self, reason: &str, message: &str) {
        self.next.state = Some(DeploymentState::Transitioning);
        self.next.running = None;
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::True, reason, message);
    }

    /// FAILED, by the Deployment's own doing.
    pub fn fail(&mut self, reason: &str, message: &str) {
        let known = self.before.failure.clone().filter(|failure| {
            self.before.state == Some(DeploymentState::Failed) && failure.message == message
        });
        if known.is_none() {
            self.note(EventReason::TransitionFailed, message);
        }
        let now = stored(self.now);
        self.next.state = Some(DeploymentState::Failed);
        self.next.running = None;
        self.next.failure = Some(known.unwrap_or_else(|| Failure {
            reason: reason.to_owned(),
            message: message.to_owned(),
            failed_at: Some(now),
        }));
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::False, reason, message);
    }

    /// Nothing of it is anywhere.
    pub fn nothing_left(&mut self) {
        let next = &mut self.next;
        next.operation = None;
        next.running = None;
        next.attempts = None;
        next.failure = None;
        next.ui = None;
        let not_ready = types::SESSION_CLUSTER_NOT_READY;
        if conditions::holds(&self.next.conditions, not_ready) {
            self.condition(
                not_ready,
                Truth::False,
                reasons::AS_EXPECTED,
                "It does not ask to run on a session cluster.",
            );
        }
    }

    /// Its SessionJob is gone, and nothing asks it to run.
    pub fn at_rest(&mut self, state: DeploymentState) {
        self.nothing_left();
        self.next.state = Some(state);
        let reason = match state {
            DeploymentState::Suspended => reasons::SUSPENDED,
            _ => reasons::CANCELLED,
        };
        let text = "The job does not run. Set spec.state to RUNNING to start it.";
        self.condition(types::READY, Truth::False, reason, text);
        self.condition(types::PROGRESSING, Truth::False, reason, text);
    }

    /// It runs as it was started, although something else is asked for.
    pub fn left_alone(&mut self) {
        self.condition(
            types::PROGRESSING,
            Truth::False,
            reasons::RUNNING,
            "The job runs as it was started; the spec has changed since, and upgradeStrategy NONE leaves it alone.",
        );
    }

    /// It is to go on in a cluster of its own: what that costs is kept until it does, even where the SessionJob is at rest by now.
    pub fn leaving(&mut self) {
        if self.next.operation.is_some() {
            return;
        }
        let known = self.before.operation.clone();
        let known = known.filter(|known| known.kind.as_deref() == Some(UPGRADE));
        self.next.operation = Some(known.unwrap_or_else(|| Operation {
            kind: Some(UPGRADE.to_owned()),
            started_at: Some(stored(self.now)),
            generation: self.deployment.metadata.generation,
            ..Operation::default()
        }));
    }

    /// Tells on what the SessionJob says of itself.
    pub fn tell(&mut self, status: &SessionJobStatus) {
        let next = &mut self.next;
        next.state = status.state;
        next.failure.clone_from(&status.failure);
        next.attempts.clone_from(&status.attempts);
        next.operation.clone_from(&status.operation);
        next.ui.clone_from(&status.ui);
        next.latest_savepoint_name
            .clone_from(&status.latest_savepoint_name);
        next.restart_nonce = self.deployment.spec.restart_nonce;
        for kind in TOLD {
            let Some(told) = conditions::get(&status.conditions, kind) else {
                continue;
            };
            let truth = Truth::of(told.status == Truth::True.word());
            self.condition(kind, truth, &told.reason, &told.message);
        }
        for (kind, message) in [
            (types::QUOTA_EXCEEDED, "Its session cluster has paid."),
            (
                types::TARGET_NOT_FOUND,
                "It runs where its session cluster does.",
            ),
        ] {
            if conditions::holds(&self.next.conditions, kind) {
                self.condition(kind, Truth::False, reasons::AS_EXPECTED, message);
            }
        }
        self.running(status);
        self.events(status);
    }

    fn running(&mut self, status: &SessionJobStatus) {
        if status.state != Some(DeploymentState::Running) {
            self.next.running = None;
            return;
        }
        let known = self.next.running.take();
        let mut running = known
            .filter(|running| running.job_id == status.job_id)
            .unwrap_or(Running {
                job_id: status.job_id.clone(),
                transition_time: Some(stored(self.now)),
                conditions: Vec::new(),
            });
        let ready = conditions::get(&status.conditions, types::READY);
        let silent = ready.filter(|ready| ready.reason == reasons::UNREACHABLE);
        let was = running.conditions.iter();
        let was = was
            .clone()
            .any(|one| one.type_ == CLUSTER_UNREACHABLE && one.status == Truth::True.word());
        if let Some(silent) = silent.filter(|_| !was) {
            let message = silent.message.clone();
            self.note(EventReason::ClusterUnreachable, &message);
        }
        let message = silent.map_or_else(
            || "Flink answers.".to_owned(),
            |silent| silent.message.clone(),
        );
        let is_silent = silent.is_some();
        self.set(&mut running, is_silent, message);
        self.next.running = Some(running);
    }

    fn set(&self, running: &mut Running, is_silent: bool, message: String) {
        let now = stored(self.now);
        let reason = if is_silent {
            CLUSTER_UNREACHABLE
        } else {
            reasons::AS_EXPECTED
        };
        let mut next = RunningCondition {
            type_: CLUSTER_UNREACHABLE.to_owned(),
            status: Truth::of(is_silent).word().to_owned(),
            message: Some(message),
            reason: Some(reason.to_owned()),
            last_transition_time: Some(now.clone()),
            last_update_time: Some(now),
        };
        let mut all = running.conditions.iter_mut();
        match all.find(|one| one.type_ == CLUSTER_UNREACHABLE) {
            None => running.conditions.push(next),
            Some(known) if known.status == next.status && known.message == next.message => {}
            Some(known) => {
                if known.status == next.status {
                    next.last_transition_time
                        .clone_from(&known.last_transition_time);
                }
                *known = next;
            }
        }
    }

    /// Every transition is told of the Deployment too, in the words of the SessionJob.
    fn events(&mut self, status: &SessionJobStatus) {
        let ready = conditions::get(&status.conditions, types::READY);
        let text = ready.map_or_else(String::new, |ready| ready.message.clone());
        let kind = |status: &DeploymentStatus| {
            let operation = status.operation.as_ref();
            operation.and_then(|operation| operation.kind.clone())
        };
        let (before, now) = (kind(&self.before), kind(&self.next));
        if before != now {
            match now.as_deref() {
                Some(operations::START) => self.note(EventReason::Starting, &text),
                Some(operations::SUSPEND) => self.note(EventReason::Suspending, &text),
                Some(operations::CANCEL) => self.note(EventReason::Cancelling, &text),
                _ => {}
            }
        }
        if self.before.state == self.next.state {
            return;
        }
        let reason = match self.next.state {
            Some(DeploymentState::Running) => EventReason::Started,
            Some(DeploymentState::Suspended) => EventReason::Suspended,
            Some(DeploymentState::Cancelled) => EventReason::Cancelled,
            Some(DeploymentState::Finished) => EventReason::Finished,
            Some(DeploymentState::Failed) => EventReason::TransitionFailed,
            Some(DeploymentState::Transitioning) | None => return,
        };
        self.note(reason, &text);
    }

    /// The finished plan.
    pub fn plan(mut self, step: Option<Step>, again: Again) -> Plan {
        let metadata = &self.deployment.metadata;
        if self.is_seen {
            self.next.observed_generation = metadata.generation;
        }
        let uid = metadata.uid.as_deref().unwrap_or_default();
        self.next.label_selector = Some(selector_text(uid, Some(Role::TaskManager)));
        self.next.allocated_milli = Some(0);
        self.next.cpu = Some("0".to_owned());
        self.next.number_of_task_managers = Some(0);
        self.next.task_managers_registered = None;
        Plan {
            finalizer: Finalizer::Leave,
            status: self.next,
            notes: self.notes,
            step,
            again,
        }
    }
}
