//! A model of what links let through: the bytes that the busiest broker gets and sends at a rate of records, and the
//! highest rate at which a limit of every link lets them pass.
//!
//! A record goes to its leader, from there to each other replica and to each group of consumers. On its way it takes its
//! value, [`BESIDE`] bytes of key and framing, and Ethernet's, IP's and TCP's headers: 66 bytes a segment of 1448. Each
//! batch adds [`PER_BATCH`] bytes (its own header, that of the request or response, headers of packets that are not full);
//! against the way of the data goes [`AGAINST`] for each batch (the answer, or the request of a fetch) and an ack of 66
//! bytes for two segments. A batch has what is due in a partition while the producer lingers, and one record at least.
//!
//! Absent: what ZooKeeper, probes and the observer take, compression, several producers, and queues: a link that has to
//! take nearly all that it can has none of the latency that an objective asks for.

use std::collections::BTreeSet;

use crate::record::event::BrokerId;

/// Bytes of a record beside its value: its key, framing.
const BESIDE: f64 = 24.0;

/// Bytes of a batch beside its records, with the data.
const PER_BATCH: f64 = 250.0;

/// Bytes of a batch against the way of the data.
const AGAINST: f64 = 200.0;

/// Bytes of a segment's data, and those of its headers.
const SEGMENT: f64 = 1448.0;
const HEADERS: f64 = 66.0;

/// What decides how many bytes a record makes on the brokers' links.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordFlow {
    /// Replicas of each partition, the leader first.
    pub replicas: Vec<Vec<BrokerId>>,
    /// Groups that read everything.
    pub groups: u32,
    /// A record's value, in bytes, on the average.
    pub record_bytes: f64,
    /// How long the producer lets records wait for others, in seconds.
    pub linger_s: f64,
}

impl RecordFlow {
    /// Bytes a second that the busiest broker gets and sends at so many records a second, which go to the partitions in
    /// turn.
    pub fn busiest(&self, per_s: f64) -> [f64; 2] {
        let of_partition = per_s / self.replicas.len().max(1) as f64;
        let batch = (of_partition * self.linger_s).max(1.0);
        let record = self.record_bytes + BESIDE;
        let with = record * (1.0 + HEADERS / SEGMENT) + PER_BATCH / batch;
        let against = AGAINST / batch + record * HEADERS / (2.0 * SEGMENT);
        let of_broker = |broker: &BrokerId| {
            let copies = self.replicas.iter().filter(|all| all.contains(broker)).count();
            let led = self.replicas.iter().filter(|all| all.first() == Some(broker));
            // Of each partition that it leads: one way in, and out to the others and to the groups.
            let out = led.map(|all| all.len() - 1 + self.groups as usize).sum::<usize>();
            let (got, sent) = (copies as f64, out as f64);
            let both = [got * with + sent * against, sent * with + got * against];
            both.map(|bytes| bytes * of_partition)
        };
        let busier = |a: &[f64; 2], b: &[f64; 2]| a[0].max(a[1]).total_cmp(&b[0].max(b[1]));
        let all: BTreeSet<_> = self.replicas.iter().flatten().collect();
        all.into_iter().map(of_broker).max_by(busier).unwrap_or_default()
    }

    /// The highest rate, in records a second, at which links of so many bytes a second, each way, take everything.
    pub fn highest(&self, link_bytes_per_s: f64) -> f64 {
        let fits = |per_s: f64| self.busiest(per_s).iter().all(|bytes| *bytes <= link_bytes_per_s);
        let (mut kept, mut missed) = (0.0, link_bytes_per_s);
        for _ in 0..60 {
            let middle = f64::midpoint(kept, missed);
            if fits(middle) { kept = middle } else { missed = middle }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow_over(replicas: Vec<Vec<BrokerId>>) -> RecordFlow {
        RecordFlow { replicas, groups: 1, record_bytes: 1024.0, linger_s: 0.01 }
    }

    /// Three copies of each, one broker after the other.
    fn flow(brokers: i32, partitions: i32) -> RecordFlow {
        let replicas = |first| (first..first + 3).map(|id| id % brokers).collect();
        flow_over((0..partitions).map(replicas).collect())
    }

    #[test]
    fn each_of_three_brokers_gets_everything_and_five_take_five_thirds_of_it() {
        // All is copied to all three, and each sends as many bytes: of a third, two copies and one to the group.
        let [got, sent] = flow(3, 3).busiest(3000.0);
        let alone = 3000.0 * (1024.0 + BESIDE);
        assert!((1.05..1.25).contains(&(got / alone)), "{}", got / alone);
        assert!((got / sent - 1.0).abs() < 1e-9, "{got} {sent}");
        let ratio = flow(5, 5).highest(2e6) / flow(3, 3).highest(2e6);
        assert!((ratio - 5.0 / 3.0).abs() < 0.01, "{ratio}");
        // Three partitions leave two of five brokers without a leader.
        let uneven = flow(5, 3).highest(2e6) / flow(3, 3).highest(2e6);
        assert!(uneven < 1.1, "{uneven}");
        let of_two = RecordFlow { groups: 2, ..flow(3, 3) };
        assert!(of_two.highest(2e6) < 0.8 * flow(3, 3).highest(2e6));
    }

    #[test]
    fn what_the_others_had_anyway_they_have_when_one_broker_is_away() {
        let without_readers = |flow: RecordFlow| RecordFlow { groups: 0, ..flow }.highest(2e6);
        let three = without_readers(flow(3, 3));
        let two = without_readers(flow_over(vec![vec![0, 1], vec![1, 0], vec![0, 1]]));
        assert!((1.0..1.1).contains(&(two / three)), "{two} {three}");
        let five = without_readers(flow(5, 5));
        let four = [vec![0, 1, 2], vec![1, 2, 3], vec![2, 3], vec![3, 0], vec![0, 1]];
        let four = without_readers(flow_over(four.to_vec()));
        assert!((0.95..1.1).contains(&(four / five)), "{four} {five}");
        assert_eq!(flow_over(vec![]).busiest(1000.0), [0.0, 0.0]);
    }

    #[test]
    fn the_highest_rate_fills_the_link() {
        let rate = flow(3, 3).highest(3e6);
        let [got, sent] = flow(3, 3).busiest(rate);
        assert!((got.max(sent) - 3e6).abs() < 1.0, "{got} {sent}");
        assert!((2000.0..3000.0).contains(&rate), "{rate}");
        assert!(flow(3, 3).highest(0.0) < 1e-9);
    }
}
