//! The decision: what is observed of a cluster goes in, the next steps and its status come out.
//!
//! Whatever has been done before counts only as far as it is observed: the newest desired state is worked towards from
//! wherever things are. What is asked for last wins over an operation in progress, since that is nothing but a word in the status.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sluice_api::conditions::reasons;
use sluice_api::names::finalizers;
use sluice_api::{DesiredClusterState, SessionCluster, SessionClusterState, SessionClusterStatus};
use sluice_policy::MilliCpu;

use super::health::{Heard, Listen};
use super::scene::Left;
use super::state::{self, Refusal, Scene};
use super::target::Target;
use crate::ledger::gate::Verdict;
use crate::objects::cluster::HighAvailability;
use crate::objects::{BuildError, Built, FOSTER, MadeKind, Names, Owner, Role, foster};
use crate::runtime::events::Note;
use crate::runtime::made::Made;

/// How long a quota may stay uncounted before users are told: at every start it takes a moment.
const UNCOUNTED: Duration = Duration::from_secs(3);
/// Between looks whether CPU has become free, or a target has come.
const WAIT: Duration = Duration::from_secs(1);
/// Between looks whether a quota counts the object now.
const COUNT: Duration = Duration::from_millis(100);
/// After the API server has refused an object.
const REFUSED: Duration = Duration::from_secs(30);

/// What is observed.
#[derive(Debug)]
pub struct Observed<'a> {
    /// The object.
    pub cluster: &'a SessionCluster,
    /// The time, for conditions.
    pub now: Timestamp,
    /// CPU that it asks for while it runs, as admission reads it.
    pub demand: Result<MilliCpu, String>,
    /// Where its pods run.
    pub target: Target,
    /// The objects that it should have, if it is to run.
    pub wanted: Result<Vec<Built>, BuildError>,
    /// What the second gate says; `None`: not asked yet.
    pub gate: Option<Verdict>,
    /// Whether its Flink's id is free; `None`: not asked yet.
    pub flink_id: Option<FlinkId>,
    /// For how long a quota has not counted it.
    pub uncounted: Duration,
    /// What has been made for it.
    pub made: &'a [Made],
    /// Whether `made` was read past every cache.
    pub proof: Proof,
    /// Digests of objects (by uid) that are known to be as they should be.
    pub settled: &'a HashMap<String, u64>,
    /// What Flink says.
    pub heard: Heard,
    /// Why an object could not be made when it was last tried.
    pub refused: Option<Refusal>,
    /// Why something could not be scaled or removed when it was last tried.
    pub hindered: Option<Refusal>,
}

/// Whether the id is free under which Flink's high availability keeps its own records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlinkId {
    /// Nobody else has it.
    Free,
    /// Somebody else's Flink may have it; who, and what to do, in a sentence.
    Taken(String),
}

/// How what is observed was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// From watches, which may lag behind.
    Watched,
    /// Past every cache.
    Read,
}

/// What has to be found out, or done.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Ask the second gate, then decide again.
    AskGate,
    /// Ask whether its Flink's id is free, then decide again.
    AskFlinkId,
    /// Read what has been made past every cache, then decide again.
    ReadAll,
    /// Do this.
    Act(Box<Plan>),
}

/// What has to be done, in this order: finalizer to be added, what Flink has left, status, steps, finalizer to be removed, Events.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The object's finalizer.
    pub finalizer: Finalizer,
    /// The namespace in which Flink's own records of its jobs (high availability) are removed, where it keeps any. That is done before the status says that
    /// nothing is left, and again before it says that a start has begun: that would bring old jobs back beside those that Sluice starts.
    pub forget_jobs: Option<String>,
    /// The status, whether it has changed or not.
    pub status: SessionClusterStatus,
    /// What has to be done to made objects.
    pub steps: Vec<Step>,
    /// What is told, once it is stored.
    pub notes: Vec<Note>,
    /// How soon Flink is to be asked again.
    pub listen: Listen,
    /// When to look again, should nothing be heard.
    pub again: Option<Duration>,
}

/// What to do to the finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finalizer {
    /// It is as it should be.
    Leave,
    /// Before anything is made.
    Add,
    /// After everything is gone.
    Remove,
}

/// What to do to a made object.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// See to it that it is as it should be.
    Ensure(Box<Built>),
    /// Set the number of its pods.
    Scale(Made, u32),
    /// Delete it.
    Delete(Made),
}

/// Decides.
pub fn decide(observed: &Observed<'_>) -> Decision {
    let cluster = observed.cluster;
    let is_deleted = cluster.metadata.deletion_timestamp.is_some();
    if !is_deleted && cluster.spec.state == Some(DesiredClusterState::Running) {
        run(observed)
    } else {
        tear_down(observed)
    }
}

