//! The JobManager's share: heap, and memory outside it.

use super::{JvmKeys, MemoryFault};
use crate::flink::options::{OptionFault, Options};
use crate::quantity::Bytes;

pub(super) static JVM: JvmKeys = JvmKeys {
    metaspace: "jobmanager.memory.jvm-metaspace.size",
    overhead_min: "jobmanager.memory.jvm-overhead.min",
    overhead_max: "jobmanager.memory.jvm-overhead.max",
    overhead_fraction: "jobmanager.memory.jvm-overhead.fraction",
};

const HEAP: &str = "jobmanager.memory.heap.size";
const OFF_HEAP: &str = "jobmanager.memory.off-heap.size";
const FLINK: &str = "jobmanager.memory.flink.size";

fn off_heap(options: &Options<'_>) -> Result<u64, OptionFault> {
    options.size_or(&[OFF_HEAP], 128)
}

/// The total Flink memory, where options fix it.
pub(super) fn fixed_total(options: &Options<'_>) -> Result<Option<u64>, OptionFault> {
    let off_heap = off_heap(options)?;
    let flink = options.size(&[FLINK])?;
    if let Some(heap) = options.size(&[HEAP])? {
        let total = heap.saturating_add(off_heap);
        return match flink {
            // What is left is the memory outside the heap, where nothing is said of that.
            Some(flink) if options.text(OFF_HEAP).is_none() && flink >= heap => Ok(Some(flink)),
            Some(flink) if options.text(OFF_HEAP).is_none() => Err(OptionFault::new(
                FLINK,
                format!(
                    "{} is less than {HEAP} ({}); write more, or set only one of the two",
                    Bytes(flink),
                    Bytes(heap)
                ),
            )),
            Some(flink) if flink != total => Err(OptionFault::new(
                FLINK,
                format!(
                    "is {}, but {HEAP} and {OFF_HEAP} together are {}; set only one of {HEAP} and {FLINK}",
                    Bytes(flink),
                    Bytes(total)
                ),
            )),
            _ => Ok(Some(total)),
        };
    }
    match flink {
        Some(flink) if flink <= off_heap => Err(OptionFault::new(
            FLINK,
            format!(
                "{} leaves no heap beside {OFF_HEAP} ({}); write more",
                Bytes(flink),
                Bytes(off_heap)
            ),
        )),
        flink => Ok(flink),
    }
}

/// Divides the total Flink memory.
pub(super) fn divide(flink: u64, options: &Options<'_>) -> Result<(), MemoryFault> {
    if flink <= off_heap(options)? {
        return Err(MemoryFault::TooLittle);
    }
    Ok(())
}
