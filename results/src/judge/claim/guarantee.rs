//! What one trial shows of a guarantee.

mod cluster;
mod ensemble;
mod probe;
mod recovers;
mod scale_out;
mod zombie;

use crate::judge::check;
use crate::judge::recovery::consuming::Resumed;
use crate::judge::verdict::{Check, Verdict};
use crate::terminal::counted;

use super::measure::undisturbed;
use super::proof::{Examined, Proof};
use super::{Claim, EnsembleLimit, Metric, OneSide, TrialFacts};

/// What one trial says of a guarantee.
pub(super) enum Examination {
    /// It was not kept: what was found.
    Violated(String),
    /// Why it is not known.
    Open(String),
    /// It was kept, and what shows that.
    Kept(Proof),
}

/// Examines what one trial shows of the guarantee that a claim states.
pub(super) fn guarantee(claim: &Claim, trial: &TrialFacts) -> Examination {
    match &claim.metric {
        Metric::Checks(names) => match checks(names, trial) {
            Examination::Kept(_) if let Some(why) = counted_all_the_same(names, trial) => {
                Examination::Open(why)
            }
            found => found,
        },
        Metric::ChecksAcksAll(names) => checks_acks_all(names, trial),
        Metric::ChecksWithACopy(names) => match without_a_copy(names, trial) {
            Some(why) => Examination::Open(why),
            None => checks_acks_all(names, trial),
        },
        Metric::MinIsrCopies(wanted) => copies(*wanted, claim, trial),
        Metric::ResumeAtCommitted(names) => resume(names, trial),
        Metric::TakeOverAtCommitted(names) => match resume(names, trial) {
            Examination::Kept(_) if trial.recovery.resumed.taken_over == 0 => {
                Examination::Open("no member was seen to take a partition over".to_owned())
            }
            found => found,
        },
        Metric::RecoversWhileFaultLasts => recovers::recovers(claim, trial),
        Metric::OutageUntilHeal => cluster::outage_until_heal(claim, trial),
        Metric::RegistrationGoneFirst => cluster::registration_gone_first(claim, trial),
        Metric::OneLeader => zombie::one_leader(claim, trial),
        Metric::OneController => zombie::one_controller(claim, trial),
        Metric::OneSideCommits(OneSide { serves_at_most_s }) => {
            ensemble::one_side(claim, trial, *serves_at_most_s)
        }
        Metric::EnsembleCommits(EnsembleLimit { within_s }) => {
            ensemble::commits(claim, trial, *within_s)
        }
        Metric::EnsembleRefuses => ensemble::refuses(claim, trial),
        Metric::OffsetsInSequence => cluster::offsets_in_sequence(trial),
        Metric::InversionAcrossPartitions => cluster::inversion(trial),
        Metric::LeadersPerBroker(spread) => cluster::leaders(spread, trial),
        Metric::BytesPerBroker(bytes) => cluster::bytes(*bytes, trial),
        Metric::ControllerWithoutData => cluster::controller_without_data(trial),
        Metric::OneReaderAPartition => cluster::one_reader(trial),
        Metric::SettingsInForce(settings) => cluster::settings(settings, trial),
        Metric::MaxRateRatios(_)
        | Metric::MaxRatePerBroker(_)
        | Metric::FigureRatios(_)
        | Metric::ThresholdAtLimit(_) => {
            let names = claim.metric.scenarios().join("`, `");
            Examination::Open(format!(
                "scenarios of a suite decide it, and no run by itself: `{names}`"
            ))
        }
        Metric::Probe(wanted) => probe::probe(*wanted, trial),
        Metric::ScaleOut(said) => scale_out::examine(claim, *said, trial),
        Metric::NotTestedHere(needs) => Examination::Open(needs.clone()),
        Metric::ControllerFailover
        | Metric::ControllerElection
        | Metric::UnavailabilityLed
        | Metric::NewLeaderServes
        | Metric::UnavailabilityNotLed(_) => Examination::Open("no bound is stated".to_owned()),
    }
}

fn checks_acks_all(names: &[String], trial: &TrialFacts) -> Examination {
    match checks(names, trial) {
        // Such a check finds violated what another producer was promised.
        Examination::Kept(_) if !trial.acks_all => {
            Examination::Open("the main load does not use acks=all".to_owned())
        }
        Examination::Kept(_) if let Some(why) = unpromised(names, trial) => Examination::Open(why),
        found => found,
    }
}

/// What a check found and counts, though nothing that was promised is violated by it.
fn counted_all_the_same(names: &[String], trial: &TrialFacts) -> Option<String> {
    let mut of_names = trial.checks.iter().filter(|check| names.contains(&check.name));
    let found = of_names.find(|check| check.count > 0)?;
    let note = found.note.as_ref().map(|note| format!(": {note}")).unwrap_or_default();
    Some(format!("check \"{}\" found {}{note}", found.name, found.count))
}