/// CPU that the status says its pods have or may have.
pub fn allocated(cluster: &SessionCluster) -> MilliCpu {
    let status = cluster.status.as_ref();
    let milli = status.and_then(|status| status.allocated_milli);
    MilliCpu(
        milli
            .and_then(|milli| u64::try_from(milli).ok())
            .unwrap_or_default(),
    )
}

/// TaskManagers asked for.
pub fn task_managers(cluster: &SessionCluster) -> u32 {
    let number = cluster.spec.number_of_task_managers.unwrap_or(1);
    u32::try_from(number).unwrap_or_default()
}

fn has_finalizer(cluster: &SessionCluster) -> bool {
    let finalizers = cluster.metadata.finalizers.iter().flatten();
    finalizers
        .into_iter()
        .any(|name| name == finalizers::TEARDOWN)
}

/// What removes a role: its Deployment, with which its pods go. Those that were left without theirs are given one, which makes none, before they
/// are removed: what made them would make them again.
fn removal(observed: &Observed<'_>, role: Role, workloads: &[&Made], pods: &[&Made]) -> Vec<Step> {
    let delete = |made: &&Made| Step::Delete((*made).clone());
    let stay: Vec<&Made> = pods.iter().copied().filter(|pod| !pod.is_going()).collect();
    if workloads.is_empty() {
        // What has ended is only a record, which nothing makes again.
        return match stay.iter().find(|pod| pod.living_pod().is_some()) {
            // Where it cannot be made, they can be removed at least.
            Some(pod) if observed.refused.is_none() => {
                let owner = Owner::session_cluster(observed.cluster);
                let names = Names::of_session_cluster(&owner.name);
                let built = foster(&owner, &names, &pod.namespace, role);
                vec![Step::Ensure(Box::new(built))]
            }
            _ => stay.iter().map(delete).collect(),
        };
    }
    let makes_none = |made: &&Made| made.workload().is_some_and(|made| made.replicas == 0);
    if workloads.iter().any(makes_none) && !pods.is_empty() {
        let is_seen = |made: &&Made| made.workload().is_none_or(|made| made.observed);
        if !workloads.iter().all(is_seen) {
            return Vec::new();
        }
        if !stay.is_empty() {
            return stay.iter().map(delete).collect();
        }
    }
    let remaining = workloads.iter().filter(|made| !made.is_going());
    remaining.map(delete).collect()
}

/// TaskManagers, then the JobManager, then the rest; each begins when what comes before it is gone.
fn tear_down(observed: &Observed<'_>) -> Decision {
    let cluster = observed.cluster;
    let before = cluster.status.clone().unwrap_or_default();
    let was_stopped = matches!(before.state, None | Some(SessionClusterState::Stopped));
    if observed.made.is_empty() {
        let may_have_been = allocated(cluster) > MilliCpu::ZERO || !was_stopped;
        if may_have_been && observed.proof == Proof::Watched {
            return Decision::ReadAll;
        }
        let (status, notes) = state::stopped(observed);
        let was_made = has_finalizer(cluster);
        // Else what bears its id is somebody else's.
        let is_available =
            HighAvailability::of_session_cluster(cluster) == HighAvailability::Kubernetes;
        let place = before.target_namespace;
        return Decision::Act(Box::new(Plan {
            finalizer: if was_made {
                Finalizer::Remove
            } else {
                Finalizer::Leave
            },
            forget_jobs: place
                .or_else(|| cluster.metadata.namespace.clone())
                .filter(|_| was_made && is_available),
            status,
            steps: Vec::new(),
            notes,
            listen: Listen::No,
            again: None,
        }));
    }
    let of = |role: Option<Role>, kind: MadeKind| {
        observed
            .made
            .iter()
            .filter(move |made| made.role == role && made.kind == kind)
    };
    let mut steps = Vec::new();
    let mut waits = false;
    for role in [Role::TaskManager, Role::JobManager] {
        let workloads: Vec<&Made> = of(Some(role), MadeKind::Deployment).collect();
        let pods: Vec<&Made> = of(Some(role), MadeKind::Pod).collect();
        waits = !workloads.is_empty() || !pods.is_empty();
        if !waits {
            continue;
        }
        steps = removal(observed, role, &workloads, &pods);
        break;
    }
    if !waits {
        for kind in [
            MadeKind::Service,
            MadeKind::ConfigMap,
            MadeKind::RoleBinding,
            MadeKind::Role,
            MadeKind::ServiceAccount,
            MadeKind::Deployment,
            MadeKind::Pod,
        ] {
            let of_kind = observed.made.iter().filter(|made| made.kind == kind);
            steps.extend(
                of_kind
                    .filter(|made| !made.is_going())
                    .map(|made| Step::Delete(made.clone())),
            );
        }
    }
    let (status, notes) = state::stopping(observed);
    // Kubernetes takes no new finalizer on what is being deleted.
    let may_add = cluster.metadata.deletion_timestamp.is_none();
    Decision::Act(Box::new(Plan {
        finalizer: if may_add && !has_finalizer(cluster) {
            Finalizer::Add
        } else {
            Finalizer::Leave
        },
        forget_jobs: None,
        status,
        steps,
        notes,
        listen: Listen::No,
        again: soonest([
            late_in(observed),
            observed.hindered.is_some().then_some(REFUSED),
        ]),
    }))
}

