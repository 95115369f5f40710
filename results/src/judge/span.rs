//! Faults as the events of a trial tell them, from injection to healing.
//!
//! The one place where this is read from events: recovery, checks, replay and the live view ask
//! here. Invariant: nothing is assumed that no event says. Absent: what the clients saw.

use std::collections::BTreeMap;

use crate::record::clock::RunTime;
use crate::record::event::{
    BrokerId, Effect, Event, EventKind, Expectation, NOTHING_TO_TAKE, Process, ProcessEnd, Role,
    Takes,
};

/// One fault, from its injection to its healing.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultSpan {
    /// Id of the round: the step's in the plan, with a number if it has several.
    pub id: String,
    /// Name of the fault, e.g. "kill".
    pub fault: String,
    /// Target as written in the plan.
    pub target: String,
    /// The processes that it strikes; none when it strikes clients.
    pub victims: Vec<Process>,
    /// What it does to them.
    pub effect: Effect,
    /// When the injection began: zero of every figure of this fault.
    pub injecting: RunTime,
    /// When it was looked for and evidence was there, or missing.
    pub injected: Option<RunTime>,
    /// Evidence that it took effect.
    pub evidence: Vec<String>,
    /// Whether that evidence proves it.
    pub proven: bool,
    /// When each of the victims' processes ended for the first time before the undo began.
    pub ended: BTreeMap<Process, RunTime>,
    /// Whether clients and cluster recovered while the fault lasted; `None` when it was not said.
    pub recovered: Option<bool>,
    /// What the plan expects of the cluster meanwhile; `None` when it was not said.
    pub expected: Option<Expectation>,
    /// When the undo began.
    pub healing: Option<RunTime>,
    /// When the undo was done.
    pub healed: Option<RunTime>,
    /// Evidence that it is undone.
    pub heal_evidence: Vec<String>,
    /// Whether that evidence proves it.
    pub heal_proven: bool,
    /// Seconds from `injecting` until the injection was done.
    pub took_s: Option<f64>,
    /// Seconds from `injecting` until all that the evidence shows was the case.
    pub shown_s: Option<f64>,
    /// Seconds for which kbench waited for stale registrations, the longest of them.
    pub waited_for_session_s: f64,
    /// When it waited for that of which broker.
    pub waits: Vec<(BrokerId, RunTime, RunTime)>,
    /// End of the fault's window: the next injection, or the end of the load.
    pub window_end: RunTime,
}

impl FaultSpan {
    /// Whether `at` lies in the fault's window.
    pub fn contains(&self, at: RunTime) -> bool {
        self.injecting <= at && at < self.window_end
    }

    /// Whether the fault was in force, or being healed, at `at`.
    pub fn in_force(&self, at: RunTime) -> bool {
        self.injecting <= at && self.healed.is_none_or(|healed| at <= healed)
    }

    /// Whether it is this fault's doing that `process` ended so. Whoever loses something else than its process may
    /// give up for that, but nobody of the plan sends it a signal.
    pub fn orders_end(&self, process: &Process, end: &ProcessEnd) -> bool {
        let signalled = match self.effect.takes {
            Takes::Processes | Takes::ProcessesForARestart => true,
            Takes::Nothing
            | Takes::ProcessesInTime
            | Takes::PerhapsProcesses
            | Takes::Answers
            | Takes::Nodes
            | Takes::Links
            | Takes::Zookeeper
            | Takes::Ensemble
            | Takes::Registrations
            | Takes::Leadership
            | Takes::Replicas
            | Takes::Clients => false,
        };
        self.victims.contains(process) && (signalled || !end.is_by_signal())
    }

    /// Whether it is this fault's doing that `process` stands still; one that is held back does so in turn.
    pub fn lets_stand_still(&self, process: &Process) -> bool {
        let stops = matches!(self.effect.takes, Takes::Answers | Takes::Nothing);
        stops && self.victims.contains(process)
    }

    /// Brokers that lose their registration in ZooKeeper by it, so that others take over.
    pub fn lost_brokers(&self) -> impl Iterator<Item = BrokerId> {
        let lost = |victim: &&Process| {
            let away =
                self.effect.takes != Takes::PerhapsProcesses || self.ended.contains_key(*victim);
            victim.role == Role::Broker && self.effect.unregisters() && away
        };
        self.victims.iter().filter(lost).map(|victim| victim.id)
    }

    /// Whether the evidence shows that `victim` lost nothing although it lost its power: all was flushed.
    pub fn took_nothing_of(&self, victim: &Process) -> bool {
        let of_it = format!("{victim}: ");
        let mut lines = self.evidence.iter().filter_map(|line| line.strip_prefix(&of_it));
        lines.any(|line| line.ends_with(NOTHING_TO_TAKE))
    }

