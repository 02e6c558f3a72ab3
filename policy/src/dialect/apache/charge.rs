//! What a Flink cluster of Apache's kinds asks for in CPU, by the operator's own derivation. Exact, no floats.
//!
//! [`cpu`] reads one process, [`external`] what takes its place, [`pods`] adds what pod templates bring along, [`count`] tells how many TaskManagers there
//! are, [`scaled`] how many the autoscaler may make of them, [`arguments`] what the JobManager's command line says over all that,
//! [`state`] what of it exists now.

mod arguments;
mod count;
mod cpu;
mod external;
mod pods;
mod scaled;
mod state;

pub(crate) use arguments::judge as judge_arguments;
pub(crate) use scaled::{judge as judge_quota, warn_of_quota, warn_of_quota_of_job};
pub(crate) use state::{Kind, unread, wish, workload};

use super::conf::Conf;
use super::resources::Role;
use super::{Mode, deployment, session_job as jobs};
use crate::finding::{Cause, Findings};
use crate::json;
use crate::quantity::MilliCpu;
use arguments::RunsWith;
use serde_json::Value;
use std::borrow::Cow;

/// CPU of one JobManager or TaskManager pod.
struct PodCpu {
    /// The Flink process, as Flink counts it.
    main: MilliCpu,
    /// The whole pod.
    whole: MilliCpu,
}

fn pod(spec: &Value, role: Role, mode: Mode, conf: &Conf<'_>) -> Result<PodCpu, Cause> {
    let main = match role {
        Role::JobManager => cpu::job_manager(spec, conf)?,
        Role::TaskManager => cpu::task_manager(spec, mode, conf)?,
    };
    let asked = match (role, mode) {
        (Role::TaskManager, Mode::Native) => main.max(external::cpu(conf)?),
        _ => main,
    };
    let whole = pods::extras(spec, role, conf)?.around(asked);
    Ok(PodCpu { main, whole })
}

/// Whose `pipeline.jobvertex-parallelism-overrides` stand in a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overrides {
    /// The user's: as wide is what is asked for.
    OfUser,
    /// The autoscaler's, which it writes into the recorded spec only. They count where it has a quota, which was paid for; without one what
    /// is declared is charged, or a status write would raise the charge.
    OfAutoscaler,
}

/// What a spec of a FlinkDeployment or FlinkApplication in the namespace of `object` asks for. `operator`: the operator's own configuration.
pub(crate) fn of_cluster<'o>(
    object: &'o Value,
    operator: Option<&'o Value>,
) -> impl Fn(&Value, Overrides) -> Result<MilliCpu, Cause> + 'o {
    let namespace = json::text(object, &["metadata", "namespace"]).unwrap_or("");
    move |object, overrides| {
        let conf = deployment::effective(object, namespace, operator);
        cluster(object, &conf, overrides)
    }
}

/// What a spec of a FlinkSessionJob in the namespace of `object` asks for, on `cluster`.
pub(crate) fn of_session_job<'o>(
    object: &'o Value,
    cluster: Option<&'o Value>,
    operator: Option<&'o Value>,
) -> impl Fn(&Value, Overrides) -> Result<MilliCpu, Cause> + 'o {
    let namespace = json::text(object, &["metadata", "namespace"]).unwrap_or("");
    move |object, overrides| {
        let its = jobs::its(cluster, namespace, operator);
        session_job(object, cluster, &its, overrides)
    }
}

