//! Where clients place keys by themselves.
//!
//! Java's default partitioner is stood in for by librdkafka's `murmur2_random`, which places keys as it does (a test in
//! `workloads` holds it to hashes of Kafka's own tests); no client of Java runs here.

use results::record::event::probe::{ClusterProbe, KeysSeen, ProbeSaw};

use super::{Probes, Saw, aside};

/// Keys; of those a third would stay by chance where two partitioners have nothing to do with each other.
const KEYS: usize = 200;

/// Partitions of the topic, and of the one that has grown: the guide's.
const PARTITIONS: usize = 3;
const MORE: usize = 5;

/// As librdkafka's documentation has it of `partitioner`.
const DEFAULT: &str = "librdkafka's default partitioner (consistent_random: CRC-32)";
const MURMUR2: &str = "murmur2_random, which is the default of Java's client";

impl Probes<'_> {
    pub(super) async fn keys(&self, probe: ClusterProbe) -> Saw {
        let topic = self.topic(probe, PARTITIONS).await?;
        let keys: Vec<_> = (0..KEYS).map(|n| format!("user-{n}")).collect();
        let first = self.placed(&topic, None, &keys).await?;
        let again = match probe {
            ClusterProbe::KeysAcrossPartitions => {
                let added = self.lab.admin.add_partitions(&topic, MORE as u32);
                added.await.map_err(|error| error.to_string())?;
                None
            }
            ClusterProbe::KeysOfTwoClients => Some("murmur2_random"),
            _ => None,
        };
        let second = self.placed(&topic, again, &keys).await?;
        let of = |partitioner: &str, partitions: usize| {
            format!("{partitioner}, {partitions} partitions")
        };
        let sent = match probe {
            ClusterProbe::KeysAcrossPartitions => [of(DEFAULT, PARTITIONS), of(DEFAULT, MORE)],
            ClusterProbe::KeysOfTwoClients => [of(DEFAULT, PARTITIONS), of(MURMUR2, PARTITIONS)],
            _ => [of(DEFAULT, PARTITIONS), "the same sent again".to_owned()],
        };
        Ok(ProbeSaw::Keys(compared(sent, &keys, &first, &second)))
    }

    async fn placed(
        &self,
        topic: &str,
        partitioner: Option<&'static str>,
        keys: &[String],
    ) -> Result<Vec<i32>, String> {
        let (client, keys) = (self.client(topic.to_owned()), keys.to_owned());
        aside(move || client.place(partitioner, &keys)).await
    }
}

fn compared(sent: [String; 2], keys: &[String], first: &[i32], second: &[i32]) -> KeysSeen {
    let both = keys.iter().zip(first.iter().zip(second));
    let moved: Vec<_> = both.clone().filter(|(_, (first, second))| first != second).collect();
    let example = moved
        .first()
        .map(|(key, (first, second))| format!("key {key} in partition {first}, then in {second}"));
    KeysSeen { sent, keys: both.count() as u64, moved: moved.len() as u64, example }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_moved_are_counted_and_one_is_named() {
        let keys = ["a", "b", "c"].map(str::to_owned);
        let sent = || ["x".to_owned(), "y".to_owned()];
        let seen = compared(sent(), &keys, &[0, 1, 2], &[0, 2, 1]);
        assert_eq!((seen.keys, seen.moved), (3, 2));
        assert_eq!(seen.example.as_deref(), Some("key b in partition 1, then in 2"));
        let same = compared(sent(), &keys, &[0, 1, 2], &[0, 1, 2]);
        assert_eq!((same.keys, same.moved, same.example), (3, 0, None));
    }
}
