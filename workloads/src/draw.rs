//! Numbers that look drawn and are a function of what they are for: the run's seed and a record's place. Whoever
//! knows both knows the number, and no state has to be carried from record to record.

/// The number of `place` in a series that `seed` and `series` choose: splitmix64 (Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014) of the three.
pub(crate) fn number(seed: u64, series: u64, place: u64) -> u64 {
    mixed(mixed(mixed(seed).wrapping_add(series)).wrapping_add(place))
}

/// The same as a number from 0 up to 1, without 1.
pub(crate) fn unit(seed: u64, series: u64, place: u64) -> f64 {
    (number(seed, series, place) >> 11) as f64 / (1_u64 << 53) as f64
}

fn mixed(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64_and_evenly_spread() {
        // The first outputs of the reference implementation for seed 1234567.
        assert_eq!(mixed(1_234_567), 6_457_827_717_110_365_317);
        let each: Vec<f64> = (0..10_000).map(|place| unit(7, 1, place)).collect();
        assert!(each.iter().all(|unit| (0.0..1.0).contains(unit)));
        let mean = each.iter().sum::<f64>() / 1e4;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
        let low = each.iter().filter(|unit| **unit < 0.1).count();
        assert!(low.abs_diff(1000) < 100, "{low}");
        assert_ne!(number(7, 1, 0), number(7, 2, 0));
        assert_ne!(number(7, 1, 0), number(8, 1, 0));
    }
}
