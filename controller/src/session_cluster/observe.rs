//! Observes a cluster and decides: the first half of a reconciliation. Nothing is written here.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, ResourceExt};
use sluice_api::conditions as words;
use sluice_api::names::labels;
use sluice_api::{DesiredClusterState, SessionCluster};
use sluice_policy::ledger::Revision;
use sluice_policy::world::EmptyWorld;
use sluice_policy::{MilliCpu, Mode, dialect_for};
use tokio::time::Instant;

use super::decide::{Decision, Observed, Plan, Proof, allocated, decide, task_managers};
use super::gate::{self, Claim, Verdict};
use super::health::Heard;
use super::reconcile::{Context, Labels, Memory, ReconcileError, call};
use super::scene::jobmanager_pod;
use super::target::{self, Target};
use crate::ledger::standing::Answer;
use crate::objects::{FlinkCluster, build};
use crate::runtime::conditions as set;
use crate::runtime::made::Made;

/// The ledger's name of the resource.
const RESOURCE: &str = "sessionclusters.sluice.dev";
/// How long a namespace's labels are remembered while something waits for them.
const LABELS: Duration = Duration::from_secs(5);

/// Observes and decides.
pub(super) async fn plan(
    cluster: &SessionCluster,
    uid: &str,
    context: &Context,
) -> Result<Plan, ReconcileError> {
    let to_run = cluster.metadata.deletion_timestamp.is_none()
        && cluster.spec.state == Some(DesiredClusterState::Running);
    let target = if to_run {
        place(cluster, context).await?
    } else {
        Target::At(cluster.namespace().unwrap_or_default())
    };
    let demand = if to_run {
        demand(cluster)
    } else {
        Ok(MilliCpu::ZERO)
    };
    let mut made = context.index.of(uid);
    let mut proof = Proof::Watched;
    let mut gate = None;
    loop {
        let namespace = match &target {
            Target::At(namespace) => namespace.as_str(),
            _ => "",
        };
        let wanted = if to_run {
            FlinkCluster::of_session_cluster(cluster, namespace, task_managers(cluster))
                .and_then(|flink| build(&flink, &context.build))
        } else {
            Ok(Vec::new())
        };
        let heard =
            jobmanager_pod(&made).map_or(Heard::Nothing, |pod| context.health.heard(uid, &pod.uid));
        let (settled, refused, uncounted) = context.remember(uid, |memory| {
            (
                memory.settled.clone(),
                memory.refused.as_ref().map(|(refusal, _)| refusal.clone()),
                memory
                    .uncounted
                    .map(|since| since.elapsed())
                    .unwrap_or_default(),
            )
        });
        let decision = decide(&Observed {
            cluster,
            now: Timestamp::now(),
            demand: demand.clone(),
            target: target.clone(),
            wanted,
            gate: gate.clone(),
            uncounted,
            made: &made,
            proof,
            settled: &settled,
            heard,
            refused,
        });
        match decision {
            Decision::Act(plan) => return Ok(*plan),
            Decision::AskGate => {
                let demand = demand.clone().unwrap_or_default();
                gate = Some(ask_gate(cluster, uid, demand, context).await?);
            }
            Decision::ReadAll => {
                made = context
                    .hand
                    .read_all(uid, &namespaces(cluster, &made))
                    .await?;
                context.index.correct(uid, &made);
                proof = Proof::Read;
            }
        }
    }
}

/// Namespaces that something of the cluster may lie in.
fn namespaces(cluster: &SessionCluster, made: &[Made]) -> Vec<String> {
    let status = cluster.status.as_ref();
    let mut all: Vec<String> = made.iter().map(|made| made.namespace.clone()).collect();
    all.extend(cluster.namespace());
    all.extend(status.and_then(|status| status.target_namespace.clone()));
    all.sort();
    all.dedup();
    all
}

/// CPU that it needs while it runs, by the very function that admission and the ledger use.
fn demand(cluster: &SessionCluster) -> Result<MilliCpu, String> {
    let object = serde_json::to_value(cluster).map_err(|error| error.to_string())?;
    let dialect = dialect_for(sluice_api::GROUP, "SessionCluster")
        .ok_or_else(|| "SessionCluster is no kind of this version".to_owned())?;
    let workload = dialect.workload(&object, &EmptyWorld);
    workload.map(|workload| workload.demand).map_err(|causes| {
        let causes: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        causes.join("; ")
    })
}

