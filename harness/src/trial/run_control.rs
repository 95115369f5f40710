//! What the nemesis asks of the trial: when is the cluster steady, when has it recovered.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use faults::plan::ChangeStep;
use faults::port::{ErrorKind, PortError, Process, RunControl};
use faults::until;
use results::judge::recovery::DELAYED;
use results::record::clock::RunTime;
use results::record::event::{BrokerId, EventKind, Role};
use results::terminal::counted;
use workloads::Load;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::change::{Changing, MadeChange};
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
    /// Time between two pings of an idle broker to ZooKeeper.
    ping: Duration,
    /// Of the trial.
    seed: u64,
    interrupt: Rc<Interrupt>,
    recorder: Arc<Recorder>,
    /// Changes that are to be undone, the latest last.
    pub(super) made: RefCell<Vec<MadeChange>>,
}

impl TrialRunControl {
    pub(super) fn new(
        lab: &Rc<Lab>,
        load: &Rc<RefCell<Load>>,
        per_second: u64,
        (ping, seed): (Duration, u64),
        interrupt: &Rc<Interrupt>,
        recorder: &Arc<Recorder>,
    ) -> Self {
        Self {
            lab: Rc::clone(lab),
            load: Rc::clone(load),
            caught_up: per_second * CAUGHT_UP.as_secs(),
            ping,
            seed,
            interrupt: Rc::clone(interrupt),
            recorder: Arc::clone(recorder),
            made: RefCell::default(),
        }
    }

    /// What the cluster and its observer lack; `None` when nothing.
    fn cluster_unsteady(&self) -> Option<String> {
        // Who undoes what was done needs the cluster alone.
        let failure = self.load.borrow().live().failure();
        if let Some(failure) = failure.filter(|_| !self.interrupt.raised()) {
            return Some(failure);
        }
        if !self.lab.observer.sees() {
            let plane = self.lab.observer.view().plane;
            return Some(format!("the observer does not follow {plane}"));
        }
        self.lab.members.missing(&self.lab.observer.view())
    }

    /// What the load lacks that is to be served since `since`, and without trouble.
    fn load_unsteady(&self, since: RunTime) -> Option<String> {
        let load = self.load.borrow();
        if !load.served_since(self.ago(RECENT).max(since)) {
            return Some("a partition does not answer".to_owned());
        }
        let trouble = load.lives().last_trouble();
        if trouble > self.ago(QUIET) && self.now() < since.plus(QUIET_LIMIT) {
            let ago = self.now().secs_since(trouble);
            return Some(format!("a send failed or was late {ago:.1} s ago"));
        }
        None
    }

    /// What the consumer group lacks.
    fn group_unsteady(&self) -> Option<String> {
        let load = self.load.borrow();
        if !load.all_joined() {
            return Some("a member of the group has no partition".to_owned());
        }
        let lag = load.lives().lag();
        (lag > self.caught_up)
            .then(|| format!("the consumers lag {} behind", counted(lag, "record")))
    }

    /// Which ZooKeeper server, other than `without`, does not serve; `None` when all do.
    async fn zookeeper_unsteady(&self, without: &[BrokerId]) -> Option<String> {
        let serving = self.lab.cluster.servers().zookeeper_modes().await;
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
        let controls = |controller| !without.contains(&controller);
        let replaced = !view.plane.tells_controller() || view.controller.is_some_and(controls);
        let forgotten = without.iter().all(|broker| !view.brokers.contains(broker));
        let topics = self.lab.members.loaded_topics();
        let mut loaded = view.partitions.iter().filter(|((topic, _), _)| topics.contains(topic));
        let led = loaded.all(|(_, state)| {
            state.leader.is_some() && !state.isr.iter().any(|broker| without.contains(broker))
        });
        replaced && forgotten && led
    }
}

#[async_trait(?Send)]
impl RunControl for TrialRunControl {
    fn now(&self) -> RunTime {
        self.recorder.clock().now()
    }

    fn record(&self, at: RunTime, event: EventKind) {
        self.recorder.at(at, event);
    }

    async fn steady(&self, limit: Duration) -> Result<(), PortError> {
        // Leaders may have moved a moment ago, and clients not have noticed yet.
        let since = self.now();
        let steady = until(limit, LOOK, async || {
            // To heal, the cluster is enough; nothing is to be measured any more.
            let load = || (!self.interrupt.raised()).then(|| self.load_unsteady(since)).flatten();
            let group = || (!self.interrupt.raised()).then(|| self.group_unsteady()).flatten();
            // ZooKeeper is asked last, when nothing else is missing: it costs three connections.
            match self.cluster_unsteady().or_else(load).or_else(group) {
                None => self.zookeeper_unsteady(&[]).await.map_or(Ok(()), Err),
                Some(missing) => Err(missing),
            }
        });
        steady.await.map_err(|missing| unsteady("the cluster was not steady", limit, &missing))
    }

    async fn replace_member(&self, limit: Duration) -> Result<(), PortError> {
        if self.interrupt.raised() {
            return Ok(());
        }
        let replaced = self.load.borrow_mut().restart_consumer();
        let Some(consumer) = replaced else { return Ok(()) };
        self.recorder.now(EventKind::ConsumerRestarted { consumer });
        let joined = until(limit, LOOK, async || {
            let group = || (!self.interrupt.raised()).then(|| self.group_unsteady()).flatten();
            self.cluster_unsteady().or_else(group).map_or(Ok(()), Err)
        });
        let what = "the group was not complete again";
        joined.await.map_err(|missing| unsteady(what, limit, &missing))?;
        if !self.interrupt.raised() {
            self.recorder.now(EventKind::ConsumerJoined { consumer });
        }
        Ok(())
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

    async fn change(&self, step: &ChangeStep, struck: &dyn Fn() -> BTreeSet<Process>) -> bool {
        Changing::new(&self.lab, &self.load, self, &self.interrupt, self.seed)
            .make_beside(step, struck)
            .await
    }

    fn delay_before(&self, round: &str) -> Duration {
        let random = xxh3_64_with_seed(round.as_bytes(), self.seed);
        self.ping.mul_f64(random as f64 / u64::MAX as f64)
    }

    fn interrupted(&self) -> bool {
        self.interrupt.raised()
    }
}

fn unsteady(what: &str, limit: Duration, missing: &str) -> PortError {
    let limit = limit.as_secs();
    PortError::new(ErrorKind::TimedOut, format!("{what} within {limit} s: {missing}"))
}
