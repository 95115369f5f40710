//! A hash of small numbers that costs next to nothing, for numbers of our own: partitions and producers that kbench
//! itself made up. Nobody from outside chooses them, so that nobody can choose such as collide.

use std::hash::Hasher;

/// Odd, and its bits look random: the golden ratio's.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes numbers by multiplication.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(number as u64);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(FACTOR);
    }

    fn finish(&self) -> u64 {
        // The low bits choose the place, and the high ones are mixed best.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn partitions_of_a_large_topic_fall_to_different_places() {
        let hash = BuildHasherDefault::<NumberHasher>::default();
        for producer in [0_u16, 1, 7] {
            let places = |mask: u64| {
                let hashes = (0..4096_i32).map(|p| hash.hash_one((producer, p)) & mask);
                hashes.collect::<HashSet<_>>().len()
            };
            assert_eq!(places(u64::MAX), 4096);
            assert!(places(0xfff) > 2000, "{}", places(0xfff));
        }
    }
}
