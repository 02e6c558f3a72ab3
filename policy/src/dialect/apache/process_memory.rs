//! Whether Flink's memory options determine the memory of a process, by Flink's own derivation (1.20).
//!
//! Flink takes the most detailed options that are complete: the parts, else the total of Flink, else the total of the
//! process; then it derives the rest and checks that the sums and ranges hold. A failure says which does not.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "Flink derives fractions in floating point and so do we; sizes stay below 2^63"
)]

use super::conf::{BadValue, Conf, Opt};
use super::{java, memory_size};

/// Why a configuration determines no memory; a clause for a message.
type Why = String;

struct Options {
    flink: Opt,
    process: Opt,
    metaspace: Opt,
    overhead_min: Opt,
    overhead_max: Opt,
    overhead_fraction: Opt,
}

const fn opt(key: &'static str) -> Opt {
    Opt::new(key, &[])
}

static JOB_MANAGER: Options = Options {
    flink: opt("jobmanager.memory.flink.size"),
    process: opt("jobmanager.memory.process.size"),
    metaspace: opt("jobmanager.memory.jvm-metaspace.size"),
    overhead_min: opt("jobmanager.memory.jvm-overhead.min"),
    overhead_max: opt("jobmanager.memory.jvm-overhead.max"),
    overhead_fraction: opt("jobmanager.memory.jvm-overhead.fraction"),
};

static TASK_MANAGER: Options = Options {
    flink: opt("taskmanager.memory.flink.size"),
    process: opt("taskmanager.memory.process.size"),
    metaspace: opt("taskmanager.memory.jvm-metaspace.size"),
    overhead_min: opt("taskmanager.memory.jvm-overhead.min"),
    overhead_max: opt("taskmanager.memory.jvm-overhead.max"),
    overhead_fraction: opt("taskmanager.memory.jvm-overhead.fraction"),
};

const MEBI: u64 = 1 << 20;
const NO_LIMIT: u64 = i64::MAX as u64;

struct Range {
    min: u64,
    max: u64,
    fraction: f64,
}

/// The memory of a JobManager.
pub(crate) fn job_manager(conf: &Conf<'_>) -> Result<(), Why> {
    let reader = Reader { conf };
    let heap = match reader.size(opt("jobmanager.memory.heap.size"))? {
        Some(heap) => Some(heap),
        None => reader.legacy_heap()?,
    };
    let off_heap = opt("jobmanager.memory.off-heap.size");
    let from_flink = |flink: u64| -> Result<(), Why> {
        let off_heap = reader.size_or(off_heap, 128 * MEBI)?;
        if flink <= off_heap {
            return Err(format!(
                "{} leaves no heap beside the off-heap memory",
                JOB_MANAGER.flink.key
            ));
        }
        Ok(())
    };
    if let Some(heap) = heap {
        let off = reader.size_or(off_heap, 128 * MEBI)?;
        let mut total = add(heap, off)?;
        if let Some(flink) = reader.size(JOB_MANAGER.flink)? {
            if conf.has(off_heap) {
                if total != flink {
                    return Err(format!(
                        "heap and off-heap memory do not add up to {}",
                        JOB_MANAGER.flink.key
                    ));
                }
            } else if flink < heap {
                return Err(format!("the heap is larger than {}", JOB_MANAGER.flink.key));
            }
            total = flink;
        }
        reader.overhead_from_flink(&JOB_MANAGER, total)
    } else if let Some(flink) = reader.size(JOB_MANAGER.flink)? {
        from_flink(flink)?;
        reader.overhead_from_flink(&JOB_MANAGER, flink)
    } else if let Some(process) = reader.size(JOB_MANAGER.process)? {
        from_flink(reader.flink_from_process(&JOB_MANAGER, process)?)
    } else {
        Err(format!(
            "neither {} nor {} is set",
            JOB_MANAGER.process.key, JOB_MANAGER.flink.key
        ))
    }
}

