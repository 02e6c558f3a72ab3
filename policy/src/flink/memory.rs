//! Flink's memory model: how a process divides the memory it is given, and how much it needs at least.
//!
//! Follows Flink's own derivation (`ProcessMemoryUtils` and the two `FlinkMemoryUtils`), with the total process memory
//! always set, since Sluice sets it from `resources`. Sizes are in bytes.

mod jobmanager;
mod taskmanager;

use super::options::{Fraction, OptionFault, Options};
use super::version::FlinkVersion;
use crate::quantity::Bytes;

/// Which process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The JobManager.
    JobManager,
    /// A TaskManager.
    TaskManager,
}

impl Role {
    /// For messages: `a JobManager`.
    pub fn with_article(self) -> &'static str {
        match self {
            Role::JobManager => "a JobManager",
            Role::TaskManager => "a TaskManager",
        }
    }

    /// The first version whose memory is divided like this.
    fn since(self) -> FlinkVersion {
        match self {
            Role::JobManager => FlinkVersion::new(1, 11),
            Role::TaskManager => FlinkVersion::new(1, 10),
        }
    }

    fn keys(self) -> &'static JvmKeys {
        match self {
            Role::JobManager => &jobmanager::JVM,
            Role::TaskManager => &taskmanager::JVM,
        }
    }
}

/// Why a process would not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryFault {
    /// An option cannot be read, or contradicts another one.
    Option(OptionFault),
    /// The process has too little memory.
    TooLittle,
    /// Explicit options leave more for a part than that part may have.
    TooMuch {
        /// What the rest would be used for, and the option that bounds it.
        part: &'static str,
        /// The bound.
        most: Bytes,
    },
}

impl From<OptionFault> for MemoryFault {
    fn from(fault: OptionFault) -> Self {
        MemoryFault::Option(fault)
    }
}

/// Options of the parts that both processes have.
struct JvmKeys {
    metaspace: &'static str,
    overhead_min: &'static str,
    overhead_max: &'static str,
    overhead_fraction: &'static str,
}

/// A part between bounds that is a fraction of a whole.
struct Range {
    min: u64,
    max: u64,
    fraction: Fraction,
}

impl Range {
    fn read(
        options: &Options<'_>,
        min: (&[&str], u64),
        max: (&[&str], u64),
        fraction: &[&str],
    ) -> Result<Self, OptionFault> {
        let range = Self {
            min: options.size_or(min.0, min.1)?,
            max: options.size_or(max.0, max.1)?,
            fraction: options.fraction_or(fraction, Fraction::tenths(1))?,
        };
        if range.min > range.max {
            let (min_key, max_key) = (min.0.first(), max.0.first());
            return Err(OptionFault::new(
                min_key.copied().unwrap_or_default(),
                format!(
                    "{} is more than {} has ({}); raise that or lower this",
                    Bytes(range.min),
                    max_key.copied().unwrap_or_default(),
                    Bytes(range.max)
                ),
            ));
        }
        Ok(range)
    }

    fn clamp(&self, size: u64) -> u64 {
        size.clamp(self.min, self.max)
    }
}

/// Whether a process with this much memory starts under these options.
pub fn suffices(role: Role, process: Bytes, options: &Options<'_>) -> Result<(), MemoryFault> {
    if options
        .version
        .is_some_and(|version| version < role.since())
    {
        return Ok(()); // older versions divide memory in another way and warn only
    }
    let Bytes(process) = process;
    let jvm = role.keys();
    let metaspace = options.size_or(&[jvm.metaspace], 256)?;
    let overhead = Range::read(
        options,
        (&[jvm.overhead_min], 192),
        (&[jvm.overhead_max], 1024),
        &[jvm.overhead_fraction],
    )?;
    let fixed = match role {
        Role::JobManager => jobmanager::fixed_total(options)?,
        Role::TaskManager => taskmanager::fixed_total(options)?,
    };
    if let Some(flink) = fixed {
        // The rest is overhead, and must be within its bounds.
        let rest = process
            .checked_sub(flink.saturating_add(metaspace))
            .ok_or(MemoryFault::TooLittle)?;
        if rest < overhead.min {
            return Err(MemoryFault::TooLittle);
        }
        if rest > overhead.max {
            return Err(MemoryFault::TooMuch {
                part: jvm.overhead_max,
                most: Bytes(overhead.max),
            });
        }
        return Ok(());
    }
    let reserved = overhead
        .clamp(overhead.fraction.of(process))
        .saturating_add(metaspace);
    let flink = process
        .checked_sub(reserved)
        .ok_or(MemoryFault::TooLittle)?;
    match role {
        Role::JobManager => jobmanager::divide(flink, options),
        Role::TaskManager => taskmanager::divide(flink, options),
    }
}

/// The least memory, in whole MiB, with which the process starts under these options; `None` if no amount suffices,
/// or options cannot be read.
pub fn least(role: Role, options: &Options<'_>) -> Option<Bytes> {
    /// A pebibyte: no process is larger.
    const MOST: u64 = 1 << 30;
    let is_enough = |mebibytes: u64| {
        !matches!(
            suffices(role, Bytes(mebibytes << 20), options),
            Err(MemoryFault::TooLittle | MemoryFault::Option(_))
        )
    };
    if !is_enough(MOST) {
        return None;
    }
    let (mut too_little, mut enough) = (0, MOST);
    while enough - too_little > 1 {
        let middle = u64::midpoint(too_little, enough);
        if is_enough(middle) {
            enough = middle;
        } else {
            too_little = middle;
        }
    }
    Some(Bytes(enough << 20))
}

#[cfg(test)]
mod tests;
