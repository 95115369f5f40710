//! What a plan expects of the cluster while a fault lasts, and whether it did so.
//!
//! The trial records the expectation beside the fault; it is judged here, from the recovery figures.
//! One that is not met is a finding, whichever way: a fault that ought to have been felt and was not
//! is one too. What is absent: faults without proof, and those that were cut short or cannot recover in
//! the time that they last. They are told elsewhere, and nothing is concluded from them. In a run that
//! is worth nothing, nothing is; nor of a fault that something else disturbed.

use crate::judge::disturbance::{self, Disturbance};
use crate::judge::predict;
use crate::judge::recovery::{PartitionRecovery, StreamKind};
use crate::judge::span::FaultSpan;
use crate::judge::verdict::{Check, Verdict};
use crate::record::environment::Settings;
use crate::record::event::Expectation;

const NAME: &str = "plan-expectation";

/// Judges the faults of a trial; nothing when no plan expects anything of them. `unusable`: why
/// nothing that the trial measured counts.
pub(crate) fn judge(
    faults: &[FaultSpan],
    rows: &[PartitionRecovery],
    settings: &Settings,
    disturbances: &[Disturbance],
    unusable: Option<&str>,
) -> Option<Check> {
    let proven = faults.iter().filter(|fault| fault.proven);
    let judged: Vec<_> = proven
        .filter_map(|fault| Some((fault, fault.expected?)))
        .filter(|(fault, expected)| match expected {
            Expectation::Anything => false,
            Expectation::Recovery => !lasts_too_short(fault, settings),
            Expectation::OutageUntilHeal | Expectation::GapsBelow(_) => true,
        })
        .collect();
    if judged.is_empty() {
        return None;
    }
    if let Some(why) = unusable {
        return Some(Check {
            name: NAME.to_owned(),
            verdict: Verdict::Unknown,
            count: 0,
            examined: 0,
            without_a_copy: false,
            note: Some(format!("not judged: {why}")),
            witnesses: vec![],
        });
    }
    let (mut unmet, mut unseen) = (vec![], vec![]);
    for (fault, expected) in &judged {
        let healed = matches!(expected, Expectation::GapsBelow(_));
        if let Some(disturbed) = disturbance::of_fault(fault, healed, rows, disturbances) {
            unseen.push(format!("{}: not judged: {}", fault.id, disturbed.describe()));
            continue;
        }
        let rows: Vec<_> = rows.iter().filter(|row| row.fault == fault.id && !row.added).collect();
        if rows.is_empty() {
            unseen.push(format!("{}: no client asked anything meanwhile", fault.id));
        }
        unseen.extend(open(*expected, &rows).map(|what| format!("{}: {what}", fault.id)));
        if fault.recovered == Some(false)
            && *expected == Expectation::Recovery
            && let Some(what) = of_the_client(&rows)
        {
            unseen.push(format!("{}: {what}", fault.id));
            continue;
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
        name: NAME.to_owned(),
        verdict,
        count,
        examined: judged.len() as u64,
        without_a_copy: false,
        note: (!unmet.is_empty()).then(|| unmet.join("; ")),
        witnesses: vec![],
    })
}

/// Whether the settings predict that nothing can have recovered when the fault was undone.
fn lasts_too_short(fault: &FaultSpan, settings: &Settings) -> bool {
    let lasted = fault.healing.map(|healing| healing.secs_since(fault.injecting));
    let needs = predict::partition_recovery(settings, fault).map(|p| p.interval_s[0]);
    lasted.zip(needs).is_some_and(|(lasted, needs)| lasted < needs)
}

/// What the record does not say to the end: a gap that is below the bound so far, or a response that is no gap
/// yet and is above it.
fn open(expected: Expectation, rows: &[&PartitionRecovery]) -> Option<String> {
    let Expectation::GapsBelow(bound) = expected else {
        return None;
    };
    let bound = bound.as_secs_f64();
    let place = |row: &PartitionRecovery| {
        format!("{} of {}-{}", row.stream.as_str(), row.topic, row.partition)
    };
    let longest = rows.iter().map(|row| (row, row.longest_gap()));
    let mut unended = longest.filter(|(_, gap)| gap.censored && gap.seconds <= bound);
    let unended = unended.next().map(|(row, gap)| {
        let seconds = gap.seconds;
        format!("{} was unavailable for >= {seconds:.2} s when the record ends", place(row))
    });
    let slow = |row: &&&PartitionRecovery| row.longest_response_s.is_some_and(|s| s > bound);
    let slow = rows.iter().find(slow).map(|row| {
        let longest = row.longest_response_s.unwrap_or_default();
        format!("{} was not interrupted, and a response took {longest:.3} s", place(row))
    });
    unended.or(slow)
}

