//! Changes of the cluster while its load runs, as a plan asks for them: brokers that join, partitions that are added
//! and moved, leaders that are elected. Everybody who asks the membership knows of them from then on.
//!
//! Invariant: a reassignment that is not complete when it is given up is cancelled, and the record says so.

mod spread;
mod throttle;
mod undo;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use faults::plan::{ChangeStep, ClusterChange};
use faults::port::{
    Assignment, PortError, Process, ProcessState, RunControl as _, Servers as _, Signal,
};
use results::record::event::{BrokerId, ChangeMark, ChangeSeen, EventKind, Role};
use workloads::Load;

use tokio::time::sleep;

use super::interrupt::Interrupt;
use super::lab::Lab;
use super::run_control::TrialRunControl;
use crate::admin::Admin;
use crate::failure::Failure;
use crate::membership::Member;

/// Limit for the cluster and its load to be steady before and after a change, as before a fault; and for replicas to be
/// where they go, which may have to wait for a fault to be healed.
const STEADY_LIMIT: Duration = Duration::from_secs(120);

/// Limit for a broker to end in order: it asks the controller up to 3 times, 5 s apart, to move what it leads, and
/// flushes its logs.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);

/// How often it is looked at who is struck.
const LOOK: Duration = Duration::from_millis(50);

/// A change that is to be undone.
pub(super) struct MadeChange {
    step: ChangeStep,
    /// Where the replicas were before it.
    before: Assignment,
}

/// Whom changes are made to, and how the trial goes.
pub(super) struct Changing<'a> {
    lab: &'a Lab,
    /// Asks the brokers that no fault is on.
    admin: Admin,
    load: &'a RefCell<Load>,
    run_control: &'a TrialRunControl,
    interrupt: &'a Interrupt,
    seed: u64,
}

impl<'a> Changing<'a> {
    pub(super) fn new(
        lab: &'a Lab,
        load: &'a RefCell<Load>,
        run_control: &'a TrialRunControl,
        interrupt: &'a Interrupt,
        seed: u64,
    ) -> Self {
        Self { lab, admin: lab.admin.apart(), load, run_control, interrupt, seed }
    }

    /// Makes changes, one after the other, each on a steady cluster, until the run is interrupted.
    ///
    /// # Errors
    /// When the cluster does not become steady, or a change cannot be made.
    pub(super) async fn make(
        &self,
        changes: impl Iterator<Item = &ChangeStep>,
    ) -> Result<(), Failure> {
        for step in changes {
            if self.interrupt.raised() {
                return Ok(());
            }
            self.run_control.steady(STEADY_LIMIT).await?;
            if !self.attempt(step).await? {
                return Ok(());
            }
            self.run_control.steady(STEADY_LIMIT).await?;
            self.record(step, ChangeMark::Done, step.change.to_string()).await;
            self.interrupt.sleep(step.hold).await;
        }
        Ok(())
    }

    /// Makes a change while faults may be in force on what `struck` names, of which nothing is waited for; whether it is
    /// complete.
    pub(super) async fn make_beside(
        &self,
        step: &ChangeStep,
        struck: &dyn Fn() -> BTreeSet<Process>,
    ) -> bool {
        let leave_out = async {
            loop {
                let brokers = struck().into_iter().filter(|process| process.role == Role::Broker);
                self.admin.leave_out(brokers.map(|broker| broker.id).collect());
                sleep(LOOK).await;
            }
        };
        let made = async {
            // Why it was given up is in the record.
            let made = self.attempt(step).await.unwrap_or(false);
            if made {
                self.record(step, ChangeMark::Done, step.change.to_string()).await;
            }
            made
        };
        tokio::select! {
            biased;
            () = leave_out => false,
            made = made => made,
        }
    }

    /// Begins a change, and makes or gives it up; whether it is made, or the run was interrupted.
    async fn attempt(&self, step: &ChangeStep) -> Result<bool, Failure> {
        self.record(step, ChangeMark::Began, step.change.to_string()).await;
        if step.undo {
            let (step, before) = (step.clone(), self.lab.members.assignment());
            self.run_control.made.borrow_mut().push(MadeChange { step, before });
        }
        let made = tokio::select! {
            made = self.change(&step.change) => Some(made),
            () = self.interrupt.wait() => None,
        };
        match made {
            Some(Ok(())) => Ok(true),
            Some(Err(failure)) => {
                self.give_up(step, failure.text()).await;
                Err(failure)
            }
            None => {
                self.give_up(step, "the run was interrupted").await;
                Ok(false)
            }
        }
    }

    async fn change(&self, change: &ClusterChange) -> Result<(), Failure> {
        let lab = self.lab;
        match change {
            ClusterChange::Join(brokers) => {
                for broker in brokers {
                    lab.join(&self.standby(*broker)?).await?;
                }
                Ok(())
            }
            ClusterChange::AddPartitions(count) => {
                lab.add_partitions(&self.admin, self.load, &self.topic(), *count).await
            }
            ClusterChange::Reassign => self.move_to(&self.spread()?, None).await,
            ClusterChange::ReassignThrottled(bytes) => {
                self.move_to(&self.spread()?, Some(*bytes)).await
            }
            ClusterChange::ElectLeaders => {
                Ok(self.admin.elect_preferred(&lab.members.assignment()).await?)
            }
        }
    }

