//! Synthetic trials for tests: a small builder of events and history that agree with each other.
//!
//! Three brokers, RF 3, broker 1 coordinates the group, topic `user-events` with partition p led by broker p + 1, probe topic
//! `probe` led alike. Sends are due every 20 ms on each partition and acked after 3 ms, unless an
//! outage says otherwise. Times are seconds.

pub(crate) mod files;
mod streams;

use std::collections::{BTreeSet, VecDeque};

use crate::judge::claim;
use crate::judge::offer::Offer;
use crate::judge::recovery::consuming::phases::OFFSETS_TOPIC;
use crate::record::clock::RunTime;
use crate::record::environment::{Environment, Settings};
use crate::record::event::{
    BrokerId, Detection, Effect, Event, EventKind, MetadataPlane, Process, Risk, Role, Stage, Takes,
};
use crate::record::history::*;
use crate::record::integrity::Integrity;
use crate::record::seal::Checksum;
use crate::record::trial::TrialRecord;
use crate::report::{Question, RunMeta};

/// The run's spec; nothing here reads it.
pub(crate) const SPEC_TEXT: &str = "run_id = \"2026-11-23T080000Z-test-abc\"\ntrials = 1\n";
/// Topic of the main load.
pub(crate) const TOPIC: &str = "user-events";
/// Topic of the acks=1 probe.
pub(crate) const PROBE: &str = "probe";
const EVERY_S: f64 = 0.02;
/// A consumer commits after so many records of a partition.
const COMMIT_EVERY: u64 = 500;
const PLANE: MetadataPlane = MetadataPlane::Zookeeper;

/// A time in which a partition does not answer one kind of client; `to` none: never again.
struct Outage {
    stream: &'static str,
    partition: i32,
    from: f64,
    to: Option<f64>,
}

/// Builds one trial.
pub(crate) struct Fixture {
    number: u32,
    /// The events so far; tests may change them.
    pub(crate) events: Vec<Event>,
    outages: Vec<Outage>,
    /// When each life of the main producer ended with a fatal error, and the next began.
    lives: Vec<(f64, f64)>,
    load: (f64, f64),
    epoch: i32,
    /// Whether there is a direct producer; its records are in no log.
    pub(crate) direct: bool,
}

/// The effect of a kill.
pub(crate) const KILL: Effect =
    Effect { takes: Takes::Processes, detection: Detection::SessionExpiry, risk: Risk::Process };

/// A broker of the cluster.
pub(crate) fn broker(id: BrokerId) -> Process {
    Process { node: format!("node{id}"), role: Role::Broker, id }
}

pub(crate) fn at(seconds: f64) -> RunTime {
    RunTime::from_secs_f64(seconds)
}

impl Fixture {
    /// A healthy cluster with load from 10 s to `load_end`; broker 3 is the controller.
    pub(crate) fn new(number: u32, load_end: f64) -> Self {
        let (events, outages, lives) = (vec![], vec![], vec![]);
        let load = (10.0, load_end);
        let mut f = Self { number, events, outages, lives, load, epoch: 1, direct: false };
        let run_id = "2026-11-23T080000Z-test-abc".to_owned();
        let (wall_at_start_ms, spec) = (1_000_000, Checksum::of(SPEC_TEXT.as_bytes()));
        f.at(0.0, EventKind::TrialStarted { run_id, trial: number, wall_at_start_ms, spec });
        f.stage(0.0, Stage::Starting);
        for broker in 1..=3 {
            f.at(
                3.0,
                EventKind::BrokerRegistered { plane: PLANE, broker, session: 1, ctime_ms: 0 },
            );
        }
        f.at(3.0, EventKind::ControllerElected { plane: PLANE, broker: 3, ctime_ms: 0 });
        f.at(3.0, EventKind::ControllerEpoch { plane: PLANE, epoch: 1 });
        for partition in 0..3 {
            let isr = [1, 2, 3];
            f.state(4.0, TOPIC, partition, partition + 1, &isr);
            f.state(4.0, PROBE, partition, partition + 1, &isr);
            for (observer, topic) in (1..=3).flat_map(|broker| [(broker, TOPIC), (broker, PROBE)]) {
                f.metadata(4.0, observer, topic, partition, partition + 1, &isr);
            }
        }
        f.state(4.0, OFFSETS_TOPIC, 0, 1, &[1, 2, 3]);
        f.stage(5.0, Stage::WarmingUp);
        f.stage(10.0, Stage::Baseline);
        f.stage(20.0, Stage::Faults);
        f
    }

