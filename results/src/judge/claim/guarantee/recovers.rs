//! Whether everything was served again while each fault lasted.

use std::collections::BTreeSet;

use super::Examination;
use super::cluster::{each_step, examined, lasts_too_short, together, undone_before};
use crate::judge::claim::choices::LostChoices;
use crate::judge::claim::proof::Proof;
use crate::judge::claim::{Claim, TrialFacts};
use crate::judge::expectation;
use crate::judge::span::FaultSpan;
use crate::record::event::{Process, Role};
use crate::terminal::counted;

/// What consumers get within so many seconds of the begin of a heal is not due to it: a server takes longer to start.
const UNDONE_SOONEST_S: f64 = 1.0;

/// Everything was served again while each fault lasted. Of faults that take several brokers each it is told which of them
/// were survived.
pub(super) fn recovers(claim: &Claim, trial: &TrialFacts) -> Examination {
    let each = each_step(claim, trial, |fault| recovered(fault, trial));
    let told = claim.scenario.iter().zip(&each).map(|(step, (fault, seen))| {
        let survived = match seen {
            Examination::Kept(_) => Some(true),
            Examination::Violated(_) => Some(false),
            Examination::Open(_) => None,
        };
        (step.as_str(), *fault, survived)
    });
    let told: Vec<_> = told.collect();
    let missed = told.iter().filter(|(_, _, survived)| *survived == Some(false)).count();
    let lost = LostChoices::of(&trial.environment.settings, &told);
    let all = together("faults", each.into_iter().map(|(_, seen)| seen));
    match (all, lost, claim.scenario.len() as u64) {
        (Examination::Violated(_), Some(lost), _) => Examination::Violated(lost.to_string()),
        (Examination::Kept(_), Some(lost), _) => Examination::Kept(Proof::Survived(lost)),
        (Examination::Violated(what), None, steps @ 2..) => {
            Examination::Violated(format!("{missed} of {}: {what}", counted(steps, "fault")))
        }
        (all, ..) => all,
    }
}

/// Whether everything was served again while one fault lasted.
fn recovered(fault: &FaultSpan, trial: &TrialFacts) -> Examination {
    let rows = trial.recovery.partitions.iter();
    let rows: Vec<_> = rows.filter(|row| row.fault == fault.id && !row.added).collect();
    let id = &fault.id;
    match (fault.recovered, expectation::of_the_client(&rows)) {
        (Some(true), _) => match not_everything(fault, trial) {
            Some(why) => Examination::Open(format!("step \"{id}\": {why}")),
            None => examined("faults", 1),
        },
        (None, _) => {
            Examination::Open(format!("whether step \"{id}\" was recovered from was not told"))
        }
        (Some(false), Some(of_client)) => Examination::Open(of_client),
        (Some(false), None) if let Some(needs) = lasts_too_short(fault, trial) => {
            Examination::Open(undone_before(fault, needs))
        }
        (Some(false), None) => {
            let nodes: BTreeSet<_> = fault.victims.iter().map(|it| it.node.as_str()).collect();
            let without = match nodes.len() {
                0 | 1 => String::new(),
                _ => format!(" ({})", nodes.into_iter().collect::<Vec<_>>().join(", ")),
            };
            Examination::Violated(format!(
                "not everything was served again while step \"{id}\"{without} lasted"
            ))
        }
    }
}

/// What a recovery of producers that was seen while a fault lasted leaves open.
fn not_everything(fault: &FaultSpan, trial: &TrialFacts) -> Option<String> {
    let waited = trial.recovery.consuming.iter().find_map(|group| {
        let of_it = group.faults.iter().find(|it| it.fault == fault.id)?;
        let lasted = fault.healing?.secs_since(fault.injecting);
        let long_after = |delivered_s| delivered_s > lasted + UNDONE_SOONEST_S;
        let mut waited = of_it.partitions.iter().filter(|it| it.interrupted);
        let late = waited.find(|it| it.censored || it.delivered_s.is_some_and(long_after))?;
        Some(format!(
            "group {} waited for records of {}-{} until it was undone",
            group.group, group.topic, late.partition
        ))
    });
    // Writes go on when it is ZooKeeper's servers alone that are away, until brokers miss them.
    let is_zookeeper = |victim: &Process| victim.role == Role::Zookeeper;
    let unfelt = !fault.victims.is_empty() && fault.victims.iter().all(is_zookeeper);
    waited.or_else(|| {
        let needs = lasts_too_short(fault, trial).filter(|_| unfelt)?;
        Some(format!("it was undone before the {needs:.0} s in which sessions expire"))
    })
}
