//! A model of what links let through: the bytes that the busiest broker gets and sends at a rate of records, and the
//! highest rate at which a limit of every link lets them pass.
//!
//! A record goes to its leader, from there to each other replica and to each group of consumers. On its way it takes its
//! value and [`BESIDE`].
//!
//! Absent: what ZooKeeper, probes and the observer take, compression, headers of packets beyond the first of a segment
//! that the kernel hands over in one (a lab's links count these), and queues: a link that has to take nearly all that it
//! can has none of the latency that an objective asks for. What is found stays some per cent below.

use std::collections::BTreeSet;

use crate::record::event::BrokerId;

/// Bytes of a record beside its value: its key, and its share of what frames it in batches, requests and packets. Measured
/// in labs whose links of 2 MB/s were their limit (records of 1 KiB, 600 a second and partition, 3 and 5 brokers): 40 to 42,
/// since batches grow there as records wait. At 300 to 450 a second, where hardly any wait, it was 109 to 135.
const BESIDE: f64 = 40.0;

/// What decides how many bytes a record makes on the brokers' links.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordFlow {
    /// Replicas of each partition, the leader first.
    pub replicas: Vec<Vec<BrokerId>>,
    /// Groups that read everything.
    pub groups: u32,
    /// A record's value, in bytes, on the average.
    pub record_bytes: f64,
}

impl RecordFlow {
    /// Bytes a record that the busiest broker gets and sends, where records go to the partitions in turn.
    fn busiest(&self) -> [f64; 2] {
        let of_partition = (self.record_bytes + BESIDE) / self.replicas.len().max(1) as f64;
        let of_broker = |broker: &BrokerId| {
            let copies = self.replicas.iter().filter(|all| all.contains(broker)).count();
            let led = self.replicas.iter().filter(|all| all.first() == Some(broker));
            // Of each partition that it leads: one way in, and out to the others and to the groups.
            let out = led.map(|all| all.len() - 1 + self.groups as usize).sum::<usize>();
            [copies, out].map(|times| times as f64 * of_partition)
        };
        let busier = |a: &[f64; 2], b: &[f64; 2]| a[0].max(a[1]).total_cmp(&b[0].max(b[1]));
        let all: BTreeSet<_> = self.replicas.iter().flatten().collect();
        all.into_iter().map(of_broker).max_by(busier).unwrap_or_default()
    }

    /// The highest rate, in records a second, at which links of so many bytes a second, each way, take everything; none
    /// where nothing goes over them.
    pub fn highest(&self, link_bytes_per_s: f64) -> Option<f64> {
        let [got, sent] = self.busiest();
        Some(link_bytes_per_s / got.max(sent)).filter(|rate| rate.is_finite())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow_over(replicas: Vec<Vec<BrokerId>>) -> RecordFlow {
        RecordFlow { replicas, groups: 1, record_bytes: 1024.0 }
    }

    /// Three copies of each, one broker after the other.
    fn flow(brokers: i32, partitions: i32) -> RecordFlow {
        let replicas = |first| (first..first + 3).map(|id| id % brokers).collect();
        flow_over((0..partitions).map(replicas).collect())
    }

    fn highest(flow: &RecordFlow) -> f64 {
        flow.highest(2e6).unwrap()
    }

    #[test]
    fn each_of_three_brokers_gets_everything_and_five_take_five_thirds_of_it() {
        // All is copied to all three, and each sends as many bytes: of a third, two copies and one to the group.
        assert_eq!(flow(3, 3).busiest(), [1064.0, 1064.0]);
        assert!((highest(&flow(3, 3)) - 2e6 / 1064.0).abs() < 1e-6);
        let ratio = highest(&flow(5, 5)) / highest(&flow(3, 3));
        assert!((ratio - 5.0 / 3.0).abs() < 1e-6, "{ratio}");
        // Three partitions leave two of five brokers without a leader.
        let uneven = highest(&flow(5, 3)) / highest(&flow(3, 3));
        assert!(uneven < 1.1, "{uneven}");
        let of_two = RecordFlow { groups: 2, ..flow(3, 3) };
        assert!(highest(&of_two) < 0.8 * highest(&flow(3, 3)));
    }

    #[test]
    fn what_the_others_had_anyway_they_have_when_one_broker_is_away() {
        let without_readers = |flow: RecordFlow| highest(&RecordFlow { groups: 0, ..flow });
        // Each partition is led by the next of its replicas.
        let left = |brokers, away| {
            let stay = |replicas: Vec<BrokerId>| replicas.into_iter().filter(|id| *id != away);
            let whole = flow(brokers, brokers).replicas.into_iter();
            flow_over(whole.map(|replicas| stay(replicas).collect()).collect())
        };
        // As the suites' searches have them, whose brokers count from 1.
        assert_eq!(left(3, 2).replicas, [[0, 1], [1, 0], [0, 1]]);
        let four = [vec![0, 1, 2], vec![1, 2, 3], vec![2, 3], vec![3, 0], vec![0, 1]];
        assert_eq!(left(5, 4).replicas, four);
        for (brokers, away) in [(3, 0), (3, 1), (3, 2), (5, 0), (5, 1), (5, 2), (5, 3), (5, 4)] {
            let whole = without_readers(flow(brokers, brokers));
            let ratio = without_readers(left(brokers, away)) / whole;
            assert!((ratio - 1.0).abs() < 1e-6, "{brokers} without {away}: {ratio}");
        }
        assert_eq!(flow_over(vec![]).highest(2e6), None);
    }
}
