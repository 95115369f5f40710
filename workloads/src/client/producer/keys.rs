//! The keys of a load, sorted by the partition where any Kafka client's default partitioner puts
//! them: `(murmur2(key) & 0x7fffffff) % partitions`.
//!
//! Where keys are spread, the load picks the partition first (every partition is fed steadily) and then one of its
//! keys. Where they are chosen, it picks the key, and the partition is the key's.

use std::ffi::c_void;
use std::ptr;

use rdkafka_sys as sys;

use crate::draw;
use crate::error::LoadError;
use crate::spec::{ChosenKeys, KeyChoice, KeySpec, Partitioner};

/// The keys of a load.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<String>,
    by_partition: Vec<Vec<u32>>,
    next: Vec<usize>,
    /// How keys are chosen; `None`: each partition's in turn.
    choice: Option<ChosenKeys>,
    /// The partition of each key that may be chosen.
    partition: Vec<u32>,
    /// For keys by rank: how often the keys up to each come.
    up_to: Vec<f64>,
}

impl Keys {
    /// The keys of `spec` over `partitions`; refused when no key falls to one of these.
    pub(crate) fn new(spec: KeySpec, partitions: u32) -> Result<Self, LoadError> {
        let count = spec.count().unwrap_or(0);
        let (choice, partitioner) = match spec {
            KeySpec::Chosen(chosen) => (Some(chosen), chosen.partitioner),
            KeySpec::Spread(_) | KeySpec::None => (None, Partitioner::Murmur2),
        };
        let names: Vec<String> = (0..count).map(|number| format!("user-{number:04}")).collect();
        let of = |name: &String| partition_of(name.as_bytes(), partitions, partitioner);
        let partition: Vec<u32> = names.iter().map(of).collect();
        let mut by_partition = vec![Vec::new(); partitions as usize];
        for (number, partition) in (0..count).zip(&partition) {
            by_partition[*partition as usize].push(number);
        }
        let empty = (0..partitions).find(|p| by_partition[*p as usize].is_empty());
        if let (Some(partition), Some(keys)) = (empty, spec.count()) {
            return Err(LoadError::Keys { keys, partition });
        }
        let up_to = match choice.map(|choice| choice.chosen) {
            Some(KeyChoice::Zipf(exponent)) => {
                let weight = |rank: u32| f64::from(rank).powf(-exponent);
                let mut sum = 0.0;
                let add = |rank| {
                    sum += weight(rank);
                    sum
                };
                (1..=count).map(add).collect()
            }
            _ => vec![],
        };
        Ok(Self {
            names,
            next: vec![0; by_partition.len()],
            by_partition,
            choice,
            partition,
            up_to,
        })
    }

    /// The key whose turn it is in `partition`: its number and its bytes. Without keys it has the number 0.
    pub(crate) fn turn(&self, partition: usize) -> (u32, Option<&str>) {
        let number = self.by_partition[partition].get(self.next[partition]);
        number.map_or((0, None), |number| (*number, self.name(*number)))
    }

    /// The bytes of a key.
    pub(crate) fn name(&self, number: u32) -> Option<&str> {
        self.names.get(number as usize).map(String::as_str)
    }

    /// Gives the turn in `partition` to its next key.
    pub(crate) fn advance(&mut self, partition: usize) {
        let keys = self.by_partition[partition].len().max(1);
        self.next[partition] = (self.next[partition] + 1) % keys;
    }

    /// The key of record `number` of a load, which the seed chooses, and its partition; `None` where each
    /// partition has its turn.
    pub(crate) fn choose(&self, seed: u64, number: u64) -> Option<(u32, usize)> {
        /// Not that of sizes.
        const SERIES: u64 = u64::MAX;
        let ChosenKeys { count, chosen, .. } = self.choice?;
        let unit = || draw::unit(seed, SERIES, number);
        let even =
            |unit: f64, count: u32| ((unit * f64::from(count)) as u32).min(count.saturating_sub(1));
        let key = match chosen {
            KeyChoice::RoundRobin => (number % u64::from(count.max(1))) as u32,
            KeyChoice::Uniform => even(unit(), count),
            KeyChoice::Zipf(_) => {
                let drawn = unit() * self.up_to.last().copied().unwrap_or_default();
                let rank = self.up_to.partition_point(|sum| *sum <= drawn) as u32;
                rank.min(count.saturating_sub(1))
            }
            KeyChoice::Hot(share) => {
                let drawn = unit();
                let others = (drawn - share) / (1.0 - share);
                if drawn < share || count < 2 { 0 } else { 1 + even(others, count - 1) }
            }
        };
        Some((key, *self.partition.get(key as usize)? as usize))
    }
}

impl KeySpec {
    /// Refuses a number of partitions of which one would have no key.
    ///
    /// # Errors
    /// [`LoadError::Keys`] with the first such partition.
    pub fn check_over(self, partitions: u32) -> Result<(), LoadError> {
        Keys::new(self, partitions).map(drop)
    }
}