/// What was found of a main load that is promised neither an order nor single copies, since it is not idempotent;
/// and copies that the plan allows.
fn unpromised(names: &[String], trial: &TrialFacts) -> Option<String> {
    let found = |name: &str| {
        let of_name = trial.checks.iter().filter(|check| check.name == name && check.count > 0);
        of_name.filter(|check| names.contains(&check.name)).map(|check| check.count).next()
    };
    let what = match (found("order-producer"), found("duplicate")) {
        (Some(n), _) if !trial.idempotent => format!("{} out of order", counted(n, "record")),
        (_, Some(n)) => format!("{} in the log again", counted(n, "record")),
        _ => return None,
    };
    Some(match trial.idempotent {
        true => format!("{what}, which is counted, not judged"),
        false => format!("{what}, from which producers without idempotence are not guarded"),
    })
}

/// Why the checks say nothing of records of which a replica kept its memory, where they found others alone.
fn without_a_copy(names: &[String], trial: &TrialFacts) -> Option<String> {
    let of_names = trial.checks.iter().filter(|check| names.contains(&check.name));
    let mut found = of_names.filter(|check| check.verdict == Verdict::Violated).peekable();
    found.peek()?;
    found.all(|check| check.without_a_copy).then(|| {
        "not applicable: no in-sync replica of the records that are lost kept its memory".to_owned()
    })
}

fn checks(names: &[String], trial: &TrialFacts) -> Examination {
    let mut examined = Examined::new();
    let mut open = None;
    for name in names {
        let of_name: Vec<&Check> = trial.checks.iter().filter(|c| c.name == *name).collect();
        if of_name.is_empty() {
            open = Some(format!("check \"{name}\" was not made"));
        }
        for check in of_name {
            match check.verdict {
                Verdict::Violated => {
                    let note = check.note.as_ref().map(|note| format!(": {note}"));
                    let note = note.unwrap_or_default();
                    let found = format!("check \"{name}\" found {}{note}", check.count);
                    return Examination::Violated(found);
                }
                Verdict::Valid if check.examined > 0 => {
                    // Several checks look at the same records.
                    let n = examined.entry(check::examines(name)).or_default();
                    *n = check.examined.max(*n);
                }
                Verdict::Valid => open = Some(format!("check \"{name}\" had nothing to look at")),
                Verdict::Unknown | Verdict::InvalidRun => {
                    let note = check.note.as_deref().unwrap_or("could not be made in full");
                    open = Some(format!("check \"{name}\": {note}"));
                }
            }
        }
    }
    open.map_or(Examination::Kept(Proof::Examined(examined)), Examination::Open)
}

fn copies(wanted: usize, claim: &Claim, trial: &TrialFacts) -> Examination {
    let (mut fewest, mut unseen) = (usize::MAX, None);
    for step in &claim.scenario {
        let fault = trial.faults.iter().find(|fault| fault.id == *step);
        if let Some(fault) = fault
            && let Err(why) = undisturbed(trial, |one| {
                one.is_of_servers() && one.touches(fault.injecting, fault.window_end, 0.0)
            })
        {
            return Examination::Open(why);
        }
        for copies in trial.recovery.copies.iter().filter(|copies| copies.fault == *step) {
            if let Some(n) = copies.at_most.filter(|n| *n < wanted) {
                let members = counted(n as u64, "live member");
                return Examination::Violated(format!("an ISR had {members}"));
            }
            match copies.at_least.filter(|n| *n >= wanted) {
                Some(n) => fewest = fewest.min(n),
                None => {
                    unseen.get_or_insert_with(|| {
                        let place = format!("{}-{}", trial.main_topic(), copies.partition);
                        format!(
                            "the live copies of {place} during step \"{step}\" were not all seen"
                        )
                    });
                }
            }
        }
    }
    match (unseen, fewest) {
        (Some(why), _) => Examination::Open(why),
        (None, usize::MAX) => {
            Examination::Open("no partition was seen during these steps".to_owned())
        }
        (None, n) => Examination::Kept(Proof::Copies(n)),
    }
}

fn resume(names: &[String], trial: &TrialFacts) -> Examination {
    if trial.cut_group {
        return Examination::Open("what a member of the group recorded breaks off".to_owned());
    }
    let resumed = &trial.recovery.resumed;
    match checks(names, trial) {
        Examination::Kept(_) if !resumed.broken.is_empty() => {
            Examination::Violated(Resumed::several(&resumed.broken))
        }
        Examination::Kept(_) if !resumed.open.is_empty() => {
            Examination::Open(Resumed::several(&resumed.open))
        }
        Examination::Kept(_) if resumed.seen() == 0 => Examination::Open(
            "no fault took a partition, its leader or the coordinator from a member of a group"
                .to_owned(),
        ),
        Examination::Kept(_) => Examination::Kept(Proof::Resumed(resumed.clone())),
        other => other,
    }
}
