//! A mock cluster to put load on, and what the tests ask of a load and its history.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};
use rdkafka_sys as sys;
use results::judge::check::CheckContext;
use results::judge::verdict::Verdict;
use results::record::clock::{RunClock, RunTime};
use results::record::event::{ClientTimes, EventKind, Second};
use results::record::history::{Entry, History, Send, Stream};
use workloads::{
    DrainSummary, DrainTask, Load, LoadContext, Patience, WorkloadSpec, drain, shipped,
};

pub(crate) const TOPIC: &str = "user-events";
pub(crate) const PROBES: &str = "probes";
pub(crate) const RUN: u64 = 42;

/// Everything here takes a fraction of this; it only ends a test that hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// How long a group of the mock waits for further members when the first joins, instead of 3 s.
const JOIN_DELAY_MS: i32 = 1000;

/// A mock cluster with a topic for load and one for probes, and a history.
pub(crate) struct Lab {
    /// The mock cluster lives in this client, which does nothing else.
    broker: BaseProducer,
    pub(crate) clock: RunClock,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) worker: Option<fn() -> Command>,
    /// What clients told.
    told: Arc<Mutex<Vec<(RunTime, EventKind)>>>,
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::with_partitions(3)
    }

    /// With so many partitions of the main topic; loads are told of three.
    pub(crate) fn with_partitions(partitions: i32) -> Self {
        let broker: BaseProducer =
            ClientConfig::new().set("test.mock.num.brokers", "3").create().unwrap();
        // SAFETY: the client is alive, and so is the mock cluster that it was configured to have.
        unsafe {
            let mock = sys::rd_kafka_handle_mock_cluster(broker.client().native_ptr());
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(mock, JOIN_DELAY_MS);
        }
        let dir = tempfile::tempdir().unwrap();
        let lab =
            Self { broker, clock: RunClock::start(), dir, worker: None, told: Arc::default() };
        lab.cluster().create_topic(TOPIC, partitions, 3).unwrap();
        lab.cluster().create_topic(PROBES, 3, 3).unwrap();
        lab
    }

    pub(crate) fn cluster(&self) -> MockCluster<'_, DefaultProducerContext> {
        self.broker.client().mock_cluster().unwrap()
    }

    /// What clients told of their ends until now.
    pub(crate) fn told(&self) -> Vec<(RunTime, EventKind)> {
        let mut told = self.told.lock().unwrap().clone();
        told.retain(|(_, kind)| !matches!(kind, EventKind::ClientTimes(_)));
        told
    }

    /// Where clients said until now that time went.
    pub(crate) fn times(&self) -> Vec<ClientTimes> {
        let told = self.told.lock().unwrap();
        let times = told.iter().filter_map(|(_, kind)| match kind {
            EventKind::ClientTimes(times) => Some(times.clone()),
            _ => None,
        });
        times.collect()
    }

    pub(crate) fn context(&self) -> LoadContext {
        let told = Arc::clone(&self.told);
        LoadContext {
            bootstrap: self.cluster().bootstrap_servers(),
            connector: workloads::wire::Connector::default(),
            run: RUN,
            topic: TOPIC.into(),
            partitions: 3,
            brokers: (1..=3).collect(),
            further: vec![],
            suffix: String::new(),
            probe_topic: Some(PROBES.into()),
            history_dir: self.dir.path().into(),
            clock: self.clock,
            seed: 7,
            worker: self.worker,
            on_second: Box::new(|_, _| ()),
            on_event: Arc::new(move |at, kind| told.lock().unwrap().push((at, kind))),
        }
    }

    pub(crate) fn start(&self, spec: &WorkloadSpec) -> (Load, Receiver<(RunTime, Second)>) {
        let (out, seconds) = channel();
        let on_second = Box::new(move |at, second| drop(out.send((at, second))));
        let mut load = Load::start(spec, LoadContext { on_second, ..self.context() }).unwrap();
        load.start_group().unwrap();
        (load, seconds)
    }

    pub(crate) fn drain(&self, partitions: u32, stuck: Duration) -> DrainSummary {
        self.drain_topic((TOPIC, "drain"), partitions, stuck)
    }

    /// The drain of a topic into a stream.
    pub(crate) fn drain_topic(
        &self,
        (topic, stream): (&str, &str),
        partitions: u32,
        stuck: Duration,
    ) -> DrainSummary {
        let bootstrap = self.cluster().bootstrap_servers();
        let task = DrainTask {
            bootstrap: &bootstrap,
            security: &workloads::Security::default(),
            topic,
            partitions,
            run: RUN,
            stream,
            history_dir: self.dir.path(),
            clock: self.clock,
            patience: Patience { stuck, ..Patience::default() },
        };
        drain(task, &mut |_, _| (), &|| false).unwrap()
    }

    pub(crate) fn history(&self) -> BTreeMap<String, Stream> {
        let history = History::load(self.dir.path()).unwrap();
        let named = |stream: Stream| (stream.name.clone(), stream);
        history.streams.into_iter().map(named).collect()
    }
}