/// Where its pods run. Where they run already they stay.
async fn place(cluster: &SessionCluster, context: &Context) -> Result<Target, ReconcileError> {
    let own = cluster.namespace().unwrap_or_default();
    let status = cluster.status.as_ref();
    if allocated(cluster) > MilliCpu::ZERO
        && let Some(namespace) = status.and_then(|status| status.target_namespace.clone())
    {
        return Ok(Target::At(namespace));
    }
    let name = cluster.spec.deployment_target_name.as_deref();
    let defined = name.and_then(|name| {
        let target = context.targets.get(&ObjectRef::new(name).within(&own))?;
        Some(target.spec.kubernetes.namespace.clone())
    });
    match target::resolve(&own, name, defined.as_deref()) {
        Target::At(namespace) if namespace != own => {
            let labels = namespace_labels(&namespace, context).await?;
            Ok(target::accepted(&namespace, &own, labels.as_ref()))
        }
        resolved => Ok(resolved),
    }
}

async fn namespace_labels(namespace: &str, context: &Context) -> Result<Labels, ReconcileError> {
    let lock = || {
        context
            .labels
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if let Some((at, labels)) = lock().get(namespace)
        && at.elapsed() < LABELS
    {
        return Ok(labels.clone());
    }
    let api: Api<Namespace> = Api::all(context.client.0.clone());
    let found = api
        .get_opt(namespace)
        .await
        .map_err(call("reading a namespace"))?;
    let labels = found.map(|namespace| namespace.metadata.labels.unwrap_or_default());
    let mut known = lock();
    known.retain(|_, (at, _)| at.elapsed() < LABELS);
    known.insert(namespace.to_owned(), (Instant::now(), labels.clone()));
    Ok(labels)
}

async fn ask_gate(
    cluster: &SessionCluster,
    uid: &str,
    demand: MilliCpu,
    context: &Context,
) -> Result<Verdict, ReconcileError> {
    let Some(ledger) = &context.ledger else {
        return Ok(Verdict::Open);
    };
    let namespace = cluster.namespace().unwrap_or_default();
    let version = cluster.resource_version().unwrap_or_default();
    let revision = Revision::parse(&version).unwrap_or_default();
    let verdict = match ledger.ask(RESOURCE, &namespace, uid, revision).await {
        Answer::NotYet => Verdict::NotCounted("the quotas have not been read yet".to_owned()),
        Answer::Quotas(standings) => {
            // One at a time: who is let in here is seen by the next one, before any status says so.
            let mut memory = context.lock();
            let waiting = if gate::is_crowded(&standings) {
                waiting(context, &memory)
            } else {
                Vec::new()
            };
            let verdict = gate::judge(&claim(cluster, demand), &standings, &waiting);
            let entry = memory.entry(uid.to_owned()).or_default();
            entry.granted = verdict == Verdict::Open;
            verdict
        }
    };
    context.remember(uid, |memory| match &verdict {
        Verdict::NotCounted(_) => {
            memory.uncounted.get_or_insert_with(Instant::now);
        }
        _ => memory.uncounted = None,
    });
    if matches!(verdict, Verdict::Refused(_)) {
        let labels = namespace_labels(&namespace, context).await?;
        let mode = labels.and_then(|labels| Mode::parse(labels.get(labels::MODE_QUOTA)?));
        if mode.is_some_and(|mode| mode != Mode::Enforce) {
            return Ok(Verdict::Open);
        }
    }
    Ok(verdict)
}

fn claim(cluster: &SessionCluster, demand: MilliCpu) -> Claim {
    let conditions = cluster.status.as_ref().map(|status| &status.conditions);
    let refused = conditions.and_then(|conditions| {
        set::get(conditions, words::types::QUOTA_EXCEEDED)
            .filter(|condition| condition.status == set::Truth::True.word())
    });
    let created = cluster.meta().creation_timestamp.as_ref();
    Claim {
        uid: cluster.uid().unwrap_or_default(),
        namespace: cluster.namespace().unwrap_or_default(),
        allocated: allocated(cluster),
        demand,
        refused_since: refused.map(|condition| condition.last_transition_time.0),
        created: created.map_or(Timestamp::MIN, |time| time.0),
    }
}

/// All that ask to run and have not been started.
fn waiting(context: &Context, memory: &HashMap<String, Memory>) -> Vec<Claim> {
    let all = context.clusters.state();
    all.iter()
        .filter(|cluster| {
            let uid = cluster.metadata.uid.as_deref().unwrap_or_default();
            cluster.spec.state == Some(DesiredClusterState::Running)
                && cluster.metadata.deletion_timestamp.is_none()
                && allocated(cluster) == MilliCpu::ZERO
                && !memory.get(uid).is_some_and(|memory| memory.granted)
        })
        .filter_map(|cluster| Some(claim(cluster, demand(cluster).ok()?)))
        .collect()
}