    pub(crate) fn at(&mut self, seconds: f64, kind: EventKind) -> &mut Self {
        self.events.push(Event { at: at(seconds), kind });
        self
    }

    fn stage(&mut self, seconds: f64, stage: Stage) {
        self.at(seconds, EventKind::Stage { stage });
    }

    pub(crate) fn state(&mut self, s: f64, topic: &str, partition: i32, leader: i32, isr: &[i32]) {
        let topic = topic.to_owned();
        let (leader_epoch, isr) = (self.epoch, isr.to_vec());
        self.at(
            s,
            EventKind::PartitionState {
                plane: PLANE,
                topic,
                partition,
                leader,
                leader_epoch,
                isr,
                mtime_ms: 0,
            },
        );
    }

    fn metadata(
        &mut self,
        s: f64,
        observer: i32,
        topic: &str,
        partition: i32,
        leader: i32,
        isr: &[i32],
    ) {
        let topic = topic.to_owned();
        let (leader_epoch, isr) = (self.epoch, isr.to_vec());
        self.at(
            s,
            EventKind::MetadataSeen { observer, topic, partition, leader, leader_epoch, isr },
        );
    }

    /// Begins a kill of `brokers` at `s`, proven.
    pub(crate) fn inject(&mut self, id: &str, s: f64, brokers: &[BrokerId]) {
        let fault_id = id.to_owned();
        self.at(s - 1.0, EventKind::AwaitingSteady { fault_id: fault_id.clone() });
        self.at(
            s,
            EventKind::FaultInjecting {
                fault_id: fault_id.clone(),
                fault: "kill".to_owned(),
                target: id.to_owned(),
                victims: brokers.iter().map(|id| broker(*id)).collect(),
                effect: KILL,
            },
        );
        let evidence = vec!["process gone: signal 9".to_owned()];
        let (took_s, shown_s) = (Some(0.0004), Some(0.009));
        let injected =
            EventKind::FaultInjected { fault_id, evidence, proven: true, took_s, shown_s };
        self.at(s + 0.01, injected);
    }

    /// Registrations of `brokers` go at `gone`; the cluster reacts 20 ms later, metadata 50 ms after
    /// that. A new controller (`controller`) is elected when the old one was among them.
    pub(crate) fn detect(&mut self, gone: f64, brokers: &[BrokerId], controller: Option<BrokerId>) {
        self.epoch += 1;
        for broker in brokers {
            self.at(gone, EventKind::BrokerGone { plane: PLANE, broker: *broker });
        }
        let live: Vec<i32> = (1..=3).filter(|b| !brokers.contains(b)).collect();
        if let Some(new) = controller {
            self.at(gone, EventKind::ControllerGone { plane: PLANE });
            self.at(
                gone + 0.02,
                EventKind::ControllerElected { plane: PLANE, broker: new, ctime_ms: 0 },
            );
            let epoch = self.epoch;
            self.at(gone + 0.02, EventKind::ControllerEpoch { plane: PLANE, epoch });
            for observer in &live {
                let seen = EventKind::ControllerSeen { observer: *observer, controller: new };
                self.at(gone + 0.05, seen);
            }
        }
        let coordinator = if brokers.contains(&1) { live[0] } else { 1 };
        self.state(gone + 0.02, OFFSETS_TOPIC, 0, coordinator, &live);
        for topic in [TOPIC, PROBE] {
            for partition in 0..3 {
                let old = partition + 1;
                let leader = if brokers.contains(&old) { live[0] } else { old };
                self.state(gone + 0.02, topic, partition, leader, &live);
                for observer in &live {
                    self.metadata(gone + 0.07, *observer, topic, partition, leader, &live);
                }
            }
        }
    }

