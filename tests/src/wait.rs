//! Waiting for a condition, with a deadline.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Between two looks at another process there is nothing to wait on but time.
const SOONEST: Duration = Duration::from_millis(50);
/// A look often starts a process: many of them take the processors from what is waited for.
const LATEST: Duration = Duration::from_millis(500);

/// Tries until `attempt` gives a value, less often the longer it takes. Returns its last objection when the deadline passes.
pub fn eventually<T>(deadline: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let begun = Instant::now();
    let end = begun + deadline;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(objection) if Instant::now() >= end => {
                bail!("not within {deadline:?}: {objection:#}")
            }
            Err(_) => std::thread::sleep((begun.elapsed() / 20).clamp(SOONEST, LATEST)),
        }
    }
}
