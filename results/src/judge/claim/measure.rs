//! The figure of one claim in one trial, or the reason why the trial gives none.

use std::time::Duration;

use crate::judge::disturbance::Disturbance;
use crate::judge::predict::{self, Prediction};
use crate::judge::recovery::{DELAYED, PartitionRecovery, Phases, StreamKind, direct};
use crate::judge::span::FaultSpan;

use super::{Claim, LeaderService, Metric, TrialFacts};

/// One trial's figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// Seconds; a lower bound when censored.
    pub(super) seconds: f64,
    /// Whether what was measured did not end before the data did.
    pub(super) censored: bool,
    /// Where the time went.
    pub(super) phases: Phases,
    /// What the phases do not explain of it: from healing on, or beside anchors that were not seen.
    pub(super) rest: f64,
    /// Of a partition with several gaps, their number and how long they were together: the longest sum.
    pub(super) in_sum: Option<(u32, f64)>,
    /// The longest response of partitions that were not interrupted, where there are any.
    pub(super) longest_response: Option<f64>,
    /// What it may have been at most, in seconds, where it is not known exactly.
    pub(super) at_most: Option<f64>,
    /// What the settings in force predict.
    pub(super) prediction: Option<Prediction>,
}

impl Figure {
    /// Whether nothing was interrupted: then it is 0, as far as that can be told.
    pub(super) fn uninterrupted(&self) -> bool {
        self.seconds == 0.0 && !self.censored
    }
}

/// The fault `step` of `trial`, if it was injected and proven, and the claim speaks of such faults.
pub(super) fn proven_step<'a>(
    trial: &'a TrialFacts,
    claim: &Claim,
    step: &str,
) -> Result<&'a FaultSpan, String> {
    if let Some((_, reason)) = trial.skipped.iter().find(|(id, _)| id == step) {
        return Err(format!("step \"{step}\" was skipped: {reason}"));
    }
    let Some(fault) = trial.faults.iter().find(|fault| fault.id == step) else {
        return Err(format!("step \"{step}\" was not carried out"));
    };
    if !fault.proven {
        return Err(format!("nothing proves that the fault of step \"{step}\" took effect"));
    }
    if !claim.speaks_of(&fault.effect) {
        return Err(format!("the claim does not speak of a {} as in step \"{step}\"", fault.fault));
    }
    Ok(fault)
}

/// Refuses what something disturbed that was no part of the plan.
pub(super) fn undisturbed(
    trial: &TrialFacts,
    touches: impl Fn(&Disturbance) -> bool,
) -> Result<(), String> {
    match trial.disturbances.iter().find(|one| touches(one)) {
        Some(one) => Err(format!("no measurement: {}", one.describe())),
        None => Ok(()),
    }
}

/// The clients by whom a metric is measured; `None` where it is by ZooKeeper and the brokers.
pub(super) fn clients(metric: &Metric) -> Option<StreamKind> {
    match metric {
        Metric::UnavailabilityLed
        | Metric::NewLeaderServes
        | Metric::UnavailabilityNotLed(LeaderService::AcksAll) => Some(StreamKind::Main),
        Metric::UnavailabilityNotLed(LeaderService::Acks1) => Some(StreamKind::Probe),
        Metric::UnavailabilityNotLed(LeaderService::Reads) => Some(StreamKind::Reads),
        // By ZooKeeper and the brokers, or no time.
        _ => None,
    }
}

/// Whether a metric is of the partitions that the dead broker led.
pub(super) fn of_led(metric: &Metric) -> bool {
    matches!(metric, Metric::UnavailabilityLed | Metric::NewLeaderServes)
}

/// The figure of a time metric for one step of a trial.
pub(super) fn figure(trial: &TrialFacts, claim: &Claim, step: &str) -> Result<Figure, String> {
    let figure = measured(trial, claim, step)?;
    let fault = proven_step(trial, claim, step)?;
    // Where nothing was interrupted, it may have been hidden at any time of the fault.
    let felt = fault.injecting.plus(Duration::from_secs_f64(figure.seconds.max(0.0)));
    let lasted = fault.healing.unwrap_or(fault.window_end);
    let end = if figure.phases.is_empty() { felt.max(lasted) } else { felt };
    let by = clients(&claim.metric);
    let bound = claim.stated_s.map_or(f64::INFINITY, |[_, high]| high);
    if figure.seconds <= bound {
        asked_in_time(trial, claim, step, bound)?;
        lasted_long_enough(fault, &figure)?;
        felt_within(step, &figure, bound)?;
        responded_within(step, &figure, bound)?;
        known_within(step, &figure, bound)?;
    }
    undisturbed(trial, |one| {
        one.concerns(by) && one.touches(fault.injecting, end, figure.seconds)
    })?;
    if by == Some(StreamKind::Main) {
        clusters_own(trial, claim, step, bound)?;
    }
    Ok(figure)
}

