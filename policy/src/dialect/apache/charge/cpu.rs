//! CPU of one Flink process: `resources.requests`, `resources.limits`, `resource.cpu`, configuration, Flink's default.

use crate::dialect::apache::amount::Amount;
use crate::dialect::apache::conf::{Conf, Opt};
use crate::dialect::apache::resources::Role;
use crate::dialect::apache::rules::CPU;
use crate::dialect::apache::version::FlinkVersion;
use crate::dialect::apache::{Mode, java};
use crate::finding::{Cause, CauseReason};
use crate::json;
use crate::path::FieldPath;
use crate::quantity::{CpuError, MilliCpu};
use serde_json::Value;

const JOB_MANAGER: Opt = Opt::new(
    "kubernetes.jobmanager.cpu.amount",
    &["kubernetes.jobmanager.cpu"],
);
pub(super) const TASK_MANAGER: Opt = Opt::new(
    "kubernetes.taskmanager.cpu.amount",
    &["kubernetes.taskmanager.cpu"],
);
/// What Flink 1.16 and older read. They make their TaskManagers themselves in native mode; all other pods are made by the operator's own,
/// newer client.
const OLD_TASK_MANAGER: Opt = Opt::new("kubernetes.taskmanager.cpu", &[]);
pub(super) const CORES: Opt = Opt::new("taskmanager.cpu.cores", &[]);
const ONE: MilliCpu = MilliCpu(1000);

/// CPU of a JobManager process.
pub(super) fn job_manager(spec: &Value, conf: &Conf<'_>) -> Result<MilliCpu, Cause> {
    Ok(said(spec, Role::JobManager, conf)?.unwrap_or(ONE))
}

/// CPU of a TaskManager process. Native Flink lets `taskmanager.cpu.cores` beat everything, and asks for one core a
/// slot where nothing is said.
pub(super) fn task_manager(spec: &Value, mode: Mode, conf: &Conf<'_>) -> Result<MilliCpu, Cause> {
    let is_old = json::text(spec, &["flinkVersion"])
        .and_then(FlinkVersion::parse)
        .is_some_and(|version| version < FlinkVersion::NEW_CPU_KEYS);
    let said = if is_old && mode == Mode::Native {
        said_under(spec, Role::TaskManager, OLD_TASK_MANAGER, conf)?
    } else {
        said(spec, Role::TaskManager, conf)?
    };
    if mode == Mode::Standalone {
        return Ok(said.unwrap_or(ONE));
    }
    if let Some(cores) = configured(conf, CORES)? {
        return Ok(cores);
    }
    match said {
        Some(cpu) if cpu > MilliCpu::ZERO => Ok(cpu),
        _ => Ok(ONE.times(super::count::slots(conf)?)),
    }
}

/// What the spec says, else the configuration: the operator writes the one over the other, so what it hides is never read.
pub(super) fn said(spec: &Value, role: Role, conf: &Conf<'_>) -> Result<Option<MilliCpu>, Cause> {
    let option = match role {
        Role::JobManager => JOB_MANAGER,
        Role::TaskManager => TASK_MANAGER,
    };
    said_under(spec, role, option, conf)
}

fn said_under(
    spec: &Value,
    role: Role,
    option: Opt,
    conf: &Conf<'_>,
) -> Result<Option<MilliCpu>, Cause> {
    match in_spec(spec, role)? {
        Some(cpu) => Ok(Some(cpu)),
        None => configured(conf, option),
    }
}

/// What the spec says. `resources` with anything in it hides the old `resource` altogether.
fn in_spec(spec: &Value, role: Role) -> Result<Option<MilliCpu>, Cause> {
    let key = role.key();
    let section =
        |section: &str| json::get(spec, &[key, "resources", section]).and_then(Value::as_object);
    let sections = [
        ("requests", section("requests")),
        ("limits", section("limits")),
    ];
    if sections
        .iter()
        .any(|(_, map)| map.is_some_and(|map| !map.is_empty()))
    {
        for (name, map) in sections {
            if let Some(value) = map
                .and_then(|map| map.get("cpu"))
                .filter(|value| !value.is_null())
            {
                let field = role.field().key("resources").key(name).key("cpu");
                return quantity(value)
                    .map(Some)
                    .map_err(|error| cause(field, error));
            }
        }
        return Ok(None);
    }
    let Some(value) = json::present(spec, &[key, "resource", "cpu"]) else {
        return Ok(None);
    };
    let text = json::scalar_text(value).unwrap_or_default();
    double(&text)
        .map(Some)
        .map_err(|error| cause_of_double(role.field().key("resource").key("cpu"), error))
}

/// A number of cores in the configuration.
pub(super) fn configured(conf: &Conf<'_>, option: Opt) -> Result<Option<MilliCpu>, Cause> {
    conf.raw(option)
        .map(|(key, text)| {
            double(text)
                .map_err(|error| cause_of_double(crate::dialect::apache::conf::path(key), error))
        })
        .transpose()
}

/// A Kubernetes quantity of CPU; nothing if it is not positive, which is refused elsewhere.
pub(super) fn quantity(value: &Value) -> Result<MilliCpu, CpuError> {
    let text = json::scalar_text(value).ok_or(CpuError::NotACpu)?;
    Amount::parse(&text).ok_or(CpuError::NotACpu)?.milli_cpu()
}

/// A floating point number of cores; nothing if it is not positive: no pod can have that.
pub(super) fn double(text: &str) -> Result<MilliCpu, CpuError> {
    let value = java::double(text)
        .filter(|value| !value.is_nan())
        .ok_or(CpuError::NotACpu)?;
    if value <= 0.0 {
        return Ok(MilliCpu::ZERO);
    }
    let decimal = java::decimal_text(text).unwrap_or(text);
    MilliCpu::parse_text(decimal).map_err(|_| CpuError::TooLarge)
}

/// The refusal of a figure.
pub(super) fn cause(field: FieldPath, error: CpuError) -> Cause {
    Cause {
        rule: &CPU,
        field,
        reason: CauseReason::Invalid,
        message: error.to_string(),
    }
}

/// The refusal of a figure that Flink and the operator read as a number, which has no unit.
pub(super) fn cause_of_double(field: FieldPath, error: CpuError) -> Cause {
    let problem = match error {
        CpuError::NotACpu | CpuError::Negative => "must be",
        CpuError::TooLarge => "is larger than any cluster; write",
    };
    Cause {
        message: format!("{problem} a number of CPUs such as 0.5 or 2, without a unit"),
        ..cause(field, error)
    }
}
