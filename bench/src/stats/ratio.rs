//! A ratio over rounds, and what may be concluded from it: a median alone says nothing of how sure it is.

use super::{Spread, bootstrap};

/// Which figures a side wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Rates.
    More,
    /// Times and memory.
    Less,
}

/// What [`Ratio::show`] prints, for the text over a table.
pub const LEGEND: &str = "Ratios, in pairs of the same round: median [95 % bootstrap interval of the median], rounds in which the \
                          row is ahead of its yardstick. An interval that holds 1 decides nothing.";

/// A side's figure divided by the yardstick's of the same round, a number a round.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ratio(Vec<f64>);

impl Ratio {
    /// Of figures and the yardstick's, paired round by round.
    pub fn of(figures: &[f64], yardstick: &[f64]) -> Self {
        let pairs = figures.iter().zip(yardstick);
        Self(
            pairs
                .map(|(figure, base)| figure / base.max(f64::EPSILON))
                .collect(),
        )
    }

    /// `1.07 [0.94 to 1.21], 9 of 15`; the yardstick itself is just `1`.
    pub fn show(&self, decimals: usize, better: Better) -> String {
        if self
            .0
            .iter()
            .all(|ratio| (ratio - 1.0).abs() < f64::EPSILON)
        {
            return "1".to_owned();
        }
        let median = Spread::of(self.0.iter().copied()).median;
        let (low, high) = bootstrap::interval(self.0.len(), |drawn| {
            Spread::of(drawn.iter().filter_map(|round| self.0.get(*round).copied())).median
        });
        let ahead = self.0.iter().filter(|ratio| match better {
            Better::More => **ratio > 1.0,
            Better::Less => **ratio < 1.0,
        });
        format!(
            "{median:.decimals$} [{low:.decimals$} to {high:.decimals$}], {} of {}",
            ahead.count(),
            self.0.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_that_disagree_are_told_from_rounds_that_agree() {
        let base = [100.0; 15];
        let sure: Vec<f64> = (0..15).map(|round| 110.0 + f64::from(round)).collect();
        let shown = Ratio::of(&sure, &base).show(2, Better::More);
        assert!(shown.starts_with("1.17 [1.1"), "{shown}");
        assert!(shown.ends_with(", 15 of 15"), "{shown}");
        assert!(
            Ratio::of(&sure, &base)
                .show(2, Better::Less)
                .ends_with(", 0 of 15")
        );

        let torn: Vec<f64> = (0..15).map(|round| 93.0 + f64::from(round)).collect();
        let shown = Ratio::of(&torn, &base).show(2, Better::More);
        assert!(shown.starts_with("1.00 [0.9"), "{shown}");
        assert!(shown.ends_with(", 7 of 15"), "{shown}");
        // A seed: the same figures always print alike.
        assert_eq!(shown, Ratio::of(&torn, &base).show(2, Better::More));
    }

    #[test]
    fn one_round_has_no_spread_and_a_yardstick_no_ratio() {
        assert_eq!(
            Ratio::of(&[3.0], &[2.0]).show(1, Better::More),
            "1.5 [1.5 to 1.5], 1 of 1"
        );
        assert_eq!(
            Ratio::of(&[2.0, 3.0], &[2.0, 3.0]).show(2, Better::More),
            "1"
        );
    }
}
