//! Observes a cluster and decides: the first half of a reconciliation. Nothing is written here.

use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use sluice_api::{DesiredClusterState, SessionCluster};
use sluice_policy::MilliCpu;
use tokio::time::Instant;

use super::decide::{Decision, FlinkId, Observed, Plan, Proof, allocated, decide, task_managers};
use super::health::Heard;
use super::reconcile::{Context, ReconcileError};
use super::scene::{jobmanager_pod, process};
use super::start;
use super::target::{self, Target};
use crate::ledger::claim::workload;
use crate::ledger::gate::Verdict;
use crate::objects::{FlinkCluster, Names, build};
use crate::runtime::call::call;
use crate::runtime::hand::HandError;

/// Of the objects that are seen to.
const KIND: &str = "SessionCluster";

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
        workload(cluster, KIND).map(|workload| workload.demand)
    } else {
        Ok(MilliCpu::ZERO)
    };
    let places = namespaces(cluster, context);
    let mut made = context.index.of(uid, &places);
    let mut proof = Proof::Watched;
    let mut gate = None;
    let mut flink_id = None;
    // One for all: a start bears its time, in its status and in what is made.
    let now = Timestamp::now();
    loop {
        let namespace = match &target {
            Target::At(namespace) => namespace.as_str(),
            _ => "",
        };
        let wanted = if to_run {
            FlinkCluster::of_session_cluster(cluster, namespace, task_managers(cluster)).and_then(
                |mut flink| {
                    flink.start_id = start::id(cluster, now);
                    build(&flink, &context.build)
                },
            )
        } else {
            Ok(Vec::new())
        };
        let heard = jobmanager_pod(&made).map_or(Heard::Nothing, |pod| {
            context.health.heard(uid, &process(pod))
        });
        let (settled, refused, hindered, uncounted) = context.remember(uid, |memory| {
            (
                memory.settled.clone(),
                memory.refused.as_ref().map(|(refusal, _)| refusal.clone()),
                memory.hindered.clone(),
                memory
                    .uncounted
                    .map(|since| since.elapsed())
                    .unwrap_or_default(),
            )
        });
        let decision = decide(&Observed {
            cluster,
            now,
            demand: demand.clone(),
            target: target.clone(),
            wanted,
            gate: gate.clone(),
            flink_id: flink_id.clone(),
            uncounted,
            made: &made,
            proof,
            settled: &settled,
            heard,
            refused,
            hindered,
        });
        match decision {
            Decision::Act(plan) => return Ok(*plan),
            Decision::AskGate => {
                let demand = demand.clone().unwrap_or_default();
                gate = Some(ask_gate(cluster, uid, demand, context).await?);
            }
            Decision::AskFlinkId => {
                flink_id = Some(ask_flink_id(cluster, uid, namespace, context).await?);
            }
            Decision::ReadAll => {
                let since = context.index.changed(uid);
                made = context.hand.read_all(uid, &places).await?;
                context.index.correct(uid, &places, &made, since);
                proof = Proof::Read;
            }
        }
    }
}

/// Namespaces that something of the cluster may lie in: its own, the one that its status names before anything is made there, and the one that
/// its target names now, should the status have been lost.
pub(super) fn namespaces(cluster: &SessionCluster, context: &Context) -> Vec<String> {
    let status = cluster.status.as_ref();
    let mut all: Vec<String> = cluster.namespace().into_iter().collect();
    all.extend(status.and_then(|status| status.target_namespace.clone()));
    all.extend(defined(cluster, context));
    all.sort();
    all.dedup();
    all
}

/// The namespace that its target names, where there is that target.
fn defined(cluster: &SessionCluster, context: &Context) -> Option<String> {
    let name = cluster.spec.deployment_target_name.as_deref()?;
    let own = cluster.namespace().unwrap_or_default();
    let target = context.targets.get(&ObjectRef::new(name).within(&own))?;
    Some(target.spec.kubernetes.namespace.clone())
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
    let defined = defined(cluster, context);
    match target::resolve(&own, name, defined.as_deref()) {
        Target::At(namespace) if namespace != own => {
            let labels = context.namespaces.labels(&namespace).await;
            let labels = labels.map_err(call("reading a namespace"))?;
            Ok(target::accepted(&namespace, &own, labels.as_ref()))
        }
        resolved => Ok(resolved),
    }
}

async fn ask_gate(
    cluster: &SessionCluster,
    uid: &str,
    demand: MilliCpu,
    context: &Context,
) -> Result<Verdict, ReconcileError> {
    let verdict = context.door.ask(cluster, allocated(cluster), demand).await;
    let verdict = verdict.map_err(call("reading a namespace"))?;
    context.remember(uid, |memory| match &verdict {
        Verdict::NotCounted(_) => {
            memory.uncounted.get_or_insert_with(Instant::now);
        }
        _ => memory.uncounted = None,
    });
    Ok(verdict)
}

async fn ask_flink_id(
    cluster: &SessionCluster,
    uid: &str,
    namespace: &str,
    context: &Context,
) -> Result<FlinkId, ReconcileError> {
    let id = Names::of_session_cluster(&cluster.name_any()).flink_id();
    match context.hand.no_other_flink(namespace, &id).await {
        Ok(()) => Ok(FlinkId::Free),
        Err(taken @ HandError::FlinkIdTaken { .. }) => {
            // The second gate has let it in, and it does not start.
            context.door.withdraw(uid);
            Ok(FlinkId::Taken(format!(
                "{taken}. The cluster then starts by itself."
            )))
        }
        Err(error) => Err(error.into()),
    }
}
