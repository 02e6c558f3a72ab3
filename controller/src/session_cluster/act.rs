//! Does what was decided: the second half of a reconciliation.

use std::time::Duration;

use kube::api::ObjectMeta;
use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use sluice_api::SessionCluster;
use sluice_api::conditions::reasons;
use sluice_api::names::finalizers;
use tokio::time::Instant;

use super::decide::{Finalizer, Plan, Step};
use super::health::Asked;
use super::observe::namespaces;
use super::reconcile::{Context, NEWS, PAUSE, ReconcileError};
use super::scene::{jobmanager_pod, process};
use super::state::Refusal;
use crate::objects::{MadeKind, Names, Role};
use crate::runtime::call::call;
use crate::runtime::hand::HandError;
use crate::runtime::made::{Detail, Made};
use crate::runtime::status::{self, Written};

/// Between attempts at an object that the API server refuses.
const REFUSED: Duration = Duration::from_secs(30);
/// Until an object that was deleted is deleted again, should it still stand there as if nothing had happened.
const GOING: Duration = Duration::from_secs(5);

/// Does what was decided, in the order in which nothing can be lost.
pub(super) async fn act(
    cluster: &SessionCluster,
    uid: &str,
    plan: Plan,
    context: &Context,
) -> Result<Action, ReconcileError> {
    let client = &context.client.0;
    let mut metadata = ObjectMeta {
        name: cluster.metadata.name.clone(),
        namespace: cluster.metadata.namespace.clone(),
        uid: cluster.metadata.uid.clone(),
        resource_version: cluster.metadata.resource_version.clone(),
        ..ObjectMeta::default()
    };
    let finalizers = cluster.metadata.finalizers.clone().unwrap_or_default();
    if plan.finalizer == Finalizer::Add {
        let mut finalizers = finalizers.clone();
        finalizers.push(finalizers::TEARDOWN.to_owned());
        let written = status::set_finalizers(client, cluster, &finalizers).await;
        match written.map_err(call("adding the finalizer"))? {
            Written::Outdated => return Ok(outdated(uid, context)),
            Written::Stored(stored) => {
                replaced(uid, cluster, context);
                metadata.resource_version = stored.metadata.resource_version;
            }
        }
    }
    if let Some(namespace) = &plan.forget_jobs {
        let names = Names::of_session_cluster(&cluster.name_any());
        let keeper = (MadeKind::Deployment, names.workload(Role::JobManager));
        let id = names.flink_id();
        let hand = &context.hand;
        match hand.remove_high_availability(namespace, &id, &keeper).await {
            // What this cluster has left cannot be told from what is another Flink's. It ends all the same: whatever starts here next looks at it
            // again, and waits.
            Err(HandError::FlinkIdTaken { .. }) if plan.finalizer == Finalizer::Remove => {}
            removed => removed?,
        }
    }
    let is_leaving =
        plan.finalizer == Finalizer::Remove && cluster.metadata.deletion_timestamp.is_some();
    let has_news = cluster.status.as_ref() != Some(&plan.status);
    if has_news && !is_leaving {
        let next = SessionCluster {
            metadata: metadata.clone(),
            spec: cluster.spec.clone(),
            status: Some(plan.status),
        };
        let written = status::put(client, &next).await;
        match written.map_err(call("writing the status"))? {
            Written::Outdated => return Ok(outdated(uid, context)),
            Written::Stored(stored) => {
                replaced(uid, cluster, context);
                metadata.resource_version = stored.metadata.resource_version;
            }
        }
    }
    let mut again = plan.again;
    if let Some(sooner) = take_steps(uid, &plan.steps, context).await? {
        again = Some(again.map_or(sooner, |again| again.min(sooner)));
    }
    if has_news || is_leaving {
        let regarding = cluster.object_ref(&());
        for note in &plan.notes {
            context.events.write(&regarding, note).await;
        }
    }
    if plan.finalizer == Finalizer::Remove {
        let kept: Vec<String> = finalizers
            .into_iter()
            .filter(|name| name != finalizers::TEARDOWN)
            .collect();
        let mut at = cluster.clone();
        at.metadata = metadata;
        let written = status::set_finalizers(client, &at, &kept).await;
        match written.map_err(call("removing the finalizer"))? {
            Written::Outdated => return Ok(outdated(uid, context)),
            Written::Stored(_) => replaced(uid, cluster, context),
        }
    }
    let made = context.index.of(uid, &namespaces(cluster, context));
    if let (Some(pod), Some(address)) = (jobmanager_pod(&made), address(&made, context)) {
        let asked = Asked {
            namespace: cluster.namespace().unwrap_or_default(),
            name: cluster.name_any(),
            uid: uid.to_owned(),
            process: process(pod),
            address,
        };
        if let Some(sooner) = context.health.listen(asked, plan.listen) {
            again = Some(again.map_or(sooner, |again| again.min(sooner)));
        }
    }
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

fn outdated(uid: &str, context: &Context) -> Action {
    context.door.withdraw(uid);
    Action::requeue(PAUSE.0)
}

fn replaced(uid: &str, cluster: &SessionCluster, context: &Context) {
    context.remember(uid, |memory| {
        memory
            .replaced
            .clone_from(&cluster.metadata.resource_version);
    });
}

/// Takes the steps; returns when to look again, should that be sooner than anything is heard.
async fn take_steps(
    uid: &str,
    steps: &[Step],
    context: &Context,
) -> Result<Option<Duration>, ReconcileError> {
    let pause = context.remember(uid, |memory| {
        let (_, until) = memory.refused.as_ref()?;
        Some(until.saturating_duration_since(Instant::now())).filter(|pause| !pause.is_zero())
    });
    let mut again = None;
    let (mut refused, mut hindered) = (None, None);
    for step in steps {
        match step {
            Step::Ensure(_) if pause.is_some() => again = pause,
            Step::Ensure(built) => match context.hand.ensure(built).await {
                Ok(ensured) => context.remember(uid, |memory| {
                    memory.settled.insert(ensured.uid, ensured.digest);
                }),
                Err(HandError::BeingDeleted { .. }) => again = Some(NEWS),
                Err(error) => told(error, &mut refused)?,
            },
            Step::Scale(made, replicas) => {
                if let Err(error) = context.hand.scale(made, *replicas).await {
                    told(error, &mut hindered)?;
                }
            }
            Step::Delete(made) => {
                let is_going = context.remember(uid, |memory| {
                    memory.going.retain(|_, since| since.elapsed() < GOING);
                    memory.going.contains_key(&made.uid)
                });
                if !is_going {
                    match context.hand.delete(made).await {
                        Ok(()) => context.remember(uid, |memory| {
                            memory.settled.remove(&made.uid);
                            memory.going.insert(made.uid.clone(), Instant::now());
                        }),
                        Err(error) => told(error, &mut hindered)?,
                    }
                }
                again = Some(GOING);
            }
        }
    }
    let has_changed = context.remember(uid, |memory| {
        let before = memory.hindered.take();
        memory.hindered = hindered;
        let mut has_changed = before != memory.hindered;
        // Else nothing was tried: what was told stands.
        if pause.is_none() {
            let before = memory.refused.take().map(|(refusal, _)| refusal);
            memory.refused = refused.map(|refusal| (refusal, Instant::now() + REFUSED));
            has_changed |= before.as_ref() != memory.refused.as_ref().map(|(refusal, _)| refusal);
        }
        has_changed
    });
    // What is told of it follows at once.
    Ok(if has_changed {
        Some(Duration::from_millis(10))
    } else {
        again
    })
}

/// Keeps the first refusal, for the status; an error of another kind ends the turn.
fn told(error: HandError, refused: &mut Option<Refusal>) -> Result<(), HandError> {
    let reason = match error {
        HandError::Refused { .. } => reasons::OBJECT_REFUSED,
        HandError::NameTaken { .. } => reasons::NAME_TAKEN,
        error => return Err(error),
    };
    refused.get_or_insert_with(|| Refusal {
        reason,
        message: error.to_string(),
    });
    Ok(())
}

fn address(made: &[Made], context: &Context) -> Option<String> {
    made.iter().find_map(|made| match &made.detail {
        Detail::Service {
            cluster_ip: Some(ip),
        } => Some((context.address.0)(ip)),
        _ => None,
    })
}