/// CPU of an application or of a session cluster without its jobs. `object`: something with a `spec`.
fn cluster(object: &Value, conf: &Conf<'_>, overrides: Overrides) -> Result<MilliCpu, Cause> {
    let Some(spec) = object.get("spec").filter(|spec| spec.is_object()) else {
        return Ok(MilliCpu::ZERO); // refused for its shape
    };
    let mode = super::mode(object);
    let job_manager = pod(spec, Role::JobManager, mode, conf)?;
    let job_managers = job_manager.whole.times(count::job_managers(object, conf)?);
    let view = scaled::View {
        cpu: cpu::said(spec, Role::TaskManager, conf)?,
        slots: count::slots(conf)?,
    };
    let of_task_managers = |with: &RunsWith<'_, '_>| {
        let runs_with = with.conf.as_ref();
        let task_manager = pod(&with.spec, Role::TaskManager, mode, runs_with)?;
        let cpu = task_manager.main;
        let task_managers = if json::present(object, &["spec", "job"]).is_some() {
            let declared = count::application(object, mode, cpu, runs_with, with.asked, overrides)?;
            let beside = count::redundant(mode, runs_with)?;
            let most = scaled::most(&view, &task_manager, count::slots(runs_with)?, conf);
            most.map_or(declared, |most| declared.max(most.saturating_add(beside)))
        } else {
            count::session(object, mode, cpu, runs_with)?
        };
        Ok(task_manager.whole.times(task_managers))
    };
    let task_managers = dearer(&arguments::both(spec, mode, conf)?, of_task_managers)?;
    Ok(job_managers.plus(task_managers))
}

/// What the arguments of a JobManager make dearer counts; what they would make cheaper does not.
fn dearer<'c, 'v>(
    both: &[RunsWith<'c, 'v>],
    figure: impl Fn(&RunsWith<'c, 'v>) -> Result<MilliCpu, Cause>,
) -> Result<MilliCpu, Cause> {
    both.iter()
        .try_fold(MilliCpu::ZERO, |most, with| Ok(most.max(figure(with)?)))
}

/// CPU of the TaskManagers that a job makes its native session cluster start. `cluster`: its facts, `cluster_conf` the configuration that
/// it runs with; without facts, the operator's and Flink's defaults. A job's TaskManagers are the cluster's: slots and CPU that it writes
/// into its own configuration change nothing about them, but its autoscaler goes by what stands there.
fn session_job(
    object: &Value,
    cluster: Option<&Value>,
    cluster_conf: &Conf<'_>,
    overrides: Overrides,
) -> Result<MilliCpu, Cause> {
    let empty = Value::Object(serde_json::Map::new());
    let (spec, mode) = match cluster {
        Some(cluster) => (cluster.get("spec").unwrap_or(&empty), super::mode(cluster)),
        None => (&empty, Mode::Native),
    };
    if mode == Mode::Standalone {
        return Ok(MilliCpu::ZERO); // the cluster has paid for its TaskManagers
    }
    let conf = jobs::over(cluster_conf.clone(), object);
    let own_slots = count::slots(&conf).ok();
    let cpu = scaled::cpu_of_job(object, spec, cluster_conf, &conf)?;
    dearer(&arguments::both(spec, mode, cluster_conf)?, |with| {
        let its = with.conf.as_ref();
        let task_manager = pod(&with.spec, Role::TaskManager, mode, its)?;
        let slots = count::slots(its)?;
        let over_its = match &with.conf {
            Cow::Borrowed(_) => Cow::Borrowed(&conf),
            Cow::Owned(its) => Cow::Owned(jobs::over(its.clone(), object)),
        };
        let declared = count::session_job(object, its, &over_its, overrides)?.div_ceil(slots);
        let view = scaled::View {
            cpu,
            slots: own_slots.unwrap_or(slots),
        };
        let most = scaled::most(&view, &task_manager, slots, &conf);
        Ok(task_manager.whole.times(declared.max(most.unwrap_or(0))))
    })
}

/// Refuses what cannot be read of that by which the jobs of a native session cluster are charged: nobody judges it again for them, and
/// what it says for a job that runs already would be lost.
pub(crate) fn judge_for_jobs(conf: &Conf<'_>, findings: &mut Findings) {
    for cause in count::unreadable_for_jobs(conf) {
        findings.causes.push(cause);
    }
}
