//! A cluster that is driven by drawn faults: what is true of one partition at every moment, and the
//! events that an observer records of it. Times are milliseconds.

use std::collections::{BTreeMap, BTreeSet};

use crate::fixture::{self, KILL, PROBE, TOPIC};
use crate::record::clock::RunTime;
use crate::record::event::{BrokerId, Event, EventKind, MetadataPlane, Stage};

const PLANE: MetadataPlane = MetadataPlane::Zookeeper;
pub(super) const BROKERS: [BrokerId; 3] = [1, 2, 3];

/// One fault as it was drawn: a kill, undone after `hold`.
#[derive(Debug, Clone)]
pub(super) struct DrawnKill {
    /// Which of the living brokers, and how many of them.
    pub(super) first: usize,
    pub(super) brokers: usize,
    /// Since the fault before; the first begins at 20 s.
    pub(super) after: u64,
    pub(super) hold: u64,
    /// Of each broker's session, from the kill to the loss of its registration.
    pub(super) detect: [u64; 3],
    pub(super) elect: u64,
    pub(super) learn: u64,
    /// From the start of a broker to its registration, and from there to the ISR.
    pub(super) restart: u64,
    pub(super) copy: u64,
}

/// What is true of the partition from a moment on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PartitionTruth {
    pub(super) dead: BTreeSet<BrokerId>,
    pub(super) registered: BTreeSet<BrokerId>,
    pub(super) leader: BrokerId,
    pub(super) isr: Vec<BrokerId>,
    /// Whether every live broker names the leader.
    pub(super) known: bool,
}

/// A fault that was carried out.
#[derive(Debug, Clone)]
pub(super) struct CarriedOut {
    pub(super) id: String,
    pub(super) at: u64,
    pub(super) healing: u64,
    pub(super) victims: Vec<BrokerId>,
    /// When kbench waited for which broker's registration to go.
    pub(super) waits: Vec<(BrokerId, u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Happens {
    Kill(usize),
    Gone(BrokerId),
    React,
    Learned(i32),
    Heal(usize),
    Back(BrokerId),
    Joins(BrokerId),
    Healed(usize),
}

pub(super) struct DrawnCluster<'a> {
    drawn: &'a [DrawnKill],
    agenda: BTreeSet<(u64, Happens)>,
    pub(super) now: PartitionTruth,
    /// Every moment at which something changed.
    pub(super) moments: BTreeMap<u64, PartitionTruth>,
    pub(super) carried: Vec<CarriedOut>,
    pub(super) events: Vec<Event>,
    epoch: i32,
    /// The fault that last took each broker.
    taken_by: BTreeMap<BrokerId, usize>,
    /// Delays of the fault that was injected last.
    delays: DrawnKill,
}

impl<'a> DrawnCluster<'a> {
    /// Runs until nothing is left to happen; the load runs from 18 s to `load_end`.
    pub(super) fn run(drawn: &'a [DrawnKill], leader: BrokerId, load_end: u64) -> Self {
        let mut isr = BROKERS.to_vec();
        isr.rotate_left(leader as usize - 1);
        let now = PartitionTruth {
            dead: BTreeSet::new(),
            registered: BROKERS.into(),
            leader,
            isr,
            known: true,
        };
        let mut cluster = Self {
            drawn,
            agenda: BTreeSet::new(),
            now,
            moments: BTreeMap::new(),
            carried: vec![],
            events: vec![],
            epoch: 1,
            taken_by: BTreeMap::new(),
            delays: drawn[0].clone(),
        };
        for broker in BROKERS {
            cluster.registered(3000, broker);
        }
        cluster.state(4000);
        BROKERS.iter().for_each(|observer| cluster.metadata(4500, *observer));
        for (at, stage) in [(5000, Stage::WarmingUp), (18_000, Stage::Baseline)] {
            cluster.event(at, EventKind::Stage { stage });
        }
        let mut at = 20_000;
        for (number, kill) in drawn.iter().enumerate() {
            at += if number == 0 { 0 } else { kill.after };
            if at + 5000 <= load_end {
                cluster.agenda.insert((at, Happens::Kill(number)));
            }
        }
        cluster.moments.insert(0, cluster.now.clone());
        while let Some((at, what)) = cluster.agenda.pop_first() {
            cluster.happens(at, what);
            cluster.moments.insert(at, cluster.now.clone());
        }
        cluster.event(load_end, EventKind::LoadStopping);
        cluster.event(load_end, EventKind::Stage { stage: Stage::Draining });
        cluster.event(load_end + 60_000, EventKind::TrialEnded);
        cluster
    }

