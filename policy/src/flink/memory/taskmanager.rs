//! A TaskManager's share: framework, task, network and managed memory.

use super::{JvmKeys, MemoryFault, Range};
use crate::flink::options::{Fraction, OptionFault, Options};
use crate::flink::version::FlinkVersion;
use crate::quantity::Bytes;

pub(super) static JVM: JvmKeys = JvmKeys {
    metaspace: "taskmanager.memory.jvm-metaspace.size",
    overhead_min: "taskmanager.memory.jvm-overhead.min",
    overhead_max: "taskmanager.memory.jvm-overhead.max",
    overhead_fraction: "taskmanager.memory.jvm-overhead.fraction",
};

const FLINK: &str = "taskmanager.memory.flink.size";
const TASK_HEAP: &str = "taskmanager.memory.task.heap.size";
const MANAGED: [&str; 2] = ["taskmanager.memory.managed.size", "taskmanager.memory.size"];
const MANAGED_FRACTION: [&str; 1] = ["taskmanager.memory.managed.fraction"];
const NETWORK_MIN: [&str; 2] = [
    "taskmanager.memory.network.min",
    "taskmanager.network.memory.min",
];
const NETWORK_MAX: [&str; 2] = [
    "taskmanager.memory.network.max",
    "taskmanager.network.memory.max",
];
const NETWORK_FRACTION: [&str; 2] = [
    "taskmanager.memory.network.fraction",
    "taskmanager.network.memory.fraction",
];

/// From this version on, network memory has no default bound.
const UNBOUNDED_NETWORK: FlinkVersion = FlinkVersion::new(1, 17);

/// The options of the parts, read once.
struct Parts {
    framework: u64,
    task_off_heap: u64,
    task_heap: Option<u64>,
    managed: Option<u64>,
    managed_fraction: Fraction,
    network: Range,
}

impl Parts {
    fn read(options: &Options<'_>) -> Result<Self, OptionFault> {
        let heap = options.size_or(&["taskmanager.memory.framework.heap.size"], 128)?;
        let off_heap = options.size_or(&["taskmanager.memory.framework.off-heap.size"], 128)?;
        let is_bounded = options
            .version
            .is_some_and(|version| version < UNBOUNDED_NETWORK);
        let network_max = if is_bounded { 1024 } else { 1 << 43 };
        Ok(Self {
            framework: heap.saturating_add(off_heap),
            task_off_heap: options.size_or(&["taskmanager.memory.task.off-heap.size"], 0)?,
            task_heap: options.size(&[TASK_HEAP])?,
            managed: options.size(&MANAGED)?,
            managed_fraction: options.fraction_or(&MANAGED_FRACTION, Fraction::tenths(4))?,
            network: Range::read(
                options,
                (&NETWORK_MIN, 64),
                (&NETWORK_MAX, network_max),
                &NETWORK_FRACTION,
            )?,
        })
    }

    /// Everything but managed and network memory and, where it is not configured, the tasks' heap.
    fn base(&self) -> u64 {
        self.framework
            .saturating_add(self.task_off_heap)
            .saturating_add(self.task_heap.unwrap_or(0))
    }
}

/// The total Flink memory, where options fix it.
pub(super) fn fixed_total(options: &Options<'_>) -> Result<Option<u64>, OptionFault> {
    let parts = Parts::read(options)?;
    let flink = options.size(&[FLINK])?;
    if let (Some(_), Some(managed), None) = (parts.task_heap, parts.managed, flink) {
        let others = parts.base().saturating_add(managed);
        let network = parts.network.fraction.beside(others).ok_or_else(|| {
            OptionFault::new(
                NETWORK_FRACTION[0],
                "leaves nothing for anything else; write less, such as 0.1",
            )
        })?;
        return Ok(Some(others.saturating_add(parts.network.clamp(network))));
    }
    let Some(flink) = flink else {
        return Ok(None);
    };
    let contradiction = |what: String| OptionFault::new(FLINK, what);
    match divide_parts(flink, &parts) {
        Ok(()) => Ok(Some(flink)),
        Err(MemoryFault::TooLittle) => Err(contradiction(format!(
            "{} is less than framework, task, managed and network memory need together; write more",
            Bytes(flink)
        ))),
        Err(MemoryFault::TooMuch { part, most }) => Err(contradiction(format!(
            "{} leaves more for network memory than {part} ({most}); raise that or write less",
            Bytes(flink)
        ))),
        Err(MemoryFault::Option(fault)) => Err(fault),
    }
}

/// Divides the total Flink memory.
pub(super) fn divide(flink: u64, options: &Options<'_>) -> Result<(), MemoryFault> {
    divide_parts(flink, &Parts::read(options)?)
}

fn divide_parts(flink: u64, parts: &Parts) -> Result<(), MemoryFault> {
    let managed = parts
        .managed
        .unwrap_or_else(|| parts.managed_fraction.of(flink));
    let rest = flink
        .checked_sub(parts.base().saturating_add(managed))
        .ok_or(MemoryFault::TooLittle)?;
    if parts.task_heap.is_some() {
        // What is left is network memory, and must be within its bounds.
        if rest < parts.network.min {
            return Err(MemoryFault::TooLittle);
        }
        if rest > parts.network.max {
            return Err(MemoryFault::TooMuch {
                part: NETWORK_MAX[0],
                most: Bytes(parts.network.max),
            });
        }
        return Ok(());
    }
    // What is left after network memory is the tasks' heap.
    let network = parts.network.clamp(parts.network.fraction.of(flink));
    rest.checked_sub(network)
        .map(|_task_heap| ())
        .ok_or(MemoryFault::TooLittle)
}
