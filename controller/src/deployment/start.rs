//! Beginning a run: whether it may, what from, and what follows from each step of its making.

use std::time::Duration;

use serde_json::Value;
use sluice_api::conditions::{reasons, types};
use sluice_api::events::EventReason;
use sluice_api::{DesiredState, Failure, JobSpec, JobState as RunState, RestoreKind};
use sluice_policy::MilliCpu;

use super::draft::{Draft, operations};
use super::sight::{Again, Answer, Decision, Step, Stored};
use super::snapshot::{choose, restore_kind};
use super::{identity, in_session};
use crate::ledger::gate::Verdict;
use crate::runtime::conditions::{self, Truth};
use crate::session_cluster::decide::Proof;
use crate::session_cluster::target::Target;

/// Between looks whether CPU has become free, or a target has come.
pub const WAIT: Duration = Duration::from_secs(1);
/// Between looks whether a quota counts the object now.
const COUNT: Duration = Duration::from_millis(200);
/// Between looks at a run that starts.
const LOOK: Duration = Duration::from_secs(1);

/// Which run is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// One after the newest.
    Next,
    /// The one whose name the status has taken already.
    Claimed,
}

/// How long to wait after so many failures.
pub fn backoff(failures: i32) -> Duration {
    let exponent = u32::try_from(failures.clamp(0, 6)).unwrap_or_default();
    Duration::from_secs(2_u64.saturating_pow(exponent).min(60))
}

/// Begins a run. Nothing of an earlier one is left.
pub fn start(mut draft: Draft<'_>, which: Which) -> Decision {
    let observed = draft.observed;
    if let Some(why) = spoilt(&draft) {
        draft.nothing_left();
        draft.fail(reasons::INVALID_SPEC, &why, EventReason::TransitionFailed);
        return draft.act(None, Again::OnNews);
    }
    if in_session::named(observed.deployment).is_some() {
        return handed_over(draft);
    }
    let demand = observed.demand.clone().unwrap_or_default();
    let namespace = match &observed.target {
        Target::At(namespace) => namespace.clone(),
        Target::Missing(message) => return no_target(draft, reasons::NOT_FOUND, message),
        Target::NotAccepted(message) => return no_target(draft, reasons::NOT_ACCEPTED, message),
    };
    draft.over(types::TARGET_NOT_FOUND, "The target is there.");
    let (mut draft, as_before) = match room(draft, which, demand) {
        Room::Wait(decision) => return decision,
        Room::Full(draft, as_before) => (*draft, as_before),
    };
    let Some(savepoints) = observed.savepoints else {
        return Decision::ReadSavepoints;
    };
    let from = choose(observed.deployment, savepoints);
    let newest = draft.next.job_name.as_deref();
    let newest = newest.and_then(|name| identity::run_of(draft.name(), name));
    let number = match which {
        Which::Next => newest.unwrap_or_default().saturating_add(1),
        Which::Claimed => newest.unwrap_or(1),
    };
    let name = identity::job_name(draft.name(), number);
    if as_before.is_none() {
        draft.allocate(demand);
    }
    let spec = record(&draft, &namespace, from, as_before);
    if which == Which::Next {
        let text = match from {
            Some(from) => format!(
                "Job {name} starts with the state of Savepoint {} ({}).",
                from.name, from.location
            ),
            None => format!("Job {name} starts without state."),
        };
        draft.note(EventReason::Starting, text);
        if from.is_none() && number > 1 && restore_kind(observed.deployment) != RestoreKind::None {
            draft.note(
                EventReason::NoState,
                format!(
                    "restoreStrategy.kind is {}, and no snapshot is known that it allows: the job starts empty.",
                    restore_kind(observed.deployment)
                ),
            );
        }
    }
    draft.next.job_name = Some(name.clone());
    draft.next.latest_savepoint_name = from.map(|from| from.name.clone());
    draft.next.restart_nonce = observed.deployment.spec.restart_nonce;
    draft.next.target_namespace = Some(namespace.clone());
    draft.next.ui = Some(format!(
        "kubectl port-forward -n {namespace} service/{}-dep-jobmanager 8081:8081; then http://localhost:8081",
        draft.name()
    ));
    if which == Which::Next {
        draft.begin(operations::START);
    }
    draft.moving(reasons::STARTING, "The job is being started.");
    let step = Step::Record {
        name,
        spec: Box::new(spec),
    };
    draft.act(Some(step), Again::AtOnce)
}

