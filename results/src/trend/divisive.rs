//! Change points of a series of figures: E-divisive means, with a permutation test.
//!
//! A split of the series is as good as the energy distance between its sides is large; the best one is a change point
//! where the figures in random order have hardly ever one as good. Both sides are then looked at in the same way.
//! D. Matteson and N. James, "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data", JASA
//! 109 (2014), with an exponent of 1; as MongoDB's signal processing, Hunter and Apache Otava use it.

use std::ops::Range;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

/// A change point is one when figures in random order split as well in no more than so many of all orders.
pub const SIGNIFICANT: f64 = 0.001;

/// Figures that are needed before anything can be said: of 13, no order is rare enough (C(13, 6) / 2 < 1000).
pub const LEAST_FIGURES: usize = 14;

/// Figures on either side of a change point, at least: one or two are outliers.
const LEAST_SIDE: usize = 3;

/// Random orders of a test.
const ORDERS: usize = 4999;

/// Random orders that may split as well.
const AS_GOOD: usize = 4;

/// The same figures have the same change points.
const SEED: u64 = 0x7472_656e_6473;

/// Sums of the same figures in another order are the same but for so much of them.
const ROUNDING: f64 = 1e-9;

/// A place where the figures change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    /// Number of the first figure after it.
    pub(super) at: usize,
    /// Share of random orders that split as well.
    pub(super) p: f64,
}

/// The change points of a series, in its order.
pub(super) fn splits(figures: &[f64]) -> Vec<Split> {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut found = Vec::new();
    search(figures, 0..figures.len(), &mut random, &mut found);
    found.sort_by_key(|split| split.at);
    found
}

fn search(figures: &[f64], part: Range<usize>, random: &mut StdRng, found: &mut Vec<Split>) {
    let Some(mut split) = test(&figures[part.clone()], random) else { return };
    split.at += part.start;
    found.push(split);
    search(figures, part.start..split.at, random, found);
    search(figures, split.at..part.end, random, found);
}

/// The best split of these figures, where it is a change point.
fn test(figures: &[f64], random: &mut StdRng) -> Option<Split> {
    if figures.len() < LEAST_FIGURES {
        return None;
    }
    let mut order = figures.to_vec();
    let (at, distance) = best(&order)?;
    let enough = distance * (1.0 - ROUNDING);
    let mut as_good = 0;
    for _ in 0..ORDERS {
        order.shuffle(random);
        as_good += usize::from(best(&order).is_some_and(|(_, distance)| distance >= enough));
        if as_good > AS_GOOD {
            return None;
        }
    }
    Some(Split { at, p: (as_good + 1) as f64 / (ORDERS + 1) as f64 })
}

/// Where the sides of a split are farthest from each other, and how far; none where nothing differs.
fn best(figures: &[f64]) -> Option<(usize, f64)> {
    let all = figures.len();
    // Distances of a figure to all others, and to those before it.
    let (mut to_all, mut to_earlier) = (vec![0.0; all], vec![0.0; all]);
    for (i, figure) in figures.iter().enumerate() {
        for (j, earlier) in figures[..i].iter().enumerate() {
            let distance = (figure - earlier).abs();
            to_earlier[i] += distance;
            to_all[i] += distance;
            to_all[j] += distance;
        }
    }
    let total = to_all.iter().sum::<f64>() / 2.0;
    let (mut before, mut after) = (0.0, total);
    let mut best: Option<(usize, f64)> = None;
    for at in 1..=all - LEAST_SIDE {
        // The figure before the split comes from the right side to the left one.
        let moved = at - 1;
        before += to_earlier[moved];
        after -= to_all[moved] - to_earlier[moved];
        if at < LEAST_SIDE {
            continue;
        }
        let distance = energy(before, total - before - after, after, at, all - at);
        if distance > best.map_or(total * ROUNDING / all as f64, |(_, most)| most) {
            best = Some((at, distance));
        }
    }
    best
}