/// How long until the next of what is being deleted is late.
fn late_in(observed: &Observed<'_>) -> Option<Duration> {
    let all = observed.made.iter();
    let left = all.filter_map(|made| made.late_in(observed.now));
    left.filter(|left| !left.is_zero()).min()
}

fn soonest<const N: usize>(all: [Option<Duration>; N]) -> Option<Duration> {
    all.into_iter().flatten().min()
}

fn run(observed: &Observed<'_>) -> Decision {
    let cluster = observed.cluster;
    let held = allocated(cluster);
    let is_new = held == MilliCpu::ZERO;
    let demand = match &observed.demand {
        Ok(demand) => *demand,
        Err(message) => return spoilt(observed, message),
    };
    let place = match &observed.target {
        Target::At(namespace) => namespace,
        Target::Missing(message) => return no_target(observed, reasons::NOT_FOUND, message),
        Target::NotAccepted(message) => {
            return no_target(observed, reasons::NOT_ACCEPTED, message);
        }
    };
    let wanted = match &observed.wanted {
        Ok(wanted) => wanted,
        Err(error) => return spoilt(observed, &error.to_string()),
    };
    let mut growth = None;
    if demand > held {
        match &observed.gate {
            None => return Decision::AskGate,
            Some(Verdict::Open) => {}
            Some(Verdict::NotCounted(why)) => {
                if observed.uncounted < UNCOUNTED {
                    return unchanged(observed, COUNT);
                }
                if is_new {
                    let (status, notes) = state::waiting(observed, reasons::QUOTA_NOT_COUNTED, why);
                    return wait(observed, status, notes);
                }
                growth = Some(Verdict::NotCounted(why.clone()));
            }
            Some(Verdict::Refused(refusal)) => {
                if is_new {
                    let name = cluster.metadata.name.as_deref().unwrap_or_default();
                    let message = refusal.message("sessioncluster", name);
                    let (status, notes) = state::waiting(observed, reasons::CPU_QUOTA, &message);
                    return wait(observed, status, notes);
                }
                growth = Some(Verdict::Refused(refusal.clone()));
            }
        }
    }
    let mut begins = begins_with_high_availability(cluster);
    if begins && !observed.made.is_empty() {
        if observed.proof == Proof::Watched {
            return Decision::ReadAll;
        }
        // The status has been lost, not the cluster.
        begins = !observed.made.iter().any(|made| made.role.is_some());
    }
    if begins {
        match &observed.flink_id {
            None => return Decision::AskFlinkId,
            Some(FlinkId::Free) => {}
            Some(FlinkId::Taken(message)) => return id_taken(observed, message),
        }
    }
    let scene = Scene::of(observed, wanted, growth);
    let mut next = if demand > held && scene.growth.is_none() {
        demand
    } else {
        held
    };
    if demand < held && scene.has_shrunk() {
        if observed.proof == Proof::Watched {
            return Decision::ReadAll;
        }
        next = demand;
    }
    let (status, notes) = state::running(observed, &scene, next);
    let listen = scene.listen(status.state);
    let steps = steps(observed, wanted, &scene);
    let again = soonest([
        scene.growth.is_some().then_some(WAIT),
        observed.refused.is_some().then_some(REFUSED),
        observed.hindered.is_some().then_some(REFUSED),
        late_in(observed),
    ]);
    Decision::Act(Box::new(Plan {
        finalizer: if has_finalizer(cluster) {
            Finalizer::Leave
        } else {
            Finalizer::Add
        },
        // What is lost or fails while it is to run comes back with its jobs: that is what high availability is for.
        forget_jobs: begins.then(|| place.clone()),
        status,
        steps,
        notes,
        listen,
        again,
    }))
}

