//! What a Flink cluster of Apache's kinds asks for in CPU, by the operator's own derivation. Exact, no floats.
//!
//! [`cpu`] reads one process, [`pods`] adds what pod templates bring along, [`count`] tells how many TaskManagers there
//! are, [`state`] what of it exists now.

mod count;
mod cpu;
mod pods;
mod state;

pub(crate) use state::{Kind, wish, workload};

use super::conf::Conf;
use super::resources::Role;
use super::{Mode, autoscaler};
use crate::finding::{Cause, Findings};
use crate::json;
use crate::quantity::MilliCpu;
use serde_json::Value;

/// CPU of one JobManager or TaskManager pod.
struct PodCpu {
    /// The Flink process.
    main: MilliCpu,
    /// The whole pod.
    whole: MilliCpu,
}

fn pod(spec: &Value, role: Role, mode: Mode, conf: &Conf<'_>) -> Result<PodCpu, Cause> {
    let main = match role {
        Role::JobManager => cpu::job_manager(spec, conf)?,
        Role::TaskManager => cpu::task_manager(spec, mode, conf)?,
    };
    let whole = pods::extras(spec, role, conf)?.around(main);
    Ok(PodCpu { main, whole })
}

/// CPU of an application or of a session cluster without its jobs. `object`: something with a `spec`.
pub(crate) fn cluster(object: &Value, conf: &Conf<'_>) -> Result<MilliCpu, Cause> {
    let Some(spec) = object.get("spec").filter(|spec| spec.is_object()) else {
        return Ok(MilliCpu::ZERO); // refused for its shape
    };
    let mode = super::mode(object);
    let job_manager = pod(spec, Role::JobManager, mode, conf)?;
    let job_managers = job_manager.whole.times(count::job_managers(object, conf)?);
    let is_application = json::present(object, &["spec", "job"]).is_some();
    let task_manager = pod(spec, Role::TaskManager, mode, conf)?;
    let task_managers = if is_application {
        count::application(object, mode, task_manager.main, conf)?
    } else {
        count::session(object, mode, task_manager.main, conf)?
    };
    let declared = task_manager.whole.times(task_managers);
    let charged = if is_application {
        autoscaled(declared, &task_manager, conf)
    } else {
        declared
    };
    Ok(job_managers.plus(charged))
}

/// CPU of the TaskManagers that a job makes its native session cluster start. `cluster`: its facts, with the configuration that it runs with;
/// without them, the operator's and Flink's defaults. `conf`: what the job itself is submitted with. Its TaskManagers are the cluster's: slots
/// and CPU that a job writes into its own configuration change nothing about them.
pub(crate) fn session_job(
    object: &Value,
    cluster: Option<&Value>,
    cluster_conf: &Conf<'_>,
    conf: &Conf<'_>,
) -> Result<MilliCpu, Cause> {
    let empty = Value::Object(serde_json::Map::new());
    let (spec, mode) = match cluster {
        Some(cluster) => (cluster.get("spec").unwrap_or(&empty), super::mode(cluster)),
        None => (&empty, Mode::Native),
    };
    if mode == Mode::Standalone {
        return Ok(MilliCpu::ZERO); // the cluster has paid for its TaskManagers
    }
    let task_manager = pod(spec, Role::TaskManager, mode, cluster_conf)?;
    let task_managers = count::session_job(object, cluster_conf, conf)?;
    let declared = task_manager.whole.times(task_managers);
    Ok(autoscaled(declared, &task_manager, conf))
}

/// Refuses what cannot be read of that by which the jobs of a native session cluster are charged: nobody judges it again for them, and
/// what it says for a job that runs already would be lost.
pub(crate) fn judge_for_jobs(conf: &Conf<'_>, findings: &mut Findings) {
    for cause in count::unreadable_for_jobs(conf) {
        findings.causes.push(cause);
    }
}

/// Refuses a `job.autoscaler.quota.cpu` that cannot be read.
pub(crate) fn judge_quota(conf: &Conf<'_>, findings: &mut Findings) {
    if let Some((key, text)) = autoscaler::quota_cpu(conf)
        && let Err(error) = cpu::double(text)
    {
        findings
            .causes
            .push(cpu::cause_of_double(super::conf::path(key), error));
    }
}

/// An autoscaled job is charged the CPU that its autoscaler keeps to, unless it asks for more by itself. With a figure that cannot be read
/// the autoscaler fails and changes nothing, and what is declared runs on; [`judge_quota`] refuses it.
fn autoscaled(declared: MilliCpu, pod: &PodCpu, conf: &Conf<'_>) -> MilliCpu {
    if !autoscaler::is_enabled(conf) {
        return declared;
    }
    let quota = autoscaler::quota_cpu(conf).and_then(|(_, text)| cpu::double(text).ok());
    let Some(quota) = quota else {
        return declared;
    };
    let pods = quota.0.checked_div(pod.main.0).unwrap_or(0);
    let beside = pod.whole.minus(pod.main).times(pods);
    declared.max(quota.plus(beside))
}
