//! How far a figure over rounds might lie from where it came out: rounds are drawn again, with replacement, and it is taken of each
//! draw.

/// Draws: the ends of the interval no longer move in what is printed.
const DRAWS: usize = 2000;

/// The interval that holds a figure in 95 % of the draws of `rounds` rounds; `figure` gets the numbers of the drawn ones. The same
/// rounds give the same interval.
pub fn interval(rounds: usize, figure: impl Fn(&[usize]) -> f64) -> (f64, f64) {
    if rounds == 0 {
        return (0.0, 0.0);
    }
    let mut random = SplitMix(0x51_u64);
    let mut drawn = vec![0; rounds];
    let mut figures: Vec<f64> = (0..DRAWS)
        .map(|_| {
            drawn.fill_with(|| random.below(rounds));
            figure(&drawn)
        })
        .collect();
    figures.sort_by(f64::total_cmp);
    // 2.5 % of the draws lie outside at each end.
    let outside = DRAWS / 40;
    let at = |rank: usize| figures.get(rank).copied().unwrap_or_default();
    (at(outside), at(DRAWS - 1 - outside))
}

/// SplitMix64: five lines that give the same numbers whatever becomes of a crate's generator.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a small one; the remainder's bias is far below what is printed.
    fn below(&mut self, end: usize) -> usize {
        #[allow(clippy::cast_possible_truncation)] // the remainder is smaller than a usize
        let number = (self.next() % end as u64) as usize;
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_of_means_is_as_wide_as_theory_says() {
        // 0 to 99: the mean's standard error is 28.9 / 10, and 1.96 of them are 5.7 on each side of 49.5.
        #[allow(clippy::cast_precision_loss)] // small
        let (low, high) = interval(100, |drawn| drawn.iter().sum::<usize>() as f64 / 100.0);
        assert!((42.8..44.8).contains(&low), "{low}");
        assert!((54.2..56.2).contains(&high), "{high}");
    }

    #[test]
    fn nothing_drawn_is_no_interval_and_one_round_is_itself() {
        assert_eq!(interval(0, |_| 7.0), (0.0, 0.0));
        assert_eq!(interval(1, |_| 7.0), (7.0, 7.0));
    }
}
