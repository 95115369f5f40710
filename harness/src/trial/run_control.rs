//! What the nemesis asks of the trial: when is the cluster steady, when has it recovered.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::port::{ErrorKind, PortError, Process, RunControl};
use faults::until;
use results::judge::recovery::DELAYED;
use results::record::clock::RunTime;
use results::record::event::{BrokerId, EventKind, Role};
use workloads::Load;

use super::interrupt::Interrupt;
use super::lab::Lab;
use crate::recorder::Recorder;

/// How often conditions are looked at. Only the nemesis' own reaction depends on it; recovery
/// times come from the history.
const LOOK: Duration = Duration::from_millis(50);

/// A partition serves when an operation that was due this recently has been answered.
const RECENT: Duration = DELAYED;

/// The cluster is steady when no send had trouble for this long: throughput counts as restored
/// when it holds for 5 s, from the first whole second on.
const QUIET: Duration = Duration::from_secs(6);

/// Longest wait for that: a machine that is too busy always has a late send. The report then says
/// that throughput was not seen to be restored.
const QUIET_LIMIT: Duration = Duration::from_secs(15);

/// Recovery is believed once operations are answered that were due this long after the cluster looked
/// whole: one due in the same instant may slip through before the clients feel what happened to it.
const BELIEVED_AFTER: Duration = Duration::from_secs(2);

/// The group has caught up when it is at most this much load behind.
const CAUGHT_UP: Duration = Duration::from_secs(1);

/// The trial as the nemesis sees it.
pub(super) struct TrialRunControl {
    lab: Rc<Lab>,
    load: Rc<RefCell<Load>>,
    /// Records that the group may lag behind.
    caught_up: u64,
    /// Whether a fault was healed after which no member of the group was replaced yet.
    to_replace: Cell<bool>,
    /// The newest member of the group, if one was replaced.
    newest: Cell<Option<u16>>,
    interrupt: Rc<Interrupt>,
    recorder: Arc<Recorder>,
}

impl TrialRunControl {
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
            to_replace: Cell::new(false),
            newest: Cell::new(None),
            interrupt: Rc::clone(interrupt),
            recorder: Arc::clone(recorder),
        }
    }

    /// What is missing for "steady", in words; none when nothing is. Clients must have been served
    /// since `since`.
    fn missing(&self, since: RunTime) -> Option<String> {
        if let Some(failure) = self.load.borrow().live().failure() {
            return Some(failure);
        }
        if !self.lab.observer.sees() {
            return Some("the observer has no session with ZooKeeper".to_owned());
        }
        let unsteady = self.lab.members.missing(&self.lab.observer.view());
        if self.interrupt.raised() {
            // To heal, the cluster is enough; nothing is to be measured any more.
            return unsteady;
        }
        unsteady.or_else(|| self.load_unsteady(since))
    }

    fn load_unsteady(&self, since: RunTime) -> Option<String> {
        let load = self.load.borrow();
        if !load.served_since(self.ago(RECENT).max(since)) {
            return Some("a partition does not answer".to_owned());
        }
        let trouble = load.live().last_trouble();
        if trouble > self.ago(QUIET) && self.now() < since.plus(QUIET_LIMIT) {
            let ago = self.now().secs_since(trouble);
            return Some(format!("a send failed or was late {ago:.1} s ago"));
        }
        if self.newest.get().is_some_and(|member| !load.has_joined(member)) {
            return Some("the new member of the group has no partition".to_owned());
        }
        let lag = load.live().lag();
        (lag > self.caught_up).then(|| format!("the consumers lag {lag} records behind"))
    }

    /// Which ZooKeeper server, other than `without`, does not serve; none when all do.
    async fn zookeeper_unsteady(&self, without: &[BrokerId]) -> Option<String> {
        let serving = self.lab.cluster.zookeeper_modes().await;
        let servers = self.lab.members.zookeepers();
        servers
            .into_keys()
            .find(|id| !without.contains(id) && !serving.contains_key(id))
            .map(|id| format!("ZooKeeper server {id} does not serve"))
    }

    fn ago(&self, time: Duration) -> RunTime {
        RunTime(self.now().0.saturating_sub(time.as_nanos() as u64))
    }

    /// Whether the cluster does without the brokers `without`.
    fn is_whole(&self, without: &[BrokerId]) -> bool {
        let view = self.lab.observer.view();
        let replaced = view.controller.is_some_and(|controller| !without.contains(&controller));
        let forgotten = without.iter().all(|broker| !view.brokers.contains(broker));
        let led = view.partitions.iter().filter(|((topic, _), _)| *topic == view.topic).all(
            |(_, state)| {
                state.leader.is_some() && !state.isr.iter().any(|broker| without.contains(broker))
            },
        );
        replaced && forgotten && led
    }

    /// After each fault, replaces a member of the group: the claim that consumers resume at the
    /// committed offset is tested only if one has to. Only once all else is steady: a member that
    /// leaves while its coordinator is away is missed for a whole session time-out (45 s), in which
    /// the group reads nothing. True when one was replaced.
    fn replaces_member(&self) -> bool {
        let replaces = self.to_replace.take() && !self.interrupt.raised();
        if replaces {
            let consumer = self.load.borrow_mut().restart_consumer();
            self.newest.set(Some(consumer));
            self.recorder.now(EventKind::ConsumerRestarted { consumer });
        }
        replaces
    }
}

#[async_trait(?Send)]
impl RunControl for TrialRunControl {
    fn now(&self) -> RunTime {
        self.recorder.clock().now()
    }

    fn record(&self, at: RunTime, event: EventKind) {
        if matches!(event, EventKind::FaultHealed { .. }) {
            self.to_replace.set(true);
        }
        self.recorder.at(at, event);
    }

    async fn steady(&self, limit: Duration) -> Result<(), PortError> {
        // Leaders may have moved a moment ago, and clients not have noticed yet.
        let since = self.now();
        let steady = until(limit, LOOK, async || {
            // ZooKeeper is asked last, when nothing else is missing: it costs three connections.
            let missing = match self.missing(since) {
                None => self.zookeeper_unsteady(&[]).await,
                missing => missing,
            };
            match missing {
                None if self.replaces_member() => Err("a new member joins the group".to_owned()),
                None => Ok(()),
                Some(missing) => Err(missing),
            }
        });
        steady.await.map_err(|missing| {
            let limit = limit.as_secs();
            let what = format!("the cluster was not steady within {limit} s: {missing}");
            PortError::new(ErrorKind::TimedOut, what)
        })
    }

    async fn recovered(&self, since: RunTime, without: &[Process], limit: Duration) -> bool {
        let of = |role| {
            let of_role = without.iter().filter(move |process| process.role == role);
            of_role.map(|process| process.id).collect::<Vec<BrokerId>>()
        };
        let (brokers, zookeepers) = (of(Role::Broker), of(Role::Zookeeper));
        let mut whole_since = since;
        let recovered = until(limit, LOOK, async || {
            if !self.is_whole(&brokers) {
                whole_since = self.now();
            }
            let believed = whole_since.plus(BELIEVED_AFTER).max(self.ago(RECENT));
            let served = self.load.borrow().served_since(believed);
            let recovered = served
                && (zookeepers.is_empty() || self.zookeeper_unsteady(&zookeepers).await.is_none());
            recovered.then_some(()).ok_or(())
        });
        recovered.await.is_ok()
    }

    fn interrupted(&self) -> bool {
        self.interrupt.raised()
    }
}