    fn happens(&mut self, at: u64, what: Happens) {
        match what {
            Happens::Kill(number) => self.kill(at, number),
            Happens::Gone(broker) => {
                self.now.registered.remove(&broker);
                self.event(at, EventKind::BrokerGone { plane: PLANE, broker });
                self.agenda.insert((at + self.delays.elect, Happens::React));
                let fault = &self.carried[self.taken_by[&broker]];
                if let Some((_, from, _)) = fault.waits.iter().find(|(of, ..)| *of == broker) {
                    let waited_s = (at - from) as f64 / 1e3;
                    self.event(at, EventKind::StaleRegistrationGone { broker, waited_s });
                }
            }
            Happens::React => self.react(at),
            Happens::Learned(epoch) if epoch == self.epoch => {
                self.now.known = true;
                for observer in self.live() {
                    self.metadata(at, observer);
                }
            }
            Happens::Learned(_) => {}
            Happens::Heal(fault) => {
                let fault_id = self.carried[fault].id.clone();
                let recovered = EventKind::FaultRecovered {
                    fault_id: fault_id.clone(),
                    recovered: true,
                    expected: None,
                };
                self.event(at, recovered);
                self.event(at, EventKind::FaultHealing { fault_id });
            }
            Happens::Back(broker) => {
                self.now.dead.remove(&broker);
                self.now.registered.insert(broker);
                self.registered(at, broker);
                if self.now.dead.contains(&self.now.leader) || self.now.leader < 0 {
                    self.agenda.insert((at + self.delays.elect, Happens::React));
                }
                if self.now.known {
                    self.metadata(at, broker);
                }
                self.agenda.insert((at + self.delays.copy, Happens::Joins(broker)));
            }
            Happens::Joins(broker) => {
                let may = !self.now.isr.contains(&broker) && !self.now.dead.contains(&broker);
                if may && self.now.leader >= 0 && !self.now.dead.contains(&self.now.leader) {
                    self.now.isr.push(broker);
                    self.state(at);
                }
            }
            Happens::Healed(fault) => {
                let fault_id = self.carried[fault].id.clone();
                let (evidence, proven) = (vec!["registered".to_owned()], true);
                let healed = EventKind::FaultHealed {
                    fault_id,
                    evidence,
                    proven,
                    waited_for_session_s: 0.0,
                };
                self.event(at, healed);
            }
        }
    }

    /// Of the living and registered brokers those that were drawn, if any is left.
    fn kill(&mut self, at: u64, number: usize) {
        let drawn = self.drawn[number].clone();
        let live = self.live();
        if live.is_empty() {
            return;
        }
        let many = drawn.brokers.min(live.len());
        let mut victims: Vec<_> =
            live.iter().cycle().skip(drawn.first).take(many).copied().collect();
        victims.sort_unstable();
        let fault = self.carried.len();
        let id = format!("fault-{fault}");
        self.delays = drawn.clone();
        let healing = at + drawn.hold;
        let mut waits = vec![];
        let mut all_back = healing;
        for broker in &victims {
            let gone = at + drawn.detect[*broker as usize - 1];
            if gone > healing {
                waits.push((*broker, healing, gone));
            }
            let back = healing.max(gone) + drawn.restart + *broker as u64;
            all_back = all_back.max(back);
            self.agenda.insert((gone, Happens::Gone(*broker)));
            self.agenda.insert((back, Happens::Back(*broker)));
            self.now.dead.insert(*broker);
            self.taken_by.insert(*broker, fault);
        }
        self.agenda.insert((healing, Happens::Heal(fault)));
        self.agenda.insert((all_back + 1, Happens::Healed(fault)));
        let injecting = EventKind::FaultInjecting {
            fault_id: id.clone(),
            fault: "kill".to_owned(),
            target: "drawn".to_owned(),
            victims: victims.iter().map(|id| fixture::broker(*id)).collect(),
            effect: KILL,
        };
        self.event(at, injecting);
        self.carried.push(CarriedOut { id, at, healing, victims, waits });
    }

    /// The controller, if there is one, elects among the registered brokers of the ISR, dead or not.
    fn react(&mut self, at: u64) {
        if self.live().is_empty() {
            return;
        }
        let old = (self.now.leader, self.now.isr.clone());
        let there: Vec<_> =
            old.1.iter().filter(|broker| self.now.registered.contains(broker)).copied().collect();
        if there.is_empty() {
            self.now.isr.truncate(1);
            self.now.leader = -1;
        } else {
            if !there.contains(&old.0) {
                self.now.leader = there[0];
            }
            self.now.isr = there;
        }
        if old == (self.now.leader, self.now.isr.clone()) {
            return;
        }
        self.epoch += 1;
        self.now.known = false;
        self.state(at);
        self.agenda.insert((at + self.delays.learn, Happens::Learned(self.epoch)));
        for broker in self.live() {
            self.agenda.insert((at + self.delays.copy, Happens::Joins(broker)));
        }
    }

    fn live(&self) -> Vec<BrokerId> {
        self.now.registered.difference(&self.now.dead).copied().collect()
    }

    fn event(&mut self, at: u64, kind: EventKind) {
        self.events.push(Event { at: RunTime(at * 1_000_000), kind });
    }

    fn registered(&mut self, at: u64, broker: BrokerId) {
        let (plane, session, ctime_ms) = (PLANE, 1, 0);
        self.event(at, EventKind::BrokerRegistered { plane, broker, session, ctime_ms });
    }

    fn state(&mut self, at: u64) {
        for topic in [TOPIC, PROBE] {
            let state = EventKind::PartitionState {
                plane: PLANE,
                topic: topic.to_owned(),
                partition: 0,
                leader: self.now.leader,
                leader_epoch: self.epoch,
                isr: self.now.isr.clone(),
                mtime_ms: 0,
            };
            self.event(at, state);
        }
    }

    fn metadata(&mut self, at: u64, observer: BrokerId) {
        for topic in [TOPIC, PROBE] {
            let seen = EventKind::MetadataSeen {
                observer,
                topic: topic.to_owned(),
                partition: 0,
                leader: self.now.leader,
                leader_epoch: self.epoch,
                isr: self.now.isr.clone(),
            };
            self.event(at, seen);
        }
    }
}
