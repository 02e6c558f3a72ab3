//! What a process uses, from `/proc`: CPU time over all its threads, and resident memory.

use anyhow::Context as _;
use std::fs;
use std::time::Duration;

/// CPU time of a process so far, in nanoseconds' resolution; threads that have ended are not in it.
pub fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let mut nanos = 0_u64;
    for task in
        fs::read_dir(format!("/proc/{pid}/task")).context("reading the process's threads")?
    {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next().unwrap_or_default();
        nanos = nanos.saturating_add(first.parse().unwrap_or_default());
    }
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory of a process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Now, in MiB.
    pub resident: f64,
    /// The most it ever was, in MiB.
    pub peak: f64,
    /// The part of now that is its own (not mapped from files), in MiB.
    pub anonymous: f64,
}

/// Reads `/proc/PID/status`.
pub fn memory(pid: u32) -> anyhow::Result<Memory> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))
        .context("reading the process's status")?;
    let mebibytes = |key: &str| -> anyhow::Result<f64> {
        let kibibytes: f64 = text
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next())
            .with_context(|| format!("no {key} in the process's status"))?
            .parse()?;
        Ok(kibibytes / 1024.0)
    };
    Ok(Memory {
        resident: mebibytes("VmRSS")?,
        peak: mebibytes("VmHWM")?,
        anonymous: mebibytes("RssAnon")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_usage_can_be_read() {
        let pid = std::process::id();
        let memory = memory(pid).unwrap();
        assert!(memory.resident >= memory.anonymous && memory.peak >= memory.anonymous);
        assert!(memory.anonymous > 0.0);
        assert!(cpu(pid).is_ok());
    }
}
