//! How many JobManagers and TaskManagers there will be.

use super::Overrides;
use crate::dialect::apache::conf::{BadValue, Conf, Opt};
use crate::dialect::apache::rules::CPU;
use crate::dialect::apache::shape::whole;
use crate::dialect::apache::{Mode, java};
use crate::finding::{Cause, CauseReason};
use crate::json;
use crate::quantity::MilliCpu;
use serde_json::Value;

const JOB_MANAGERS: Opt = Opt::new("kubernetes.jobmanager.replicas", &[]);
pub(super) const SLOTS: Opt = Opt::new("taskmanager.numberOfTaskSlots", &[]);
const INTERNAL_REPLICAS: Opt = Opt::new("kubernetes.internal.taskmanager.replicas", &[]);
const OVERRIDES: Opt = Opt::new(super::state::OVERRIDES_KEY, &[]);
const REDUNDANT: Opt = Opt::new("slotmanager.redundant-taskmanager-num", &[]);
const MIN_SLOTS: Opt = Opt::new("slotmanager.number-of-slots.min", &[]);
const MIN_CPU: Opt = Opt::new("slotmanager.min-total-resource.cpu", &[]);
pub(super) const DEFAULT_PARALLELISM: Opt = Opt::new("parallelism.default", &[]);

fn unreadable(bad: &BadValue) -> Cause {
    Cause {
        rule: &CPU,
        field: bad.field(),
        reason: CauseReason::Invalid,
        message: bad.message(),
    }
}

fn number(conf: &Conf<'_>, option: Opt, default: i32) -> Result<u64, Cause> {
    let number = conf.int(option, default).map_err(|bad| unreadable(&bad))?;
    Ok(u64::try_from(number).unwrap_or(0))
}

/// Slots of a TaskManager, at least 1.
pub(super) fn slots(conf: &Conf<'_>) -> Result<u64, Cause> {
    Ok(number(conf, SLOTS, 1)?.max(1))
}

/// JobManagers: the spec's number if it is one, else configuration.
pub(super) fn job_managers(object: &Value, conf: &Conf<'_>) -> Result<u64, Cause> {
    if json::present(object, &["spec", "jobManager"]).is_none() {
        return Ok(number(conf, JOB_MANAGERS, 1)?.max(1));
    }
    // The field's own default is 1, so configuration counts only where the spec says 0 or less, which is refused.
    let replicas = whole(object, &["spec", "jobManager", "replicas"]).unwrap_or(1);
    Ok(u64::try_from(replicas).unwrap_or(0).max(1))
}

/// TaskManagers that native Flink keeps whatever its jobs need; `cpu`: of one of them.
fn kept(cpu: MilliCpu, conf: &Conf<'_>) -> Result<u64, Cause> {
    let for_slots = number(conf, MIN_SLOTS, 0)?.div_ceil(slots(conf)?);
    let least = super::cpu::configured(conf, MIN_CPU)?.unwrap_or(MilliCpu::ZERO);
    Ok(for_slots.max(least.0.div_ceil(cpu.0.max(1))))
}

/// TaskManagers that native Flink keeps beside those that it needs.
pub(super) fn redundant(mode: Mode, conf: &Conf<'_>) -> Result<u64, Cause> {
    match mode {
        Mode::Native => number(conf, REDUNDANT, 0),
        Mode::Standalone => Ok(0),
    }
}

/// How wide an application is asked for, beside what its spec says.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// By so many slots the operator multiplies the spec's TaskManagers: those of the configuration that it knows.
    pub(super) slots: u64,
    /// The parallelism of the JobManager's arguments; 0 if they say none.
    pub(super) parallelism: u64,
}

/// TaskManagers of an application; `cpu`: of one of them.
pub(super) fn application(
    object: &Value,
    mode: Mode,
    cpu: MilliCpu,
    conf: &Conf<'_>,
    asked: Asked,
    whose: Overrides,
) -> Result<u64, Cause> {
    let replicas = whole(object, &["spec", "taskManager", "replicas"])
        .map(|replicas| u64::try_from(replicas).unwrap_or(0));
    let slots = slots(conf)?;
    let parallelism = at_least_nothing(whole(object, &["spec", "job", "parallelism"]));
    match mode {
        Mode::Native => {
            let of_spec =
                replicas.map_or(parallelism, |replicas| replicas.saturating_mul(asked.slots));
            let needed = of_spec.max(asked.parallelism).div_ceil(slots);
            Ok(needed
                .max(kept(cpu, conf)?)
                .saturating_add(redundant(mode, conf)?))
        }
        Mode::Standalone => {
            if let Some(replicas) = replicas.filter(|replicas| *replicas > 0) {
                return Ok(replicas);
            }
            if conf.has(INTERNAL_REPLICAS) {
                return number(conf, INTERNAL_REPLICAS, 1);
            }
            if replicas.is_some() {
                return Ok(0);
            }
            let overridden = match whose {
                Overrides::OfUser => overrides(conf)?,
                Overrides::OfAutoscaler => None,
            };
            Ok(overridden.unwrap_or(parallelism).div_ceil(slots))
        }
    }
}

