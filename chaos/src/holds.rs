//! What became of the holds: how long each stood in a quota, whether the write that it was for came, and if not, what its client was
//! told. No promise is checked here; it tells what stood in the way of others, and for how long.

use crate::history::Held;
use crate::place::{Place, Quota};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;
use tokio::time::Instant;

/// How far a hold may be seen from its request: etcd is read a moment later.
const AROUND: Duration = Duration::from_secs(1);

/// The answer that says that the write was done.
const DONE: &str = "done";

/// What a client sent and was told.
#[derive(Clone, Debug)]
pub struct Sent {
    /// To whom.
    pub place: Place,
    /// The revision that was to be replaced; 0 for a create.
    pub base: u64,
    /// When it was sent.
    pub at: Instant,
    /// When the answer came.
    pub answered: Instant,
    /// The answer, in words.
    pub answer: String,
}

/// A hold in a quota.
#[derive(Clone, Debug)]
struct Known {
    held: Held,
    taken: Instant,
    gone: Option<Instant>,
}

/// All holds of a run.
#[derive(Debug, Default)]
pub struct Holds {
    open: HashMap<(Quota, String), Known>,
    closed: Vec<Known>,
    /// Transitions that have happened, by uid and the revision that they replaced.
    written: HashSet<(String, u64)>,
}

/// Holds of one fate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fate {
    /// How many.
    pub count: u64,
    /// How long they stood: median and the longest, in seconds.
    pub median: f64,
    /// The longest.
    pub longest: f64,
    /// CPU held, times seconds.
    pub cpu_seconds: f64,
}

impl Holds {
    /// At this time a quota was written with these holds.
    pub fn quota(&mut self, quota: &Quota, holds: &[Held], now: Instant) {
        let stays: HashSet<&str> = holds.iter().map(|hold| hold.id.as_str()).collect();
        let closed = &mut self.closed;
        self.open.retain(|(of, id), known| {
            let is_gone = of == quota && !stays.contains(id.as_str());
            if is_gone {
                known.gone = Some(now);
                closed.push(known.clone());
            }
            !is_gone
        });
        for held in holds {
            self.open
                .entry((quota.clone(), held.id.clone()))
                .or_insert_with(|| Known {
                    held: held.clone(),
                    taken: now,
                    gone: None,
                });
        }
    }

    /// An admitted write replaced this revision; 0 is a create.
    pub fn written(&mut self, uid: &str, base: u64) {
        self.written.insert((uid.to_owned(), base));
    }

    /// By what became of them until now.
    pub fn fates(&self, sent: &[Sent], now: Instant) -> BTreeMap<String, Fate> {
        let mut by_place: HashMap<(&Place, u64), Vec<&Sent>> = HashMap::new();
        for one in sent {
            by_place
                .entry((&one.place, one.base))
                .or_default()
                .push(one);
        }
        let mut times: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for known in self.closed.iter().chain(self.open.values()) {
            let held = &known.held;
            let came = self.written.contains(&(held.uid.clone(), held.base));
            let fate = if came {
                "its write came".to_owned()
            } else {
                let asked = by_place.get(&(&held.place, held.base));
                let mut of: Vec<&Sent> = asked
                    .into_iter()
                    .flatten()
                    .copied()
                    .filter(|one| one.at <= known.taken && known.taken <= one.answered + AROUND)
                    .collect();
                // Of several at once: what was done has its own hold, and the one that was answered first fits best.
                of.sort_by_key(|one| (one.answer == DONE, one.answered));
                of.first()
                    .map_or_else(|| "no request known".to_owned(), |one| one.answer.clone())
            };
            let stood = known
                .gone
                .unwrap_or(now)
                .saturating_duration_since(known.taken)
                .as_secs_f64();
            #[allow(clippy::cast_precision_loss)] // a few cores
            let cores = held.to.saturating_sub(held.from) as f64 / 1000.0;
            times.entry(fate).or_default().push((stood, cores));
        }
        times
            .into_iter()
            .map(|(fate, times)| (fate, Fate::of(times)))
            .collect()
    }
}

impl Fate {
    fn of(mut times: Vec<(f64, f64)>) -> Self {
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let stood = |at: usize| times.get(at).map(|(stood, _)| *stood).unwrap_or_default();
        Self {
            count: times.len() as u64,
            median: stood(times.len() / 2),
            longest: stood(times.len().saturating_sub(1)),
            cpu_seconds: times.iter().map(|(stood, cores)| stood * cores).sum(),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} | {:.2} | {:.1} | {:.0}",
            self.count, self.median, self.longest, self.cpu_seconds
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Kind;

    fn held(uid: &str, base: u64) -> Held {
        Held {
            id: format!("r-{uid}"),
            place: Place {
                kind: Kind::SessionCluster,
                namespace: "a".into(),
                name: "x".into(),
            },
            uid: uid.into(),
            base,
            from: 1000,
            to: 3000,
        }
    }

    #[test]
    fn a_hold_is_told_by_its_write_or_by_the_answer() {
        let quota = Quota::Of("a".into());
        let mut holds = Holds::default();
        let at = Instant::now();
        holds.quota(&quota, &[held("came", 7), held("refused", 9)], at);
        holds.written("came", 7);
        let later = at + Duration::from_secs(2);
        holds.quota(&quota, &[held("refused", 9)], later);
        let sent = Sent {
            place: held("refused", 9).place,
            base: 9,
            at,
            answered: at,
            answer: "refused by the sibling".into(),
        };
        let fates = holds.fates(&[sent], at + Duration::from_secs(90));
        let told: Vec<_> = fates
            .iter()
            .map(|(fate, told)| format!("{fate}: {told}"))
            .collect();
        assert_eq!(
            told,
            [
                "its write came: 1 | 2.00 | 2.0 | 4",
                "refused by the sibling: 1 | 90.00 | 90.0 | 180"
            ]
        );
    }
}
