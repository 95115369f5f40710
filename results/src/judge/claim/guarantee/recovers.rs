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

#[cfg(test)]
mod tests {
    use crate::fixture::{self, Fixture};
    use crate::judge::claim::{ClaimResult, Outcome, parse};
    use crate::record::event::BrokerId;
    use crate::report::{Question, judge};

    /// A claim about one loss of neighbours or two that are drawn, in a run with these: the step, the brokers, and whether
    /// everything was served again meanwhile.
    fn claim(steps: &[(&str, [BrokerId; 2], bool)]) -> ClaimResult {
        let text = "[[claim]]\nid = \"x\"\ntext = \"t\"\nsource = \"s\"\nscenario = [\"three-nodes\"]\n\
                    or_scenario = [\"drawn-1\", \"drawn-2\"]\nmetric = \"recovers-while-fault-lasts\"";
        let mut f = Fixture::new(1, 110.0);
        for (at, (step, brokers, recovered)) in [20.0, 65.0].into_iter().zip(steps) {
            f.inject(step, at, brokers);
            f.heal(step, at + 30.0, 0.0, brokers, *recovered);
        }
        let mut trial = f.trial();
        let settings = &mut trial.environment.as_mut().unwrap().settings;
        settings.assignment = vec![vec![1, 2, 3], vec![2, 3, 1], vec![3, 1, 2]];
        let claims = parse("x.toml", text).unwrap();
        judge(&Question { claims, ..fixture::question(1) }, &[trial]).claims.remove(0)
    }

    #[test]
    fn drawn_losses_are_told_with_their_nodes_and_how_many_were_survived() {
        for (second, outcome, words) in [
            (
                ([2, 3], false),
                Outcome::Refuted,
                "0 of 2 choices of 2 of 3 brokers were survived (2 of the 3 that there are): drawn-1 (node1, node2) \
                 was not, drawn-2 (node2, node3) was not; by the copies that are left of the load's topic, 0 of the 3 \
                 can be",
            ),
            (
                ([1, 2], true),
                Outcome::Refuted,
                "1 of 2 choices of 2 of 3 brokers were survived (1 of the 3 that there are): drawn-1 (node1, node2) \
                 was not, drawn-2 (node1, node2) was; by",
            ),
        ] {
            let (brokers, recovered) = second;
            let told = claim(&[("drawn-1", [1, 2], false), ("drawn-2", brokers, recovered)]);
            assert_eq!(told.outcome, outcome, "{}", told.reason);
            assert!(told.reason.starts_with(words), "{}", told.reason);
        }
        let told = claim(&[("drawn-1", [1, 2], true), ("drawn-2", [2, 3], true)]);
        assert_eq!(told.outcome, Outcome::Holds, "{}", told.reason);
        assert!(told.reason.starts_with("2 of 2 choices of 2 of 3 brokers"), "{}", told.reason);
        assert!(told.reason.contains("drawn-2 (node2, node3) was;"), "{}", told.reason);
    }

    #[test]
    fn a_run_is_judged_by_its_own_plan_s_steps_and_by_all_of_them() {
        let neighbours = claim(&[("three-nodes", [1, 2], false)]);
        assert_eq!(neighbours.outcome, Outcome::Refuted, "{}", neighbours.reason);
        assert_eq!(
            neighbours.reason,
            "not everything was served again while step \"three-nodes\" (node1, node2) lasted"
        );
        let survived = claim(&[("three-nodes", [1, 2], true)]);
        assert_eq!(survived.outcome, Outcome::Holds, "{}", survived.reason);
        let half = claim(&[("drawn-1", [1, 2], true)]);
        assert_eq!(half.outcome, Outcome::Undecided, "{}", half.reason);
        assert!(half.reason.contains("needs step \"drawn-2\""), "{}", half.reason);
        let half = claim(&[("drawn-1", [1, 2], false)]);
        assert_eq!(half.outcome, Outcome::Refuted, "{}", half.reason);
        assert!(half.reason.contains("was not, drawn-2 is not known"), "{}", half.reason);
        let none = claim(&[]);
        assert!(none.reason.contains("needs step \"three-nodes\""), "{}", none.reason);
    }
}