/// The memory of a TaskManager, and what else its process needs: slots and cores.
pub(crate) fn task_manager(conf: &Conf<'_>) -> Result<(), Why> {
    let reader = Reader { conf };
    let parts = Parts::read(&reader)?;
    if let (Some(heap), Some(managed)) = (parts.heap, parts.managed) {
        let others = parts.others(&[heap, managed])?;
        let flink = if let Some(flink) = reader.size(TASK_MANAGER.flink)? {
            reader.rest_is_network(flink, others)?;
            flink
        } else {
            let network = match reader.legacy_network()? {
                Some(network) => network,
                None => reader.network()?.of_the_rest(others)?,
            };
            add(others, network)?
        };
        reader.overhead_from_flink(&TASK_MANAGER, flink)?;
    } else if let Some(flink) = reader.size(TASK_MANAGER.flink)? {
        reader.task_manager_from_flink(&parts, flink)?;
        reader.overhead_from_flink(&TASK_MANAGER, flink)?;
    } else if let Some(process) = reader.size(TASK_MANAGER.process)? {
        let flink = reader.flink_from_process(&TASK_MANAGER, process)?;
        reader.task_manager_from_flink(&parts, flink)?;
    } else {
        return Err(format!(
            "neither {} nor {} is set",
            TASK_MANAGER.process.key, TASK_MANAGER.flink.key
        ));
    }
    let slots = conf
        .int(opt("taskmanager.numberOfTaskSlots"), 1)
        .map_err(|bad| why(&bad))?;
    let cores = conf
        .read(
            opt("taskmanager.cpu.cores"),
            "a number of cores such as 2",
            java::double,
        )
        .map_err(|bad| why(&bad))?
        .unwrap_or_else(|| f64::from(slots));
    if cores <= 0.0 || cores.is_nan() {
        return Err("the number of slots or cores must be more than 0".to_owned());
    }
    Ok(())
}

/// The parts of a TaskManager's memory.
struct Parts {
    heap: Option<u64>,
    managed: Option<u64>,
    fixed: [u64; 3],
}

impl Parts {
    fn read(reader: &Reader<'_, '_>) -> Result<Self, Why> {
        Ok(Self {
            heap: reader.size(opt("taskmanager.memory.task.heap.size"))?,
            managed: reader.size(Opt::new(
                "taskmanager.memory.managed.size",
                &["taskmanager.memory.size"],
            ))?,
            fixed: [
                reader.size_or(opt("taskmanager.memory.framework.heap.size"), 128 * MEBI)?,
                reader.size_or(
                    opt("taskmanager.memory.framework.off-heap.size"),
                    128 * MEBI,
                )?,
                reader.size_or(opt("taskmanager.memory.task.off-heap.size"), 0)?,
            ],
        })
    }

    fn others(&self, more: &[u64]) -> Result<u64, Why> {
        self.fixed
            .iter()
            .chain(more)
            .try_fold(0, |sum, part| add(sum, *part))
    }
}

struct Reader<'c, 'v> {
    conf: &'c Conf<'v>,
}

impl Reader<'_, '_> {
    fn size(&self, option: Opt) -> Result<Option<u64>, Why> {
        self.conf
            .read(option, "a size such as 1g or 1024m", memory_size::flink)
            .map_err(|bad| why(&bad))
    }

    fn size_or(&self, option: Opt, default: u64) -> Result<u64, Why> {
        Ok(self.size(option)?.unwrap_or(default))
    }

    fn range(&self, min: u64, max: u64, fraction: Opt, default: f32) -> Result<Range, Why> {
        let read = self
            .conf
            .read(fraction, "a fraction such as 0.1", java::double)
            .map_err(|bad| why(&bad))?;
        // Kept in 32 bits there.
        let fraction_value = f64::from(read.map_or(default, |fraction| fraction as f32));
        if min > max || !(0.0..1.0).contains(&fraction_value) {
            return Err(format!(
                "{} is not within 0 and 1, or its minimum is above its maximum",
                fraction.key
            ));
        }
        Ok(Range {
            min,
            max,
            fraction: fraction_value,
        })
    }

    fn overhead(&self, options: &Options) -> Result<Range, Why> {
        let min = self.size_or(options.overhead_min, 192 * MEBI)?;
        let max = self.size_or(options.overhead_max, 1024 * MEBI)?;
        self.range(min, max, options.overhead_fraction, 0.1)
    }

    fn network(&self) -> Result<Range, Why> {
        let min = self.size_or(NETWORK_MIN, 64 * MEBI)?;
        let max = self.size_or(NETWORK_MAX, NO_LIMIT)?;
        self.range(min, max, NETWORK_FRACTION, 0.1)
    }

    fn flink_from_process(&self, options: &Options, process: u64) -> Result<u64, Why> {
        let metaspace = self.size_or(options.metaspace, 256 * MEBI)?;
        let overhead = self.overhead(options)?.of(process)?;
        process
            .checked_sub(add(metaspace, overhead)?)
            .ok_or_else(|| {
                format!(
                    "{} is too small for the JVM's metaspace and overhead",
                    options.process.key
                )
            })
    }

    fn overhead_from_flink(&self, options: &Options, flink: u64) -> Result<(), Why> {
        let metaspace = self.size_or(options.metaspace, 256 * MEBI)?;
        let inner = add(flink, metaspace)?;
        let range = self.overhead(options)?;
        let Some(process) = self.size(options.process)? else {
            return add(inner, range.of_the_rest(inner)?).map(|_| ());
        };
        let overhead = process.checked_sub(inner).ok_or_else(|| {
            format!(
                "{} is smaller than Flink's memory and the JVM's metaspace",
                options.process.key
            )
        })?;
        if (range.min..=range.max).contains(&overhead) {
            Ok(())
        } else {
            Err(format!(
                "{} leaves a JVM overhead outside its range",
                options.process.key
            ))
        }
    }