    /// Moves replicas, under a throttle if one is given in bytes a second.
    async fn move_to(&self, to: &Assignment, throttle: Option<u64>) -> Result<(), Failure> {
        let limit = match throttle {
            None => STEADY_LIMIT,
            Some(bytes) => {
                self.throttle(to, bytes).await?;
                self.throttled_limit(to, bytes).await?
            }
        };
        self.admin.place_within(to, limit).await?;
        self.lab.members.place(to);
        match throttle {
            None => Ok(()),
            Some(_) => Ok(self.unthrottle(to).await?),
        }
    }

    /// Where replicas go that are spread over all brokers that no fault is on: Kafka moves none to a dead broker.
    fn spread(&self) -> Result<Assignment, Failure> {
        spread::generated(&self.lab.members.assignment(), &self.admin.brokers(), self.seed)
    }

    fn standby(&self, broker: BrokerId) -> Result<Process, Failure> {
        let mut all = self.lab.cluster.servers().processes().into_iter();
        let found = all.find(|it| it.role == Role::Broker && it.id == broker);
        found
            .ok_or_else(|| Failure::usage(format!("the cluster has no broker {broker} on standby")))
    }

    fn topic(&self) -> String {
        self.lab.members.topics().into_iter().next().unwrap_or_default()
    }

    /// Leaves no reassignment under way, and records that.
    async fn give_up(&self, step: &ChangeStep, why: &str) {
        let cancelled = self.none_under_way(step).await;
        self.record(step, ChangeMark::GivenUp, format!("{why}{cancelled}")).await;
    }

    /// Leaves no reassignment of a change under way; what was done about it.
    async fn none_under_way(&self, step: &ChangeStep) -> String {
        match &step.change {
            // Who takes back that brokers joined moves what these hold.
            ClusterChange::Join(_) if !step.undo => String::new(),
            ClusterChange::Join(_)
            | ClusterChange::Reassign
            | ClusterChange::ReassignThrottled(_) => {
                let throttled = matches!(step.change, ClusterChange::ReassignThrottled(_));
                self.cancelled(throttled).await.unwrap_or_else(|error| {
                    format!(
                        "; what is under way of the reassignment could not be cancelled: {error}"
                    )
                })
            }
            ClusterChange::AddPartitions(_) | ClusterChange::ElectLeaders => String::new(),
        }
    }

    async fn cancelled(&self, throttled: bool) -> Result<String, PortError> {
        let (admin, assignment) = (&self.admin, self.lab.members.assignment());
        let cancelled = admin.cancel_reassignment(&assignment).await;
        // Whether or not that came about.
        if throttled {
            self.unthrottle(&assignment).await?;
        }
        Ok(match cancelled? {
            0 => "; no reassignment is under way".to_owned(),
            n => format!("; the reassignment of {n} partitions was cancelled"),
        })
    }

    /// Records a moment of a change, with the cluster as its brokers describe it.
    async fn record(&self, step: &ChangeStep, mark: ChangeMark, what: String) {
        let at = self.run_control.now();
        let topic = self.topic();
        let placed = self.admin.placement(&topic).await;
        let bytes = self.admin.log_bytes(&topic).await;
        let unseen = [placed.as_ref().err(), bytes.as_ref().err()];
        let unseen = unseen.into_iter().flatten().next().map(ToString::to_string);
        let left_out: Vec<_> = self.admin.left_out().iter().map(ToString::to_string).collect();
        let struck = || format!("a fault was on brokers {}", left_out.join(", "));
        let unseen = unseen.or_else(|| (!left_out.is_empty()).then(struck));
        let seen = ChangeSeen {
            change: step.id.clone(),
            mark,
            what,
            leave: if mark == ChangeMark::Undoing { self.leaving(step) } else { vec![] },
            partitions: placed.unwrap_or_default(),
            log_bytes: bytes.unwrap_or_default(),
            unseen,
        };
        self.run_control.record(at, EventKind::Change(seen));
    }
}

impl Lab {
    /// Lets a process on standby join the cluster; returns when it serves, a broker when it is
    /// registered.
    ///
    /// # Errors
    /// When it cannot be started, or ends before it serves; it does not belong to the cluster then.
    pub async fn join(&self, process: &Process) -> Result<(), Failure> {
        let address = self.cluster.servers().address(process);
        self.members.join(Member { process: process.clone(), address });
        let started = self.servers.start(process).await;
        if started.is_err() {
            self.members.leave(process);
        }
        Ok(started?)
    }

    /// Ends a broker in order, which does not belong to the cluster any more then.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn leave(&self, process: &Process) -> Result<(), Failure> {
        self.servers.signal(process, Signal::Term).await?;
        let state = self.servers.ended(process, LEAVE_LIMIT).await?;
        if !matches!(state, ProcessState::Gone { .. }) {
            let limit = LEAVE_LIMIT.as_secs();
            return Err(Failure::infrastructure(format!("{process} has not ended in {limit} s")));
        }
        self.members.leave(process);
        Ok(())
    }

    /// Gives a topic of the load `count` partitions, of which Kafka places the new ones; returns when every broker that
    /// `admin` asks names their leaders, and the load has been told.
    ///
    /// # Errors
    /// When the controller refuses, a broker does not learn of it in time, or a producer has no key
    /// for one of them.
    pub async fn add_partitions(
        &self,
        admin: &Admin,
        load: &RefCell<Load>,
        topic: &str,
        count: u32,
    ) -> Result<(), Failure> {
        let replicas = admin.add_partitions(topic, count).await?;
        self.members.add_partitions(topic, &replicas);
        let grown = load.borrow_mut().grow(topic, self.members.partitions(topic));
        grown.map_err(super::client_failure)
    }
}
