//! The status that users see: state, operation, conditions, figures, and the Events that tell of a change.
//!
//! Everything is worked out from what is observed and from the status before; the same again gives the same status, so
//! nothing is written that has not changed.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{Failure, Operation, SessionClusterState, SessionClusterStatus};
use sluice_policy::MilliCpu;

use super::decide::{Observed, allocated};
pub use super::scene::Scene;
use super::scene::{JobManager, Trouble};
use super::start;
use super::target::Target;
use crate::objects::names::selector_text;
use crate::objects::{MadeKind, Names, Role, start_id};
use crate::runtime::conditions::{self, Truth};
use crate::runtime::events::Note;
use crate::runtime::made::Made;
use crate::runtime::remaining;

/// Words of `status.operation.kind`.
const START: &str = "Start";
const SCALE: &str = "Scale";
const UPDATE: &str = "Update";
const RECOVER: &str = "Recover";
const STOP: &str = "Stop";

/// Why an object could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Reason of the condition.
    pub reason: &'static str,
    /// In a sentence.
    pub message: String,
}

/// A status in the making.
struct Draft<'a> {
    observed: &'a Observed<'a>,
    before: SessionClusterStatus,
    next: SessionClusterStatus,
    notes: Vec<Note>,
}

impl<'a> Draft<'a> {
    fn new(observed: &'a Observed<'a>) -> Self {
        let before = observed.cluster.status.clone().unwrap_or_default();
        let mut next = before.clone();
        next.observed_generation = observed.cluster.metadata.generation;
        let uid = observed.cluster.metadata.uid.as_deref().unwrap_or_default();
        next.label_selector = Some(selector_text(uid, Some(Role::TaskManager)));
        Self {
            observed,
            before,
            next,
            notes: Vec::new(),
        }
    }

    fn note(&mut self, reason: EventReason, text: impl Into<String>) {
        self.notes.push(Note::new(reason, text));
    }

    fn condition(&mut self, kind: &str, truth: Truth, reason: &str, message: &str) {
        conditions::set(
            &mut self.next.conditions,
            kind,
            truth,
            reason,
            message,
            self.observed.cluster.metadata.generation,
            self.observed.now,
        );
    }

    /// A condition that was once True is told to be over; one that never was is not spoken of.
    fn over(&mut self, kind: &str, message: &str) {
        if conditions::get(&self.next.conditions, kind).is_some() {
            self.condition(kind, Truth::False, reasons::AS_EXPECTED, message);
        }
    }

    fn was(&self, kind: &str) -> bool {
        conditions::holds(&self.before.conditions, kind)
    }

    fn operation(&mut self, kind: &str) {
        let generation = self.observed.cluster.metadata.generation;
        let is_same = self.before.operation.as_ref().is_some_and(|operation| {
            operation.kind.as_deref() == Some(kind) && operation.generation == generation
        });
        if !is_same {
            self.next.operation = Some(Operation {
                kind: Some(kind.to_owned()),
                started_at: Some(Time(conditions::whole_second(self.observed.now))),
                generation,
                ..Operation::default()
            });
        }
    }

    fn allocate(&mut self, cpu: MilliCpu) {
        self.next.allocated_milli = Some(i64::try_from(cpu.0).unwrap_or(i64::MAX));
        self.next.cpu = Some(cpu.to_string());
    }

    fn fail(&mut self, reason: &str, message: &str) {
        let known = self
            .before
            .failure
            .as_ref()
            .filter(|failure| failure.reason == reason);
        let since = known.and_then(|failure| failure.failed_at.clone());
        if known.is_none() || self.before.state != Some(SessionClusterState::Failed) {
            self.note(
                EventReason::TransitionFailed,
                format!("{reason}: {message}"),
            );
        }
        self.next.state = Some(SessionClusterState::Failed);
        self.next.failure = Some(Failure {
            reason: reason.to_owned(),
            message: message.to_owned(),
            failed_at: since.or_else(|| Some(Time(conditions::whole_second(self.observed.now)))),
        });
        self.condition(types::READY, Truth::False, reason, message);
        self.condition(types::PROGRESSING, Truth::False, reason, message);
    }

    fn finish(self) -> (SessionClusterStatus, Vec<Note>) {
        (self.next, self.notes)
    }
}

