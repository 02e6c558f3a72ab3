//! Samples of all rounds together, for percentiles that a round alone has too few of: of a hundred samples, the 99th percentile is the
//! second largest.

use super::{bootstrap, percentile};
use std::time::Duration;

/// Samples, a list a round.
#[derive(Clone, Debug, Default)]
pub struct Pooled(Vec<Vec<Duration>>);

impl Pooled {
    /// Adds a round.
    pub fn add(&mut self, samples: Vec<Duration>) {
        self.0.push(samples);
    }

    /// How many samples there are.
    pub fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The rounds.
    pub fn rounds(&self) -> &[Vec<Duration>] {
        &self.0
    }

    /// Of all samples.
    pub fn percentile(&self, share: f64) -> Duration {
        percentile(&mut self.0.concat(), share)
    }

    /// A percentile of all samples divided by the yardstick's of all its, and the interval in which the ratio lies when whole
    /// rounds are drawn again, the same ones of both: `1.07 [0.94 to 1.21]`; the yardstick itself is just `1`.
    pub fn ratio(&self, yardstick: &Self, share: f64) -> String {
        let (ours, theirs) = (Falling::of(self), Falling::of(yardstick));
        if ours.samples == theirs.samples {
            return "1".to_owned();
        }
        let rounds = self.0.len().min(yardstick.0.len());
        let ratio = |drawn: &[usize]| {
            let theirs = theirs.percentile(drawn, share).as_secs_f64();
            ours.percentile(drawn, share).as_secs_f64() / theirs.max(f64::EPSILON)
        };
        let once: Vec<usize> = (0..rounds).collect();
        let (low, high) = bootstrap::interval(rounds, ratio);
        format!("{:.2} [{low:.2} to {high:.2}]", ratio(&once))
    }
}

/// All samples, the largest first, each with its round. Drawing rounds again only changes how often each counts, so that nothing is
/// sorted anew, and of a high percentile only the few samples above it are looked at.
struct Falling {
    samples: Vec<(Duration, usize)>,
    sizes: Vec<usize>,
}

impl Falling {
    fn of(pooled: &Pooled) -> Self {
        let rounds = pooled.0.iter().enumerate();
        let mut samples: Vec<(Duration, usize)> = rounds
            .flat_map(|(round, samples)| samples.iter().map(move |sample| (*sample, round)))
            .collect();
        samples.sort_unstable_by(|one, other| other.cmp(one));
        Self {
            samples,
            sizes: pooled.0.iter().map(Vec::len).collect(),
        }
    }

    /// Nearest rank among the samples of the drawn rounds, as [`percentile`] takes it.
    fn percentile(&self, drawn: &[usize], share: f64) -> Duration {
        let mut times = vec![0; self.sizes.len()];
        for round in drawn {
            if let Some(times) = times.get_mut(*round) {
                *times += 1;
            }
        }
        let all: usize = times
            .iter()
            .zip(&self.sizes)
            .map(|(times, size)| times * size)
            .sum();
        let last = all.saturating_sub(1);
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )] // ranks are small
        let above = last - (last as f64 * share).round() as usize;
        let mut seen = 0;
        for (sample, round) in &self.samples {
            seen += times.get(*round).copied().unwrap_or_default();
            if seen > above {
                return *sample;
            }
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pooled(factor: u64) -> Pooled {
        let mut pooled = Pooled::default();
        for round in 0..10_u64 {
            let samples = (0..100).map(|sample| (sample * 7 % 100 + round) * factor);
            pooled.add(samples.map(Duration::from_micros).collect());
        }
        pooled
    }

    #[test]
    fn percentiles_are_those_of_the_concatenated_rounds() {
        let pooled = pooled(1);
        assert_eq!(pooled.count(), 1000);
        let falling = Falling::of(&pooled);
        let once: Vec<usize> = (0..10).collect();
        for share in [0.0, 0.5, 0.9, 0.99, 0.999, 1.0] {
            assert_eq!(falling.percentile(&once, share), pooled.percentile(share));
        }
        // The last round alone, drawn ten times: the largest of it.
        assert_eq!(
            falling.percentile(&[9; 10], 1.0),
            Duration::from_micros(108)
        );
        assert_eq!(falling.percentile(&[0; 10], 1.0), Duration::from_micros(99));
        assert_eq!(
            Falling::of(&Pooled::default()).percentile(&[], 0.5),
            Duration::ZERO
        );
    }

    #[test]
    fn what_doubles_in_every_round_is_surely_the_double() {
        assert_eq!(pooled(2).ratio(&pooled(1), 0.99), "2.00 [2.00 to 2.00]");
        assert_eq!(pooled(2).ratio(&pooled(2), 0.99), "1");
    }
}
