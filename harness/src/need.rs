//! What a run takes of disk and memory, computed from what it is asked to do, before anything starts.
//!
//! The figures are upper bounds as far as they can be known: no compression, each record in a batch of its own,
//! nothing cleaned. More of anything never needs less. What there is, and where the data go, is in [`place`].

mod figures;
pub mod place;

pub use figures::{Kept, RunFigures, TopicFigures, jvms};

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes of a record in a broker's log beside its value: the header of a batch (61), that of the record, a key.
const PER_RECORD: f64 = 80.0;

/// Bytes of the servers' data that no record of the load is in: ZooKeeper's logs and snapshots, indexes, topics of
/// Kafka's own.
const SERVERS_BASE: f64 = 64.0 * MIB;

/// Bytes of a replica of a partition without records: its folder, files of a page each, and the first pages of its indexes.
const PER_REPLICA: f64 = 32.0 * 1024.0;

/// Bytes of a committed offset in its topic, each replica.
const PER_COMMIT: f64 = 250.0;

/// Bytes of the history for an event of a client: 7 of a send, 5 of a delivery and 2.5 of a record that was drained
/// were measured at 1 000 a second.
const PER_SEND: f64 = 16.0;
const PER_DELIVERY: f64 = 10.0;
const PER_DRAINED: f64 = 6.0;

/// Bytes of `events.jsonl` for each second: 350 were measured, and what the client says of three brokers.
const PER_SECOND_OF_EVENTS: f64 = 1600.0;

/// Bytes of a trial's other files: 1 MB of a run of a minute, most of it the servers' logs, which grow with the
/// seconds and with faults.
const FILES_BASE: f64 = 16.0 * MIB;
const PER_SECOND_OF_LOGS: f64 = 3000.0;

/// Memory of a JVM beside its heap: the six JVMs of the guide's cluster (1920 MiB of heap at most) took 1.35 GB,
/// of which metaspace, code and threads were about 100 MiB each.
const JVM_BESIDE_HEAP: u64 = 100 << 20;

/// Memory of a trial's process without what its clients hold.
const TRIAL_BASE: f64 = 64.0 * MIB;

/// Seconds of load that a producer holds while nobody acks: its delivery time-out and more.
const QUEUED_S: f64 = 150.0;

/// Bytes of a queued record beside its value.
const PER_QUEUED: f64 = 256.0;

/// What a consumer of librdkafka fetches ahead at most.
const FETCHED_AHEAD: f64 = 64.0 * MIB;

/// Memory of judging: what it takes anyway, of each record, and of each second of a trial.
const JUDGE_BASE: f64 = 64.0 * MIB;
const PER_JUDGED: f64 = 24.0;
const PER_JUDGED_SECOND: f64 = 20_000.0;

/// What a run takes, in bytes where nothing else is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The servers' data of one lab.
    pub data: u64,
    /// Memory of one lab beside its data: JVMs and clients.
    pub lab: u64,
    /// Memory of the judge, when the labs have ended.
    pub judge: u64,
    /// The run's directory, all trials.
    pub files: u64,
    /// The streams of one trial's history.
    pub history: u64,
    /// The events of one trial.
    pub events: u64,
    /// Records of one trial that are drained.
    pub records: u64,
    /// Seconds of load of one trial.
    pub seconds: u64,
    /// Labs at the same time.
    pub labs: u32,
}

impl Need {
    /// That of a run with these figures.
    pub fn of(figures: &RunFigures) -> Self {
        let seconds = figures.seconds;
        let topics = || figures.topics.iter();
        let written: f64 = topics().map(|topic| topic.held(seconds)).sum();
        let commits = figures.commits_per_s * seconds * PER_COMMIT * figures.commit_replicas;
        let replicas: f64 = topics().map(|topic| topic.partitions * topic.replicas).sum();
        let data = SERVERS_BASE + written + commits + replicas * PER_REPLICA;

        let queued = |topic: &TopicFigures| {
            topic.per_s * QUEUED_S.min(seconds) * (topic.bytes_each() + PER_QUEUED)
        };
        let once: f64 = topics().map(|topic| topic.per_s * seconds * topic.bytes_each()).sum();
        let ahead = f64::from(figures.consumers) * FETCHED_AHEAD.min(once);
        let lab = figures.jvms as f64 + TRIAL_BASE + topics().map(queued).sum::<f64>() + ahead;

        let sends: f64 = topics().map(|topic| topic.per_s * seconds).sum();
        let main: f64 =
            topics().filter(|topic| topic.is_main).map(|topic| topic.per_s * seconds).sum();
        let of_groups = main * f64::from(figures.groups) * PER_DELIVERY;
        let read = figures.reads_per_s * seconds * PER_DELIVERY;
        let history = sends * PER_SEND + of_groups + read + main * PER_DRAINED;
        let events = MIB + seconds * PER_SECOND_OF_EVENTS;
        let logs = FILES_BASE + seconds * PER_SECOND_OF_LOGS * f64::from(figures.servers);
        let files = f64::from(figures.trials) * (history + events + logs);
        let judge = JUDGE_BASE + sends * PER_JUDGED + seconds * PER_JUDGED_SECOND;
        // A number beyond all bounds is the largest one.
        Self {
            data: data as u64,
            lab: lab as u64,
            judge: judge as u64,
            files: files as u64,
            history: history as u64,
            events: events as u64,
            records: main as u64,
            seconds: seconds as u64,
            labs: figures.parallel.min(figures.trials),
        }
    }
}

#[cfg(test)]
mod tests;
