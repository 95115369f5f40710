//! The load's test of itself: whether a cluster that stalls can hide behind a generator that waits for it
//! (coordinated omission).
//!
//! A producer sends on its schedule to brokers that answer nothing for a while. Every record that was due meanwhile
//! has then waited until the end of the stall at least, whether it waited in the cluster, in the client's queue or,
//! since that was full, with kbench; and its response time must say so. The brokers are librdkafka's own mock
//! cluster, so that nothing is needed for it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::mocking::MockCluster;
use results::record::clock::{RunClock, RunTime};
use results::record::history::{Entry, History, Send};

use crate::error::LoadError;
use crate::load::{Load, LoadContext};
use crate::spec::{WorkloadSpec, shipped};
use crate::until::until;
use crate::wire::Connector;

const TOPIC: &str = "honesty";
const PARTITIONS: u32 = 3;

/// Records a second.
const RATE: u64 = 1000;

/// Records that the client queues: a tenth of those that are due in the stall, so that most have to wait with kbench.
const QUEUED: u64 = 100;

/// For how long the brokers answer nothing.
const STALL: Duration = Duration::from_secs(1);

/// How exactly the begin and the end of the stall are known: the calls that set it, and a linger.
const EDGE: Duration = Duration::from_millis(20);

/// Everything takes a fraction of this.
const LIMIT: Duration = Duration::from_secs(20);

/// How often it is looked whether the load has caught up.
const LOOK: Duration = Duration::from_millis(20);

/// What became of the records that were due while brokers stalled.
#[derive(Debug, Clone, PartialEq)]
pub struct HonestyFigures {
    /// Records that were due in the stall.
    pub due: usize,
    /// Records that should have been.
    pub expected: usize,
    /// Of those that were due, such whose response time is shorter than what was left of the stall.
    pub hidden: usize,
    /// Such whose time in the client is shorter: what a generator that waits would have hidden.
    pub hidden_by_waiting: usize,
    /// Median of their response times.
    pub response_p50: Duration,
    /// Median of their times in the client.
    pub service_p50: Duration,
}

impl HonestyFigures {
    /// Whether every record was sent, and no response time hides the stall.
    pub fn honest(&self) -> bool {
        self.hidden == 0 && self.due.abs_diff(self.expected) <= 1
    }
}

/// Measures a stall of mock brokers, which takes some seconds. `dir` is an empty folder for the history.
///
/// # Errors
/// When there is no mock cluster to be had, or the load does not run on it.
pub fn honesty(dir: &Path) -> Result<HonestyFigures, LoadError> {
    let mock = |source| LoadError::Request { client: "mock cluster".into(), what: "stall", source };
    let cluster = MockCluster::new(3).map_err(mock)?;
    cluster.create_topic(TOPIC, PARTITIONS as i32, 3).map_err(mock)?;
    let clock = RunClock::start();
    let context = LoadContext {
        bootstrap: cluster.bootstrap_servers(),
        connector: Connector::default(),
        run: 1,
        topic: TOPIC.into(),
        partitions: PARTITIONS,
        brokers: (1..=3).collect(),
        further: vec![],
        suffix: String::new(),
        probe_topic: None,
        history_dir: dir.into(),
        clock,
        seed: 1,
        worker: None,
        on_second: Box::new(|_, _| ()),
        on_event: Arc::new(|_, _| ()),
    };
    let load = Load::start(&spec()?, context)?;
    load.wait_warm(LIMIT)?;
    load.end_warm_up();
    let all_acked_since = |at: RunTime| until(LIMIT, LOOK, || load.live().acked_since(at));
    all_acked_since(clock.now());
    cluster.broker_round_trip_time(-1, STALL).map_err(mock)?;
    let begin = clock.now();
    std::thread::sleep(STALL);
    cluster.broker_round_trip_time(-1, Duration::ZERO).map_err(mock)?;
    let end = clock.now();
    all_acked_since(end.plus(EDGE));
    load.stop(LIMIT)?;
    let history = History::load(dir)
        .map_err(|source| LoadError::History { client: "history".into(), source })?;
    Ok(figures(&sends(&history), begin.plus(EDGE), end))
}

