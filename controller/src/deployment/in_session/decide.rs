//! The decision: a Deployment and its SessionJob go in, the next step and the Deployment's status come out. What happens to the job is
//! decided by the reconciler of SessionJobs; here it is only told what is asked for, and what it says is told on.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sluice_api::conditions::reasons;
use sluice_api::events::EventReason;
use sluice_api::names::finalizers;
use sluice_api::{
    Deployment, DeploymentState, DeploymentStatus, DesiredState, InSession, RestoreKind,
    SessionJob, SessionJobSpec, SessionJobStatus, UpgradeKind,
};

use super::build::{self, named};
use super::gone::{going, is_unclear, is_untold, remembered};
use super::tell::Telling;
use crate::deployment::sight::{Again, Stored};
use crate::deployment::snapshot::{choose, restore_kind};
use crate::runtime::events::Note;
use crate::session_job::draft::is_stop;
use crate::session_job::sight::Finalizer;

/// Between looks at a SessionJob whose every change is heard as well.
const LOOK: Duration = Duration::from_secs(10);
/// Between looks at one that is about to be gone.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// A run that has lived shorter is not started again at once.
const SHORT: Duration = Duration::from_mins(1);
/// But after this.
const PAUSE: Duration = Duration::from_secs(10);

/// What is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The Deployment.
    pub deployment: &'a Deployment,
    /// The time.
    pub now: Timestamp,
    /// The SessionJob of its name, read past every cache.
    pub found: Found<'a>,
    /// The Deployment's Savepoint objects that are complete; read where its SessionJob has gone missing after it ran.
    pub savepoints: &'a [Stored],
}

/// The SessionJob of the Deployment's name.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// There is none.
    Nothing,
    /// It is the Deployment's.
    Ours(&'a SessionJob),
    /// It is somebody else's.
    Theirs,
}

/// What has to be done, in this order: finalizer to be added, status, Events, step, finalizer to be removed.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The Deployment's finalizer.
    pub finalizer: Finalizer,
    /// Its status, whether it has changed or not.
    pub status: DeploymentStatus,
    /// What is told, once it is stored.
    pub notes: Vec<Note>,
    /// What to do then.
    pub step: Option<Step>,
    /// When to look again, should nothing be heard.
    pub again: Again,
}

/// What to do with the SessionJob.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Create it; one of this name that stands is not touched.
    Create(Box<SessionJob>),
    /// Replace it at the version that was read.
    Replace(Box<SessionJob>),
    /// Delete it: its own finalizer cancels what still runs.
    Delete,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Run,
    Suspend,
    Cancel,
    Delete,
}

impl Wish {
    fn of(deployment: &Deployment) -> Self {
        match deployment.spec.state {
            _ if deployment.metadata.deletion_timestamp.is_some() => Self::Delete,
            Some(DesiredState::Running) => Self::Run,
            Some(DesiredState::Suspended) => Self::Suspend,
            None | Some(DesiredState::Cancelled) => Self::Cancel,
        }
    }

    const fn state(self) -> DesiredState {
        match self {
            Self::Run => DesiredState::Running,
            Self::Suspend => DesiredState::Suspended,
            Self::Cancel | Self::Delete => DesiredState::Cancelled,
        }
    }
}

/// Whether a Deployment is seen to here: the one place where the ways part. Its job is on a session cluster from when that is claimed
/// in the status until its SessionJob is gone; and it goes there only when nothing of a cluster of its own is left.
pub fn takes(deployment: &Deployment) -> bool {
    let status = deployment.status.as_ref();
    if status.is_some_and(|status| status.session_job.is_some()) {
        return true;
    }
    let has_own_cluster = status.is_some_and(|status| {
        status.operation.is_some()
            || status.allocated_milli.unwrap_or_default() != 0
            || status.target_namespace.is_some()
    });
    named(deployment).is_some()
        && Wish::of(deployment) == Wish::Run
        && !has_own_cluster
        && !has_stopped_unclear(deployment)
}

/// Whether its cluster was lost before it had told of its last savepoint, and nobody has changed the Deployment since: on a session cluster it
/// would be started from an older one unasked.
fn has_stopped_unclear(deployment: &Deployment) -> bool {
    deployment.status.as_ref().is_some_and(|status| {
        status.state == Some(DeploymentState::Failed)
            && is_unclear(status.failure.as_ref())
            && status.observed_generation == deployment.metadata.generation
    })
}

