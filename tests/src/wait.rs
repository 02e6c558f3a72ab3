//! Waiting for a condition, with a deadline.

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Tries until `attempt` gives a value. Returns its last objection when the deadline passes.
pub fn eventually<T>(deadline: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(objection) if Instant::now() >= end => {
                bail!("not within {deadline:?}: {objection:#}")
            }
            // Between two looks at another process there is nothing to wait on but time.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
