//! What the nemesis asks of the trial: when is the cluster steady, when has it recovered.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{Conductor, PortError, View};
use results::clock::RunTime;
use results::event::{BrokerId, EventKind};
use workloads::Load;

use super::interrupt::Interrupt;
use super::lab::Lab;
use crate::recorder::Recorder;

/// How often conditions are looked at. Only the nemesis' own reaction depends on it; recovery
/// times come from the history.
const LOOK: Duration = Duration::from_millis(50);

/// A partition serves when an operation that was due this recently has been answered.
const RECENT: Duration = Duration::from_secs(1);

/// The cluster is steady when no send had trouble for this long: throughput counts as restored
/// when it holds for 5 s, from the first whole second on.
const QUIET: Duration = Duration::from_secs(6);

/// Recovery is believed once operations are answered that were due this long after the injection: one
/// due in the same instant may slip through before the fault takes hold.
const BELIEVED_AFTER: Duration = Duration::from_secs(2);

/// The group has caught up when it is at most this much load behind.
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// The trial as the nemesis sees it.
pub(super) struct TrialConductor {
    lab: Rc<Lab>,
    load: Rc<RefCell<Load>>,
    /// Records that the group may lag behind.
    caught_up: u64,
    interrupt: Rc<Interrupt>,
    recorder: Arc<Recorder>,
}

impl TrialConductor {
    pub(super) fn new(
        lab: &Rc<Lab>,
        load: &Rc<RefCell<Load>>,
        per_second: u64,
        interrupt: &Rc<Interrupt>,
        recorder: &Arc<Recorder>,
    ) -> Self {
        Self {
            lab: Rc::clone(lab),
            load: Rc::clone(load),
            caught_up: per_second * CAUGHT_UP.as_secs(),
            interrupt: Rc::clone(interrupt),
            recorder: Arc::clone(recorder),
        }
    }

    /// What is missing for "steady", in words; none when nothing is.
    fn missing(&self) -> Option<String> {
        if let Some(failure) = self.load.borrow().live().failure() {
            return Some(failure);
        }
        let Ok(observer) = self.lab.observer() else {
            return Some("nobody observes the cluster".to_owned());
        };
        self.cluster_unsteady(&observer.view()).or_else(|| self.load_unsteady())
    }

    fn load_unsteady(&self) -> Option<String> {
        let load = self.load.borrow();
        if !load.served_since(self.ago(RECENT)) {
            return Some("a partition does not answer".to_owned());
        }
        let trouble = load.live().last_trouble();
        if trouble > self.ago(QUIET) {
            let ago = self.now().secs_since(trouble);
            return Some(format!("a send failed or was late {ago:.1} s ago"));
        }
        let lag = load.live().lag();
        (lag > self.caught_up).then(|| format!("the consumers lag {lag} records behind"))
    }

    fn cluster_unsteady(&self, view: &View) -> Option<String> {
        let expected: BTreeSet<BrokerId> = self.lab.brokers();
        if let Some(absent) = expected.difference(&view.brokers).next() {
            return Some(format!("broker {absent} is not registered"));
        }
        if view.controller.is_none() {
            return Some("there is no controller".to_owned());
        }
        view.partitions.iter().find_map(|((topic, partition), state)| {
            if state.leader.is_none() {
                Some(format!("{topic}-{partition} has no leader"))
            } else if state.isr.len() < state.replicas.len() {
                Some(format!(
                    "{topic}-{partition} has {} of {} replicas in sync",
                    state.isr.len(),
                    state.replicas.len()
                ))
            } else {
                None
            }
        })
    }

    fn ago(&self, time: Duration) -> RunTime {
        RunTime(self.now().0.saturating_sub(time.as_nanos() as u64))
    }

    /// Whether clients and cluster do without the brokers `without`.
    fn has_recovered(&self, since: RunTime, without: &[BrokerId]) -> bool {
        let Ok(observer) = self.lab.observer() else { return false };
        let view = observer.view();
        let replaced = view.controller.is_some_and(|controller| !without.contains(&controller));
        let forgotten = without.iter().all(|broker| !view.brokers.contains(broker));
        let led = view.partitions.iter().filter(|((topic, _), _)| *topic == view.topic).all(
            |(_, state)| {
                state.leader.is_some() && !state.isr.iter().any(|broker| without.contains(broker))
            },
        );
        let believed = since.plus(BELIEVED_AFTER).max(self.ago(RECENT));
        replaced && forgotten && led && self.load.borrow().served_since(believed)
    }

    /// Replaces a member of the group; where the new one resumes is checked afterwards.
    fn restart_consumer(&self) {
        let consumer = self.load.borrow_mut().restart_consumer();
        self.recorder.now(EventKind::ConsumerRestarted { consumer });
    }
}

#[async_trait(?Send)]
impl Conductor for TrialConductor {
    fn now(&self) -> RunTime {
        self.recorder.clock().now()
    }

    fn record(&self, at: RunTime, event: EventKind) {
        let healed = matches!(event, EventKind::FaultHealed { .. });
        self.recorder.at(at, event);
        if healed {
            // After each fault, while the cluster fills its ISR again: the claim that consumers
            // resume at the committed offset is tested only if one has to.
            self.restart_consumer();
        }
    }

    async fn steady(&self, limit: Duration) -> Result<(), PortError> {
        let deadline = tokio::time::Instant::now() + limit;
        loop {
            let Some(missing) = self.missing() else { return Ok(()) };
            if tokio::time::Instant::now() >= deadline {
                return Err(PortError(format!(
                    "the cluster was not steady within {} s: {missing}",
                    limit.as_secs()
                )));
            }
            if self.interrupt.raised() {
                return Err(PortError("interrupted".to_owned()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn recovered(&self, since: RunTime, without: &[BrokerId], limit: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + limit;
        while !self.has_recovered(since, without) {
            if tokio::time::Instant::now() >= deadline || self.interrupt.raised() {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }

    fn interrupted(&self) -> bool {
        self.interrupt.raised()
    }
}