/// Why a recovery that did not come was missed by librdkafka's client alone: where the same partitions answered the
/// direct producer while the fault lasted. `None` where anybody else missed it, or nobody is known to have.
pub(crate) fn of_the_client(rows: &[&PartitionRecovery]) -> Option<String> {
    let missed = |row: &PartitionRecovery| row.censored || row.ended_after_heal;
    let all = rows.iter().filter(|row| missed(row)).map(|row| {
        let same = |other: &&&PartitionRecovery| {
            other.stream == StreamKind::Direct
                && (&other.topic, other.partition) == (&row.topic, row.partition)
        };
        let direct = rows.iter().find(same)?;
        (row.stream == StreamKind::Main && !missed(direct)).then_some((row, direct))
    });
    let (row, direct) = all.collect::<Option<Vec<_>>>()?.into_iter().next()?;
    Some(format!(
        "{} partition {} answered the direct producer after {:.1} s, and librdkafka's client not while the \
         fault lasted: that is the client's time, not the cluster's",
        row.topic, row.partition, direct.unavailable_s
    ))
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
            // A main load that asks for no acks has no rows, and feels nothing.
            let mut main = rows.iter().filter(|row| row.stream == StreamKind::Main).peekable();
            (main.peek().is_some() && !main.any(|row| row.ended_after_heal)).then(|| {
                "an outage of the main load until the heal was expected, and none seen".to_owned()
            })
        }
        Expectation::GapsBelow(bound) => {
            let bound = bound.as_secs_f64();
            let longest = rows.iter().map(|row| (row, row.longest_gap()));
            let above = longest.filter(|(_, gap)| gap.seconds > bound);
            let (row, gap) = above.max_by(|(_, a), (_, b)| a.seconds.total_cmp(&b.seconds))?;
            let least = if gap.censored { ">= " } else { "" };
            let when = if gap.after_heal { " after kbench began to heal" } else { "" };
            Some(format!(
                "{} of {}-{} was unavailable for {least}{:.2} s{when}, at most {bound} s were expected",
                row.stream.as_str(),
                row.topic,
                row.partition,
                gap.seconds
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fixture::{at, three_faults};
    use crate::judge::figures::Figures;
    use crate::judge::recovery;
    use crate::judge::timeline::Timeline;
    use crate::record::event::{Event, EventKind};

    /// The three faults of the fixture, each with this expectation.
    fn judged(expectation: Option<Expectation>) -> Option<Check> {
        judged_in(expectation, None, |_| ())
    }

    fn judged_in(
        expectation: Option<Expectation>,
        unusable: Option<&str>,
        change: impl Fn(&mut Vec<Event>),
    ) -> Option<Check> {
        let mut trial = three_faults(1).trial();
        for event in &mut trial.events {
            if let EventKind::FaultRecovered { expected, .. } = &mut event.kind {
                *expected = expectation;
            }
        }
        change(&mut trial.events);
        let timeline = Timeline::new(&trial.events);
        let figures = Figures::of(&*trial.history, &timeline, 150.0).unwrap();
        let environment = trial.environment.as_ref().unwrap();
        let rows = recovery::measure(1, environment, &timeline, &figures.service, true);
        judge(&timeline.faults, &rows.partitions, &environment.settings, &[], unusable)
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
    fn a_run_that_is_worth_nothing_violates_no_expectation() {
        let bound = Some(Expectation::GapsBelow(Duration::from_secs(2)));
        let invalid = judged_in(bound, Some("the run is invalid"), |_| ()).unwrap();
        assert_eq!((invalid.verdict, invalid.count), (Verdict::Unknown, 0));
    }

    #[test]
    fn what_cannot_recover_in_the_time_that_a_fault_lasts_is_not_expected_to() {
        let unrecovered = |healing: f64| {
            judged_in(Some(Expectation::Recovery), None, |events| {
                for event in events {
                    match &mut event.kind {
                        EventKind::FaultRecovered { recovered, .. } => *recovered = false,
                        EventKind::FaultHealing { fault_id } if fault_id == "leader" => {
                            event.at = at(50.0 + healing);
                        }
                        _ => {}
                    }
                }
            })
        };
        // The detection of a dead broker takes 12 s at the least.
        assert_eq!(unrecovered(5.0).unwrap().count, 2);
        assert_eq!(unrecovered(13.0).unwrap().count, 3);
    }

    #[test]
    fn a_gap_below_the_bound_that_did_not_end_is_open() {
        let trial = three_faults(1).trial();
        let timeline = Timeline::new(&trial.events);
        let figures = Figures::of(&*trial.history, &timeline, 150.0).unwrap();
        let environment = trial.environment.as_ref().unwrap();
        let measured = recovery::measure(1, environment, &timeline, &figures.service, true);
        let mut rows = measured.partitions;
        rows.iter_mut().for_each(|row| row.censored = row.interrupted);
        let mut faults = timeline.faults.clone();
        for fault in &mut faults {
            fault.expected = Some(Expectation::GapsBelow(Duration::from_secs(60)));
        }
        let check = judge(&faults, &rows, &environment.settings, &[], None).unwrap();
        assert_eq!(check.verdict, Verdict::Unknown, "{:?}", check.note);
    }

    #[test]
    fn a_response_that_is_no_gap_and_above_the_bound_is_open() {
        let trial = three_faults(1).trial();
        let timeline = Timeline::new(&trial.events);
        let figures = Figures::of(&*trial.history, &timeline, 150.0).unwrap();
        let environment = trial.environment.as_ref().unwrap();
        let mut rows =
            recovery::measure(1, environment, &timeline, &figures.service, true).partitions;
        rows.retain(|row| !row.interrupted);
        rows.iter_mut().for_each(|row| row.longest_response_s = Some(0.45));
        let mut faults = timeline.faults.clone();
        let mut verdict = |ms| {
            for fault in &mut faults {
                fault.expected = Some(Expectation::GapsBelow(Duration::from_millis(ms)));
            }
            faults.truncate(1);
            judge(&faults, &rows, &environment.settings, &[], None).unwrap().verdict
        };
        assert_eq!((verdict(200), verdict(460)), (Verdict::Unknown, Verdict::Valid));
    }

    #[test]
    fn what_no_client_saw_is_unknown() {
        let trial = three_faults(1).trial();
        let mut faults = Timeline::new(&trial.events).faults;
        faults[0].expected = Some(Expectation::OutageUntilHeal);
        let settings = &trial.environment.as_ref().unwrap().settings;
        assert_eq!(judge(&faults, &[], settings, &[], None).unwrap().verdict, Verdict::Unknown);
        faults[0].proven = false;
        assert_eq!(judge(&faults, &[], settings, &[], None), None);
    }

    #[test]
    fn a_recovery_that_librdkafka_s_client_alone_missed_is_not_the_cluster_s() {
        let verdict = |direct_is_late: Option<bool>, probe_is_late: bool| {
            let mut trial = three_faults(1).trial();
            for event in &mut trial.events {
                if let EventKind::FaultRecovered { fault_id, recovered, expected, .. } =
                    &mut event.kind
                {
                    *expected = Some(Expectation::Recovery);
                    *recovered = fault_id != "leader";
                }
            }
            let timeline = Timeline::new(&trial.events);
            let figures = Figures::of(&*trial.history, &timeline, 150.0).unwrap();
            let environment = trial.environment.as_ref().unwrap();
            let mut rows =
                recovery::measure(1, environment, &timeline, &figures.service, true).partitions;
            rows.retain(|row| row.stream != StreamKind::Direct);
            let of_leader = |row: &PartitionRecovery| row.fault == "leader";
            for row in rows.iter_mut().filter(|row| of_leader(row)) {
                row.ended_after_heal = match row.stream {
                    StreamKind::Main => true,
                    StreamKind::Probe => probe_is_late,
                    _ => false,
                };
            }
            let main = |row: &&PartitionRecovery| row.stream == StreamKind::Main && of_leader(row);
            let direct: Vec<_> = rows.iter().filter(main).cloned().collect();
            rows.extend(direct_is_late.into_iter().flat_map(|ended_after_heal| {
                let of_direct = move |row: &PartitionRecovery| PartitionRecovery {
                    stream: StreamKind::Direct,
                    ended_after_heal,
                    ..row.clone()
                };
                direct.iter().map(of_direct).collect::<Vec<_>>()
            }));
            judge(&timeline.faults, &rows, &environment.settings, &[], None).unwrap()
        };
        let told = verdict(Some(false), false);
        assert_eq!((told.verdict, told.count), (Verdict::Unknown, 0), "{:?}", told.note);
        assert!(told.note.unwrap().contains("that is the client's time, not the cluster's"));
        assert_eq!(verdict(Some(true), false).verdict, Verdict::Violated, "it missed it as well");
        assert_eq!(verdict(None, false).verdict, Verdict::Violated, "nobody tells");
        assert_eq!(verdict(Some(false), true).verdict, Verdict::Violated, "the probe missed it");
    }
}