    /// Heals: waits `waited` for a stale registration, brings the brokers back, full ISR.
    pub(crate) fn heal(
        &mut self,
        id: &str,
        s: f64,
        waited: f64,
        brokers: &[BrokerId],
        recovered: bool,
    ) {
        let fault_id = id.to_owned();
        self.at(
            s,
            EventKind::FaultRecovered { fault_id: fault_id.clone(), recovered, expected: None },
        );
        self.at(s, EventKind::FaultHealing { fault_id: fault_id.clone() });
        let back = s + waited + 2.0;
        for broker in brokers.iter().filter(|_| waited > 0.0) {
            let kind = EventKind::StaleRegistrationGone { broker: *broker, waited_s: waited };
            self.at(s + waited, kind);
        }
        for broker in brokers {
            self.at(
                back,
                EventKind::BrokerRegistered {
                    plane: PLANE,
                    broker: *broker,
                    session: 2,
                    ctime_ms: 0,
                },
            );
        }
        self.epoch += 1;
        self.state(back + 0.5, OFFSETS_TOPIC, 0, 1, &[1, 2, 3]);
        for partition in 0..3 {
            self.state(back + 0.5, TOPIC, partition, partition + 1, &[1, 2, 3]);
            self.state(back + 0.5, PROBE, partition, partition + 1, &[1, 2, 3]);
            for (observer, topic) in (1..=3).flat_map(|broker| [(broker, TOPIC), (broker, PROBE)]) {
                self.metadata(back + 0.5, observer, topic, partition, partition + 1, &[1, 2, 3]);
            }
        }
        self.at(
            back + 0.6,
            EventKind::FaultHealed {
                fault_id,
                evidence: vec!["registered".to_owned()],
                proven: true,
                waited_for_session_s: waited,
            },
        );
        self.at(back + 1.0, EventKind::Steady);
    }

    /// `stream` ("main", "probe", "reads") of `partition` is not answered from `from` to `to`.
    pub(crate) fn outage(
        &mut self,
        stream: &'static str,
        partition: i32,
        from: f64,
        to: Option<f64>,
    ) {
        self.outages.push(Outage { stream, partition, from, to });
    }

    /// A kill of one broker that everything recovers from as Kafka does: 16 s of detection; acks=all
    /// stalls everywhere, acks=1 and reads where the broker led.
    pub(crate) fn kill(
        &mut self,
        id: &str,
        s: f64,
        broker: BrokerId,
        controller: Option<BrokerId>,
    ) {
        self.inject(id, s, &[broker]);
        self.detect(s + 16.0, &[broker], controller);
        for partition in 0..3 {
            self.outage("main", partition, s, Some(s + 16.2));
            if partition + 1 == broker {
                self.outage("probe", partition, s, Some(s + 16.3));
                self.outage("reads", partition, s, Some(s + 16.3));
            }
        }
        self.heal(id, s + 20.0, 0.0, &[broker], true);
    }

    /// The trial, with its end and its history.
    pub(crate) fn trial(mut self) -> TrialRecord {
        let end = self.load.1;
        self.at(end, EventKind::LoadStopping);
        self.stage(end, Stage::Draining);
        self.at(
            end,
            EventKind::LoadEnded {
                producer_cpu_s: 1.0,
                clients_cpu_s: 2.0,
                over_s: end - 10.0,
                queue_full: 0,
            },
        );
        self.at(
            end,
            EventKind::ObserverCost {
                requests: 1500,
                bytes: 300_000,
                cpu_s: 0.5,
                over_s: end - 10.0,
            },
        );
        self.stage(end + 2.0, Stage::Stopping);
        self.at(end + 3.0, EventKind::TrialEnded);
        let mut streams = vec![
            self.producer("main", TOPIC, -1, LoadRole::Main),
            self.producer("probe", PROBE, 1, LoadRole::Probe),
            self.reads(),
            self.consumer(),
            self.drain(),
        ];
        streams.extend(self.later_lives());
        if self.direct {
            streams.push(self.producer("direct", TOPIC, -1, LoadRole::Direct));
        }
        let history = History { streams };
        TrialRecord {
            number: self.number,
            environment: Some(environment()),
            events: self.events,
            history: Box::new(history),
            trouble: None,
            integrity: Integrity { files: 8, discrepancies: vec![] },
        }
    }
}

