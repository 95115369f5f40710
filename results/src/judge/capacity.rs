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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RecordFlow {
    /// Brokers.
    pub brokers: u32,
    /// Partitions, whose leaders and replicas are spread as evenly as can be.
    pub partitions: u32,
    /// Copies of each.
    pub replication_factor: u32,
    /// Groups that read everything.
    pub groups: u32,
    /// A record's value, in bytes, on the average.
    pub record_bytes: f64,
    /// How long the producer lets records wait for others, in seconds.
    pub linger_s: f64,
}

impl RecordFlow {
    /// Bytes a second that the busiest broker gets and sends at so many records a second.
    pub fn busiest(&self, per_s: f64) -> [f64; 2] {
        let (partitions, brokers) = (self.partitions.max(1), self.brokers.max(1));
        let of_partition = per_s / f64::from(partitions);
        let batch = (of_partition * self.linger_s).max(1.0);
        let record = self.record_bytes + BESIDE;
        let with = record * (1.0 + HEADERS / SEGMENT) + PER_BATCH / batch;
        let against = AGAINST / batch + record * HEADERS / (2.0 * SEGMENT);
        // Of each partition that it leads: one way in, and out to the others and to the groups.
        let led = f64::from(partitions.div_ceil(brokers));
        let copies = f64::from((partitions * self.replication_factor).div_ceil(brokers));
        let others = f64::from(self.replication_factor.saturating_sub(1) + self.groups);
        let (got, sent) = (copies, led * others);
        [got * with + sent * against, sent * with + got * against].map(|bytes| bytes * of_partition)
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

    fn flow(brokers: u32, partitions: u32) -> RecordFlow {
        let (replication_factor, groups) = (3, 1);
        let (record_bytes, linger_s) = (1024.0, 0.01);
        RecordFlow { brokers, partitions, replication_factor, groups, record_bytes, linger_s }
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
    fn the_highest_rate_fills_the_link() {
        let rate = flow(3, 3).highest(3e6);
        let [got, sent] = flow(3, 3).busiest(rate);
        assert!((got.max(sent) - 3e6).abs() < 1.0, "{got} {sent}");
        assert!((2000.0..3000.0).contains(&rate), "{rate}");
        assert!(flow(3, 3).highest(0.0) < 1e-9);
    }
}