/// The shipped smoke load with some of its text replaced.
pub(crate) fn spec(changes: &[(&str, &str)]) -> WorkloadSpec {
    let mut text = shipped().iter().find(|(name, _)| *name == "smoke").unwrap().1.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    // The mock's group waits for almost a session time-out when somebody joins late or leaves.
    let settings = "settings = { \"session.timeout.ms\" = \"2000\", \
                    \"heartbeat.interval.ms\" = \"200\" }\ncommit_interval";
    text = text.replace("commit_interval", settings);
    WorkloadSpec::parse(&text).unwrap()
}

/// As `spec`, but only the main producer: nobody joins anything.
pub(crate) fn producer_only(changes: &[(&str, &str)]) -> WorkloadSpec {
    WorkloadSpec { consumers: None, probe: None, direct: None, ..spec(changes) }
}

/// Waits until `n` more seconds of the load's own have ended that began now or later; their figures, and
/// those of the one that had begun.
pub(crate) fn wait(lab: &Lab, seconds: &Receiver<(RunTime, Second)>, n: u64) -> Vec<Second> {
    let from = lab.clock.now();
    let until = from.plus(Duration::from_secs(n));
    let mut ended = Vec::new();
    loop {
        let (at, second) = seconds.recv_timeout(LIMIT).unwrap();
        if at > from {
            ended.push(second);
        }
        if at >= until {
            return ended;
        }
    }
}

/// Lets the load run for so long.
pub(crate) fn run_for(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

/// Waits until `met`, with an end and a word of why it is not.
pub(crate) fn await_that(load: &Load, met: &dyn Fn(&Load) -> bool) {
    /// How often it is looked.
    const LOOK: Duration = Duration::from_millis(20);
    let deadline = std::time::Instant::now() + LIMIT;
    while !met(load) {
        let live = load.live();
        let owners: Vec<_> = (0..live.partitions()).map(|p| live.owner(p)).collect();
        assert_eq!(live.failure(), None);
        let clients = load.clients();
        let late = std::time::Instant::now() >= deadline;
        let consumed: Vec<_> = (0..live.partitions()).map(|p| live.consumed_offset(p)).collect();
        let ends = (live.acked_ends(), consumed, live.lag());
        assert!(!late, "acked and consumed: {ends:?}; read by {owners:?}, {clients:?}");
        std::thread::sleep(LOOK);
    }
}

pub(crate) fn sends(stream: &Stream) -> Vec<Send> {
    let send = |entry: &Entry| match entry {
        Entry::Send(send) => *send,
        other => panic!("a producer's stream holds sends only: {other:?}"),
    };
    stream.entries.iter().map(send).collect()
}

/// No check finds anything in the history. It has been drained.
pub(crate) fn check_all(history: &History) {
    for check in results::judge::check::all(history, &CheckContext::default()).unwrap() {
        assert_eq!(check.verdict, Verdict::Valid, "{check:?}");
    }
}

pub(crate) fn check_sequences_of(sends: &[Send]) {
    let unique: BTreeSet<_> = sends.iter().map(|send| (send.partition, send.sequence)).collect();
    assert_eq!(unique.len(), sends.len());
}
