//! When the CA is replaced, in phases that leave no moment in which a leaf in use is not trusted:
//!
//! 1. **Announced**: the next CA is made and put into every `caBundle`; the old one signs.
//! 2. **Signs**: every bundle was read back with it, and API servers have had [`Pace::dwell`] to hear of it; leaves are made
//!    anew, and the old CA stays trusted for those that are still served.
//! 3. **Retired**: no leaf of the old CA can be valid any more; it leaves the bundles.
//!
//! Any replica takes the next step, by compare-and-swap; no leader is needed, and none can be lost. Only the decision is here: what is
//! stored stands in [`crate::generations`], and [`crate::keeper`] reads and writes it.

use crate::authority::{Authority, BACKDATE};
use crate::error::Error;
use crate::generations::Generations;
use crate::leaf;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// How long the phases last at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// From the announcement of a CA until it signs: all API servers have read the bundles by then.
    pub dwell: SignedDuration,
    /// From the first leaf of a new CA until the old one is not trusted any more.
    pub retire: SignedDuration,
}

impl Default for Pace {
    /// Ten minutes; and the life of a leaf, after which none of the old CA is valid.
    fn default() -> Self {
        Self {
            dwell: SignedDuration::from_mins(10),
            retire: leaf::LIFETIME,
        }
    }
}

/// What somebody asks for, by the annotation `sluice.dev/rotate-ca` of the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// `now`: a new CA, in phases.
    Now,
    /// `distrust`: a new CA at once, and the others are not trusted any more: their key is in wrong hands. Requests fail for the
    /// seconds that replicas and API servers need to follow.
    Distrust,
}

impl Request {
    /// What an annotation's value asks for; `None` for other words.
    pub fn parse(value: &str) -> Option<Self> {
        match value {
            "now" => Some(Self::Now),
            "distrust" => Some(Self::Distrust),
            _ => None,
        }
    }
}

/// What a step is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What the Secret holds.
    pub held: &'a Generations,
    /// When its newest phase was written, by the API server's clock, where that is known.
    pub written: Option<Timestamp>,
    /// What is asked for.
    pub request: Option<Request>,
    /// The bundles of all webhooks, as they were read back.
    pub bundles: &'a [String],
    /// By our own clock, or the API server's.
    pub now: Timestamp,
}

/// A step to take.
#[derive(Clone, Debug)]
pub struct Step {
    /// What the Secret is to hold.
    pub generations: Generations,
    /// What it does, for the log.
    pub what: &'static str,
    /// Whether the request has been followed by it.
    pub answers: bool,
}

impl Step {
    fn to(generations: Generations, what: &'static str) -> Self {
        Self {
            generations,
            what,
            answers: false,
        }
    }
}

/// The step that is due, if one is.
///
/// # Errors
/// A CA cannot be made.
pub fn step(situation: &Situation<'_>, pace: Pace) -> Result<Option<Step>, Error> {
    let Situation {
        held, request, now, ..
    } = *situation;
    if request == Some(Request::Distrust) {
        return Ok(Some(Step {
            answers: true,
            ..Step::to(
                Generations::first(now, Vec::new())?,
                "a new CA signs, and no other is trusted",
            )
        }));
    }
    if let Some(next) = &held.next {
        return announced(situation, next, pace);
    }
    if request == Some(Request::Now) || held.current.is_ending(now) {
        let generations = Generations {
            next: Some(Arc::new(Authority::generate(now)?)),
            since: Some(now),
            ..held.clone()
        };
        return Ok(Some(Step {
            answers: request.is_some(),
            ..Step::to(generations, "the next CA is announced")
        }));
    }
    if held.previous.is_empty() {
        return Ok(None);
    }
    let retired = match passed(held, now) {
        None => restarted(held, now),
        Some(passed) if passed >= pace.retire => Generations {
            previous: Vec::new(),
            since: None,
            ..held.clone()
        },
        Some(_) => return Ok(None),
    };
    let what = if retired.previous.is_empty() {
        "the previous CA is not trusted any more"
    } else {
        "the clock was set back; the previous CA is trusted for its time anew"
    };
    Ok(Some(Step::to(retired, what)))
}