/// Nothing of it is left.
pub fn stopped(observed: &Observed<'_>) -> (SessionClusterStatus, Vec<Note>) {
    let mut draft = Draft::new(observed);
    if !matches!(
        draft.before.state,
        None | Some(SessionClusterState::Stopped)
    ) {
        draft.note(
            EventReason::Stopped,
            "The last pod is gone; its CPU is free again.",
        );
    }
    draft.allocate(MilliCpu::ZERO);
    let next = &mut draft.next;
    next.state = Some(SessionClusterState::Stopped);
    next.number_of_task_managers = Some(0);
    next.task_managers_registered = None;
    next.number_of_jobs = None;
    next.slots_total = None;
    next.slots_available = None;
    next.target_namespace = None;
    next.ui = None;
    next.operation = None;
    next.failure = None;
    draft.condition(
        types::READY,
        Truth::False,
        reasons::STOPPED,
        "The cluster is stopped; set spec.state to RUNNING to start it.",
    );
    draft.condition(
        types::PROGRESSING,
        Truth::False,
        reasons::STOPPED,
        "Nothing is left of it.",
    );
    draft.over(types::QUOTA_EXCEEDED, "It does not ask to run.");
    draft.over(types::TARGET_NOT_FOUND, "It does not ask to run.");
    draft.over(
        types::OWN_RECORDS,
        "It is stopped; the next start begins with records of its own.",
    );
    draft.finish()
}

/// Its pods are being removed.
pub fn stopping(observed: &Observed<'_>) -> (SessionClusterStatus, Vec<Note>) {
    let mut draft = Draft::new(observed);
    if draft.before.state != Some(SessionClusterState::Stopping) {
        draft.note(
            EventReason::Stopping,
            "TaskManagers, JobManager and the rest are being removed.",
        );
    }
    draft.operation(STOP);
    draft.next.state = Some(SessionClusterState::Stopping);
    draft.next.failure = None;
    draft.next.number_of_task_managers = Some(whole(count(observed, |made| {
        made.role == Some(Role::TaskManager) && made.living_pod().is_some()
    })));
    let mut message = if observed.made.iter().all(Made::is_going) {
        remaining::told(observed.made, observed.now)
    } else {
        let pods = count(observed, |made| made.role.is_some());
        let late = remaining::late(observed.made, observed.now);
        let late = late.map(|late| format!(" {late}")).unwrap_or_default();
        format!("{} left.{late}", plural(pods, "pod"))
    };
    let mut reason = reasons::STOPPING;
    if let Some(refusal) = &observed.hindered {
        reason = refusal.reason;
        message.extend([" ", &refusal.message]);
    }
    draft.condition(types::READY, Truth::False, reason, &message);
    draft.condition(types::PROGRESSING, Truth::True, reason, &message);
    draft.over(types::QUOTA_EXCEEDED, "It does not ask to run.");
    draft.over(types::TARGET_NOT_FOUND, "It does not ask to run.");
    draft.finish()
}

/// It asks to run and may not start yet. The operation keeps its charge in the ledger.
pub fn waiting(
    observed: &Observed<'_>,
    reason: &'static str,
    message: &str,
) -> (SessionClusterStatus, Vec<Note>) {
    let mut draft = Draft::new(observed);
    draft.operation(START);
    draft.next.state = Some(SessionClusterState::Stopped);
    draft.next.failure = None;
    let (kind, other, event) = match reason {
        reasons::CPU_QUOTA => (
            types::QUOTA_EXCEEDED,
            types::TARGET_NOT_FOUND,
            Some(EventReason::QuotaExceeded),
        ),
        reasons::QUOTA_NOT_COUNTED => (types::PROGRESSING, types::TARGET_NOT_FOUND, None),
        _ => (
            types::TARGET_NOT_FOUND,
            types::QUOTA_EXCEEDED,
            Some(EventReason::TargetNotFound),
        ),
    };
    if let Some(event) = event
        && !draft.was(kind)
    {
        draft.note(event, message);
    }
    draft.condition(types::READY, Truth::False, reason, message);
    draft.condition(types::PROGRESSING, Truth::False, reason, message);
    if kind != types::PROGRESSING {
        draft.condition(kind, Truth::True, reason, message);
    }
    draft.over(other, "Something else stands in the way.");
    draft.finish()
}

/// It asks to run, and its Flink's id may be somebody else's. The operation keeps its charge in the ledger.
pub fn name_taken(observed: &Observed<'_>, message: &str) -> (SessionClusterStatus, Vec<Note>) {
    let mut draft = Draft::new(observed);
    draft.operation(START);
    draft.next.state = Some(SessionClusterState::Stopped);
    draft.next.failure = None;
    let ready = conditions::get(&draft.before.conditions, types::READY);
    if ready.is_none_or(|ready| ready.reason != reasons::NAME_TAKEN) {
        draft.note(EventReason::TransitionFailed, message);
    }
    for kind in [types::READY, types::PROGRESSING] {
        draft.condition(kind, Truth::False, reasons::NAME_TAKEN, message);
    }
    for kind in [types::QUOTA_EXCEEDED, types::TARGET_NOT_FOUND] {
        draft.over(kind, "Something else stands in the way.");
    }
    draft.finish()
}

