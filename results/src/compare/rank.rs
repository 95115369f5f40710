//! The rank-sum test of Wilcoxon, Mann and Whitney in its exact form: how often a random division of the same
//! figures into two sets of these sizes has a rank sum as far from the middle as the one that was seen. Ties have
//! their mean rank.

/// Two-sided p-value of two sets of figures; 1 when one is empty or all figures are the same.
pub(super) fn p_value(a: &[f64], b: &[f64]) -> f64 {
    let ranks = doubled_ranks(a, b);
    let sum: usize = ranks[..a.len()].iter().sum();
    NullDistribution::of(&ranks, a.len()).p_value(sum)
}

/// Twice the rank of each figure of `a`, then of `b`, among all of them: whole numbers with ties, too.
pub(super) fn doubled_ranks(a: &[f64], b: &[f64]) -> Vec<usize> {
    let all: Vec<f64> = a.iter().chain(b).copied().collect();
    let rank = |figure: &f64| {
        let below = all.iter().filter(|it| it.total_cmp(figure).is_lt()).count();
        let equal = all.iter().filter(|it| it.total_cmp(figure).is_eq()).count();
        2 * below + equal + 1
    };
    all.iter().map(rank).collect()
}

/// How many divisions have which rank sum.
pub(super) struct NullDistribution {
    /// By the sum of the first set's doubled ranks.
    divisions: Vec<f64>,
    /// Twice the mean sum.
    doubled_mean: usize,
}

impl NullDistribution {
    /// Of all ways to take `size` of these doubled ranks.
    pub(super) fn of(ranks: &[usize], size: usize) -> Self {
        let most: usize = ranks.iter().sum();
        // Ways to take k of the ranks seen so far with the sum s, for each k and s.
        let mut ways = vec![vec![0.0; most + 1]; size + 1];
        ways[0][0] = 1.0;
        for rank in ranks {
            for k in (1..=size).rev() {
                let (fewer, these) = ways.split_at_mut(k);
                let shifted = &fewer[k - 1][..=most - rank];
                these[0][*rank..].iter_mut().zip(shifted).for_each(|(way, more)| *way += more);
            }
        }
        let doubled_mean = 2 * most * size / ranks.len().max(1);
        Self { divisions: ways.swap_remove(size), doubled_mean }
    }

    /// Part of the divisions whose sum is at least as far from the mean.
    pub(super) fn p_value(&self, sum: usize) -> f64 {
        let off = |sum: usize| (2 * sum).abs_diff(self.doubled_mean);
        let all: f64 = self.divisions.iter().sum();
        let as_far = self.divisions.iter().enumerate().filter(|(it, _)| off(*it) >= off(sum));
        as_far.map(|(_, divisions)| divisions).sum::<f64>() / all
    }
}

/// The smallest p-value that sets of these sizes can have.
pub(super) fn smallest_p_value(a: usize, b: usize) -> f64 {
    let divisions = (0..a.min(b)).fold(1.0, |ways, i| ways * (a + b - i) as f64 / (i + 1) as f64);
    (2.0 / divisions).min(1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By the definition: every division, one after the other.
    fn enumerated(a: &[f64], b: &[f64]) -> f64 {
        let ranks = doubled_ranks(a, b);
        let sum = |taken: u32| -> usize {
            ranks
                .iter()
                .enumerate()
                .filter(|(i, _)| taken >> i & 1 == 1)
                .map(|(_, rank)| rank)
                .sum()
        };
        let sums: Vec<usize> = (0_u32..1 << ranks.len())
            .filter(|taken| taken.count_ones() as usize == a.len())
            .map(sum)
            .collect();
        let mean = sums.iter().sum::<usize>() as f64 / sums.len() as f64;
        let seen = (sum((1 << a.len()) - 1) as f64 - mean).abs();
        let as_far = sums.iter().filter(|it| (**it as f64 - mean).abs() >= seen - 1e-9);
        as_far.count() as f64 / sums.len() as f64
    }

    #[test]
    fn it_is_what_counting_by_hand_gives() {
        // 2 of 252 divisions; 14 of 35: the sums 6 to 9 and 15 to 18.
        let p = p_value(&[1.0, 2.0, 3.0, 4.0, 5.0], &[6.0, 7.0, 8.0, 9.0, 10.0]);
        assert!((p - 2.0 / 252.0).abs() < 1e-12, "{p}");
        let p = p_value(&[1.0, 3.0, 5.0], &[2.0, 4.0, 6.0, 7.0]);
        assert!((p - 0.4).abs() < 1e-12, "{p}");
        assert_eq!(p_value(&[2.0; 4], &[2.0; 4]), 1.0);
        assert_eq!(p_value(&[], &[1.0, 2.0]), 1.0);
    }

    #[test]
    fn the_smallest_value_is_that_of_separated_sets() {
        for (a, b) in [(1, 1), (3, 3), (4, 4), (5, 5), (2, 7), (9, 4)] {
            let low: Vec<f64> = (0..a).map(|i| i as f64).collect();
            let high: Vec<f64> = (0..b).map(|i| 100.0 + i as f64).collect();
            let (least, p) = (smallest_p_value(a, b), p_value(&low, &high));
            assert!((least - p).abs() < 1e-12, "{a} and {b}: {least}, {p}");
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_definition_says(
            a in prop::collection::vec(0_u8..8, 1..6),
            b in prop::collection::vec(0_u8..8, 1..6),
        ) {
            let [a, b] = [a, b].map(|set| set.into_iter().map(f64::from).collect::<Vec<_>>());
            let (ours, defined) = (p_value(&a, &b), enumerated(&a, &b));
            prop_assert!((ours - defined).abs() < 1e-9, "{ours} {defined}");
            prop_assert!((ours - p_value(&b, &a)).abs() < 1e-9);
        }
    }
}
