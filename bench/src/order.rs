//! In which order the sides of a comparison take their turns.

/// The order of `sides` in a round: a Williams design. Who comes late in a round meets a fuller API server, and who comes after a
/// greedy side meets its garbage, so over the rounds each side comes in each position, and after each other side, equally often.
/// Merely beginning each round with the next side would leave everybody the same predecessor. The design repeats itself after
/// `sides` rounds where their number is even, after twice as many where it is odd; in between, the numbers differ by little.
pub fn order(sides: usize, round: usize) -> Vec<usize> {
    // 0, 1, last, 2, last but one, ...: each distance between neighbours comes once.
    let zigzag = (0..sides).map(|position| {
        if position % 2 == 0 {
            (sides - position / 2) % sides
        } else {
            position.div_ceil(2)
        }
    });
    // An odd number has each distance twice or never; the reversed rows hold what is missing.
    let (shift, reversed) = if sides.is_multiple_of(2) {
        (round, false)
    } else {
        (round / 2, round % 2 == 1)
    };
    let mut row: Vec<usize> = zigzag.map(|side| (side + shift) % sides).collect();
    if reversed {
        row.reverse();
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn each_side_comes_in_each_position_and_after_each_other_equally_often() {
        for sides in 1..=6 {
            let rounds = if sides % 2 == 0 { sides } else { 2 * sides };
            let mut positions: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            let mut neighbours: BTreeMap<(usize, usize), usize> = BTreeMap::new();
            // The first round only warms up and is not among those that count.
            for round in 1..=rounds {
                let row = order(sides, round);
                for (position, side) in row.iter().enumerate() {
                    *positions.entry((*side, position)).or_default() += 1;
                }
                for pair in row.windows(2) {
                    *neighbours.entry((pair[0], pair[1])).or_default() += 1;
                }
            }
            let each = rounds / sides;
            assert_eq!(positions.len(), sides * sides);
            assert!(positions.values().all(|times| *times == each));
            assert_eq!(neighbours.len(), sides * (sides - 1));
            assert!(neighbours.values().all(|times| *times == each));
        }
        assert!(order(0, 3).is_empty());
    }
}