/// The run: three faults one after another, as the default plan has them.
pub(crate) fn three_faults(number: u32) -> Fixture {
    let mut f = Fixture::new(number, 110.0);
    // Step "controller": broker 3 is the controller and leads nothing.
    for topic in [TOPIC, PROBE] {
        f.state(19.0, topic, 2, 1, &[1, 2, 3]);
    }
    f.inject("controller", 20.0, &[3]);
    f.detect(36.0, &[3], Some(1));
    // Partition 2 stays with broker 1, which `detect` already says (first of the live ones).
    for partition in 0..3 {
        f.outage("main", partition, 20.0, Some(36.2));
    }
    f.heal("controller", 40.0, 0.0, &[3], true);
    f.kill("leader", 50.0, 2, None);
    f.kill("both", 80.0, 1, Some(2));
    f.at(100.0, EventKind::ConsumerRestarted { consumer: 7 });
    f
}

/// A history that hands out blocks of at most so many entries.
#[derive(Debug)]
pub(crate) struct Chopped(pub(crate) History, pub(crate) usize);

impl Source for Chopped {
    fn streams(&self) -> Vec<StreamRef<'_>> {
        self.0.streams()
    }

    fn read(&self, number: usize) -> Result<Box<dyn Blocks + '_>, HistoryError> {
        let Stream { entries, ending, .. } = &self.0.streams[number];
        Ok(Box::new(Pieces { left: entries.chunks(self.1).collect(), ending }))
    }
}

struct Pieces<'a> {
    left: VecDeque<&'a [Entry]>,
    ending: &'a Ending,
}

impl Blocks for Pieces<'_> {
    fn next(&mut self) -> Result<Block<'_>, HistoryError> {
        let block = self.left.pop_front();
        Ok(block.map_or_else(|| Block::End(self.ending.clone()), Block::Entries))
    }
}

/// Changes a trial's history.
pub(crate) fn change(trial: &mut TrialRecord, change: impl FnOnce(&mut History)) {
    let mut history = History::collect(&*trial.history).unwrap();
    change(&mut history);
    trial.history = Box::new(history);
}

pub(crate) fn environment() -> Environment {
    Environment {
        kbench: "0.1.0".to_owned(),
        kafka: "3.9.1".to_owned(),
        zookeeper: "3.8.4".to_owned(),
        librdkafka: "2.12.1".to_owned(),
        librdkafka_poll_wait_us: Some(300),
        java: "openjdk 17".to_owned(),
        kernel: "6.1".to_owned(),
        cores: 2,
        mode: "user namespaces".to_owned(),
        storage: "memory".to_owned(),
        profile: Some("failover".to_owned()),
        settings: Settings {
            zk_session_timeout_ms: Some(18_000),
            zk_tick_ms: Some(2_000),
            zk_servers: Some(3),
            brokers: 3,
            topic: TOPIC.to_owned(),
            partitions: 3,
            replication_factor: 3,
            min_insync_replicas: Some(2),
            unclean_leader_election: Some(false),
            replica_lag_time_max_ms: Some(30_000),
            ..Settings::default()
        },
        ..Environment::default()
    }
}

/// What is asked of a run of so many trials: the guide's claims.
pub(crate) fn question(trials_asked: u32) -> Question {
    let claims = claim::for_steps(claim::guide().unwrap(), ["controller", "leader", "both"]);
    Question { run: run(trials_asked), claims, allowed: BTreeSet::new() }
}

fn run(trials_asked: u32) -> RunMeta {
    RunMeta {
        run_id: "2026-11-23T080000Z-test-abc".to_owned(),
        command: "kbench run --workload test".to_owned(),
        workload: "test".to_owned(),
        plan: "failover".to_owned(),
        seed: 7,
        asked_per_s: 150.0,
        offer: Offer::Even,
        record_bytes: 1024,
        started: "2026-11-23T08:00:00Z".to_owned(),
        kbench: "0.1.0".to_owned(),
        trials_asked,
        strict: false,
        gates: vec![],
        trusted: vec![],
    }
}
