//! CPU that native Flink asks for as an external resource: what an `external-resource.<name>.kubernetes.config-key` calls `cpu` takes the
//! place of a TaskManager's own CPU, in requests and limits (`KubernetesUtils.getResourceRequirements` of Flink 1.20).

use super::cpu::cause;
use crate::dialect::apache::conf::{Conf, Opt, path};
use crate::finding::{Cause, CauseReason};
use crate::quantity::{CpuError, MilliCpu};

/// What all its options begin with.
pub(super) const BEGINNING: &str = "external-resource";
const NAMES: Opt = Opt::new("external-resources", &[]);
const CONFIG_KEY: &str = ".kubernetes.config-key";

/// In a longer list every name stands: nobody has one, and it is not read again for each resource.
const LONGEST_LIST: usize = 1_000;

/// The most of it: where two resources share the key, the last one that Flink comes across counts. Nothing if there is none, or
/// if Flink leaves it out, for having no positive amount.
pub(super) fn cpu(conf: &Conf<'_>) -> Result<MilliCpu, Cause> {
    let mut most = MilliCpu::ZERO;
    let Some((_, names)) = conf.raw(NAMES).filter(|(_, names)| *names != "none") else {
        return Ok(most);
    };
    let is_plain = is_plain(names);
    for (key, of_kubernetes) in conf.below_key(BEGINNING) {
        let name = key
            .strip_prefix(BEGINNING)
            .and_then(|key| key.strip_prefix('.')?.strip_suffix(CONFIG_KEY))
            .filter(|_| of_kubernetes.trim() == "cpu");
        let stands_there = |name: &str| names.split(';').any(|one| one.trim() == name.trim());
        if let Some(name) = name.filter(|name| !is_plain || stands_there(name)) {
            let key = format!("{BEGINNING}.{name}.amount");
            if let Some(text) = conf.text(&key) {
                most = most.max(amount(text).map_err(|error| unreadable(&key, error))?);
            }
        }
    }
    Ok(most)
}

/// Whether a list is nothing but names between semicolons. Of any other, as Flink 2 reads YAML there, every name counts.
fn is_plain(names: &str) -> bool {
    let is_plain = |c: char| c.is_alphanumeric() || " -_.;".contains(c);
    names.len() <= LONGEST_LIST
        && names.chars().all(is_plain)
        && !names.trim_start().starts_with('-')
}

/// A whole number of cores, as Java's `Long.parseLong` has it.
fn amount(text: &str) -> Result<MilliCpu, CpuError> {
    let cores: i64 = text.parse().map_err(|_| CpuError::NotACpu)?;
    match u64::try_from(cores) {
        Ok(cores) => MilliCpu::parse_text(&cores.to_string()).map_err(|_| CpuError::TooLarge),
        Err(_) => Ok(MilliCpu::ZERO),
    }
}

fn unreadable(key: &str, error: CpuError) -> Cause {
    let message = match error {
        CpuError::TooLarge => "is larger than any cluster; write a whole number of CPUs such as 4",
        CpuError::NotACpu | CpuError::Negative => {
            "takes the place of the TaskManagers' CPU, so it must be a whole number such as 4; leave the resource out of \
             external-resources to ask for CPU in spec.taskManager"
        }
    };
    Cause {
        message: message.to_owned(),
        reason: CauseReason::Invalid,
        ..cause(path(key), error)
    }
}