/// Energy distance of two sides of so many figures, by the sums of distances within and between them, scaled so that
/// splits of other places compare.
fn energy(before: f64, between: f64, after: f64, left: usize, right: usize) -> f64 {
    let (m, n) = (left as f64, right as f64);
    let within = before / (m * (m - 1.0)) + after / (n * (n - 1.0));
    2.0 * (between / (m * n) - within) * m * n / (m + n)
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;

    /// Figures around 100 with this deviation, those from `at` on `by` times as high.
    fn noise(all: usize, at: usize, by: f64, deviation: f64, seed: u64) -> Vec<f64> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        (0..all)
            .map(|i| 100.0 * (deviation * normal()).exp() * if i < at { 1.0 } else { by })
            .collect()
    }

    #[test]
    fn the_distance_is_that_of_the_definition() {
        let figures = [1.0, 4.0, 2.0, 9.0, 7.0, 8.0, 7.5];
        let mean = |x: &[f64], y: &[f64], pairs: usize| {
            let all = x.iter().flat_map(|a| y.iter().map(move |b| (a - b).abs()));
            all.sum::<f64>() / pairs as f64
        };
        let of = |at: usize| {
            let (x, y) = figures.split_at(at);
            let (m, n) = (x.len(), y.len());
            let energy =
                2.0 * mean(x, y, m * n) - mean(x, x, m * (m - 1)) - mean(y, y, n * (n - 1));
            energy * (m * n) as f64 / (m + n) as f64
        };
        let (at, distance) = best(&figures).unwrap();
        assert_eq!(at, 3);
        assert!((distance - of(3)).abs() < 1e-9, "{distance} {}", of(3));
        assert!(distance > of(4));
    }

    #[test]
    fn noise_alone_is_hardly_ever_called_a_change() {
        let alarms =
            (0..200).filter(|seed| !splits(&noise(30, 30, 1.0, 0.04, *seed)).is_empty()).count();
        let share = alarms as f64 / 200.0;
        assert!(share <= 0.05, "{alarms} false alarms in 200 series");
        eprintln!("false alarms: {alarms} of 200 series of 30 runs that scatter by 4 %");
    }

    #[test]
    fn a_planted_step_of_a_tenth_is_found_where_it_is() {
        let found = |deviation: f64| {
            let near = |seed: &u64| match splits(&noise(30, 20, 1.1, deviation, *seed))[..] {
                [split] => split.at.abs_diff(20) <= 2,
                _ => false,
            };
            let found = (0..40).filter(near).count();
            let scatter = deviation * 100.0;
            eprintln!(
                "found: {found} of 40 steps of 10 % after 20 of 30 runs that scatter by {scatter} %"
            );
            found
        };
        assert_eq!(found(0.02), 40);
        assert!(found(0.04) >= 30);
        let quiet: Vec<f64> = (0..20).map(|i| f64::from(100 + i % 3 + 10 * (i / 15))).collect();
        let split = splits(&quiet)[0];
        assert_eq!((split.at, splits(&quiet).len()), (15, 1));
        assert!(split.p <= SIGNIFICANT, "{}", split.p);
        assert_eq!(splits(&quiet), splits(&quiet), "the same every time");
    }

    #[test]
    fn several_steps_are_all_found_in_their_order() {
        let steps: Vec<f64> =
            (0..60).map(|i| f64::from([100, 120, 90][i as usize / 20] + i % 4)).collect();
        let at: Vec<_> = splits(&steps).iter().map(|split| split.at).collect();
        assert_eq!(at, [20, 40]);
    }

    #[test]
    fn too_few_figures_outliers_and_figures_that_are_all_the_same_say_nothing() {
        let step = |all: usize| -> Vec<f64> {
            (0..all)
                .map(|i| if i < all / 2 { 1.0 + i as f64 / 100.0 } else { 2.0 + i as f64 / 100.0 })
                .collect()
        };
        assert_eq!(splits(&step(LEAST_FIGURES - 1)), []);
        assert_eq!(splits(&step(LEAST_FIGURES)).len(), 1);
        assert_eq!(splits(&[5.0; 50]), []);
        assert_eq!(splits(&[]), []);
        let mut outlier = noise(30, 30, 1.0, 0.04, 1);
        outlier[29] = 500.0;
        assert_eq!(splits(&outlier), []);
    }
}