/// The spec cannot be run. What runs is left alone.
pub fn spoilt(observed: &Observed<'_>, message: &str) -> (SessionClusterStatus, Vec<Note>) {
    let mut draft = Draft::new(observed);
    draft.operation(UPDATE);
    draft.fail(reasons::INVALID_SPEC, message);
    draft.finish()
}

/// It is to run: somewhere between its first pod and all that was asked for.
pub fn running(
    observed: &Observed<'_>,
    scene: &Scene,
    cpu: MilliCpu,
) -> (SessionClusterStatus, Vec<Note>) {
    let mut draft = Draft::new(observed);
    if let Some(id) = start::id(observed.cluster, observed.now)
        && !draft.was(types::OWN_RECORDS)
    {
        let message = format!(
            "Flink keeps what it recovers from under a {} that ends with {id}, which is this start's alone.",
            start_id::KEY
        );
        draft.condition(
            types::OWN_RECORDS,
            Truth::True,
            reasons::AS_EXPECTED,
            &message,
        );
    }
    draft.allocate(cpu);
    figures(&mut draft, scene);
    if let Some(refusal) = scene.growth_refusal() {
        let name = observed
            .cluster
            .metadata
            .name
            .as_deref()
            .unwrap_or_default();
        let message = refusal.message("sessioncluster", name);
        if !draft.was(types::QUOTA_EXCEEDED) {
            draft.note(EventReason::GrowthRefused, message.clone());
        }
        draft.condition(
            types::QUOTA_EXCEEDED,
            Truth::True,
            reasons::CPU_QUOTA,
            &message,
        );
    } else if scene.growth.is_none() {
        // Else it is not known at the moment, and what was told stands, with the time from which it has waited.
        draft.over(types::QUOTA_EXCEEDED, "The CPU quotas cover it.");
    }
    draft.over(types::TARGET_NOT_FOUND, "Its pods have a place to run.");
    let before = draft.before.state;
    if scene.is_complete(before) {
        complete(&mut draft, scene);
        return draft.finish();
    }
    let operation = operation(observed, scene, &draft.before);
    announce(&mut draft, scene, operation, cpu);
    draft.operation(operation);
    let failing = scene.trouble.as_ref().filter(|trouble| trouble.is_failure);
    if let Some(Trouble {
        reason, message, ..
    }) = failing
    {
        draft.fail(reason, message);
        return draft.finish();
    }
    let starts = operation == START || !scene.has_jobmanager();
    draft.next.state = Some(if starts {
        SessionClusterState::Starting
    } else {
        SessionClusterState::Updating
    });
    draft.next.failure = None;
    let (reason, mut message) = missing(scene, operation);
    message.extend(scene.late.iter().flat_map(|late| [" ", late]));
    draft.condition(types::READY, Truth::False, reason, &message);
    let refused = scene.growth.is_some();
    draft.condition(
        types::PROGRESSING,
        Truth::of(!refused),
        if refused { reasons::CPU_QUOTA } else { reason },
        &message,
    );
    draft.finish()
}

fn complete(draft: &mut Draft<'_>, scene: &Scene) {
    let all = plural(scene.wanted, "TaskManager");
    let mut message = format!(
        "The JobManager answers and {all} registered.",
        all = are(&all, scene.wanted)
    );
    message.extend(scene.late.iter().flat_map(|late| [" ", late]));
    if draft.before.state != Some(SessionClusterState::Running) {
        let kind = draft
            .before
            .operation
            .as_ref()
            .and_then(|operation| operation.kind.as_deref());
        let reason = match kind {
            Some(SCALE) => EventReason::Scaled,
            _ => EventReason::Started,
        };
        draft.note(reason, message.clone());
    }
    draft.next.state = Some(SessionClusterState::Running);
    draft.next.operation = None;
    draft.next.failure = None;
    draft.condition(types::READY, Truth::True, reasons::RUNNING, &message);
    draft.condition(types::PROGRESSING, Truth::False, reasons::RUNNING, &message);
}

/// What is being done, in one word.
fn operation(
    observed: &Observed<'_>,
    scene: &Scene,
    before: &SessionClusterStatus,
) -> &'static str {
    let known = before
        .operation
        .as_ref()
        .and_then(|operation| operation.kind.as_deref());
    let has_changed = before.observed_generation != observed.cluster.metadata.generation;
    let scales = scene.growth.is_some() || scene.told.is_some_and(|told| told != scene.wanted);
    match before.state {
        None | Some(SessionClusterState::Stopped | SessionClusterState::Stopping) => START,
        Some(_) if known == Some(START) => START,
        Some(_) if has_changed || known.is_none() => {
            if scales {
                SCALE
            } else if has_changed {
                UPDATE
            } else {
                RECOVER
            }
        }
        Some(_) => match known {
            Some(SCALE) => SCALE,
            Some(UPDATE) => UPDATE,
            _ if scales => SCALE,
            _ => RECOVER,
        },
    }
}

