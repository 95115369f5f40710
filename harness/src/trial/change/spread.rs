//! An assignment as `kafka-reassign-partitions.sh --generate` proposes it: Kafka's own placement of each topic.

use std::collections::BTreeMap;

use faults::port::Assignment;
use results::record::event::BrokerId;
use results::terminal::counted;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::failure::Failure;
use crate::topology::round_robin;

/// Kafka's placement of the same partitions, with as many replicas as they have, over `brokers` in order. Where Kafka
/// draws the first broker of a topic at random, `seed` decides; the distance to the first follower, which it draws,
/// too, is 1.
///
/// # Errors
/// When there are fewer brokers than a partition has replicas.
pub(super) fn generated(
    now: &Assignment,
    brokers: &[BrokerId],
    seed: u64,
) -> Result<Assignment, Failure> {
    let most = now.values().map(Vec::len).max().unwrap_or_default();
    if brokers.len() < most {
        let brokers = counted(brokers.len() as u64, "broker");
        let what = format!("a partition has {most} replicas, and {brokers} can take them");
        return Err(Failure::infrastructure(what));
    }
    let mut topics: BTreeMap<&str, Vec<(i32, usize)>> = BTreeMap::new();
    for ((topic, partition), replicas) in now {
        topics.entry(topic).or_default().push((*partition, replicas.len()));
    }
    let mut spread = Assignment::new();
    for (topic, partitions) in topics {
        let start = xxh3_64_with_seed(topic.as_bytes(), seed) as usize % brokers.len().max(1);
        let factor = partitions.iter().map(|(_, factor)| *factor).max().unwrap_or_default();
        let placed = round_robin(brokers, partitions.len(), factor, start);
        for ((partition, _), replicas) in partitions.into_iter().zip(placed) {
            spread.insert((topic.to_owned(), partition), replicas);
        }
    }
    Ok(spread)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_broker_leads_one_partition_and_holds_three() {
        let now = (0..5).map(|n| (("a".to_owned(), n), vec![1, 2, 3])).collect();
        let starts: BTreeSet<BrokerId> = (0..20)
            .map(|seed| {
                let spread = generated(&now, &[1, 2, 3, 4, 5], seed).unwrap();
                for broker in 1..=5 {
                    let leads = spread.values().filter(|it| it[0] == broker).count();
                    let holds = spread.values().filter(|it| it.contains(&broker)).count();
                    assert_eq!((leads, holds), (1, 3), "broker {broker}");
                }
                spread[&("a".to_owned(), 0)][0]
            })
            .collect();
        assert_eq!(starts.len(), 5, "the seed decides where a topic begins: {starts:?}");
    }

    #[test]
    fn replicas_go_to_no_fewer_brokers_than_there_are_of_them() {
        let now = Assignment::from([(("a".to_owned(), 0), vec![1, 2, 3])]);
        for brokers in [&[][..], &[3], &[1, 3]] {
            let refused = generated(&now, brokers, 1).unwrap_err();
            assert!(refused.text().contains("3 replicas"), "{}", refused.text());
        }
        let one = Assignment::from([(("a".to_owned(), 0), vec![1])]);
        assert_eq!(generated(&one, &[2], 1).unwrap()[&("a".to_owned(), 0)], [2]);
    }
}