/// Whether the status says that this is the very start of a cluster that is to have high availability. Where its pods run is written with the CPU
/// that is set aside for them, before the first is made, and cleared when the last is gone. So all that is found under its id is of an earlier run,
/// and its jobs are known to have ended.
fn begins_with_high_availability(cluster: &SessionCluster) -> bool {
    let status = cluster.status.as_ref();
    allocated(cluster) == MilliCpu::ZERO
        && status.is_none_or(|status| status.target_namespace.is_none())
        && HighAvailability::of_session_cluster(cluster) == HighAvailability::Kubernetes
}

/// What has to be done so that everything is as wanted.
fn steps(observed: &Observed<'_>, wanted: &[Built], scene: &Scene) -> Vec<Step> {
    let mut steps = Vec::new();
    for built in wanted {
        let role = scene.role_of(built);
        let replicas = role.map(|role| scene.replicas(role));
        let known = observed.made.iter().find(|made| is_same(made, built));
        let ensure = |paused: Option<bool>| {
            let mut built = built.clone();
            let spec = built.object.pointer_mut("/spec");
            if let (Some(replicas), Some(spec)) = (replicas, spec.and_then(Value::as_object_mut)) {
                spec.insert("replicas".to_owned(), replicas.into());
                spec.extend(paused.map(|paused| ("paused".to_owned(), paused.into())));
            }
            Step::Ensure(Box::new(built))
        };
        let Some(made) = known else {
            match role.map_or(Left::Nothing, |role| scene.left(role)) {
                Left::Nothing => steps.push(ensure(None)),
                // What runs runs on by itself while there is no CPU for what is wanted now.
                Left::Alone if scene.growth.is_some() => {}
                Left::Going => {}
                // Paused it takes over what makes them, if they were left to themselves, and makes no others beside them.
                Left::Alone => steps.push(ensure(Some(true))),
            }
            continue;
        };
        if made.is_going() {
            continue;
        }
        let is_same_input = built.input.is(made.input.as_deref());
        // What has not been given the CPU for it is not changed.
        let may_change = is_same_input || scene.growth.is_none();
        if let (Some(role), Some(workload)) = (role, made.workload().filter(|made| made.paused)) {
            if may_change && scene.may_go_on(role, workload) {
                steps.push(ensure(Some(false)));
            }
            continue;
        }
        let is_same_make = made.built.as_deref() == Some(&built.built);
        if !is_same_input && may_change {
            steps.push(ensure(None));
            continue;
        }
        if is_same_input && is_same_make && observed.settled.get(&made.uid) != Some(&made.digest) {
            steps.push(ensure(None));
            continue;
        }
        // Else another version of Sluice has made it: what runs is not restarted for that.
        if let (Some(workload), Some(replicas)) = (made.workload(), replicas)
            && workload.replicas != replicas
            && made.input.as_deref() != Some(FOSTER)
        {
            steps.push(Step::Scale(made.clone(), replicas));
        }
    }
    steps
}

/// Whether a made object is the one that is wanted.
pub(super) fn is_same(made: &Made, built: &Built) -> bool {
    made.kind == built.kind && made.name == built.name && made.namespace == built.namespace
}

/// Nothing is done and nothing is told.
fn unchanged(observed: &Observed<'_>, again: Duration) -> Decision {
    Decision::Act(Box::new(Plan {
        finalizer: Finalizer::Leave,
        forget_jobs: None,
        status: observed.cluster.status.clone().unwrap_or_default(),
        steps: Vec::new(),
        notes: Vec::new(),
        listen: Listen::No,
        again: Some(again),
    }))
}

fn wait(observed: &Observed<'_>, status: SessionClusterStatus, notes: Vec<Note>) -> Decision {
    let Decision::Act(mut plan) = unchanged(observed, WAIT) else {
        return Decision::AskGate;
    };
    plan.status = status;
    plan.notes = notes;
    Decision::Act(plan)
}

/// What an earlier run has left cannot be told from what is another Flink's.
fn id_taken(observed: &Observed<'_>, message: &str) -> Decision {
    let (status, notes) = state::name_taken(observed, message);
    let Decision::Act(mut plan) = wait(observed, status, notes) else {
        return Decision::AskFlinkId;
    };
    plan.again = Some(REFUSED);
    Decision::Act(plan)
}

fn no_target(observed: &Observed<'_>, reason: &'static str, message: &str) -> Decision {
    let (status, notes) = state::waiting(observed, reason, message);
    wait(observed, status, notes)
}

/// The spec cannot be run. What runs is left alone.
fn spoilt(observed: &Observed<'_>, message: &str) -> Decision {
    let (status, notes) = state::spoilt(observed, message);
    let Decision::Act(mut plan) = unchanged(observed, REFUSED) else {
        return Decision::AskGate;
    };
    plan.status = status;
    plan.notes = notes;
    plan.again = None;
    Decision::Act(plan)
}
