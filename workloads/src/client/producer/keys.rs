//! The keys of a load, sorted by the partition where any Kafka client's default partitioner puts
//! them: `(murmur2(key) & 0x7fffffff) % partitions`.
//!
//! The load picks the partition first (every partition is fed steadily) and then one of its keys.

/// The keys of a load.
#[derive(Debug)]
pub(crate) struct Keys {
    names: Vec<String>,
    by_partition: Vec<Vec<u32>>,
    next: Vec<usize>,
}

impl Keys {
    /// `count` keys over `partitions`. The error is the first partition that no key falls to.
    pub(crate) fn new(count: u32, partitions: u32) -> Result<Self, u32> {
        let names: Vec<String> = (0..count).map(|number| format!("user-{number:04}")).collect();
        let mut by_partition = vec![Vec::new(); partitions as usize];
        for (number, name) in (0..count).zip(&names) {
            by_partition[partition_of(name.as_bytes(), partitions) as usize].push(number);
        }
        if let Some(empty) = (0..partitions).find(|p| by_partition[*p as usize].is_empty()) {
            return Err(empty);
        }
        Ok(Self { names, next: vec![0; by_partition.len()], by_partition })
    }

    /// The key whose turn it is in `partition`: its number and its bytes.
    pub(crate) fn turn(&self, partition: usize) -> (u32, &str) {
        let number = self.by_partition[partition][self.next[partition]];
        (number, &self.names[number as usize])
    }

    /// Gives the turn in `partition` to its next key.
    pub(crate) fn advance(&mut self, partition: usize) {
        self.next[partition] = (self.next[partition] + 1) % self.by_partition[partition].len();
    }
}

/// The partition where the default partitioner of Kafka's clients puts `key`.
pub(crate) fn partition_of(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
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

    #[test]
    fn a_partition_gets_its_own_keys_in_turn() {
        let mut keys = Keys::new(1000, 3).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for partition in 0..3 {
            let bucket = keys.by_partition[partition].len();
            let first = keys.turn(partition).0;
            for _ in 0..bucket {
                let (number, name) = keys.turn(partition);
                assert_eq!(name, format!("user-{number:04}"));
                assert_eq!(partition_of(name.as_bytes(), 3), partition as u32);
                assert!(seen.insert(number), "{name} twice in one round");
                keys.advance(partition);
            }
            assert_eq!(keys.turn(partition).0, first, "a new round begins");
        }
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn a_partition_without_a_key_is_named() {
        assert!(Keys::new(1, 3).is_err());
    }
}