    /// Whether `broker` is one of them.
    pub fn loses(&self, broker: BrokerId) -> bool {
        self.lost_brokers().any(|lost| lost == broker)
    }
}

/// The faults of a trial, and the rounds that were not carried out, as far as its events tell them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FaultSpans {
    /// Faults in the order of their injection.
    pub faults: Vec<FaultSpan>,
    /// Rounds that were not carried out: id, and why.
    pub skipped: Vec<(String, String)>,
}

impl FaultSpans {
    /// All that `events`, which are in order of time, tell; windows end with the load, at `load_end`.
    pub fn new<'e>(events: impl IntoIterator<Item = &'e Event>, load_end: RunTime) -> Self {
        let mut spans = Self::default();
        events.into_iter().for_each(|event| spans.take(event));
        if let Some(last) = spans.faults.last_mut() {
            last.window_end = load_end.max(last.injecting);
        }
        spans
    }

    /// Faults that are in force, or being healed, as far as was told.
    pub fn in_force(&self) -> impl Iterator<Item = &FaultSpan> {
        self.faults.iter().filter(|fault| fault.healed.is_none())
    }

    /// Takes in what one more event tells.
    pub fn take(&mut self, event: &Event) {
        let at = event.at;
        match &event.kind {
            EventKind::FaultInjecting { .. } => self.begin(event),
            EventKind::FaultInjected { fault_id, evidence, proven, took_s, shown_s } => {
                self.update(fault_id, |span| {
                    span.injected = Some(at);
                    span.evidence = evidence.clone();
                    span.proven = *proven;
                    (span.took_s, span.shown_s) = (*took_s, *shown_s);
                });
            }
            EventKind::FaultRecovered { fault_id, recovered, expected } => {
                self.update(fault_id, |span| {
                    span.recovered = Some(*recovered);
                    span.expected = *expected;
                });
            }
            EventKind::FaultHealing { fault_id } => self.update(fault_id, |span| {
                span.healing = span.healing.or(Some(at));
            }),
            EventKind::FaultHealed { fault_id, evidence, proven, waited_for_session_s } => {
                self.update(fault_id, |span| {
                    span.healed = Some(at);
                    span.heal_evidence = evidence.clone();
                    span.heal_proven = *proven;
                    span.waited_for_session_s = *waited_for_session_s;
                });
            }
            EventKind::StaleRegistrationGone { broker, waited_s } => {
                let began = RunTime(at.0.saturating_sub((waited_s.max(0.0) * 1e9) as u64));
                let heals = |span: &&mut FaultSpan| {
                    let of_it =
                        |victim: &Process| victim.role == Role::Broker && victim.id == *broker;
                    span.healing.is_some()
                        && span.healed.is_none()
                        && span.victims.iter().any(of_it)
                };
                for span in self.faults.iter_mut().filter(heals) {
                    span.waits.push((*broker, began, at));
                }
            }
            EventKind::FaultSkipped { fault_id, reason } => {
                self.skipped.push((fault_id.clone(), reason.clone()));
            }
            EventKind::ProcessEnded { process, .. } => {
                let struck = |span: &&mut FaultSpan| {
                    span.healing.is_none() && span.victims.contains(process)
                };
                for span in self.faults.iter_mut().filter(struck) {
                    span.ended.entry(process.clone()).or_insert(at);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, event: &Event) {
        let EventKind::FaultInjecting { fault_id, fault, target, victims, effect } = &event.kind
        else {
            return;
        };
        if let Some(previous) = self.faults.last_mut() {
            previous.window_end = event.at;
        }
        self.faults.push(FaultSpan {
            id: fault_id.clone(),
            fault: fault.clone(),
            target: target.clone(),
            victims: victims.clone(),
            effect: *effect,
            injecting: event.at,
            injected: None,
            evidence: Vec::new(),
            proven: false,
            ended: BTreeMap::new(),
            recovered: None,
            expected: None,
            healing: None,
            healed: None,
            heal_evidence: Vec::new(),
            heal_proven: false,
            took_s: None,
            shown_s: None,
            waited_for_session_s: 0.0,
            waits: Vec::new(),
            window_end: RunTime(u64::MAX),
        });
    }

    /// Changes the fault of this id, the latest if there are several.
    fn update(&mut self, id: &str, change: impl FnOnce(&mut FaultSpan)) {
        if let Some(span) = self.faults.iter_mut().rev().find(|span| span.id == id) {
            change(span);
        }
    }
}