/// The next CA is known: it signs, is given up, or waits.
fn announced(
    situation: &Situation<'_>,
    next: &Arc<Authority>,
    pace: Pace,
) -> Result<Option<Step>, Error> {
    let Situation { held, now, .. } = *situation;
    // Made by a machine whose clock is wrong: API servers might not take it for valid yet.
    let astray = situation.written.zip(held.since).is_some_and(|(at, ours)| {
        let apart = at.duration_since(ours).abs();
        apart > BACKDATE
    });
    if astray {
        let without = Generations {
            next: None,
            since: held.since.filter(|_| !held.previous.is_empty()),
            ..held.clone()
        };
        return Ok(Some(Step::to(
            without,
            "the next CA is given up: the clock of whoever announced it is not the API server's; set that machine's clock",
        )));
    }
    if !next.is_valid(now) {
        let another = Generations {
            next: Some(Arc::new(Authority::generate(now)?)),
            ..restarted(held, now)
        };
        return Ok(Some(Step::to(
            another,
            "the clock was set back, or nobody looked for years; another next CA is announced",
        )));
    }
    let Some(passed) = passed(held, now) else {
        return Ok(Some(Step::to(
            restarted(held, now),
            "the clock was set back; the next CA waits anew",
        )));
    };
    let pem = next.certificate_pem().trim();
    let trusted =
        !situation.bundles.is_empty() && situation.bundles.iter().all(|held| held.contains(pem));
    // Nothing is gained by waiting while no leaf of the old CA is valid.
    if !trusted || (passed < pace.dwell && held.current.is_valid(now)) {
        return Ok(None);
    }
    let mut previous = vec![held.current.certificate_pem().to_owned()];
    previous.extend(held.previous.iter().cloned());
    let generations = Generations {
        current: Arc::clone(next),
        next: None,
        previous,
        since: Some(now),
    };
    Ok(Some(Step::to(generations, "the next CA signs")))
}

/// How long the phase has lasted; `None`: that cannot be told, since the clock was set back or no time was written.
fn passed(held: &Generations, now: Timestamp) -> Option<SignedDuration> {
    let passed = now.duration_since(held.since?);
    (!passed.is_negative()).then_some(passed)
}