/// Decides.
pub fn decide(observed: &Observed<'_>) -> Plan {
    let deployment = observed.deployment;
    let wish = Wish::of(deployment);
    let mut telling = Telling::new(deployment, observed.now);
    let all = deployment.metadata.finalizers.as_ref();
    let is_kept = all.is_some_and(|all| all.iter().any(|name| name == finalizers::TEARDOWN));
    if wish != Wish::Delete && !is_kept {
        // Before anything runs; the write of it brings us back.
        return Plan {
            finalizer: Finalizer::Add,
            ..telling.plan(None, Again::AtOnce)
        };
    }
    let stays = named(deployment).is_some() && wish != Wish::Delete;
    if let (Some(claim), Found::Ours(job)) = (&mut telling.next.session_job, observed.found) {
        let status = job.status.as_ref();
        let has_run = status.is_some_and(|status| status.start_time.is_some());
        claim.has_run = has_run.then_some(true);
    }
    let Some(claim) = telling.next.session_job.clone() else {
        return claimed(telling, observed.found);
    };
    if matches!(observed.found, Found::Nothing)
        && let Some(plan) = remembered(&telling, wish, stays, observed.savepoints)
    {
        return plan;
    }
    match observed.found {
        Found::Nothing | Found::Theirs if !stays => released(telling, wish),
        Found::Theirs => taken(telling),
        Found::Nothing if wish == Wish::Run => created(telling, &claim, observed.savepoints),
        Found::Nothing => {
            if !has_gone_missing(deployment) {
                telling.next.session_job = None;
            }
            telling.at_rest(if wish == Wish::Suspend {
                DeploymentState::Suspended
            } else {
                DeploymentState::Cancelled
            });
            telling.plan(None, Again::OnNews)
        }
        Found::Ours(job) if job.metadata.deletion_timestamp.is_some() => {
            going(telling, wish, stays, job)
        }
        Found::Ours(job) if stays => followed(telling, wish, &claim, job),
        Found::Ours(job) => left(telling, wish, &claim, job),
    }
}

/// Nothing is made before the status says that the job is on a session cluster: from then on it has no cluster of its own.
fn claimed(mut telling: Telling<'_>, found: Found<'_>) -> Plan {
    if matches!(found, Found::Theirs) {
        return taken(telling);
    }
    let name = telling.name().to_owned();
    let text = format!(
        "The job is handed to SessionCluster {}, as SessionJob {name}.",
        named(telling.deployment).unwrap_or_default()
    );
    telling.note(EventReason::Starting, &text);
    telling.next.session_job = Some(InSession {
        name,
        ..InSession::default()
    });
    telling.next.failure = None;
    telling.moving(reasons::STARTING, &text);
    telling.plan(None, Again::AtOnce)
}

/// A user's own SessionJob is never taken over.
fn taken(mut telling: Telling<'_>) -> Plan {
    let message = format!(
        "The job would run as SessionJob {0}, and a SessionJob {0} that is not this Deployment's stands in this namespace; delete \
         or rename it, or give the Deployment another name.",
        telling.name()
    );
    telling.fail(reasons::NAME_TAKEN, &message);
    telling.plan(None, Again::After(LOOK))
}

/// Whether its SessionJob has run; should that be gone, somebody else has deleted it, and what it did is not forgotten with it.
pub fn has_gone_missing(deployment: &Deployment) -> bool {
    let claim = deployment.status.as_ref();
    let claim = claim.and_then(|status| status.session_job.as_ref());
    claim.is_some_and(|claim| claim.has_run == Some(true))
}

fn created(mut telling: Telling<'_>, claim: &InSession, savepoints: &[Stored]) -> Plan {
    let is_empty = choose(telling.deployment, savepoints).is_none();
    let may_be_empty = restore_kind(telling.deployment) == RestoreKind::None;
    if has_gone_missing(telling.deployment) && is_empty && !may_be_empty {
        let message = format!(
            "The job has run, its SessionJob was deleted, and no snapshot of it is known to start from. Bring one in (a Savepoint with deploymentName \
             {} and savepointLocation), or set spec.restoreStrategy.kind to NONE to start it empty.",
            telling.name()
        );
        telling.fail(reasons::NO_STATE, &message);
        return telling.plan(None, Again::After(LOOK));
    }
    let recoveries = claim.recoveries.unwrap_or_default();
    match build::spec(telling.deployment, DesiredState::Running, recoveries) {
        Ok(spec) => {
            telling.moving(reasons::STARTING, "The SessionJob is being made.");
            let job = build::object(telling.deployment, spec);
            telling
                .unseen()
                .plan(Some(Step::Create(Box::new(job))), Again::AtOnce)
        }
        Err(why) => {
            telling.fail(reasons::INVALID_SPEC, &why);
            telling.plan(None, Again::OnNews)
        }
    }
}

