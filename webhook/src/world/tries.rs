//! What failed lists teach about the next: how to ask, how long to wait, when to go on without.

use std::time::Duration;

/// Between failures, first and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// So often in a row may a streamed list be turned away before pages are asked for. They are more for the API server to do, so a
/// busy one is not bothered with them at once; but one (or a proxy before it) may turn away streams only, for ever.
const TURNED_AWAY: u32 = 3;

/// So often may reading be forbidden, over some six seconds, before it counts as meant: an API server that has only just started
/// forbids much until it has read its own roles.
const FORBIDDEN: u32 = 6;

/// How to list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// If the API server can.
    Streamed,
    /// Page by page.
    Paged,
}

/// What has failed since the last list that came.
#[derive(Debug)]
pub struct Tries {
    way: Way,
    turned_away: u32,
    forbidden: u32,
    backoff: Duration,
}

impl Tries {
    /// Nothing has, and this is the way to begin with.
    pub fn by(way: Way) -> Self {
        Self {
            way,
            turned_away: 0,
            forbidden: 0,
            backoff: BACKOFF.0,
        }
    }

    /// How to list now.
    pub fn way(&self) -> Way {
        if self.turned_away >= TURNED_AWAY {
            Way::Paged
        } else {
            self.way
        }
    }

    /// The API server was too busy for a stream, or says so.
    pub fn turned_away(&mut self) {
        self.turned_away += 1;
    }

    /// Something else has failed.
    pub fn failed(&mut self) {
        // Pages did not come either; the next time a stream may.
        self.turned_away = self.turned_away.min(TURNED_AWAY - 1);
    }

    /// Reading was forbidden; answers, once, that this counts as meant by now.
    pub fn forbidden(&mut self) -> bool {
        self.forbidden = self.forbidden.saturating_add(1);
        self.forbidden == FORBIDDEN
    }

    /// How long to wait before the next.
    pub fn pause(&mut self) -> Duration {
        let now = self.backoff;
        self.backoff = (now * 2).min(BACKOFF.1);
        jittered(now)
    }
}

/// The pause before a watch that broke is begun anew.
pub fn pause_after(failures: u32) -> Duration {
    jittered(BACKOFF.0 * failures)
}

fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::random_range(0.75..1.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_turns_streams_away_is_asked_for_pages_and_streams_by_turns() {
        let mut tries = Tries::by(Way::Streamed);
        for _ in 0..2 {
            tries.turned_away();
            assert_eq!(tries.way(), Way::Streamed);
        }
        for _ in 0..3 {
            tries.turned_away();
            assert_eq!(tries.way(), Way::Paged);
            tries.failed();
            assert_eq!(tries.way(), Way::Streamed);
        }
        let mut doubted = Tries::by(Way::Paged);
        doubted.failed();
        assert_eq!(doubted.way(), Way::Paged);
    }
}
