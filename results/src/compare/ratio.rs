//! Ratios of medians: their bootstrap interval, and the smallest one that the test would see.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::rank::{NullDistribution, doubled_ranks};

/// Draws of the bootstrap.
const RESAMPLES: usize = 10_000;

/// Part of the draws that lies outside of the interval.
const OUTSIDE: f64 = 0.05;

/// Draws for the power of the test at one ratio.
const TRIALS: usize = 400;

/// The power that makes an effect detectable.
const POWER: f64 = 0.8;

/// A larger ratio is not looked for.
const LARGEST: f64 = 10.0;

/// The same figures give the same interval.
const SEED: u64 = 0x6b62_656e_6368;

/// The middle one, or the mean of both that are; none of nothing.
pub fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Median of `b` over that of `a`; none where that is 0, or there is nothing.
pub fn ratio(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (median(a)?, median(b)?);
    (a > 0.0).then(|| b / a)
}

/// The 95 % interval of that [`ratio`], by the percentile bootstrap; none where the ratio of a draw is none.
pub fn interval(a: &[f64], b: &[f64]) -> Option<(f64, f64)> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut draw = |set: &[f64]| -> Vec<f64> {
        set.iter().map(|_| set[random.random_range(0..set.len())]).collect()
    };
    let mut ratios: Vec<f64> =
        (0..RESAMPLES).map(|_| ratio(&draw(a), &draw(b))).collect::<Option<_>>()?;
    ratios.sort_by(f64::total_cmp);
    let outside = (RESAMPLES as f64 * OUTSIDE / 2.0) as usize;
    Some((ratios[outside], ratios[RESAMPLES - 1 - outside]))
}

/// The smallest ratio above 1 that the rank-sum test would call significant at `alpha` in four of five
/// comparisons of sets that scatter as these do; none up to tenfold.
pub(super) fn smallest_detectable(a: &[f64], b: &[f64], alpha: f64) -> Option<f64> {
    let residuals: Vec<f64> = [a, b]
        .into_iter()
        .filter_map(|set| Some((set, median(set)?)))
        .flat_map(|(set, median)| set.iter().map(move |figure| (figure / median).ln()))
        .collect();
    if residuals.iter().any(|it| !it.is_finite()) {
        return None;
    }
    let untied: Vec<usize> = (1..=a.len() + b.len()).map(|rank| 2 * rank).collect();
    let null = NullDistribution::of(&untied, a.len());
    // Of ratios on a logarithmic scale, where the scatter is what it is.
    let power = |shift: f64| {
        let mut random = StdRng::seed_from_u64(SEED);
        let mut draw = |size: usize, shift: f64| -> Vec<f64> {
            let mut one = || residuals[random.random_range(0..residuals.len())];
            (0..size).map(|_| one() + shift).collect()
        };
        let mut seen = || {
            let ranks = doubled_ranks(&draw(a.len(), 0.0), &draw(b.len(), shift));
            null.p_value(ranks[..a.len()].iter().sum()) <= alpha
        };
        (0..TRIALS).filter(|_| seen()).count() as f64 / TRIALS as f64
    };
    let (mut too_small, mut enough) = (0.0, LARGEST.ln());
    if power(enough) < POWER {
        return None;
    }
    while enough - too_small > 0.002 {
        let middle = f64::midpoint(too_small, enough);
        if power(middle) < POWER { too_small = middle } else { enough = middle }
    }
    Some(enough.exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 3.0, 4.0]), Some(3.5));
        assert_eq!(ratio(&[2.0], &[3.0]), Some(1.5));
        assert_eq!(ratio(&[0.0], &[3.0]), None);
    }

    #[test]
    fn an_interval_holds_the_ratio_and_grows_with_the_scatter() {
        let set = |scatter: f64, by: f64| {
            [-1.0, -0.5, 0.0, 0.4, 0.9].map(|it| by * (100.0 + scatter * it)).to_vec()
        };
        let width = |scatter: f64| {
            let (low, high) = interval(&set(scatter, 1.0), &set(scatter, 1.2)).unwrap();
            assert!(low <= 1.2 && 1.2 <= high, "{low} {high}");
            high - low
        };
        assert_eq!(width(0.0), 0.0);
        assert!(width(1.0) < width(10.0));
    }

    #[test]
    fn what_can_be_detected_grows_with_the_scatter_and_shrinks_with_the_runs() {
        let set = |runs: usize, scatter: f64| -> Vec<f64> {
            (0..runs).map(|i| 100.0 * (1.0 + scatter * ((i % 5) as f64 / 2.0 - 1.0))).collect()
        };
        let detectable =
            |runs, scatter| smallest_detectable(&set(runs, scatter), &set(runs, scatter), 0.05);
        let (quiet, noisy) = (detectable(5, 0.01).unwrap(), detectable(5, 0.05).unwrap());
        assert!(1.0 < quiet && quiet < noisy && noisy < 1.3, "{quiet} {noisy}");
        let more = detectable(20, 0.05).unwrap();
        assert!(more < noisy, "{more} {noisy}");
        assert_eq!(detectable(3, 0.01), None, "three and three can never be significant");
    }
}