/// It is on a session cluster, and is to be.
fn followed(mut telling: Telling<'_>, wish: Wish, claim: &InSession, job: &SessionJob) -> Plan {
    if let Some(status) = seen(job).filter(|status| is_untold(&telling, wish, status)) {
        // Whoever has changed the Deployment meanwhile has not known.
        telling.tell(status);
        return telling.plan(None, Again::After(LOOK));
    }
    let recoveries = claim.recoveries.unwrap_or_default();
    let spec = match build::spec(telling.deployment, wish.state(), recoveries) {
        Ok(spec) => spec,
        Err(why) if wish == Wish::Run => {
            let message =
                format!("What runs is left as it is; what the spec says cannot be run: {why}");
            telling.fail(reasons::INVALID_SPEC, &message);
            return telling.plan(None, Again::OnNews);
        }
        // What stops needs no program.
        Err(_) => stopped(job, wish.state()),
    };
    if let Some(plan) = corrected(&mut telling, claim, job, spec) {
        return plan;
    }
    let Some(status) = seen(job) else {
        return telling.unseen().plan(None, Again::After(LOOK));
    };
    if status.state == Some(DeploymentState::Failed) {
        let is_new = claim.written_for != telling.deployment.metadata.generation;
        let has_ended = !is_live(status);
        let why = status.failure.clone().unwrap_or_default();
        let is_given_up = has_ended && why.reason == "JobFailed";
        if wish == Wish::Run && is_given_up {
            return recovered(telling, status, claim, &why.message);
        }
        if is_new && wish == Wish::Run {
            // Somebody has changed the Deployment, and nothing of it alters the job: it is tried once more all the same.
            return again(telling, claim);
        }
    } else if let Some(claim) = &mut telling.next.session_job {
        // A change that did not alter the job was made before whatever fails later, and asks for no other try.
        claim.written_for = telling.deployment.metadata.generation;
    }
    telling.tell(status);
    telling.plan(None, Again::After(LOOK))
}

/// Flink has given the job up: it is started again, as restoreStrategy says (`vvp-deployments.txt`, Limits).
fn recovered(
    mut telling: Telling<'_>,
    status: &SessionJobStatus,
    claim: &InSession,
    why: &str,
) -> Plan {
    let failed = status.failure.as_ref();
    let failed = failed.and_then(|failure| failure.failed_at.as_ref());
    let lived = match (status.start_time.as_ref(), failed) {
        (Some(start), Some(end)) => end.0.duration_since(start.0),
        _ => jiff::SignedDuration::ZERO,
    };
    let age = failed.map_or(Duration::MAX, |failed| {
        let age = telling.now.duration_since(failed.0);
        age.try_into().unwrap_or(Duration::ZERO)
    });
    let is_short = lived < SHORT.try_into().unwrap_or_default();
    let left = if is_short {
        PAUSE.saturating_sub(age)
    } else {
        Duration::ZERO
    };
    if telling.before.state != Some(DeploymentState::Transitioning) {
        telling.note(EventReason::Recovering, why);
    }
    telling.moving("JobFailed", why);
    if !left.is_zero() {
        return telling.plan(None, Again::After(left.max(Duration::from_millis(100))));
    }
    again(telling, claim)
}

/// The same once more: another number in the SessionJob's `restartNonce`, which is stored before it is written.
fn again(mut telling: Telling<'_>, claim: &InSession) -> Plan {
    telling.next.session_job = Some(InSession {
        recoveries: Some(claim.recoveries.unwrap_or_default().saturating_add(1)),
        written_for: telling.deployment.metadata.generation,
        ..claim.clone()
    });
    telling.unseen().plan(None, Again::AtOnce)
}

/// Brings the SessionJob to what is asked for; `None`: it is there. It is written again where somebody else has changed it.
fn corrected(
    telling: &mut Telling<'_>,
    claim: &InSession,
    job: &SessionJob,
    spec: SessionJobSpec,
) -> Option<Plan> {
    let stands = build::marked(job) == Some(&build::mark(&spec));
    if stands && claim.generation == job.metadata.generation {
        return None;
    }
    let job = build::written(job.clone(), spec);
    Some(
        telling
            .clone()
            .unseen()
            .plan(Some(Step::Replace(Box::new(job))), Again::AtOnce),
    )
}

/// The status, once it is about the newest spec.
fn seen(job: &SessionJob) -> Option<&SessionJobStatus> {
    let status = job.status.as_ref()?;
    (status.observed_generation == job.metadata.generation && status.state.is_some())
        .then_some(status)
}