fn announce(draft: &mut Draft<'_>, scene: &Scene, operation: &str, cpu: MilliCpu) {
    let known = draft.before.operation.as_ref();
    let is_new = known.is_none_or(|known| {
        known.kind.as_deref() != Some(operation)
            || (operation == SCALE && scene.told != Some(scene.wanted))
                && known.generation != draft.observed.cluster.metadata.generation
    });
    // Waiting to start is a Start that has not begun.
    let begins = operation == START && allocated(draft.observed.cluster) == MilliCpu::ZERO;
    if !is_new && !begins {
        return;
    }
    let wanted = scene.wanted;
    match operation {
        START => {
            let place = match &draft.observed.target {
                Target::At(namespace) => namespace.as_str(),
                _ => "",
            };
            let text = format!(
                "The JobManager and {} are being made in namespace {place} with {cpu} CPU.",
                plural(wanted, "TaskManager")
            );
            draft.note(EventReason::Starting, text);
        }
        SCALE if scene.growth.is_none() => {
            let text = format!(
                "TaskManagers {} -> {wanted}; the JobManager stays.",
                scene.told.unwrap_or_default()
            );
            draft.note(EventReason::Scaling, text);
        }
        RECOVER => {
            let (_, message) = missing(scene, operation);
            draft.note(
                EventReason::Recovering,
                format!("{message} What is missing is made again."),
            );
        }
        _ => {}
    }
}

/// What is still missing.
fn missing(scene: &Scene, operation: &str) -> (&'static str, String) {
    if let Some(trouble) = &scene.trouble {
        return (trouble.reason, trouble.message.clone());
    }
    match &scene.jobmanager {
        JobManager::Silent(why) => {
            return (
                reasons::UNREACHABLE,
                format!("The JobManager does not answer: {why}."),
            );
        }
        JobManager::Absent if operation == START => {
            return (reasons::STARTING, "The JobManager is starting.".to_owned());
        }
        JobManager::Absent => {
            return (
                reasons::UNREACHABLE,
                "The JobManager's pod is not ready.".to_owned(),
            );
        }
        _ => {}
    }
    if let Some(refusal) = scene.growth_refusal() {
        return (
            reasons::CPU_QUOTA,
            format!(
                "It runs on with {}: {} has no room for more.",
                plural(scene.wanted, "TaskManager"),
                refusal.quota
            ),
        );
    }
    if scene.growth.is_some() {
        return (
            reasons::QUOTA_NOT_COUNTED,
            "It runs on as it is until its quota has been counted.".to_owned(),
        );
    }
    let registered = scene.registered.unwrap_or_default();
    let (wanted, pods) = (scene.wanted, scene.pods);
    if pods > wanted {
        return (
            reasons::SCALING,
            format!(
                "{} of {pods} too many.",
                plural(pods - wanted, "TaskManager")
            ),
        );
    }
    let reason = match operation {
        START => reasons::STARTING,
        SCALE => reasons::SCALING,
        _ => reasons::TASKMANAGERS_MISSING,
    };
    (
        reason,
        format!(
            "{registered} of {} registered.",
            plural(wanted, "TaskManager")
        ),
    )
}

fn figures(draft: &mut Draft<'_>, scene: &Scene) {
    let observed = draft.observed;
    let name = observed
        .cluster
        .metadata
        .name
        .as_deref()
        .unwrap_or_default();
    let next = &mut draft.next;
    if let Target::At(namespace) = &observed.target {
        let service = Names::of_session_cluster(name).service();
        next.target_namespace = Some(namespace.clone());
        next.ui = Some(format!(
            "kubectl -n {namespace} port-forward service/{service} 8081"
        ));
    }
    next.number_of_task_managers = Some(whole(scene.pods));
    if let Some(flink) = &scene.flink {
        next.task_managers_registered = scene.registered.map(whole);
        next.number_of_jobs = Some(whole(flink.jobs));
        next.slots_total = Some(whole(flink.slots_total));
        next.slots_available = Some(whole(flink.slots_available));
    } else if !scene.has_jobmanager() {
        next.task_managers_registered = Some(0);
        next.slots_total = None;
        next.slots_available = None;
    }
}

fn count(observed: &Observed<'_>, of: impl Fn(&Made) -> bool) -> u32 {
    let pods = observed
        .made
        .iter()
        .filter(|made| made.kind == MadeKind::Pod);
    u32::try_from(pods.filter(|made| of(made)).count()).unwrap_or(u32::MAX)
}

fn whole(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// `1 pod`, `3 pods`.
fn plural(number: u32, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

fn are(all: &str, number: u32) -> String {
    format!("{all} {}", if number == 1 { "is" } else { "are" })
}
