//! Whose turn it is: the partition of the next record, where its key does not say.
//!
//! Records with keys go to each partition in turn, so that every one is fed steadily. Those without keys stay with a
//! partition for a moment, as Kafka's clients have it (KIP-480; librdkafka's `sticky.partitioning.linger.ms`): batches
//! are fuller, and cost brokers less.

use std::time::Duration;

use results::record::clock::RunTime;

/// How long records without keys stay with a partition: librdkafka's default.
const STAYS: Duration = Duration::from_millis(10);

/// Every partition has its turn in this time.
const ROUND: Duration = Duration::from_millis(200);

/// The turns of partitions.
pub(super) struct Turns {
    has_keys: bool,
    /// Number of the turn of records without keys, and when it began.
    turn: (u64, RunTime),
}

impl Turns {
    pub(super) fn new(has_keys: bool) -> Self {
        Self { has_keys, turn: (0, RunTime(0)) }
    }

    /// Which of so many partitions has record `number`, which is due, or sent, at `at`.
    pub(super) fn of(&mut self, number: u64, at: RunTime, partitions: usize) -> usize {
        let partitions = partitions.max(1) as u64;
        if self.has_keys {
            return (number % partitions) as usize;
        }
        let (turn, began) = self.turn;
        let stays = STAYS.min(ROUND / u32::try_from(partitions).unwrap_or(u32::MAX));
        if began.plus(stays) <= at {
            self.turn = (turn + 1, at);
        }
        (self.turn.0 % partitions) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of so many partitions has a record in a second of so many.
    fn counts(has_keys: bool, per_s: u64, partitions: usize) -> Vec<u32> {
        let mut turns = Turns::new(has_keys);
        let mut counts = vec![0; partitions];
        for number in 0..per_s {
            counts[turns.of(number, RunTime(number * 1_000_000_000 / per_s), partitions)] += 1;
        }
        counts
    }

    #[test]
    fn records_without_keys_stay_with_a_partition_for_a_moment() {
        let mut turns = Turns::new(false);
        let at = |us: u64| RunTime(1_000_000_000 + us * 1000);
        let first = turns.of(0, at(0), 3);
        assert_eq!([1, 2].map(|number| turns.of(number, at(number * 4999), 3)), [first; 2]);
        assert_eq!(turns.of(3, at(10_000), 3), (first + 1) % 3);
        assert_eq!(turns.of(4, at(19_999), 3), (first + 1) % 3);
        assert_eq!(turns.of(5, at(20_000), 3), (first + 2) % 3);
        assert_eq!(turns.of(6, at(90_000), 3), first, "a turn is not left out");
    }

    #[test]
    fn every_partition_has_its_turn_at_any_rate() {
        for has_keys in [true, false] {
            for (per_s, partitions) in [(33, 3), (100, 3), (1000, 3), (100_000, 3), (50_000, 1000)]
            {
                let counts = counts(has_keys, per_s, partitions);
                let fewest = *counts.iter().min().unwrap();
                let even = per_s as f64 / partitions as f64;
                assert!(
                    f64::from(fewest) > even / 2.0,
                    "{has_keys} {per_s} {partitions}: {counts:?}"
                );
            }
        }
        assert_eq!(counts(true, 9, 3), [3, 3, 3]);
    }
}