/// Whether there is room for a run.
enum Room<'a> {
    /// It waits.
    Wait(Decision),
    /// There is: for what the spec asks for, or at least for what this run was made from.
    Full(Box<Draft<'a>>, Option<Box<JobSpec>>),
}

fn room(mut draft: Draft<'_>, which: Which, demand: MilliCpu) -> Room<'_> {
    let is_growth = demand > draft.held();
    let message = match draft.observed.gate.as_ref().filter(|_| is_growth) {
        None if is_growth => return Room::Wait(Decision::AskGate),
        None | Some(Verdict::Open) => {
            draft.over(types::QUOTA_EXCEEDED, "There is room for it.");
            return Room::Full(Box::new(draft), None);
        }
        Some(Verdict::NotCounted(why)) => {
            draft.moving(reasons::QUOTA_NOT_COUNTED, why);
            return Room::Wait(draft.act(None, Again::After(COUNT)));
        }
        Some(Verdict::Refused(refusal)) => refusal.message("deployment", draft.name()),
    };
    if let Some(before) = before(&draft, which) {
        refused(&mut draft, EventReason::GrowthRefused, &message);
        return Room::Full(Box::new(draft), Some(before));
    }
    refused(&mut draft, EventReason::QuotaExceeded, &message);
    draft.moving(reasons::CPU_QUOTA, &message);
    Room::Wait(match which {
        Which::Claimed if draft.held() > MilliCpu::ZERO => unclaim(draft),
        _ => draft.act(None, Again::After(WAIT)),
    })
}

/// What the Job object of a run says: the spec of now, or of the run before.
fn record(
    draft: &Draft<'_>,
    namespace: &str,
    from: Option<&Stored>,
    as_before: Option<Box<JobSpec>>,
) -> JobSpec {
    let deployment = draft.observed.deployment;
    let strategy = deployment.spec.restore_strategy.as_ref();
    let template = deployment.spec.template.as_ref();
    let template = template.and_then(|template| serde_json::to_value(template).ok());
    let (started_with, template) = match (as_before, template) {
        (Some(before), _) => (before.started_with, before.template),
        (None, Some(Value::Object(template))) => {
            (Some(identity::fingerprint(deployment)), Some(template))
        }
        (None, _) => (Some(identity::fingerprint(deployment)), None),
    };
    JobSpec {
        deployment_name: Some(draft.name().to_owned()),
        deployment_generation: draft.generation(),
        savepoint_name: from.map(|from| from.name.clone()),
        savepoint_location: from.map(|from| from.location.clone()),
        allow_non_restored_state: strategy
            .and_then(|strategy| strategy.allow_non_restored_state)
            .filter(|_| from.is_some()),
        started_with,
        target_namespace: Some(namespace.to_owned()),
        template,
    }
}

/// What the run before was made from, where its room is still held and it has run: a recovery is never refused, so it runs again as it was
/// while what the spec asks for more waits (decision 17).
fn before(draft: &Draft<'_>, which: Which) -> Option<Box<JobSpec>> {
    let may_go_on = which == Which::Next && draft.held() > MilliCpu::ZERO && draft.has_run();
    let spec = &draft.observed.run?.spec;
    (may_go_on && spec.template.is_some()).then(|| Box::new(spec.clone()))
}

/// The name that was taken for a run as before is given back: that run's record was not stored, and what it was to be like stands in the one
/// before.
fn unclaim(mut draft: Draft<'_>) -> Decision {
    let claimed = draft.next.job_name.as_deref();
    let claimed = claimed.and_then(|name| identity::run_of(draft.name(), name));
    if let Some(earlier) = claimed.filter(|number| *number > 1) {
        draft.next.job_name = Some(identity::job_name(draft.name(), earlier - 1));
        draft.begin(operations::RECOVER);
    }
    draft.act(None, Again::After(WAIT))
}

/// Whether a run that the spec does not describe was begun all the same, since what the spec asks for more was refused.
pub fn runs_as_before(draft: &Draft<'_>) -> bool {
    let demand = draft.observed.demand.clone().unwrap_or_default();
    demand > draft.held() && conditions::holds(&draft.before.conditions, types::QUOTA_EXCEEDED)
}

/// Why nothing can be run from the spec, if so.
pub fn spoilt(draft: &Draft<'_>) -> Option<String> {
    let observed = draft.observed;
    if in_session::named(observed.deployment).is_some() {
        return in_session::build::spec(observed.deployment, DesiredState::Running, 0).err();
    }
    let demand = observed.demand.as_ref().err();
    demand.or(observed.spoilt.as_ref()).cloned()
}

/// It goes on in a session cluster ([`in_session`]), since nothing of a cluster of its own is left.
fn handed_over(mut draft: Draft<'_>) -> Decision {
    draft.nothing_left();
    draft.moving(
        reasons::STARTING,
        "The job goes on in the session cluster that spec.sessionClusterName names.",
    );
    draft.act(None, Again::AtOnce)
}

fn no_target(mut draft: Draft<'_>, reason: &str, message: &str) -> Decision {
    if !conditions::holds(&draft.before.conditions, types::TARGET_NOT_FOUND) {
        draft.note(EventReason::TargetNotFound, message.to_owned());
    }
    draft.condition(types::TARGET_NOT_FOUND, Truth::True, reason, message);
    draft.moving(reason, message);
    draft.act(None, Again::After(WAIT))
}

/// Tells that a quota has no room, once.
pub fn refused(draft: &mut Draft<'_>, event: EventReason, message: &str) {
    if !conditions::holds(&draft.before.conditions, types::QUOTA_EXCEEDED) {
        draft.note(event, message.to_owned());
    }
    draft.condition(
        types::QUOTA_EXCEEDED,
        Truth::True,
        reasons::CPU_QUOTA,
        message,
    );
}

/// Its Job object stands: its cluster is made, once it is certain that nothing of another run is left.
pub fn make(mut draft: Draft<'_>) -> Decision {
    if draft.observed.proof == Proof::Watched {
        return Decision::ReadAll;
    }
    draft.moving(reasons::STARTING, "The job's cluster is being made.");
    draft.act(Some(Step::Make), Again::After(LOOK))
}

/// What follows from a step of the making.
pub fn answered(mut draft: Draft<'_>, answer: &Answer) -> Decision {
    match answer {
        Answer::NameTaken => {
            let newest = draft.next.job_name.as_deref();
            let number = newest.and_then(|name| identity::run_of(draft.name(), name));
            let number = number.unwrap_or_default().saturating_add(1);
            draft.next.job_name = Some(identity::job_name(draft.name(), number));
            draft.act(None, Again::AtOnce)
        }
        Answer::Made(uid) => {
            draft.run.jobmanager_uid = Some(uid.clone());
            draft.run.state = Some(RunState::Starting);
            draft.run.job_id = super::settle::run_id(&draft).map(|id| id.to_string());
            draft.act(None, Again::After(LOOK))
        }
        Answer::Refused(reason, message) => {
            let now = draft.now();
            draft.run.failure = Some(Failure {
                reason: (*reason).to_owned(),
                message: message.clone(),
                failed_at: Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now)),
            });
            draft.conclude(RunState::Failed)
        }
        _ => draft.act(None, Again::After(LOOK)),
    }
}