/// Refuses a figure beyond the bound that is so only for librdkafka's client: the same partitions answered the
/// direct producer within it.
fn clusters_own(trial: &TrialFacts, claim: &Claim, step: &str, bound: f64) -> Result<(), String> {
    let (all, led) = (&trial.recovery.partitions, of_led(&claim.metric));
    let of_step = all.iter().filter(|row| row.fault == step && row.stream == StreamKind::Main);
    let beyond = of_step.filter(|row| row.led == Some(led) && row.unavailable_s > bound);
    let within = beyond.map(|row| {
        let direct = direct::beside(row, all)?;
        (direct.unavailable_s <= bound).then_some((row, direct))
    });
    match within.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().next()) {
        Some((row, direct)) => Err(format!(
            "{} partition {} answered the direct producer after {:.1} s, and librdkafka's client after \
             {:.1} s of step \"{step}\": that is the client's time, not the cluster's",
            row.topic, row.partition, direct.unavailable_s, row.unavailable_s
        )),
        None => Ok(()),
    }
}

/// Refuses a figure within the bound where, for longer than that, nobody asked for what it is about.
fn asked_in_time(trial: &TrialFacts, claim: &Claim, step: &str, bound: f64) -> Result<(), String> {
    let (by, led) = (clients(&claim.metric), of_led(&claim.metric));
    let unasked = trial.recovery.unasked.iter().find(|it| {
        it.fault == step && Some(it.stream) == by && it.led == Some(led) && it.seconds > bound
    });
    match unasked {
        Some(it) => Err(format!(
            "clients of the {} stream asked nothing of {} for the first {:.1} s of step \"{step}\"",
            it.stream.as_str(),
            it.partition,
            it.seconds
        )),
        None => Ok(()),
    }
}

/// Refuses a figure within the bound where a partition was away for longer than that in sum: the longest gap is
/// not what the sentence promises then, nor is any gap beyond it.
fn felt_within(step: &str, figure: &Figure, bound: f64) -> Result<(), String> {
    match figure.in_sum {
        Some((gaps, seconds)) if seconds > bound => Err(format!(
            "{gaps} gaps in step \"{step}\", none longer than {bound} s, {seconds:.2} s in sum"
        )),
        _ => Ok(()),
    }
}

/// Refuses a figure within a bound so short that a response may be longer which is no interruption yet.
fn responded_within(step: &str, figure: &Figure, bound: f64) -> Result<(), String> {
    match figure.longest_response {
        Some(response) if response > bound => Err(format!(
            "no interruption was seen in step \"{step}\", which begins at {} s; the longest response took \
             {response:.3} s",
            DELAYED.as_secs_f64()
        )),
        _ => Ok(()),
    }
}

/// Refuses a figure within a bound that it may be beyond.
fn known_within(step: &str, figure: &Figure, bound: f64) -> Result<(), String> {
    match figure.at_most {
        Some(at_most) if at_most > bound => Err(format!(
            "between {:.2} and {at_most:.2} s in step \"{step}\": clients do not ask more often",
            figure.seconds
        )),
        _ => Ok(()),
    }
}

/// Refuses a figure that ended because kbench undid the fault before the cluster can have recovered from it.
fn lasted_long_enough(fault: &FaultSpan, figure: &Figure) -> Result<(), String> {
    let lasted = fault.healing.map_or(f64::INFINITY, |at| at.secs_since(fault.injecting));
    let needs = figure.prediction.as_ref().map_or(0.0, |prediction| prediction.interval_s[0]);
    if lasted < needs && lasted < figure.seconds {
        return Err(format!(
            "step \"{}\" was undone after {lasted:.1} s, and recovery takes {needs:.1} s at the least",
            fault.id
        ));
    }
    Ok(())
}

fn measured(trial: &TrialFacts, claim: &Claim, step: &str) -> Result<Figure, String> {
    let fault = proven_step(trial, claim, step)?;
    let settings = &trial.environment.settings;
    match &claim.metric {
        Metric::ControllerFailover | Metric::ControllerElection => {
            let position = trial.faults.iter().position(|f| f.id == step);
            let failover = position
                .and_then(|n| trial.recovery.controllers.get(n))
                .and_then(Option::as_ref)
                .ok_or_else(|| {
                    format!("step \"{step}\" was not seen to take the controller away")
                })?;
            if let Some(why) = &failover.unseen {
                return Err(format!("step \"{step}\": {why}"));
            }
            let whole = Figure {
                seconds: failover.failover_s,
                censored: failover.censored,
                phases: failover.phases,
                rest: failover.phase_residual_s,
                in_sum: None,
                longest_response: None,
                at_most: None,
                prediction: predict::detection(settings, fault),
            };
            if claim.metric == Metric::ControllerFailover {
                return Ok(whole);
            }
            let elect = failover.phases.elect.ok_or_else(|| {
                format!(
                    "when the controller's registration was gone was not seen in step \"{step}\""
                )
            })?;
            let phases = Phases { elect: Some(elect), ..Phases::default() };
            Ok(Figure { seconds: elect, phases, rest: 0.0, prediction: None, ..whole })
        }
        Metric::NewLeaderServes => {
            let rows = rows(trial, step, StreamKind::Main, true)?;
            serving(&rows, &trial.recovery.partitions, step)
        }
        Metric::UnavailabilityLed => {
            let rows = rows(trial, step, StreamKind::Main, true)?;
            Ok(worst(&rows, predict::partition_recovery(settings, fault)))
        }
        Metric::UnavailabilityNotLed(LeaderService::AcksAll) => {
            if !trial.acks_all {
                return Err("the main load does not use acks=all".to_owned());
            }
            let rows = rows(trial, step, StreamKind::Main, false)?;
            // A dead member of the ISR holds up acks=all as a dead leader does. Where every broker
            // has a copy, that is every partition.
            let everywhere = settings.replication_factor == settings.brokers;
            let prediction = predict::copies_recovery(settings, fault).filter(|_| everywhere);
            Ok(worst(&rows, prediction))
        }
        Metric::UnavailabilityNotLed(LeaderService::Acks1) => {
            let rows = rows(trial, step, StreamKind::Probe, false)?;
            Ok(worst(&rows, predict::undisturbed(fault)))
        }
        Metric::UnavailabilityNotLed(LeaderService::Reads) => {
            let rows = rows(trial, step, StreamKind::Reads, false)?;
            Ok(worst(&rows, predict::undisturbed(fault)))
        }
        _ => Err("not a time".to_owned()),
    }
}

