//! A moment by two clocks: the one that counts while the machine runs, and the one on the wall.
//!
//! The first stands still while a machine sleeps, or is moved to another host; the second may be set. What is old by either counts as old: where
//! only the wall clock has jumped ahead, what is known is known anew within two seconds.

use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// When something was so.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    running: Instant,
    wall: SystemTime,
}

impl Moment {
    /// This one.
    pub fn now() -> Self {
        Self {
            running: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// How long ago it was. A wall clock that was set back says nothing.
    pub fn age(self) -> Duration {
        let by_the_wall = self.wall.elapsed().unwrap_or_default();
        self.running.elapsed().max(by_the_wall)
    }

    /// As if the machine had slept for so long since then.
    #[cfg(test)]
    #[must_use]
    pub fn slept(self, time: Duration) -> Self {
        Self {
            wall: self.wall - time,
            ..self
        }
    }

    /// Later by so much.
    #[cfg(test)]
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self {
            running: self.running + time,
            wall: self.wall + time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn old_by_either_clock_is_old() {
        let minute = Duration::from_mins(1);
        let before = Moment::now();
        assert!(before.age() < minute / 2);
        assert!(before.slept(minute).age() >= minute);
        let set_back = Moment {
            wall: before.wall + minute,
            ..before
        };
        tokio::time::advance(minute).await;
        assert!(before.age() >= minute && set_back.age() >= minute);
    }
}
