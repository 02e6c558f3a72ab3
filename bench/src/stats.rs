//! Percentiles of samples, the spread of a figure over rounds, and ratios of two sides ([`Ratio`]).

mod bootstrap;
mod pooled;
mod ratio;

pub use pooled::Pooled;
pub use ratio::{Better, LEGEND, Ratio};
use std::time::Duration;

/// The value below which a share of the samples lies (nearest rank); zero without samples.
pub fn percentile(samples: &mut [Duration], share: f64) -> Duration {
    samples.sort_unstable();
    let last = samples.len().saturating_sub(1);
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )] // ranks are small
    let rank = (last as f64 * share).round() as usize;
    samples.get(rank).copied().unwrap_or_default()
}

/// A figure over rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of one figure a round; zeros without rounds.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let middle = figures.len() / 2;
        let upper = figures.get(middle).copied().unwrap_or_default();
        let median = if figures.len().is_multiple_of(2) && middle > 0 {
            f64::midpoint(upper, figures.get(middle - 1).copied().unwrap_or_default())
        } else {
            upper
        };
        Self {
            min: figures.first().copied().unwrap_or_default(),
            median,
            max: figures.last().copied().unwrap_or_default(),
        }
    }

    /// `12.3 (11.0 to 14.9)` with as many decimals as asked.
    pub fn show(&self, decimals: usize) -> String {
        format!(
            "{:.decimals$} ({:.decimals$} to {:.decimals$})",
            self.median, self.min, self.max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_spreads_are_of_the_samples() {
        let mut samples: Vec<Duration> = (1..=101).rev().map(Duration::from_micros).collect();
        assert_eq!(percentile(&mut samples, 0.5), Duration::from_micros(51));
        assert_eq!(percentile(&mut samples, 0.99), Duration::from_micros(100));
        assert_eq!(percentile(&mut [], 0.5), Duration::ZERO);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).show(1), "2.0 (1.0 to 3.0)");
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).show(1), "2.5 (1.0 to 4.0)");
        assert_eq!(Spread::of([]), Spread::default());
    }
}