fn restarted(held: &Generations, now: Timestamp) -> Generations {
    Generations {
        since: Some(now),
        ..held.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::{LIFETIME, RENEW_BEFORE};

    const PACE: Pace = Pace {
        dwell: SignedDuration::from_mins(10),
        retire: SignedDuration::from_hours(24),
    };

    /// A Secret, bundles that follow it at once, and a clock.
    struct Stage {
        held: Generations,
        bundles: Vec<String>,
        written: Option<Timestamp>,
        now: Timestamp,
    }

    impl Stage {
        fn new() -> Self {
            let now = Timestamp::now();
            let held = Generations::first(now, Vec::new()).unwrap();
            let bundles = vec![held.bundle(); 2];
            Self {
                held,
                bundles,
                written: None,
                now,
            }
        }

        fn step(&mut self, request: Option<Request>) -> Option<&'static str> {
            let situation = Situation {
                held: &self.held,
                written: self.written,
                request,
                bundles: &self.bundles,
                now: self.now,
            };
            let step = step(&situation, PACE).unwrap()?;
            self.held = step.generations;
            Some(step.what)
        }

        fn bundles_follow(&mut self) {
            self.bundles = vec![self.held.bundle(); 2];
        }

        fn after(&mut self, time: SignedDuration) {
            self.now += time;
        }
    }

    #[test]
    fn a_rotation_goes_through_its_phases_and_each_lasts() {
        let mut stage = Stage::new();
        let old = Arc::clone(&stage.held.current);
        assert_eq!(stage.step(None), None, "nothing is due");
        assert_eq!(
            stage.step(Some(Request::Now)),
            Some("the next CA is announced")
        );
        let next = stage.held.next.clone().unwrap();
        assert!(Arc::ptr_eq(&stage.held.current, &old), "the old one signs");
        stage.after(PACE.dwell * 2);
        assert_eq!(stage.step(None), None, "the bundles lack it still");
        stage.bundles[1] = stage.held.bundle();
        assert_eq!(stage.step(None), None, "one of them lacks it");
        stage.bundles_follow();
        assert_eq!(stage.step(None), Some("the next CA signs"));
        assert!(Arc::ptr_eq(&stage.held.current, &next));
        assert!(stage.held.bundle().contains(old.certificate_pem().trim()));
        stage.bundles_follow();
        stage.after(PACE.retire - SignedDuration::from_secs(1));
        assert_eq!(
            stage.step(None),
            None,
            "leaves of the old one are valid still"
        );
        stage.after(SignedDuration::from_secs(1));
        assert_eq!(
            stage.step(None),
            Some("the previous CA is not trusted any more")
        );
        assert_eq!(stage.held.bundle().matches("BEGIN").count(), 1);
        assert_eq!(stage.step(None), None);
    }

    #[test]
    fn the_next_ca_does_not_sign_before_all_api_servers_have_heard_of_it() {
        let mut stage = Stage::new();
        stage.step(Some(Request::Now));
        stage.bundles_follow();
        stage.after(PACE.dwell - SignedDuration::from_secs(1));
        assert_eq!(stage.step(None), None);
        stage.after(SignedDuration::from_secs(1));
        assert_eq!(stage.step(None), Some("the next CA signs"));
    }

    #[test]
    fn a_ca_that_ended_is_replaced_without_waiting() {
        let mut stage = Stage::new();
        stage.after(LIFETIME + SignedDuration::from_hours(1));
        assert_eq!(stage.step(None), Some("the next CA is announced"));
        stage.bundles_follow();
        assert_eq!(stage.step(None), Some("the next CA signs"));
    }

    #[test]
    fn one_that_nears_its_end_is_replaced_in_phases() {
        let mut stage = Stage::new();
        stage.after(LIFETIME - RENEW_BEFORE + SignedDuration::from_secs(1));
        assert_eq!(stage.step(None), Some("the next CA is announced"));
        stage.bundles_follow();
        assert_eq!(stage.step(None), None);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_a_phase_begin_anew_and_not_last_for_years() {
        let mut stage = Stage::new();
        stage.step(Some(Request::Now));
        stage.bundles_follow();
        stage.now -= SignedDuration::from_mins(30);
        assert_eq!(
            stage.step(None),
            Some("the clock was set back; the next CA waits anew")
        );
        stage.after(PACE.dwell);
        assert_eq!(stage.step(None), Some("the next CA signs"));
        stage.now -= SignedDuration::from_mins(5);
        let what = stage.step(None);
        assert_eq!(
            what,
            Some("the clock was set back; the previous CA is trusted for its time anew")
        );
        assert_eq!(stage.step(None), None);
    }

    #[test]
    fn a_ca_that_is_not_valid_yet_never_signs() {
        let mut stage = Stage::new();
        stage.after(SignedDuration::from_hours(24 * 400));
        stage.step(Some(Request::Now));
        stage.bundles_follow();
        let ahead = stage.held.next.clone().unwrap();
        stage.now -= SignedDuration::from_hours(24 * 399);
        let what = stage.step(None).unwrap();
        assert!(what.contains("another next CA is announced"), "{what}");
        stage.bundles_follow();
        stage.after(PACE.dwell);
        assert_eq!(stage.step(None), Some("the next CA signs"));
        assert!(stage.held.current.is_valid(stage.now));
        assert!(!stage.held.bundle().contains(ahead.certificate_pem().trim()));
    }

    #[test]
    fn a_ca_announced_by_a_machine_with_a_wrong_clock_never_signs() {
        let mut stage = Stage::new();
        stage.step(Some(Request::Now));
        stage.bundles_follow();
        stage.written = Some(stage.now - SignedDuration::from_hours(24 * 70));
        stage.after(PACE.dwell);
        let what = stage.step(None).unwrap();
        assert!(what.starts_with("the next CA is given up"), "{what}");
        assert!(stage.held.next.is_none());
        stage.written = None;
        assert_eq!(stage.step(None), None);
    }

    #[test]
    fn a_ca_whose_key_is_in_wrong_hands_is_not_trusted_for_a_moment_longer() {
        let mut stage = Stage::new();
        stage.step(Some(Request::Now));
        let old = stage.held.bundle();
        let what = stage.step(Some(Request::Distrust)).unwrap();
        assert_eq!(what, "a new CA signs, and no other is trusted");
        for pem in crate::generations::certificates(&old) {
            assert!(!stage.held.bundle().contains(pem.trim()));
        }
        assert!(stage.held.next.is_none());
    }

    #[test]
    fn a_second_rotation_keeps_what_may_still_be_served() {
        let mut stage = Stage::new();
        let first = stage.held.current.certificate_pem().trim().to_owned();
        for _ in 0..2 {
            stage.step(Some(Request::Now));
            stage.bundles_follow();
            stage.after(PACE.dwell);
            stage.step(None);
            stage.bundles_follow();
        }
        assert!(stage.held.bundle().contains(&first));
        assert_eq!(stage.held.bundle().matches("BEGIN").count(), 3);
    }
}