/// TaskManagers of a session cluster before any job, `cpu` each: native Flink starts the others for jobs, which pay for them.
pub(super) fn session(
    object: &Value,
    mode: Mode,
    cpu: MilliCpu,
    conf: &Conf<'_>,
) -> Result<u64, Cause> {
    match mode {
        Mode::Native => Ok(kept(cpu, conf)?.saturating_add(redundant(mode, conf)?)),
        Mode::Standalone => match whole(object, &["spec", "taskManager", "replicas"]) {
            Some(replicas) if replicas > 0 => Ok(u64::try_from(replicas).unwrap_or(0)),
            _ => number(conf, INTERNAL_REPLICAS, 1),
        },
    }
}

/// Parallelism of a job on a native session cluster.
pub(super) fn session_job(
    object: &Value,
    cluster_conf: &Conf<'_>,
    conf: &Conf<'_>,
    whose: Overrides,
) -> Result<u64, Cause> {
    // What cannot be read and comes from the cluster is refused there, and makes no job cheaper that runs already.
    let own = |option: Opt| {
        conf.raw(option) != cluster_conf.raw(option)
            || conf.below(option) != cluster_conf.below(option)
    };
    let parallelism = match at_least_nothing(whole(object, &["spec", "job", "parallelism"])) {
        0 => match number(conf, DEFAULT_PARALLELISM, 1) {
            Err(_) if !own(DEFAULT_PARALLELISM) => 1,
            parallelism => parallelism?,
        },
        parallelism => parallelism,
    };
    // Flink takes these of the cluster and of the job together.
    let of_job = if whose == Overrides::OfUser && own(OVERRIDES) {
        overrides(conf)?
    } else {
        None
    };
    let of_cluster = overrides(cluster_conf).unwrap_or_default();
    Ok([of_cluster, of_job]
        .into_iter()
        .flatten()
        .fold(parallelism, u64::max))
}

/// What cannot be read of that by which the jobs of a native session cluster are counted.
pub(super) fn unreadable_for_jobs(conf: &Conf<'_>) -> impl Iterator<Item = Cause> {
    let parallelism = number(conf, DEFAULT_PARALLELISM, 1).err();
    parallelism.into_iter().chain(overrides(conf).err())
}

fn at_least_nothing(number: Option<i64>) -> u64 {
    number.map_or(0, |number| u64::try_from(number).unwrap_or(0))
}

/// The highest parallelism of `vertex:parallelism,...`, or, as Flink reads options that are maps where there is no such text, of the keys
/// below; standalone clusters are sized by it, and a session job needs as much.
pub(super) fn overrides(conf: &Conf<'_>) -> Result<Option<u64>, Cause> {
    const EXPECTED: &str = "pairs such as vertex1:10,vertex2:20";
    let parallelism = |text: &str| Some(u64::try_from(java::int(text)?).unwrap_or(0));
    let read = |text: &str| -> Option<u64> {
        let pairs = java::split_list(text, ',')?;
        pairs.iter().try_fold(0, |highest, pair| {
            let parts = java::split_list(pair, ':')?;
            let [_, of_vertex] = parts.as_slice() else {
                return None;
            };
            Some(highest.max(parallelism(of_vertex)?))
        })
    };
    let highest = match conf
        .read(OVERRIDES, EXPECTED, read)
        .map_err(|bad| unreadable(&bad))?
    {
        Some(highest) => highest,
        None => conf
            .below(OVERRIDES)
            .into_iter()
            .try_fold(0, |highest, (key, text)| {
                let of_vertex = parallelism(text).ok_or_else(|| {
                    unreadable(&BadValue {
                        key: key.to_owned(),
                        value: text.to_owned(),
                        expected: "a whole number such as 4",
                    })
                })?;
                Ok(highest.max(of_vertex))
            })?,
    };
    Ok(Some(highest).filter(|highest| *highest > 0))
}
