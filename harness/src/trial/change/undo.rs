//! Changes that are undone because their plan says so: the latest first, when all steps and changes are over, each on a
//! steady cluster and still under load, or without it where the run was interrupted.

use faults::plan::{ChangeStep, ClusterChange};
use faults::port::RunControl as _;
use results::record::event::{BrokerId, ChangeMark};

use super::{Changing, MadeChange, STEADY_LIMIT, spread};
use crate::failure::Failure;

impl Changing<'_> {
    /// Undoes what is to be undone, whatever became of it; each is tried, and how it went is in the record.
    ///
    /// # Errors
    /// The first that cannot be undone.
    pub(in super::super) async fn undo(&self) -> Result<(), Failure> {
        let mut outcome = Ok(());
        let last = || self.run_control.made.borrow_mut().pop();
        while let Some(made) = last() {
            let undone = self.undo_one(&made).await;
            let (mark, what) = match &undone {
                Ok(()) => (ChangeMark::Undone, undone_text(&made.step)),
                Err(failure) => {
                    let cancelled = self.none_under_way(&made.step).await;
                    (ChangeMark::NotUndone, format!("{}{cancelled}", failure.text()))
                }
            };
            self.record(&made.step, mark, what).await;
            self.interrupt.sleep(made.step.hold).await;
            outcome = outcome.and(undone);
        }
        outcome
    }

    async fn undo_one(&self, made: &MadeChange) -> Result<(), Failure> {
        let MadeChange { step, before } = made;
        self.run_control.steady(STEADY_LIMIT).await?;
        self.record(step, ChangeMark::Undoing, undone_text(step)).await;
        match &step.change {
            ClusterChange::Join(_) => self.leave(&self.leaving(step)).await?,
            ClusterChange::Reassign => self.move_to(before, None).await?,
            ClusterChange::ReassignThrottled(bytes) => self.move_to(before, Some(*bytes)).await?,
            // No plan has an undo of these.
            ClusterChange::AddPartitions(_) | ClusterChange::ElectLeaders => {}
        }
        Ok(self.run_control.steady(STEADY_LIMIT).await?)
    }

    /// The brokers that the undo of a change ends: those of the brokers that it let join which did.
    pub(super) fn leaving(&self, step: &ChangeStep) -> Vec<BrokerId> {
        let ClusterChange::Join(joined) = &step.change else { return vec![] };
        let there = self.lab.members.brokers();
        joined.iter().rev().filter(|broker| there.contains_key(broker)).copied().collect()
    }

    /// Lets brokers leave, without a replica: what the load has on them goes to the others first.
    async fn leave(&self, brokers: &[BrokerId]) -> Result<(), Failure> {
        let mut stay = self.admin.brokers();
        stay.retain(|broker| !brokers.contains(broker));
        // By the controller's word: a change that was given up may have moved or added some.
        let known = self.lab.members.assignment();
        self.admin.cancel_reassignment(&known).await?;
        let now = self.admin.replicas(&known).await?;
        if now.values().flatten().any(|holder| brokers.contains(holder)) {
            self.move_to(&spread::generated(&now, &stay, self.seed)?, None).await?;
        }
        let held = self.admin.topics_on(brokers).await?;
        if let Some(topic) = held.first() {
            let all: Vec<_> = brokers.iter().map(ToString::to_string).collect();
            let what = format!("brokers {} hold replicas of topic {topic}", all.join(", "));
            return Err(Failure::infrastructure(format!("{what}, and do not leave with them")));
        }
        for broker in brokers {
            self.lab.leave(&self.standby(*broker)?).await?;
        }
        Ok(())
    }
}

/// What an undo does, in words.
fn undone_text(step: &ChangeStep) -> String {
    match &step.change {
        ClusterChange::Join(brokers) => {
            let ids: Vec<_> = brokers.iter().map(ToString::to_string).collect();
            format!("brokers {} leave", ids.join(", "))
        }
        _ => format!("replicas are where they were before \"{}\"", step.id),
    }
}