fn rows<'a>(
    trial: &'a TrialFacts,
    step: &str,
    stream: StreamKind,
    led: bool,
) -> Result<Vec<&'a PartitionRecovery>, String> {
    let of_step: Vec<_> = trial
        .recovery
        .partitions
        .iter()
        .filter(|row| row.fault == step && row.stream == stream && !row.added)
        .collect();
    if let Some(why) = trial.cut.get(&stream) {
        return Err(format!("no figures of the {} stream: {why}", stream.as_str()));
    }
    if of_step.is_empty() {
        return Err(format!("no figures of the {} stream for step \"{step}\"", stream.as_str()));
    }
    if of_step.iter().any(|row| row.led.is_none()) {
        return Err(format!("who led which partition at step \"{step}\" was not seen"));
    }
    let wanted: Vec<_> = of_step.into_iter().filter(|row| row.led == Some(led)).collect();
    if wanted.is_empty() {
        let which = if led { "no partition" } else { "every partition" };
        return Err(format!("the dead broker of step \"{step}\" led {which}"));
    }
    Ok(wanted)
}

/// What the last phases of a recovery took together, of the partition of which that was most: at least until the direct
/// producer was last seen unanswered, at most until it or the main load was answered.
fn serving(
    rows: &[&PartitionRecovery],
    all: &[PartitionRecovery],
    step: &str,
) -> Result<Figure, String> {
    let mut worst: Option<Figure> = None;
    let mut at_most = 0.0_f64;
    for row in rows.iter().filter(|row| row.interrupted) {
        let Phases { metadata, answer, .. } = row.phases_s;
        let answered = |row: &PartitionRecovery| {
            let Phases { metadata, answer, client, .. } = row.phases_s;
            Some(metadata? + answer? + client?)
        };
        let soonest = [Some(*row), direct::beside(row, all)].into_iter().flatten();
        let soonest = soonest.filter_map(answered).min_by(f64::total_cmp);
        let (Some(metadata_s), Some(answer_s), Some(soonest)) = (metadata, answer, soonest) else {
            return Err(format!(
                "the phases of {} partition {} were not seen in step \"{step}\"",
                row.topic, row.partition
            ));
        };
        at_most = at_most.max(soonest);
        let seconds = metadata_s + answer_s;
        if worst.as_ref().is_none_or(|worst| worst.seconds < seconds) {
            worst = Some(Figure {
                seconds,
                censored: row.censored,
                phases: Phases { metadata, answer, ..Phases::default() },
                rest: 0.0,
                in_sum: None,
                longest_response: None,
                at_most: None,
                prediction: None,
            });
        }
    }
    let worst = worst.ok_or_else(|| format!("no partition was interrupted in step \"{step}\""))?;
    Ok(Figure { at_most: Some(at_most), ..worst })
}

/// The partition that was away longest stands for the trial.
fn worst(rows: &[&PartitionRecovery], prediction: Option<Prediction>) -> Figure {
    let several = rows.iter().filter(|row| row.gaps > 1).map(|row| (row.gaps, row.gaps_s));
    let responses = rows.iter().filter_map(|row| row.longest_response_s);
    let longest = rows.iter().max_by(|a, b| a.unavailable_s.total_cmp(&b.unavailable_s));
    Figure {
        seconds: longest.map_or(0.0, |row| row.unavailable_s),
        censored: rows.iter().any(|row| row.censored),
        phases: longest.map(|row| row.phases_s).unwrap_or_default(),
        rest: longest.map_or(0.0, |row| row.heal_s + row.phase_residual_s),
        longest_response: responses.reduce(f64::max),
        at_most: None,
        in_sum: several.max_by(|(_, a), (_, b)| a.total_cmp(b)),
        prediction,
    }
}