    fn task_manager_from_flink(&self, parts: &Parts, flink: u64) -> Result<(), Why> {
        let managed = match parts.managed {
            Some(managed) => managed,
            None => self
                .range(0, NO_LIMIT, opt("taskmanager.memory.managed.fraction"), 0.4)?
                .of(flink)?,
        };
        if let Some(heap) = parts.heap {
            return self.rest_is_network(flink, parts.others(&[heap, managed])?);
        }
        let network = match self.legacy_network()? {
            Some(network) => network,
            None => self.network()?.of(flink)?,
        };
        if parts.others(&[managed, network])? > flink {
            return Err(
                "the parts of a TaskManager's memory are larger than its Flink memory".to_owned(),
            );
        }
        Ok(())
    }

    fn rest_is_network(&self, flink: u64, others: u64) -> Result<(), Why> {
        let network = flink.checked_sub(others).ok_or_else(|| {
            "the parts of a TaskManager's memory are larger than its Flink memory".to_owned()
        })?;
        let fits = if let Some(legacy) = self.legacy_network()? {
            legacy == network
        } else {
            let range = self.network()?;
            (range.min..=range.max).contains(&network)
        };
        if fits {
            Ok(())
        } else {
            Err("what is left for network memory does not fit its configuration".to_owned())
        }
    }

    /// Network memory as a number of buffers, the form before Flink 1.5.
    fn legacy_network(&self) -> Result<Option<u64>, Why> {
        const BUFFERS: Opt = opt("taskmanager.network.numberOfBuffers");
        let today = [NETWORK_MIN, NETWORK_MAX, NETWORK_FRACTION];
        if !self.conf.has(BUFFERS) || today.iter().any(|option| self.conf.has(*option)) {
            return Ok(None);
        }
        let buffers = self.conf.int(BUFFERS, 2048).map_err(|bad| why(&bad))?;
        let page = self.size_or(opt("taskmanager.memory.segment-size"), 32 << 10)?;
        u64::try_from(buffers)
            .ok()
            .and_then(|buffers| buffers.checked_mul(page))
            .filter(|bytes| *bytes <= NO_LIMIT && page >= 4096 && page.is_power_of_two())
            .map(Some)
            .ok_or_else(|| format!("{} is no number of buffers", BUFFERS.key))
    }

    /// The heap of a JobManager in the forms before Flink 1.11.
    fn legacy_heap(&self) -> Result<Option<u64>, Why> {
        if let Some(heap) = self.size(opt("jobmanager.heap.size"))? {
            return Ok(Some(heap));
        }
        let megabytes = self
            .conf
            .read(
                opt("jobmanager.heap.mb"),
                "a number of megabytes",
                java::int,
            )
            .map_err(|bad| why(&bad))?;
        megabytes
            .map(|megabytes| {
                u64::try_from(megabytes)
                    .map(|megabytes| megabytes * MEBI)
                    .map_err(|_| "jobmanager.heap.mb is negative".to_owned())
            })
            .transpose()
    }
}

const NETWORK_MIN: Opt = Opt::new(
    "taskmanager.memory.network.min",
    &["taskmanager.network.memory.min"],
);
const NETWORK_MAX: Opt = Opt::new(
    "taskmanager.memory.network.max",
    &["taskmanager.network.memory.max"],
);
const NETWORK_FRACTION: Opt = Opt::new(
    "taskmanager.memory.network.fraction",
    &["taskmanager.network.memory.fraction"],
);

impl Range {
    /// The fraction of a whole, within the range.
    fn of(&self, whole: u64) -> Result<u64, Why> {
        times(whole, self.fraction).map(|size| self.cap(size))
    }

    /// The fraction of a whole of which the rest is known, within the range.
    fn of_the_rest(&self, rest: u64) -> Result<u64, Why> {
        times(rest, self.fraction / (1.0 - self.fraction)).map(|size| self.cap(size))
    }

    fn cap(&self, size: u64) -> u64 {
        size.min(self.max).max(self.min)
    }
}

/// A size times a factor, rounded down. Exact to one byte in 2^52, which is far below what any check turns on.
fn times(size: u64, factor: f64) -> Result<u64, Why> {
    let product = size as f64 * factor;
    if product > NO_LIMIT as f64 {
        return Err("a size is too large".to_owned());
    }
    Ok(product as u64)
}

fn add(a: u64, b: u64) -> Result<u64, Why> {
    a.checked_add(b)
        .filter(|sum| *sum <= NO_LIMIT)
        .ok_or_else(|| "a size is too large".to_owned())
}

fn why(bad: &BadValue) -> Why {
    format!("{} {}", bad.key, bad.message())
}
