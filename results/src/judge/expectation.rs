//! What a plan expects of the cluster while a fault lasts, and whether it did so.
//!
//! The trial records the expectation beside the fault; it is judged here, from the recovery figures.
//! One that is not met is a finding, whichever way: a fault that ought to have been felt and was not
//! is one too. What is absent: faults without proof, and those that were cut short. They are told
//! elsewhere, and nothing is concluded from them.

use crate::judge::recovery::{PartitionRecovery, StreamKind};
use crate::judge::span::FaultSpan;
use crate::judge::verdict::{Check, Verdict};
use crate::record::event::Expectation;

/// Judges the faults of a trial; nothing when no plan expects anything of them.
pub(crate) fn judge(faults: &[FaultSpan], rows: &[PartitionRecovery]) -> Option<Check> {
    let proven = faults.iter().filter(|fault| fault.proven);
    let judged: Vec<_> = proven
        .filter_map(|fault| Some((fault, fault.expected?)))
        .filter(|(_, expected)| *expected != Expectation::Anything)
        .collect();
    if judged.is_empty() {
        return None;
    }
    let (mut unmet, mut unseen) = (vec![], vec![]);
    for (fault, expected) in &judged {
        let rows: Vec<_> = rows.iter().filter(|row| row.fault == fault.id).collect();
        if rows.is_empty() {
            unseen.push(format!("{}: no client asked anything meanwhile", fault.id));
        }
        unmet.extend(instead(fault, *expected, &rows).map(|what| format!("{}: {what}", fault.id)));
    }
    let verdict = match (unmet.is_empty(), unseen.is_empty()) {
        (false, _) => Verdict::Violated,
        (true, false) => Verdict::Unknown,
        (true, true) => Verdict::Valid,
    };
    let count = unmet.len() as u64;
    unmet.extend(unseen);
    Some(Check {
        name: "plan-expectation".to_owned(),
        verdict,
        count,
        examined: judged.len() as u64,
        note: (!unmet.is_empty()).then(|| unmet.join("; ")),
        witnesses: vec![],
    })
}

/// What was seen instead, if the cluster did not do what is expected.
fn instead(
    fault: &FaultSpan,
    expected: Expectation,
    rows: &[&PartitionRecovery],
) -> Option<String> {
    match expected {
        Expectation::Anything => None,
        Expectation::Recovery => (fault.recovered == Some(false))
            .then(|| "it was to recover while the fault lasts, and did not".to_owned()),
        Expectation::OutageUntilHeal => {
            let felt = rows.iter().any(|r| r.stream == StreamKind::Main && r.ended_after_heal);
            (!rows.is_empty() && !felt).then(|| {
                "an outage of the main load until the heal was expected, and none seen".to_owned()
            })
        }
        Expectation::GapsBelow(bound) => {
            let bound = bound.as_secs_f64();
            let above = rows.iter().filter(|row| row.unavailable_s > bound);
            let worst = above.max_by(|a, b| a.unavailable_s.total_cmp(&b.unavailable_s))?;
            let least = if worst.censored { ">= " } else { "" };
            Some(format!(
                "{} of {}-{} was unavailable for {least}{:.2} s, at most {bound} s were expected",
                worst.stream.as_str(),
                worst.topic,
                worst.partition,
                worst.unavailable_s
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::three_faults;
    use crate::judge::figures::Figures;
    use crate::judge::recovery;
    use crate::judge::timeline::Timeline;
    use crate::record::event::EventKind;

    /// The three faults of the fixture, each with this expectation.
    fn judged(expectation: Option<Expectation>) -> Option<Check> {
        let mut trial = three_faults(1).trial();
        for event in &mut trial.events {
            if let EventKind::FaultRecovered { expected, .. } = &mut event.kind {
                *expected = expectation;
            }
        }
        let timeline = Timeline::new(&trial.events);
        let figures = Figures::of(&*trial.history, &timeline, 150.0).unwrap();
        let rows =
            recovery::measure(1, trial.environment.as_ref().unwrap(), &timeline, &figures.service);
        judge(&timeline.faults, &rows.partitions)
    }

    #[test]
    fn an_expectation_that_is_not_met_is_found_whichever_way() {
        assert_eq!(judged(None), None, "old runs have none");
        assert_eq!(judged(Some(Expectation::Anything)), None);
        let met = judged(Some(Expectation::Recovery)).unwrap();
        assert_eq!((met.verdict, met.examined, met.note), (Verdict::Valid, 3, None));

        let unfelt = judged(Some(Expectation::OutageUntilHeal)).unwrap();
        assert_eq!((unfelt.verdict, unfelt.count), (Verdict::Violated, 3), "{:?}", unfelt.note);

        let bound = |seconds| Some(Expectation::GapsBelow(Duration::from_secs(seconds)));
        assert_eq!(judged(bound(60)).unwrap().verdict, Verdict::Valid);
        let slow = judged(bound(2)).unwrap();
        assert_eq!(slow.verdict, Verdict::Violated);
        assert!(slow.note.unwrap().contains("at most 2 s were expected"));
    }

    #[test]
    fn what_no_client_saw_is_unknown() {
        let trial = three_faults(1).trial();
        let mut faults = Timeline::new(&trial.events).faults;
        faults[0].expected = Some(Expectation::OutageUntilHeal);
        assert_eq!(judge(&faults, &[]).unwrap().verdict, Verdict::Unknown);
        faults[0].proven = false;
        assert_eq!(judge(&faults, &[]), None);
    }
}