pub(super) fn is_live(status: &SessionJobStatus) -> bool {
    let word = status.flink_state.as_deref();
    word.is_some_and(|word| !matches!(word, "FINISHED" | "CANCELED" | "FAILED"))
}

/// What the SessionJob is told to stop: all of its spec stays but the state.
fn stopped(job: &SessionJob, state: DesiredState) -> SessionJobSpec {
    SessionJobSpec {
        state: Some(state),
        ..job.spec.clone()
    }
}

/// It is on a session cluster, and is not to be any more: its run ends as an upgrade or the desired state asks, then the SessionJob
/// goes, and only when it is gone something else begins.
fn left(mut telling: Telling<'_>, wish: Wish, claim: &InSession, job: &SessionJob) -> Plan {
    if wish == Wish::Delete {
        telling.moving(reasons::STOPPING, "The SessionJob is being removed.");
        return telling.plan(Some(Step::Delete), Again::After(SOON));
    }
    let status = seen(job);
    let ended = status.filter(|status| {
        let is_over = matches!(
            status.state,
            Some(
                DeploymentState::Suspended
                    | DeploymentState::Cancelled
                    | DeploymentState::Finished
                    | DeploymentState::Failed
            )
        );
        is_over && !is_live(status) && status.operation.is_none()
    });
    if let Some(status) = ended.filter(|status| is_untold(&telling, wish, status)) {
        telling.tell(status);
        if wish == Wish::Run {
            telling.leaving();
        }
        return telling.plan(None, Again::After(LOOK));
    }
    if ended.is_some() {
        // However it has ended, the stop that was told of is over.
        telling.next.operation = telling.next.operation.filter(|known| !is_stop(known));
        telling.moving(
            reasons::UPGRADING,
            "The job has left its session cluster; the SessionJob is being removed.",
        );
        return telling.plan(Some(Step::Delete), Again::After(SOON));
    }
    let state = match (wish, upgrade_kind(telling.deployment)) {
        (Wish::Run, UpgradeKind::None) => {
            let Some(status) = status else {
                return telling.unseen().plan(None, Again::After(LOOK));
            };
            telling.tell(status);
            telling.left_alone();
            if status.state != Some(DeploymentState::Running) {
                telling.leaving();
            }
            return telling.plan(None, Again::After(LOOK));
        }
        (Wish::Run, UpgradeKind::Stateful) | (Wish::Suspend, _) => DesiredState::Suspended,
        _ => DesiredState::Cancelled,
    };
    if let Some(plan) = corrected(&mut telling, claim, job, stopped(job, state)) {
        return plan;
    }
    match status {
        Some(status) if status.state == Some(DeploymentState::Failed) => {
            telling.tell(status);
            if wish == Wish::Run {
                telling.leaving();
            }
        }
        _ => telling.moving(
            reasons::UPGRADING,
            "The job is leaving its session cluster.",
        ),
    }
    telling.plan(None, Again::After(LOOK))
}

fn upgrade_kind(deployment: &Deployment) -> UpgradeKind {
    let restore = deployment.spec.restore_strategy.as_ref();
    let starts_empty = restore.and_then(|strategy| strategy.kind) == Some(RestoreKind::None);
    let upgrade = deployment.spec.upgrade_strategy.as_ref();
    upgrade
        .and_then(|strategy| strategy.kind)
        .unwrap_or(if starts_empty {
            UpgradeKind::Stateless
        } else {
            UpgradeKind::Stateful
        })
}

/// Its SessionJob is gone: what is asked for now is seen to where Deployments have clusters of their own.
fn released(mut telling: Telling<'_>, wish: Wish) -> Plan {
    telling.next.session_job = None;
    telling.nothing_left();
    if wish == Wish::Delete {
        return Plan {
            finalizer: Finalizer::Remove,
            ..telling.plan(None, Again::OnNews)
        };
    }
    telling.moving(reasons::UPGRADING, "The job has left its session cluster.");
    telling.plan(None, Again::AtOnce)
}

/// What the edge stores after a write: the generation by which somebody else's change is told apart.
pub fn noted(
    status: &DeploymentStatus,
    written: &SessionJob,
    deployment: &Deployment,
) -> DeploymentStatus {
    let mut next = status.clone();
    if let Some(claim) = &mut next.session_job {
        claim.generation = written.metadata.generation;
        claim.written_for = deployment.metadata.generation;
    }
    next
}

/// A time as it is stored.
pub(super) fn stored(time: Timestamp) -> Time {
    Time(crate::runtime::conditions::whole_second(time))
}