/// The partition where `partitioner` puts `key`.
pub(crate) fn partition_of(key: &[u8], partitions: u32, partitioner: Partitioner) -> u32 {
    let of_librdkafka = match partitioner {
        Partitioner::Murmur2 => return (murmur2(key) & 0x7fff_ffff) % partitions,
        Partitioner::Consistent => sys::rd_kafka_msg_partitioner_consistent,
        Partitioner::Fnv1a => sys::rd_kafka_msg_partitioner_fnv1a,
    };
    let (bytes, count) = (key.as_ptr().cast::<c_void>(), partitions as i32);
    let none = ptr::null_mut();
    // SAFETY: the key's bytes are alive; a partitioner by the key alone looks at neither topic nor opaques.
    unsafe { of_librdkafka(ptr::null(), bytes, key.len(), count, none, none) as u32 }
}

/// Kafka's 32-bit murmur2 (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;
    let mut h = 0x9747_b28c ^ data.len() as u32;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_gives_the_values_of_kafkas_own_test() {
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()) as i32, expected, "{key}");
        }
        for (key, expected) in
            [("kafka", 0xd067_cf64_u32), ("1234", 0x9fc9_7b14), ("", 0x106e_08d9)]
        {
            assert_eq!(murmur2(key.as_bytes()), expected, "{key}");
        }
    }

    fn chosen(count: u32, chosen: KeyChoice, partitioner: Partitioner) -> KeySpec {
        KeySpec::Chosen(ChosenKeys { count, chosen, partitioner })
    }

    #[test]
    fn a_partition_gets_its_own_keys_in_turn() {
        let mut keys = Keys::new(KeySpec::Spread(1000), 3).unwrap();
        assert_eq!(keys.choose(7, 0), None);
        let mut seen = std::collections::BTreeSet::new();
        for partition in 0..3 {
            let bucket = keys.by_partition[partition].len();
            let first = keys.turn(partition).0;
            for _ in 0..bucket {
                let (number, name) = keys.turn(partition);
                let name = name.unwrap().to_owned();
                assert_eq!(name, format!("user-{number:04}"));
                let of = partition_of(name.as_bytes(), 3, Partitioner::Murmur2);
                assert_eq!(of, partition as u32);
                assert!(seen.insert(number), "{name} twice in one round");
                keys.advance(partition);
            }
            assert_eq!(keys.turn(partition).0, first, "a new round begins");
        }
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn a_partition_without_a_key_is_named_and_no_keys_are_enough() {
        assert!(Keys::new(KeySpec::Spread(1), 3).is_err());
        assert!(Keys::new(chosen(1, KeyChoice::Uniform, Partitioner::Fnv1a), 3).is_err());
        let mut keys = Keys::new(KeySpec::None, 3).unwrap();
        keys.advance(2);
        assert_eq!((keys.turn(2), keys.choose(7, 0)), ((0, None), None));
    }

    #[test]
    fn a_chosen_key_is_as_frequent_as_is_said_and_has_one_partition() {
        let counted = |choice| {
            let keys = Keys::new(chosen(100, choice, Partitioner::Murmur2), 3).unwrap();
            let mut counts = vec![0_u32; 100];
            for number in 0..100_000 {
                let (key, partition) = keys.choose(7, number).unwrap();
                assert_eq!(keys.choose(7, number), Some((key, partition)));
                let name = keys.name(key).unwrap();
                let of = partition_of(name.as_bytes(), 3, Partitioner::Murmur2);
                assert_eq!(of as usize, partition);
                counts[key as usize] += 1;
            }
            counts
        };
        assert!(counted(KeyChoice::RoundRobin).iter().all(|count| *count == 1000));
        let uniform = counted(KeyChoice::Uniform);
        assert!(uniform.iter().all(|count| count.abs_diff(1000) < 200), "{uniform:?}");
        let hot = counted(KeyChoice::Hot(0.4));
        assert!(hot[0].abs_diff(40_000) < 1000, "{hot:?}");
        assert!(hot[1..].iter().all(|count| count.abs_diff(606) < 150), "{hot:?}");
        let zipf = counted(KeyChoice::Zipf(1.0));
        // Of 100 keys the first has one in the sum of 1/r, which is 5.187.
        assert!(zipf[0].abs_diff(19_278) < 600 && zipf[9].abs_diff(1928) < 200, "{zipf:?}");
    }

    #[test]
    fn partitioners_of_others_are_theirs() {
        // CRC-32 of "123456789" is its check value, 0xcbf43926; FNV-1a of "a" is 0xe40c292c.
        let of = |key: &str, count, partitioner| partition_of(key.as_bytes(), count, partitioner);
        assert_eq!(of("123456789", 1000, Partitioner::Consistent), 0xcbf4_3926_u32 % 1000);
        // Sarama takes the hash for a signed number, and its amount.
        let signed = (0xe40c_292c_u32 as i32).unsigned_abs();
        assert_eq!(of("a", 1000, Partitioner::Fnv1a), signed % 1000);
        // SAFETY: as in `partition_of`.
        let theirs = |key: &str| unsafe {
            let (bytes, none) = (key.as_ptr().cast(), ptr::null_mut());
            sys::rd_kafka_msg_partitioner_murmur2(ptr::null(), bytes, key.len(), 1000, none, none)
        };
        for key in ["21", "foobar", "user-0007"] {
            assert_eq!(of(key, 1000, Partitioner::Murmur2), theirs(key) as u32);
        }
    }
}