/// The smoke load's producer, faster and with a queue that is soon full.
fn spec() -> Result<WorkloadSpec, LoadError> {
    let text = shipped().iter().find(|(name, _)| *name == "smoke").map_or("", |(_, text)| text);
    let spec = WorkloadSpec::parse(text).map_err(|error| LoadError::Ended(error.to_string()))?;
    let mut spec = WorkloadSpec { consumers: None, probe: None, direct: None, ..spec };
    spec.load.rate = crate::spec::Rate::PerSecond(RATE);
    spec.producer.settings.insert("queue.buffering.max.messages".into(), QUEUED.to_string());
    Ok(spec)
}

fn sends(history: &History) -> Vec<Send> {
    let entries = history.streams.iter().flat_map(|stream| &stream.entries);
    let send = |entry: &Entry| match entry {
        Entry::Send(send) => Some(*send),
        _ => None,
    };
    entries.filter_map(send).collect()
}

/// What became of the sends that were due from `begin` until `end`, when the stall was over.
fn figures(sends: &[Send], begin: RunTime, end: RunTime) -> HonestyFigures {
    let due: Vec<_> = sends.iter().filter(|it| it.due >= begin && it.due < end).collect();
    let hides = |send: &Send, seen: Duration| seen + EDGE < end.since(send.due);
    let response = |send: &Send| send.done.since(send.due);
    let service = |send: &Send| send.done.since(send.sent);
    let count = |of: fn(&Send) -> Duration| due.iter().filter(|it| hides(it, of(it))).count();
    let median = |of: fn(&Send) -> Duration| {
        let mut all: Vec<_> = due.iter().map(|send| of(send)).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    HonestyFigures {
        due: due.len(),
        expected: (end.since(begin).as_nanos() * u128::from(RATE) / 1_000_000_000) as usize,
        hidden: count(response),
        hidden_by_waiting: count(service),
        response_p50: median(response),
        service_p50: median(service),
    }
}

#[cfg(test)]
mod tests {
    use results::record::history::SendOutcome;

    use super::*;

    #[test]
    fn a_stall_is_seen_by_every_record_that_was_due_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let figures = honesty(dir.path()).unwrap();
        assert!(figures.honest(), "{figures:?}");
        // It could have been hidden: a generator that waits sees next to nothing of it.
        assert!(figures.hidden_by_waiting > figures.due / 2, "{figures:?}");
        assert!(figures.response_p50 >= STALL / 3, "{figures:?}");
    }

    #[test]
    fn a_generator_that_waits_or_skips_is_not_honest() {
        let ms = |ms: u64| RunTime(ms * 1_000_000);
        let acked = |due, sent, done| Send {
            partition: 0,
            sequence: due,
            key: 0,
            warm_up: false,
            due: ms(due),
            sent: ms(sent),
            done: ms(done),
            outcome: SendOutcome::Acked { offset: 0 },
        };
        let judged = |sends: Vec<Send>| figures(&sends, ms(1000), ms(2000));
        let honest: Vec<_> = (0..3000)
            .map(|due| match due {
                1000..2000 => acked(due, due, 2000),
                _ => acked(due, due, due + 5),
            })
            .collect();
        assert!(judged(honest.clone()).honest());
        // One record waits, those after it become due later.
        let waits = (0..3000).map(|due| acked(due, due, if due == 1000 { 2000 } else { due + 5 }));
        assert_eq!(judged(waits.collect()).hidden, 974, "those of the last 25 ms may be so fast");
        let skips =
            honest.into_iter().filter(|send| !(1001..1999).contains(&(send.due.0 / 1_000_000)));
        assert!(!judged(skips.collect()).honest());
    }
}
