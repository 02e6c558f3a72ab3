//! How many TaskManagers the autoscaler may make of a job: its quota, by its own reckoning (`ScalingExecutor` and
//! `KubernetesJobAutoScalerContext` of the operator).

use super::{PodCpu, count, cpu};
use crate::dialect::apache::conf::{Conf, Opt};
use crate::dialect::apache::resources::Role;
use crate::dialect::apache::version::FlinkVersion;
use crate::dialect::apache::{autoscaler, conf, deployment, session_job};
use crate::finding::{Cause, Findings};
use crate::json;
use crate::quantity::MilliCpu;
use crate::review::Review;
use serde_json::Value;

/// What the autoscaler takes a TaskManager for. It does not look at the pods: a job's own configuration goes before its cluster's.
pub(super) struct View {
    /// `kubernetes.taskmanager.cpu.amount`, which the operator sets from the spec; nothing counts as nothing.
    pub(super) cpu: Option<MilliCpu>,
    /// `taskmanager.numberOfTaskSlots`.
    pub(super) slots: u64,
}

/// The most TaskManagers that it starts, `slots` each, or has started; `None`: it is off or has no quota that can be read, so that it fails and
/// changes nothing. [`judge`] refuses such a figure.
///
/// It divides the slots that it wants by those of a TaskManager and drops the rest, so it may go one slot short of one TaskManager more
/// than the quota has room for.
pub(super) fn most(view: &View, pod: &PodCpu, slots: u64, conf: &Conf<'_>) -> Option<u64> {
    if !autoscaler::is_enabled(conf) {
        return None;
    }
    let (_, text) = autoscaler::quota_cpu(conf)?;
    let quota = cpu::double(text).ok()?;
    // Where no CPU is said it counts 0, and its quota limits nothing: there is a warning. The real figure then says what was meant.
    let counted = view.cpu.filter(|cpu| *cpu > MilliCpu::ZERO);
    let task_managers = quota.0 / counted.unwrap_or(pod.main).0.max(1);
    let wanted = task_managers
        .saturating_add(1)
        .saturating_mul(view.slots)
        .saturating_sub(1);
    let has = count::overrides(conf).ok().flatten().unwrap_or(0);
    Some(wanted.max(has).div_ceil(slots))
}

/// Refuses a `job.autoscaler.quota.cpu` that cannot be read.
pub(crate) fn judge(conf: &Conf<'_>, findings: &mut Findings) {
    if let Some((key, text)) = autoscaler::quota_cpu(conf)
        && let Err(error) = cpu::double(text)
    {
        findings
            .causes
            .push(cpu::cause_of_double(conf::path(key), error));
    }
}

/// CPU of a TaskManager as the autoscaler of a session job sees it: the job's own configuration over that of its cluster, in which the operator
/// has written the cluster's spec under the newer key. `conf`: both together.
pub(super) fn cpu_of_job(
    job: &Value,
    cluster_spec: &Value,
    cluster_conf: &Conf<'_>,
    conf: &Conf<'_>,
) -> Result<Option<MilliCpu>, Cause> {
    const NEWER: Opt = Opt::new(cpu::TASK_MANAGER.key, &[]);
    let own = session_job::over(Conf::default(), job);
    if let Ok(Some(cpu)) = cpu::configured(&own, NEWER) {
        return Ok(Some(cpu));
    }
    cpu::said(cluster_spec, Role::TaskManager, conf)
        .or_else(|_| cpu::said(cluster_spec, Role::TaskManager, cluster_conf))
}

/// Warns where a quota is set that the autoscaler of an application cannot keep to.
pub(crate) fn warn_of_quota(
    review: &Review<'_>,
    namespace: &str,
    operator: Option<&Value>,
    findings: &mut Findings,
) {
    warn(review, findings, |object| {
        let spec = object.get("spec")?;
        json::present(spec, &["job"])?;
        let conf = deployment::effective(object, namespace, operator);
        let cpu = cpu::said(spec, Role::TaskManager, &conf).ok()?;
        limits_nothing(spec, cpu, &conf)
    });
}

/// Warns where a quota is set that the autoscaler of a job on `cluster` cannot keep to.
pub(crate) fn warn_of_quota_of_job(
    review: &Review<'_>,
    cluster: &Value,
    operator: Option<&Value>,
    findings: &mut Findings,
) {
    warn(review, findings, |object| {
        let spec = cluster.get("spec")?;
        let its = deployment::effective(cluster, review.namespace, operator);
        let conf = session_job::over(its.clone(), object);
        let cpu = cpu_of_job(object, spec, &its, &conf).ok()?;
        limits_nothing(spec, cpu, &conf)
    });
}

/// Only who makes it so is told.
fn warn(
    review: &Review<'_>,
    findings: &mut Findings,
    fault: impl Fn(&Value) -> Option<&'static str>,
) {
    if let Some(why) = fault(review.object)
        && review.old().is_none_or(|old| fault(old) != Some(why))
    {
        findings.warn(format!(
            "{}: job.autoscaler.quota.cpu limits nothing: {why}",
            review.subject()
        ));
    }
}

fn limits_nothing(spec: &Value, cpu: Option<MilliCpu>, conf: &Conf<'_>) -> Option<&'static str> {
    if !autoscaler::is_enabled(conf) {
        return None;
    }
    autoscaler::quota_cpu(conf)?;
    let version = json::text(spec, &["flinkVersion"]).and_then(FlinkVersion::parse);
    if version.is_some_and(|version| version < FlinkVersion::SLOT_SHARING_GROUPS) {
        return Some("the autoscaler keeps to it from Flink 1.20 on");
    }
    if cpu.is_none_or(|cpu| cpu == MilliCpu::ZERO) {
        return Some(
            "the autoscaler knows a TaskManager's CPU only by taskManager.resource.cpu or kubernetes.taskmanager.cpu.amount; set one",
        );
    }
    None
}
